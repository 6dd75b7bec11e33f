//! Every kind of gate, and every way for a task to end while it holds one or waits at one: afterwards nothing is out,
//! nobody is in the line, and the next one passes.

use crate::gate_kit::{AnyGate, Busy, Closed, HOUR, KINDS, Kind, SECOND, pool_on, until};
use crate::stress::{EXPECTED, silence};
use crate::support::must_recv;
use millhand::error::WaitedFor;
use millhand::task::TaskState;
use millhand::testing::ManualClock;
use millhand::{CancelToken, Retry, Shutdown, TaskError, TaskHandle, ThreadPool};
use std::sync::mpsc;
use std::time::Duration;

/// A gate that two pools share: in `pool` things happen to a task, `other` goes on.
struct Scene {
    clock: ManualClock,
    gate: AnyGate,
    pool: ThreadPool,
    other: ThreadPool,
}

impl Scene {
    fn new(kind: Kind) -> Self {
        let clock = ManualClock::new();
        Self {
            gate: kind.build(&clock),
            pool: pool_on(&clock, 1),
            other: pool_on(&clock, 2),
            clock,
        }
    }

    fn task(&self) -> millhand::TaskBuilder {
        self.gate.before(self.pool.task())
    }

    fn close(&self) -> Closed {
        self.gate.close(&self.other, &self.clock)
    }

    /// So many are to be in the line.
    fn await_line(&self, n: usize) {
        until("the line", || self.gate.waiting() == n);
    }

    /// The next one passes, in either pool that is open still, and then all is as at the start.
    fn assert_free(self, what: impl std::fmt::Display) {
        let Self {
            clock,
            gate,
            pool,
            other,
        } = self;
        until(&format!("an empty line: {what}"), || gate.waiting() == 0);
        clock.advance(2 * SECOND);
        until(&format!("nothing is out: {what}"), || gate.available() == 1);
        for (n, pool) in [&other, &pool].into_iter().enumerate() {
            if pool.is_closed() {
                continue;
            }
            let next = gate.before(pool.task()).submit(move || n);
            assert_eq!(next.join().unwrap(), n, "{what}");
            clock.advance(SECOND);
        }
        other.shutdown(Shutdown::drain()).unwrap();
        pool.shutdown(Shutdown::drain()).unwrap();
        assert_eq!((gate.waiting(), gate.available()), (0, 1), "{what}");
    }
}

fn is_cancelled<T: 'static>(handle: TaskHandle<T>) -> bool {
    matches!(handle.join(), Err(TaskError::Cancelled(_)))
}

/// A body that says that it has begun, and looks whether it is to stop until then.
fn watchful() -> (impl FnOnce() + Send + 'static, mpsc::Receiver<()>) {
    let (tell, told) = mpsc::channel();
    let body = move || {
        tell.send(()).unwrap();
        while millhand::sleep(HOUR).is_ok() {}
        millhand::checkpoint();
    };
    (body, told)
}

type Step = (&'static str, fn(&mut Scene));

const WHILE_HOLDING: [Step; 14] = [
    ("success", |scene| {
        scene.task().submit(|| ()).join().unwrap();
    }),
    ("error", |scene| {
        let task = scene.task().fallible().submit(|| Err::<(), _>("no"));
        task.join_ok().unwrap_err();
    }),
    ("panic", |scene| {
        let task = scene.task().submit(|| panic!("{EXPECTED}"));
        assert!(matches!(task.join(), Err::<(), _>(TaskError::Panicked(_))));
    }),
    ("cancel", |scene| {
        let (body, told) = watchful();
        let task = scene.task().submit(body);
        must_recv(&told);
        task.cancel();
        assert!(is_cancelled(task));
    }),
    ("cancel by a token", |scene| {
        let (body, told) = watchful();
        let token = CancelToken::new();
        let task = scene.task().token(&token).submit(body);
        must_recv(&told);
        token.cancel();
        assert!(is_cancelled(task));
    }),
    ("the attempt's time-out", |scene| {
        let (body, told) = watchful();
        let task = scene.task().attempt_timeout(SECOND).submit(body);
        must_recv(&told);
        scene.clock.advance(SECOND);
        assert!(matches!(task.join(), Err(TaskError::TimedOut)));
    }),
    ("the total time-out", |scene| {
        let (body, told) = watchful();
        let task = scene.task().total_timeout(SECOND).submit(body);
        must_recv(&told);
        scene.clock.advance(SECOND);
        assert!(matches!(task.join(), Err(TaskError::TimedOut)));
    }),
    ("the deadline", |scene| {
        let (body, told) = watchful();
        let task = scene.task().deadline(SECOND).submit(body);
        must_recv(&told);
        scene.clock.advance(SECOND);
        assert!(matches!(task.join(), Err(TaskError::TimedOut)));
    }),
    ("a deaf body past its deadline", |scene| {
        let (tell, told) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let task = scene.task().deadline(SECOND).submit(move || {
            tell.send(()).unwrap();
            let _ = wait.recv();
        });
        must_recv(&told);
        scene.clock.advance(SECOND);
        assert!(matches!(task.join(), Err(TaskError::TimedOut)));
        drop(go);
    }),
    ("retries", |scene| {
        let task = scene.task().retry(Retry::fixed(2, Duration::ZERO));
        let task = task.submit(|| match millhand::attempt() {
            1 => Err("no"),
            2 => Err("no again"),
            _ => Ok(()),
        });
        until("three attempts", || {
            if scene.gate.waiting() == 1 && scene.gate.is_timed() {
                scene.clock.advance(SECOND);
            }
            task.is_finished()
        });
        assert_eq!(task.join().unwrap(), Ok(()));
    }),
    ("a retried panic, then another", |scene| {
        let task = scene
            .task()
            .retry(Retry::fixed(1, SECOND))
            .retry_panics(true);
        let task = task.submit(|| -> Result<(), &str> { panic!("{EXPECTED}") });
        until("it waits", || is_retrying(&task));
        scene.clock.advance(SECOND);
        assert!(matches!(task.join(), Err(TaskError::Panicked(_))));
    }),
    ("cancel between two attempts", |scene| {
        let task = scene.task().retry(Retry::fixed(1, HOUR));
        let task = task.submit(|| Err::<(), _>("no"));
        until("it waits", || is_retrying(&task));
        task.cancel();
        assert!(is_cancelled(task));
    }),
    ("a shutdown that drains", |scene| {
        let (tell, told) = mpsc::channel();
        scene.task().execute(move || tell.send(()).unwrap());
        must_recv(&told);
        assert!(scene.pool.shutdown(Shutdown::drain()).unwrap().is_clean());
    }),
    ("a shutdown that cancels", |scene| {
        let (body, told) = watchful();
        let task = scene.task().submit(body);
        must_recv(&told);
        scene.pool.shutdown(Shutdown::cancel()).unwrap();
        assert!(is_cancelled(task));
    }),
];

fn is_retrying<T>(handle: &TaskHandle<T>) -> bool {
    matches!(handle.state(), TaskState::Retrying { .. })
}

#[test]
fn nothing_stays_out_whatever_ends_the_one_who_holds_it() {
    silence();
    for kind in KINDS {
        for (name, step) in WHILE_HOLDING {
            let mut scene = Scene::new(kind);
            step(&mut scene);
            scene.assert_free(format_args!("{kind:?} after {name}"));
        }
    }
}

#[test]
fn who_waits_behind_passes_whatever_ends_the_one_who_holds_it() {
    silence();
    let ends = [
        "cancel",
        "panic",
        "the attempt's time-out",
        "the total time-out",
    ];
    for kind in [Kind::Semaphore, Kind::Lane] {
        for name in ends {
            let scene = Scene::new(kind);
            let (tell, told) = mpsc::channel();
            let (go, wait) = mpsc::channel::<()>();
            let panics = name == "panic";
            let body = move || {
                tell.send(()).unwrap();
                if panics {
                    let _ = wait.recv();
                    panic!("{EXPECTED}");
                }
                while !millhand::is_cancelled() {
                    std::thread::yield_now();
                }
                millhand::checkpoint();
            };
            let task = match name {
                "the attempt's time-out" => scene.task().attempt_timeout(SECOND),
                "the total time-out" => scene.task().deadline(SECOND),
                _ => scene.task(),
            };
            let holder = task.submit(body);
            must_recv(&told);
            let behind: Vec<_> = (0..5)
                .map(|n| scene.gate.before(scene.other.task()).submit(move || n))
                .collect();
            scene.await_line(5);
            match name {
                "cancel" => drop(holder.cancel_on_drop()),
                "panic" => drop(go),
                _ => scene.clock.advance(SECOND),
            }
            for (n, behind) in behind.into_iter().enumerate() {
                assert_eq!(behind.join().unwrap(), n, "{kind:?} after {name}");
            }
            scene.assert_free(format_args!("{kind:?} after {name}"));
        }
    }
}

/// What happens to a task in the line of a gate that is closed.
type Wait = (&'static str, fn(&mut Scene, Closed));

fn opened(scene: &Scene, closed: Closed) {
    closed.open();
    scene.await_line(0);
}

const WHILE_WAITING: [Wait; 11] = [
    ("its turn", |scene, closed| {
        let task = scene.task().submit(|| 7);
        scene.await_line(1);
        opened(scene, closed);
        assert_eq!(task.join().unwrap(), 7);
    }),
    ("cancel", |scene, closed| {
        let task = scene.task().submit(|| ());
        scene.await_line(1);
        task.cancel();
        assert_eq!(scene.gate.waiting(), 0, "it is out at once");
        assert!(is_cancelled(task));
        opened(scene, closed);
    }),
    ("cancel by a token", |scene, closed| {
        let token = CancelToken::new();
        let task = scene.task().token(&token).submit(|| ());
        scene.await_line(1);
        token.cancel();
        assert_eq!(scene.gate.waiting(), 0, "it is out at once");
        assert!(is_cancelled(task));
        opened(scene, closed);
    }),
    ("a dropped handle", |scene, closed| {
        let task = scene.task().submit(|| ()).cancel_on_drop();
        scene.await_line(1);
        drop(task);
        assert_eq!(scene.gate.waiting(), 0, "it is out at once");
        opened(scene, closed);
    }),
    ("a cancel when it was called already", |scene, closed| {
        let task = scene.task().submit(|| ());
        scene.await_line(1);
        let busy = Busy::start(&scene.pool.task());
        closed.open();
        until("it is called", || task.state() == TaskState::Queued);
        assert_eq!(scene.gate.waiting(), 1);
        task.cancel();
        assert_eq!(scene.gate.waiting(), 0, "it is out at once");
        assert!(is_cancelled(task));
        busy.end();
    }),
    ("expires", |scene, closed| {
        let task = scene.task().expires(SECOND / 2).submit(|| ());
        scene.await_line(1);
        scene.clock.advance(SECOND / 2);
        assert!(matches!(
            task.join(),
            Err(TaskError::Expired(WaitedFor::Gate))
        ));
        scene.await_line(0);
        opened(scene, closed);
    }),
    ("the deadline", |scene, closed| {
        let task = scene.task().deadline(SECOND / 2).submit(|| ());
        scene.await_line(1);
        scene.clock.advance(SECOND / 2);
        assert!(matches!(
            task.join(),
            Err(TaskError::Expired(WaitedFor::Gate))
        ));
        scene.await_line(0);
        opened(scene, closed);
    }),
    (
        "its second attempt waits and is cancelled",
        |scene, closed| {
            closed.open();
            let delay = if scene.gate.is_timed() {
                SECOND / 2
            } else {
                SECOND
            };
            let task = scene.task().retry(Retry::fixed(1, delay));
            let task = task.submit(|| Err::<(), _>("no"));
            until("it waits for that", || is_retrying(&task));
            if matches!(scene.gate, AnyGate::Lane(_)) {
                // Its key is its own to the end: it never waits again.
                scene.clock.advance(delay);
                assert_eq!(task.join().unwrap(), Err("no"));
                return;
            }
            let closed = match scene.gate.is_timed() {
                true => Closed::For(scene.clock.clone()),
                false => scene.close(),
            };
            scene.clock.advance(delay);
            scene.await_line(1);
            assert_eq!(task.state(), TaskState::Gated);
            task.cancel();
            assert_eq!(scene.gate.waiting(), 0, "it is out at once");
            assert!(is_cancelled(task));
            opened(scene, closed);
        },
    ),
    ("a shutdown that drains", |scene, closed| {
        let task = scene.task().submit(|| 7);
        scene.await_line(1);
        std::thread::scope(|s| {
            let drains = s.spawn(|| scene.pool.shutdown(Shutdown::drain()).unwrap());
            until("it closes", || scene.pool.is_closed());
            closed.open();
            assert!(drains.join().unwrap().is_clean());
        });
        assert_eq!(task.join().unwrap(), 7);
    }),
    ("a shutdown that cancels", |scene, closed| {
        let tasks: Vec<_> = (0..3).map(|_| scene.task().submit(|| ())).collect();
        scene.await_line(3);
        let report = scene.pool.shutdown(Shutdown::cancel()).unwrap();
        assert_eq!(report.cancelled_by_shutdown(), 3);
        assert_eq!(scene.gate.waiting(), 0, "they are out");
        tasks
            .into_iter()
            .for_each(|task| assert!(is_cancelled(task)));
        opened(scene, closed);
    }),
    ("the pool is dropped", |scene, closed| {
        let task = scene.task().submit(|| 7);
        scene.await_line(1);
        let pool = std::mem::replace(&mut scene.pool, pool_on(&scene.clock, 1));
        let weak = pool.handle();
        let dropped = std::thread::spawn(move || drop(pool));
        until("it closes", || weak.is_closed());
        closed.open();
        dropped.join().unwrap();
        assert_eq!(task.join().unwrap(), 7);
    }),
];

#[test]
fn whatever_ends_one_who_waits_leaves_no_trace() {
    for kind in KINDS {
        for (name, step) in WHILE_WAITING {
            let mut scene = Scene::new(kind);
            let closed = scene.close();
            step(&mut scene, closed);
            scene.assert_free(format_args!("{kind:?} after {name}"));
        }
    }
}
