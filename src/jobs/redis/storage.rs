//! The storage itself: what it asks the server.
//!
//! Layer: jobs.

use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::id::{JobId, SessionId};
use crate::jobs::look::{
    Counts, Facts, Fate, Fault, Filter, JobInfo, Page, QueueChange, QueueSettings, ScheduleChange,
    StoredSchedule,
};
use crate::jobs::names::{check_batch, check_name, cut_error, unknown_parent};
use crate::jobs::notifier::Notifier;
use crate::jobs::record::{Batch, Ended, Exchange, Exchanged, Placed, Tick, Verdict};
use crate::jobs::redis::ask::Ask;
use crate::jobs::redis::line::Sending::{Again, Once};
use crate::jobs::redis::notifiers::News;
use crate::jobs::redis::options::RedisOptions;
use crate::jobs::redis::reply::{self, Reply};
use crate::jobs::redis::scripts as lua;
use crate::jobs::redis::shared::{Open, Shared};
use crate::jobs::redis::{check, look, open, queues};
use crate::jobs::session::{Heartbeat, Pulse, Session, SessionInfo, Swept};
use crate::jobs::storage::{Storage, Watching};
use crate::jobs::time::StoredTime;
use crate::task::CancelOutcome;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Keeps jobs on a Redis server of version 6.2 or newer. Clones are the same storage. Any number of
/// processes of any number of machines may use it.
///
/// Each call is one script, which the server runs as a whole, and does nothing else meanwhile. So
/// store very many jobs in batches of a thousand or so. When the connection is lost, the next
/// call connects anew. What is stored is as safe as the settings of the server make it:
/// [`facts`](Storage::facts) has a warning if a restart loses jobs.
///
/// All keys begin with the namespace in braces. Scripts use keys that are not named in the call,
/// which works with a single server and with a cluster, since all keys have one hash slot. It does
/// not work with servers that lock by the keys that are named.
///
/// A job that is ready wakes one process that waits for its queue, at once. If that one does not
/// claim all that is ready, it wakes the next one. What wakes may be lost with a connection or a
/// process. Then a consumer finds the job at its next look, a second later at most.
///
/// A user with a password of its own needs all commands that are not dangerous, and INFO, on the
/// keys of the namespace. For the namespace `shop`:
///
/// ```text
/// ACL SETUSER jobs on >password ~{shop}:* +@all -@dangerous +info
/// ```
///
/// ```no_run
/// use millhand::jobs::{Jobs, Redis};
///
/// let jobs = Jobs::open(Redis::connect("redis://127.0.0.1/")?)?;
/// for warning in &jobs.facts().warnings {
///     eprintln!("{warning}");
/// }
/// # Ok::<(), millhand::jobs::JobsError>(())
/// ```
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone)]
pub struct Redis(Arc<Open>);

impl Redis {
    /// Connects with the options' defaults. An address is
    /// `redis://user:password@host:port/database`, or
    /// `redis+unix:///path?user=user&pass=password&db=database`. With the feature `redis-tls` one
    /// that begins with `rediss` is for TLS. The certificate of the server must be signed by an
    /// authority that the system or the web knows, or by one that
    /// `RedisOptions::root_certificate` gives.
    ///
    /// # Errors
    /// Those of [`RedisOptions::open`].
    pub fn connect(url: impl AsRef<str>) -> Result<Self, JobsError> {
        Self::options(url).open()
    }

    /// Connects with other options than the defaults.
    pub fn options(url: impl AsRef<str>) -> RedisOptions {
        RedisOptions::new(url.as_ref().to_owned())
    }

    pub(super) fn open_with(options: RedisOptions) -> Result<Self, JobsError> {
        open::open(options).map(|open| Self(Arc::new(open)))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    fn check(&self, jobs: &Batch<'_>) -> Result<(), JobsError> {
        check_batch(jobs, self.shared().max_payload)
    }

    /// Registers a notifier. `ask` is what the server must know.
    fn add(
        &self,
        news: News,
        notifier: &Notifier,
        ask: Option<Ask>,
    ) -> Result<Watching, JobsError> {
        let shared = self.shared().clone();
        shared.check_process()?;
        let number = shared.notifiers.add(news, notifier);
        let watching = Watching::new(move || {
            if shared.check_process().is_ok() {
                shared.notifiers.remove(number);
            }
        });
        if let Some(ask) = ask {
            let ask = ask.text(&self.shared().inbox);
            self.shared().run(&lua::WATCH, ask, Again)?;
        }
        self.0.listen()?;
        Ok(watching)
    }
}

/// More are claimed by the next exchange, since the server does nothing else meanwhile.
const MOST_CLAIMS: usize = 1000;

fn end(ask: Ask, ended: &Ended) -> Ask {
    let ask = ask.number(ended.id).number(ended.claim);
    match &ended.verdict {
        Verdict::Done { output, keep } => ask.text("d").text("").span_or_none(*keep).bytes(output),
        Verdict::Retry { after, error } => {
            ask.text("r").span(*after).text("").text(cut_error(error))
        }
        Verdict::Postponed { after } => ask.text("p").span(*after).text("").text(""),
        Verdict::Back => ask.text("b").text("").text("").text(""),
        Verdict::Dead { error } => ask.text("x").text("").text("").text(cut_error(error)),
        Verdict::Cancelled => ask.text("c").text("").text("").text(""),
    }
}

impl Storage for Redis {
    fn facts(&self) -> Result<Facts, JobsError> {
        open::facts(self.shared())
    }

    fn now(&self) -> Result<StoredTime, JobsError> {
        self.shared().run(&lua::NOW, Ask::new(), Again)?.time()
    }

    fn enqueue(&self, batch: &Batch<'_>) -> Result<Vec<Placed>, JobsError> {
        self.check(batch)?;
        let (ask, sending) = match batch.number {
            Some(number) => {
                let ask = Ask::new().number(number.producer).long(number.number);
                (ask, Again)
            }
            None => (Ask::new().text("").text(""), Once),
        };
        let ask = ask.number(batch.jobs.len());
        let ask = batch.jobs.iter().fold(ask, Ask::job);
        let shared = self.shared();
        let mut reply = shared.run_with(&lua::ENQUEUE, ask, sending, shared.replicas)?;
        match reply.text()?.as_str() {
            "never" => Err(unknown_parent(batch.jobs, reply.number()?)),
            "stale" => Err(JobsError::new(
                JobsErrorKind::Stale,
                format!("a batch came after batch {} of its producer", reply.text()?),
            )),
            _ => {
                let placed = reply.placed()?;
                match placed.len() == batch.jobs.len() {
                    true => Ok(placed),
                    false => Err(reply::bad("another number of jobs")),
                }
            }
        }
    }

    fn open_session(&self, info: &SessionInfo, lease: Duration) -> Result<SessionId, JobsError> {
        let ask = Ask::new().span(lease).text(queues::info_text(info));
        // One that is opened twice ends with its lease.
        let mut reply = self.shared().run(&lua::OPEN_SESSION, ask, Again)?;
        reply.number().map(SessionId)
    }

    fn heartbeat(&self, sign: &Heartbeat<'_>) -> Result<Pulse, JobsError> {
        let ask = Ask::new()
            .number(sign.session)
            .span(sign.lease)
            .long(sign.settled)
            .number(sign.held.len());
        let ask = sign.held.iter().fold(ask, |ask, id| ask.number(id));
        let mut reply = self.shared().run(&lua::HEARTBEAT, ask, Again)?;
        Ok(Pulse {
            alive: reply.flag()?,
            given_back: reply.number()?,
            cancel: reply.ids()?,
            lost: reply.ids()?,
        })
    }

    fn close_session(&self, session: SessionId) -> Result<u64, JobsError> {
        let ask = Ask::new().number(session);
        self.shared().run(&lua::CLOSE_SESSION, ask, Again)?.number()
    }

    fn exchange(&self, exchange: &Exchange<'_>) -> Result<Exchanged, JobsError> {
        let ask = Ask::new()
            .number(exchange.session)
            .long(exchange.number)
            .number(exchange.ended.len());
        let ask = exchange.ended.iter().fold(ask, end);
        let ask = ask.number(exchange.wanted.len());
        let ask = exchange.wanted.iter().fold(ask, |ask, want| {
            let most = want.most.min(MOST_CLAIMS);
            let ask = ask
                .text(&want.queue)
                .number(most)
                .jobs(most)
                .number(want.kinds.len());
            want.kinds.iter().fold(ask, Ask::text)
        });
        // Sent again under this number, it would be stale.
        let mut reply = self.shared().run(&lua::EXCHANGE, ask, Once)?;
        if reply.text()? == "stale" {
            let (number, last) = (exchange.number, reply.number::<u64>()?);
            return Err(JobsError::new(
                JobsErrorKind::Stale,
                format!("the exchange {number} came after the exchange {last}"),
            ));
        }
        let exchanged = Exchanged {
            alive: reply.flag()?,
            now: reply.time()?,
            next_due: reply.time_or_none()?,
            more: reply.flag()?,
            judged: reply.judged()?,
            claimed: reply.each(Reply::claimed)?,
        };
        match exchanged.judged.len() == exchange.ended.len() {
            true => Ok(exchanged),
            false => Err(reply::bad("another number of judgements")),
        }
    }

    fn sweep(&self, most: usize) -> Result<Swept, JobsError> {
        let ask = Ask::new().number(most).jobs(most);
        let mut reply = self.shared().run(&lua::SWEEP, ask, Again)?;
        Ok(Swept {
            sessions: reply.number()?,
            returned: reply.number()?,
            died: reply.number()?,
            expired: reply.number()?,
            forgotten: reply.number()?,
            more: reply.flag()?,
        })
    }

    fn register_schedule(&self, name: &str, rule: &str) -> Result<StoredSchedule, JobsError> {
        check_name("schedule", name)?;
        queues::register(self.shared(), name, rule)
    }

    fn tick(&self, tick: &Tick<'_>) -> Result<bool, JobsError> {
        let jobs = std::slice::from_ref(tick.job);
        self.check(&Batch { number: None, jobs })?;
        let ask = Ask::new().text(tick.schedule).time(tick.at).job(tick.job);
        let mut reply = self.shared().run(&lua::TICK, ask, Once)?;
        match reply.text()?.as_str() {
            "never" => Err(unknown_parent(jobs, 0)),
            answer => Ok(answer == "yes"),
        }
    }

    fn cancel(&self, id: JobId) -> Result<CancelOutcome, JobsError> {
        let ask = Ask::new().number(id);
        let mut reply = self.shared().run(&lua::CANCEL, ask, Once)?;
        match reply.text()?.as_str() {
            "settled" => Ok(CancelOutcome::Settled),
            "requested" => Ok(CancelOutcome::Requested),
            _ => Ok(CancelOutcome::AlreadyFinished),
        }
    }

    fn outcome(&self, id: JobId) -> Result<Fate, JobsError> {
        let ask = Ask::new().text("one").number(id);
        let mut reply = self.shared().run(&lua::FATE, ask, Again)?;
        let fate = reply.each(Reply::fate)?.pop();
        fate.map(|(_, fate)| fate)
            .ok_or_else(|| reply::bad("no fate"))
    }

    fn parents(&self, id: JobId) -> Result<Vec<(JobId, Fate)>, JobsError> {
        let ask = Ask::new().text("parents").number(id);
        self.shared().run(&lua::FATE, ask, Again)?.each(Reply::fate)
    }

    fn watch(
        &self,
        id: JobId,
        notifier: &Notifier,
        _patience: Duration,
    ) -> Result<Watching, JobsError> {
        let ask = Ask::new().text("job").number(id);
        self.add(News::Job(id), notifier, Some(ask))
    }

    fn subscribe(&self, queues: &[&str], notifier: &Notifier) -> Result<Watching, JobsError> {
        let queues = queues.iter().map(|queue| (*queue).to_owned()).collect();
        self.add(News::Queues(queues), notifier, None)
    }

    fn watch_session(
        &self,
        session: SessionId,
        notifier: &Notifier,
    ) -> Result<Watching, JobsError> {
        let ask = Ask::new().text("session").number(session);
        self.add(News::Session(session), notifier, Some(ask))
    }

    fn queue(&self, name: &str) -> Result<QueueSettings, JobsError> {
        queues::settings(self.shared(), name)
    }

    fn set_queue(&self, name: &str, change: QueueChange) -> Result<(), JobsError> {
        check_name("queue", name)?;
        queues::change(self.shared(), name, change)
    }

    fn counts(&self) -> Result<Counts, JobsError> {
        look::counts(self.shared())
    }

    fn list(&self, filter: &Filter, page: Page) -> Result<Vec<JobInfo>, JobsError> {
        look::list(self.shared(), filter, page)
    }

    fn retry_dead(&self, filter: &Filter, most: usize) -> Result<u64, JobsError> {
        look::change(self.shared(), filter, most, "retry")
    }

    fn purge(&self, filter: &Filter, most: usize) -> Result<u64, JobsError> {
        look::change(self.shared(), filter, most, "purge")
    }

    fn schedules(&self) -> Result<Vec<StoredSchedule>, JobsError> {
        queues::schedules(self.shared())
    }

    fn set_schedule(&self, name: &str, change: ScheduleChange) -> Result<bool, JobsError> {
        queues::change_schedule(self.shared(), name, change)
    }

    fn sessions(&self) -> Result<Vec<Session>, JobsError> {
        queues::sessions(self.shared())
    }

    fn check(&self, mends: bool) -> Result<Vec<Fault>, JobsError> {
        check::check(self.shared(), mends)
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(open) = self;
        f.debug_struct("Redis")
            .field("server", &open.shared.lines.place)
            .field("namespace", &open.shared.prefix)
            .finish_non_exhaustive()
    }
}
