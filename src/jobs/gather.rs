//! Callers that store jobs at the same time share a batch.
//!
//! Layer: jobs.
//
// For storages on the other side of a network, where a batch takes as long as a job. While a batch
// is on its way, the callers that come wait. When it is there, the first of them sends the next
// one, with what all of them have brought, and gives the others their answers. So no caller waits
// for company, and each sends for others once at most.

use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::record::{Batch, BatchNumber, NewJob, Placed};
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::mem;
use std::process;

/// More of them wait for the next batch. A server does nothing else while it stores one.
const MOST_JOBS: usize = 1000;
const MOST_BYTES: usize = 4 << 20;

type Answer = Result<Vec<Placed>, JobsError>;

/// Gives a batch to the storage.
type Enqueue<'a> = &'a dyn Fn(&Batch<'_>) -> Answer;

/// Where callers meet.
pub(super) struct Gathering(Mutex<State>);

struct State {
    /// The number of the last batch. They arrive in the order of their numbers, since one is sent
    /// at a time.
    last: BatchNumber,
    /// The process of the caller that sends. A forked process has none of its parent's threads.
    leader: Option<u32>,
    waiting: VecDeque<Waiting>,
}

/// What a caller has brought that waits for its turn.
struct Waiting {
    jobs: Vec<NewJob>,
    turn: Sender<Turn>,
}

impl Waiting {
    fn get(self, answer: Answer) {
        // The caller is there until it has had its turn.
        let _ = self.turn.send(Turn::Answered(answer));
    }
}

/// What a caller has waited for.
enum Turn {
    /// Another one has sent its jobs.
    Answered(Answer),
    /// It is to send, and gets its jobs back.
    Leads(Vec<NewJob>),
}

impl Gathering {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            last: BatchNumber {
                producer: RandomState::new().hash_one(process::id()),
                number: 0,
            },
            leader: None,
            waiting: VecDeque::new(),
        }))
    }

    /// Stores jobs: all of them, or none. Waits for the batch that is on its way, if there is one.
    pub(super) fn store(&self, jobs: &[NewJob], enqueue: Enqueue<'_>) -> Answer {
        let Some(turn) = self.line_up(jobs) else {
            return self.lead(jobs, enqueue);
        };
        match crate::blocking(|| turn.recv()) {
            Ok(Turn::Answered(answer)) => answer,
            Ok(Turn::Leads(jobs)) => self.lead(&jobs, enqueue),
            Err(_) => {
                let text = "the storage panicked while it stored a batch; the job may be stored";
                Err(JobsError::new(JobsErrorKind::Other, text))
            }
        }
    }

    /// Has the caller wait for its turn. `None` if it is its turn.
    fn line_up(&self, jobs: &[NewJob]) -> Option<Receiver<Turn>> {
        let mut state = self.0.lock();
        let here = Some(process::id());
        if state.leader == here {
            let (turn, receiver) = bounded(1);
            let jobs = jobs.to_vec();
            state.waiting.push_back(Waiting { jobs, turn });
            return Some(receiver);
        }
        if state.leader.is_some() {
            // This process was forked. Those that wait are threads of its parent.
            mem::forget(mem::take(&mut state.waiting));
        }
        state.leader = here;
        None
    }

    /// Sends these jobs, with those of callers that wait.
    fn lead(&self, jobs: &[NewJob], enqueue: Enqueue<'_>) -> Answer {
        let _next = HandsOn(self);
        let others = self.take(jobs);
        if others.is_empty() {
            return self.send(jobs, enqueue);
        }
        let mut all = jobs.to_vec();
        for other in &others {
            all.extend_from_slice(&other.jobs);
        }
        let answer = self
            .send(&all, enqueue)
            .and_then(|placed| match placed.len() == all.len() {
                true => Ok(placed.into_iter()),
                false => {
                    let text = "the storage did not say what became of each job of a batch";
                    Err(JobsError::new(JobsErrorKind::Corrupt, text))
                }
            });
        match answer {
            Ok(mut placed) => {
                let own = placed.by_ref().take(jobs.len()).collect();
                for other in others {
                    let count = other.jobs.len();
                    other.get(Ok(placed.by_ref().take(count).collect()));
                }
                Ok(own)
            }
            Err(error) if is_fault_of_a_job(&error) => self.send_each(jobs, others, enqueue),
            Err(error) => {
                for other in others {
                    other.get(Err(error.again()));
                }
                Err(error)
            }
        }
    }

    /// Sends the jobs of each caller alone: one that is refused takes no others with it. If the
    /// storage is away, it is asked once, not once for each of them.
    fn send_each(&self, jobs: &[NewJob], others: Vec<Waiting>, enqueue: Enqueue<'_>) -> Answer {
        let is_away = |answer: &Answer| match answer {
            Err(error) if !is_fault_of_a_job(error) => Some(error.again()),
            _ => None,
        };
        let own = self.send(jobs, enqueue);
        let mut away = is_away(&own);
        for other in others {
            let answer = match &away {
                Some(error) => Err(error.again()),
                None => self.send(&other.jobs, enqueue),
            };
            away = away.or_else(|| is_away(&answer));
            other.get(answer);
        }
        own
    }

    /// Takes what waits, as much as goes into a batch with these jobs.
    fn take(&self, jobs: &[NewJob]) -> Vec<Waiting> {
        let mut state = self.0.lock();
        let (mut count, mut bytes) = (jobs.len(), bytes_of(jobs));
        let mut taken = Vec::new();
        while let Some(next) = state.waiting.front() {
            count += next.jobs.len();
            bytes += bytes_of(&next.jobs);
            if count > MOST_JOBS || bytes > MOST_BYTES {
                break;
            }
            taken.extend(state.waiting.pop_front());
        }
        taken
    }

    fn send(&self, jobs: &[NewJob], enqueue: Enqueue<'_>) -> Answer {
        let number = {
            let mut state = self.0.lock();
            state.last.number += 1;
            Some(state.last)
        };
        enqueue(&Batch { number, jobs })
    }
}

fn bytes_of(jobs: &[NewJob]) -> usize {
    let meta = |job: &NewJob| {
        let texts = job.meta.iter().map(|(key, value)| key.len() + value.len());
        texts.sum::<usize>()
    };
    jobs.iter().map(|job| job.payload.len() + meta(job)).sum()
}

fn is_fault_of_a_job(error: &JobsError) -> bool {
    use JobsErrorKind::{Encode, Invalid, Name, TooLarge};
    matches!(error.kind(), Encode | Invalid | Name | TooLarge)
}

/// Has the next caller send when this one is done, also if the storage has panicked.
struct HandsOn<'a>(&'a Gathering);

impl Drop for HandsOn<'_> {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        while let Some(Waiting { jobs, turn }) = state.waiting.pop_front() {
            if turn.send(Turn::Leads(jobs)).is_ok() {
                return;
            }
        }
        state.leader = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::id::JobId;
    use crossbeam_channel::unbounded;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;

    /// A storage that shows each batch, and waits until it may go on. The id of a job is its
    /// payload. It refuses the payload 0, panics at 13, and is away at 4004.
    struct Slow {
        gathering: Gathering,
        shows: Sender<Vec<u64>>,
        seen: Receiver<Vec<u64>>,
        lets: Sender<()>,
        may: Receiver<()>,
    }

    impl Slow {
        fn new() -> Self {
            let ((shows, seen), (lets, may)) = (unbounded(), unbounded());
            Self {
                gathering: Gathering::new(),
                shows,
                seen,
                lets,
                may,
            }
        }

        fn store(&self, ids: &[u64]) -> Result<Vec<u64>, JobsErrorKind> {
            let job = |id: &u64| NewJob::new("default", "noop", id.to_string());
            let jobs: Vec<_> = ids.iter().map(job).collect();
            let answer = self.gathering.store(&jobs, &|batch| self.take(batch));
            answer
                .map(|placed| placed.iter().map(|one| one.id().0).collect())
                .map_err(|error| error.kind())
        }

        fn take(&self, batch: &Batch<'_>) -> Answer {
            let id = |job: &NewJob| str::from_utf8(&job.payload).unwrap().parse().unwrap();
            let ids: Vec<u64> = batch.jobs.iter().map(id).collect();
            self.shows.send(ids.clone()).unwrap();
            self.may.recv().unwrap();
            assert!(!ids.contains(&13), "as it is to");
            let error = |kind| Err(JobsError::new(kind, "no"));
            match &*ids {
                ids if ids.contains(&0) => error(JobsErrorKind::Invalid),
                ids if ids.contains(&4004) => error(JobsErrorKind::Unreachable),
                ids => Ok(ids.iter().copied().map(JobId).map(Placed::New).collect()),
            }
        }

        /// Returns once so many callers wait.
        fn await_waiting(&self, count: usize) {
            while self.gathering.0.lock().waiting.len() < count {
                thread::yield_now();
            }
        }

        /// Has these callers store in this order, behind one that stores the job 1.
        fn store_behind<T: Send>(
            &self,
            callers: &[&[u64]],
            then: impl FnOnce() -> T,
        ) -> (Vec<Result<Vec<u64>, JobsErrorKind>>, T) {
            thread::scope(|scope| {
                let first = scope.spawn(|| self.store(&[1]));
                assert_eq!(self.seen.recv(), Ok(vec![1]));
                let mut others = Vec::new();
                for ids in callers {
                    others.push(scope.spawn(|| {
                        let stored = catch_unwind(AssertUnwindSafe(|| self.store(ids)));
                        stored.unwrap_or(Err(JobsErrorKind::Closed))
                    }));
                    self.await_waiting(others.len());
                }
                self.lets.send(()).unwrap();
                assert_eq!(first.join().unwrap(), Ok(vec![1]));
                let then = then();
                let all = others.into_iter().map(|other| other.join().unwrap());
                (all.collect(), then)
            })
        }

        fn next(&self) -> Vec<u64> {
            let ids = self.seen.recv().unwrap();
            self.lets.send(()).unwrap();
            ids
        }
    }

    #[test]
    fn those_that_come_while_a_batch_is_on_its_way_share_the_next() {
        let slow = Slow::new();
        let callers: [&[u64]; 4] = [&[2], &[3, 4], &[], &[5]];
        let (stored, batch) = slow.store_behind(&callers, || slow.next());
        assert_eq!(batch, [2, 3, 4, 5]);
        assert_eq!(stored, callers.map(|ids| Ok(ids.to_vec())));
        let state = slow.gathering.0.lock();
        assert_eq!((state.last.number, state.leader), (2, None));
    }

    #[test]
    fn a_job_that_is_refused_takes_those_of_no_other_caller_with_it() {
        let slow = Slow::new();
        let callers: [&[u64]; 3] = [&[2], &[3, 0], &[4]];
        let (stored, batches) = slow.store_behind(&callers, || [(); 4].map(|()| slow.next()));
        assert_eq!(batches, [vec![2, 3, 0, 4], vec![2], vec![3, 0], vec![4]]);
        let refused = Err(JobsErrorKind::Invalid);
        assert_eq!(stored, [Ok(vec![2]), refused, Ok(vec![4])]);
    }

    #[test]
    fn a_server_that_is_away_is_asked_once_for_those_that_wait() {
        let slow = Slow::new();
        let callers: [&[u64]; 2] = [&[4004], &[2]];
        let (stored, batch) = slow.store_behind(&callers, || slow.next());
        assert_eq!(batch, [4004, 2]);
        let away = Err(JobsErrorKind::Unreachable);
        assert_eq!(stored, [away.clone(), away.clone()]);
        // Also where one of them was refused before.
        let callers: [&[u64]; 4] = [&[3, 0], &[4], &[4004], &[5]];
        let (stored, batches) = slow.store_behind(&callers, || [(); 4].map(|()| slow.next()));
        assert_eq!(
            batches,
            [vec![3, 0, 4, 4004, 5], vec![3, 0], vec![4], vec![4004]]
        );
        let refused = Err(JobsErrorKind::Invalid);
        assert_eq!(stored, [refused, Ok(vec![4]), away.clone(), away]);
    }

    #[test]
    fn a_forked_process_waits_for_no_thread_of_its_parent() {
        let slow = Slow::new();
        let (turn, _parent) = bounded(1);
        let jobs = vec![NewJob::new("default", "noop", "1")];
        {
            let mut state = slow.gathering.0.lock();
            state.leader = Some(process::id() + 1);
            state.waiting.push_back(Waiting { jobs, turn });
        }
        for id in [2, 3] {
            slow.lets.send(()).unwrap();
            assert_eq!(slow.store(&[id]), Ok(vec![id]));
            assert_eq!(slow.seen.recv(), Ok(vec![id]));
        }
    }

    #[test]
    fn a_storage_that_panics_leaves_no_caller_waiting() {
        let slow = Slow::new();
        let large: Vec<u64> = (100..1100).collect();
        let callers: [&[u64]; 3] = [&[2], &[13], &large];
        let (stored, batches) = slow.store_behind(&callers, || [(); 2].map(|()| slow.next()));
        assert_eq!(batches, [vec![2, 13], large.clone()]);
        let (panicked, unknown) = (Err(JobsErrorKind::Closed), Err(JobsErrorKind::Other));
        assert_eq!(stored, [panicked, unknown, Ok(large)]);
    }
}
