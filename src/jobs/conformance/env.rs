//! A storage under test, and the helpers that make a case read as its sentence.
//!
//! Layer: jobs.

use crate::jobs::{
    Batch, Claimed, Counts, Due, Ended, Exchange, Exchanged, Fate, Filter, JobId, JobInfo,
    JobState, JobsError, JobsErrorKind, Judged, NewJob, Page, Placed, Pulse, SessionId,
    SessionInfo, Storage, StoredTime, Swept, Unique, UniqueUntil, Verdict, Want,
};
use crate::testing::ManualClock;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

/// What a storage under test is opened with.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Case {
    /// A name that no other storage has, for example for a namespace. Letters, digits, `_` and `-`.
    pub name: String,
    /// The clock of the storage. It stands still between the steps of a case.
    pub clock: ManualClock,
    folder: Arc<Folder>,
}

/// Removed at the end of the case.
#[derive(Debug)]
struct Folder(PathBuf);

/// How a storage is opened.
pub type Make = fn(&Case) -> Arc<dyn Storage>;

impl Case {
    fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}-{}-{count}", std::process::id());
        let clock = ManualClock::new();
        // In January 2027.
        clock.set_wall(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let folder = std::env::temp_dir().join(format!("millhand-{name}"));
        Self {
            name,
            clock,
            folder: Arc::new(Folder(folder)),
        }
    }

    /// Makes a folder for the files of the storage, if it is not there yet. It is removed at the
    /// end of the case.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn folder(&self) -> &Path {
        std::fs::create_dir_all(&self.folder.0).unwrap();
        &self.folder.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Most storages need none.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A storage under test.
#[derive(Debug)]
pub struct Env {
    // Dropped before the folder of the case.
    storage: Option<Arc<dyn Storage>>,
    case: Case,
    make: Make,
    /// How many runs of random operations are wanted.
    pub seeds: u64,
}

impl Env {
    /// Opens a storage that has never been there.
    pub fn new(name: &str, seeds: u64, make: Make) -> Self {
        let case = Case::new(name);
        let storage = Some(make(&case));
        Self {
            case,
            make,
            storage,
            seeds,
        }
    }

    /// Opens another one.
    pub fn another(&self) -> Self {
        Self::new("another", self.seeds, self.make)
    }

    /// Opens the same one again, while it is open.
    pub fn again(&self) -> Self {
        Self {
            case: self.case.clone(),
            make: self.make,
            storage: Some((self.make)(&self.case)),
            seeds: self.seeds,
        }
    }

    /// Closes the storage and opens it again.
    pub fn reopen(&mut self) {
        self.storage = None;
        self.storage = Some((self.make)(&self.case));
    }

    pub fn case(&self) -> &Case {
        &self.case
    }

    pub fn storage(&self) -> &dyn Storage {
        self.storage.as_deref().unwrap()
    }

    pub fn now(&self) -> StoredTime {
        let now = StoredTime::from(self.case.clock.clock().wall());
        assert_eq!(self.storage().now().unwrap(), now, "the clock of the case");
        now
    }

    pub fn advance(&self, time: Duration) {
        let wall = self.case.clock.clock().wall();
        self.case.clock.set_wall(wall + time);
    }

    pub fn turn_back(&self, time: Duration) {
        let wall = self.case.clock.clock().wall();
        self.case.clock.set_wall(wall - time);
    }

    pub fn try_enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Placed>, JobsError> {
        let placed = self.storage().enqueue(&Batch { number: None, jobs })?;
        assert_eq!(placed.len(), jobs.len());
        Ok(placed)
    }

    pub fn place(&self, job: NewJob) -> Placed {
        self.try_enqueue(&[job]).unwrap()[0]
    }

    pub fn enqueue(&self, job: NewJob) -> JobId {
        let placed = self.place(job);
        assert!(placed.is_new(), "{placed:?}");
        placed.id()
    }

    pub fn enqueue_all(&self, jobs: &[NewJob]) -> Vec<JobId> {
        let placed = self.try_enqueue(jobs).unwrap();
        assert!(placed.iter().all(|placed| placed.is_new()), "{placed:?}");
        placed.iter().map(|placed| placed.id()).collect()
    }

    /// A consumer whose lease does not end.
    pub fn consumer(&self) -> Consumer<'_> {
        self.consumer_for(DAY * 10_000)
    }

    pub fn consumer_for(&self, lease: Duration) -> Consumer<'_> {
        let info = SessionInfo::default();
        let session = self.storage().open_session(&info, lease).unwrap();
        Consumer {
            env: self,
            session,
            number: Cell::new(0),
        }
    }

    /// Sweeps until there is no more to sweep. Returns the sums.
    pub fn sweep(&self) -> Swept {
        let mut sum = Swept::default();
        loop {
            let swept = self.storage().sweep(1000).unwrap();
            sum.sessions += swept.sessions;
            sum.returned += swept.returned;
            sum.died += swept.died;
            sum.expired += swept.expired;
            sum.forgotten += swept.forgotten;
            if !swept.more {
                return sum;
            }
        }
    }

    pub fn fate(&self, id: JobId) -> Fate {
        self.storage().outcome(id).unwrap()
    }

    pub fn state(&self, id: JobId) -> JobState {
        match self.fate(id) {
            Fate::Live(state) => state,
            Fate::Ended(outcome) => outcome.state(),
            fate => panic!("job {id}: {fate:?}"),
        }
    }

    pub fn counts(&self) -> Counts {
        self.storage().counts().unwrap()
    }

    /// Lists all pages.
    pub fn list(&self, filter: &Filter) -> Vec<JobInfo> {
        self.pages(filter, 100)
    }

    pub fn pages(&self, filter: &Filter, most: usize) -> Vec<JobInfo> {
        let mut found: Vec<JobInfo> = Vec::new();
        loop {
            let after = found.last().map_or(JobId(0), |info| info.id);
            let page = self.storage().list(filter, Page { after, most }).unwrap();
            assert!(page.len() <= most, "a page of {} jobs", page.len());
            if page.is_empty() {
                return found;
            }
            found.extend(page);
            assert!(found.is_sorted_by_key(|info| info.id), "not by id");
        }
    }

    /// A live job, or one whose outcome is kept.
    pub fn info(&self, id: JobId) -> JobInfo {
        let filter = Filter {
            payloads: true,
            ..these(&[id])
        };
        let mut found = self.list(&filter);
        assert_eq!(found.len(), 1, "job {id}: {found:?}");
        found.remove(0)
    }

    /// Nothing is left that should not be.
    pub fn finish(&self) {
        let faults = self.storage().check(false).unwrap();
        assert!(faults.is_empty(), "{faults:?}");
    }
}

/// A session, and what its consumer does.
#[derive(Debug)]
pub struct Consumer<'a> {
    env: &'a Env,
    pub session: SessionId,
    /// That of its last exchange.
    pub number: Cell<u64>,
}

impl Consumer<'_> {
    pub fn try_exchange(
        &self,
        number: u64,
        ended: &[Ended],
        wanted: &[Want],
    ) -> Result<Exchanged, JobsError> {
        self.env.storage().exchange(&Exchange {
            session: self.session,
            number,
            ended,
            wanted,
        })
    }

    pub fn exchange(&self, ended: &[Ended], wanted: &[Want]) -> Exchanged {
        self.number.set(self.number.get() + 1);
        let exchanged = self.try_exchange(self.number.get(), ended, wanted).unwrap();
        assert_eq!(exchanged.judged.len(), ended.len());
        assert_eq!(exchanged.now, self.env.now());
        exchanged
    }

    /// Claims of the queue and the kind that [`job`] has.
    pub fn claim(&self, most: usize) -> Vec<Claimed> {
        self.claim_from(QUEUE, &[KIND], most)
    }

    pub fn claim_from(&self, queue: &str, kinds: &[&str], most: usize) -> Vec<Claimed> {
        self.exchange(&[], &[want(queue, kinds, most)]).claimed
    }

    pub fn claim_one(&self) -> Claimed {
        let mut claimed = self.claim(1);
        assert_eq!(claimed.len(), 1, "one job is ready");
        claimed.remove(0)
    }

    pub fn end(&self, claimed: &Claimed, verdict: Verdict) -> Judged {
        self.exchange(&[end_of(claimed, verdict)], &[]).judged[0]
    }

    pub fn done(&self, claimed: &Claimed) {
        assert_eq!(self.end(claimed, done()), Judged::Ended);
    }

    /// A sign of life after the answers to all its exchanges.
    pub fn heartbeat(&self, lease: Duration, held: &[JobId]) -> Pulse {
        let sign = crate::jobs::Heartbeat {
            session: self.session,
            lease,
            settled: self.number.get(),
            held,
        };
        self.env.storage().heartbeat(&sign).unwrap()
    }

    pub fn close(&self) -> u64 {
        self.env.storage().close_session(self.session).unwrap()
    }
}

pub const QUEUE: &str = "mail";
pub const KIND: &str = "send";
pub const LEASE: Duration = Duration::from_secs(30);
pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(86_400);
/// The shortest time that a storage knows.
pub const TICK: Duration = Duration::from_millis(1);

pub fn job() -> NewJob {
    NewJob::new(QUEUE, KIND, "{}")
}

pub fn jobs(count: usize) -> Vec<NewJob> {
    vec![job(); count]
}

pub fn delayed(time: Duration) -> NewJob {
    NewJob {
        due: Due::After(time),
        ..job()
    }
}

pub fn unique(key: &str, until: UniqueUntil) -> NewJob {
    let key = key.to_owned();
    NewJob {
        unique: Some(Unique { key, until }),
        ..job()
    }
}

pub fn in_lane(lane: &str) -> NewJob {
    let lane = Some(lane.to_owned());
    NewJob { lane, ..job() }
}

pub fn after(parents: &[JobId]) -> NewJob {
    let after = parents.to_vec();
    NewJob { after, ..job() }
}

pub fn want(queue: &str, kinds: &[&str], most: usize) -> Want {
    Want {
        queue: queue.to_owned(),
        kinds: kinds.iter().map(|&kind| kind.to_owned()).collect(),
        most,
    }
}

pub fn these(ids: &[JobId]) -> Filter {
    Filter {
        ids: Some(ids.to_vec()),
        ..Filter::default()
    }
}

pub fn ids(claimed: &[Claimed]) -> Vec<JobId> {
    claimed.iter().map(|claimed| claimed.id).collect()
}

pub fn end_of(claimed: &Claimed, verdict: Verdict) -> Ended {
    Ended {
        id: claimed.id,
        claim: claimed.claim,
        verdict,
    }
}

pub fn done() -> Verdict {
    Verdict::Done {
        output: b"null".to_vec(),
        keep: None,
    }
}

pub fn dead(error: &str) -> Verdict {
    let error = error.to_owned();
    Verdict::Dead { error }
}

pub fn retry(after: Duration, error: &str) -> Verdict {
    let error = error.to_owned();
    Verdict::Retry { after, error }
}

pub fn assert_refused<T: std::fmt::Debug>(result: Result<T, JobsError>, kind: JobsErrorKind) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
}
