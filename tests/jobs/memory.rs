//! The storage in memory, beyond what every storage must do.

use millhand::jobs::{
    Batch, Claimed, Due, Ended, Exchange, Exchanged, Fate, Filter, Heartbeat, JobId, JobState,
    Judged, Memory, NewJob, Notifier, Outcome, Page, Placed, QueueChange, SessionId, SessionInfo,
    Storage, Swept, Unique, UniqueUntil, Verdict, Want,
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

fn in_lane(lane: &str) -> NewJob {
    let mut new = NewJob::new("q", "a", "");
    new.lane = Some(lane.to_owned());
    new
}

fn after(parents: &[JobId]) -> NewJob {
    let mut new = NewJob::new("q", "a", "");
    new.after = parents.to_vec();
    new
}

/// Jobs of which each follows the one before.
fn chain(storage: &Memory, count: usize) -> Vec<JobId> {
    let mut ids = vec![enqueue(storage, &[NewJob::new("q", "a", "")])[0].id()];
    while ids.len() < count {
        let placed = enqueue(storage, &[after(&ids[ids.len() - 1..])]);
        ids.push(placed[0].id());
    }
    ids
}

#[test]
fn a_chain_of_100_000_is_cancelled_removed_and_forgotten_without_a_deep_stack() {
    const LINKS: usize = 100_000;
    let storage = Memory::new();
    let first = chain(&storage, LINKS)[0];
    storage.cancel(first).unwrap();
    let second = chain(&storage, LINKS)[0];
    let filter = Filter {
        ids: Some(vec![second]),
        ..Filter::default()
    };
    assert_eq!(storage.purge(&filter, 1).unwrap(), 1);
    let counts = storage.counts().unwrap();
    // The job that is removed is no job that is cancelled.
    assert_eq!(counts.totals.cancelled, 2 * LINKS as u64 - 1);
    assert_eq!(counts.queues, []);
    assert_eq!(all(&storage, &Filter::default()), []);
    assert_eq!(storage.check(false).unwrap(), []);
}

#[test]
fn a_job_with_many_children_and_one_with_many_parents_are_no_more_work_than_many_jobs() {
    let storage = Memory::new();
    let root = enqueue(&storage, &[NewJob::new("q", "b", "")])[0].id();
    let middle = enqueue(&storage, &vec![after(&[root]); 10_000]);
    let middle: Vec<JobId> = middle.iter().map(|placed| placed.id()).collect();
    let last = enqueue(&storage, &[after(&middle)])[0].id();
    let session = open(&storage, Duration::MAX);
    let mut ends = Vec::new();
    let mut order = Vec::new();
    for number in 1.. {
        let found = exchange(&storage, session, number, &ends, 1000);
        ends = found.claimed.iter().map(done).collect();
        if ends.is_empty() {
            break;
        }
        order.extend(found.claimed.iter().map(|job| job.id));
    }
    assert_eq!(order.first(), Some(&root));
    assert_eq!(order.last(), Some(&last));
    assert_eq!(order.len(), 10_002);
    assert_eq!(storage.check(false).unwrap(), []);
}

#[test]
fn eight_threads_run_one_job_of_each_lane_at_a_time_and_in_order() {
    const LANES: usize = 5;
    const THREADS: usize = 8;
    let storage = Memory::new();
    let names: Vec<String> = (0..LANES).map(|lane| lane.to_string()).collect();
    let jobs: Vec<NewJob> = (0..5_000).map(|n| in_lane(&names[n % LANES])).collect();
    let ids = enqueue(&storage, &jobs);
    let first = ids[0].id().0;
    let place = |id: JobId| (id.0 - first) as usize;
    let running = Mutex::new([false; LANES]);
    let begun = Mutex::new(vec![Vec::new(); LANES]);
    let left = AtomicUsize::new(ids.len());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let session = open(&storage, Duration::MAX);
                let mut ends: Vec<Ended> = Vec::new();
                for number in 1.. {
                    let found = exchange(&storage, session, number, &ends, 2);
                    left.fetch_sub(ends.len(), Ordering::Relaxed);
                    for job in &found.claimed {
                        let place = place(job.id);
                        let before = running.lock().unwrap()[place % LANES];
                        assert!(!before, "two of lane {}", place % LANES);
                        running.lock().unwrap()[place % LANES] = true;
                        begun.lock().unwrap()[place % LANES].push(place);
                    }
                    ends = found.claimed.iter().map(done).collect();
                    for end in &ends {
                        running.lock().unwrap()[place(end.id) % LANES] = false;
                    }
                    if ends.is_empty() && left.load(Ordering::Relaxed) == 0 {
                        break;
                    }
                    thread::yield_now();
                }
            });
        }
    });
    for (lane, begun) in begun.into_inner().unwrap().into_iter().enumerate() {
        let expected: Vec<usize> = (lane..jobs.len()).step_by(LANES).collect();
        assert_eq!(begun, expected);
    }
    assert_eq!(storage.check(false).unwrap(), []);
}

#[test]
fn a_job_that_is_no_longer_blocked_wakes_and_one_that_is_blocked_does_not() {
    let storage = Memory::new();
    let notifier = Notifier::new();
    let first = enqueue(&storage, &[in_lane("x")])[0].id();
    let _subscribed = storage.subscribe(&["q"], &notifier).unwrap();
    let is_woken = |act: &dyn Fn()| {
        let listening = notifier.listen();
        act();
        listening.wait_timeout(Duration::ZERO) == Ok(true)
    };
    let mut later = after(&[first]);
    later.due = Due::After(MINUTE);
    assert!(!is_woken(&|| {
        enqueue(&storage, &[in_lane("x"), later.clone()]);
    }));
    let done_by_hand = |storage: &Memory| {
        let session = open(storage, MINUTE);
        let claimed = exchange(storage, session, 1, &[], 1).claimed;
        exchange(storage, session, 2, &[done(&claimed[0])], 0);
    };
    assert!(is_woken(&|| done_by_hand(&storage)));
    // What follows it is scheduled now, and the second one of the lane is ready.
    let counts = &storage.counts().unwrap().queues[0];
    assert_eq!((counts.scheduled, counts.ready, counts.blocked), (1, 1, 0));
    let other = enqueue(&storage, &[after(&[JobId(2)])])[0].id();
    let fate = storage.outcome(other).unwrap();
    assert_eq!(fate, Fate::Live(JobState::Blocked));
    assert!(is_woken(&|| done_by_hand(&storage)));
    let fate = storage.outcome(other).unwrap();
    assert_eq!(fate, Fate::Live(JobState::Ready));
}

#[test]
fn a_dead_job_beyond_the_100_000_is_kept_for_the_job_that_follows_it_alone() {
    let storage = Memory::new();
    let first = enqueue(&storage, &[NewJob::new("q", "a", "")])[0].id();
    let mut child = after(&[first]);
    child.even_if_failed = true;
    child.due = Due::After(MINUTE);
    let child = enqueue(&storage, &[child])[0].id();
    enqueue(&storage, &vec![NewJob::new("q", "a", ""); 100_000]);
    let session = open(&storage, Duration::MAX);
    let claimed = exchange(&storage, session, 1, &[], 100_001).claimed;
    let dead = |job: &Claimed| Ended {
        verdict: Verdict::Dead {
            error: "no".to_owned(),
        },
        ..done(job)
    };
    let dead: Vec<_> = claimed.iter().map(dead).collect();
    exchange(&storage, session, 2, &dead, 0);
    assert_eq!(storage.outcome(first).unwrap(), Fate::Forgotten);
    assert_eq!(storage.counts().unwrap().dead, 100_000);
    let outcome = Fate::Ended(Outcome::Dead("no".to_owned()));
    assert_eq!(storage.parents(child).unwrap(), [(first, outcome)]);
    let cancelled = enqueue(&storage, &[after(&[first])])[0].id();
    assert_eq!(storage.outcome(cancelled).unwrap(), Fate::Forgotten);
    storage.cancel(child).unwrap();
    // Now it is as one that succeeded.
    let late = enqueue(&storage, &[after(&[first])])[0].id();
    let fate = storage.outcome(late).unwrap();
    assert_eq!(fate, Fate::Live(JobState::Ready));
    assert_eq!(storage.check(false).unwrap(), []);
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

    /// Some jobs follow others with ids up to this one.
    fn job(&mut self, last: u64) -> NewJob {
        let mut job = NewJob::new("q", ["a", "b"][self.below(2) as usize], "x");
        if self.is_one_in(3) {
            job.lane = Some(self.below(3).to_string());
        }
        while last > 0 && self.is_one_in(3) {
            let back = self.below(last.min(12));
            job.after.push(JobId(last - back));
        }
        job.even_if_failed = self.is_one_in(2);
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
        job.replace = self.is_one_in(2);
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
    /// The last job that was stored.
    last: u64,
}

fn call_at_random(storage: &Memory, random: &mut Random, consumers: &mut Consumers) {
    let id = JobId((consumers.last + 1).saturating_sub(random.below(100)));
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
            let jobs = [random.job(consumers.last), random.job(consumers.last)];
            for placed in enqueue(storage, &jobs) {
                consumers.last = consumers.last.max(placed.id().0);
            }
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
    let mut lanes: BTreeMap<String, Vec<JobState>> = BTreeMap::new();
    for job in storage.list(&Filter::default(), page).unwrap() {
        *listed.entry(job.state).or_insert(0) += 1;
        let parents = storage.parents(job.id).unwrap();
        let is_live = |fate: &Fate| matches!(fate, Fate::Live(_));
        let live = parents.iter().filter(|(_, fate)| is_live(fate)).count();
        assert!(job.waits_for as usize <= live);
        if job.state == JobState::Blocked && job.waits_for == 0 {
            assert!(job.lane.is_some());
        }
        let lane = job.lane.filter(|_| job.waits_for == 0);
        if let Some(lane) = lane.filter(|_| !job.state.has_ended()) {
            lanes.entry(lane).or_default().push(job.state);
        }
    }
    for states in lanes.values() {
        let is_at_work = |state: &&JobState| matches!(state, JobState::Ready | JobState::Running);
        assert!(states.iter().filter(is_at_work).count() <= 1, "{states:?}");
        let waits = states.contains(&JobState::Blocked);
        // A job that waits for another attempt has its lane, too.
        assert!(!waits || states.iter().any(|state| *state != JobState::Blocked));
    }
    let of = |state| listed.get(&state).copied().unwrap_or(0);
    let counts = storage.counts().unwrap();
    let line = counts.queues.first().cloned().unwrap_or_default();
    assert_eq!(
        [
            line.blocked,
            line.scheduled,
            line.ready,
            line.running,
            counts.dead
        ],
        [
            JobState::Blocked,
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
