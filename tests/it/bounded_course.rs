//! The bound of the queue for tasks that go other ways than straight to a worker: it is exact for them, too.

use crate::priority::until;
use crate::stress::Rng;
use crate::submit::hold;
use crate::support::must_recv;
use millhand::error::Rejection;
use millhand::limit::Permit;
use millhand::testing::ManualClock;
use millhand::{OnFull, Retry, Semaphore, ThreadPool, current};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Barrier, mpsc};
use std::time::Duration;

const PRODUCERS: usize = 8;
const MINUTE: Duration = Duration::from_secs(60);

struct Scene {
    pool: ThreadPool,
    clock: ManualClock,
    gate: Semaphore,
}

impl Scene {
    fn new(workers: usize, capacity: usize, on_full: OnFull) -> Self {
        let clock = ManualClock::new();
        let build = ThreadPool::builder().workers(workers).clock(&clock);
        let build = build.queue_capacity(capacity).on_full(on_full);
        Self {
            pool: build.build().unwrap(),
            clock,
            gate: Semaphore::new(1).unwrap(),
        }
    }

    fn shut(&self) -> Permit {
        self.gate.try_acquire().expect("nobody has it")
    }

    /// Submits in one of the ways, never waiting; says whether it was taken.
    fn try_any(&self, random: &mut Rng, body: impl FnOnce() + Send + 'static) -> bool {
        let priority = [i32::MIN, -1, 1, i32::MAX][random.next() as usize % 4];
        let task = self.pool.task();
        let taken = match random.next() % 7 {
            0 => self.pool.try_execute(body).map_err(|e| e.reason()),
            1 => task.delay(MINUTE).try_execute(body).map_err(|e| e.reason()),
            2 => task
                .gate(&self.gate)
                .try_execute(body)
                .map_err(|e| e.reason()),
            3 => task
                .priority(priority)
                .try_execute(body)
                .map_err(|e| e.reason()),
            4 => {
                let task = task.priority(priority).delay(MINUTE).gate(&self.gate);
                task.expires(MINUTE)
                    .try_execute(body)
                    .map_err(|e| e.reason())
            }
            5 => {
                let task = task.retry(Retry::fixed(1, MINUTE));
                let mut body = Some(body);
                // Its first attempt fails, and nothing of the bound is its any more.
                let twice = move || match current().unwrap().attempt() {
                    1 => Err("once more"),
                    _ => Ok(body.take().map(|body| body())),
                };
                task.try_submit(twice).map(drop).map_err(|e| e.reason())
            }
            _ => task
                .submit_timeout(Duration::ZERO, body)
                .map(drop)
                .map_err(|e| e.reason()),
        };
        assert!(matches!(taken, Ok(()) | Err(Rejection::Full)));
        taken.is_ok()
    }

    /// Until all that was admitted has been done.
    fn finish(&self, permit: Permit) {
        drop(permit);
        // What is retried is due a minute after its first attempt, so once may not be enough.
        until("all is done", || {
            self.clock.advance(MINUTE);
            self.pool.wait_idle_timeout(Duration::ZERO).unwrap()
        });
    }
}

#[test]
fn no_place_too_many_and_none_too_few_whatever_is_submitted() {
    const CAPACITY: usize = 9;
    for on_full in [OnFull::Reject, OnFull::Block] {
        let scene = Scene::new(2, CAPACITY, on_full);
        for round in 0..30 {
            let permit = scene.shut();
            let held = hold(&scene.pool, 2);
            let admitted = AtomicUsize::new(0);
            let barrier = Barrier::new(PRODUCERS);
            std::thread::scope(|s| {
                for producer in 0..PRODUCERS {
                    let (scene, admitted, barrier) = (&scene, &admitted, &barrier);
                    s.spawn(move || {
                        let mut random = Rng(1 + round * 8 + producer as u64);
                        barrier.wait();
                        for _ in 0..10 {
                            admitted.fetch_add(scene.try_any(&mut random, || ()).into(), SeqCst);
                        }
                    });
                }
            });
            assert_eq!(admitted.load(SeqCst), CAPACITY);
            // Who becomes due keeps his place.
            let full = || scene.pool.try_execute(|| ()).is_err();
            scene.clock.advance(MINUTE / 2);
            assert!(full());
            held.release();
            scene.finish(permit);
            assert_eq!(scene.pool.queued(), 0);
        }
    }
}

#[test]
fn each_way_to_wait_keeps_a_place_and_each_way_out_gives_it_back() {
    let scene = Scene::new(1, 1, OnFull::Reject);
    let pool = &scene.pool;
    let is_full = || pool.try_execute(|| ()).is_err();

    // Delayed: through the timer into the queue, until it is claimed.
    let held = hold(pool, 1);
    let delayed = pool.task().delay(MINUTE).try_submit(|| ()).unwrap();
    assert!(is_full());
    scene.clock.advance(MINUTE);
    until("it is due", || pool.queued() == 1);
    assert!(is_full());
    held.release();
    delayed.join().unwrap();
    pool.wait_idle().unwrap();
    assert!(!is_full());
    pool.wait_idle().unwrap();

    // Delayed and cancelled, expired, or out of time.
    let task = pool.task().delay(MINUTE);
    let cancelled = task.try_submit(|| ()).unwrap();
    assert!(is_full());
    cancelled.cancel();
    let permit = scene.shut();
    let expiring = pool.task().gate(&scene.gate).expires(MINUTE);
    let expired = expiring.try_submit(|| ()).unwrap();
    assert!(is_full());
    scene.clock.advance(MINUTE);
    assert!(expired.join().is_err());
    // A worker drops its closure, and then the place is free.
    pool.wait_idle().unwrap();
    let limited = task.deadline(MINUTE / 2).gate(&scene.gate);
    let late = limited.try_submit(|| ()).unwrap();
    scene.clock.advance(MINUTE);
    assert!(is_full());
    scene.clock.advance(MINUTE);
    assert!(late.join().is_err());
    pool.wait_idle().unwrap();

    // In a gate's line, until it is claimed.
    let gated = pool
        .task()
        .priority(3)
        .gate(&scene.gate)
        .try_submit(|| ())
        .unwrap();
    until("it is in line", || scene.gate.waiting() == 1);
    assert!(is_full());
    drop(permit);
    gated.join().unwrap();
    pool.wait_idle().unwrap();
    assert!(!is_full());
}

#[test]
fn a_retry_has_no_place_and_finds_one_never_missing() {
    for (delay, on_full) in [(MINUTE, OnFull::Reject), (Duration::ZERO, OnFull::Block)] {
        let scene = Scene::new(1, 1, on_full);
        let pool = &scene.pool;
        let task = pool.task().retry(Retry::fixed(3, delay));
        let (start, started) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let tried = task.submit(move || {
            start.send(()).unwrap();
            let _ = wait.recv();
            Err::<(), _>("as ever")
        });
        must_recv(&started);
        // It runs, and the place is free; then it is taken, and the retries go on regardless.
        let _permit = scene.shut();
        let other = pool.task().gate(&scene.gate).try_submit(|| ()).unwrap();
        assert!(pool.try_execute(|| ()).is_err());
        drop(go);
        (0..3).for_each(|_| {
            until("the next attempt", || {
                scene.clock.advance(Duration::from_secs(1));
                started.try_recv().is_ok()
            });
        });
        assert_eq!(tried.join().unwrap(), Err("as ever"));
        assert!(pool.try_execute(|| ()).is_err());
        other.cancel();
        pool.try_submit(|| ()).unwrap().join().unwrap();
    }
}

#[test]
fn never_above_while_workers_take_and_producers_press() {
    const WORKERS: usize = 2;
    const CAPACITY: usize = 12;
    const EACH: usize = 20;
    const APART: usize = 3;
    for on_full in [OnFull::Block, OnFull::Reject] {
        let scene = Scene::new(WORKERS, CAPACITY, on_full);
        let admitted = AtomicUsize::new(0);
        // Each body says whether it has left a place by starting, and hands out what lets it go.
        let (start, started) = mpsc::channel::<(bool, mpsc::Sender<()>)>();
        let say = |start: &mpsc::Sender<(bool, mpsc::Sender<()>)>, had_place: bool| {
            let (go, wait) = mpsc::channel();
            if start.send((had_place, go)).is_ok() {
                let _ = wait.recv();
            }
        };
        let mut permit = Some(scene.shut());
        // Some that wait elsewhere, and come in the middle.
        for _ in 0..APART {
            for task in [
                scene.pool.task().delay(MINUTE),
                scene.pool.task().gate(&scene.gate),
            ] {
                let start = start.clone();
                task.try_execute(move || say(&start, true)).unwrap();
                admitted.fetch_add(1, SeqCst);
            }
        }
        let total = 2 * APART + PRODUCERS * EACH;
        std::thread::scope(|s| {
            // Dropped before the threads are joined: what holds the bodies, and who listens to them.
            let started = started;
            let mut goes: Vec<mpsc::Sender<()>> = Vec::new();
            let (scene, admitted) = (&scene, &admitted);
            for producer in 0..PRODUCERS {
                let start = start.clone();
                s.spawn(move || {
                    for n in 0..EACH {
                        let start = start.clone();
                        let kind = (producer + n) % 4;
                        let body = move || {
                            let here = current().unwrap();
                            say(&start, here.attempt() == 1);
                            if kind == 2 {
                                // A worker's own takes no place, and is never held up.
                                let start = start.clone();
                                here.pool().execute(move || say(&start, false));
                            }
                            match here.attempt() {
                                1 if kind == 3 => Err("once more"),
                                _ => Ok(()),
                            }
                        };
                        let pool = &scene.pool;
                        let urgent = pool.task().priority([-1, 1][n % 2]);
                        let retried = pool.task().retry(Retry::fixed(1, Duration::ZERO));
                        match on_full {
                            OnFull::Block => match kind {
                                0 => pool.execute_ok(body),
                                3 => drop(retried.submit(body)),
                                _ => drop(urgent.submit_timeout(Duration::MAX, body).unwrap()),
                            },
                            _ => until("a place", || match kind {
                                0 => pool.try_execute_ok(body.clone()).is_ok(),
                                3 => retried.try_execute_ok(body.clone()).is_ok(),
                                _ => urgent.try_submit(body.clone()).is_ok(),
                            }),
                        }
                        admitted.fetch_add(1, SeqCst);
                    }
                });
            }
            drop(start);
            let mut claimed = 0;
            let mut begun = 0;
            while claimed < total {
                let (had_place, go) = must_recv(&started);
                goes.push(go);
                begun += 1;
                claimed += usize::from(had_place);
                if goes.len() < WORKERS {
                    continue;
                }
                // All workers are in bodies that only we let go, so exactly `claimed` tasks have left their places.
                let room = (claimed + CAPACITY).min(total);
                until("it fills up", || admitted.load(SeqCst) >= room);
                if room == claimed + CAPACITY {
                    assert!(scene.pool.try_execute(|| ()).is_err());
                }
                assert_eq!(admitted.load(SeqCst), room);
                if claimed > total / 2 {
                    // Who waited elsewhere joins in; the places stay taken until they start.
                    scene.clock.advance(MINUTE);
                    drop(permit.take());
                }
                drop(goes.remove(0));
            }
            assert!(begun >= claimed);
        });
        scene.pool.wait_idle().unwrap();
    }
}
