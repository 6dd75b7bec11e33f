//! Pipelines: order, widths, back-pressure, failures, and their end.

use crate::handle::must_join;
use crate::support::{LONG, must_recv};
use millhand::cancel::CancelReason;
use millhand::compose::{Failure, Pipeline};
use millhand::error::Rejection;
use millhand::observe::Event;
use millhand::task::Context;
use millhand::{
    ContextVar, JoinError, OnFull, Shutdown, TaskError, ThreadPool, blocking, current, is_cancelled,
};
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

/// Runs `f` apart, and fails in place of hanging.
fn must_end<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    let thread = thread::spawn(move || {
        let _ = send.send(f());
    });
    match receive.recv_timeout(LONG) {
        Ok(value) => value,
        Err(_) if thread.is_finished() => panic!("it panicked: {:?}", thread.join().map(|_| ())),
        Err(_) => panic!("it must end"),
    }
}

/// Numbers without an end, and how many were read.
fn counted() -> (
    Arc<AtomicUsize>,
    impl Iterator<Item = usize> + Send + 'static,
) {
    let count = Arc::new(AtomicUsize::new(0));
    let read = count.clone();
    (
        count,
        std::iter::repeat_with(move || read.fetch_add(1, SeqCst)),
    )
}

#[test]
fn it_gives_what_a_plain_loop_gives() {
    for workers in [1, 2, 4] {
        let pool = ThreadPool::new(workers).unwrap();
        for (length, width) in [(0, 1), (1, 3), (2, 1), (100, 2), (1_000, 8)] {
            let expected: Vec<_> = (0..length).map(|n| format!("{}", n * 2)).collect();
            let stages = |pipeline: Pipeline<u32>| {
                let doubled = pipeline.stage(width, |n| n * 2);
                doubled.stage(3, |n| n.to_string()).stage(1, |text| text)
            };
            let mut seen = Vec::new();
            stages(pool.pipeline(0..length))
                .run(|text| seen.push(text))
                .unwrap();
            assert_eq!(seen, expected, "{workers} workers, {length} items");
            let mut seen = Vec::new();
            let any = stages(pool.pipeline(0..length)).unordered();
            any.run(|text| seen.push(text)).unwrap();
            seen.sort_by_key(|text| text.parse::<u32>().unwrap());
            assert_eq!(
                seen, expected,
                "{workers} workers, {length} items, unordered"
            );
        }
    }
}

#[test]
fn ten_thousand_items_go_through() {
    let pool = ThreadPool::new(2).unwrap();
    let pipeline = pool.pipeline(0..10_000_u64).stage(4, |n| n + 1);
    let mut next = 2;
    pipeline
        .stage(2, |n| n * 2)
        .run(|n| {
            assert_eq!(n, next);
            next += 2;
        })
        .unwrap();
    assert_eq!(next, 20_002);
}

#[test]
fn without_a_stage_the_items_come_as_they_are() {
    let pool = ThreadPool::new(1).unwrap();
    let items: Result<Vec<_>, _> = pool.pipeline([3, 1, 2]).into_iter().collect();
    assert_eq!(items.unwrap(), [3, 1, 2]);
}

#[test]
fn no_more_is_read_than_there_is_room_for() {
    // Widths and buffers, and their sum.
    let cases: [(usize, Option<usize>, usize, usize); 4] = [
        (1, Some(0), 1, 2),
        (3, None, 2, 10),
        (3, Some(0), 2, 5),
        (2, Some(7), 1, 17),
    ];
    for workers in [1, 3] {
        for (first, buffer, second, room) in cases {
            for is_ordered in [true, false] {
                let pool = ThreadPool::new(workers).unwrap();
                let (read, source) = counted();
                let mut pipeline = pool.pipeline(source);
                if let Some(buffer) = buffer {
                    pipeline = pipeline.buffer(buffer);
                }
                let mut pipeline = pipeline.stage(first, |n| n).stage(second, |n| n);
                if !is_ordered {
                    pipeline = pipeline.unordered();
                }
                assert_eq!(read.load(SeqCst), 0, "nothing begins by itself");
                let mut items = pipeline.into_iter();
                for taken in 0..10 {
                    pool.wait_idle().unwrap();
                    let what = format!("{first} {buffer:?} {second}, {taken} taken");
                    assert_eq!(read.load(SeqCst), room + taken, "{what}");
                    items.next().unwrap().unwrap();
                }
            }
        }
    }
}

#[test]
fn a_buffer_is_for_the_stages_after_it() {
    let pool = ThreadPool::new(1).unwrap();
    let (read, source) = counted();
    let pipeline = pool.pipeline(source).stage(1, |n| n).buffer(10);
    let items = pipeline.stage(1, |n| n).buffer(3).stage(1, |n| n);
    let items = items.into_iter();
    pool.wait_idle().unwrap();
    assert_eq!(read.load(SeqCst), 2 + 11 + 4);
    drop(items);
}

#[test]
fn a_slow_stage_holds_up_those_before_it() {
    let pool = ThreadPool::new(4).unwrap();
    let (read, source) = counted();
    let (go, gone) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let gone = Mutex::new(gone);
    let pipeline = pool.pipeline(source).stage(2, |n| n).stage(1, move |n| {
        tell.send(n).unwrap();
        let _ = gone.lock().unwrap().recv();
        n
    });
    let mut items = pipeline.into_iter();
    for n in 0..5 {
        assert_eq!(must_recv(&told), n);
        // The one at work, and four in the first stage or behind it; nothing waits for the sink.
        while read.load(SeqCst) < n + 5 {
            thread::yield_now();
        }
        go.send(()).unwrap();
        assert_eq!(items.next().unwrap().unwrap(), n);
    }
    assert!(read.load(SeqCst) <= 10);
    drop(go);
    drop(items);
}

/// How many are in it at once.
#[derive(Clone, Default)]
struct Gauge(Arc<(AtomicIsize, AtomicIsize)>);

impl Gauge {
    fn during<T>(&self, f: impl FnOnce() -> T) -> T {
        let (now, most) = &*self.0;
        most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
        let value = f();
        now.fetch_sub(1, SeqCst);
        value
    }

    fn most(&self) -> isize {
        self.0.1.load(SeqCst)
    }
}

#[test]
fn a_stage_is_as_wide_as_it_was_asked_for_and_never_wider() {
    for is_ordered in [true, false] {
        let pool = ThreadPool::new(6).unwrap();
        let (wide, narrow) = (Gauge::default(), Gauge::default());
        let (also, narrow_too) = (wide.clone(), narrow.clone());
        let together = Barrier::new(3);
        let pipeline = pool
            .pipeline(0..300)
            .stage(3, move |n| {
                also.during(|| {
                    together.wait();
                    n
                })
            })
            .stage(1, move |n| narrow_too.during(|| n));
        let pipeline = if is_ordered {
            pipeline
        } else {
            pipeline.unordered()
        };
        let mut count = 0;
        pipeline.run(|_| count += 1).unwrap();
        assert_eq!((count, wide.most(), narrow.most()), (300, 3, 1));
    }
}

/// A pipeline whose first item is held until told to go on, while the others go through.
fn with_a_slow_first(pool: &ThreadPool) -> (Pipeline<u32>, mpsc::Sender<()>) {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let pipeline = pool.pipeline(0..6).stage(3, move |n| {
        if n == 0 {
            let _ = gone.lock().unwrap().recv();
        }
        n
    });
    (pipeline.stage(1, |n| n), go)
}

#[test]
fn in_order_the_first_is_waited_for_and_unordered_it_is_overtaken() {
    let pool = ThreadPool::new(3).unwrap();
    let (pipeline, go) = with_a_slow_first(&pool);
    let mut items = pipeline.unordered().into_iter();
    let mut first: Vec<_> = (0..5).map(|_| items.next().unwrap().unwrap()).collect();
    first.sort();
    assert_eq!(first, [1, 2, 3, 4, 5]);
    go.send(()).unwrap();
    assert_eq!(items.next().unwrap().unwrap(), 0);
    assert!(items.next().is_none());
    assert!(items.next().is_none());

    let (pipeline, go) = with_a_slow_first(&pool);
    let items = pipeline.into_iter();
    let later = thread::spawn(move || items.map(Result::unwrap).collect::<Vec<_>>());
    go.send(()).unwrap();
    assert_eq!(later.join().unwrap(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_stage_of_width_one_has_the_items_in_order() {
    let pool = ThreadPool::new(4).unwrap();
    for _ in 0..20 {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let note = seen.clone();
        let spread = pool.pipeline(0..200_u32).stage(4, |n| {
            (0..n % 7).for_each(|_| thread::yield_now());
            n
        });
        let noted = spread.stage(1, move |n| note.lock().unwrap().push(n));
        noted.stage(2, |()| ()).run(drop).unwrap();
        assert!(seen.lock().unwrap().iter().copied().eq(0..200));
    }
}

#[test]
fn an_endless_source_is_read_as_far_as_it_is_asked_for() {
    let pool = ThreadPool::new(2).unwrap();
    let (read, source) = counted();
    let items = pool.pipeline(source).stage(2, |n| n * n).into_iter();
    let squares: Vec<_> = items.take(100).map(Result::unwrap).collect();
    assert!(squares.into_iter().eq((0..100).map(|n| n * n)));
    pool.wait_idle().unwrap();
    assert!(read.load(SeqCst) <= 104);
}

type Parsed = Result<u32, Failure>;

fn places(items: impl Iterator<Item = Parsed>) -> Vec<Result<u32, usize>> {
    items
        .map(|item| item.map_err(|failure| failure.index()))
        .collect()
}

#[test]
fn in_order_the_first_failure_comes_after_all_before_it_and_nothing_after_it() {
    let pool = ThreadPool::new(3).unwrap();
    for _ in 0..50 {
        let texts = (0..100).map(|n| {
            if n % 10 == 7 {
                "x".to_owned()
            } else {
                n.to_string()
            }
        });
        let numbers = pool
            .pipeline(texts)
            .stage(4, |text| text)
            .stage_ok(3, |text| {
                (0..text.len()).for_each(|_| thread::yield_now());
                text.parse()
            });
        let ends = places(numbers.stage(2, |n| n).into_iter());
        let expected: Vec<_> = (0..7).map(Ok).chain([Err(7)]).collect();
        assert_eq!(ends, expected);
    }
}

#[test]
fn unordered_a_failure_comes_next_and_is_the_last() {
    let pool = ThreadPool::new(2).unwrap();
    let numbers = pool
        .pipeline(["1", "x", "y", "4"])
        .stage_ok(1, |text| text.parse());
    let ends = places(numbers.unordered().into_iter());
    assert_eq!(ends.last(), Some(&Err(1)), "{ends:?}");
    assert!(ends.len() <= 2);
}

#[test]
fn collected_failures_come_in_their_places() {
    let pool = ThreadPool::new(2).unwrap();
    let texts = ["0", "x", "2", "y", "z", "5"];
    let numbers = || {
        pool.pipeline(texts)
            .stage_ok(2, |text| text.parse())
            .collect_all()
    };
    let ends = places(numbers().stage(1, |n: u32| n + 10).into_iter());
    assert_eq!(ends, [Ok(10), Err(1), Ok(12), Err(3), Err(4), Ok(15)]);
    let mut ends = places(numbers().unordered().into_iter());
    ends.sort();
    assert_eq!(ends, [Ok(0), Ok(2), Ok(5), Err(1), Err(3), Err(4)]);

    let mut sum = 0;
    let failures = numbers().run(|n| sum += n).unwrap_err();
    let errors = failures.pick::<std::num::ParseIntError>();
    let texts: Vec<_> = errors.map(|(_, error)| error.to_string()).collect();
    assert_eq!(sum, 7);
    assert_eq!(texts, ["invalid digit found in string"; 3]);
}

#[test]
fn many_failures_and_few_places_block_nothing() {
    let pool = ThreadPool::new(2).unwrap();
    for is_ordered in [true, false] {
        let odd = pool.pipeline(0..1_000_u32).buffer(0).stage(3, |n| n);
        let odd = odd.stage_ok(2, |n| if n % 2 == 1 { Ok(n) } else { Err("even") });
        let odd = odd.stage(1, |n| n).collect_all();
        let odd = if is_ordered { odd } else { odd.unordered() };
        let mut seen = 0;
        let failures = must_end(move || odd.run(|_| seen += 1).unwrap_err());
        assert_eq!(failures.len(), 500);
    }
}

#[test]
fn a_failure_names_the_stage_by_its_site() {
    let pool = ThreadPool::new(1).unwrap();
    let first = pool.pipeline([1]).stage(1, |n| n);
    let line = line!() + 1;
    let second = first.stage_ok(1, |n| Err::<u32, _>(n.to_string()));
    let failures = second.stage(1, |n| n).run(drop).unwrap_err();
    let failure = failures.first();
    assert_eq!(failure.site().file(), file!());
    assert_eq!(
        (failure.site().line(), failure.index(), failures.len()),
        (line, 0, 1)
    );
    assert!(matches!(failure.error(), JoinError::Failed(error) if error.to_string() == "1"));
}

fn panic_of<E>(failure: Failure<E>) -> String {
    match failure.into_error() {
        JoinError::Task(TaskError::Panicked(panic)) => panic.message().to_owned(),
        _ => panic!("not a panic"),
    }
}

#[test]
fn a_panic_in_a_stage_is_a_failure_that_is_read() {
    let pool = ThreadPool::new(2).unwrap();
    let risky = || {
        pool.pipeline(0..10).stage(2, |n| {
            assert!(n % 4 != 3, "item {n}");
            n
        })
    };
    let mut seen = Vec::new();
    let failures = risky().run(|n| seen.push(n)).unwrap_err();
    assert_eq!((seen, failures.len()), (vec![0, 1, 2], 1));
    assert_eq!(panic_of(failures.into_first()), "item 3");
    let failures = risky().collect_all().run(drop).unwrap_err();
    let said: Vec<_> = failures.into_iter().map(panic_of).collect();
    assert_eq!(said, ["item 3", "item 7"]);
    assert_eq!(pool.stats().unread, 0);
}

/// A source that panics at its fourth item, and when it is dropped if asked to.
struct Brittle(u32, bool);

impl Iterator for Brittle {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.0 += 1;
        assert!(self.0 < 4, "the source is dry");
        Some(self.0)
    }
}

impl Drop for Brittle {
    fn drop(&mut self) {
        assert!(!self.1, "the source is dropped");
    }
}

#[test]
fn a_source_that_panics_has_no_more_items() {
    for (collects, drop_panics) in [(false, false), (true, false), (false, true), (true, true)] {
        let pool = ThreadPool::new(2).unwrap();
        let pipeline = pool.pipeline(Brittle(0, drop_panics)).stage(2, |n| n);
        let pipeline = if collects {
            pipeline.collect_all()
        } else {
            pipeline
        };
        let mut seen = Vec::new();
        let failures = must_end(move || {
            let failures = pipeline.run(|n| seen.push(n)).unwrap_err();
            assert_eq!(seen, [1, 2, 3]);
            failures
        });
        assert_eq!((failures.len(), failures.first().index()), (1, 3));
        assert_eq!(panic_of(failures.into_first()), "the source is dry");
        // As one that is stopped in the middle.
        let mut items = pool
            .pipeline(Brittle(0, drop_panics))
            .stage(1, |n| n)
            .into_iter();
        assert_eq!(items.next().unwrap().unwrap(), 1);
        drop(items);
        assert_eq!(must_join(pool.submit(|| 7)).unwrap(), 7);
    }
}

static ALIVE: AtomicIsize = AtomicIsize::new(0);

/// An item that is counted.
struct Counted;

impl Counted {
    fn new() -> Self {
        ALIVE.fetch_add(1, SeqCst);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, SeqCst);
    }
}

#[test]
fn what_is_dropped_in_the_middle_leaves_nothing_behind() {
    for workers in [1, 3] {
        for taken in [0, 1, 7] {
            let pool = ThreadPool::new(workers).unwrap();
            let kept = Arc::new(());
            let (in_source, in_stage) = (kept.clone(), kept.clone());
            let source = std::iter::repeat_with(move || {
                let _in_source = &in_source;
                Counted::new()
            });
            let pipeline = pool.pipeline(source).stage(3, move |item| {
                let _in_stage = &in_stage;
                item
            });
            let mut items = pipeline.stage(1, |item| item).into_iter();
            for _ in 0..taken {
                items.next().unwrap().unwrap();
            }
            drop(items);
            pool.wait_idle().unwrap();
            drop(pool);
            assert_eq!(ALIVE.load(SeqCst), 0);
            assert_eq!(Arc::strong_count(&kept), 1);
        }
    }
}

#[test]
fn a_pipeline_that_has_ended_leaves_nothing_behind_either() {
    let pool = ThreadPool::new(2).unwrap();
    let kept = Arc::new(());
    for fails in [false, true] {
        let held = kept.clone();
        let pipeline = pool.pipeline(0..10).stage_ok(2, move |n| {
            let _held = &held;
            if fails && n == 5 { Err("five") } else { Ok(n) }
        });
        assert_eq!(pipeline.run(drop).is_err(), fails);
    }
    drop(pool);
    assert_eq!(Arc::strong_count(&kept), 1);
}

#[test]
fn dropping_it_asks_the_bodies_that_run_to_stop() {
    let pool = ThreadPool::new(2).unwrap();
    let (tell, told) = mpsc::channel();
    let items = pool.pipeline(0..).stage(2, move |_| {
        tell.send(()).unwrap();
        while !is_cancelled() {
            thread::yield_now();
        }
        current().unwrap().token().reason()
    });
    let items = items.into_iter();
    must_recv(&told);
    must_recv(&told);
    drop(items);
    must_end(move || drop(pool));
    assert_eq!(told.into_iter().count(), 0);
}

#[test]
fn a_failure_asks_the_others_to_stop() {
    let pool = ThreadPool::new(2).unwrap();
    let (tell, told) = mpsc::channel();
    let begun = Barrier::new(2);
    let pipeline = pool.pipeline(0..2).stage_ok(2, move |n| {
        begun.wait();
        if n == 0 {
            return Err("no");
        }
        while !is_cancelled() {
            thread::yield_now();
        }
        tell.send(current().unwrap().token().reason()).unwrap();
        Ok(n)
    });
    pipeline.unordered().run(drop).unwrap_err();
    assert_eq!(must_recv(&told), Some(CancelReason::Group));
}

#[test]
fn a_sink_that_panics_stops_it() {
    let pool = ThreadPool::new(2).unwrap();
    let (read, source) = counted();
    let pipeline = pool.pipeline(source).stage(2, |n| n);
    let end = catch_unwind(AssertUnwindSafe(|| {
        let _ = pipeline.run(|n| assert!(n < 5, "full"));
    }));
    assert!(end.is_err());
    pool.wait_idle().unwrap();
    let all = read.load(SeqCst);
    assert!(all <= 10);
    assert_eq!(must_join(pool.submit(|| 7)).unwrap(), 7);
    assert_eq!(read.load(SeqCst), all);
}

#[test]
fn it_works_inside_tasks_and_inside_stages_on_one_worker() {
    let sum = must_end(|| {
        let pool = ThreadPool::new(1).unwrap();
        let task = pool.submit(|| {
            let outer = current().unwrap().pool().pipeline(1..=5_u32).stage(2, |n| {
                let mut sum = 0;
                let inner = current().unwrap().pool().pipeline(0..n).stage(2, |n| n);
                inner.run(|n| sum += n).unwrap();
                sum
            });
            let mut sums = Vec::new();
            outer.run(|n| sums.push(n)).unwrap();
            sums
        });
        task.join().unwrap()
    });
    assert_eq!(sum, [0, 1, 3, 6, 10]);
}

#[test]
fn no_worker_is_kept_while_it_stands_still() {
    let pool = ThreadPool::new(1).unwrap();
    let (_, source) = counted();
    let mut items = pool.pipeline(source).stage(1, |n| n).into_iter();
    for n in 0..100 {
        assert_eq!(must_join(pool.submit(move || n)).unwrap(), n);
        assert_eq!(items.next().unwrap().unwrap(), n);
    }
    assert_eq!(pool.threads(), 1);
}

#[test]
fn a_source_that_waits_and_says_so_keeps_no_worker() {
    let pool = ThreadPool::new(1).unwrap();
    let (send, receive) = mpsc::channel();
    let source = std::iter::from_fn(move || blocking(|| receive.recv().ok()));
    let mut items = pool.pipeline(source).stage(1, |n: u32| n * 2).into_iter();
    for n in 0..10 {
        send.send(n).unwrap();
        assert_eq!(items.next().unwrap().unwrap(), n * 2);
    }
    drop(send);
    assert!(items.next().is_none());
}

fn task_error<T, E>(end: Option<Result<T, Failure<E>>>) -> Option<TaskError> {
    match end?.err()?.into_error() {
        JoinError::Task(error) => Some(error),
        JoinError::Failed(_) => None,
    }
}

fn says_closed(error: &TaskError) -> bool {
    matches!(
        error,
        TaskError::Rejected(Rejection::Closed) | TaskError::Cancelled(CancelReason::Shutdown)
    )
}

#[test]
fn a_pool_that_is_closed_ends_it_before_it_begins() {
    for collects in [false, true] {
        let pool = ThreadPool::new(1).unwrap();
        pool.shutdown(Shutdown::drain()).unwrap();
        let pipeline = pool.pipeline(0..).stage(1, |n: u32| n);
        let pipeline = if collects {
            pipeline.collect_all()
        } else {
            pipeline
        };
        let mut items = pipeline.into_iter();
        let error = task_error(items.next()).unwrap();
        assert!(says_closed(&error), "{error}");
        assert!(items.next().is_none());
    }
}

#[test]
fn a_drain_does_not_wait_for_an_endless_pipeline_which_says_why_it_ends() {
    for (collects, is_ordered) in [(false, true), (true, true), (false, false), (true, false)] {
        let error = must_end(move || {
            let pool = ThreadPool::new(2).unwrap();
            let pipeline = pool.pipeline(0..).stage(2, |n: u64| n).stage(1, |n| n);
            let pipeline = if collects {
                pipeline.collect_all()
            } else {
                pipeline
            };
            let pipeline = if is_ordered {
                pipeline
            } else {
                pipeline.unordered()
            };
            let mut items = pipeline.into_iter();
            let (tell, told) = mpsc::channel();
            let sink = thread::spawn(move || {
                loop {
                    let end = items.next();
                    let _ = tell.send(());
                    if !matches!(end, Some(Ok(_))) {
                        // To the second stage of items that had begun the pool says the same.
                        let rest: Vec<_> = items.filter(Result::is_err).collect();
                        assert!(collects || rest.is_empty());
                        for end in rest {
                            assert!(says_closed(&task_error(Some(end)).unwrap()));
                        }
                        return task_error(end).unwrap();
                    }
                }
            });
            (0..10).for_each(|_| must_recv(&told));
            pool.shutdown(Shutdown::drain()).unwrap();
            sink.join().unwrap()
        });
        assert!(says_closed(&error), "{error}");
    }
}

#[test]
fn a_pool_that_closed_threw_away_results_that_were_there() {
    for is_ordered in [true, false] {
        let pool = ThreadPool::new(2).unwrap();
        let begun = Arc::new(AtomicUsize::new(0));
        let counts = begun.clone();
        let items = pool.task().map_iter(0.., move |n: usize| {
            counts.fetch_add(1, SeqCst);
            n
        });
        let items = items.window(20);
        let mut items = match is_ordered {
            true => items,
            false => items.unordered(),
        };
        let mut values: Vec<_> = items.next().into_iter().collect::<Result<_, _>>().unwrap();
        // All that may be ahead of the consumer is.
        pool.wait_idle().unwrap();
        pool.close();
        let (mut failures, mut last) = (Vec::new(), None);
        for end in items {
            match end {
                Ok(value) => values.push(value),
                Err(failure) => {
                    last = Some(failure.index());
                    failures.push(failure.into_error());
                }
            }
        }
        values.sort_unstable();
        assert!(values.iter().copied().eq(0..begun.load(SeqCst)));
        assert_eq!((failures.len(), last), (1, Some(values.len())));
        assert!(matches!(
            failures[0],
            JoinError::Task(TaskError::Rejected(Rejection::Closed))
        ));
        let report = pool.shutdown(Shutdown::drain()).unwrap();
        assert_eq!(report.rejected(), 1);
    }
}

#[test]
fn a_failure_that_a_dropped_pipeline_had_in_store_was_lost() {
    let (tell, told) = mpsc::channel();
    let pool = ThreadPool::builder().workers(1);
    let pool = pool.on_unread(move |failure| tell.send(failure.to_string()).unwrap());
    let pool = pool.build().unwrap();
    let items = pool.task().name("odd").fallible();
    let items = items.map_iter(0..4, |n| if n == 0 { Ok(n) } else { Err("no luck") });
    let mut items = items.window(4);
    assert!(items.next().unwrap().is_ok());
    // The others have failed by now.
    pool.wait_idle().unwrap();
    drop(items);
    for _ in 1..4 {
        let text = must_recv(&told);
        assert!(text.contains("`odd`") && text.contains("no luck"), "{text}");
    }
    assert!(told.try_recv().is_err());
}

#[test]
fn a_shutdown_that_cancels_ends_it_while_somebody_waits() {
    for _ in 0..20 {
        let error = must_end(|| {
            let pool = ThreadPool::new(2).unwrap();
            let (tell, told) = mpsc::channel();
            let pipeline = pool.pipeline(0..).stage(4, move |n: u64| {
                tell.send(()).unwrap();
                while !is_cancelled() {
                    thread::yield_now();
                }
                n
            });
            let items = pipeline.collect_all().into_iter();
            let sink = thread::spawn(move || {
                let mut last = None;
                for end in items {
                    last = task_error(Some(end)).or(last);
                }
                last.unwrap()
            });
            must_recv(&told);
            must_recv(&told);
            pool.shutdown(Shutdown::drain().cancel_after(Duration::ZERO))
                .unwrap();
            sink.join().unwrap()
        });
        assert!(says_closed(&error), "{error}");
    }
}

#[test]
fn a_pipeline_of_a_task_is_finished_by_a_drain() {
    let sum = must_end(|| {
        let pool = ThreadPool::new(1).unwrap();
        let (tell, told) = mpsc::channel();
        let (go, gone) = mpsc::channel::<()>();
        let task = pool.submit(move || {
            tell.send(()).unwrap();
            gone.recv().unwrap();
            let mut sum = 0;
            let pipeline = current().unwrap().pool().pipeline(0..100_u32);
            pipeline.stage(3, |n| n).run(|n| sum += n).unwrap();
            sum
        });
        must_recv(&told);
        let weak = pool.handle();
        let drain = thread::spawn(move || drop(pool));
        while !weak.is_closed() {
            thread::yield_now();
        }
        go.send(()).unwrap();
        drain.join().unwrap();
        task.join().unwrap()
    });
    assert_eq!(sum, 4950);
}

#[test]
fn a_bounded_queue_is_waited_for_and_a_rejecting_one_is_told_of() {
    let pool = ThreadPool::builder().workers(2).queue_capacity(1);
    let blocks = pool.clone().build().unwrap();
    let mut count = 0;
    blocks
        .pipeline(0..500)
        .stage(8, |n| n)
        .run(|_| count += 1)
        .unwrap();
    assert_eq!(count, 500);

    let rejects = pool.on_full(OnFull::Reject).build().unwrap();
    let end = rejects.pipeline(0..500).stage(8, |n| n).run(|_| ());
    if let Err(failures) = end {
        let error = failures.into_first().into_error();
        let full = matches!(error, JoinError::Task(TaskError::Rejected(Rejection::Full)));
        assert!(full, "{error}");
    }
}

#[test]
fn the_tasks_inherit_the_context_in_which_it_was_begun() {
    static NUMBER: ContextVar<u32> = ContextVar::new(0);
    let pool = ThreadPool::new(2).unwrap();
    let source = std::iter::repeat_with(|| NUMBER.get()).take(20);
    let pipeline = pool.pipeline(source).stage(2, |n| n + NUMBER.get());
    let pipeline = pipeline.stage(1, |n| n + NUMBER.get());
    let items = NUMBER.with(1, || pipeline.into_iter());
    // Whoever takes the results has nothing to do with it.
    NUMBER.with(100, || items.for_each(|n| assert_eq!(n.unwrap(), 3)));
    Context::default().run(|| assert_eq!(NUMBER.get(), 0));
}

#[test]
fn a_width_of_none_is_refused() {
    let pool = ThreadPool::new(1).unwrap();
    let end = catch_unwind(AssertUnwindSafe(|| {
        drop(pool.pipeline([1]).stage(0, |n| n));
    }));
    let said = end.unwrap_err();
    let said = said.downcast_ref::<&str>().unwrap();
    assert_eq!(
        *said,
        "a stage's width is not allowed: it must be at least 1"
    );
}

#[test]
fn it_prints_what_it_is() {
    let pool = ThreadPool::new(1).unwrap();
    let pipeline = pool.pipeline([1]).stage(3, |n| n).buffer(0).stage(1, |n| n);
    let text = format!("{:?}", pipeline.unordered());
    assert!(
        text.contains("widths_and_buffers: [(3, 3), (1, 0)]"),
        "{text}"
    );
    assert!(text.contains("ordered: false"), "{text}");
}

#[test]
fn what_it_gives_crosses_threads() {
    fn send<T: Send>() {}
    send::<Pipeline<u32>>();
    send::<millhand::compose::PipelineIter<u32>>();
    send::<Failure>();
    send::<Failure<Infallible>>();
}

#[test]
fn many_pipelines_share_a_pool() {
    let pool = Arc::new(ThreadPool::new(3).unwrap());
    let ends: Vec<Receiver<u64>> = (0..6_u64)
        .map(|k| {
            let (tell, told) = mpsc::channel();
            let pool = pool.clone();
            thread::spawn(move || {
                let pipeline = pool
                    .pipeline(0..300)
                    .stage(3, move |n| n * k)
                    .stage(2, |n| n + 1);
                let pipeline = if k % 2 == 0 {
                    pipeline
                } else {
                    pipeline.unordered()
                };
                let mut sum = 0;
                pipeline.run(|n| sum += n).unwrap();
                tell.send(sum).unwrap();
            });
            told
        })
        .collect();
    for (k, end) in (0..).zip(ends) {
        assert_eq!(must_recv(&end), 300 + k * 299 * 150);
    }
}

/// What a pipeline does in an hour of simulated time, as text.
#[cfg(feature = "simulation")]
fn simulated(seed: u64) -> String {
    let simulation = millhand::testing::Simulation::new(seed);
    let pool = ThreadPool::builder().workers(3).build().unwrap();
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let pipeline = pool.pipeline(0..40_u64).stage(3, move |n| {
        millhand::sleep(minutes(1 + n % 4)).unwrap();
        n
    });
    let pipeline = pipeline.stage(1, move |n| {
        millhand::sleep(minutes(2)).unwrap();
        n
    });
    let mut next = 0;
    pipeline
        .run(|n| {
            assert_eq!(n, next);
            next += 1;
        })
        .unwrap();
    assert_eq!(next, 40);
    // The narrow stage is what it takes, and the first item's minute.
    assert_eq!(simulation.elapsed(), minutes(81));
    format!("{:?}", simulation.trace())
}

#[cfg(feature = "simulation")]
#[test]
fn a_simulated_pipeline_is_the_same_for_the_same_seed_and_hangs_for_none() {
    must_end(|| {
        for seed in 0..30 {
            let first = simulated(seed);
            if seed < 3 {
                assert_eq!(first, simulated(seed));
            }
        }
    });
}

/// The thread that took a result, and the worker, each submitted what it found could begin.
#[test]
fn two_threads_that_drove_it_submitted_two_items_in_the_wrong_order() {
    let me = thread::current().id();
    // Time for the worker to overtake this thread.
    let slow = move |event: &Event| {
        if matches!(event, Event::Submitted { .. }) && thread::current().id() == me {
            thread::sleep(Duration::from_micros(50));
        }
    };
    let one = ThreadPool::builder().workers(1).observer(slow);
    let pool = one.build().unwrap();
    let task = pool.task().name("item");
    for _ in 0..100 {
        let begun = Arc::new(Mutex::new(Vec::new()));
        let note = begun.clone();
        let items = task.map_iter(0..50, move |n| note.lock().unwrap().push(n));
        assert_eq!(items.window(10).count(), 50);
        let begun = begun.lock().unwrap();
        assert!(begun.iter().copied().eq(0..50), "{begun:?}");
    }
}

#[cfg(feature = "simulation")]
#[test]
fn a_stage_has_the_gate_the_retries_and_the_name_of_its_template() {
    must_end(|| {
        let (pool, simulation) = ThreadPool::simulated(1);
        let seconds = Duration::from_secs;
        let api = millhand::RateLimiter::token_bucket(1, seconds(1)).burst(1);
        let call = pool.task().name("call").gate(&api.build().unwrap());
        let again = millhand::Retry::fixed(1, seconds(10));
        let store = pool.task().name("store").retry(again);
        let pipeline = pool.pipeline(1..=6).stage_with(&call, 2, |n| n * 10);
        let pipeline = pipeline.stage_retry(&store, 6, |n| match (n, millhand::attempt()) {
            (10, 1) | (40, _) => Err(format!("{n} is refused")),
            _ => Ok(n + 1),
        });
        let ends: Vec<_> = pipeline.collect_all().unordered().into_iter().collect();
        // One call a second; item 4 is called after 3 seconds, and given up after its second attempt.
        assert_eq!(simulation.elapsed(), seconds(13));
        let failures: Vec<_> = ends.iter().filter_map(|end| end.as_ref().err()).collect();
        assert_eq!(failures.len(), 1);
        assert_eq!(
            (failures[0].index(), failures[0].name()),
            (3, Some("store"))
        );
        // The item that was tried again comes after those that were not.
        let values: Vec<_> = ends.into_iter().flatten().collect();
        assert_eq!(values, [21, 31, 51, 61, 11]);
    });
}
