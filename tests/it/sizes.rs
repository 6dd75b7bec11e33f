//! Sizes, and what crosses threads: asserted, so that a change is seen.

use millhand::cancel::{CancelGuard, CancelReason};
use millhand::error::{Deadlock, Rejection, Stopped, SubmitError, TaskPanic};
use millhand::observe::{
    Age, Buffered, Dropped, Event, Rates, ScheduleInfo, Stats, TaskInfo, TaskTable, WorkerInfo,
};
use millhand::pool::{BuildError, Current, PoolError, ShutdownReport};
use millhand::schedule::{Schedule, ScheduleBuilder, ScheduleCounts};
use millhand::task::{Context, OnFinish, Promise, Summary, TaskId, TaskLabel};
use millhand::{
    CancelToken, ContextVar, Every, JoinError, PoolHandle, SharedHandle, TaskBuilder, TaskError,
    TaskHandle, ThreadPool, WorkerLocal,
};
use std::cell::Cell;

#[test]
fn errors_and_handles_are_small() {
    assert!(size_of::<TaskError>() <= 16);
    assert!(size_of::<Result<(), TaskError>>() <= 16);
    assert_eq!(size_of::<TaskId>(), 8);
    assert_eq!(size_of::<Stopped>(), 1);
    assert_eq!(size_of::<Option<CancelReason>>(), 1);
    assert!(size_of::<TaskHandle<()>>() <= 24);
    assert_eq!(
        size_of::<Option<TaskHandle<()>>>(),
        size_of::<TaskHandle<()>>()
    );
    assert_eq!(
        size_of::<TaskHandle<[u64; 100]>>(),
        size_of::<TaskHandle<()>>()
    );
    assert_eq!(size_of::<CancelToken>(), 8);
    assert_eq!(size_of::<Option<CancelToken>>(), 8);
}

#[test]
fn what_is_promised_crosses_threads() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    fn both<T: Send + Sync + 'static>() {}
    // A value that only one thread at a time may touch.
    type Single = Cell<u32>;

    send::<TaskHandle<Single>>();
    both::<TaskHandle<u32>>();
    both::<SharedHandle<u32>>();
    send::<Promise<Single>>();
    both::<Promise<u32>>();
    both::<ThreadPool>();
    both::<PoolHandle>();
    both::<millhand::Pool>();
    both::<TaskBuilder>();
    both::<TaskBuilder<millhand::pool::Fallible>>();
    both::<Every>();
    both::<ScheduleBuilder>();
    both::<Schedule>();
    both::<ScheduleCounts>();
    #[cfg(feature = "cron")]
    both::<(millhand::Cron, millhand::schedule::CronError)>();
    both::<CancelToken>();
    both::<CancelGuard>();
    both::<OnFinish>();
    both::<TaskId>();
    both::<Context>();
    both::<ContextVar<u32>>();
    both::<WorkerLocal<Single>>();
    both::<TaskError>();
    both::<TaskPanic>();
    both::<Deadlock>();
    both::<Rejection>();
    both::<BuildError>();
    both::<PoolError>();
    both::<Stopped>();
    both::<JoinError<std::io::Error>>();
    both::<Summary>();
    both::<ShutdownReport>();
    both::<(Stats, Rates, Age)>();
    both::<(TaskTable, TaskInfo, WorkerInfo, ScheduleInfo)>();
    both::<(Event, TaskLabel)>();
    both::<(Buffered, Dropped)>();
    #[cfg(feature = "histograms")]
    both::<(millhand::observe::Times, millhand::observe::Quantiles)>();
    #[cfg(feature = "tracing")]
    both::<millhand::observe::Tracing>();
    #[cfg(feature = "metrics")]
    both::<millhand::observe::Metrics>();
    send::<SubmitError<Single>>();
    both::<SubmitError<fn()>>();
    send::<Current>();
    sync::<Current>();
}

/// Does not compile if `$type` has the trait: two ways to name the function then.
macro_rules! assert_lacks {
    ($type:ty: $trait:path) => {
        const _: fn() = || {
            trait Ambiguous<Which> {
                fn name() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct HasIt;
            impl<T: ?Sized + $trait> Ambiguous<HasIt> for T {}
            let _ = <$type as Ambiguous<_>>::name;
        };
    };
}

// What many read at once must bear that.
assert_lacks!(SharedHandle<Cell<u32>>: Sync);
assert_lacks!(SharedHandle<Cell<u32>>: Send);
// One owner, one settler, one outcome.
assert_lacks!(ThreadPool: Clone);
assert_lacks!(TaskHandle<u32>: Clone);
assert_lacks!(Promise<u32>: Clone);

#[test]
fn futures_of_handles_need_no_pinning() {
    fn unpin<T: Unpin>() {}
    unpin::<TaskHandle<std::marker::PhantomPinned>>();
}
