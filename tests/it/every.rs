//! Schedules at intervals: when runs are due, what they are, what their bodies may say, and how it all ends.

use crate::manual::{Drops, HOUR, Manual, NS, S, hang, until};
use crate::support::{LONG, must_recv};
use millhand::error::Rejection;
use millhand::limit::Lanes;
use millhand::schedule::{OnPanic, Overlap, Schedule};
use millhand::testing::ManualClock;
use millhand::{
    CancelToken, ContextVar, Every, OnFull, RateLimiter, Retry, Semaphore, Shutdown, ThreadPool,
    current,
};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Turns the clock on, and comes back when the runs that were due are over.
pub(crate) fn step(pool: &Manual, time: Duration) {
    pool.turn(time);
    pool.wait_idle().unwrap();
}

/// A body that tells the time of each run by the pool's clock, since now.
fn tell_time(pool: &Manual) -> (impl Fn() + Send + Sync + 'static, Receiver<Duration>) {
    let (tell, told) = mpsc::channel();
    let (clock, begun) = (pool.clock.clone(), pool.now());
    let body = move || {
        let _ = tell.send(clock.now() - begun);
    };
    (body, told)
}

fn all<T>(told: &Receiver<T>) -> Vec<T> {
    told.try_iter().collect()
}

fn runs(schedule: &Schedule) -> u64 {
    schedule.counts().runs
}

#[test]
fn it_runs_once_a_period_the_first_time_after_one_and_not_a_nanosecond_before() {
    let pool = Manual::new(1);
    let (body, told) = tell_time(&pool);
    let schedule = pool.task().every(Every::new(10 * S)).run(body).unwrap();
    step(&pool, 10 * S - NS);
    assert_eq!(all(&told), []);
    step(&pool, NS);
    assert_eq!(all(&told), [10 * S]);
    step(&pool, 10 * S - NS);
    assert_eq!(all(&told), []);
    for _ in 0..3 {
        step(&pool, NS);
        step(&pool, 10 * S - NS);
    }
    assert_eq!(all(&told), [20 * S, 30 * S, 40 * S]);
    assert_eq!(runs(&schedule), 4);
}

#[test]
fn the_first_run_is_when_start_in_says() {
    for (start, first) in [(Duration::ZERO, NS), (3 * S, 3 * S), (25 * S, 25 * S)] {
        let pool = Manual::new(1);
        let (body, told) = tell_time(&pool);
        let rule = Every::new(10 * S).start_in(start);
        let _schedule = pool.task().every(rule).run(body).unwrap();
        step(&pool, first);
        assert_eq!(all(&told).len(), 1);
        step(&pool, start + 10 * S - first);
        assert_eq!(all(&told), [start + 10 * S]);
    }
}

#[test]
fn at_once_means_without_the_clock_being_turned() {
    let pool = Manual::new(1);
    let (body, told) = tell_time(&pool);
    let rule = Every::new(S).start_in(Duration::ZERO);
    let _schedule = pool.task().every(rule).run(body).unwrap();
    assert_eq!(must_recv(&told), Duration::ZERO);
}

#[test]
fn after_an_hour_of_tenths_of_a_second_the_36_000th_run_is_due_at_exactly_3_600_s() {
    let clock = ManualClock::new();
    clock.set_wall(SystemTime::UNIX_EPOCH);
    let pool = ThreadPool::builder()
        .workers(1)
        .clock(&clock)
        .build()
        .unwrap();
    let (tell, told) = mpsc::channel();
    let rule = Every::new(Duration::from_millis(100)).overlap(Overlap::Parallel(1000));
    let body = move || tell.send(()).unwrap();
    let schedule = pool.task().every(rule).run(body).unwrap();
    // Each is late by something that is no divisor of anything.
    let mut late = 1;
    for run in 1..36_000 {
        late = late * 7 % 98_999_999_u64;
        let due = Duration::from_millis(run * 100) + Duration::from_nanos(late);
        let shown = clock
            .clock()
            .wall()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        clock.advance(due - shown);
        must_recv(&told);
    }
    until("the last run is planned", || {
        schedule.next_run() == Some(SystemTime::UNIX_EPOCH + HOUR)
    });
    let shown = clock
        .clock()
        .wall()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    clock.advance(HOUR - shown - NS);
    assert_eq!(runs(&schedule), 35_999);
    clock.advance(NS);
    must_recv(&told);
    assert_eq!((runs(&schedule), schedule.counts().misses), (36_000, 0));
}

#[test]
fn a_fixed_delay_counts_from_the_end_of_the_last_attempt() {
    let pool = Manual::new(1);
    let (hold, held) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    let held = Mutex::new(held);
    let rule = Every::new(10 * S).fixed_delay();
    let task = pool.task().retry(Retry::fixed(1, 5 * S));
    let schedule = task
        .every(rule)
        .run(move || {
            let attempt = current().unwrap().attempt();
            let _ = begin.send(attempt);
            let _ = held.lock().unwrap().recv();
            if attempt == 1 {
                Err("the first attempt")
            } else {
                Ok(())
            }
        })
        .unwrap();
    pool.turn(10 * S);
    assert_eq!(must_recv(&begun), 1);
    pool.turn(100 * S); // it still runs: nothing else is planned
    assert_eq!((schedule.next_run(), runs(&schedule)), (None, 1));
    hold.send(()).unwrap();
    until("the second attempt", || {
        pool.turn(S);
        assert_eq!(schedule.next_run(), None);
        begun.try_recv().is_ok()
    });
    hold.send(()).unwrap();
    pool.wait_idle().unwrap();
    let wall = pool.clock.clock().wall();
    assert_eq!(schedule.next_run(), Some(wall + 10 * S));
    assert_eq!((runs(&schedule), schedule.counts().failures), (1, 0));
    pool.turn(10 * S);
    assert_eq!(runs(&schedule), 2);
    drop(hold);
    // Not a drain: its retry waits for a clock that nobody turns.
    pool.shutdown(Shutdown::cancel()).unwrap();
}

#[test]
fn a_body_says_when_the_next_run_is_due_or_leaves_it_to_the_rule() {
    let pool = Manual::new(1);
    let (body, told) = tell_time(&pool);
    let answers = Mutex::new(vec![Err("no"), Ok(30 * S), Ok(Duration::ZERO), Ok(2 * S)]);
    let body = move || {
        body();
        answers.lock().unwrap().pop().unwrap_or(Ok(HOUR))
    };
    let schedule = pool.task().every(Every::new(10 * S)).run(body).unwrap();
    step(&pool, 10 * S);
    step(&pool, 2 * S); // and one more at once
    until("the third run", || runs(&schedule) == 3);
    pool.wait_idle().unwrap();
    step(&pool, 30 * S);
    step(&pool, 10 * S); // that one failed
    assert_eq!(all(&told), [10, 12, 12, 42, 52].map(Duration::from_secs));
    assert_eq!(schedule.counts().failures, 1);
    assert_eq!(schedule.next_run(), Some(pool.clock.clock().wall() + HOUR));
}

#[test]
fn a_body_ends_the_schedule() {
    let pool = Manual::new(1);
    let rule = || Every::new(S);
    let left = || AtomicU32::new(2);
    let next = |left: &AtomicU32| match left.fetch_sub(1, SeqCst) {
        0 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let (a, b, c) = (left(), left(), left());
    let schedules = [
        pool.task().every(rule()).run(move || next(&a)).unwrap(),
        pool.task()
            .fallible()
            .every(rule())
            .run(move || Ok::<_, &str>(next(&b)))
            .unwrap(),
        pool.task()
            .retry::<&str>(Retry::default())
            .every(rule())
            .run(move || Ok(next(&c)))
            .unwrap(),
    ];
    for _ in 0..5 {
        step(&pool, S);
    }
    for schedule in schedules {
        assert_eq!((runs(&schedule), schedule.is_ended()), (3, true));
        assert_eq!(schedule.next_run(), None);
    }
}

#[test]
fn an_error_is_a_failure_in_every_kind_and_the_pool_counts_it() {
    let pool = Manual::new(1);
    let rule = || Every::new(S).times(2);
    let schedules = [
        pool.task()
            .every(rule())
            .run(|| Err::<(), _>("no"))
            .unwrap(),
        pool.task()
            .fallible()
            .every(rule())
            .run(|| Err::<(), _>("no"))
            .unwrap(),
        pool.task()
            .retry(Retry::fixed(2, Duration::ZERO))
            .every(rule())
            .run(|| Err::<(), _>("no"))
            .unwrap(),
    ];
    step(&pool, S);
    step(&pool, S);
    for schedule in &schedules {
        let counts = schedule.counts();
        assert_eq!((counts.runs, counts.failures, counts.running), (2, 2, 0));
    }
    assert_eq!(pool.shutdown(Shutdown::drain()).unwrap().failed(), 6);
}

#[test]
fn a_run_is_a_task_of_the_template() {
    let pool = Manual::new(1);
    let (tell, told) = mpsc::channel();
    let schedule = pool
        .task()
        .name("backup")
        .retry(Retry::fixed(3, 5 * S))
        .every(Every::new(10 * S).times(1))
        .run(move || {
            let me = current().unwrap();
            tell.send((me.name().map(String::from), me.attempt(), me.id()))
                .unwrap();
            if me.attempt() < 3 {
                Err("not yet")
            } else {
                Ok(())
            }
        })
        .unwrap();
    assert_eq!(schedule.name().as_deref(), Some("backup"));
    pool.turn(10 * S);
    let name = Some("backup".to_owned());
    let (_, _, id) = must_recv(&told);
    for attempt in 2..=3 {
        until("the next attempt", || {
            pool.turn(S);
            told.try_recv()
                .map(|got| assert_eq!(got, (name.clone(), attempt, id)))
                .is_ok()
        });
    }
    pool.wait_idle().unwrap();
    assert_eq!((runs(&schedule), schedule.counts().failures), (1, 0));
}

static WHOSE: ContextVar<&str> = ContextVar::new("nobody's");

#[test]
fn a_run_inherits_from_where_the_schedule_was_made_whoever_begins_it() {
    let pool = Manual::new(1);
    let (tell, told) = mpsc::channel();
    let rule = Every::new(S).overlap(Overlap::Queue);
    let body = move || tell.send(WHOSE.get()).unwrap();
    let schedule = WHOSE.with("the maker's", || pool.task().every(rule).run(body).unwrap());
    step(&pool, S);
    let trigger = || schedule.trigger_now() && schedule.trigger_now();
    WHOSE.with("another's", trigger);
    pool.wait_idle().unwrap();
    assert_eq!(all(&told), ["the maker's"; 3]);
    assert_eq!(WHOSE.get(), "nobody's");
}

#[test]
fn runs_pass_gates_and_have_a_priority() {
    let pool = Manual::new(1);
    let limiter = RateLimiter::token_bucket(1, 100 * S)
        .burst(1)
        .clock(&pool.clock);
    let limiter = limiter.build().unwrap();
    let lanes = Lanes::new();
    let (tell, told) = mpsc::channel();
    let write = |word: &'static str| {
        let tell = tell.clone();
        move || tell.send(word).unwrap()
    };
    let gated = pool.task().gate(&limiter).gate(&lanes.key(1));
    let gated = gated.every(Every::new(10 * S)).run(write("gated")).unwrap();
    let (body, busy) = hang();
    pool.execute(body);
    busy.started();
    let low = pool.task().priority(-1).every(Every::new(10 * S).times(1));
    low.run(write("low")).unwrap();
    let high = pool.task().priority(1).every(Every::new(10 * S).times(1));
    high.run(write("high")).unwrap();
    pool.turn(10 * S);
    drop(busy);
    assert_eq!([(); 3].map(|()| must_recv(&told)), ["high", "gated", "low"]);
    // The second waits at the limiter: it is not over, so the third is left out.
    pool.turn(10 * S);
    pool.turn(10 * S);
    until("the run is at its gate", || pool.queued() == 0);
    let counts = gated.counts();
    assert_eq!((counts.runs, counts.running, counts.skips), (2, 1, 1));
    gated.cancel();
    pool.advance(100 * S);
    assert_eq!(must_recv(&told), "gated");
}

#[test]
fn a_run_over_its_total_time_is_over_though_its_body_hangs() {
    let pool = Manual::new(1);
    let hung = Arc::new(Semaphore::new(1).unwrap());
    let permit = hung.acquire().unwrap();
    let theirs = hung;
    let task = pool.task().deadline(5 * S);
    let body = move || drop(theirs.acquire());
    let schedule = task.every(Every::new(10 * S).times(2)).run(body).unwrap();
    for run in 1..=2 {
        pool.turn(10 * S);
        until("it began", || runs(&schedule) == run);
        pool.turn(5 * S);
        until("it is over", || schedule.counts().running == 0);
        assert_eq!(schedule.counts().failures, run);
    }
    assert!(schedule.is_ended());
    drop(permit);
}

#[test]
fn dropping_the_handle_leaves_it_running() {
    let pool = Manual::new(1);
    let (body, told) = tell_time(&pool);
    drop(pool.task().every(Every::new(S)).run(body).unwrap());
    step(&pool, S);
    step(&pool, S);
    assert_eq!(all(&told), [S, 2 * S]);
}

#[test]
fn times_counts_all_runs_and_none_that_were_left_out() {
    let pool = Manual::new(1);
    let drops = Drops::default();
    let (dropped, (body, hang)) = (drops.one(), hang());
    let body = Mutex::new(body);
    let body = move || {
        dropped.keep();
        body.lock().unwrap()();
    };
    let schedule = pool.task().every(Every::new(S).times(2)).run(body).unwrap();
    assert!(schedule.trigger_now());
    hang.started();
    for _ in 0..5 {
        pool.turn(S);
    }
    assert_eq!((runs(&schedule), schedule.counts().skips), (1, 5));
    assert!(!schedule.is_ended());
    drop(hang);
    pool.wait_idle().unwrap();
    step(&pool, S);
    assert_eq!(
        (runs(&schedule), schedule.is_ended(), drops.count()),
        (2, true, 1)
    );
    assert!(!schedule.trigger_now() && !schedule.cancel());
    step(&pool, 10 * S);
    assert_eq!(runs(&schedule), 2);
}

#[test]
fn a_pause_lets_no_run_begin_and_what_was_due_in_it_is_forgotten() {
    let pool = Manual::new(1);
    let (body, told) = tell_time(&pool);
    let schedule = pool.task().every(Every::new(10 * S)).run(body).unwrap();
    step(&pool, 10 * S);
    schedule.pause();
    schedule.pause();
    assert_eq!((schedule.is_paused(), schedule.next_run()), (true, None));
    step(&pool, 25 * S);
    assert!(schedule.trigger_now());
    pool.wait_idle().unwrap();
    schedule.resume();
    schedule.resume();
    // On the grid: at 40 s.
    let wall = pool.clock.clock().wall();
    assert_eq!(schedule.next_run(), Some(wall + 5 * S));
    step(&pool, 5 * S);
    assert_eq!(all(&told), [10 * S, 35 * S, 40 * S]);
    assert_eq!((schedule.counts().misses, schedule.counts().skips), (0, 0));
}

#[test]
fn a_pause_that_nothing_fell_into_changes_nothing() {
    let pool = Manual::new(1);
    let (body, told) = tell_time(&pool);
    let schedule = pool.task().every(Every::new(10 * S)).run(body).unwrap();
    pool.advance(3 * S);
    schedule.pause();
    pool.advance(3 * S);
    schedule.resume();
    step(&pool, 4 * S);
    assert_eq!(all(&told), [10 * S]);
}

#[test]
fn a_fixed_delay_that_passed_in_a_pause_is_over() {
    let pool = Manual::new(1);
    let (body, told) = tell_time(&pool);
    let rule = Every::new(10 * S).fixed_delay();
    let schedule = pool.task().every(rule).run(body).unwrap();
    schedule.pause();
    step(&pool, 25 * S);
    schedule.resume();
    assert_eq!(must_recv(&told), 25 * S);
}

#[test]
fn last_run_and_next_run_go_by_the_time_of_day() {
    let pool = Manual::new(1);
    let noon = SystemTime::UNIX_EPOCH + 12 * HOUR;
    pool.clock.set_wall(noon);
    let schedule = pool.task().every(Every::new(10 * S)).run(|| ()).unwrap();
    assert_eq!(
        (schedule.last_run(), schedule.next_run()),
        (None, Some(noon + 10 * S))
    );
    pool.advance(4 * S);
    assert_eq!(schedule.next_run(), Some(noon + 10 * S));
    step(&pool, 6 * S);
    assert_eq!(schedule.last_run(), Some(noon + 10 * S));
    assert_eq!(schedule.next_run(), Some(noon + 20 * S));
    // A clock that is set moves the words for a time, not the time.
    pool.clock.set_wall(noon + HOUR);
    assert_eq!(schedule.next_run(), Some(noon + HOUR + 10 * S));
}

#[test]
fn a_panic_is_told_of_and_ends_what_was_asked_to_stop() {
    for (rule, ends) in [(OnPanic::Continue, false), (OnPanic::Stop, true)] {
        let pool = Manual::new(1);
        let every = Every::new(S).on_panic(rule);
        let schedule = pool
            .task()
            .every(every)
            .run(|| -> () { panic!("no") })
            .unwrap();
        step(&pool, S);
        step(&pool, S);
        let counts = schedule.counts();
        let expected = if ends { 1 } else { 2 };
        assert_eq!((counts.runs, counts.failures), (expected, expected));
        assert_eq!((schedule.is_ended(), pool.stats().unread), (ends, expected));
    }
}

#[test]
fn an_error_ends_nothing() {
    let pool = Manual::new(1);
    let every = Every::new(S).on_panic(OnPanic::Stop);
    let schedule = pool.task().every(every).run(|| Err::<(), _>(1)).unwrap();
    step(&pool, S);
    step(&pool, S);
    assert_eq!(runs(&schedule), 2);
}

#[test]
fn cancelling_leaves_a_running_run_alone() {
    let pool = Manual::new(1);
    let drops = Drops::default();
    let (dropped, (body, hang)) = (drops.one(), hang());
    let body = Mutex::new(body);
    let (tell, told) = mpsc::channel();
    let body = move || {
        dropped.keep();
        body.lock().unwrap()();
        tell.send(millhand::is_cancelled()).unwrap();
    };
    let schedule = pool.task().every(Every::new(S)).run(body).unwrap();
    pool.turn(S);
    hang.started();
    assert!(schedule.cancel());
    assert!(!schedule.cancel());
    pool.turn(10 * S);
    assert_eq!(
        (drops.count(), runs(&schedule), schedule.counts().running),
        (0, 1, 1)
    );
    drop(hang);
    assert!(!must_recv(&told), "nobody asked it to stop");
    pool.wait_idle().unwrap();
    assert_eq!((drops.count(), schedule.counts().running), (1, 0));
}

#[test]
fn cancelling_between_two_runs_drops_the_body_here_and_now() {
    struct Tell(mpsc::Sender<thread::ThreadId>);
    impl Drop for Tell {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }
    let pool = Manual::new(1);
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(Tell(tell));
    let body = move || drop(tell.lock());
    let schedule = pool.task().every(Every::new(S)).run(body).unwrap();
    step(&pool, S);
    schedule.cancel();
    assert_eq!(told.try_recv(), Ok(thread::current().id()));
}

#[test]
fn a_body_may_cancel_its_own_schedule_and_trigger_it() {
    let pool = Manual::new(1);
    let place: Arc<Mutex<Option<Schedule>>> = Arc::default();
    let theirs = place.clone();
    let runs_seen = AtomicUsize::new(0);
    let body = move || {
        let schedule = theirs.lock().unwrap().clone().unwrap();
        match runs_seen.fetch_add(1, SeqCst) {
            0 => assert!(schedule.trigger_now()), // one at a time: it waits
            _ => assert!(schedule.cancel()),
        }
    };
    let rule = Every::new(S).overlap(Overlap::Queue);
    let schedule = pool.task().every(rule).run(body).unwrap();
    *place.lock().unwrap() = Some(schedule.clone());
    step(&pool, S);
    assert_eq!((runs(&schedule), schedule.is_ended()), (2, true));
    assert_eq!(schedule.counts().failures, 0);
}

#[test]
fn the_templates_token_ends_both_the_schedule_and_its_run() {
    let pool = Manual::new(1);
    let token = CancelToken::new();
    let drops = Drops::default();
    let dropped = drops.one();
    let (tell, told) = mpsc::channel();
    let body = move || {
        dropped.keep();
        tell.send(()).unwrap();
        loop {
            millhand::checkpoint();
            thread::yield_now();
        }
    };
    let task = pool.task().token(&token);
    let schedule = task.every(Every::new(S)).run::<_, ()>(body).unwrap();
    pool.turn(S);
    must_recv(&told);
    token.cancel();
    assert!(schedule.is_ended());
    pool.wait_idle().unwrap();
    let counts = schedule.counts();
    assert_eq!((counts.runs, counts.running, counts.failures), (1, 0, 0));
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_token_that_was_cancelled_before_leaves_nothing_to_run() {
    let pool = Manual::new(1);
    let token = CancelToken::new();
    token.cancel();
    let drops = Drops::default();
    let dropped = drops.one();
    let task = pool.task().token(&token);
    let schedule = task
        .every(Every::new(S))
        .run(move || dropped.keep())
        .unwrap();
    assert_eq!((schedule.is_ended(), drops.count()), (true, 1));
}

#[test]
fn a_schedule_that_has_ended_leaves_the_token_nothing() {
    let pool = Manual::new(1);
    let token = CancelToken::new();
    let task = pool.task().token(&token);
    let schedule = task.every(Every::new(S)).run(|| ()).unwrap();
    schedule.cancel();
    token.cancel();
    assert!(!schedule.cancel());
}

#[test]
fn a_run_that_could_not_start_in_time_is_a_failure_and_the_next_comes() {
    let pool = Manual::new(1);
    let (body, busy) = hang();
    pool.execute(body);
    busy.started();
    let task = pool.task().expires(3 * S);
    let schedule = task.every(Every::new(10 * S)).run(|| ()).unwrap();
    pool.turn(10 * S);
    pool.turn(3 * S);
    drop(busy);
    until("it has expired", || schedule.counts().failures == 1);
    step(&pool, 7 * S);
    let counts = schedule.counts();
    assert_eq!((counts.runs, counts.failures, counts.skips), (2, 1, 0));
}

#[test]
fn runs_are_neither_held_up_nor_refused_by_a_full_queue() {
    for on_full in [OnFull::Block, OnFull::Reject] {
        let pool = Manual::with(1, |pool| pool.queue_capacity(1).on_full(on_full));
        let (body, busy) = hang();
        pool.execute(body);
        busy.started();
        pool.execute(|| ());
        let rule = Every::new(S).overlap(Overlap::Parallel(3));
        let schedule = pool.task().every(rule).run(|| ()).unwrap();
        for run in 1..=3 {
            pool.advance(S);
            until("it is submitted", || runs(&schedule) == run);
        }
        until("they are queued", || pool.queued() == 4);
        drop(busy);
        pool.wait_idle().unwrap();
        assert_eq!(schedule.counts().failures, 0);
    }
}

#[test]
fn nonsense_is_refused_by_name_and_the_body_comes_back() {
    let pool = Manual::new(1);
    let elsewhere = RateLimiter::token_bucket(1, S).burst(1).build().unwrap();
    let every = || Every::new(10 * S);
    let rules = [
        (Every::new(Duration::ZERO), "every"),
        (every().times(0), "times"),
        (every().overlap(Overlap::Parallel(0)), "overlap"),
        (
            every().missed(millhand::schedule::Missed::CatchUp(0)),
            "missed",
        ),
        (
            every()
                .fixed_delay()
                .missed(millhand::schedule::Missed::CatchUp(1)),
            "missed",
        ),
    ];
    let tasks = [
        (pool.task().delay(S), "delay"),
        (pool.task().delay_until(pool.now()), "delay"),
        (pool.task().expires(Duration::ZERO), "expires"),
        (pool.task().gate(&elsewhere), "gate"),
    ];
    let rules = rules.map(|(rule, option)| (pool.task().every(rule), option));
    let tasks = tasks.map(|(task, option)| (task.every(every()), option));
    for (schedule, option) in rules.into_iter().chain(tasks) {
        let text = String::from("still mine");
        let refused = schedule.run(move || drop(text.clone())).unwrap_err();
        let Rejection::Invalid(mistake) = refused.reason() else {
            panic!("{option}: {refused}");
        };
        assert_eq!(mistake.option(), option);
        assert!(mistake.to_string().contains('`'), "{mistake}");
        refused.into_inner()();
    }
    assert!(pool.task().every(every().jitter(11 * S)).run(|| ()).is_ok());
}

#[test]
fn a_closed_pool_gives_the_body_back() {
    let pool = Manual::new(1);
    pool.shutdown(Shutdown::drain()).unwrap();
    let every = pool.task().every(Every::new(S));
    let refused = every.run(|| Duration::from_secs(7)).unwrap_err();
    assert_eq!(refused.reason(), Rejection::Closed);
    assert_eq!(refused.into_inner()(), 7 * S);
}

#[test]
fn a_task_makes_a_schedule_on_a_pool_of_one() {
    let pool = Manual::new(1);
    let (body, told) = tell_time(&pool);
    let maker = pool.submit(move || {
        let pool = current().unwrap().pool();
        pool.task()
            .every(Every::new(S))
            .run(body)
            .map_err(|refused| refused.reason())
    });
    let schedule = maker.join().unwrap().unwrap();
    step(&pool, S);
    assert_eq!(all(&told), [S]);
    assert_eq!(runs(&schedule), 1);
}

#[test]
fn jitter_puts_a_run_off_and_does_not_add_up() {
    let pool = Manual::new(1);
    let begun = pool.clock.clock().wall();
    let (body, told) = tell_time(&pool);
    let rule = Every::new(10 * S).jitter(4 * S);
    let schedule = pool.task().every(rule).run(body).unwrap();
    let mut delays = Vec::new();
    for run in 1..=50 {
        let planned = run * 10 * S;
        let due = schedule.next_run().unwrap().duration_since(begun).unwrap();
        assert!((planned..=planned + 4 * S).contains(&due), "{due:?}");
        step(
            &pool,
            due - (pool.clock.clock().wall().duration_since(begun).unwrap()),
        );
        assert_eq!(all(&told), [due]);
        delays.push(due - planned);
    }
    delays.sort();
    delays.dedup();
    assert!(delays.len() > 40, "they differ: {delays:?}");
    assert_eq!(schedule.counts().misses, 0);
}

#[test]
fn two_schedules_have_a_jitter_each() {
    let pool = Manual::new(1);
    let rule = Every::new(HOUR).jitter(HOUR);
    let next = || {
        pool.task()
            .every(rule.clone())
            .run(|| ())
            .unwrap()
            .next_run()
    };
    assert_ne!(next(), next());
}

#[test]
fn on_the_system_clock_it_runs_too() {
    let pool = ThreadPool::new(2).unwrap();
    let begun = Instant::now();
    let (tell, told) = mpsc::channel();
    let rule = Every::new(Duration::from_millis(5)).times(3);
    let body = move || tell.send(Instant::now()).unwrap();
    pool.task().every(rule).run(body).unwrap();
    let times: Vec<_> = told.iter().collect();
    assert_eq!(times.len(), 3);
    assert!(times[0] >= begun + Duration::from_millis(5));
}

#[test]
fn a_crowd_pulls_at_one_schedule_and_nothing_is_lost() {
    let pool = ThreadPool::new(2).unwrap();
    let (count, drops) = (Arc::new(AtomicUsize::new(0)), Drops::default());
    let (ran, dropped) = (count.clone(), drops.one());
    let body = move || {
        dropped.keep();
        ran.fetch_add(1, SeqCst);
    };
    let rule = Every::new(Duration::from_micros(50)).overlap(Overlap::Parallel(3));
    let schedule = pool.task().name("crowd").every(rule).run(body).unwrap();
    thread::scope(|s| {
        for n in 0..4 {
            let schedule = &schedule;
            s.spawn(move || {
                for _ in 0..500 {
                    match n {
                        0 => schedule.pause(),
                        1 => schedule.resume(),
                        _ => drop(schedule.trigger_now()),
                    }
                    let counts = schedule.counts();
                    assert!(counts.running <= 3 && counts.running as u64 <= counts.runs);
                }
            });
        }
    });
    schedule.cancel();
    assert!(pool.wait_idle_timeout(LONG).unwrap());
    let counts = schedule.counts();
    assert_eq!(
        (counts.runs, counts.running),
        (count.load(SeqCst) as u64, 0)
    );
    assert_eq!(drops.count(), 1);
}
