//! Who gets the events of a pool, and what happens when one of them fails.
//!
//! Layer: observe.

use crate::observe::Event;
use crate::panic::{self, Level};
use crate::task::TaskLabel;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Gets the events of a pool: for metrics, for traces, for a history of one's own. A closure
/// `Fn(&Event)` is one, too.
///
/// The pool calls it where the thing happens, on that thread and with no lock held, so it slows
/// that thread alone: the submitter for `Submitted`, the worker for most others, the thread that
/// cancels for `Cancelled`, the sampler for `Slow` and `Stalled`. What it takes before the body
/// runs, in `Started` and in `around`, counts for the time limits of the task.
/// [`Buffered`](crate::observe::Buffered) puts a thread between. The timer runs no code of the
/// user: a worker gets the events of tasks that are late.
///
/// An observer that panics is switched off, and that is logged as an error. It cannot wait for the
/// pool.
///
/// Calls do not nest. What an observer itself does with the pool, while it is called, causes events
/// as ever, and this observer gets them on the same thread as soon as its call has returned. So the
/// `Submitted` of a task that it submits is late: another thread may have reported the start of
/// the task before. An observer that submits a task for each event of a task never ends: the new
/// task has events, too.
///
/// Without an observer no task pays for this; with one, each task does:
/// [performance](crate::guide::performance) has the table.
///
/// ```
/// use millhand::ThreadPool;
/// use millhand::observe::{Event, Observer};
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
///
/// #[derive(Default)]
/// struct Failures(AtomicU64);
///
/// impl Observer for Failures {
///     fn on_event(&self, event: &Event) {
///         if let Event::Failed(_) | Event::Panicked(_) = event {
///             self.0.fetch_add(1, Relaxed);
///         }
///     }
/// }
///
/// let failures = Arc::new(Failures::default());
/// let pool = ThreadPool::builder().workers(1).observer(failures.clone()).build()?;
/// pool.execute(|| panic!("no"));
/// drop(pool);
/// assert_eq!(failures.0.load(Relaxed), 1);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [observability](crate::guide::observability).
pub trait Observer: Send + Sync {
    /// Something has happened.
    ///
    /// ```
    /// use millhand::observe::{Event, Observer};
    ///
    /// struct Print;
    ///
    /// impl Observer for Print {
    ///     fn on_event(&self, event: &Event) {
    ///         println!("{}", event.name());
    ///     }
    /// }
    /// ```
    fn on_event(&self, event: &Event);

    /// Runs an attempt of a task, between its `Started` and what follows. For what must surround
    /// the body: a span, a profiler. `attempt` must be called once; an observer that does not is
    /// switched off, and the attempt runs without it.
    ///
    /// The body's panic does not unwind through here: the attempt returns.
    ///
    /// ```
    /// use millhand::observe::{Event, Observer};
    /// use millhand::task::TaskLabel;
    ///
    /// struct Bracket;
    ///
    /// impl Observer for Bracket {
    ///     fn on_event(&self, _: &Event) {}
    ///
    ///     fn around(&self, task: &TaskLabel, attempt: &mut dyn FnMut()) {
    ///         println!("{task} begins");
    ///         attempt();
    ///         println!("{task} ends");
    ///     }
    /// }
    /// ```
    fn around(&self, task: &TaskLabel, attempt: &mut dyn FnMut()) {
        let _ = task;
        attempt();
    }
}

impl<F: Fn(&Event) + Send + Sync> Observer for F {
    fn on_event(&self, event: &Event) {
        self(event);
    }
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn on_event(&self, event: &Event) {
        (**self).on_event(event);
    }

    fn around(&self, task: &TaskLabel, attempt: &mut dyn FnMut()) {
        (**self).around(task, attempt);
    }
}

thread_local! {
    /// The observers that this thread is in, the innermost last.
    static ACTIVE: RefCell<Vec<Active>> = const { RefCell::new(Vec::new()) };
}

/// A call of an observer.
struct Active {
    /// The place of its entry in memory.
    entry: usize,
    /// What has happened on this thread since the call began. The observer gets it when the call
    /// has returned.
    queued: VecDeque<Event>,
    /// Whether the observer is called with an event that was queued.
    is_late: bool,
}

/// Whether the observer that this thread is in gets an event that was queued, and not when it
/// happened.
#[cfg(feature = "tracing")]
pub(crate) fn is_late() -> bool {
    let is_late = |active: &RefCell<Vec<Active>>| active.borrow().last().map(|call| call.is_late);
    ACTIVE.try_with(is_late) == Ok(Some(true))
}

/// The observers of one pool. A clone has the same observers, all of them switched on: two pools of
/// one builder share no more than that.
#[derive(Clone, Default)]
pub(crate) struct Observers(Vec<Entry>);

struct Entry {
    observer: Arc<dyn Observer>,
    is_off: AtomicBool,
}

impl Clone for Entry {
    fn clone(&self) -> Self {
        Self::new(self.observer.clone())
    }
}

impl Observers {
    pub(crate) fn add(&mut self, observer: Arc<dyn Observer>) {
        self.0.push(Entry::new(observer));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reports to all of them what has happened. Called with no lock held.
    #[cold]
    pub(crate) fn emit(&self, event: &Event) {
        for entry in &self.0 {
            if !entry.is_off.load(Ordering::Relaxed) && !entry.queue(event) {
                entry.enter(VecDeque::new(), &mut |observer| observer.on_event(event));
            }
        }
    }

    /// Runs an attempt inside of all of them, the first one outermost. It runs once, whatever they
    /// do.
    pub(crate) fn around(&self, task: &TaskLabel, attempt: &mut dyn FnMut()) {
        surround(&self.0, task, attempt);
    }
}

fn surround(entries: &[Entry], task: &TaskLabel, attempt: &mut dyn FnMut()) {
    let Some((first, others)) = entries.split_first() else {
        return attempt();
    };
    if first.is_off.load(Ordering::Relaxed) || first.is_active() {
        return surround(others, task, attempt);
    }
    let mut has_run = false;
    let depth = ACTIVE.try_with(|active| active.borrow().len());
    let depth = depth.unwrap_or(0);
    first.enter(VecDeque::new(), &mut |observer| {
        observer.around(task, &mut || {
            if !mem::replace(&mut has_run, true) {
                // What it surrounds is no part of it.
                let within = ACTIVE.try_with(|active| active.borrow_mut().split_off(depth));
                let mut within = within.unwrap_or_default();
                // The body may join what the observer has just submitted.
                if let Some(call) = within.first_mut().filter(|call| !call.queued.is_empty()) {
                    first.enter(mem::take(&mut call.queued), &mut |_| ());
                }
                surround(others, task, attempt);
                let _ = ACTIVE.try_with(|active| active.borrow_mut().append(&mut within));
            }
        });
    });
    if has_run {
        return;
    }
    if !first.is_off.swap(true, Ordering::Relaxed) {
        task.log(
            Level::Error,
            format_args!("an observer has not run the attempt of {task}, and is switched off"),
        );
    }
    surround(others, task, attempt);
}

impl Entry {
    fn new(observer: Arc<dyn Observer>) -> Self {
        Self {
            observer,
            is_off: AtomicBool::new(false),
        }
    }

    fn place(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// Looks for the call of the observer that this thread is in. `None` also in the destructors of
    /// a thread, where an observer is called like anywhere else.
    fn with_call<T>(&self, f: impl FnOnce(&mut Active) -> T) -> Option<T> {
        let found = ACTIVE.try_with(|active| {
            let mut active = active.borrow_mut();
            let call = active.iter_mut().find(|call| call.entry == self.place());
            call.map(f)
        });
        found.ok().flatten()
    }

    fn is_active(&self) -> bool {
        self.with_call(|_| ()).is_some()
    }

    /// Leaves the event for when the observer returns. `false` if this thread is not in it.
    fn queue(&self, event: &Event) -> bool {
        self.with_call(|call| call.queued.push_back(event.clone()))
            .is_some()
    }

    /// Calls the observer, which is the user's, with what is queued for it afterwards. One that
    /// panics is called no more.
    fn enter(&self, queued: VecDeque<Event>, first: &mut dyn FnMut(&dyn Observer)) {
        let call = Active {
            entry: self.place(),
            queued,
            is_late: false,
        };
        let _ = ACTIVE.try_with(|active| active.borrow_mut().push(call));
        self.call(first);
        while !self.is_off.load(Ordering::Relaxed) {
            let next = self.with_call(|call| {
                call.is_late = true;
                call.queued.pop_front()
            });
            let Some(event) = next.flatten() else { break };
            self.call(&mut |observer| observer.on_event(&event));
        }
        let _ = ACTIVE.try_with(|active| active.borrow_mut().pop());
    }

    fn call(&self, f: &mut dyn FnMut(&dyn Observer)) {
        let mut has_returned = false;
        panic::shield_dyn("an observer, which is switched off for that,", &mut || {
            f(&*self.observer);
            has_returned = true;
        });
        if !has_returned {
            self.is_off.store(true, Ordering::Relaxed);
        }
    }
}
