//! What may happen next in a pipeline: which item begins which stage, and which item comes out.
//! Pure: no thread, no lock, and no call of a closure of the user's.
//!
//! Layer: compose.
//
// An item is in the source, runs in a stage, or waits behind a stage: for the next stage, or to
// come out. `step` returns what may begin, one thing at a time, the last stage first. An item
// begins a stage only if there is room for it behind that stage, so a finished item never keeps a
// thread waiting. At most `width + buffer` items run in a stage or wait behind it.
//
// In order mode each stage begins the items in the order of the source. So the items that run in a
// stage or wait behind it have consecutive indices, and one of them is the item that the next stage
// needs next. Therefore a full stage never blocks the pipeline for good. An item that failed keeps
// its place in the order: it is moved along behind the remaining stages without running in them.

use crate::compose::pipeline::driver::Mode;
use crate::error::{BoxError, JoinError};
use crate::task::label::TaskLabel;
use std::any::Any;
use std::collections::BTreeMap;

/// A value of one of the user's types.
pub(crate) type Item = Box<dyn Any + Send>;
pub(crate) type Source = Box<dyn Iterator<Item = Item> + Send>;

/// An item that failed.
pub(crate) struct Failed {
    pub(crate) who: TaskLabel,
    pub(crate) error: JoinError<BoxError>,
}

/// Finished items by their index in the source.
type Waiting = BTreeMap<usize, Result<Item, Failed>>;

#[derive(Default)]
struct StageState {
    width: usize,
    /// How many items may wait behind the stage while `width` others run.
    buffer: usize,
    /// How many items run.
    running: usize,
    /// In order mode: the index of the item that begins next.
    next: usize,
    /// The items behind the stage.
    waiting: Waiting,
}

impl StageState {
    /// Whether one more item has room behind the stage.
    fn has_room(&self) -> bool {
        let held = self.running + self.waiting.len();
        held < self.width.saturating_add(self.buffer)
    }
}

/// Something to begin.
pub(crate) enum Step {
    /// To read the item with this index from the source and to run it in the first stage.
    Read(usize, Source),
    /// To run an item in a later stage.
    Run {
        stage: usize,
        index: usize,
        item: Item,
    },
}

/// Values of the user's that are not needed any more. The caller drops them without a lock.
#[derive(Default)]
pub(crate) struct Leftovers {
    pub(crate) source: Option<Source>,
    pub(crate) items: Vec<Result<Item, Failed>>,
}

pub(crate) struct PipelineState {
    /// At least one.
    stages: Vec<StageState>,
    mode: Mode,
    /// `None` while a task reads from it, and when it is exhausted or not needed any more.
    source: Option<Source>,
    /// How many items were read.
    read: usize,
    /// In order mode: the index of the item that comes out next.
    next_out: usize,
    /// Items with a higher index are not wanted.
    last: usize,
    is_closed: bool,
    /// Whether a thread begins what `step` returns.
    pub(crate) is_driven: bool,
}

impl PipelineState {
    /// `stages`: the width and the buffer of each stage. There is at least one.
    pub(crate) fn new(
        source: Source,
        stages: impl IntoIterator<Item = (usize, usize)>,
        mode: Mode,
    ) -> Self {
        let stages = stages.into_iter().map(|(width, buffer)| StageState {
            width,
            buffer,
            ..StageState::default()
        });
        Self {
            stages: stages.collect(),
            mode,
            source: Some(source),
            read: 0,
            next_out: 0,
            last: usize::MAX,
            is_closed: false,
            is_driven: false,
        }
    }

    /// The next thing that may begin. It counts as begun.
    pub(crate) fn step(&mut self) -> Option<Step> {
        for stage in (1..self.stages.len()).rev() {
            if let Some((index, item)) = self.begin(stage) {
                return Some(Step::Run { stage, index, item });
            }
        }
        let first = &mut self.stages[0];
        if first.running == first.width || !first.has_room() {
            return None;
        }
        let source = self.source.take()?;
        first.running += 1;
        self.read += 1;
        Some(Step::Read(self.read - 1, source))
    }

    /// Takes an item for this stage from behind the stage before. Moves failed items along until it
    /// finds one.
    fn begin(&mut self, stage: usize) -> Option<(usize, Item)> {
        let (before, from) = self.stages.split_at_mut(stage);
        let (before, stage) = (&mut before[stage - 1], &mut from[0]);
        loop {
            let first = before.waiting.first_entry()?;
            let index = *first.key();
            let is_next = !self.mode.is_ordered || index == stage.next;
            let may_run = first.get().is_err() || stage.running < stage.width;
            if !is_next || !may_run || !stage.has_room() {
                return None;
            }
            stage.next = index + 1;
            match first.remove() {
                Ok(item) => {
                    stage.running += 1;
                    return Some((index, item));
                }
                failed => stage.waiting.insert(index, failed),
            };
        }
    }

    /// Takes the source back from the task that has read from it. Returns the source if no more
    /// items are wanted.
    pub(crate) fn put_back(&mut self, source: Source) -> Result<(), Source> {
        if self.is_closed || self.last < usize::MAX {
            return Err(source);
        }
        self.source = Some(source);
        Ok(())
    }

    /// A task of a stage has ended with an item, with `None` because the source was exhausted, or
    /// with a failure.
    pub(crate) fn finished(
        &mut self,
        stage: usize,
        index: usize,
        end: Result<Option<Item>, Failed>,
    ) -> Leftovers {
        let stage = &mut self.stages[stage];
        stage.running -= 1;
        let Some(end) = end.transpose() else {
            return Leftovers::default();
        };
        if self.is_closed || index > self.last {
            return Leftovers {
                source: None,
                items: vec![end],
            };
        }
        let goes_on = self.mode.is_ordered || self.mode.collects_all;
        match end {
            Err(failure) if !goes_on => self.close(Some((index, failure))),
            end => {
                let is_last = end.is_err() && !self.mode.collects_all;
                stage.waiting.insert(index, end);
                match is_last {
                    true => self.end_at(index),
                    false => Leftovers::default(),
                }
            }
        }
    }

    /// Makes this the last item that comes out: the items behind it would not have begun in a plain
    /// loop.
    fn end_at(&mut self, index: usize) -> Leftovers {
        self.last = index;
        self.leftovers(index + 1)
    }

    /// Ends the pipeline: nothing more begins, and nothing comes out but `last`.
    pub(crate) fn close(&mut self, last: Option<(usize, Failed)>) -> Leftovers {
        self.is_closed = true;
        let leftovers = self.leftovers(0);
        if let Some((index, failure)) = last {
            self.next_out = index;
            self.output().insert(index, Err(failure));
        }
        leftovers
    }

    /// Removes the source and the waiting items from this index on.
    fn leftovers(&mut self, from: usize) -> Leftovers {
        let mut items = Vec::new();
        for stage in &mut self.stages {
            items.extend(stage.waiting.split_off(&from).into_values());
        }
        Leftovers {
            source: self.source.take(),
            items,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// The items behind the last stage.
    fn output(&mut self) -> &mut Waiting {
        let last = self.stages.len() - 1;
        &mut self.stages[last].waiting
    }

    /// The item that comes out next, with its index, if it is there.
    pub(crate) fn take(&mut self) -> Option<(usize, Result<Item, Failed>)> {
        let next = self.mode.is_ordered.then_some(self.next_out);
        let first = self.output().first_entry()?;
        if next.is_some_and(|next| next != *first.key()) {
            return None;
        }
        let (index, end) = first.remove_entry();
        self.next_out = index + 1;
        Some((index, end))
    }

    /// Whether an item can be taken, or none will come any more.
    pub(crate) fn has_news(&self) -> bool {
        let last = self.stages.last();
        let first = last.and_then(|stage| stage.waiting.keys().next());
        let is_next = |index: &usize| !self.mode.is_ordered || *index == self.next_out;
        first.is_some_and(is_next) || self.has_ended()
    }

    /// Whether no item will come out any more.
    fn has_ended(&self) -> bool {
        let mut stages = self.stages.iter();
        let is_empty = |stage: &StageState| stage.waiting.is_empty();
        if self.is_closed {
            return stages.all(is_empty);
        }
        self.source.is_none() && stages.all(|stage| stage.running == 0 && is_empty(stage))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::id::TaskId;
    use std::panic::Location;

    /// A pipeline of numbers without an end. The test decides when an item is finished.
    struct Bench {
        state: PipelineState,
        running: Vec<(usize, usize, usize)>,
        out: Vec<(usize, Result<usize, ()>)>,
        read: usize,
    }

    fn boxed(n: usize) -> Item {
        Box::new(n)
    }

    fn unboxed(item: Item) -> usize {
        *(item as Box<dyn Any>).downcast().unwrap()
    }

    fn failed() -> Failed {
        let who = TaskLabel {
            id: TaskId::next(),
            name: None,
            site: Location::caller(),
        };
        let error = JoinError::Failed("no".into());
        Failed { who, error }
    }

    impl Bench {
        fn new(stages: &[(usize, usize)], is_ordered: bool, collects_all: bool) -> Self {
            let mode = Mode {
                is_ordered,
                collects_all,
            };
            Self {
                state: PipelineState::new(Box::new([].into_iter()), stages.iter().copied(), mode),
                running: Vec::new(),
                out: Vec::new(),
                read: 0,
            }
        }

        fn begin(&mut self) {
            while let Some(step) = self.state.step() {
                match step {
                    Step::Read(index, source) => {
                        assert_eq!(index, self.read);
                        self.read += 1;
                        self.running.push((0, index, index));
                        let _ = self.state.put_back(source);
                    }
                    Step::Run { stage, index, item } => {
                        self.running.push((stage, index, unboxed(item)));
                    }
                }
            }
        }

        /// Ends the `n`th of the running items. Each tenth item fails in the second stage.
        fn finish(&mut self, n: usize) {
            let (stage, index, item) = self.running.swap_remove(n);
            let end = match stage == 1 && index % 10 == 9 {
                true => Err(failed()),
                false => Ok(Some(boxed(item + 1000))),
            };
            self.state.finished(stage, index, end);
            self.begin();
        }

        fn take(&mut self) -> bool {
            let Some((index, end)) = self.state.take() else {
                return false;
            };
            self.out.push((index, end.map(unboxed).map_err(drop)));
            self.begin();
            true
        }

        /// Takes an item, once in `n` times, or finishes one. Returns false if neither is possible.
        fn advance(&mut self, n: usize, random: &mut impl FnMut(usize) -> usize) -> bool {
            if random(n) == 0 && self.take() {
                return true;
            }
            if self.running.is_empty() {
                return self.take();
            }
            self.finish(random(self.running.len()));
            true
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
        for n in 0..1000 {
            let (seed, shape) = (n / 5 + 1, shapes[n as usize % 5]);
            let is_ordered = seed % 2 == 0;
            let mut random = numbers(seed);
            let mut bench = Bench::new(shape, is_ordered, true);
            bench.begin();
            let most: usize = shape.iter().map(|(width, buffer)| width + buffer).sum();
            while bench.out.len() < 60 {
                assert!(bench.read <= bench.out.len() + most);
                for (stage, (width, buffer)) in shape.iter().enumerate() {
                    let state = &bench.state.stages[stage];
                    let running = bench.running.iter().filter(|(s, ..)| *s == stage).count();
                    assert_eq!(running, state.running);
                    assert!(running <= *width && running + state.waiting.len() <= width + buffer);
                }
                let moved = bench.advance(3, &mut random);
                assert!(moved, "seed {seed}: nothing goes on in {shape:?}");
            }
            let indices: Vec<_> = bench.out.iter().map(|(index, _)| *index).collect();
            assert!(!is_ordered || indices.into_iter().eq(0..60));
            for (index, end) in bench.out {
                let fails = shape.len() > 1 && index % 10 == 9;
                let value = index + 1000 * shape.len();
                assert_eq!(end, if fails { Err(()) } else { Ok(value) });
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
                assert!(bench.advance(2, &mut random), "seed {seed}");
            }
            let indices: Vec<_> = bench.out.iter().map(|(index, _)| *index).collect();
            assert_eq!(indices, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], "seed {seed}");
        }
    }

    #[test]
    fn at_rest_exactly_as_much_was_read_as_there_is_room() {
        for is_ordered in [true, false] {
            let mut bench = Bench::new(&[(3, 2), (2, 0), (1, 4)], is_ordered, true);
            bench.begin();
            for taken in 0..20 {
                while !bench.running.is_empty() {
                    bench.finish(0);
                }
                assert_eq!(bench.read, 5 + 2 + 5 + taken);
                assert!(bench.take());
            }
        }
    }
}
