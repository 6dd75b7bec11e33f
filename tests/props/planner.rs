//! The planner keeps the promises of its rules, for any events in any order. Times are
//! milliseconds.

use super::*;
use proptest::option;
use proptest::prelude::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[derive(Clone, Debug)]
enum Step {
    /// This much time passes before the timer wakes the planner.
    Pass(u64),
    /// The timer wakes the planner at the time that is due.
    ToDue,
    Finish(Ending),
    Trigger,
    Pause,
    Resume,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Well,
    Failed,
    Panicked,
    Cancelled,
    After(u64),
    Last,
}

fn any_step() -> impl Strategy<Value = Step> {
    let ending = prop_oneof![
        6 => Just(Ending::Well),
        1 => Just(Ending::Failed),
        1 => Just(Ending::Panicked),
        1 => Just(Ending::Cancelled),
        1 => (0..30_u64).prop_map(Ending::After),
    ];
    prop_oneof![
        4 => (0..60_u64).prop_map(Step::Pass),
        4 => Just(Step::ToDue),
        6 => ending.prop_map(Step::Finish),
        1 => Just(Step::Trigger),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
    ]
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let overlap = prop_oneof![
        Just(Overlap::Skip),
        Just(Overlap::Queue),
        (1..4_usize).prop_map(Overlap::Parallel),
    ];
    let missed = prop_oneof![Just(Missed::Skip), (1..5_usize).prop_map(Missed::CatchUp),];
    let panic = prop_oneof![Just(OnPanic::Continue), Just(OnPanic::Stop)];
    (overlap, missed, panic, option::of(1..20_u64)).prop_map(
        |(overlap, missed, on_panic, times)| Rules {
            jitter: Duration::ZERO,
            times,
            overlap,
            missed,
            on_panic,
        },
    )
}

/// A planner, and what is known of it from outside.
struct Driven {
    planner: Planner,
    now: Duration,
    started: u64,
    ended: u64,
}

impl Driven {
    fn new(period: u64, rules: Rules, fixed_delay: bool, first: u64) -> Self {
        let recurrence = Recurrence::Period(ms(period));
        Self {
            planner: Planner::new(
                recurrence,
                rules,
                fixed_delay,
                Some(ms(first)),
                Duration::ZERO,
                7,
            ),
            now: Duration::ZERO,
            started: 0,
            ended: 0,
        }
    }

    fn wake(&mut self) -> usize {
        let started = self.planner.wake(self.now);
        self.started += started as u64;
        started
    }

    fn finish(&mut self, how: Ending) {
        if self.started == self.ended {
            return;
        }
        self.ended += 1;
        let end = match how {
            Ending::Well => RunEnd::Returned(Verdict::Continue),
            Ending::Failed => RunEnd::Failed,
            Ending::Panicked => RunEnd::Panicked,
            Ending::Cancelled => RunEnd::Cancelled,
            Ending::After(delay) => RunEnd::Returned(Verdict::After(ms(delay))),
            Ending::Last => RunEnd::Returned(Verdict::End),
        };
        self.started += self.planner.finished(self.now, end) as u64;
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Pass(time) => {
                self.now += ms(*time);
                self.wake();
            }
            Step::ToDue => {
                if let Some(due) = self.planner.due() {
                    self.now = self.now.max(due);
                    self.wake();
                }
            }
            Step::Finish(how) => self.finish(*how),
            Step::Trigger => self.started += self.planner.trigger().1 as u64,
            Step::Pause => self.planner.pause(),
            Step::Resume => {
                self.started += self.planner.resume(self.now) as u64;
                self.wake();
            }
        }
    }
}

proptest! {
    #[test]
    fn promises_hold_in_any_order_of_events(
        period in 1..20_u64,
        first in 0..20_u64,
        rules in any_rules(),
        fixed_delay in any::<bool>(),
        steps in proptest::collection::vec(any_step(), 0..80),
    ) {
        let mut driven = Driven::new(period, rules.clone(), fixed_delay, first);
        let mut failed = 0;
        for step in steps {
            let running = driven.started - driven.ended;
            if let Step::Finish(Ending::Failed | Ending::Panicked) = step {
                failed += u64::from(running > 0);
            }
            driven.step(&step);
            let counts = driven.planner.counts();
            prop_assert_eq!(counts.runs, driven.started);
            prop_assert_eq!(counts.running as u64, driven.started - driven.ended);
            prop_assert!(counts.running <= rules.width());
            prop_assert_eq!(counts.failures, failed);
            prop_assert!(rules.times.is_none_or(|times| counts.runs <= times));
            prop_assert!(rules.times != Some(counts.runs) || driven.planner.is_ended());
            let idle = driven.planner.is_paused() || driven.planner.is_ended() || fixed_delay && counts.running > 0;
            prop_assert_eq!(driven.planner.due().is_none(), idle);
            if let Some(due) = driven.planner.due() {
                // A delay of zero, or a first run at once, is due now until the timer wakes the
                // planner.
                prop_assert!(due >= driven.now || fixed_delay || driven.started == 0);
                if !fixed_delay {
                    let since = due.as_millis() as u64 - first;
                    prop_assert_eq!(since % period, 0, "off the grid: {:?}", due);
                }
            }
        }
    }

    /// Each time that has passed is counted once: it was run, was left out, or waits.
    #[test]
    fn nothing_is_lost_and_nothing_comes_twice(
        period in 1..20_u64,
        rules in any_rules(),
        steps in proptest::collection::vec(any_step(), 0..80),
    ) {
        let rules = Rules { times: None, on_panic: OnPanic::Continue, ..rules };
        let mut driven = Driven::new(period, rules, false, period);
        for step in steps {
            if matches!(step, Step::Pass(_) | Step::ToDue | Step::Finish(_)) {
                driven.step(&step);
                driven.wake();
                let planner = &driven.planner;
                let counts = planner.counts();
                let waiting = planner.backlog as u64 + u64::from(planner.queued);
                let times = (driven.now.as_nanos() / ms(period).as_nanos()) as u64;
                prop_assert_eq!(counts.runs + counts.skips + counts.misses + waiting, times);
            }
        }
    }

    #[test]
    fn jitter_puts_off_and_never_beyond_the_next(
        period in 1..20_u64,
        jitter in 0..20_u64,
        late in proptest::collection::vec(0..50_u64, 1..40),
    ) {
        let jitter = jitter.min(period);
        let rules = Rules { jitter: ms(jitter), overlap: Overlap::Parallel(1000), ..Rules::default() };
        let mut driven = Driven::new(period, rules, false, period);
        let mut last = Duration::ZERO;
        for late in late {
            let due = driven.planner.due().unwrap();
            let planned = driven.planner.planned.unwrap().at;
            prop_assert_eq!(planned.as_nanos() % ms(period).as_nanos(), 0);
            prop_assert!(planned > last && due >= planned && due <= planned + ms(jitter));
            last = planned;
            driven.now = driven.now.max(due) + ms(late);
            prop_assert_eq!(driven.wake(), 1);
        }
        let counts = driven.planner.counts();
        let planned = driven.planner.planned.unwrap().at.as_nanos() / ms(period).as_nanos();
        prop_assert_eq!(u128::from(counts.runs + counts.misses) + 1, planned);
    }

    #[test]
    fn a_period_finds_its_last_time_as_counting_does(period in 1..50_u64, time in 0..100_u64, now in 0..2000_u64) {
        let (mut last, mut passed) = (time, 0);
        while last + period <= now {
            last += period;
            passed += 1;
        }
        prop_assert_eq!(Recurrence::Period(ms(period)).last_before(ms(time), ms(now)), (ms(last), passed));
    }
}

#[test]
fn the_36_000th_run_of_an_hour_is_due_at_exactly_3_600_s() {
    let mut driven = Driven::new(100, Rules::default(), false, 100);
    let mut seed = 1;
    for _ in 1..36_000 {
        // Each is a little late, which does not add up.
        seed = random::random(seed, 0);
        driven.now = driven.planner.due().unwrap() + Duration::from_nanos(seed % 90_000_000);
        assert_eq!(driven.wake(), 1);
        driven.finish(Ending::Well);
    }
    assert_eq!(driven.planner.due(), Some(Duration::from_secs(3600)));
    assert_eq!(driven.planner.counts().misses, 0);
}

#[test]
fn huge_periods_and_delays_are_for_ever_and_not_the_end() {
    let recurrence = Recurrence::Period(Duration::MAX);
    let mut planner = Planner::new(recurrence, Rules::default(), false, None, ms(1), 1);
    assert_eq!(planner.due(), Some(Duration::MAX));
    assert_eq!(planner.wake(ms(2)), 0);
    assert_eq!(planner.trigger(), (true, 1));
    assert!(!planner.is_ended());

    let mut driven = Driven::new(1, Rules::default(), true, 0);
    driven.wake();
    driven.now = ms(1);
    driven
        .planner
        .finished(ms(1), RunEnd::Returned(Verdict::After(Duration::MAX)));
    assert_eq!(driven.planner.due(), Some(Duration::MAX));
}

#[test]
fn a_run_queued_in_a_pause_is_the_only_plan_of_a_fixed_delay() {
    let rules = Rules {
        overlap: Overlap::Queue,
        ..Rules::default()
    };
    let mut driven = Driven::new(1, rules, true, 0);
    driven.planner.pause();
    driven.step(&Step::Trigger);
    driven.step(&Step::Trigger);
    driven.finish(Ending::Well);
    assert_eq!(driven.planner.counts().running, 0);
    driven.step(&Step::Resume);
    assert_eq!(driven.planner.counts().running, 1);
    assert_eq!(driven.planner.due(), None);
}

#[test]
fn the_end_is_the_end() {
    let mut driven = Driven::new(1, Rules::default(), false, 0);
    driven.wake();
    driven.finish(Ending::Last);
    driven.now = ms(100);
    assert_eq!((driven.wake(), driven.planner.trigger()), (0, (false, 0)));
    assert!(driven.planner.is_ended());
}
