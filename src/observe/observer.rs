//! Who gets the events of a pool, and what happens when one of them fails.
//!
//! Layer: observe.

use crate::observe::Event;
use crate::panic::{self, Level};
use crate::task::TaskLabel;
use std::cell::RefCell;
use std::mem;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Gets the events of a pool: for metrics, for traces, for a history of one's own. A closure
/// `Fn(&Event)` is one, too.
///
/// The pool calls it where the thing happens, on that thread and with no lock held, so it slows
/// that thread alone: the submitter for `Submitted`, the worker for most others, the thread that
/// cancels for `Cancelled`. [`Buffered`](crate::observe::Buffered) puts a thread between. The timer
/// runs no code of the user: a worker gets the events of tasks that are late.
///
/// An observer that panics is switched off, and that is logged as an error. What an observer itself
/// does with the pool, while it is called, causes no event for this observer. It cannot wait for
/// the pool.
///
/// Without an observer no task pays for this; with one, each task does: `guide::performance` has
/// the table.
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
    /// The observers that this thread is in, by their places in memory.
    static ACTIVE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
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
            entry.call(&mut |observer| observer.on_event(event));
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
    let mut has_run = false;
    // What it surrounds is no part of it.
    let active = ACTIVE.try_with(|active| active.borrow().clone());
    let mut outside = active.unwrap_or_default();
    let was_called = first.call(&mut |observer| {
        observer.around(task, &mut || {
            if !mem::replace(&mut has_run, true) {
                let outside = mem::take(&mut outside);
                let within = ACTIVE.try_with(|active| active.replace(outside));
                surround(others, task, attempt);
                let _ = within.map(|within| ACTIVE.try_with(|active| active.replace(within)));
            }
        });
    });
    if has_run {
        return;
    }
    if was_called && !first.is_off.swap(true, Ordering::Relaxed) {
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

    /// Calls the observer, which is the user's. One that panics is called no more. Returns whether
    /// it was called.
    fn call(&self, f: &mut dyn FnMut(&dyn Observer)) -> bool {
        let here = ptr::from_ref(self).addr();
        // Fails in the destructors of a thread, where an observer is called like anywhere else.
        let is_in_it = ACTIVE.try_with(|active| active.borrow().contains(&here));
        if self.is_off.load(Ordering::Relaxed) || is_in_it == Ok(true) {
            return false;
        }
        let _ = ACTIVE.try_with(|active| active.borrow_mut().push(here));
        let mut has_returned = false;
        panic::shield_dyn("an observer, which is switched off for that,", &mut || {
            f(&*self.observer);
            has_returned = true;
        });
        if !has_returned {
            self.is_off.store(true, Ordering::Relaxed);
        }
        let _ = ACTIVE.try_with(|active| active.borrow_mut().pop());
        true
    }
}
