//! What is not due yet, in the order in which it will be. The timer's, and pure: the time is an argument.
//!
//! Layer 3; imports nothing of the crate.

// std's heap keeps no order among equals, so each entry has a number of its own: no two compare as equal, and what was
// pushed first comes first.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::mem;
use std::time::Instant;

/// Below this many places there is nothing worth giving back.
const SMALL: usize = 64;

/// Items by the instant when each is due; equal instants keep the order of pushing.
pub(crate) struct DelayHeap<T> {
    entries: BinaryHeap<Entry<T>>,
    /// How many were ever pushed.
    arrivals: u64,
}

struct Entry<T> {
    at: Instant,
    arrival: u64,
    item: T,
}

impl<T> DelayHeap<T> {
    pub(crate) fn new() -> Self {
        Self {
            entries: BinaryHeap::new(),
            arrivals: 0,
        }
    }

    /// O(log n).
    pub(crate) fn push(&mut self, at: Instant, item: T) {
        let arrival = self.arrivals;
        self.arrivals += 1;
        self.entries.push(Entry { at, arrival, item });
    }

    /// When the first is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.entries.peek().map(|entry| entry.at)
    }

    /// Takes the first, if it is due at `now`. O(log n), and now and then the moving of what is left to less memory,
    /// which comes to O(1) each.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<T> {
        if self.next()? > now {
            return None;
        }
        let entry = self.entries.pop()?;
        self.give_memory_back();
        Some(entry.item)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes what `which` names, in the order in which it would have been due. O(n), and the sorting of what is taken.
    /// A `which` that panics loses all that there is.
    pub(crate) fn extract(&mut self, mut which: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut left = mem::take(&mut self.entries).into_vec();
        let mut taken = Vec::new();
        let mut place = 0;
        while place < left.len() {
            if which(&left[place].item) {
                taken.push(left.swap_remove(place));
            } else {
                place += 1;
            }
        }
        self.entries = left.into();
        self.give_memory_back();
        in_due_order(taken.into())
    }

    /// A heap that a million went through does not keep the room for them. Room for as much again stays, so that the
    /// next push does not take back what this gave.
    fn give_memory_back(&mut self) {
        let places = self.entries.capacity();
        if places > SMALL && 4 * self.len() < places {
            self.entries.shrink_to(SMALL.max(2 * self.len()));
        }
    }
}

fn in_due_order<T>(entries: BinaryHeap<Entry<T>>) -> Vec<T> {
    // Sorted from the least on, and the first due is the greatest.
    let sorted = entries.into_sorted_vec().into_iter();
    sorted.rev().map(|entry| entry.item).collect()
}

/// The other way round than one would think: std's heap has the greatest on top, and the first due belongs there.
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

    /// The instants that the tests know by number.
    fn at(base: Instant, millis: u64) -> Instant {
        base + Duration::from_millis(millis)
    }

    /// What is in there, in due order: a stable sort after each push, and that is all.
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
        Retain(u32, u32),
        Extract(u32, u32),
        DrainAll,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        // Few instants, so that many are equal. Items are numbered; those with a certain remainder are meant.
        let some = (1..5_u32).prop_flat_map(|n| (Just(n), 0..n));
        prop_oneof![
            12 => (0..8_u64).prop_map(Step::Push),
            6 => (0..8_u64).prop_map(Step::PopDue),
            1 => (0..8_u64).prop_map(Step::PopAllDue),
            1 => some.clone().prop_map(|(n, rest)| Step::Retain(n, rest)),
            1 => some.prop_map(|(n, rest)| Step::Extract(n, rest)),
            1 => Just(Step::DrainAll),
        ]
    }

    proptest! {
        #[test]
        fn does_what_a_sorted_list_does(steps in proptest::collection::vec(any_step(), 0..200)) {
            let base = Instant::now();
            let mut heap = DelayHeap::new();
            let mut model = Model::default();
            for (number, step) in (0..).zip(steps) {
                match step {
                    Step::Push(millis) => {
                        heap.push(at(base, millis), number);
                        model.push(millis, number);
                    }
                    Step::PopDue(now) => {
                        prop_assert_eq!(heap.pop_due(at(base, now)), model.pop_due(now));
                    }
                    Step::PopAllDue(now) => {
                        while let Some(item) = heap.pop_due(at(base, now)) {
                            prop_assert_eq!(Some(item), model.pop_due(now));
                        }
                        prop_assert_eq!(model.pop_due(now), None);
                    }
                    Step::Retain(n, rest) => {
                        drop(heap.extract(|item| item % n == rest));
                        model.extract(|item| item % n == rest);
                    }
                    Step::Extract(n, rest) => {
                        let taken = heap.extract(|item| item % n == rest);
                        prop_assert_eq!(taken, model.extract(|item| item % n == rest));
                    }
                    Step::DrainAll => prop_assert_eq!(heap.extract(|_| true), model.extract(|_| true)),
                }
                prop_assert_eq!(heap.len(), model.0.len());
                prop_assert_eq!(heap.len() == 0, model.0.is_empty());
                prop_assert_eq!(heap.next(), model.0.first().map(|(millis, _)| at(base, *millis)));
            }
            prop_assert_eq!(heap.extract(|_| true), model.extract(|_| true));
        }
    }

    #[test]
    fn due_means_at_the_instant_and_not_before() {
        let base = Instant::now();
        let mut heap = DelayHeap::new();
        assert_eq!((heap.next(), heap.pop_due(base)), (None, None));
        heap.push(at(base, 5), 'x');
        assert_eq!(heap.next(), Some(at(base, 5)));
        assert_eq!(heap.pop_due(at(base, 5) - Duration::from_nanos(1)), None);
        assert_eq!(heap.pop_due(at(base, 5)), Some('x'));
        assert_eq!(heap.len(), 0);
    }

    #[test]
    fn what_is_dropped_is_dropped_at_once() {
        let base = Instant::now();
        let alive = std::rc::Rc::new(());
        let mut heap = DelayHeap::new();
        (0..100).for_each(|n| heap.push(at(base, n % 7), (n, alive.clone())));
        drop(heap.extract(|(n, _)| n % 2 != 0));
        assert_eq!(std::rc::Rc::strong_count(&alive), 51);
        drop(heap.extract(|(n, _)| n % 4 == 0));
        assert_eq!(std::rc::Rc::strong_count(&alive), 26);
        drop(heap);
        assert_eq!(std::rc::Rc::strong_count(&alive), 1);
    }

    #[test]
    fn memory_goes_back() {
        let base = Instant::now();
        let full = |count: u64| {
            let mut heap = DelayHeap::new();
            (0..count).for_each(|n| heap.push(at(base, n), n));
            heap
        };
        let many = 100_000;
        let few = |heap: &DelayHeap<u64>| heap.entries.capacity() <= 4 * heap.len().max(SMALL);

        let mut heap = full(many);
        drop(heap.extract(|n| n % 1000 != 0));
        assert!(few(&heap) && heap.len() == 100);

        let mut heap = full(many);
        assert_eq!(heap.extract(|n| n % 1000 != 0).len(), 99_900);
        assert!(few(&heap) && heap.len() == 100);

        let mut heap = full(many);
        for n in 0..many {
            assert_eq!(heap.pop_due(at(base, n)), Some(n));
            assert!(few(&heap), "{} in {}", heap.len(), heap.entries.capacity());
        }
        assert_eq!(heap.len(), 0);

        let mut heap = full(many);
        assert_eq!(heap.extract(|_| true).len() as u64, many);
        assert!(heap.entries.capacity() <= SMALL);
    }

    #[test]
    fn a_heap_that_hardly_shrank_keeps_its_memory() {
        let base = Instant::now();
        let mut heap = DelayHeap::new();
        (0..1024).for_each(|n| heap.push(at(base, 0), n));
        let places = heap.entries.capacity();
        drop(heap.extract(|n| n % 2 != 0));
        assert_eq!(heap.entries.capacity(), places);
    }
}
