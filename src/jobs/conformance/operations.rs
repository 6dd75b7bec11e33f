//! The random operations, one by one.
//!
//! Layer: jobs.

use crate::jobs::conformance::env::{end_of, these, want};
use crate::jobs::conformance::model::state::State;
use crate::jobs::conformance::random::{KINDS, QUEUES, Run, known, ms};
use crate::jobs::{
    Batch, BatchNumber, Due, Ended, Exchange, Exchanged, Fate, Filter, Heartbeat, JobId, JobState,
    NewJob, Notifier, Placed, QueueChange, ScheduleChange, SessionInfo, Storage, Tick, UniqueUntil,
    Verdict,
};
use std::time::Duration;

const SCHEDULES: [&str; 2] = ["hourly", "nightly"];
/// The sums of a few of them are never a minute.
const STEPS_OF_TIME: [u64; 4] = [1_010, 7_030, 41_070, 3_600_130];

impl Run {
    pub(crate) fn enqueue(&mut self) {
        let producer = self.first_producer + u64::from(self.draw.one_in(2));
        let again = self.last_batch.get(&producer).cloned();
        let (number, jobs) = match again {
            Some(last) if self.draw.one_in(4) => last,
            Some((last, jobs)) if self.draw.one_in(8) => (last - 1, jobs),
            last => {
                let count = self.draw.below(5);
                let mut jobs: Vec<NewJob> =
                    (0..count).map(|_| self.new_job_after_others()).collect();
                if self.draw.one_in(20) {
                    let bad = NewJob::new("a", "two words", "");
                    jobs.push(bad);
                }
                (last.map_or(1, |(number, _)| number + 1), jobs)
            }
        };
        let batch = Batch {
            number: Some(BatchNumber { producer, number }),
            jobs: &jobs,
        };
        let found = self.env.storage().enqueue(&batch);
        self.give(found.as_deref().unwrap_or_default());
        let found = found.map_err(|error| error.kind());
        let expected = self.model.enqueue(&batch).map_err(|error| error.kind());
        self.same(&batch, &found, &expected);
        if let Ok(placed) = found {
            for (placed, new) in placed.iter().zip(&jobs) {
                if placed.is_new() {
                    self.note(placed.id(), new);
                }
            }
            self.last_batch.insert(producer, (number, jobs));
        }
    }

    /// The model is to give the same ids.
    fn give(&self, placed: &[Placed]) {
        let new = placed.iter().filter(|placed| placed.is_new());
        let last = self.ids.last().copied();
        let new = new.map(|placed| placed.id()).filter(|id| Some(*id) > last);
        self.model.give(new.map(|id| id.0));
    }

    fn note(&mut self, id: JobId, new: &NewJob) {
        if self.options.insert(id, new.clone()).is_none() {
            self.ids.push(id);
        }
    }

    pub(crate) fn open_session(&mut self) {
        let info = SessionInfo {
            pid: 7,
            ..SessionInfo::default()
        };
        let lease = *self.draw.pick(&[ms(30_005), ms(5_000_005)]);
        let session = self.env.storage().open_session(&info, lease).unwrap();
        self.model.give([session.0].into_iter());
        self.model.open_session(&info, lease).unwrap();
        self.sessions.push((session, 0));
    }

    fn verdict(&mut self, id: JobId) -> Verdict {
        let is_watched = self.watched.iter().any(|(watched, _)| *watched == id);
        let keep = *self.draw.pick(&[None, Some(ms(7_005))]);
        let keep = keep.filter(|_| !is_watched);
        let new = &self.options[&id];
        let is_retried = !new.at_most_once;
        let after = *self.draw.pick(&[Duration::ZERO, ms(1_000), ms(60_000)]);
        let error = "no".to_owned();
        match self.draw.below(8) {
            0 => Verdict::Dead { error },
            1 => Verdict::Cancelled,
            2 => Verdict::Back,
            3 if is_retried => Verdict::Retry { after, error },
            4 if is_retried => Verdict::Postponed { after },
            _ => Verdict::Done {
                output: b"7".to_vec(),
                keep,
            },
        }
    }

    /// Ends for what is claimed: now and then of a claim that has ended, or that never was.
    fn ends(&mut self, of_running: bool) -> Vec<Ended> {
        let mut ended = Vec::new();
        for _ in 0..self.draw.below(4) {
            if self.claimed.is_empty() {
                break;
            }
            let place = self.draw.below(self.claimed.len());
            let claimed = match self.draw.one_in(5) {
                true => self.claimed[place].1.clone(),
                false => self.claimed.swap_remove(place).1,
            };
            let verdict = self.verdict(claimed.id);
            let mut end = end_of(&claimed, verdict);
            let fate = self.model.outcome(end.id).unwrap();
            if of_running && fate != Fate::Live(JobState::Running) {
                continue;
            }
            if self.draw.one_in(10) {
                end.claim = end.claim + 1 - 2 * u64::from(self.draw.one_in(2));
            }
            ended.push(end);
        }
        ended
    }

    pub(crate) fn exchange(&mut self, of_running: bool) {
        if self.sessions.is_empty() {
            return;
        }
        let place = self.draw.below(self.sessions.len());
        let ended = self.ends(of_running);
        let mut wanted = Vec::new();
        for queue in QUEUES {
            if self.draw.one_in(2) {
                let first = self.draw.below(KINDS.len());
                let kinds = &KINDS[first..KINDS.len() - self.draw.below(2).min(2 - first)];
                wanted.push(want(queue, kinds, self.draw.below(6)));
            }
        }
        let (session, last) = self.sessions[place];
        let number = match self.draw.one_in(20) {
            true => last,
            false => last + 1,
        };
        self.sessions[place].1 = last.max(number);
        let exchange = Exchange {
            session,
            number,
            ended: &ended,
            wanted: &wanted,
        };
        let filter = Filter {
            state: Some(JobState::Ready),
            ..Filter::default()
        };
        let found = self.env.storage().exchange(&exchange);
        let expected = self.model.exchange(&exchange);
        let Ok(mut expected) = expected else {
            self.same(&exchange, &found.is_err(), &true);
            return;
        };
        let mut found = found.unwrap();
        // Whether there is more of what is ready depends on what is asked for.
        if found.more && !self.env.list(&filter).is_empty() {
            expected.more = true;
        }
        for exchanged in [&mut found, &mut expected] {
            self.forget_texts(exchanged);
        }
        self.same(&exchange, &found, &expected);
        let claimed = found.claimed.into_iter();
        self.claimed
            .extend(claimed.map(|claimed| (session, claimed)));
    }

    /// The texts of crashes are up to the storage.
    fn forget_texts(&self, exchanged: &mut Exchanged) {
        for claimed in &mut exchanged.claimed {
            claimed.error = known(claimed.error.take());
        }
    }

    pub(crate) fn heartbeat(&mut self) {
        if self.sessions.is_empty() {
            return;
        }
        let (session, number) = *self.draw.pick(&self.sessions);
        let mut held: Vec<JobId> = Vec::new();
        for (of, claimed) in &self.claimed {
            if *of == session && !held.contains(&claimed.id) && !self.draw.one_in(6) {
                held.push(claimed.id);
            }
        }
        if self.draw.one_in(5) {
            held.push(JobId(999_999));
        }
        let sign = Heartbeat {
            session,
            lease: *self.draw.pick(&[ms(30_005), ms(5_000_005)]),
            settled: number - u64::from(number > 0 && self.draw.one_in(3)),
            held: &held,
        };
        self.both(&sign, |storage| {
            let mut pulse = storage.heartbeat(&sign)?;
            pulse.cancel.sort();
            pulse.lost.sort();
            if !pulse.alive {
                pulse.lost.clear();
            }
            Ok(pulse)
        });
    }

    pub(crate) fn close_session(&mut self) {
        if self.draw.one_in(2) && !self.sessions.is_empty() {
            let (session, _) = *self.draw.pick(&self.sessions);
            self.both(&session, |storage| storage.close_session(session));
        }
    }

    pub(crate) fn some_id(&mut self) -> JobId {
        match self.ids.is_empty() || self.draw.one_in(20) {
            true => JobId(999_999),
            false => {
                let last = self.ids.len().min(30);
                *self.draw.pick(&self.ids[self.ids.len() - last..])
            }
        }
    }

    pub(crate) fn cancel(&mut self) {
        let id = self.some_id();
        if !self.draw.one_in(3) {
            self.both(&("cancel", id), |storage| storage.cancel(id));
        } else if self.may_be_watched(id) {
            let watch = |storage: &dyn Storage| storage.watch(id, &Notifier::new(), ms(u64::MAX));
            let watching = [watch(self.env.storage()), watch(&self.model)];
            let watching = watching.map(|watching| watching.unwrap());
            self.watched.push((id, watching));
        }
    }

    fn may_be_watched(&self, id: JobId) -> bool {
        let is_kept = self.options.get(&id).is_none_or(|new| new.keep.is_some());
        let fate = self.model.outcome(id).unwrap();
        !self.reopens && !is_kept && matches!(fate, Fate::Live(_))
    }

    /// Retries and removes some jobs.
    pub(crate) fn by_hand(&mut self) {
        let mut ids: Vec<JobId> = (0..8).map(|_| self.some_id()).collect();
        let until_ended = |id: &JobId| {
            let unique = self.options.get(id).and_then(|new| new.unique.as_ref());
            unique.is_none_or(|unique| unique.until == UniqueUntil::Ended)
        };
        ids.retain(until_ended);
        let queue = self.draw.one_in(3).then(|| self.draw.pick(&QUEUES));
        let kind = self.draw.one_in(3).then(|| self.draw.pick(&KINDS));
        use JobState::{Blocked, Dead, Ready};
        let state = [None, None, Some(Dead), Some(Ready), Some(Blocked)];
        let filter = Filter {
            state: *self.draw.pick(&state),
            queue: queue.map(|queue| (*queue).to_owned()),
            kind: kind.map(|kind| (*kind).to_owned()),
            ended_before: self.draw.one_in(4).then_some(ms(5_005)),
            ..these(&ids)
        };
        if self.draw.one_in(3) {
            self.both(&("purge", &filter), |storage| storage.purge(&filter, 99));
        } else {
            self.both(&("retry", &filter), |storage| {
                storage.retry_dead(&filter, 99)
            });
        }
    }

    pub(crate) fn set_queue(&mut self) {
        let queue = *self.draw.pick(&QUEUES);
        let change = *self.draw.pick(&[
            QueueChange::Pause,
            QueueChange::Resume,
            QueueChange::Resume,
            QueueChange::MaxRunning(Some(2)),
            QueueChange::MaxRunning(Some(0)),
            QueueChange::MaxRunning(None),
            QueueChange::MaxRunning(None),
            QueueChange::Rate(Some((0, ms(10)))),
        ]);
        let what = (queue, change);
        self.both(&what, |storage| storage.set_queue(queue, change));
        self.both(&what, |storage| storage.queue(queue));
    }

    pub(crate) fn schedule(&mut self) {
        let name = *self.draw.pick(&SCHEDULES);
        match self.draw.below(4) {
            0 => {
                let rule = *self.draw.pick(&["one", "another"]);
                self.both(&name, |storage| storage.register_schedule(name, rule));
            }
            1 => {
                use ScheduleChange::{Forget, Pause, Resume};
                let change = *self.draw.pick(&[Pause, Resume, Resume, Forget]);
                let what = (name, change);
                self.both(&what, |storage| storage.set_schedule(name, change));
            }
            _ => self.tick(name),
        }
    }

    fn tick(&mut self, name: &str) {
        let known = self.model.schedules().unwrap();
        let last = known.iter().find(|it| it.name == name);
        let last = last.map_or(self.env.now(), |schedule| schedule.last_tick);
        let mut job = self.new_job();
        job.due = Due::Now;
        let at = *self.draw.pick(&[
            last,
            last + ms(500),
            self.env.now(),
            self.env.now() + ms(10),
        ]);
        let tick = Tick {
            schedule: name,
            at,
            job: &job,
        };
        let before = self.env.list(&Filter::default());
        let found = self.env.storage().tick(&tick).unwrap();
        let after = self.env.list(&Filter::default());
        // A new one is the last one.
        let new = after
            .last()
            .map(|info| info.id)
            .filter(|_| after.len() > before.len());
        self.model.give(new.iter().map(|id| id.0));
        self.same(&tick, &found, &self.model.tick(&tick).unwrap());
        if let Some(id) = new {
            self.note(id, &job);
        }
    }

    pub(crate) fn advance(&mut self) {
        let mut time = ms(*self.draw.pick(&STEPS_OF_TIME));
        if self.draw.one_in(100) {
            time = ms(31 * 86_400_000);
        }
        self.env.advance(time);
        if time > ms(3_000_000) {
            // A batch that is sent again later than that may be a new one.
            self.last_batch.clear();
            self.first_producer += 2;
        }
        let is_alone = self.draw.one_in(2);
        if !is_alone {
            let mut may_differ = false;
            match self.draw.below(8) {
                0 => self.cancel(),
                1 => self.close_session(),
                _ if self.model.has_expired(State::is_waited_for) => {}
                _ => {
                    may_differ = self.model.has_expired(State::ends_when_found);
                    self.exchange(true);
                }
            }
            if !may_differ {
                self.compare_live();
            }
        }
        let (mut found, mut expected) = self.sweep();
        if !is_alone {
            // Some may have expired in the exchange.
            (found.expired, expected.expired) = (0, 0);
        }
        self.same(&"sweep", &found, &expected);
    }
}
