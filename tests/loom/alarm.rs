//! loom models of the alarm of a gate: it is set with the gate locked and filed afterwards, while the
//! timer fires, the first in line leaves and the rate is changed.
//!
//! Checked with LOOM_MAX_PREEMPTIONS=3.
//
// Whatever comes first, in the end the timer has the alarm that the gate has, and no other that would
// still fire: without it the line would stand still, and a second one would file a third.
//
// The gate and its rule are the real ones. The timer and the tasks are doubles. All instants are far
// away, so the alarm fires only where the timer's thread says so, which is too early.

use super::*;
use crate::limit::acquire::{Acquisition, Asker, GateRequest, Turns, acquire_all, withdraw};
use crate::limit::bucket::Bucket;
use loom::thread;
use std::sync::Weak;

const HOUR: Duration = Duration::from_secs(3600);

/// The alarms that were filed.
type Timer = Arc<Mutex<Vec<Weak<dyn ClockWaiter>>>>;

struct Bell;

impl ClockWaiter for Bell {
    fn wake(self: Arc<Self>) {}
}

/// A task in the line.
struct Task(Timer);

impl Waiter for Task {
    fn granted(self: Arc<Self>) {
        unreachable!("no token comes in time");
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn alarm(&self, _: &Arc<GateQueue>) -> Option<Arc<dyn ClockWaiter>> {
        Some(Arc::new(Bell))
    }

    fn set_alarm(&self, _: Option<Instant>, alarm: Option<&Arc<dyn ClockWaiter>>) {
        let alarm = alarm.map(Arc::downgrade);
        self.0.lock().extend(alarm);
    }
}

struct Scene {
    gate: Arc<GateQueue>,
    timer: Timer,
}

impl Scene {
    fn new() -> Arc<Self> {
        let clock = Clock::system();
        let bucket = Bucket::new(clock.now(), 1, HOUR, 1, 0).unwrap();
        Arc::new(Self {
            gate: GateQueue::new(clock, Rule::Bucket(bucket)),
            timer: Arc::new(Mutex::new(Vec::new())),
        })
    }

    fn requests(&self) -> [GateRequest; 1] {
        let gate = self.gate.clone();
        [GateRequest { gate, weight: 1 }]
    }

    /// A task of this pool joins the line.
    fn join(&self, order: u64, owner: usize) {
        let asker = Asker {
            order,
            owner,
            turns: Turns::default(),
        };
        let task = Arc::new(Task(self.timer.clone()));
        let mut park = |_| Some(task.clone() as Arc<dyn Waiter>);
        let now = self.gate.now();
        let acquired = acquire_all(&self.requests(), asker, now, &mut || true, &mut park);
        assert_eq!(acquired, Acquisition::Queued);
    }

    fn leave(&self, order: u64) {
        withdraw(&self.requests(), order);
    }

    /// The timer's thread comes to an entry.
    fn fire(&self) {
        let entry = self.timer.lock().pop();
        if entry.and_then(|bell| bell.upgrade()).is_some() {
            self.gate.alarm_fires();
        }
    }

    fn filed(&self) -> usize {
        let timer = self.timer.lock();
        timer.iter().filter(|bell| bell.strong_count() > 0).count()
    }
}

fn race(prepare: fn(&Scene), actors: &'static [fn(&Scene)]) {
    loom::model(move || {
        let scene = Scene::new();
        prepare(&scene);
        let run = |actor: &fn(&Scene)| {
            let (scene, actor) = (scene.clone(), *actor);
            thread::spawn(move || actor(&scene))
        };
        let threads: Vec<_> = actors[1..].iter().map(run).collect();
        actors[0](&scene);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert_eq!(scene.gate.waiting(), 1);
        assert_eq!(scene.filed(), 1);
    });
}

#[test]
fn a_task_joins_while_the_alarm_fires_and_the_first_leaves() {
    race(
        |scene| scene.join(1, 1),
        &[
            |scene| scene.join(2, 1),
            |scene| scene.fire(),
            |scene| scene.leave(1),
        ],
    );
}

#[test]
fn the_alarm_moves_to_another_pool_while_it_fires() {
    race(
        |scene| {
            scene.join(1, 1);
            scene.join(2, 2);
        },
        &[|scene| scene.leave(1), |scene| scene.fire()],
    );
}

#[test]
fn the_rate_is_changed_while_the_alarm_fires_and_the_first_leaves() {
    race(
        |scene| {
            scene.join(1, 1);
            scene.join(2, 2);
        },
        &[
            |scene| assert!(scene.gate.set_rate(2, HOUR)),
            |scene| scene.fire(),
            |scene| scene.leave(1),
        ],
    );
}
