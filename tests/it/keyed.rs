//! A gate for each key: independent, the same for the same key, forgotten when idle; whatever the keys' own code does.

use crate::gate_kit::{Busy, HOUR, SECOND, millis, pool_on, until};
use crate::stress::{EXPECTED, silence};
use millhand::limit::{Gate, Keyed, Lane, Lanes};
use millhand::task::TaskState;
use millhand::testing::ManualClock;
use millhand::{RateLimiter, Semaphore, ThreadPool};
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

fn limits(clock: &ManualClock) -> Keyed<u32, RateLimiter> {
    RateLimiter::keyed(RateLimiter::token_bucket(1, SECOND).burst(2).clock(clock)).unwrap()
}

/// Asks for a key that nobody has, until each other one was looked at, and says how many of those are left. A key is
/// looked at once in a while as others are asked for.
pub(crate) fn left<K: Hash + Eq, G: Gate + Clone>(
    keyed: &Keyed<K, G>,
    spare: impl Fn() -> K,
) -> usize {
    for _ in 0..64 * (2 + keyed.len() / 64) {
        drop(keyed.key(spare()));
    }
    keyed.len() - 1
}

#[test]
fn a_key_is_limited_by_itself_and_always_by_the_same_gate() {
    let clock = ManualClock::new();
    let windows = RateLimiter::sliding_window(2, SECOND).clock(&clock);
    for limits in [limits(&clock), RateLimiter::keyed(windows).unwrap()] {
        let clone = limits.clone();
        let kept = limits.key(1);
        kept.acquire(1).unwrap();
        clone.key(1).acquire(1).unwrap();
        assert!(limits.key(1).try_acquire(1).is_err());
        assert_eq!(
            (limits.key(1).available(), limits.key(2).available()),
            (0, 2)
        );
        limits.key(2).acquire(2).unwrap();
        assert_eq!(limits.len(), 2);
        clock.advance(2 * SECOND);
        assert_eq!((kept.available(), clone.key(2).available()), (2, 2));
    }
}

#[test]
fn tasks_of_a_key_are_gated_by_it_and_others_are_not() {
    let pool = ThreadPool::new(3).unwrap();
    let locks = Semaphore::keyed::<String>(1).unwrap();
    let lanes = Lanes::<String>::new();
    let key = |name: &str| {
        pool.task()
            .gate(&locks.key(name.into()))
            .gate(&lanes.key(name.into()))
    };
    let busy = Busy::start(&key("ann"));
    let waits = key("ann").submit(|| 7);
    until("it waits", || waits.state() == TaskState::Gated);
    for n in 0..20 {
        let other = key(&format!("other {}", n % 3));
        assert_eq!(other.submit(move || n).join().unwrap(), n);
    }
    assert!(!waits.is_finished());
    busy.end();
    assert_eq!(waits.join().unwrap(), 7);
}

#[test]
fn what_is_idle_and_full_is_forgotten_and_nothing_else() {
    let clock = ManualClock::new();
    let pool = pool_on(&clock, 2);
    let limits = limits(&clock);
    let locks = Semaphore::keyed::<u32>(2).unwrap();
    let lanes = Lanes::<u32>::new();
    // 1: a handle is kept. 2: something is taken. 3: a task runs. 4: one waits, too. 5: one is delayed. 6: a template is kept. 7: idle.
    let handles = (limits.key(1), locks.key(1), lanes.key(1));
    limits.key(2).acquire(1).unwrap();
    let permit = locks.key(2).acquire().unwrap();
    let on = |n| {
        let task = pool.task().gate(&limits.key(n)).gate(&locks.key(n));
        task.gate(&lanes.key(n))
    };
    let busy = [Busy::start(&on(3)), Busy::start(&on(4))];
    let waits = on(4).submit(|| ());
    let delayed = on(5).delay(HOUR).submit(|| ());
    let template = on(6);
    drop((limits.key(7), locks.key(7), lanes.key(7)));
    let lens = || {
        (
            left(&limits, || 99),
            left(&locks, || 99),
            left(&lanes, || 99),
        )
    };
    assert_eq!((limits.len(), locks.len(), lanes.len()), (7, 7, 6));
    assert_eq!(lens(), (6, 6, 5));
    assert_eq!(
        (limits.key(2).available(), locks.key(2).available()),
        (1, 1),
        "not forgotten"
    );
    busy.into_iter().for_each(Busy::end);
    waits.join().unwrap();
    until(
        "the two that ran are forgotten, where nothing is missing",
        || {
            // 3 and 4 have taken tokens, which are not back.
            lens() == (6, 4, 3)
        },
    );
    drop(permit);
    clock.advance(millis(999));
    assert_eq!(lens(), (6, 3, 3));
    clock.advance(millis(1));
    assert_eq!(
        lens(),
        (4, 3, 3),
        "a token of 2 and of 3 is back, of 4 one is missing"
    );
    clock.advance(SECOND);
    assert_eq!(lens(), (3, 3, 3));
    delayed.cancel();
    drop((handles, template, delayed));
    clock.advance(HOUR);
    until("nothing is left", || lens() == (0, 0, 0));
    assert_eq!(limits.key(1).available(), 2, "it begins anew");
}

#[test]
fn idle_keys_are_forgotten_by_themselves_as_keys_are_asked_for() {
    let clock = ManualClock::new();
    let limits = limits(&clock);
    let locks = Semaphore::keyed::<u32>(1).unwrap();
    let lanes = Lanes::<u32>::new();
    let held = locks.key(0).acquire().unwrap();
    let mut most = [0; 3];
    for n in 1..20_000 {
        limits.key(n).acquire(1).unwrap();
        clock.advance(millis(50));
        drop(locks.key(n).acquire().unwrap());
        drop(lanes.key(n));
        let lens = [limits.len(), locks.len(), lanes.len()];
        most.iter_mut()
            .zip(lens)
            .for_each(|(most, len)| *most = len.max(*most));
    }
    // Twenty keys at a time lack a token; the others are idle at once.
    assert!(most.iter().all(|len| *len < 300), "{most:?}");
    assert_eq!(locks.key(0).available(), 0, "the busy one is kept");
    drop(held);
}

#[test]
fn a_key_with_a_crowd_in_its_line_does_not_hold_up_another_key_s_only_task() {
    const CROWD: usize = 100_000;
    let clock = ManualClock::new();
    let pool = pool_on(&clock, 2);
    let limits = limits(&clock);
    let locks = Semaphore::keyed::<u32>(1).unwrap();
    let lanes = Lanes::<u32>::new();
    limits.key(1).acquire(2).unwrap();
    let busy = Busy::start(&pool.task().gate(&locks.key(1)).gate(&lanes.key(1)));
    let tasks = |n| {
        let (limit, lock, lane) = (limits.key(n), locks.key(n), lanes.key(n));
        [
            pool.task().gate(&limit),
            pool.task().gate(&lock),
            pool.task().gate(&lane),
        ]
    };
    let ran = Arc::new(AtomicUsize::new(0));
    for (kind, task) in tasks(1).into_iter().enumerate() {
        let crowd = if kind == 0 { CROWD } else { CROWD / 10 };
        let crowd: Vec<_> = (0..crowd)
            .map(|_| {
                let ran = ran.clone();
                task.submit(move || ran.fetch_add(1, SeqCst))
            })
            .collect();
        let other = tasks(2)[kind].submit(|| 7);
        assert_eq!(other.join().unwrap(), 7);
        assert_eq!(ran.load(SeqCst), 0);
        let first = crowd.len() - 2;
        crowd[first..].iter().for_each(|task| drop(task.token()));
        crowd
            .into_iter()
            .for_each(|task| drop(task.cancel_on_drop()));
    }
    assert_eq!(
        (
            limits.key(1).waiting(),
            locks.key(1).waiting(),
            lanes.key(1).waiting()
        ),
        (0, 0, 0)
    );
    busy.end();
    assert_eq!(ran.load(SeqCst), 0);
}

/// A key whose own code does something else first.
#[derive(Clone)]
struct Odd {
    n: u64,
    hash: fn(&Odd),
    eq: fn(&Odd),
}

fn nothing(_: &Odd) {}

impl Odd {
    fn plain(n: u64) -> Self {
        Self {
            n,
            hash: nothing,
            eq: nothing,
        }
    }
}

impl Hash for Odd {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.hash)(self);
        // All in a few buckets.
        (self.n % 3).hash(state);
    }
}

impl PartialEq for Odd {
    fn eq(&self, other: &Self) -> bool {
        (self.eq)(self);
        (other.eq)(other);
        self.n == other.n
    }
}

impl Eq for Odd {}

impl Drop for Odd {
    fn drop(&mut self) {
        // A key is dropped with the map unlocked.
        if let Some(odds) = ODDS.get() {
            let _ = odds.len();
        }
    }
}

static ODDS: OnceLock<Lanes<Odd>> = OnceLock::new();

fn odds() -> &'static Lanes<Odd> {
    ODDS.get_or_init(Lanes::new)
}

#[test]
fn keys_that_use_another_map_while_they_are_hashed_or_compared_do_no_harm() {
    static OTHERS: OnceLock<Lanes<u64>> = OnceLock::new();
    fn ask(key: &Odd) {
        let others = OTHERS.get_or_init(Lanes::new);
        let _ = others.key(key.n + 3);
        let _ = others.key(key.n + 1);
    }
    let pool = ThreadPool::new(2).unwrap();
    let running = Arc::new([const { AtomicUsize::new(0) }; 10]);
    std::thread::scope(|s| {
        for producer in 0..3 {
            let (pool, running) = (&pool, &running);
            s.spawn(move || {
                for n in 0..400_u64 {
                    let n = (n + producer) % 10;
                    let mut key = Odd::plain(n);
                    match n % 3 {
                        0 => key.hash = ask,
                        1 => key.eq = ask,
                        _ => {}
                    }
                    let lane: Lane = odds().key(key);
                    let running = running.clone();
                    let body = move || {
                        let me = &running[n as usize];
                        assert_eq!(me.fetch_add(1, SeqCst), 0, "one gate a key");
                        std::thread::yield_now();
                        me.fetch_sub(1, SeqCst);
                    };
                    pool.task().gate(&lane).submit(body).join().unwrap();
                }
            });
        }
    });
    pool.wait_idle().unwrap();
    until("nothing is left", || left(odds(), || Odd::plain(99)) == 0);
}

#[test]
fn keys_that_panic_while_they_are_hashed_or_compared_lose_nothing() {
    fn grenade(_: &Odd) {
        panic!("{EXPECTED} in a key");
    }
    silence();
    let locks = Semaphore::keyed::<Odd>(1).unwrap();
    let held = locks.key(Odd::plain(0)).acquire().unwrap();
    let also = locks.key(Odd::plain(3)).acquire().unwrap();
    for n in [0, 3, 6] {
        for in_hash in [true, false] {
            let mut key = Odd::plain(n);
            if in_hash {
                key.hash = grenade;
            } else {
                key.eq = grenade;
            }
            let end = catch_unwind(AssertUnwindSafe(|| drop(locks.key(key))));
            assert!(end.is_err());
            assert_eq!(locks.len(), 2);
        }
    }
    assert_eq!(locks.key(Odd::plain(0)).available(), 0);
    assert_eq!(locks.key(Odd::plain(3)).available(), 0);
    assert_eq!(locks.key(Odd::plain(6)).available(), 1);
    drop((held, also));
    assert_eq!(left(&locks, || Odd::plain(9)), 0);
}

#[test]
fn many_threads_find_one_gate_a_key_while_others_are_forgotten() {
    const KEYS: u32 = 50;
    let locks = Semaphore::keyed::<u32>(1).unwrap();
    let inside: HashMap<u32, AtomicUsize> =
        (0..KEYS).map(|key| (key, AtomicUsize::new(0))).collect();
    std::thread::scope(|s| {
        for producer in 0..4 {
            let (locks, inside) = (&locks, &inside);
            s.spawn(move || {
                for n in 0..3_000 {
                    let key = (n * 7 + producer) % KEYS;
                    let permit = locks.key(key).acquire().unwrap();
                    assert_eq!(inside[&key].fetch_add(1, SeqCst), 0, "key {key}");
                    inside[&key].fetch_sub(1, SeqCst);
                    drop(permit);
                }
            });
        }
    });
    assert_eq!(left(&locks, || KEYS), 0);
}

#[test]
fn a_key_that_was_changed_is_kept_as_it_is() {
    let locks = Semaphore::keyed(5).unwrap();
    locks.key("ann").set_permits(1);
    assert_eq!(left(&locks, || "spare"), 1);
    assert_eq!(locks.key("ann").available(), 1);
    let hour = Duration::from_secs(3600);
    let limits =
        RateLimiter::keyed(RateLimiter::token_bucket(100, Duration::from_secs(1)).burst(1))
            .unwrap();
    limits.key("ann").set_rate(1, hour).unwrap();
    assert_eq!(left(&limits, || "spare"), 1);
    assert!(limits.key("ann").try_acquire(1).is_ok());
    assert!(limits.key("ann").acquire_timeout(1, hour / 2).is_err());
}

#[test]
fn a_key_in_its_borrowed_form_is_the_same_key() {
    let locks = Semaphore::keyed::<String>(1).unwrap();
    let kept = locks.key_ref("ann");
    let permit = kept.try_acquire().unwrap();
    assert_eq!(locks.key(String::from("ann")).available(), 0);
    assert_eq!(locks.key_ref("ann").available(), 0);
    assert_eq!(locks.key_ref("bob").available(), 1);
    drop(permit);
    assert_eq!(left(&locks, || String::from("spare")), 1, "the kept one");
}

/// All of these have one hash.
#[derive(Clone, PartialEq, Eq)]
struct Alike(u32);

impl Hash for Alike {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(0);
    }
}

#[test]
fn keys_of_one_hash_are_kept_apart_and_forgotten_one_by_one() {
    let locks = Semaphore::keyed(1).unwrap();
    let kept: Vec<_> = (0..20).map(|n| locks.key(Alike(n))).collect();
    let permits: Vec<_> = kept
        .iter()
        .map(|lock| lock.try_acquire().unwrap())
        .collect();
    for n in 20..200 {
        assert_eq!(locks.key(Alike(n)).available(), 1);
    }
    assert_eq!(left(&locks, || Alike(1000)), kept.len());
    for n in 0..20 {
        assert_eq!(locks.key_ref(&Alike(n)).available(), 0);
    }
    drop(permits);
}
