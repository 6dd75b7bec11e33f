//! A bounded queue and a thread between a pool and an observer.
//!
//! Layer: observe.

use crate::observe::{Event, Observer};
use crate::panic;
use crossbeam_channel::{Sender, bounded};
use std::fmt;
use std::io;
use std::mem;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

/// Passes events to an observer on a thread of its own, so that a slow one, such as one that writes
/// to a disk or a socket, slows no worker.
///
/// The queue between has a bound. When it is full, an event is dropped and counted. So is each
/// event that the observer no longer gets since it has panicked. The order of the events stays.
/// [`Observer::around`] does not go through the queue: attempts run without it.
///
/// Its drop waits until the observer has had all that is queued. A pool drops its observers once it
/// has ended, and all its handles are gone. In a forked child there is no thread to wait for: the
/// drop waits for nothing there.
///
/// ```
/// use millhand::ThreadPool;
/// use millhand::observe::{Buffered, Event};
///
/// let lines = Buffered::new(|event: &Event| println!("{}", event.name()), 1000)?;
/// let dropped = lines.dropped();
/// let pool = ThreadPool::builder().workers(1).observer(lines).build()?;
/// pool.execute(|| ());
/// drop(pool);
/// assert_eq!(dropped.get(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [observability](crate::guide::observability).
pub struct Buffered {
    /// `None` only while it is dropped.
    events: Option<Sender<Event>>,
    dropped: Dropped,
    thread: Option<JoinHandle<()>>,
    /// The process that has the thread.
    process: u32,
}

/// Counts the events that a [`Buffered`] has dropped, because its queue was full or because its
/// observer had panicked.
///
/// ```
/// use millhand::observe::{Buffered, Dropped, Event};
///
/// let events = Buffered::new(|_: &Event| (), 10)?;
/// let dropped: Dropped = events.dropped();
/// assert_eq!(dropped.get(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Guide: [observability](crate::guide::observability).
#[derive(Clone, Debug, Default)]
pub struct Dropped(Arc<AtomicU64>);

impl Dropped {
    /// Returns how many there are.
    ///
    /// ```
    /// # use millhand::observe::{Buffered, Event};
    /// let events = Buffered::new(|_: &Event| (), 10)?;
    /// assert_eq!(events.dropped().get(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Buffered {
    /// Starts the thread. `capacity`: how many events may be queued, 1 or more.
    ///
    /// # Errors
    /// If the system refuses the thread, or for a capacity of 0.
    ///
    /// ```
    /// use millhand::observe::{Buffered, Event};
    ///
    /// assert!(Buffered::new(|_: &Event| (), 1).is_ok());
    /// assert!(Buffered::new(|_: &Event| (), 0).is_err());
    /// ```
    pub fn new(observer: impl Observer + 'static, capacity: usize) -> io::Result<Self> {
        if capacity == 0 {
            let text = "the capacity of a `Buffered` must be 1 or more";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let (events, queued) = bounded::<Event>(capacity);
        let dropped = Dropped::default();
        let lost = dropped.clone();
        let run = move || {
            for event in &queued {
                let mut has_returned = false;
                panic::shield("an observer, which is switched off for that,", || {
                    observer.on_event(&event);
                    has_returned = true;
                });
                if !has_returned {
                    break;
                }
            }
            panic::discard(observer);
            // What comes after a panic. Otherwise all has come.
            for _ in queued {
                lost.add();
            }
        };
        let thread = thread::Builder::new().name("millhand-events".to_owned());
        Ok(Self {
            events: Some(events),
            dropped,
            thread: Some(thread.spawn(run)?),
            process: process::id(),
        })
    }

    /// Returns the count of the events that were dropped, which is kept after the pool has taken
    /// this.
    ///
    /// ```
    /// # use millhand::observe::{Buffered, Event};
    /// let events = Buffered::new(|_: &Event| (), 10)?;
    /// let dropped = events.dropped();
    /// let pool = millhand::ThreadPool::builder().workers(1).observer(events).build()?;
    /// assert_eq!(dropped.get(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dropped(&self) -> Dropped {
        self.dropped.clone()
    }
}

impl Observer for Buffered {
    fn on_event(&self, event: &Event) {
        let Some(events) = &self.events else { return };
        // It is full: the thread takes what comes for as long as there is a sender.
        if events.try_send(event.clone()).is_err() {
            self.dropped.add();
        }
    }
}

impl Drop for Buffered {
    fn drop(&mut self) {
        if self.process != process::id() {
            // A forked child has the channel as it was, perhaps locked, and not the thread.
            mem::forget((self.events.take(), self.thread.take()));
            return;
        }
        drop(self.events.take());
        // Its own thread drops it if the observer holds the last handle of the pool.
        let thread = self.thread.take();
        let thread = thread.filter(|thread| thread.thread().id() != thread::current().id());
        if let Some(thread) = thread {
            // It ends by a panic only through a fault of the library.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Buffered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            events: _,
            dropped,
            thread: _,
            process: _,
        } = self;
        f.debug_struct("Buffered")
            .field("dropped", &dropped.get())
            .finish_non_exhaustive()
    }
}
