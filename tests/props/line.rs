//! The alarm of a gate: one at a time whatever happens, and never none where one is due.

use super::*;
use crate::clock::ManualClock;
use crate::limit::acquire::{Acquisition, Asker, GateRequest, Turns, acquire_all, withdraw};
use crate::limit::bucket::Bucket;
use crate::limit::window::Window;
use proptest::prelude::*;
use std::sync::{Mutex, Weak};

const SECOND: Duration = Duration::from_secs(1);

type Entry = (Option<Instant>, Weak<dyn ClockWaiter>);

/// A timer that only notes what is filed.
#[derive(Default)]
struct Timer {
    filed: Mutex<Vec<Entry>>,
    count: Mutex<usize>,
}

impl Timer {
    /// When those fire that were not dropped.
    fn live(&self) -> Vec<Option<Instant>> {
        let mut filed = self.filed.lock().unwrap();
        filed.retain(|(_, bell)| bell.strong_count() > 0);
        filed.iter().map(|(at, _)| *at).collect()
    }

    /// Takes an alarm that is due.
    fn take_due(&self, now: Instant) -> bool {
        let mut filed = self.filed.lock().unwrap();
        filed.retain(|(_, bell)| bell.strong_count() > 0);
        let due = filed
            .iter()
            .position(|(at, _)| at.is_some_and(|at| at <= now));
        due.map(|at| filed.swap_remove(at)).is_some()
    }

    fn count(&self) -> usize {
        *self.count.lock().unwrap()
    }
}

struct Bell;

impl ClockWaiter for Bell {
    fn wake(self: Arc<Self>) {}
}

/// A task of a pool that is always busy, or never.
struct Task {
    timer: Arc<Timer>,
    is_ready: bool,
}

impl Waiter for Task {
    fn granted(self: Arc<Self>) {}

    fn is_ready(&self) -> bool {
        self.is_ready
    }

    fn alarm(&self, _: &Arc<GateQueue>) -> Option<Arc<dyn ClockWaiter>> {
        Some(Arc::new(Bell))
    }

    fn set_alarm(&self, at: Option<Instant>, alarm: Option<&Arc<dyn ClockWaiter>>) {
        *self.timer.count.lock().unwrap() += 1;
        let mut filed = self.timer.filed.lock().unwrap();
        filed.push((at, Arc::downgrade(alarm.unwrap())));
    }
}

/// A gate, and what waits there: tasks of two pools, of which the second is always busy.
struct Scene {
    clock: ManualClock,
    gate: Arc<GateQueue>,
    timer: Arc<Timer>,
    orders: u64,
    /// In the order of their arrival.
    tasks: Vec<(Asker, u32)>,
    fired: usize,
}

impl Scene {
    fn new(rule: impl FnOnce(Instant) -> Rule) -> Self {
        let clock = ManualClock::new();
        let now = clock.clock().now();
        Self {
            gate: GateQueue::new(clock.clock(), rule(now)),
            clock,
            timer: Arc::default(),
            orders: 0,
            tasks: Vec::new(),
            fired: 0,
        }
    }

    /// A bucket that is empty.
    fn bucket(rate: u32, per: Duration, burst: u32) -> Self {
        Self::new(|now| Rule::Bucket(Bucket::new(now, rate, per, burst, 0).unwrap()))
    }

    fn request(&self, weight: u32) -> GateRequest {
        let gate = self.gate.clone();
        GateRequest { gate, weight }
    }

    /// A task asks. Returns whether it has passed.
    fn ask(&self, asker: Asker, weight: u32) -> (bool, Turns) {
        let mut turns = asker.turns;
        let waiter = Task {
            timer: self.timer.clone(),
            is_ready: asker.owner == 1,
        };
        let waiter: Arc<dyn Waiter> = Arc::new(waiter);
        let mut park = |had| {
            turns = had;
            Some(waiter.clone())
        };
        let requests = [self.request(weight)];
        let now = self.gate.now();
        let acquired = acquire_all(&requests, asker, now, &mut || true, &mut park);
        (acquired == Acquisition::Taken, turns)
    }

    fn arrive(&mut self, owner: usize, weight: u32) {
        self.orders += 1;
        let asker = Asker {
            order: self.orders,
            owner,
            turns: Turns::default(),
        };
        let (has_passed, turns) = self.ask(asker, weight);
        if !has_passed {
            self.tasks.push((Asker { turns, ..asker }, weight));
        }
    }

    fn leave(&mut self, at: usize) {
        let (asker, weight) = self.tasks.remove(at);
        withdraw(&[self.request(weight)], asker.order);
    }

    /// A worker comes to a task, if it is the turn of the task.
    fn come(&mut self, at: usize) {
        let (asker, weight) = self.tasks[at];
        if self.gate.lock().is_granted(asker.order) {
            let (has_passed, turns) = self.ask(asker, weight);
            self.tasks[at].0.turns = turns;
            if has_passed {
                self.tasks.remove(at);
            }
        }
    }

    /// Time passes, and what is due fires.
    fn advance(&mut self, time: Duration) {
        self.clock.advance(time);
        let now = self.gate.now();
        while self.timer.take_due(now) {
            self.fired += 1;
            self.gate.alarm_fires();
        }
    }

    /// When the first in line could pass, if the rule names an instant.
    fn due(&self) -> Option<Instant> {
        let state = self.gate.lock();
        let (order, at) = state.head(|line| line.offered == 0)?;
        let line = &state.lines[at];
        let weight = line.entries[order].weight;
        let wanted = state.reserved_before(order, line.owner) + u64::from(weight);
        match state.ask(self.gate.now(), order, wanted) {
            Some(Refusal::Until(instant)) => Some(instant),
            Some(Refusal::Later) => None,
            None => panic!("{order} could pass, and is not granted"),
        }
    }

    fn check(&self) {
        let live = self.timer.live();
        assert!(live.len() <= 1, "{live:?}");
        if let Some(due) = self.due() {
            let at = live.first().copied().flatten();
            assert!(at.is_some_and(|at| at <= due), "{live:?} for {due:?}");
        }
    }
}

#[test]
fn cancels_and_changes_of_the_rate_file_no_further_alarm() {
    let mut scene = Scene::bucket(20, SECOND, 5);
    (0..2_000).for_each(|n| scene.arrive(1 + n % 2, 1 + n as u32 % 5));
    let mut filed = scene.timer.count();
    for n in 0..20_000 {
        scene.leave(0);
        scene.arrive(1 + n % 2, 1 + n as u32 % 5);
        assert_eq!(scene.timer.live().len(), 1);
    }
    // Each pool keeps the alarm of its own first task, and a lighter one has an earlier one.
    assert!(scene.timer.count() - filed <= 40_000);
    filed = scene.timer.count();
    for n in 0..20_000 {
        assert!(scene.gate.set_rate(20 + n % 3, SECOND));
        assert_eq!(scene.timer.live().len(), 1);
    }
    assert!(scene.timer.count() - filed <= 2);
    // At rest each token fires once, or twice where a change has left it too early.
    scene.fired = 0;
    scene.advance(SECOND);
    assert!(scene.fired <= 2, "{} fires", scene.fired);
    for _ in 0..40 {
        scene.advance(SECOND / 40);
        (0..scene.tasks.len().min(9))
            .rev()
            .for_each(|at| scene.come(at));
    }
    assert!(scene.fired <= 100, "{} fires for 20 tokens", scene.fired);
}

#[derive(Clone, Debug)]
enum Step {
    Arrive(usize, u32),
    Leave(usize),
    Come(usize),
    SetRate(u32),
    Advance(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..3_usize, 1..4_u32).prop_map(|(owner, weight)| Step::Arrive(owner, weight)),
        2 => (0..20_usize).prop_map(Step::Leave),
        3 => (0..20_usize).prop_map(Step::Come),
        1 => (1..50_u32).prop_map(Step::SetRate),
        3 => (0..200_u64).prop_map(Step::Advance),
    ]
}

proptest! {
    #[test]
    fn there_is_one_alarm_where_one_is_due(
        is_window in any::<bool>(),
        steps in proptest::collection::vec(any_step(), 0..120),
    ) {
        let mut scene = match is_window {
            false => Scene::bucket(10, SECOND, 3),
            true => Scene::new(|_| Rule::Window(Window::new(&[(3, SECOND / 4)]).unwrap())),
        };
        for step in steps {
            let len = scene.tasks.len();
            match step {
                Step::Arrive(owner, weight) => scene.arrive(owner, weight),
                Step::Leave(at) if at < len => scene.leave(at),
                Step::Come(at) if at < len => scene.come(at),
                Step::SetRate(rate) => drop(scene.gate.set_rate(rate, SECOND)),
                Step::Advance(millis) => scene.advance(Duration::from_millis(millis)),
                _ => {}
            }
            scene.check();
        }
        // Nothing is left behind.
        while !scene.tasks.is_empty() {
            scene.leave(0);
            scene.check();
        }
        let state = scene.gate.lock();
        prop_assert!(state.is_empty() && state.reserved == 0);
    }
}
