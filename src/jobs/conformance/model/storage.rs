//! The trait, over the state.
//!
//! Layer: jobs.

use crate::jobs::conformance::Case;
use crate::jobs::conformance::model::job::Job;
use crate::jobs::conformance::model::state::{Lease, State};
use crate::jobs::{
    Batch, Counts, Exchange, Exchanged, Facts, Fate, Fault, Filter, Heartbeat, JobId, JobInfo,
    JobState, JobsError, JobsErrorKind, MAX_PAYLOAD, Notifier, Outcome, Page, Placed, Pulse,
    QueueChange, QueueSettings, ScheduleChange, Session, SessionId, SessionInfo, Storage,
    StoredSchedule, StoredTime, Swept, Tick, Watching, check_batch,
};
use crate::task::CancelOutcome;
use crate::testing::Clock;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// The model. It is a storage itself, so that the suite can be tested without another one. Clones
/// are the same.
#[derive(Clone, Debug)]
pub struct Model {
    clock: Clock,
    state: Arc<Mutex<State>>,
}

impl Model {
    /// Makes one with the clock of the case.
    pub fn new(case: &Case) -> Self {
        Self {
            clock: case.clock.clock(),
            state: Arc::default(),
        }
    }

    /// The jobs and sessions that come get these numbers, and not the next ones.
    pub(crate) fn give(&self, numbers: impl Iterator<Item = u64>) {
        self.state.lock().given = numbers.collect();
    }

    /// Whether a job that waits has expired, and this applies to it.
    pub(crate) fn has_expired(&self, applies: impl Fn(&State, &Job) -> bool) -> bool {
        let now = self.time();
        let state = self.state.lock();
        let mut expired = state.jobs.iter().filter(|job| job.has_expired(now));
        expired.any(|job| applies(&state, job))
    }

    fn time(&self) -> StoredTime {
        StoredTime::from(self.clock.wall())
    }

    /// Changes the state, and then notifies all who want news.
    fn change<T>(&self, change: impl FnOnce(&mut State, StoredTime) -> T) -> T {
        let mut state = self.state.lock();
        let changed = change(&mut state, self.time());
        let notifiers: Vec<Notifier> = state.notifiers.values().cloned().collect();
        drop(state);
        notifiers.iter().for_each(Notifier::notify);
        changed
    }

    /// Notifies `notifier` of each change. `end` is called when that ends.
    fn listen(
        &self,
        notifier: &Notifier,
        end: impl FnOnce(&mut State) + Send + Sync + 'static,
    ) -> Watching {
        let mut state = self.state.lock();
        state.last_notifier += 1;
        let number = state.last_notifier;
        state.notifiers.insert(number, notifier.clone());
        let shared = self.state.clone();
        Watching::new(move || {
            let mut state = shared.lock();
            state.notifiers.remove(&number);
            end(&mut state);
        })
    }
}

impl Storage for Model {
    fn facts(&self) -> Result<Facts, JobsError> {
        Ok(Facts {
            name: "model".to_owned(),
            ..Facts::default()
        })
    }

    fn now(&self) -> Result<StoredTime, JobsError> {
        Ok(self.time())
    }

    fn enqueue(&self, batch: &Batch<'_>) -> Result<Vec<Placed>, JobsError> {
        check_batch(batch, MAX_PAYLOAD)?;
        self.change(|state, now| {
            if let Some(number) = batch.number {
                if let Some(placed) = state.repeated(number)? {
                    return Ok(placed);
                }
            }
            state.check_parents(batch.jobs)?;
            let jobs = batch.jobs.iter();
            let placed: Vec<_> = jobs.map(|job| state.place(job, now)).collect();
            if let Some(number) = batch.number {
                let answer = (number, placed.clone());
                state.batches.insert(number.producer, answer);
            }
            Ok(placed)
        })
    }

    fn open_session(&self, info: &SessionInfo, lease: Duration) -> Result<SessionId, JobsError> {
        self.change(|state, now| {
            let id = state.next_session();
            state.sessions.push(Lease {
                id,
                until: now + lease,
                info: info.clone(),
                number: 0,
            });
            Ok(id)
        })
    }

    fn heartbeat(&self, sign: &Heartbeat<'_>) -> Result<Pulse, JobsError> {
        self.change(|state, now| {
            let Some(lease) = state.lease(sign.session) else {
                return Ok(Pulse {
                    lost: sign.held.to_vec(),
                    ..Pulse::default()
                });
            };
            lease.until = now + sign.lease;
            let mut pulse = Pulse {
                alive: true,
                ..Pulse::default()
            };
            for id in state.running_in(sign.session) {
                let job = state.job(id).unwrap();
                let number = job.runs_in.map_or(0, |(_, number)| number);
                if sign.held.contains(&id) {
                    pulse.cancel.extend(job.is_cancel_asked.then_some(id));
                } else if number <= sign.settled {
                    job.wait_or_end(JobState::Ready, now);
                    pulse.given_back += 1;
                    if job.state.has_ended() {
                        state.totals.cancelled += 1;
                        state.settle(id, now);
                    }
                }
            }
            for &id in sign.held {
                let runs_in = state.job(id).and_then(|job| job.runs_in);
                if runs_in.is_none_or(|(session, _)| session != sign.session) {
                    pulse.lost.push(id);
                }
            }
            Ok(pulse)
        })
    }

    fn close_session(&self, session: SessionId) -> Result<u64, JobsError> {
        self.change(|state, now| {
            state.sessions.retain(|lease| lease.id != session);
            let mut back = 0;
            for id in state.running_in(session) {
                let job = state.job(id).unwrap();
                if job.new.at_most_once {
                    let error = "its session was closed".to_owned();
                    job.error = Some(error.clone());
                    job.end(Outcome::Dead(error), None, now);
                } else {
                    job.wait_or_end(JobState::Ready, now);
                }
                match job.state {
                    JobState::Dead => state.totals.dead += 1,
                    JobState::Cancelled => state.totals.cancelled += 1,
                    _ => back += 1,
                }
                state.settle(id, now);
            }
            state.forget_dead();
            Ok(back)
        })
    }

    fn exchange(&self, exchange: &Exchange<'_>) -> Result<Exchanged, JobsError> {
        self.change(|state, now| state.exchange(exchange, now))
    }

    fn sweep(&self, most: usize) -> Result<Swept, JobsError> {
        self.change(|state, now| Ok(state.sweep(most, now)))
    }

    fn register_schedule(&self, name: &str, rule: &str) -> Result<StoredSchedule, JobsError> {
        self.change(|state, now| {
            let new = || StoredSchedule {
                name: name.to_owned(),
                last_tick: now,
                ..StoredSchedule::default()
            };
            let schedule = state.schedules.entry(name.to_owned()).or_insert_with(new);
            rule.clone_into(&mut schedule.rule);
            Ok(schedule.clone())
        })
    }

    fn tick(&self, tick: &Tick<'_>) -> Result<bool, JobsError> {
        let jobs = std::slice::from_ref(tick.job);
        check_batch(&Batch { number: None, jobs }, MAX_PAYLOAD)?;
        self.change(|state, now| {
            let Some(schedule) = state.schedules.get_mut(tick.schedule) else {
                return Ok(false);
            };
            if schedule.paused || tick.at <= schedule.last_tick || tick.at > now {
                return Ok(false);
            }
            state.check_parents(jobs)?;
            let schedule = state.schedules.get_mut(tick.schedule).unwrap();
            schedule.last_tick = tick.at;
            if state.place(tick.job, now).is_new() {
                state.schedules.get_mut(tick.schedule).unwrap().runs += 1;
            }
            Ok(true)
        })
    }

    fn cancel(&self, id: JobId) -> Result<CancelOutcome, JobsError> {
        self.change(|state, now| {
            let Some(job) = state.job(id).filter(|job| !job.state.has_ended()) else {
                return Ok(CancelOutcome::AlreadyFinished);
            };
            if job.state == JobState::Running {
                job.is_cancel_asked = true;
                return Ok(CancelOutcome::Requested);
            }
            job.end(Outcome::Cancelled, None, now);
            state.totals.cancelled += 1;
            state.settle(id, now);
            Ok(CancelOutcome::Settled)
        })
    }

    fn outcome(&self, id: JobId) -> Result<Fate, JobsError> {
        let mut state = self.state.lock();
        Ok(state.job(id).map_or(Fate::Unknown, |job| job.fate()))
    }

    fn parents(&self, id: JobId) -> Result<Vec<(JobId, Fate)>, JobsError> {
        Ok(self.state.lock().parents(id))
    }

    fn watch(
        &self,
        id: JobId,
        notifier: &Notifier,
        _patience: Duration,
    ) -> Result<Watching, JobsError> {
        if let Some(job) = self.state.lock().job(id) {
            job.watchers += 1;
        }
        Ok(self.listen(notifier, move |state| {
            if let Some(job) = state.job(id) {
                job.watchers -= 1;
            }
        }))
    }

    fn subscribe(&self, _queues: &[&str], notifier: &Notifier) -> Result<Watching, JobsError> {
        Ok(self.listen(notifier, |_| ()))
    }

    fn watch_session(&self, _: SessionId, notifier: &Notifier) -> Result<Watching, JobsError> {
        Ok(self.listen(notifier, |_| ()))
    }

    fn queue(&self, name: &str) -> Result<QueueSettings, JobsError> {
        let state = self.state.lock();
        Ok(state.queues.get(name).copied().unwrap_or_default())
    }

    fn set_queue(&self, name: &str, change: QueueChange) -> Result<(), JobsError> {
        if let QueueChange::Rate(Some((count, period))) = change {
            if count == 0 || period.is_zero() {
                let text = "a rate of nothing; a claim or more in a time is allowed";
                return Err(JobsError::new(JobsErrorKind::Invalid, text));
            }
        }
        self.change(|state, _| {
            let settings = state.queues.entry(name.to_owned()).or_default();
            match change {
                QueueChange::Pause => settings.paused = true,
                QueueChange::Resume => settings.paused = false,
                QueueChange::MaxRunning(most) => settings.max_running = most,
                QueueChange::Rate(rate) => {
                    settings.rate = rate;
                    state.tokens.remove(name);
                }
            }
            Ok(())
        })
    }

    fn counts(&self) -> Result<Counts, JobsError> {
        Ok(self.state.lock().counts())
    }

    fn list(&self, filter: &Filter, page: Page) -> Result<Vec<JobInfo>, JobsError> {
        let now = self.time();
        let state = self.state.lock();
        let is_meant = |job: &&Job| job.id > page.after && job.matches(filter, now);
        let found = state.jobs.iter().filter(is_meant).take(page.most);
        let info = |job: &Job| job.info(state.waits_for(job.id), filter.payloads);
        Ok(found.map(info).collect())
    }

    fn retry_dead(&self, filter: &Filter, most: usize) -> Result<u64, JobsError> {
        self.change(|state, now| {
            let is_meant = |job: &&Job| job.state == JobState::Dead && job.matches(filter, now);
            let dead: Vec<JobId> = state.jobs.iter().filter(is_meant).map(|it| it.id).collect();
            let mut ready = 0;
            for id in dead.into_iter().take(most) {
                let new = state.job(id).unwrap().new.clone();
                let has_key = |job: &Job| {
                    let unique = new.unique.as_ref();
                    job.id != id && unique.is_some_and(|it| job.holds(&new.kind, &it.key, now))
                };
                if !state.jobs.iter().any(has_key) {
                    state.revive(id, now);
                    ready += 1;
                }
            }
            Ok(ready)
        })
    }

    fn purge(&self, filter: &Filter, most: usize) -> Result<u64, JobsError> {
        self.change(|state, now| {
            let is_meant = |job: &&Job| job.state != JobState::Running && job.matches(filter, now);
            let meant: Vec<JobId> = state.jobs.iter().filter(is_meant).map(|it| it.id).collect();
            let mut purged = 0;
            for id in meant.into_iter().take(most) {
                state.purge(id, now);
                purged += 1;
            }
            Ok(purged)
        })
    }

    fn schedules(&self) -> Result<Vec<StoredSchedule>, JobsError> {
        Ok(self.state.lock().schedules.values().cloned().collect())
    }

    fn set_schedule(&self, name: &str, change: ScheduleChange) -> Result<bool, JobsError> {
        self.change(|state, now| {
            let Some(schedule) = state.schedules.get_mut(name) else {
                return Ok(false);
            };
            match change {
                ScheduleChange::Pause => schedule.paused = true,
                ScheduleChange::Resume if schedule.paused => {
                    schedule.paused = false;
                    schedule.last_tick = schedule.last_tick.max(now);
                }
                ScheduleChange::Resume => {}
                ScheduleChange::Forget => drop(state.schedules.remove(name)),
            }
            Ok(true)
        })
    }

    fn sessions(&self) -> Result<Vec<Session>, JobsError> {
        let state = self.state.lock();
        let sessions = state.sessions.iter().map(|lease| {
            let is_in = |job: &&Job| job.runs_in.is_some_and(|(id, _)| id == lease.id);
            let running = state.jobs.iter().filter(is_in).count();
            Session {
                id: lease.id,
                lease_until: lease.until,
                running: running.try_into().unwrap(),
                info: lease.info.clone(),
            }
        });
        Ok(sessions.collect())
    }

    fn check(&self, _mends: bool) -> Result<Vec<Fault>, JobsError> {
        Ok(Vec::new())
    }
}
