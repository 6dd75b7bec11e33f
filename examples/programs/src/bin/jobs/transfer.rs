//! `move`: takes jobs that wait out of one store, and into another.
//
// No transaction has two stores. So a job is moved in three steps, and a kill between two of them
// leaves it in one store at least:
//
// 1. The target gets a copy, which is held: it is due in some minutes. It has the unique key of the
//    job, or one that is made of the names of store and job.
// 2. The source removes the job, unless a consumer has claimed it.
// 3. The copy gets its own time and is free, or it is cancelled if the job was not removed.
//
// A second move finds the copy of a job by its key, and goes on with step 2. Copies that are still
// held at its end are those of jobs that the source does not have any more: it does step 3.
//
// The jobs of a lane are removed from the last to the first, and their copies are freed from the
// first to the last. If one begins meanwhile in the source, those behind it stay held until it has
// ended.

use crate::copies::{Copied, Copies, HOLD, MOST, MOST_BYTES};
use crate::store::{Purpose, Store};
use crate::survey::{Left, live_lanes, survey};
use crate::{Failure, Move, print};
use millhand::jobs::{Fate, Filter, JobId, JobInfo, JobState, Jobs, JobsError};
use millhand_programs::say;
use std::collections::HashMap;
use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

/// How often `move` looks whether a job has ended.
const EACH: Duration = Duration::from_millis(100);

/// So many jobs are removed at once.
const THREADS: usize = 8;

const BEGAN: &str = "begun meanwhile, or too large for the target";
const TAKEN: &str = "its unique key is taken in the target";

pub(crate) fn run(source: &Jobs, from: &Store, options: Move) -> Result<(), Failure> {
    let target = &options.to.open(Purpose::Store)?;
    let (from, to) = (from.to_string(), options.to.to_string());
    if from == to {
        return Err(Failure::Arguments(format!("{to}: it is the same store")));
    }
    let mut transfer = Transfer {
        source,
        copies: Copies::new(target, from),
        most_bytes: target.facts().max_payload.unwrap_or(usize::MAX),
        moved: 0,
        left: Left::default(),
    };
    let mut behind = transfer.behind()?;
    let is_underway = |lane: &str| behind.contains_key(lane);
    let survey = survey(source, is_underway, |job| {
        let is = |asked: &Option<String>, name: &str| asked.as_ref().is_none_or(|ask| ask == name);
        is(&options.queue, &job.queue) && is(&options.kind, &job.kind)
    })?;
    transfer.left = survey.left;
    transfer.singles(&survey.singles)?;
    for (name, ids) in &survey.lanes {
        let behind = behind.remove(name).unwrap_or_default();
        transfer.lane(ids, behind)?;
    }
    transfer.finish()?;
    let jobs = |count| match count {
        1 => "1 job is".to_owned(),
        _ => format!("{count} jobs are"),
    };
    print(format_args!("{} moved to {to}", jobs(transfer.moved)))?;
    for (why, count) in &transfer.left.0 {
        print(format_args!("{} left: {why}", jobs(*count)))?;
    }
    Ok(())
}

struct Transfer<'a> {
    source: &'a Jobs,
    copies: Copies<'a>,
    most_bytes: usize,
    moved: usize,
    left: Left,
}

#[derive(PartialEq)]
enum Removal {
    Removed,
    /// It runs, or has its lane and waits for another attempt.
    Began,
    /// It has ended.
    Gone,
}

impl Transfer<'_> {
    fn singles(&mut self, ids: &[JobId]) -> Result<(), JobsError> {
        let mut ids = ids.iter().copied().peekable();
        while ids.peek().is_some() {
            let (jobs, began) = self.next_part(&mut ids, false)?;
            self.left.add(BEGAN, began);
            let mut held = Vec::new();
            for (job, copied) in jobs.iter().zip(self.copies.copy(&jobs)?) {
                match copied {
                    Copied::Held(copy) => held.push((job, copy)),
                    _ => self.settle(job, &copied)?,
                }
            }
            let mut removed = Vec::new();
            for ((_, copy), removal) in held.iter().zip(self.remove_all(&held)?) {
                match removal {
                    Removal::Removed => removed.push(*copy),
                    Removal::Began => {
                        self.copies.cancel(*copy)?;
                        self.left.add(BEGAN, 1);
                    }
                    Removal::Gone => self.copies.cancel(*copy)?,
                }
            }
            self.free(&removed)?;
        }
        Ok(())
    }

    /// Moves a job whose copy is not held.
    fn settle(&mut self, job: &JobInfo, copied: &Copied) -> Result<(), JobsError> {
        match copied {
            Copied::Free => {
                let removal = self.remove(job.id, Some(job.state))?;
                self.moved += usize::from(removal == Removal::Removed);
            }
            _ => self.left.add(TAKEN, 1),
        }
        Ok(())
    }

    /// Takes the next jobs that wait, with their payloads, and says how many stay.
    fn next_part(
        &self,
        ids: &mut impl Iterator<Item = JobId>,
        takes_running: bool,
    ) -> Result<(Vec<JobInfo>, usize), JobsError> {
        let (mut jobs, mut bytes, mut stay) = (Vec::new(), 0, 0);
        for id in ids {
            match self.source.get(id)? {
                Some(job) if job.state == JobState::Running && !takes_running => stay += 1,
                Some(job) if job.payload.len() > self.most_bytes => stay += 1,
                Some(job) if !job.state.has_ended() => {
                    bytes += job.payload.len();
                    jobs.push(job);
                }
                _ => {}
            }
            if jobs.len() == MOST || bytes > MOST_BYTES {
                break;
            }
        }
        Ok((jobs, stay))
    }

    /// The second step for jobs without a lane, by several threads: a file has what they ask for at
    /// the same time in one commit.
    fn remove_all(&self, jobs: &[(&JobInfo, JobId)]) -> Result<Vec<Removal>, JobsError> {
        let part = jobs.len().div_ceil(THREADS).max(1);
        thread::scope(|scope| {
            let removals = jobs.chunks(part).map(|part| {
                scope.spawn(move || {
                    let removals = part.iter();
                    let removals = removals.map(|(job, _)| self.remove(job.id, Some(job.state)));
                    removals.collect::<Result<Vec<_>, _>>()
                })
            });
            let removals: Vec<_> = removals.collect();
            let mut all = Vec::new();
            for part in removals {
                all.extend(part.join().unwrap_or_else(|panic| resume_unwind(panic))?);
            }
            Ok(all)
        })
    }

    /// The second step, for a job that was in this state. What changes its state without a consumer,
    /// such as time, is no reason to leave it. A job of a lane is looked at first.
    fn remove(&self, id: JobId, was: Option<JobState>) -> Result<Removal, JobsError> {
        let has_lane = was.is_none();
        let mut was = was;
        loop {
            let state = match was.take() {
                Some(state) => state,
                None => match self.source.get(id)? {
                    None => return Ok(Removal::Gone),
                    Some(job) if job.state.has_ended() => return Ok(Removal::Gone),
                    Some(job) if has_begun(&job, has_lane) => return Ok(Removal::Began),
                    Some(job) => job.state,
                },
            };
            let filter = Filter {
                ids: Some(vec![id]),
                state: Some(state),
                ..Filter::default()
            };
            if self.source.purge(&filter)? == 1 {
                return Ok(Removal::Removed);
            }
        }
    }

    /// The third step.
    fn free(&mut self, copies: &[JobId]) -> Result<(), JobsError> {
        self.copies.free(copies)?;
        self.moved += copies.len();
        Ok(())
    }

    /// Moves the jobs of a lane, or none. A move that was killed has left the copies of those that
    /// are behind them.
    fn lane(&mut self, ids: &[JobId], behind: Vec<JobId>) -> Result<(), JobsError> {
        let is_underway = !behind.is_empty();
        let mut copies = Vec::new();
        let mut rest = ids.iter().copied().peekable();
        let mut stays = false;
        while rest.peek().is_some() && !stays {
            let (jobs, stay) = self.next_part(&mut rest, is_underway)?;
            self.left.add(BEGAN, stay);
            stays = stay > 0;
            for (job, copied) in jobs.iter().zip(self.copies.copy(&jobs)?) {
                match copied {
                    Copied::Held(copy) => copies.push((job.id, copy)),
                    _ => {
                        stays = true;
                        self.settle(job, &copied)?;
                    }
                }
            }
        }
        // From the last one on.
        let mut removed = behind;
        removed.reverse();
        while let (false, Some((id, copy))) = (stays, copies.last().copied()) {
            match self.remove(id, None)? {
                Removal::Removed => removed.push(copy),
                Removal::Gone => self.copies.cancel(copy)?,
                Removal::Began if removed.is_empty() => {
                    stays = true;
                    continue;
                }
                Removal::Began => {
                    self.wait_for(id, &removed)?;
                    continue;
                }
            }
            copies.pop();
        }
        self.left.add(BEGAN, copies.len());
        for (_, copy) in copies {
            self.copies.cancel(copy)?;
        }
        if stays {
            // Nothing was removed now. The end looks after what is behind.
            return Ok(());
        }
        removed.reverse();
        self.free(&removed)
    }

    /// Waits until a job does not run any more. What is behind it in its lane stays held.
    fn wait_for(&self, id: JobId, held: &[JobId]) -> Result<(), JobsError> {
        say(format_args!(
            "jobs: waits for the end of job {id}: the next ones of its lane are on their way"
        ));
        let mut begun = Instant::now();
        loop {
            // It may have lost its worker, and no other one be there that notices.
            self.source.storage().sweep(MOST)?;
            let job = self.source.get(id)?;
            if !job.is_some_and(|job| has_begun(&job, true)) {
                return Ok(());
            }
            if begun.elapsed() > HOLD / 2 {
                self.copies.hold_on(held)?;
                begun = Instant::now();
            }
            thread::sleep(EACH);
        }
    }

    /// Copies in lanes whose jobs the source does not have any more.
    fn behind(&self) -> Result<HashMap<String, Vec<JobId>>, JobsError> {
        let mut behind: HashMap<_, Vec<_>> = HashMap::new();
        for (copy, id) in self.copies.held()? {
            let Some(lane) = copy.lane else { continue };
            if !matches!(self.source.outcome(id)?, Fate::Live(_) | Fate::Ended(_)) {
                behind.entry(lane).or_default().push(copy.id);
            }
        }
        Ok(behind)
    }

    /// Finishes what a move that was killed has left.
    fn finish(&mut self) -> Result<(), JobsError> {
        let held = self.copies.held()?;
        if held.is_empty() {
            return Ok(());
        }
        let lanes = live_lanes(self.source)?;
        let (mut free, mut blocked) = (Vec::new(), Vec::new());
        for (copy, id) in held {
            let in_lane = copy.lane.is_some_and(|lane| lanes.contains(&lane));
            match self.source.outcome(id)? {
                // It stays there, or has ended there.
                Fate::Live(_) | Fate::Ended(_) => self.copies.cancel(copy.id)?,
                _ if in_lane => blocked.push(copy.id),
                _ => free.push(copy.id),
            }
        }
        self.copies.hold_on(&blocked)?;
        let why = "in the target, and held until those of its lane in the source have ended";
        self.left.add(why, blocked.len());
        self.free(&free)
    }
}

/// Whether a job runs, or has its lane and waits for another attempt.
fn has_begun(job: &JobInfo, has_lane: bool) -> bool {
    match job.state {
        JobState::Running => true,
        JobState::Scheduled => has_lane && job.claims > 0,
        _ => false,
    }
}
