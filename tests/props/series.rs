//! `Series` against what its rules promise, whatever happens in whatever order. Times are milliseconds.

use super::*;
use proptest::option;
use proptest::prelude::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[derive(Clone, Debug)]
enum Step {
    /// So long nobody looks; then the timer does.
    Pass(u64),
    /// To the very time that is due.
    ToDue,
    Finish(Over),
    Trigger,
    Pause,
    Resume,
}

#[derive(Clone, Copy, Debug)]
enum Over {
    Well,
    Failed,
    Panicked,
    Cancelled,
    Wish(u64),
    Last,
}

fn any_step() -> impl Strategy<Value = Step> {
    let over = prop_oneof![
        6 => Just(Over::Well),
        1 => Just(Over::Failed),
        1 => Just(Over::Panicked),
        1 => Just(Over::Cancelled),
        1 => (0..30_u64).prop_map(Over::Wish),
    ];
    prop_oneof![
        4 => (0..60_u64).prop_map(Step::Pass),
        4 => Just(Step::ToDue),
        6 => over.prop_map(Step::Finish),
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

/// A series at work, and what is known of it from outside.
struct Driven {
    series: Series,
    now: Duration,
    begun: u64,
    over: u64,
}

impl Driven {
    fn new(period: u64, rules: Rules, spaced: bool, first: u64) -> Self {
        let beat = Beat::Period(ms(period));
        Self {
            series: Series::new(beat, rules, spaced, Some(ms(first)), Duration::ZERO, 7),
            now: Duration::ZERO,
            begun: 0,
            over: 0,
        }
    }

    fn wake(&mut self) -> usize {
        let begun = self.series.wake(self.now);
        self.begun += begun as u64;
        begun
    }

    fn finish(&mut self, how: Over) {
        if self.begun == self.over {
            return;
        }
        self.over += 1;
        let end = match how {
            Over::Well => End::Said(Verdict::Go),
            Over::Failed => End::Said(Verdict::Failed),
            Over::Panicked => End::Panicked,
            Over::Cancelled => End::Cancelled,
            Over::Wish(delay) => End::Said(Verdict::After(ms(delay))),
            Over::Last => End::Said(Verdict::End),
        };
        self.begun += self.series.finished(self.now, end) as u64;
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Pass(time) => {
                self.now += ms(*time);
                self.wake();
            }
            Step::ToDue => {
                if let Some(due) = self.series.due() {
                    self.now = self.now.max(due);
                    self.wake();
                }
            }
            Step::Finish(how) => self.finish(*how),
            Step::Trigger => self.begun += self.series.trigger().1 as u64,
            Step::Pause => self.series.pause(),
            Step::Resume => {
                self.begun += self.series.resume(self.now) as u64;
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
        spaced in any::<bool>(),
        steps in proptest::collection::vec(any_step(), 0..80),
    ) {
        let mut driven = Driven::new(period, rules.clone(), spaced, first);
        let mut failed = 0;
        for step in steps {
            let running = driven.begun - driven.over;
            if let Step::Finish(Over::Failed | Over::Panicked) = step {
                failed += u64::from(running > 0);
            }
            driven.step(&step);
            let counts = driven.series.counts();
            prop_assert_eq!(counts.runs, driven.begun);
            prop_assert_eq!(counts.running as u64, driven.begun - driven.over);
            prop_assert!(counts.running <= rules.width());
            prop_assert_eq!(counts.failures, failed);
            prop_assert!(rules.times.is_none_or(|times| counts.runs <= times));
            prop_assert!(rules.times != Some(counts.runs) || driven.series.is_ended());
            let idle = driven.series.is_paused() || driven.series.is_ended() || spaced && counts.running > 0;
            prop_assert_eq!(driven.series.due().is_none(), idle);
            if let Some(due) = driven.series.due() {
                // A wish of nothing, or a first run at once, is due now until somebody looks.
                prop_assert!(due >= driven.now || spaced || driven.begun == 0);
                if !spaced {
                    let since = due.as_millis() as u64 - first;
                    prop_assert_eq!(since % period, 0, "off the grid: {:?}", due);
                }
            }
        }
    }

    /// Each time that has passed is accounted for: it was run, left out, or is waiting.
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
                let series = &driven.series;
                let counts = series.counts();
                let waiting = series.owed as u64 + u64::from(series.queued);
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
            let due = driven.series.due().unwrap();
            let planned = driven.series.planned.unwrap().at;
            prop_assert_eq!(planned.as_nanos() % ms(period).as_nanos(), 0);
            prop_assert!(planned > last && due >= planned && due <= planned + ms(jitter));
            last = planned;
            driven.now = driven.now.max(due) + ms(late);
            prop_assert_eq!(driven.wake(), 1);
        }
        let counts = driven.series.counts();
        let planned = driven.series.planned.unwrap().at.as_nanos() / ms(period).as_nanos();
        prop_assert_eq!(u128::from(counts.runs + counts.misses) + 1, planned);
    }

    #[test]
    fn a_period_finds_its_last_time_as_counting_does(period in 1..50_u64, time in 0..100_u64, now in 0..2000_u64) {
        let (mut last, mut passed) = (time, 0);
        while last + period <= now {
            last += period;
            passed += 1;
        }
        prop_assert_eq!(Beat::Period(ms(period)).up_to(ms(time), ms(now)), (ms(last), passed));
    }
}

#[test]
fn the_36_000th_run_of_an_hour_is_due_at_exactly_3_600_s() {
    let mut driven = Driven::new(100, Rules::default(), false, 100);
    let mut seed = 1;
    for _ in 1..36_000 {
        // Each is a little late, which does not add up.
        seed = random::random(seed, 0);
        driven.now = driven.series.due().unwrap() + Duration::from_nanos(seed % 90_000_000);
        assert_eq!(driven.wake(), 1);
        driven.finish(Over::Well);
    }
    assert_eq!(driven.series.due(), Some(Duration::from_secs(3600)));
    assert_eq!(driven.series.counts().misses, 0);
}

#[test]
fn huge_periods_and_delays_are_for_ever_and_not_the_end() {
    let beat = Beat::Period(Duration::MAX);
    let mut series = Series::new(beat, Rules::default(), false, None, ms(1), 1);
    assert_eq!(series.due(), Some(Duration::MAX));
    assert_eq!(series.wake(ms(2)), 0);
    assert_eq!(series.trigger(), (true, 1));
    assert!(!series.is_ended());

    let mut driven = Driven::new(1, Rules::default(), true, 0);
    driven.wake();
    driven.now = ms(1);
    driven
        .series
        .finished(ms(1), End::Said(Verdict::After(Duration::MAX)));
    assert_eq!(driven.series.due(), Some(Duration::MAX));
}

#[test]
fn the_end_is_the_end() {
    let mut driven = Driven::new(1, Rules::default(), false, 0);
    driven.wake();
    driven.finish(Over::Last);
    driven.now = ms(100);
    assert_eq!((driven.wake(), driven.series.trigger()), (0, (false, 0)));
    assert!(driven.series.is_ended());
}
