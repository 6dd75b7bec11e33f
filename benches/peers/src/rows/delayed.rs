//! Delayed tasks: many pending, then all due at once.

use super::{Against, Aim, Ran, Row, Unit, cores, nanos_each, use_up, warm_up, words};
use crate::contenders::{MILLHAND, SCHEDULED};
use crate::proc;
use scheduled_thread_pool::ScheduledThreadPool;
use std::thread;
use std::time::{Duration, Instant};

const TASKS: u64 = 100_000;

/// How long after the first call all tasks are due. All of them must have been pushed by then,
/// also where a push takes 5 µs.
const AHEAD: Duration = Duration::from_millis(600);

/// The tasks are due within this time, in random order: a heap has something to do, and no thread
/// waits for the clock.
const SPREAD_MICROS: u64 = 100;

pub const DELAYED: Row = Row {
    key: "delayed",
    title: "100,000 delayed tasks: push them, fire them when due",
    unit: Unit::NanosPerTask,
    contenders: &[MILLHAND, SCHEDULED],
    yardsticks: &[],
    aims: &[Aim {
        against: Against::BestPeer,
        bound: 0.5,
    }],
    measure: |contender| nanos_each(measure(contender).elapsed, TASKS),
};

/// Includes the work between the pushes and the firing, which the other row leaves out.
pub const DELAYED_CPU: Row = Row {
    key: "delayed-cpu",
    title: "100,000 delayed tasks: processor time of all threads",
    measure: |contender| nanos_each(measure(contender).processor, TASKS),
    ..DELAYED
};

struct Taken {
    elapsed: Duration,
    processor: Duration,
}

/// A contender that can delay a task.
trait Timed {
    fn after(&self, delay: Duration, task: impl FnOnce() + Send + 'static);
}

impl Timed for millhand::ThreadPool {
    fn after(&self, delay: Duration, task: impl FnOnce() + Send + 'static) {
        self.task().delay(delay).execute(task);
    }
}

impl Timed for ScheduledThreadPool {
    fn after(&self, delay: Duration, task: impl FnOnce() + Send + 'static) {
        self.execute_after(delay, task);
    }
}

fn measure(contender: &str) -> Taken {
    match contender {
        MILLHAND => both(&millhand::ThreadPool::new(cores()).unwrap()),
        SCHEDULED => both(&ScheduledThreadPool::new(cores())),
        other => panic!("no delayed tasks by {other:?}"),
    }
}

fn both(pool: &impl Timed) -> Taken {
    warm_up(|| push_and_fire(pool, TASKS, AHEAD));
    push_and_fire(pool, TASKS, AHEAD)
}

fn push_and_fire(pool: &impl Timed, tasks: u64, ahead: Duration) -> Taken {
    let words = words();
    let ran = Ran::total();
    let processor = proc::processor_time();
    let start = Instant::now();
    let due = start + ahead;
    for n in 0..tasks {
        let spread = Duration::from_micros(n.wrapping_mul(7_919) % SPREAD_MICROS);
        let delay = due.saturating_duration_since(Instant::now()) + spread;
        pool.after(delay, move || {
            use_up(words);
            Ran::one();
        });
    }
    let pushed = start.elapsed();
    assert!(
        pushed < ahead,
        "the first were due before the last was pushed: {pushed:?}"
    );
    assert_eq!(Ran::total(), ran, "none runs early");
    thread::sleep(due.saturating_duration_since(Instant::now()));
    Ran::wait_for(ran + tasks);
    Taken {
        elapsed: pushed + due.elapsed(),
        processor: proc::processor_time() - processor,
    }
}
