//! The loop of a consumer: it claims, and confirms ends.
//!
//! Layer: jobs.
//
// One round: a session if there is none, the schedules, an exchange if there is something to
// exchange, and then a wait for the notifier, or for the next time at which there may be something.
// Every round may fail, and the next one does the same again: what has ended stays in the list, and
// what the storage gave away in an answer that was lost is given back by a sign of life.

use crate::CancelToken;
use crate::jobs::consumer::lease::Times;
use crate::jobs::consumer::state::{Ends, Shared};
use crate::jobs::consumer::ticking::Ticking;
use crate::jobs::consumer::{heartbeats, run};
use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::id::SessionId;
use crate::jobs::record::{Exchange, Judged, Verdict};
use crate::jobs::schedule::JobSchedule;
use crate::jobs::session::SessionInfo;
use crate::jobs::storage::Watching;
use crate::jobs::time::StoredTime;
use crate::pool::{Phase, Service, ServiceHost, ServiceReport};
use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// A storage that other processes use may lose a notification. So the consumer looks that often.
const LOOK_EACH: Duration = Duration::from_secs(1);

/// Each third of a lease, at most so many of each kind are swept.
const MOST_SWEPT: usize = 1000;

/// The pauses after errors of the storage. It may have paused by itself before.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(2500);

/// A consumer that stops gives up on a storage that has answered only errors for so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// The service.
pub(super) struct Loop {
    shared: Arc<Shared>,
    schedules: Vec<JobSchedule>,
}

impl Loop {
    pub(super) fn new(shared: Arc<Shared>, schedules: Vec<JobSchedule>) -> Self {
        Self { shared, schedules }
    }
}

impl Service for Loop {
    fn name(&self) -> &str {
        "consumer"
    }

    fn run(&self, host: &ServiceHost) {
        let _over = Over(&self.shared);
        Rounds::new(self, host).run();
    }

    fn phase_changed(&self, _: Phase) {
        self.shared.stop();
    }

    fn report(&self) -> ServiceReport {
        let report = self.shared.report();
        let section = ServiceReport::new(report.to_string());
        match report.unsaved.is_empty() && report.failing.is_none() {
            true => section,
            false => section.unclean(),
        }
    }
}

/// Ends what else belongs to the consumer, also if its thread panics.
struct Over<'a>(&'a Shared);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let text = "the thread of the consumer has panicked: see the log";
            self.0.set_failing(Some(text.to_owned()));
        }
        self.0.end();
    }
}

struct Rounds<'a> {
    shared: &'a Arc<Shared>,
    host: &'a ServiceHost,
    ticking: Ticking<'a>,
    /// The number of the last exchange.
    number: u64,
    subscription: Option<Watching>,
    /// That of the present session.
    cancels: Option<Watching>,
    /// The session that is to be closed at the end.
    closing: Option<SessionId>,
    /// Cancelled when it is time for a sweep.
    sweep: CancelToken,
    /// How many exchanges in a row have claimed nothing.
    barren: usize,
    /// The pause after the next error, and whether the last round was one.
    pause: Duration,
    is_failing: bool,
    /// Cancelled when the patience with errors at a stop is over.
    patience: Option<CancelToken>,
}

impl<'a> Rounds<'a> {
    fn new(service: &'a Loop, host: &'a ServiceHost) -> Self {
        Self {
            shared: &service.shared,
            host,
            ticking: Ticking::new(&service.schedules),
            number: 0,
            subscription: None,
            cancels: None,
            closing: None,
            sweep: CancelToken::with_timeout(service.shared.lease / 3),
            barren: 0,
            pause: FIRST_PAUSE,
            is_failing: false,
            patience: None,
        }
    }

    fn run(&mut self) {
        self.warn_of_other_queues();
        loop {
            let listening = self.shared.notifier.listen();
            match self.step() {
                Ok(None) => return,
                Ok(Some(wait)) => {
                    self.went_well();
                    if !wait.is_zero() {
                        let _ = listening.wait_timeout(wait);
                    }
                }
                Err(error) => {
                    self.failed(&error);
                    if self.gives_up() {
                        return;
                    }
                    self.shared.pause_after_error(self.pause);
                    self.pause = (2 * self.pause).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// What looks like a mistake, and may be meant.
    fn warn_of_other_queues(&self) {
        let is_read = |queue: &str| self.shared.queues.iter().any(|one| one.name == queue);
        for handler in &self.shared.handlers.all {
            let (kind, queue) = (handler.name, handler.queue);
            if !is_read(queue) {
                self.host.warn(&format!(
                    "a consumer has a handler for {kind:?}, whose jobs wait in the queue {queue:?} \
                     unless they say otherwise, and does not run that queue"
                ));
            }
        }
        for (name, queue) in self.ticking.queues() {
            if !is_read(queue) {
                self.host.warn(&format!(
                    "a consumer has the schedule {name:?}, which stores jobs in the queue \
                     {queue:?}, and does not run that queue"
                ));
            }
        }
    }

    /// Returns how long there is nothing to do. `None` if it has stopped.
    fn step(&mut self) -> Result<Option<Duration>, JobsError> {
        let has_stopped = || self.shared.is_stopping() && self.shared.is_empty();
        // No session is opened to be closed.
        let is_over = has_stopped() && self.shared.present_session().is_none();
        if self.closing.is_none() && !is_over {
            let wait = self.round()?;
            if !has_stopped() {
                return Ok(Some(wait));
            }
        }
        self.close()?;
        Ok(None)
    }

    /// Returns how long there is nothing to do, unless it is notified.
    fn round(&mut self) -> Result<Duration, JobsError> {
        let session = self.live_session()?;
        self.sweep_in_time()?;
        let next_tick = self.next_tick()?;
        let until_sweep = self.sweep.remaining().unwrap_or_default();
        let (ends, wanted) = self.shared.to_exchange(self.number as usize);
        if ends.ended.is_empty() && wanted.is_empty() {
            return Ok(next_tick.min(until_sweep));
        }
        self.number += 1;
        let exchange = Exchange {
            session,
            number: self.number,
            ended: &ends.ended,
            wanted: &wanted,
        };
        let answer = match self.shared.jobs.storage().exchange(&exchange) {
            Ok(answer) => answer,
            Err(error) => {
                self.shared.put_back(ends);
                return Err(error);
            }
        };
        self.shared.confirmed(&ends.ended, &answer.judged);
        self.log_failures(&ends, &answer.judged);
        if !answer.alive {
            self.shared.lose_session(self.host, session);
            return Ok(Duration::ZERO);
        }
        self.barren = match answer.claimed.is_empty() {
            true => self.barren + 1,
            false => 0,
        };
        for claimed in answer.claimed {
            run::begin(self.shared, self.host, claimed, answer.now);
        }
        self.shared.settle(self.number);
        let others_first = self.shared.has_limits() && self.barren < self.shared.queues.len();
        if answer.more || others_first && !wanted.is_empty() {
            return Ok(Duration::ZERO);
        }
        self.barren = 0;
        let next_due = answer.next_due.map(|due| due.since(answer.now));
        let look = match self.shared.jobs.facts().is_shared {
            true => Some(LOOK_EACH),
            false => None,
        };
        let until = [Some(until_sweep), Some(next_tick), next_due, look];
        Ok(until.into_iter().flatten().min().unwrap_or_default())
    }

    fn log_failures(&self, ends: &Ends, judged: &[Judged]) {
        for ((ended, kind), judged) in ends.ended.iter().zip(&ends.kinds).zip(judged) {
            let id = ended.id;
            let text = match (&ended.verdict, judged) {
                (Verdict::Dead { error }, Judged::Ended) => {
                    format!("the job {id} ({kind}) is dead: {error}")
                }
                (Verdict::Retry { after, error }, Judged::Waits) => {
                    format!("the job {id} ({kind}) failed, and runs again in {after:?}: {error}")
                }
                _ => continue,
            };
            self.host.warn(&text);
        }
    }

    /// Stores the jobs whose times have come. Returns how long there is none.
    fn next_tick(&mut self) -> Result<Duration, JobsError> {
        if self.shared.is_stopping() {
            return Ok(Duration::MAX);
        }
        self.ticking.round(self.shared.jobs.storage(), self.host)
    }

    /// Does what time asks for, while there is a process that lives.
    fn sweep_in_time(&mut self) -> Result<(), JobsError> {
        if self.sweep.is_cancelled() {
            self.sweep = CancelToken::with_timeout(self.shared.lease / 3);
            self.watch_cancels();
            self.shared.jobs.storage().sweep(MOST_SWEPT)?;
        }
        Ok(())
    }

    /// Has the storage notify of cancels, if it does not yet. Without that, they come with the
    /// heartbeats, so an error is no reason to stop here.
    fn watch_cancels(&mut self) {
        let present = self.shared.present_session();
        if let (Some(present), None) = (present, &self.cancels) {
            let storage = self.shared.jobs.storage();
            let watching = storage.watch_session(present.id, &self.shared.signs);
            self.cancels = watching.ok();
        }
    }

    /// Opens a session if there is none.
    fn live_session(&mut self) -> Result<SessionId, JobsError> {
        if let Some(present) = self.shared.present_session() {
            if !present.lease.is_cancelled() {
                return Ok(present.id);
            }
            // An exchange would sweep this session, which may live.
            heartbeats::show(self.shared, self.host, &present)?;
            if self.shared.present_session().is_some() {
                return Ok(present.id);
            }
        }
        let storage = self.shared.jobs.storage();
        if self.subscription.is_none() {
            let queues: Vec<_> = self.shared.queues.iter().map(|one| &*one.name).collect();
            self.subscription = Some(storage.subscribe(&queues, &self.shared.notifier)?);
        }
        let info = self.info(storage.now()?);
        let times = self.shared.times(SessionId(0));
        let id = storage.open_session(&info, self.shared.lease)?;
        self.shared.begin_session(Times { id, ..times });
        // Without it, a cancellation comes later.
        self.cancels = None;
        self.watch_cancels();
        Ok(id)
    }

    fn info(&self, now: StoredTime) -> SessionInfo {
        let queues = self.shared.queues.iter().map(|one| one.name.clone());
        SessionInfo {
            host: host_name(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            began_at: now,
            queues: queues.collect(),
            kinds: self.shared.handlers.names().to_vec(),
        }
    }

    fn close(&mut self) -> Result<(), JobsError> {
        if let Some(present) = self.shared.present_session() {
            // A sign of life that is on its way may find it closed.
            self.shared.end_session(present.id);
            self.closing = Some(present.id);
        }
        if let Some(id) = self.closing {
            self.shared.jobs.storage().close_session(id)?;
        }
        Ok(())
    }

    fn went_well(&mut self) {
        self.pause = FIRST_PAUSE;
        self.patience = None;
        if std::mem::take(&mut self.is_failing) {
            self.shared.set_failing(None);
            self.host
                .info("a consumer of jobs goes on: the storage answers again");
        }
    }

    /// Whether it stops, and there have been only errors for too long since then.
    fn gives_up(&mut self) -> bool {
        if !self.shared.is_stopping() {
            return false;
        }
        let new = || CancelToken::with_timeout(PATIENCE);
        self.patience.get_or_insert_with(new).is_cancelled()
    }

    fn failed(&mut self, error: &JobsError) {
        self.shared.set_failing(Some(error.to_string()));
        if !std::mem::replace(&mut self.is_failing, true) {
            self.host.warn(&format!(
                "a consumer of jobs waits for its storage (logged once): {error}"
            ));
        }
        // The numbers of this consumer rise, so another process has the session, too: the storage
        // went back to an older state, and gave its number again. It is not closed: what that
        // process runs would begin twice.
        if error.kind() == JobsErrorKind::Stale {
            let present = self.shared.present_session();
            present.map(|session| self.shared.end_session(session.id));
        }
    }
}

/// What people call this machine, as far as it can be found without asking the network.
fn host_name() -> String {
    let named = |name| std::env::var(name).ok();
    let of_kernel = || fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let found = of_kernel()
        .or_else(|| named("HOSTNAME"))
        .or_else(|| named("COMPUTERNAME"));
    found.map(|name| name.trim().to_owned()).unwrap_or_default()
}
