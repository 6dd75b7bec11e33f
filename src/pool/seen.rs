//! What the sampler of a pool has seen, and what follows from another look. Pure: it is given what
//! runs, and the instant.

use crate::id::TaskId;
use crate::observe::{Age, Rates};
use crate::task::label::TaskLabel;
use crate::task::stack::Stack;
use crate::task::{Summary, Task};
use std::collections::{HashMap, VecDeque};
use std::mem;
use std::time::{Duration, Instant};

/// What distinguishes one run of a body from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum BodyKey {
    /// On top of another one, or of a task with options, which may run again: with its attempt.
    Task(TaskId, u32),
    /// The first one on the stack with this number, whose worker has finished so many tasks.
    First(u64, u64),
}

impl BodyKey {
    pub(super) fn first(stack: &Stack) -> Self {
        Self::First(stack.serial, stack.done.get())
    }

    pub(super) fn of(stack: &Stack, depth: usize, task: &Task) -> Self {
        match depth == 0 && !task.head.is_planned() {
            true => Self::first(stack),
            false => Self::Task(task.head.id(), task.attempts()),
        }
    }
}

/// What the sampler has seen.
#[derive(Default)]
pub(super) struct Seen {
    /// The bodies that ran at the last look: since when it has seen each, and whether it was
    /// reported as slow.
    pub(super) bodies: HashMap<BodyKey, (Instant, bool)>,
    /// How many tasks had ended at some instants of the last minute.
    ended: VecDeque<(Instant, u64)>,
    /// Since when there are queued tasks and none was taken.
    still: Option<Instant>,
    /// Whether the head of the queue had waited for too long at the last look.
    is_stalled: bool,
    /// How many tasks and attempts had ended at the last look.
    pub(super) last: u64,
    /// The last failures.
    pub(super) failures: VecDeque<Summary>,
}

const MINUTE: Duration = Duration::from_secs(60);
/// The rates are taken from looks that are at least so far apart.
const STEP: Duration = Duration::from_millis(100);

/// What a look has found of a body.
pub(super) struct Found {
    pub(super) body: BodyKey,
    pub(super) who: TaskLabel,
    pub(super) worker: usize,
    pub(super) age: Age,
}

impl Seen {
    /// How many tasks end each second. After one look there is no rate yet: 0.
    pub(super) fn rates(&self) -> Rates {
        let rate_over = |span: Duration| {
            let (now, ended) = *self.ended.back()?;
            let is_within = |at: &Instant| now.saturating_duration_since(*at) <= span;
            let (from, before) = *self.ended.iter().find(|(at, _)| is_within(at))?;
            let seconds = now.saturating_duration_since(from).as_secs_f64();
            (seconds > 0.0).then(|| (ended - before) as f64 / seconds)
        };
        Rates {
            last_second: rate_over(Duration::from_secs(1)).unwrap_or(0.0),
            last_minute: rate_over(MINUTE).unwrap_or(0.0),
        }
    }

    pub(super) fn note_ended(&mut self, now: Instant, ended: u64) {
        let is_near = |(at, _): &(Instant, u64)| now.saturating_duration_since(*at) < STEP;
        if self.ended.back().is_some_and(is_near) {
            return;
        }
        self.ended.push_back((now, ended));
        while self
            .ended
            .front()
            .is_some_and(|(at, _)| now.saturating_duration_since(*at) > MINUTE)
        {
            self.ended.pop_front();
        }
    }

    /// Returns those that have run for longer than `limit` and were not reported, and whether a
    /// worker has begun or ended a body since the last look.
    pub(super) fn note_bodies(
        &mut self,
        found: Vec<Found>,
        now: Instant,
        limit: Option<Duration>,
    ) -> (Vec<Found>, bool) {
        let before = mem::take(&mut self.bodies);
        let mut is_same = before.len() == found.len();
        let mut slow = Vec::new();
        for mut found in found {
            let known = before.get(&found.body).copied();
            is_same &= known.is_some();
            let (since, was_reported) = known.unwrap_or((now, false));
            if !found.age.is_exact {
                found.age = Age::at_least(now.saturating_duration_since(since));
            }
            let is_slow = limit.is_some_and(|limit| found.age.at_least > limit);
            self.bodies
                .insert(found.body, (since, was_reported || is_slow));
            if is_slow && !was_reported {
                slow.push(found);
            }
        }
        (slow, !is_same)
    }

    /// Returns for how long the head of the queue has waited, if that is too long and was not
    /// reported since it was short. `oldest`: that time, where it is known.
    pub(super) fn note_queue(
        &mut self,
        now: Instant,
        has_moved: bool,
        oldest: Option<Duration>,
        limit: Option<Duration>,
    ) -> Option<Age> {
        let limit = limit?;
        if has_moved {
            self.still = None;
        }
        let since = *self.still.get_or_insert(now);
        let waited = match oldest {
            Some(oldest) => Age::exactly(oldest),
            None => Age::at_least(now.saturating_duration_since(since)),
        };
        let is_long = waited.at_least > limit;
        let was_long = mem::replace(&mut self.is_stalled, is_long);
        (is_long && !was_long).then_some(waited)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::panic::Location;

    const SECOND: Duration = Duration::from_secs(1);

    fn body(body: BodyKey, age: Age) -> Found {
        let who = TaskLabel::new(TaskId::next(), None, Location::caller());
        let worker = 0;
        Found {
            body,
            who,
            worker,
            age,
        }
    }

    fn plain(run: u64) -> Vec<Found> {
        vec![body(BodyKey::First(0, run), Age::at_least(Duration::ZERO))]
    }

    #[test]
    fn a_body_is_slow_once_and_the_next_one_on_its_worker_counts_anew() {
        let (mut seen, t0) = (Seen::default(), Instant::now());
        let mut look = |run, seconds| {
            let now = t0 + seconds * SECOND;
            let (slow, has_moved) = seen.note_bodies(plain(run), now, Some(2 * SECOND));
            (
                slow.iter().map(|found| found.age).collect::<Vec<_>>(),
                has_moved,
            )
        };
        assert_eq!(look(0, 0), (vec![], true));
        assert_eq!(look(0, 2), (vec![], false));
        assert_eq!(look(0, 3), (vec![Age::at_least(3 * SECOND)], false));
        assert_eq!(look(0, 4), (vec![], false));
        assert_eq!(look(1, 5), (vec![], true));
        assert_eq!(look(1, 8), (vec![Age::at_least(3 * SECOND)], false));
    }

    #[test]
    fn the_head_of_a_queue_waits_while_nothing_moves() {
        let (mut seen, t0) = (Seen::default(), Instant::now());
        let limit = Some(2 * SECOND);
        let mut look = |has_moved, seconds, oldest: Option<u32>| {
            let oldest = oldest.map(|oldest| oldest * SECOND);
            seen.note_queue(t0 + seconds * SECOND, has_moved, oldest, limit)
        };
        assert_eq!(look(true, 0, None), None);
        assert_eq!(look(false, 2, None), None);
        assert_eq!(look(false, 3, None), Some(Age::at_least(3 * SECOND)));
        assert_eq!(look(false, 4, None), None, "once");
        assert_eq!(look(true, 5, None), None);
        assert_eq!(look(true, 6, Some(4)), Some(Age::exactly(4 * SECOND)));
        assert_eq!(
            look(true, 7, Some(5)),
            None,
            "a pool that is behind, and works"
        );
        assert_eq!(look(true, 8, Some(1)), None);
        assert_eq!(look(true, 9, Some(3)), Some(Age::exactly(3 * SECOND)));
    }

    #[test]
    fn rates_are_over_the_last_second_and_the_last_minute() {
        let (mut seen, t0) = (Seen::default(), Instant::now());
        for quarter in 0..=480_u32 {
            // 4 a second at first, then 40.
            let ended = if quarter < 400 {
                quarter
            } else {
                400 + 10 * (quarter - 400)
            };
            seen.note_ended(t0 + quarter * SECOND / 4, u64::from(ended));
        }
        let rates = seen.rates();
        assert_eq!(rates.last_second, 40.0);
        assert_eq!(rates.last_minute, (20.0 * 40.0 + 40.0 * 4.0) / 60.0);
        assert!(seen.ended.len() <= 242);
    }
}
