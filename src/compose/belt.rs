//! What may go on in a pipeline: which item begins which stage, which comes out. Pure: no thread, no lock, no user code.
//!
//! Layer 6.
//
// An item is in the source, at work in a stage, or waits behind one, before the next or before the way out. `step` says
// what may begin, one thing at a time, the furthest stage first. An item begins a stage only if there is a place behind
// it, so what is finished never has to wait with a thread: of all at work in a stage or waiting behind it there are at
// most `width + buffer`.
//
// Where order is kept, every stage begins the items in it. So those in a stage, or behind it, follow each other without a
// gap, and a stage that is full has the one among them that the next stage wants: nothing can block for good. An item that
// failed keeps its place among the others up to the way out, passing by the stages that are left.

use std::collections::BTreeMap;
use std::mem;

/// An item, or what became of it, by its place in the source.
type Waiting<T, F> = BTreeMap<usize, Result<T, F>>;

struct Lane<T, F> {
    width: usize,
    /// How many may wait behind it besides.
    buffer: usize,
    at_work: usize,
    /// Where order is kept: the place of the next to begin.
    next: usize,
    /// Behind it.
    waiting: Waiting<T, F>,
}

impl<T, F> Lane<T, F> {
    /// Whether there is a place behind it for one more.
    fn has_place(&self) -> bool {
        let held = self.at_work + self.waiting.len();
        held < self.width.saturating_add(self.buffer)
    }
}

/// What is to be begun.
pub(crate) enum Step<S, T> {
    /// The item at this place, which is to be read first, by the first stage.
    Read(usize, S),
    /// An item, by a later one.
    Work { stage: usize, place: usize, item: T },
}

/// What goes no further: to be dropped where the user's values may be.
pub(crate) struct Scrap<S, T, F> {
    pub(crate) source: Option<S>,
    pub(crate) ends: Vec<Result<T, F>>,
}

impl<S, T, F> Scrap<S, T, F> {
    fn none() -> Self {
        Self::of(None)
    }

    fn of(end: Option<Result<T, F>>) -> Self {
        Self {
            source: None,
            ends: end.into_iter().collect(),
        }
    }
}

/// How a pipeline is to go on.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    /// Whether the items come out, and begin every stage, in the order of the source.
    pub(crate) is_ordered: bool,
    /// Whether it goes on after a failure.
    pub(crate) collects_all: bool,
}

pub(crate) struct Belt<S, T, F> {
    lanes: Vec<Lane<T, F>>,
    manner: Manner,
    /// While nobody reads it, and there may be more in it.
    source: Option<S>,
    /// How many were read.
    read: usize,
    /// Where order is kept: the place of the next to come out.
    next_out: usize,
    /// What comes after this place is not wanted.
    last: usize,
    is_closed: bool,
}

impl<S, T, F> Belt<S, T, F> {
    /// At least one stage, each with its width and buffer.
    pub(crate) fn new(
        source: S,
        stages: impl IntoIterator<Item = (usize, usize)>,
        manner: Manner,
    ) -> Self {
        let lanes = stages.into_iter().map(|(width, buffer)| Lane {
            width,
            buffer,
            at_work: 0,
            next: 0,
            waiting: BTreeMap::new(),
        });
        Self {
            lanes: lanes.collect(),
            manner,
            source: Some(source),
            read: 0,
            next_out: 0,
            last: usize::MAX,
            is_closed: false,
        }
    }

    /// The next thing that may begin; it counts as begun.
    pub(crate) fn step(&mut self) -> Option<Step<S, T>> {
        for stage in (1..self.lanes.len()).rev() {
            if let Some((place, item)) = self.begin(stage) {
                return Some(Step::Work { stage, place, item });
            }
        }
        let first = &mut self.lanes[0];
        if first.at_work == first.width || !first.has_place() {
            return None;
        }
        let source = self.source.take()?;
        first.at_work += 1;
        self.read += 1;
        Some(Step::Read(self.read - 1, source))
    }

    /// An item for this stage, and whatever failed before it passes by.
    fn begin(&mut self, stage: usize) -> Option<(usize, T)> {
        let (before, from) = self.lanes.split_at_mut(stage);
        let (before, lane) = (&mut before[stage - 1], &mut from[0]);
        loop {
            let first = before.waiting.first_entry()?;
            let place = *first.key();
            let is_next = !self.manner.is_ordered || place == lane.next;
            let has_lane = first.get().is_err() || lane.at_work < lane.width;
            if !is_next || !has_lane || !lane.has_place() {
                return None;
            }
            lane.next = place + 1;
            match first.remove() {
                Ok(item) => {
                    lane.at_work += 1;
                    return Some((place, item));
                }
                failed => lane.waiting.insert(place, failed),
            };
        }
    }

    /// The source comes back; not if nobody wants more of it.
    pub(crate) fn give_back(&mut self, source: S) -> Result<(), S> {
        if self.is_closed || self.last < usize::MAX {
            return Err(source);
        }
        self.source = Some(source);
        Ok(())
    }

    /// What was at work is finished: with an item (`None`: there was none to be read), or a failure; one that is `fatal`
    /// ends it all at once.
    pub(crate) fn finished(
        &mut self,
        stage: usize,
        place: usize,
        end: Result<Option<T>, F>,
        is_fatal: bool,
    ) -> Scrap<S, T, F> {
        let lane = &mut self.lanes[stage];
        lane.at_work -= 1;
        let Some(end) = end.transpose() else {
            return Scrap::none();
        };
        if self.is_closed || place > self.last {
            return Scrap::of(Some(end));
        }
        let Manner {
            is_ordered,
            collects_all,
        } = self.manner;
        match end {
            Err(failure) if is_fatal || !(is_ordered || collects_all) => {
                self.close(Some((place, failure)))
            }
            end => {
                let is_last = end.is_err() && !collects_all;
                lane.waiting.insert(place, end);
                if is_last {
                    self.end_at(place)
                } else {
                    Scrap::none()
                }
            }
        }
    }

    /// What comes after this place is not wanted any more: it would not have begun, had each item waited for the last.
    fn end_at(&mut self, place: usize) -> Scrap<S, T, F> {
        self.last = place;
        let lanes = self.lanes.iter_mut();
        let gone = lanes.flat_map(|lane| lane.waiting.split_off(&(place + 1)).into_values());
        Scrap {
            ends: gone.collect(),
            source: self.source.take(),
        }
    }

    /// Nothing more begins, and nothing comes out but this.
    pub(crate) fn close(&mut self, last: Option<(usize, F)>) -> Scrap<S, T, F> {
        self.is_closed = true;
        let lanes = self.lanes.iter_mut();
        let gone = lanes.flat_map(|lane| mem::take(&mut lane.waiting).into_values());
        let ends = gone.collect();
        if let Some((place, failure)) = last {
            self.next_out = place;
            self.way_out().insert(place, Err(failure));
        }
        Scrap {
            source: self.source.take(),
            ends,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    fn way_out(&mut self) -> &mut Waiting<T, F> {
        let last = self.lanes.len() - 1;
        &mut self.lanes[last].waiting
    }

    /// What comes out next, if it is there.
    pub(crate) fn take(&mut self) -> Option<(usize, Result<T, F>)> {
        let next = self.manner.is_ordered.then_some(self.next_out);
        let first = self.way_out().first_entry()?;
        if next.is_some_and(|next| next != *first.key()) {
            return None;
        }
        let (place, end) = first.remove_entry();
        self.next_out = place + 1;
        Some((place, end))
    }

    /// Whether something has come out, or nothing will any more.
    pub(crate) fn has_news(&self) -> bool {
        let last = self
            .lanes
            .last()
            .and_then(|lane| lane.waiting.keys().next());
        let is_next = |place: &usize| !self.manner.is_ordered || *place == self.next_out;
        last.is_some_and(is_next) || self.is_over()
    }

    /// Whether nothing will come out any more.
    pub(crate) fn is_over(&self) -> bool {
        let mut lanes = self.lanes.iter();
        let is_empty = |lane: &Lane<T, F>| lane.waiting.is_empty();
        if self.is_closed {
            return lanes.all(is_empty);
        }
        self.source.is_none() && lanes.all(|lane| lane.at_work == 0 && is_empty(lane))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    type Ints = Belt<(), usize, &'static str>;

    /// Numbers that are read for ever, and stages that are done when the test says so.
    struct Bench {
        belt: Ints,
        at_work: Vec<(usize, usize, usize)>,
        out: Vec<(usize, Result<usize, &'static str>)>,
        read: usize,
    }

    impl Bench {
        fn new(stages: &[(usize, usize)], is_ordered: bool, collects_all: bool) -> Self {
            let manner = Manner {
                is_ordered,
                collects_all,
            };
            Self {
                belt: Belt::new((), stages.iter().copied(), manner),
                at_work: Vec::new(),
                out: Vec::new(),
                read: 0,
            }
        }

        fn begin(&mut self) {
            while let Some(step) = self.belt.step() {
                match step {
                    Step::Read(place, ()) => {
                        assert_eq!(place, self.read);
                        self.read += 1;
                        self.at_work.push((0, place, place));
                        let _ = self.belt.give_back(());
                    }
                    Step::Work { stage, place, item } => self.at_work.push((stage, place, item)),
                }
            }
        }

        /// The `n`th of those at work is done; each tenth fails in the second stage.
        fn finish(&mut self, n: usize) {
            let (stage, place, item) = self.at_work.swap_remove(n);
            let fails = stage == 1 && place % 10 == 9;
            let end = if fails {
                Err("ten")
            } else {
                Ok(Some(item + 1000))
            };
            self.belt.finished(stage, place, end, false);
            self.begin();
        }

        fn take(&mut self) -> bool {
            let taken = self.belt.take();
            let did = taken.is_some();
            self.out.extend(taken);
            self.begin();
            did
        }
    }

    /// Numbers that look random, the same each time.
    fn numbers(seed: u64) -> impl FnMut(usize) -> usize {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        move |below| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        }
    }

    #[test]
    fn what_is_held_never_exceeds_width_and_buffer_and_nothing_blocks_for_good() {
        let shapes: [&[(usize, usize)]; 5] = [
            &[(1, 0)],
            &[(1, 0), (1, 0)],
            &[(4, 4), (2, 2)],
            &[(3, 0), (1, 5), (2, 1)],
            &[(1, 9), (8, 0), (1, 0), (5, 2)],
        ];
        for (seed, shape) in (1..200).flat_map(|seed| shapes.map(|shape| (seed, shape))) {
            let is_ordered = seed % 2 == 0;
            let mut random = numbers(seed);
            let mut bench = Bench::new(shape, is_ordered, true);
            bench.begin();
            let most: usize = shape.iter().map(|(width, buffer)| width + buffer).sum();
            while bench.out.len() < 60 {
                assert!(bench.read <= bench.out.len() + most);
                for (stage, (width, buffer)) in shape.iter().enumerate() {
                    let lane = &bench.belt.lanes[stage];
                    let at_work = bench.at_work.iter().filter(|(s, ..)| *s == stage).count();
                    assert_eq!(at_work, lane.at_work);
                    assert!(at_work <= *width && at_work + lane.waiting.len() <= width + buffer);
                }
                // Who takes is slow, or who works is.
                let moved = match random(3) {
                    0 if bench.take() => true,
                    _ if bench.at_work.is_empty() => bench.take(),
                    _ => {
                        let n = random(bench.at_work.len());
                        bench.finish(n);
                        true
                    }
                };
                assert!(moved, "seed {seed}: nothing goes on in {shape:?}");
            }
            let places: Vec<_> = bench.out.iter().map(|(place, _)| *place).collect();
            assert!(
                !is_ordered || places.iter().copied().eq(0..60),
                "{places:?}"
            );
            for (place, end) in bench.out {
                let fails = shape.len() > 1 && place % 10 == 9;
                assert_eq!(
                    end,
                    if fails {
                        Err("ten")
                    } else {
                        Ok(place + 1000 * shape.len())
                    }
                );
            }
        }
    }

    #[test]
    fn in_order_the_first_failure_comes_after_all_before_it_and_ends_it() {
        for seed in 1..200 {
            let mut random = numbers(seed);
            let mut bench = Bench::new(&[(4, 2), (4, 2), (2, 2)], true, false);
            bench.begin();
            while bench.out.last().is_none_or(|(_, end)| end.is_ok()) {
                match random(2) {
                    0 if bench.take() => {}
                    _ if bench.at_work.is_empty() => assert!(bench.take(), "seed {seed}"),
                    _ => {
                        let n = random(bench.at_work.len());
                        bench.finish(n);
                    }
                }
            }
            let places: Vec<_> = bench.out.iter().map(|(place, _)| *place).collect();
            assert_eq!(places, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], "seed {seed}");
        }
    }

    #[test]
    fn at_rest_exactly_as_much_was_read_as_there_are_places() {
        for is_ordered in [true, false] {
            let mut bench = Bench::new(&[(3, 2), (2, 0), (1, 4)], is_ordered, true);
            bench.begin();
            for taken in 0..20 {
                while !bench.at_work.is_empty() {
                    bench.finish(0);
                }
                assert_eq!(bench.read, 5 + 2 + 5 + taken);
                assert!(bench.take());
            }
        }
    }
}
