//! What the handles of a storage and its thread share.
//!
//! Layer: jobs.

use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::notifier::Notifier;
use crate::jobs::redis::ask::Ask;
use crate::jobs::redis::line::{Lines, Sending};
use crate::jobs::redis::listen;
use crate::jobs::redis::notifiers::Notifiers;
use crate::jobs::redis::reply::Reply;
use crate::jobs::redis::scripts::Step;
use crate::jobs::time::StoredTime;
use crate::testing::Clock;
use parking_lot::Mutex;
use std::mem;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) lines: Lines,
    /// What all keys begin with.
    pub(super) prefix: String,
    /// The process that opened the storage.
    pub(super) process: u32,
    /// In place of the server's.
    pub(super) clock: Option<Clock>,
    pub(super) max_payload: usize,
    pub(super) replicas: usize,
    pub(super) allows_eviction: bool,
    /// The name of the list to which the news of this process goes. No other storage has it.
    pub(super) inbox: String,
    pub(super) notifiers: Notifiers,
    pub(super) closing: Notifier,
    is_closed: AtomicBool,
}

/// Ends the thread when it is dropped.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) shared: Arc<Shared>,
    /// It runs since something wanted news for the first time.
    listener: Mutex<Option<JoinHandle<()>>>,
}

impl Shared {
    #[allow(clippy::too_many_arguments, reason = "one place makes it")]
    pub(super) fn new(
        lines: Lines,
        prefix: String,
        clock: Option<Clock>,
        max_payload: usize,
        replicas: usize,
        allows_eviction: bool,
        inbox: String,
    ) -> Self {
        Self {
            lines,
            prefix,
            process: process::id(),
            clock,
            max_payload,
            replicas,
            allows_eviction,
            inbox,
            notifiers: Notifiers::default(),
            closing: Notifier::new(),
            is_closed: AtomicBool::new(false),
        }
    }

    pub(super) fn key(&self, group: &str, name: &str) -> String {
        format!("{}{group}{name}", self.prefix)
    }

    /// Refuses a call in a process that was forked from the one with the connections.
    pub(super) fn check_process(&self) -> Result<(), JobsError> {
        let (opener, here) = (self.process, process::id());
        if opener == here {
            return Ok(());
        }
        let place = &self.lines.place;
        Err(JobsError::new(
            JobsErrorKind::Forked,
            format!(
                "{place}: process {opener} opened the storage, and process {here} was forked from \
                 it: open the storage anew there"
            ),
        ))
    }

    /// Has the server do a step.
    pub(super) fn run(&self, step: &Step, ask: Ask, sending: Sending) -> Result<Reply, JobsError> {
        self.run_with(step, ask, sending, 0)
    }

    /// `replicas`: how many must have what it wrote.
    pub(super) fn run_with(
        &self,
        step: &Step,
        ask: Ask,
        sending: Sending,
        replicas: usize,
    ) -> Result<Reply, JobsError> {
        self.check_process()?;
        let now = self.clock.as_ref().map(|clock| {
            let now = StoredTime::from(clock.wall());
            now.0.to_string()
        });
        let now = now.unwrap_or_default();
        self.lines
            .run(step, &self.prefix, &now, &ask, sending, replicas)
    }

    pub(super) fn is_closed(&self) -> bool {
        // ORDERING: relaxed. The thread listens to `closing`, or to its inbox, before it looks.
        self.is_closed.load(Relaxed)
    }
}

impl Open {
    pub(super) fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
            listener: Mutex::new(None),
        }
    }

    /// Something wants news. Starts the thread, or has it look anew.
    pub(super) fn listen(&self) -> Result<(), JobsError> {
        let mut listener = self.listener.lock();
        if listener.is_some() {
            drop(listener);
            self.shared
                .lines
                .with_free(|conn| listen::disturb(&self.shared, conn));
            return Ok(());
        }
        let shared = self.shared.clone();
        let spawned = thread::Builder::new()
            .name("millhand-redis".to_owned())
            .spawn(move || listen::run(&shared));
        *listener = Some(spawned.map_err(|error| {
            let text = format!("the thread `millhand-redis` cannot be started: {error}");
            JobsError::new(JobsErrorKind::Other, text)
        })?);
        Ok(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.shared.check_process().is_err() {
            // In a forked child: the connections are the parent's.
            mem::forget((self.shared.lines.take(), self.shared.clone()));
            return;
        }
        // ORDERING: relaxed, as in `is_closed`.
        self.shared.is_closed.store(true, Relaxed);
        self.shared.closing.notify();
        let Some(listener) = self.listener.lock().take() else {
            return;
        };
        crate::blocking(|| {
            let lines = &self.shared.lines;
            // Without a connection the thread may wait for one. It ends by itself.
            if lines.with_free(|conn| listen::disturb(&self.shared, conn)) {
                let _ = listener.join();
            }
        });
    }
}
