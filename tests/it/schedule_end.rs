//! How schedules end with their pool, and where what is the user's is dropped.

use crate::every::step;
use crate::manual::{Drops, HOUR, Manual, S, hang, until};
use crate::support::{LONG, must_recv};
use millhand::schedule::{Overlap, Schedule};
use millhand::{CancelToken, Every, Retry, Shutdown, ThreadPool};
use std::panic::panic_any;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

fn every() -> Every {
    Every::new(10 * S)
}

#[test]
fn a_drain_ends_all_schedules_finishes_their_runs_and_names_them() {
    let pool = Manual::new(2);
    let drops = Drops::default();
    let (dropped, (body, hang)) = (drops.one(), hang());
    let body = Mutex::new(body);
    let running = pool.task().name("running").every(every());
    let running = running
        .run(move || {
            dropped.keep();
            body.lock().unwrap()();
        })
        .unwrap();
    let dropped = drops.one();
    let waiting = pool
        .task()
        .every(Every::new(HOUR))
        .run(move || dropped.keep());
    let waiting = waiting.unwrap();
    let over = pool.task().every(every().times(1)).run(|| ()).unwrap();
    pool.turn(10 * S);
    hang.started();
    until("it has run", || over.is_ended());
    let report = thread::scope(|s| {
        let shutdown = s.spawn(|| pool.shutdown(Shutdown::drain().including_delayed()));
        until("they have ended", || {
            running.is_ended() && waiting.is_ended()
        });
        drop(hang);
        shutdown.join().unwrap().unwrap()
    });
    assert!(report.is_clean(), "{report}");
    assert!(report.succeeded() >= 2 && report.not_due().is_empty());
    let names: Vec<_> = report
        .schedules()
        .iter()
        .map(|ended| ended.name.as_deref())
        .collect();
    assert_eq!(names, [Some("running"), None]);
    let text = report.to_string();
    assert!(
        text.contains("; schedule `running` (made at tests"),
        "{text}"
    );
    assert_eq!(drops.count(), 2);
    assert!(!running.trigger_now());
    assert_eq!((running.counts().runs, running.counts().running), (1, 0));
}

#[test]
fn a_cancelling_shutdown_asks_their_runs_to_stop() {
    let pool = Manual::new(1);
    let (tell, told) = mpsc::channel();
    let body = move || -> () {
        tell.send(()).unwrap();
        loop {
            millhand::checkpoint();
            thread::yield_now();
        }
    };
    let schedule = pool.task().every(every()).run(body).unwrap();
    pool.turn(10 * S);
    must_recv(&told);
    pool.shutdown(Shutdown::cancel()).unwrap();
    let counts = schedule.counts();
    assert_eq!((counts.runs, counts.running, counts.failures), (1, 0, 0));
}

#[test]
fn what_waits_behind_a_run_is_given_up_by_a_drain() {
    let pool = Manual::new(1);
    let (body, hang) = hang();
    let body = Mutex::new(body);
    let rule = every().overlap(Overlap::Queue);
    let schedule = pool
        .task()
        .every(rule)
        .run(move || body.lock().unwrap()())
        .unwrap();
    pool.turn(10 * S);
    pool.turn(10 * S);
    hang.started();
    thread::scope(|s| {
        let shutdown = s.spawn(|| pool.shutdown(Shutdown::drain()));
        until("it has ended", || schedule.is_ended());
        drop(hang);
        assert_eq!(shutdown.join().unwrap().unwrap().succeeded(), 1);
    });
}

#[test]
fn waiting_for_an_idle_pool_does_not_wait_for_schedules() {
    let pool = Manual::new(1);
    let _schedule = pool.task().every(every()).run(|| ()).unwrap();
    assert!(pool.wait_idle_timeout(LONG).unwrap());
    let (body, hang) = hang();
    let body = Mutex::new(body);
    let _other = pool
        .task()
        .every(every())
        .run(move || body.lock().unwrap()())
        .unwrap();
    pool.turn(10 * S);
    hang.started();
    assert!(!pool.wait_idle_timeout(Duration::ZERO).unwrap());
    drop(hang);
    assert!(pool.wait_idle_timeout(LONG).unwrap());
}

#[test]
fn a_schedule_keeps_no_pool_alive() {
    let (drops, schedule) = (Drops::default(), {
        let pool = ThreadPool::new(1).unwrap();
        pool.task().every(every()).run(|| ()).unwrap()
    });
    assert!(schedule.is_ended() && !schedule.trigger_now() && !schedule.cancel());
    assert_eq!(schedule.next_run(), None);
    schedule.pause();
    schedule.resume();
    // Nor does the pool keep the body of one that nobody holds any more.
    let pool = ThreadPool::new(1).unwrap();
    let dropped = drops.one();
    drop(
        pool.task()
            .every(every())
            .run(move || dropped.keep())
            .unwrap(),
    );
    assert_eq!(drops.count(), 0);
    drop(pool);
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_pool_dropped_by_its_own_task_ends_its_schedules() {
    let pool = Arc::new(Mutex::new(Some(ThreadPool::new(1).unwrap())));
    let theirs = pool.clone();
    let (tell, told) = mpsc::channel();
    let guard = pool.lock().unwrap();
    let schedule = guard
        .as_ref()
        .unwrap()
        .task()
        .every(every())
        .run(|| ())
        .unwrap();
    let task = guard.as_ref().unwrap().submit(move || {
        let pool = theirs.lock().unwrap().take();
        drop(pool);
        tell.send(()).unwrap();
    });
    drop(guard);
    must_recv(&told);
    assert!(schedule.is_ended());
    task.join().unwrap();
}

#[test]
fn a_body_whose_drop_panics_harms_nobody() {
    struct Grenade;
    impl Drop for Grenade {
        fn drop(&mut self) {
            if !thread::panicking() {
                panic_any("dropped");
            }
        }
    }
    let pool = Manual::new(1);
    let grenades = [(); 3].map(|()| {
        let grenade = Grenade;
        pool.task().every(every()).run(move || {
            let _ = &grenade;
        })
    });
    let [first, second, third] = grenades.map(Result::unwrap);
    first.cancel();
    step(&pool, 10 * S);
    assert_eq!((second.counts().runs, third.counts().failures), (1, 0));
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!(report.schedules().len(), 2);
}

#[test]
fn a_bodys_drop_may_not_wait_for_the_pool_that_ends_it() {
    struct Waits(Sender<bool>, Arc<ThreadPool>);
    impl Drop for Waits {
        fn drop(&mut self) {
            let _ = self.0.send(self.1.wait_idle().is_err());
        }
    }
    let pool = Arc::new(ThreadPool::new(1).unwrap());
    let (tell, told) = mpsc::channel();
    let waits = Waits(tell, pool.clone());
    let body = move || {
        let _ = &waits.1;
    };
    pool.task().every(every()).run(body).unwrap();
    pool.shutdown(Shutdown::drain()).unwrap();
    assert!(must_recv(&told));
}

/// Tells on which thread it was dropped.
struct Where(Mutex<Sender<Option<String>>>);

impl Where {
    fn new() -> (Self, Receiver<Option<String>>) {
        let (tell, told) = mpsc::channel();
        (Self(Mutex::new(tell)), told)
    }

    fn keep(&self) {}
}

impl Drop for Where {
    fn drop(&mut self) {
        let name = thread::current().name().map(String::from);
        let _ = self.0.lock().unwrap().send(name);
    }
}

/// Whoever ends it, and whatever the timer is doing just then: what is the user's is not dropped there.
#[test]
fn nothing_of_the_users_is_dropped_by_the_timer() {
    let pool = ThreadPool::new(2).unwrap();
    let quick = || Every::new(Duration::from_micros(20)).start_in(Duration::ZERO);
    for round in 0..600 {
        let token = CancelToken::new();
        let (place, told) = Where::new();
        let task = pool.task().token(&token);
        let body = move || place.keep();
        let schedule: Schedule = match round % 4 {
            0 => task.every(quick().times(1)).run(body).unwrap(),
            1 => task
                .every(quick().overlap(Overlap::Parallel(4)))
                .run(body)
                .unwrap(),
            2 => task
                .retry(Retry::default())
                .every(quick())
                .run(move || {
                    body();
                    Ok::<_, &str>(())
                })
                .unwrap(),
            _ => task.every(quick().times(3)).run(body).unwrap(),
        };
        for _ in 0..round % 50 {
            std::hint::spin_loop();
        }
        match round % 3 {
            0 => drop(token.cancel()),
            1 => drop(schedule.cancel()),
            _ => {
                until("it ran", || schedule.counts().runs > 0);
                schedule.cancel();
            }
        }
        let name = must_recv(&told).unwrap_or_default();
        assert!(
            !name.ends_with("-timer"),
            "round {round}: dropped by {name}"
        );
    }
}

#[test]
fn schedules_made_and_ended_in_great_numbers_leave_the_pool_quick() {
    let pool = Manual::new(1);
    let drops = Drops::default();
    for _ in 0..20_000 {
        let dropped = drops.one();
        let schedule = pool
            .task()
            .every(Every::new(HOUR))
            .run(move || dropped.keep());
        schedule.unwrap().cancel();
    }
    assert_eq!(drops.count(), 20_000);
    let kept = pool.task().every(every()).run(|| ()).unwrap();
    step(&pool, 10 * S);
    assert_eq!(kept.counts().runs, 1);
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!(report.schedules().len(), 1);
}

#[test]
fn pools_that_close_while_schedules_are_made_and_run_lose_none() {
    for _ in 0..100 {
        let pool = ThreadPool::new(2).unwrap();
        let drops = Drops::default();
        let made = thread::scope(|s| {
            let maker = s.spawn(|| {
                let mut made = 0;
                for _ in 0..50 {
                    let dropped = drops.one();
                    let rule = Every::new(Duration::from_micros(10)).overlap(Overlap::Queue);
                    made += 1;
                    if pool.task().every(rule).run(move || dropped.keep()).is_err() {
                        break;
                    }
                }
                made
            });
            thread::yield_now();
            let report = pool.shutdown(Shutdown::drain()).unwrap();
            assert!(report.is_clean(), "{report}");
            maker.join().unwrap()
        });
        assert_eq!(drops.count(), made);
    }
}
