//! What is seen from outside, where it was wrong once. Each test has the name of what was wrong.

use crate::events::Record;
use crate::handle::keep_busy;
use crate::manual::{S, until};
use crate::support::{LONG, must_recv};
use millhand::observe::Event;
use millhand::testing::ManualClock;
use millhand::{CancelToken, Retry, Semaphore, Shutdown, TaskError, ThreadPool};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

/// Fails once, and goes on until the sender is dropped.
fn fails_once() -> (
    impl FnMut() -> Result<(), &'static str> + Send + 'static,
    mpsc::Sender<()>,
) {
    let (go, wait) = mpsc::channel::<()>();
    let mut attempts = 0;
    let body = move || {
        attempts += 1;
        if attempts == 1 {
            return Err("no");
        }
        let _ = wait.recv();
        Ok(())
    };
    (body, go)
}

#[test]
fn the_second_attempt_was_as_old_as_the_first() {
    let clock = ManualClock::new();
    let pool = ThreadPool::builder()
        .workers(1)
        .clock(&clock)
        .build()
        .unwrap();
    let (body, go) = fails_once();
    let task = pool.task().retry(Retry::fixed(1, 60 * S)).submit(body);
    until("delayed", || pool.stats().delayed == 1);
    clock.advance(60 * S);
    until("running", || pool.stats().running == 1);
    let age = pool.find(task.id()).unwrap().age.unwrap();
    assert!(age.is_exact && age.at_least < S, "{age}");
    drop(go);
    task.join_ok().unwrap();
}

#[test]
fn a_retry_that_was_queued_just_now_was_the_oldest() {
    let clock = ManualClock::new();
    let pool = ThreadPool::builder()
        .workers(1)
        .clock(&clock)
        .track_queue(true);
    let pool = pool.build().unwrap();
    let (body, go) = fails_once();
    let task = pool.task().retry(Retry::fixed(1, 60 * S)).submit(body);
    until("delayed", || pool.stats().delayed == 1);
    let busy = keep_busy(&pool);
    clock.advance(60 * S);
    until("queued", || pool.stats().queued == 1);
    assert_eq!(pool.stats().oldest_queued, Some(Duration::ZERO));
    drop((busy, go));
    task.join_ok().unwrap();
}

#[test]
fn a_body_that_asked_for_its_task_grew_young() {
    let clock = ManualClock::new();
    let pool = ThreadPool::builder()
        .workers(1)
        .clock(&clock)
        .slow_task(10 * S);
    let pool = pool.build().unwrap();
    let (tell, told) = mpsc::channel();
    let (ask, asked) = mpsc::channel::<()>();
    let (go, wait) = mpsc::channel::<()>();
    pool.execute(move || {
        tell.send(()).unwrap();
        let _ = asked.recv();
        let _ = millhand::current().unwrap().id();
        tell.send(()).unwrap();
        let _ = wait.recv();
    });
    must_recv(&told);
    let age = || pool.tasks().rows()[0].age.map(|age| age.at_least);
    while age().is_none_or(|age| age < 11 * S) {
        clock.advance(S / 4);
        thread::yield_now();
    }
    drop(ask);
    must_recv(&told);
    assert!(age() >= Some(11 * S), "{:?}", age());
    drop(go);
}

#[test]
fn a_new_worker_inherited_the_age_of_another_s_body() {
    let clock = ManualClock::new();
    let pool = ThreadPool::builder()
        .workers(1)
        .clock(&clock)
        .slow_task(LONG);
    let pool = pool.build().unwrap();
    let _busy = keep_busy(&pool);
    for _ in 0..3 {
        pool.set_workers(2).unwrap();
        let before = clock.now();
        let second = keep_busy(&pool);
        let age = || {
            let table = pool.tasks();
            let worker = table.workers().iter().find(|worker| worker.index == 1);
            worker.and_then(|worker| worker.tasks[0].age)
        };
        while age().is_none_or(|age| age.at_least < S) {
            clock.advance(S / 4);
            thread::yield_now();
        }
        assert!(age().unwrap().at_least <= clock.now() - before);
        drop(second);
        pool.set_workers(1).unwrap();
        until("threads", || pool.stats().threads == 1);
    }
}

#[test]
fn a_task_that_was_live_all_the_time_was_not_found_at_times() {
    let pool = ThreadPool::new(2).unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let ends = is_over.clone();
    let again = pool
        .task()
        .name("again")
        .retry(Retry::fixed(u32::MAX, Duration::ZERO));
    let task = again.submit(move || match ends.load(SeqCst) {
        true => Ok(()),
        false => Err("again"),
    });
    for _ in 0..2_000 {
        assert!(pool.find(task.id()).is_some());
        let table = pool.tasks();
        let rows = table.rows().iter().filter(|row| row.id == Some(task.id()));
        assert_eq!(rows.count(), 1, "{table}");
    }
    is_over.store(true, SeqCst);
    task.join_ok().unwrap();
}

#[test]
fn a_named_continuation_had_no_age() {
    let clock = ManualClock::new();
    let pool = ThreadPool::builder()
        .workers(1)
        .clock(&clock)
        .build()
        .unwrap();
    let first = pool.submit(|| ());
    first.wait().unwrap();
    let busy = keep_busy(&pool);
    let next = pool.task().name("next").submit_after((first,), |_| ());
    clock.advance(S);
    let age = pool.find(next.id()).unwrap().age.unwrap();
    assert_eq!((age.at_least, age.is_exact), (S, true));
    drop(busy);
    next.join().unwrap();
}

#[test]
fn a_task_that_was_broadcast_waited_nowhere() {
    let pool = ThreadPool::builder()
        .workers(1)
        .track_queue(true)
        .build()
        .unwrap();
    let busy = keep_busy(&pool);
    let mail = pool.broadcast(|| ()).unwrap();
    let stats = pool.stats();
    assert_eq!((stats.queued, stats.pending()), (1, 2));
    assert!(pool.find(mail[0].id()).is_some());
    drop(busy);
    mail.into_iter().for_each(|task| task.join().unwrap());
}

#[test]
fn the_rates_of_a_pool_that_has_ended_stood_still() {
    let pool = ThreadPool::builder()
        .workers(1)
        .slow_task(LONG)
        .build()
        .unwrap();
    let handle = pool.handle();
    assert!(handle.stats().rates.is_some());
    drop(pool);
    assert_eq!(handle.stats().rates, None);
}

#[test]
fn a_run_of_a_schedule_was_reported_on_the_timer_thread() {
    let clock = ManualClock::new();
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let note = move |what: &'static str| {
        let thread = thread::current().name().map(str::to_owned);
        let _ = tell.lock().unwrap().send((what, thread));
    };
    let note = Arc::new(note);
    let noted = note.clone();
    let token = CancelToken::new();
    let cancels = token.clone();
    let pool = ThreadPool::builder()
        .workers(1)
        .clock(&clock)
        .name_prefix("p")
        .observer(move |event: &Event| {
            if event.task().is_some() {
                noted(event.name());
                cancels.cancel();
            }
        })
        .build()
        .unwrap();
    let task = pool
        .task()
        .token(&token)
        .on_finish(move |_| note("on_finish"));
    let _schedule = task.every(S).run(|| ()).unwrap();
    clock.advance(S);
    for expected in ["submitted", "cancelled", "on_finish"] {
        assert_eq!(must_recv(&told), (expected, Some("p-0".to_owned())));
    }
}

#[test]
fn a_task_whose_wait_was_reported_was_overtaken_at_its_semaphore() {
    let (tell, told) = mpsc::channel::<()>();
    let (go, wait) = mpsc::channel::<()>();
    let ends = Mutex::new((tell, wait));
    let is_first = AtomicBool::new(true);
    let pool = ThreadPool::builder()
        .workers(2)
        .observer(move |event: &Event| {
            if event.name() == "gated" && is_first.swap(false, SeqCst) {
                let ends = ends.lock().unwrap();
                ends.0.send(()).unwrap();
                let _ = ends.1.recv();
            }
        });
    let pool = pool.build().unwrap();
    let one = Semaphore::new(1).unwrap();
    let taken = one.acquire().unwrap();
    let order: Arc<Mutex<Vec<&str>>> = Arc::default();
    let note = |name: &'static str| {
        let order = order.clone();
        move || order.lock().unwrap().push(name)
    };
    let first = pool.task().gate(&one).submit(note("first"));
    must_recv(&told);
    let second = pool.task().gate(&one).submit(note("second"));
    until("gated", || pool.stats().gated == 2);
    drop(taken);
    drop(go);
    first.join().unwrap();
    second.join().unwrap();
    assert_eq!(*order.lock().unwrap(), ["first", "second"]);
}

#[test]
fn a_pool_was_idle_before_the_last_event() {
    let (tell, told) = mpsc::channel::<()>();
    let (go, wait) = mpsc::channel::<()>();
    let ends = Mutex::new((tell, wait));
    let record = Record::default();
    let pool = ThreadPool::builder()
        .workers(1)
        .observer(move |event: &Event| {
            if event.name() == "cancelled" {
                let ends = ends.lock().unwrap();
                ends.0.send(()).unwrap();
                let _ = ends.1.recv();
            }
        })
        .observer(record.clone())
        .build()
        .unwrap();
    let delayed = pool.task().delay(LONG).submit(|| ());
    let id = delayed.id();
    thread::scope(|s| {
        s.spawn(|| delayed.cancel());
        must_recv(&told);
        assert!(!pool.wait_idle_timeout(Duration::ZERO).unwrap());
        drop(go);
    });
    pool.wait_idle().unwrap();
    assert_eq!(record.of(id), ["submitted", "scheduled", "cancelled"]);
}

#[test]
fn a_task_that_timed_out_went_on_running_in_its_summary() {
    let clock = ManualClock::new();
    let pool = ThreadPool::builder()
        .workers(1)
        .clock(&clock)
        .observer(|_: &Event| ());
    let pool = pool.build().unwrap();
    let (go, wait) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let task = pool.task().name("hung").total_timeout(S).submit(move || {
        tell.send(()).unwrap();
        let _ = wait.recv();
    });
    must_recv(&told);
    clock.advance(S);
    task.wait().unwrap();
    clock.advance(9 * S);
    drop(go);
    pool.wait_idle().unwrap();
    let (tell, told) = mpsc::channel();
    task.on_finish(move |summary| tell.send(summary.ran).unwrap());
    assert_eq!(must_recv(&told), Some(S));
}

#[test]
fn a_task_that_was_too_late_to_run_had_made_an_attempt() {
    let clock = ManualClock::new();
    let pool = ThreadPool::builder()
        .workers(1)
        .clock(&clock)
        .build()
        .unwrap();
    for retries in [false, true] {
        let busy = keep_busy(&pool);
        let token = CancelToken::with_clock(&clock).child_with_timeout(S);
        let (tell, told) = mpsc::channel();
        let task = match retries {
            false => pool.task().token(&token).submit(|| Ok::<(), &str>(())),
            true => pool
                .task()
                .token(&token)
                .retry(Retry::default())
                .submit(|| Ok(())),
        };
        task.on_finish(move |summary| tell.send(summary.attempts).unwrap());
        clock.advance(S);
        drop(busy);
        assert!(matches!(task.join(), Err(TaskError::Expired(_))));
        assert_eq!(must_recv(&told), 0);
    }
    pool.shutdown(Shutdown::drain()).unwrap();
}
