//! The loop of a consumer: it claims, confirms and shows signs of life.
//!
//! Layer: jobs.
//
// One round: a sign of life if it is time for one, an exchange if there is something to exchange,
// and then a wait for the notifier, or for the next time at which there may be something. Every
// round may fail, and the next one does the same again: what has ended stays in the list, and what
// the storage gave away in an answer that was lost is given back by a sign of life.

use crate::CancelToken;
use crate::cancel::CancelReason;
use crate::jobs::consumer::run;
use crate::jobs::consumer::state::Shared;
use crate::jobs::consumer::ticking::Ticking;
use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::id::SessionId;
use crate::jobs::record::{Ended, Exchange, Judged, Verdict};
use crate::jobs::schedule::JobSchedule;
use crate::jobs::session::{Heartbeat, SessionInfo};
use crate::jobs::storage::Watching;
use crate::jobs::time::StoredTime;
use crate::pool::{Phase, Service, ServiceHost, ServiceReport};
use std::sync::Arc;
use std::time::Duration;

/// A storage that other processes use may lose a notification. So the consumer looks that often.
const LOOK_EACH: Duration = Duration::from_secs(1);

/// With each sign of life, at most so many of each kind are swept.
const MOST_SWEPT: usize = 1000;

/// The pauses after errors of the storage.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

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
        Rounds::new(self, host).run();
    }

    fn phase_changed(&self, _: Phase) {
        self.shared.stop();
    }

    fn report(&self) -> ServiceReport {
        let report = self.shared.report();
        let section = ServiceReport::new(report.to_string());
        match report.unsaved.is_empty() {
            true => section,
            false => section.unclean(),
        }
    }
}

struct Rounds<'a> {
    shared: &'a Arc<Shared>,
    host: &'a ServiceHost,
    ticking: Ticking<'a>,
    session: Option<Session>,
    /// The number of the last exchange, and of the last one that was answered.
    number: u64,
    settled: u64,
    subscription: Option<Watching>,
    /// How many exchanges in a row have claimed nothing.
    barren: usize,
    /// The pause after the next error, and whether the last round was one.
    pause: Duration,
    is_failing: bool,
    /// Cancelled when the patience with errors at a stop is over.
    patience: Option<CancelToken>,
}

struct Session {
    id: SessionId,
    /// Cancelled when it is time for a sign of life, and when the lease may have ended. They
    /// measure by the clock of this thread, and from before the call that gave the lease.
    heartbeat: CancelToken,
    lease: CancelToken,
}

impl<'a> Rounds<'a> {
    fn new(service: &'a Loop, host: &'a ServiceHost) -> Self {
        Self {
            shared: &service.shared,
            host,
            ticking: Ticking::new(&service.schedules),
            session: None,
            number: 0,
            settled: 0,
            subscription: None,
            barren: 0,
            pause: FIRST_PAUSE,
            is_failing: false,
            patience: None,
        }
    }

    fn run(&mut self) {
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
                    // Not the notifier: each end that is not confirmed would end that wait.
                    let _ = CancelToken::new().wait_timeout(self.pause);
                    self.pause = (2 * self.pause).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Returns how long there is nothing to do. `None` if it has stopped.
    fn step(&mut self) -> Result<Option<Duration>, JobsError> {
        let wait = self.round()?;
        if self.shared.is_stopping() && self.shared.is_empty() {
            self.close()?;
            return Ok(None);
        }
        Ok(Some(wait))
    }

    /// Returns how long there is nothing to do, unless it is notified.
    fn round(&mut self) -> Result<Duration, JobsError> {
        let session = self.live_session()?;
        let next_tick = self.next_tick()?;
        let (ended, wanted) = (
            self.shared.take_ended(),
            self.shared.wants(self.number as usize),
        );
        if ended.is_empty() && wanted.is_empty() {
            return Ok(next_tick.min(self.until_heartbeat()));
        }
        self.number += 1;
        let exchange = Exchange {
            session,
            number: self.number,
            ended: &ended,
            wanted: &wanted,
        };
        let answer = match self.shared.jobs.storage().exchange(&exchange) {
            Ok(answer) => answer,
            Err(error) => {
                self.shared.put_back(ended);
                return Err(error);
            }
        };
        self.settled = self.number;
        self.shared.confirmed(&ended, &answer.judged);
        self.log_dead(&ended, &answer.judged);
        if !answer.alive {
            self.lost_the_session();
            return Ok(Duration::ZERO);
        }
        self.barren = match answer.claimed.is_empty() {
            true => self.barren + 1,
            false => 0,
        };
        for claimed in answer.claimed {
            run::begin(self.shared, self.host, claimed, answer.now);
        }
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
        let until = [
            Some(self.until_heartbeat()),
            Some(next_tick),
            next_due,
            look,
        ];
        Ok(until.into_iter().flatten().min().unwrap_or_default())
    }

    fn log_dead(&self, ended: &[Ended], judged: &[Judged]) {
        for (ended, judged) in ended.iter().zip(judged) {
            if let (Verdict::Dead { error }, Judged::Ended) = (&ended.verdict, judged) {
                self.host
                    .warn(&format!("the job {} is dead: {error}", ended.id));
            }
        }
    }

    /// Stores the jobs whose times have come. Returns how long there is none.
    fn next_tick(&mut self) -> Result<Duration, JobsError> {
        if self.shared.is_stopping() {
            return Ok(Duration::MAX);
        }
        self.ticking.round(self.shared.jobs.storage(), self.host)
    }

    fn until_heartbeat(&self) -> Duration {
        let left = self
            .session
            .as_ref()
            .and_then(|one| one.heartbeat.remaining());
        left.unwrap_or_default()
    }

    /// Shows a sign of life if it is time for one, and opens a session if there is none.
    fn live_session(&mut self) -> Result<SessionId, JobsError> {
        let lease = self.shared.lease;
        if let Some(session) = &self.session {
            // First of all: this process may have been stopped for long, and another one may run
            // its jobs.
            if session.lease.is_cancelled() {
                self.shared.cancel_all();
            }
            if !session.heartbeat.is_cancelled() {
                return Ok(session.id);
            }
            let next = Session::begin(session.id, lease);
            let held = self.shared.held();
            let pulse = self.shared.jobs.storage().heartbeat(&Heartbeat {
                session: session.id,
                lease,
                settled: self.settled,
                held: &held,
            })?;
            self.shared.cancel(&pulse.lost, CancelReason::Lease);
            self.shared.cancel(&pulse.cancel, CancelReason::User);
            if pulse.alive {
                let id = next.id;
                self.session = Some(next);
                // What time asks for, while there is a process that lives. The lease is extended
                // already, so an error here costs this round, and not the session.
                self.shared.jobs.storage().sweep(MOST_SWEPT)?;
                return Ok(id);
            }
            self.lost_the_session();
        }
        let begun = Session::begin(SessionId(0), lease);
        let storage = self.shared.jobs.storage();
        if self.subscription.is_none() {
            let queues: Vec<_> = self.shared.queues.iter().map(|one| &*one.name).collect();
            self.subscription = Some(storage.subscribe(&queues, &self.shared.notifier)?);
        }
        let id = storage.open_session(&self.info(), lease)?;
        self.session = Some(Session { id, ..begun });
        Ok(id)
    }

    fn info(&self) -> SessionInfo {
        let queues = self.shared.queues.iter().map(|one| one.name.clone());
        SessionInfo {
            host: String::new(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            began_at: StoredTime(0),
            queues: queues.collect(),
            kinds: self.shared.handlers.names().to_vec(),
        }
    }

    fn lost_the_session(&mut self) {
        self.host
            .warn("a consumer of jobs has lost its lease: other consumers may run its jobs");
        self.shared.cancel_all();
        self.session = None;
    }

    fn close(&mut self) -> Result<(), JobsError> {
        if let Some(session) = &self.session {
            self.shared.jobs.storage().close_session(session.id)?;
            self.session = None;
        }
        Ok(())
    }

    fn went_well(&mut self) {
        self.pause = FIRST_PAUSE;
        self.patience = None;
        if std::mem::take(&mut self.is_failing) {
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
        if !std::mem::replace(&mut self.is_failing, true) {
            self.host.warn(&format!(
                "a consumer of jobs waits for its storage (logged once): {error}"
            ));
        }
        // The storage may have another process's number.
        if error.kind() == JobsErrorKind::Stale {
            self.session = None;
        }
    }
}

impl Session {
    fn begin(id: SessionId, lease: Duration) -> Self {
        Self {
            id,
            heartbeat: CancelToken::with_timeout(lease / 3),
            lease: CancelToken::with_timeout(lease),
        }
    }
}
