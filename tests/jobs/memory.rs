//! The storage in memory, beyond what every storage must do.

use millhand::jobs::{
    Batch, Claimed, Due, Ended, Exchange, Exchanged, Fate, Filter, Heartbeat, JobId, JobState,
    Judged, Memory, NewJob, Notifier, Page, Placed, QueueChange, SessionId, SessionInfo, Storage,
    Swept, Unique, UniqueUntil, Verdict, Want,
};
use millhand::testing::ManualClock;
use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

const MINUTE: Duration = Duration::from_secs(60);

fn enqueue(storage: &Memory, jobs: &[NewJob]) -> Vec<Placed> {
    storage.enqueue(&Batch { number: None, jobs }).unwrap()
}

fn open(storage: &Memory, lease: Duration) -> SessionId {
    storage
        .open_session(&SessionInfo::default(), lease)
        .unwrap()
}

fn want(most: usize) -> Want {
    Want {
        queue: "q".to_owned(),
        kinds: vec!["a".to_owned(), "b".to_owned()],
        most,
    }
}

fn exchange(
    storage: &Memory,
    session: SessionId,
    number: u64,
    ended: &[Ended],
    most: usize,
) -> Exchanged {
    let exchange = Exchange {
        session,
        number,
        ended,
        wanted: &[want(most)],
    };
    storage.exchange(&exchange).unwrap()
}

fn done(job: &Claimed) -> Ended {
    Ended {
        id: job.id,
        claim: job.claim,
        verdict: Verdict::Done {
            output: b"null".to_vec(),
            keep: None,
        },
    }
}

fn all(storage: &Memory, filter: &Filter) -> Vec<JobId> {
    let mut ids = Vec::new();
    let mut after = JobId(0);
    loop {
        let page = storage.list(filter, Page { after, most: 7 }).unwrap();
        let Some(last) = page.last() else {
            return ids;
        };
        after = last.id;
        ids.extend(page.iter().map(|job| job.id));
    }
}

#[test]
fn clones_are_the_same_storage() {
    let storage = Memory::new();
    let clone = storage.clone();
    let placed = enqueue(&clone, &[NewJob::new("q", "a", "")]);
    drop(clone);
    let fate = storage.outcome(placed[0].id()).unwrap();
    assert_eq!(fate, Fate::Live(JobState::Ready));
}

#[test]
fn who_is_woken_finds_the_job_and_may_call_the_storage() {
    let storage = Memory::new();
    let notifier = Notifier::new();
    let _subscribed = storage.subscribe(&["q"], &notifier).unwrap();
    let session = open(&storage, MINUTE);
    for number in 1..=200 {
        let listening = notifier.listen();
        thread::scope(|scope| {
            scope.spawn(|| enqueue(&storage, &[NewJob::new("q", "a", "")]));
            assert_eq!(listening.wait_timeout(Duration::MAX), Ok(true));
            let found = exchange(&storage, session, number, &[], 1);
            assert_eq!(found.claimed.len(), 1);
        });
    }
}

#[test]
fn the_end_of_a_job_wakes_those_that_watch_it_and_no_others() {
    let clock = ManualClock::new();
    let storage = Memory::options().clock(&clock).build();
    let placed = enqueue(&storage, &[NewJob::new("q", "a", "")]);
    let id = placed[0].id();
    let (watched, dropped, impatient) = (Notifier::new(), Notifier::new(), Notifier::new());
    let listening = [&watched, &dropped, &impatient].map(Notifier::listen);
    let _watched = storage.watch(id, &watched, MINUTE).unwrap();
    drop(storage.watch(id, &dropped, MINUTE).unwrap());
    let _impatient = storage.watch(id, &impatient, MINUTE / 2).unwrap();
    clock.advance(MINUTE / 2);
    storage.cancel(id).unwrap();
    let woken = listening.map(|listening| listening.wait_timeout(Duration::ZERO));
    assert_eq!(woken, [Ok(true), Ok(false), Ok(false)]);
}

#[test]
fn sixteen_threads_end_each_of_20_000_jobs_once() {
    const JOBS: usize = 20_000;
    const THREADS: usize = 16;
    let storage = Memory::new();
    let left = AtomicUsize::new(JOBS);
    let ended = Mutex::new(HashSet::new());
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (storage, left, ended) = (&storage, &left, &ended);
            scope.spawn(move || {
                let session = open(storage, Duration::from_secs(3600));
                let kind = ["a", "b"][thread % 2];
                let mut to_store = JOBS / THREADS;
                let mut ends = Vec::new();
                for number in 1.. {
                    let some = to_store.min(50);
                    to_store -= some;
                    enqueue(storage, &vec![NewJob::new("q", kind, "payload"); some]);
                    let found = exchange(storage, session, number, &ends, 20);
                    assert!(found.judged.iter().all(|judged| *judged == Judged::Ended));
                    left.fetch_sub(ends.len(), Ordering::Relaxed);
                    let mut all = ended.lock().unwrap();
                    assert!(ends.iter().all(|end: &Ended| all.insert(end.id)));
                    drop(all);
                    ends = found.claimed.iter().map(done).collect();
                    if to_store == 0 && ends.is_empty() && left.load(Ordering::Relaxed) == 0 {
                        break;
                    }
                    thread::yield_now();
                }
            });
        }
    });
    assert_eq!(ended.into_inner().unwrap().len(), JOBS);
    let counts = storage.counts().unwrap();
    assert_eq!((counts.totals.done, counts.queues), (JOBS as u64, vec![]));
    assert_eq!(storage.check(false).unwrap(), []);
}

#[test]
fn a_page_goes_on_behind_many_jobs_that_are_not_meant() {
    let storage = Memory::new();
    enqueue(&storage, &vec![NewJob::new("q", "a", ""); 25_000]);
    let last = enqueue(&storage, &[NewJob::new("q", "b", "")])[0].id();
    let filter = Filter {
        kind: Some("b".to_owned()),
        ..Filter::default()
    };
    assert_eq!(all(&storage, &filter), [last]);
}

#[test]
fn at_most_100_000_dead_jobs_are_kept_and_the_oldest_goes_first() {
    let storage = Memory::new();
    enqueue(&storage, &vec![NewJob::new("q", "a", ""); 100_001]);
    let session = open(&storage, Duration::from_secs(3600));
    let claimed = exchange(&storage, session, 1, &[], 100_001).claimed;
    let dead = |job: &Claimed| Ended {
        verdict: Verdict::Dead {
            error: "no".to_owned(),
        },
        ..done(job)
    };
    let dead: Vec<_> = claimed.iter().map(dead).collect();
    exchange(&storage, session, 2, &dead, 0);
    assert_eq!(storage.counts().unwrap().dead, 100_000);
    assert_eq!(storage.outcome(claimed[0].id).unwrap(), Fate::Forgotten);
    let fate = storage.outcome(claimed[1].id).unwrap();
    assert!(matches!(fate, Fate::Ended(_)));
}

/// Numbers that are the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    fn time(&mut self) -> Duration {
        Duration::from_millis(self.below(3000))
    }

    fn is_one_in(&mut self, most: u64) -> bool {
        self.below(most) == 0
    }

    fn job(&mut self) -> NewJob {
        let mut job = NewJob::new("q", ["a", "b"][self.below(2) as usize], "x");
        job.priority = self.below(3) as i32 - 1;
        job.max_crashes = 1;
        job.at_most_once = self.is_one_in(8);
        if self.is_one_in(3) {
            job.due = Due::After(self.time());
        }
        let time = self.time() + Duration::from_millis(1);
        job.expires = self.is_one_in(4).then_some(time);
        job.keep = self.is_one_in(3).then_some(time);
        let until = match self.below(6) {
            0 => UniqueUntil::Ended,
            1 => UniqueUntil::Started,
            2 => UniqueUntil::Elapsed(time),
            _ => return job,
        };
        let key = self.below(6).to_string();
        job.unique = Some(Unique { key, until });
        job
    }

    fn verdict(&mut self) -> Verdict {
        let after = self.time();
        let error = "e".to_owned();
        match self.below(7) {
            0 => Verdict::Retry { after, error },
            1 => Verdict::Postponed { after },
            2 => Verdict::Back,
            3 => Verdict::Dead { error },
            4 => Verdict::Cancelled,
            _ => Verdict::Done {
                output: Vec::new(),
                keep: self.is_one_in(2).then_some(after),
            },
        }
    }
}

/// What the consumers of the random calls know.
#[derive(Default)]
struct Consumers {
    sessions: Vec<SessionId>,
    held: Vec<Claimed>,
    number: u64,
}

fn call_at_random(storage: &Memory, random: &mut Random, consumers: &mut Consumers) {
    let id = JobId(random.below(100));
    let session = match consumers.sessions.len() as u64 {
        0 => SessionId(0),
        open => consumers.sessions[random.below(open) as usize],
    };
    let filter = Filter {
        ids: random.is_one_in(4).then(|| vec![id, JobId(id.0 + 1)]),
        state: random.is_one_in(2).then_some(JobState::Dead),
        ..Filter::default()
    };
    match random.below(14) {
        0..=2 => {
            let jobs = [random.job(), random.job()];
            enqueue(storage, &jobs);
        }
        3 => consumers.sessions.push(open(storage, random.time())),
        4..=7 => {
            let mut ends = Vec::new();
            while random.is_one_in(2) && !consumers.held.is_empty() {
                let place = random.below(consumers.held.len() as u64) as usize;
                let verdict = random.verdict();
                ends.push(Ended {
                    verdict,
                    ..done(&consumers.held.swap_remove(place))
                });
            }
            consumers.number += 1;
            let most = random.below(4) as usize;
            let found = exchange(storage, session, consumers.number, &ends, most);
            assert!(found.claimed.len() <= most);
            consumers.held.extend(found.claimed);
        }
        8 => {
            let held: Vec<_> = consumers.held.iter().map(|job| job.id).collect();
            let sign = Heartbeat {
                session,
                lease: random.time(),
                settled: consumers.number,
                held: &held[held.len() / 2..],
            };
            storage.heartbeat(&sign).unwrap();
        }
        9 => {
            storage.cancel(id).unwrap();
        }
        10 => {
            storage.retry_dead(&filter, 2).unwrap();
        }
        11 if random.is_one_in(4) => {
            storage.purge(&filter, 2).unwrap();
        }
        12 if random.is_one_in(4) => {
            storage.close_session(session).unwrap();
        }
        13 => {
            let change = match random.below(4) {
                0 => QueueChange::Rate(Some((2, Duration::from_secs(1)))),
                1 => QueueChange::MaxRunning(Some(2)),
                2 => QueueChange::Rate(None),
                _ => QueueChange::MaxRunning(None),
            };
            storage.set_queue("q", change).unwrap();
        }
        _ => {
            storage.sweep(random.below(4) as usize).unwrap();
        }
    }
}

/// The counts are those of the list, and `check` finds nothing.
fn assert_whole(storage: &Memory) {
    assert_eq!(storage.check(false).unwrap(), []);
    let mut listed = BTreeMap::new();
    let page = Page {
        after: JobId(0),
        most: usize::MAX,
    };
    for job in storage.list(&Filter::default(), page).unwrap() {
        *listed.entry(job.state).or_insert(0) += 1;
    }
    let of = |state| listed.get(&state).copied().unwrap_or(0);
    let counts = storage.counts().unwrap();
    let line = counts.queues.first().cloned().unwrap_or_default();
    assert_eq!(
        [line.scheduled, line.ready, line.running, counts.dead],
        [
            JobState::Scheduled,
            JobState::Ready,
            JobState::Running,
            JobState::Dead
        ]
        .map(of)
    );
}

#[test]
fn nothing_is_lost_in_random_calls_while_the_clock_jumps() {
    for seed in 0..40 {
        let mut random = Random(seed);
        let clock = ManualClock::new();
        let storage = Memory::options().clock(&clock).build();
        let mut consumers = Consumers::default();
        for _ in 0..500 {
            call_at_random(&storage, &mut random, &mut consumers);
            assert_whole(&storage);
            if random.is_one_in(3) {
                clock.advance(random.time());
            }
            if random.is_one_in(20) {
                let wall = clock.clock().wall();
                clock.set_wall(wall - random.time());
            }
        }
        // Much later all that waits is due, and again later nothing is kept.
        clock.set_wall(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 32));
        for change in [QueueChange::Rate(None), QueueChange::MaxRunning(None)] {
            storage.set_queue("q", change).unwrap();
        }
        let session = open(&storage, MINUTE);
        let mut ends = Vec::new();
        for number in 1.. {
            let found = exchange(&storage, session, number, &ends, 1000);
            ends = found.claimed.iter().map(done).collect();
            if ends.is_empty() && !found.more {
                break;
            }
        }
        clock.set_wall(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 33));
        while storage.sweep(3).unwrap().more {}
        assert_whole(&storage);
        assert_eq!(all(&storage, &Filter::default()), []);
        assert_eq!(storage.sweep(3).unwrap(), Swept::default());
        assert_eq!(storage.counts().unwrap().queues, []);
    }
}
