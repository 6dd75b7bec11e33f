//! Faults of gates: tasks that were passed without bound, permits that were held by tasks that could
//! not use them, and costs that grew with what was no longer there.

use crate::allocations::Meter;
use crate::gate_kit::{Busy, HOUR, SECOND, millis, until};
use crate::stress::Rng;
use crate::support::must_recv;
use millhand::limit::Lanes;
use millhand::task::TaskState;
use millhand::{PoolHandle, RateLimiter, Retry, Semaphore, TaskBuilder, TaskHandle, ThreadPool};
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

#[test]
fn a_window_remembers_takings_and_not_units() {
    let limiter = RateLimiter::sliding_window(10_000_000, HOUR)
        .build()
        .unwrap();
    let meter = Meter::of_this_thread();
    for _ in 0..10 {
        limiter.try_acquire(1_000_000).unwrap();
    }
    assert_eq!(limiter.available(), 0);
    assert!(limiter.try_acquire(1).is_err());
    assert!(meter.bytes() < 10_000, "{} bytes", meter.bytes());
}

/// A key that counts when it is dropped.
#[derive(Clone)]
struct Counted(u32, Arc<AtomicUsize>);

impl Hash for Counted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Counted {}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_add(1, SeqCst);
    }
}

#[test]
fn no_call_looks_at_all_keys() {
    const N: u32 = 20_000;
    let dropped = Arc::new(AtomicUsize::new(0));
    let locks = Semaphore::keyed(1).unwrap();
    let in_use: Vec<_> = (0..N)
        .map(|n| locks.key(Counted(n, dropped.clone())))
        .collect();
    assert_eq!(locks.len(), N as usize);
    drop(in_use);
    // All are idle at once, and go by and by.
    let mut calls = 0;
    while locks.len() > 1 {
        let before = dropped.load(SeqCst);
        drop(locks.key(Counted(N, dropped.clone())));
        let more = dropped.load(SeqCst) - before;
        assert!(more <= 65, "one call dropped {more} keys");
        calls += 1;
        assert!(calls <= N, "{} keys are left", locks.len());
    }
}

// Several gates.

/// A gate at which tasks with no other gate come one after the other: each is followed by its like.
#[derive(Clone)]
struct Churn {
    task: TaskBuilder,
    pool: PoolHandle,
    is_over: Arc<AtomicBool>,
    passed: Arc<AtomicUsize>,
}

impl Churn {
    fn new(pool: &ThreadPool, task: TaskBuilder) -> Self {
        Self {
            task,
            pool: pool.handle(),
            is_over: Arc::default(),
            passed: Arc::default(),
        }
    }

    /// Starts one that sleeps for so long, and then starts its like.
    fn go_on(&self, time: Duration) {
        let me = self.clone();
        self.task.execute(move || {
            let _ = millhand::sleep(time);
            let passed = me.passed.fetch_add(1, SeqCst);
            // Ends for certain, if the task that is waited for never has its turn.
            if !me.is_over.load(SeqCst) && passed < 2_000 && !me.pool.is_closed() {
                me.go_on(time);
            }
        });
    }

    fn passed(&self) -> usize {
        self.passed.load(SeqCst)
    }
}

/// Waits until `task` has run, and ends the others.
fn await_turn(task: TaskHandle<()>, churns: &[Churn]) -> usize {
    let before: usize = churns.iter().map(Churn::passed).sum();
    task.join().unwrap();
    let passed: usize = churns.iter().map(Churn::passed).sum();
    churns
        .iter()
        .for_each(|churn| churn.is_over.store(true, SeqCst));
    passed - before
}

#[test]
fn a_task_with_two_gates_is_not_passed_without_end() {
    for seed in 0..40 {
        let (pool, _simulation) = ThreadPool::simulated(seed);
        let gates = [Semaphore::new(1).unwrap(), Semaphore::new(1).unwrap()];
        let churns = gates
            .each_ref()
            .map(|gate| Churn::new(&pool, pool.task().gate(gate)));
        for _ in 0..3 {
            churns[0].go_on(millis(20 + seed % 7));
            churns[1].go_on(millis(30 + seed % 11));
        }
        millhand::sleep(millis(100)).unwrap();
        let both = pool.task().gate(&gates[0]).gate(&gates[1]).submit(|| ());
        let passed = await_turn(both, &churns);
        // Six stood before it.
        assert!(passed < 16, "seed {seed}: {passed} passed");
    }
}

/// A gate of a random kind, and how long a task in its line waits at most for what stands before it.
fn random_gate(pool: &ThreadPool, rng: &mut Rng) -> (GateOf, Churn, Duration) {
    let tasks = 1 + rng.below(4);
    let mut time = || millis(1 + rng.below(60));
    let each = time();
    let (gate, before) = match rng.below(4) {
        0 => {
            let burst = 1 + rng.below(4) as u32;
            let bucket = RateLimiter::token_bucket(1, each).burst(burst);
            let rate = bucket.initial(0).build().unwrap();
            let weight = 1 + rng.below(burst.into()) as u32;
            (GateOf::Rate(rate, weight), each * (tasks as u32 + weight))
        }
        permits => {
            let gate = Semaphore::new(permits as u32).unwrap();
            (GateOf::Semaphore(gate), each * tasks as u32)
        }
    };
    let single = match &gate {
        GateOf::Rate(rate, _) => pool.task().gate(rate),
        GateOf::Semaphore(semaphore) => pool.task().gate(semaphore),
    };
    let churn = Churn::new(pool, single);
    (0..tasks).for_each(|_| churn.go_on(each));
    (gate, churn, before)
}

enum GateOf {
    /// The weight is that of the task with several gates.
    Rate(RateLimiter, u32),
    Semaphore(Semaphore),
}

impl GateOf {
    fn before(&self, task: TaskBuilder) -> TaskBuilder {
        match self {
            Self::Rate(rate, weight) => task.gate(&rate.weight(*weight).unwrap()),
            Self::Semaphore(semaphore) => task.gate(semaphore),
        }
    }
}

#[test]
fn a_task_with_several_gates_waits_for_what_stood_before_it_and_little_more() {
    for seed in 0..300 {
        let mut rng = Rng(seed + 1);
        let (pool, simulation) = ThreadPool::simulated(seed);
        let n = 2 + rng.below(2) as usize;
        let scenes: Vec<_> = (0..n).map(|_| random_gate(&pool, &mut rng)).collect();
        let churns: Vec<_> = scenes.iter().map(|(_, churn, _)| churn.clone()).collect();
        millhand::sleep(millis(rng.below(300))).unwrap();
        let all = scenes
            .iter()
            .fold(pool.task(), |task, (gate, ..)| gate.before(task));
        let begun = simulation.elapsed();
        let task = all.priority(rng.below(3) as i32 - 1).submit(|| ());
        await_turn(task, &churns);
        let waited = simulation.elapsed() - begun;
        let before = scenes.iter().map(|(.., before)| *before).max().unwrap();
        // At each gate one more may pass, and then what is held there comes back.
        let most = before + millis(60) * 2 * n as u32;
        assert!(
            waited <= most,
            "seed {seed}: {waited:?} of {most:?} with {n} gates"
        );
    }
}

#[test]
fn tasks_whose_gates_overlap_do_not_block_each_other() {
    for seed in 0..150 {
        let mut rng = Rng(seed + 1);
        let (pool, _simulation) = ThreadPool::simulated(seed);
        let permits = [1, 1, 2, 3].map(|permits| Semaphore::new(permits).unwrap());
        let rate = RateLimiter::token_bucket(100, SECOND)
            .burst(3)
            .build()
            .unwrap();
        let lanes = Lanes::new();
        let mut handles = Vec::new();
        for _ in 0..60 {
            let mut task = pool.task().priority(rng.below(3) as i32 - 1);
            for gate in &permits {
                if rng.below(2) == 0 {
                    task = task.gate(gate);
                }
            }
            if rng.below(4) == 0 {
                task = task.gate(&rate.weight(1 + rng.below(3) as u32).unwrap());
            }
            if rng.below(4) == 0 {
                task = task.gate(&lanes.key(rng.below(2)));
            }
            if rng.below(8) == 0 {
                task = task.expires(millis(1 + rng.below(200)));
            }
            let time = millis(rng.below(20));
            let mut fails = rng.below(6) == 0;
            let task = task.retry(Retry::fixed(1, millis(rng.below(5))));
            let handle = task.submit(move || {
                millhand::sleep(time).map_err(|_| "stopped")?;
                match std::mem::take(&mut fails) {
                    true => Err("fails"),
                    false => Ok(()),
                }
            });
            if rng.below(8) == 0 {
                handle.cancel();
            }
            handles.push(handle);
            if rng.below(4) == 0 {
                millhand::sleep(millis(rng.below(10))).unwrap();
            }
        }
        // The simulation finds it if they do.
        handles.into_iter().for_each(|handle| drop(handle.join()));
        pool.wait_idle().unwrap();
        millhand::sleep(SECOND).unwrap();
        let free = permits.each_ref().map(Semaphore::available);
        assert_eq!((free, rate.available()), ([1, 1, 2, 3], 3), "seed {seed}");
        assert!(permits.iter().all(|gate| gate.waiting() == 0) && rate.waiting() == 0);
    }
}

#[test]
fn a_task_that_waits_at_one_gate_hoards_nothing_at_the_others() {
    let pool = ThreadPool::new(4).unwrap();
    let [shut, one, many] = [1, 1, 3].map(|permits| Semaphore::new(permits).unwrap());
    let hourly = RateLimiter::token_bucket(1, HOUR).burst(50).initial(50);
    let rate = hourly.build().unwrap();
    let held = shut.acquire().unwrap();
    let all = pool.task().gate(&one).gate(&many).gate(&rate).gate(&shut);
    let waits: Vec<_> = (0..5).map(|_| all.submit(|| ())).collect();
    until("they wait", || shut.waiting() == 5);
    for _ in 0..40 {
        pool.task()
            .gate(&one)
            .gate(&rate)
            .submit(|| ())
            .join()
            .unwrap();
        drop(one.try_acquire().unwrap());
    }
    // All the permits can be used at once.
    let busy = [(); 3].map(|()| Busy::start(&pool.task().gate(&many)));
    busy.into_iter().for_each(Busy::end);
    drop(held);
    waits.into_iter().for_each(|task| task.join().unwrap());
    assert_eq!(
        (one.available(), many.available(), rate.available()),
        (1, 3, 5)
    );
}

// Tasks of a busy pool.

/// A semaphore whose permit comes back while a task of a pool without a free worker is the first
/// in line.
struct Convoy {
    pool: ThreadPool,
    other: ThreadPool,
    gate: Semaphore,
    task: TaskHandle<()>,
    busy: Busy,
}

impl Convoy {
    fn new() -> Self {
        let pool = ThreadPool::new(1).unwrap();
        let other = ThreadPool::new(1).unwrap();
        let gate = Semaphore::new(1).unwrap();
        let held = gate.acquire().unwrap();
        let task = pool.task().gate(&gate).submit(|| ());
        until("it waits", || gate.waiting() == 1);
        let busy = Busy::start(&pool.task());
        drop(held);
        Self {
            pool,
            other,
            gate,
            task,
            busy,
        }
    }
}

#[test]
fn a_task_of_a_busy_pool_lets_others_pass() {
    let Convoy {
        pool: _pool,
        other,
        gate,
        task,
        busy,
    } = Convoy::new();
    assert_eq!(
        (gate.available(), gate.waiting()),
        (0, 1),
        "it is the task's turn"
    );
    // Nobody ends the body in the busy pool until both have passed.
    other.task().gate(&gate).submit(|| ()).join().unwrap();
    drop(gate.acquire().unwrap());
    assert_eq!(
        (gate.available(), gate.waiting()),
        (1, 1),
        "the permit is for others"
    );
    drop(gate.try_acquire().unwrap());
    assert_eq!(task.state(), TaskState::Queued);
    busy.end();
    task.join().unwrap();
    assert_eq!((gate.available(), gate.waiting()), (1, 0));
}

#[test]
fn a_task_of_a_busy_pool_that_was_passed_has_the_next_permit() {
    let Convoy {
        pool,
        other,
        gate,
        task,
        busy,
    } = Convoy::new();
    let passing = Busy::start(&other.task().gate(&gate));
    busy.end();
    until("it found no permit", || task.state() == TaskState::Gated);
    let busy = Busy::start(&pool.task());
    passing.end();
    until("it is its turn again", || task.state() == TaskState::Queued);
    let (tell, told) = mpsc::channel();
    let behind = other
        .task()
        .gate(&gate)
        .submit(move || tell.send(()).unwrap());
    until("the other waits", || gate.waiting() == 2);
    assert_eq!(gate.available(), 0, "the permit is reserved");
    assert!(gate.try_acquire().is_err());
    busy.end();
    task.join().unwrap();
    must_recv(&told);
    behind.join().unwrap();
}

#[test]
fn tasks_of_an_idle_pool_are_not_passed() {
    for seed in 0..200 {
        let (pool, _simulation) = ThreadPool::simulated(seed);
        let other = ThreadPool::new(1).unwrap();
        let gate = Semaphore::new(1).unwrap();
        let held = gate.acquire().unwrap();
        let ran = Arc::new(Mutex::new(Vec::new()));
        for n in 0..10 {
            let ran = ran.clone();
            let pool = if n % 2 == 0 { &pool } else { &other };
            let body = move || ran.lock().unwrap().push(n);
            pool.task().gate(&gate).execute(body);
            until("it waits", || {
                millhand::sleep(millis(1)).unwrap();
                gate.waiting() == n + 1
            });
        }
        drop(held);
        pool.wait_idle().unwrap();
        other.wait_idle().unwrap();
        assert_eq!(
            *ran.lock().unwrap(),
            (0..10).collect::<Vec<_>>(),
            "seed {seed}"
        );
    }
}
