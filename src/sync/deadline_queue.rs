//! Items that wait for an instant, earliest first: the queue of the timer, of the alarm, and of
//! the clocks that tests set.
//!
//! Pure: the time is an argument.
//
// std's heap keeps no order among equal entries, so each entry has a number of its own. No two
// entries compare as equal, and the one that was pushed first comes first.
//
// An entry is dead if it would do nothing when it is due: its task has settled, or what it refers
// to is gone. Dead entries are removed in bulk, so that a push does not pay for a search: by
// `sweep` when the queue has doubled since the last sweep, or by `extract` where the owner counts
// the dead (`is_mostly_dead`).

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::mem;
use std::sync::Weak;
use std::time::Instant;

/// A shorter queue is neither swept nor shrunk.
const SMALL: usize = 64;

/// Items by the instant at which each is due. Items with equal instants keep the order in which
/// they were pushed.
pub(crate) struct DeadlineQueue<T> {
    entries: BinaryHeap<Entry<T>>,
    /// How many items were ever pushed.
    arrivals: u64,
    /// `sweep` looks for dead entries from this length on.
    sweep_at: usize,
}

struct Entry<T> {
    at: Instant,
    arrival: u64,
    item: T,
}

impl<T> DeadlineQueue<T> {
    pub(crate) const fn new() -> Self {
        Self {
            entries: BinaryHeap::new(),
            arrivals: 0,
            sweep_at: SMALL,
        }
    }

    /// O(log n).
    pub(crate) fn push(&mut self, at: Instant, item: T) {
        let arrival = self.arrivals;
        self.arrivals += 1;
        self.entries.push(Entry { at, arrival, item });
    }

    /// When the first item is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.entries.peek().map(|entry| entry.at)
    }

    /// Takes the first item, if it is due at `now`. O(log n). Now and then the remaining items
    /// move to less memory, which costs O(1) per item on average.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<T> {
        if self.next()? > now {
            return None;
        }
        let entry = self.entries.pop()?;
        self.shrink();
        Some(entry.item)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes the items that `which` selects, in the order in which they would have been due. O(n),
    /// and the sorting of what is taken. If `which` panics, all items are lost.
    pub(crate) fn extract(&mut self, mut which: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut rest = mem::take(&mut self.entries).into_vec();
        let mut taken = Vec::new();
        let mut index = 0;
        while index < rest.len() {
            if which(&rest[index].item) {
                taken.push(rest.swap_remove(index));
            } else {
                index += 1;
            }
        }
        self.entries = rest.into();
        self.shrink();
        in_due_order(taken.into())
    }

    /// Drops the dead entries if the queue has doubled since the last sweep. O(1) per push on
    /// average.
    pub(crate) fn sweep(&mut self, is_live: &mut dyn FnMut(Instant, &T) -> bool) {
        if self.entries.len() < self.sweep_at {
            return;
        }
        self.entries.retain(|entry| is_live(entry.at, &entry.item));
        self.shrink();
        self.sweep_at = SMALL.max(2 * self.entries.len());
    }

    /// Returns memory after many entries have left. Room for as many entries again stays, so that
    /// the next push does not allocate what this call freed.
    fn shrink(&mut self) {
        let capacity = self.entries.capacity();
        if capacity > SMALL && 4 * self.len() < capacity {
            self.entries.shrink_to(SMALL.max(2 * self.len()));
        }
    }
}

impl<T: ?Sized> DeadlineQueue<Weak<T>> {
    /// When the first item that still exists is due. Drops those before it.
    pub(crate) fn next_live(&mut self) -> Option<Instant> {
        while self.entries.peek()?.item.strong_count() == 0 {
            self.entries.pop();
        }
        self.next()
    }
}

/// Whether a queue of `len` entries, of which about `dead` are dead, is worth an `extract` of the
/// dead: it is not small, and more than half of it is dead.
pub(crate) fn is_mostly_dead(dead: usize, len: usize) -> bool {
    len >= SMALL && dead > len / 2
}

fn in_due_order<T>(entries: BinaryHeap<Entry<T>>) -> Vec<T> {
    // Sorted from the smallest on, and the first item due is the greatest.
    let sorted = entries.into_sorted_vec().into_iter();
    sorted.rev().map(|entry| entry.item).collect()
}

/// Reversed: std's heap has the greatest entry on top, and the first item due belongs there.
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.arrival).cmp(&(self.at, self.arrival))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    /// The tests name instants by a number of milliseconds.
    fn at(base: Instant, millis: u64) -> Instant {
        base + Duration::from_millis(millis)
    }

    /// The items in due order: a list that is sorted, stably, after each push.
    #[derive(Default)]
    struct Model(Vec<(u64, u32)>);

    impl Model {
        fn push(&mut self, millis: u64, item: u32) {
            self.0.push((millis, item));
            self.0.sort_by_key(|(millis, _)| *millis);
        }

        fn pop_due(&mut self, now: u64) -> Option<u32> {
            (self.0.first()?.0 <= now).then(|| self.0.remove(0).1)
        }

        fn extract(&mut self, which: impl Fn(u32) -> bool) -> Vec<u32> {
            let (taken, left) = self.0.drain(..).partition(|(_, item)| which(*item));
            self.0 = left;
            taken.into_iter().map(|(_, item)| item).collect()
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(u64),
        PopDue(u64),
        PopAllDue(u64),
        Sweep(u32, u32),
        Extract(u32, u32),
        DrainAll,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        // Few instants, so that many are equal. Items are numbered; a step selects those with a
        // certain remainder.
        let some = (1..5_u32, 0..60_u32).prop_map(|(n, number)| (n, number % n));
        prop_oneof![
            12 => (0..8_u64).prop_map(Step::Push),
            6 => (0..8_u64).prop_map(Step::PopDue),
            1 => (0..8_u64).prop_map(Step::PopAllDue),
            1 => some.clone().prop_map(|(n, rest)| Step::Sweep(n, rest)),
            1 => some.prop_map(|(n, rest)| Step::Extract(n, rest)),
            1 => Just(Step::DrainAll),
        ]
    }

    proptest! {
        #[test]
        fn does_what_a_sorted_list_does(steps in proptest::collection::vec(any_step(), 0..200)) {
            let base = Instant::now();
            let mut queue = DeadlineQueue::new();
            let mut model = Model::default();
            for (number, step) in (0..).zip(steps) {
                match step {
                    Step::Push(millis) => {
                        queue.push(at(base, millis), number);
                        model.push(millis, number);
                    }
                    Step::PopDue(now) => {
                        prop_assert_eq!(queue.pop_due(at(base, now)), model.pop_due(now));
                    }
                    Step::PopAllDue(now) => {
                        while let Some(item) = queue.pop_due(at(base, now)) {
                            prop_assert_eq!(Some(item), model.pop_due(now));
                        }
                        prop_assert_eq!(model.pop_due(now), None);
                    }
                    Step::Sweep(n, rest) => {
                        model.extract(|item| item % n == rest);
                        queue.sweep_at = 0;
                        queue.sweep(&mut |_, item| item % n != rest);
                    }
                    Step::Extract(n, rest) => {
                        let taken = queue.extract(|item| item % n == rest);
                        prop_assert_eq!(taken, model.extract(|item| item % n == rest));
                    }
                    Step::DrainAll => prop_assert_eq!(queue.extract(|_| true), model.extract(|_| true)),
                }
                prop_assert_eq!(queue.len(), model.0.len());
                prop_assert_eq!(queue.len() == 0, model.0.is_empty());
                prop_assert_eq!(queue.next(), model.0.first().map(|(millis, _)| at(base, *millis)));
            }
            prop_assert_eq!(queue.extract(|_| true), model.extract(|_| true));
        }
    }

    #[test]
    fn due_means_at_the_instant_and_not_before() {
        let base = Instant::now();
        let mut queue = DeadlineQueue::new();
        assert_eq!((queue.next(), queue.pop_due(base)), (None, None));
        queue.push(at(base, 5), 'x');
        assert_eq!(queue.next(), Some(at(base, 5)));
        assert_eq!(queue.pop_due(at(base, 5) - Duration::from_nanos(1)), None);
        assert_eq!(queue.pop_due(at(base, 5)), Some('x'));
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn extracted_items_are_dropped_at_once() {
        let base = Instant::now();
        let alive = std::rc::Rc::new(());
        let mut queue = DeadlineQueue::new();
        (0..100).for_each(|n| queue.push(at(base, n % 7), (n, alive.clone())));
        drop(queue.extract(|(n, _)| n % 2 != 0));
        assert_eq!(std::rc::Rc::strong_count(&alive), 51);
        drop(queue.extract(|(n, _)| n % 4 == 0));
        assert_eq!(std::rc::Rc::strong_count(&alive), 26);
        drop(queue);
        assert_eq!(std::rc::Rc::strong_count(&alive), 1);
    }

    #[test]
    fn memory_is_returned() {
        let base = Instant::now();
        let full = |count: u64| {
            let mut queue = DeadlineQueue::new();
            (0..count).for_each(|n| queue.push(at(base, n), n));
            queue
        };
        let many = 100_000;
        let few =
            |queue: &DeadlineQueue<u64>| queue.entries.capacity() <= 4 * queue.len().max(SMALL);

        let mut queue = full(many);
        drop(queue.extract(|n| n % 1000 != 0));
        assert!(few(&queue) && queue.len() == 100);

        let mut queue = full(many);
        assert_eq!(queue.extract(|n| n % 1000 != 0).len(), 99_900);
        assert!(few(&queue) && queue.len() == 100);

        let mut queue = full(many);
        for n in 0..many {
            assert_eq!(queue.pop_due(at(base, n)), Some(n));
            assert!(
                few(&queue),
                "{} in {}",
                queue.len(),
                queue.entries.capacity()
            );
        }
        assert_eq!(queue.len(), 0);

        let mut queue = full(many);
        assert_eq!(queue.extract(|_| true).len() as u64, many);
        assert!(queue.entries.capacity() <= SMALL);
    }

    #[test]
    fn a_queue_that_hardly_shrank_keeps_its_memory() {
        let base = Instant::now();
        let mut queue = DeadlineQueue::new();
        (0..1024).for_each(|n| queue.push(at(base, 0), n));
        let places = queue.entries.capacity();
        drop(queue.extract(|n| n % 2 != 0));
        assert_eq!(queue.entries.capacity(), places);
    }

    #[test]
    fn a_sweep_comes_when_the_queue_has_doubled() {
        let base = Instant::now();
        let mut queue = DeadlineQueue::new();
        let mut swept = 0;
        for n in 0..1000_u32 {
            queue.push(at(base, 1000 - u64::from(n)), n);
            let before = queue.len();
            queue.sweep(&mut |_, item| item % 4 == 0);
            swept += u32::from(queue.len() < before);
            assert!(
                queue.len() < 2 * SMALL + n as usize / 2,
                "{} at {n}",
                queue.len()
            );
        }
        assert!((1..20).contains(&swept), "{swept} sweeps");
        let left = queue.extract(|_| true);
        assert!((0..1000).filter(|n| n % 4 == 0).all(|n| left.contains(&n)));
    }

    #[test]
    fn an_item_that_is_gone_is_skipped() {
        let base = Instant::now();
        let (gone, live) = (std::sync::Arc::new(1), std::sync::Arc::new(2));
        let mut queue = DeadlineQueue::new();
        queue.push(at(base, 1), std::sync::Arc::downgrade(&gone));
        queue.push(at(base, 2), std::sync::Arc::downgrade(&live));
        assert_eq!(queue.next_live(), Some(at(base, 1)));
        drop(gone);
        assert_eq!((queue.next_live(), queue.len()), (Some(at(base, 2)), 1));
        drop(live);
        assert_eq!((queue.next_live(), queue.len()), (None, 0));
    }
}
