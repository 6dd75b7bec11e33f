//! The same seed gives the same run, and no seed a hang: over a program with some of everything.

use crate::support::wait_deafly;
use millhand::compose::{Until, wait_until_timeout, when_each};
use millhand::schedule::Overlap;
use millhand::task::Jitter;
use millhand::testing::{Simulation, TraceEntry};
use millhand::{
    CancelToken, Every, RateLimiter, Retry, Semaphore, Shutdown, TaskError, TaskHandle, ThreadPool,
    as_completed, current, join_all, promise, race,
};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

/// What a run came to, as far as it must not differ from seed to seed.
#[derive(Debug, PartialEq, Eq)]
struct Sums {
    joined: u32,
    in_lane: Vec<u32>,
}

/// Retries with jitter, a limiter, a semaphore, hung bodies that lose their seats, spares, joins between tasks, delays,
/// tokens with deadlines, priorities, a schedule, every kind of composition, and a shutdown that cancels and gives up.
fn some_of_everything(seed: u64) -> (Sums, Vec<TraceEntry>) {
    let simulation = Simulation::new(seed);
    let pool = ThreadPool::builder()
        .workers(2)
        .queue_capacity(20)
        .build()
        .unwrap();
    let limit = RateLimiter::token_bucket(20, S).burst(2).build().unwrap();
    let one = Semaphore::new(1).unwrap();
    let lanes = millhand::limit::Lanes::new();
    let mut handles: Vec<TaskHandle<u32>> = Vec::new();

    let flaky = pool.task().name("flaky").gate(&limit);
    let flaky = flaky.retry(Retry::exponential(5, 10 * MS).jitter(Jitter::Full));
    for n in 0..6 {
        let mut left = n % 3;
        let retried = flaky.submit(move || {
            if left > 0 {
                left -= 1;
                return Err("once more");
            }
            Ok(n)
        });
        handles.push(pool.submit(move || retried.join().unwrap().unwrap()));
    }
    for n in 0..5 {
        let one = one.clone();
        handles.push(
            pool.task()
                .delay(7 * MS * n)
                .priority(n as i32 - 2)
                .submit(move || {
                    let _permit = one.acquire().unwrap();
                    millhand::sleep(5 * MS).unwrap();
                    n
                }),
        );
        handles.push(pool.task().gate(&limit).submit(move || n));
    }
    let order = Arc::new(Mutex::new(Vec::new()));
    for n in 0..5 {
        let order = order.clone();
        let task = pool.task().gate(&lanes.key("a"));
        handles.push(task.submit(move || {
            let _ = millhand::sleep(MS);
            order.lock().unwrap().push(n);
            n
        }));
    }
    let mut gates = Vec::new();
    for _ in 0..3 {
        let gate = CancelToken::new();
        gates.push(gate.clone());
        let hung = pool.task().name("hung").deadline(30 * MS);
        let hung = hung.submit(move || wait_deafly(&gate));
        handles.push(pool.submit(move || u32::from(hung.join().is_err())));
    }
    let token = CancelToken::with_timeout(50 * MS);
    let sleepy = pool.task().token(&token).attempt_timeout(20 * MS);
    let sleepy = sleepy.retry(Retry::fixed(9, MS));
    let sleepy = sleepy.submit(|| millhand::sleep(S));
    handles.push(pool.submit(move || u32::from(sleepy.join_ok().is_err())));
    let other = pool.task().name("cancelled").delay(15 * MS).submit(|| ());
    handles.push(pool.submit(move || {
        let _ = millhand::sleep(10 * MS);
        other.cancel();
        u32::from(other.join().is_err())
    }));
    let never = pool.task().delay(3600 * S).submit(|| ());

    // Every kind of composition, beside a schedule.
    let every = Every::new(4 * MS).jitter(MS).overlap(Overlap::Queue);
    let ticking = pool.task().name("tick").every(every.times(5));
    let ticking = ticking.run(|| millhand::sleep(3 * MS).map(drop)).unwrap();
    let chain = pool.submit(|| 1).map(|n| n + 1).then(|n| n.unwrap() + 1);
    let chord = when_each((pool.submit(|| 1), chain)).then(|(a, b)| a.unwrap() + b.unwrap());
    handles.push(chord);
    let slow = pool.submit(|| millhand::sleep(S).map(|()| 0));
    handles.push(pool.submit(move || {
        let fast = current().unwrap().pool().submit(|| Ok(7));
        race([slow, fast]).unwrap()
    }));
    let parts = [1, 2, 3];
    let scoped: u32 = pool.scope(|s| {
        let handles = parts
            .iter()
            .map(|n| s.submit(move || *n))
            .collect::<Vec<_>>();
        as_completed(handles).map(|(_, n)| n.unwrap()).sum()
    });
    assert_eq!(scoped, 6);
    assert_eq!(pool.map(parts, |n| 2 * n), [2, 4, 6]);
    assert_eq!(pool.map_iter(1.., |n| n * n).take(3).sum::<u32>(), 14);
    let mut piped = 0;
    let pipeline = pool.pipeline(parts).stage(2, |n| n + 1).stage(1, |n| n);
    pipeline.run(|n| piped += n).unwrap();
    assert_eq!(piped, 9);

    let joined = handles
        .into_iter()
        .map(|handle| handle.join().unwrap())
        .sum();
    let in_lane = order.lock().unwrap().clone();
    let deaf = pool.submit(|| while millhand::sleep(S).is_ok() {});
    let gate = CancelToken::new();
    gates.push(gate.clone());
    let stuck = pool.submit(move || wait_deafly(&gate));
    simulation.advance(MS);
    gates.remove(0).cancel();
    let how = match seed % 4 {
        0 => Shutdown::cancel().give_up_after(S),
        1 => Shutdown::drain().cancel_after(S).give_up_after(2 * S),
        2 => Shutdown::finish_running().give_up_after(S),
        _ => Shutdown::drain().give_up_after(2 * S),
    };
    let report = pool.shutdown(how).unwrap();
    assert!(!report.still_running().is_empty(), "{report}");
    assert_eq!(report.not_due().len(), 1);
    drop((never, deaf, stuck, ticking));
    let trace = simulation.trace();
    (Sums { joined, in_lane }, trace)
}

#[test]
fn the_same_seed_gives_the_same_trace_and_two_hundred_give_no_hang() {
    let expected = Sums {
        // 0 to 5; twice 0 to 4; 0 to 4; three hung; the sleepy and the cancelled one.
        // Then a chord of 1 and 3, and a race that 7 wins.
        joined: 15 + 20 + 10 + 3 + 2 + 4 + 7,
        in_lane: vec![0, 1, 2, 3, 4],
    };
    let mut traces = BTreeSet::new();
    for seed in 0..200 {
        let (sums, trace) = some_of_everything(seed);
        assert_eq!(sums, expected, "seed {seed}");
        let lines: Vec<_> = trace.iter().map(ToString::to_string).collect();
        if seed < 40 {
            let (_, again) = some_of_everything(seed);
            for (first, second) in trace.iter().zip(&again) {
                assert_eq!(first, second, "seed {seed}");
            }
            assert_eq!(trace.len(), again.len());
        }
        traces.insert(lines);
    }
    assert!(traces.len() > 190, "{} of 200 differ", traces.len());
}

#[test]
fn a_seed_reaches_orders_that_another_does_not() {
    // Two tasks that race for a permit: each wins with some seeds.
    let winner = |seed| {
        let (pool, _simulation) = ThreadPool::simulated(seed);
        let (tell, told) = promise();
        let tell = Arc::new(Mutex::new(Some(tell)));
        let handles = ["a", "b"].map(|name| {
            let tell = tell.clone();
            pool.submit(move || {
                millhand::sleep(MS).unwrap();
                let tell = tell.lock().unwrap().take();
                if let Some(tell) = tell {
                    tell.complete(name).unwrap();
                }
            })
        });
        for handle in handles {
            handle.join().unwrap();
        }
        told.join().unwrap()
    };
    let winners: BTreeSet<_> = (0..20).map(winner).collect();
    assert_eq!(winners.len(), 2);
}

#[test]
fn cancelling_reaches_the_children_of_a_token_in_the_same_order() {
    let run = |seed| {
        let (pool, simulation) = ThreadPool::simulated(seed);
        let token = CancelToken::new();
        let tasks = pool.task().token(&token);
        let handles: Vec<_> = (0..50)
            .map(|_| tasks.clone().delay(S).submit(|| ()))
            .collect();
        token.cancel();
        assert!(handles.iter().all(|handle| handle.is_finished()));
        pool.wait_idle().unwrap();
        drop(pool);
        simulation.trace()
    };
    for seed in 0..5 {
        assert_eq!(run(seed), run(seed));
    }
}

/// A small generator: what a run does is decided by its seed alone.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1);
        (self.0 >> 33) % n
    }
}

/// What the tasks of a run share.
#[derive(Clone)]
struct Shared {
    limit: RateLimiter,
    permits: Semaphore,
    token: CancelToken,
}

/// A body that submits children, behind gates and not, and waits for them by one way or another. Each of its waits may end
/// early, since somebody cancels.
fn nested(shared: &Shared, mut dice: Dice, depth: u32) -> u32 {
    if depth == 0 {
        let _ = millhand::sleep(MS * dice.below(4) as u32);
        return 1;
    }
    let pool = current().unwrap().pool();
    let children = (0..1 + dice.below(3)).map(|_| {
        let below = Dice(dice.below(1 << 30));
        let mut task = pool.task();
        // A task that holds a permit while it waits for one that wants it would wait for ever.
        let least = if depth > 1 { 4 } else { 0 };
        match least + dice.below(7 - least) {
            0 => task = task.gate(&shared.limit),
            1 => task = task.gate(&shared.permits),
            2 => task = task.gate(&shared.permits).gate(&shared.limit).priority(1),
            3 => task = task.deadline(50 * MS).gate(&shared.permits),
            4 => task = task.delay(3 * MS).token(&shared.token),
            5 => task = task.gate(&shared.limit).deadline(50 * MS),
            _ => {}
        }
        let shared = shared.clone();
        task.submit(move || nested(&shared, below, depth - 1))
    });
    let children: Vec<_> = children.collect();
    let sum = |outcomes: Vec<Result<u32, TaskError>>| outcomes.into_iter().flatten().sum::<u32>();
    match dice.below(6) {
        0 => sum(children.into_iter().map(TaskHandle::join).collect()),
        1 => sum(as_completed(children).map(|(_, outcome)| outcome).collect()),
        2 => sum(join_all(children)),
        3 => {
            let won = children.into_iter().map(|child| child.map(Ok::<_, ()>));
            race(won).unwrap_or(0)
        }
        4 => pool.scope(|s| {
            let permits = &shared.permits;
            let scoped = s.task().gate(permits).submit(|| 1);
            let by_hand = s.submit(|| permits.acquire_timeout(5 * MS).map_or(0, |_| 1));
            scoped.join().unwrap_or(0) + by_hand.join().unwrap_or(0)
        }),
        _ => {
            children[0].cancel();
            let (done, _) = wait_until_timeout(&children, Until::All, 20 * MS).unwrap_or_default();
            done.len() as u32
        }
    }
}

/// Outer tasks that wait for children that wait for children, at the bound of threads, with gates that they share, while
/// somebody cancels. Every handle settles, and every permit is back.
fn nested_waits_with_gates_and_cancels(seed: u64) {
    let simulation = Simulation::new(seed);
    let spares = (seed % 3) as usize;
    let builder = ThreadPool::builder().workers(2).max_threads(2 + spares);
    let pool = builder.build().unwrap();
    let shared = Shared {
        limit: RateLimiter::token_bucket(500, S).burst(2).build().unwrap(),
        permits: Semaphore::new(2).unwrap(),
        token: CancelToken::new(),
    };
    let mut dice = Dice(seed);
    let outer = (0..6).map(|_| {
        let below = Dice(dice.below(1 << 30));
        let inside = shared.clone();
        pool.submit(move || nested(&inside, below, 2))
    });
    let outer: Vec<_> = outer.collect();
    simulation.advance(MS * dice.below(8) as u32);
    shared.token.cancel();
    outer[dice.below(6) as usize].cancel();
    for task in &outer {
        task.wait()
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    pool.wait_idle().unwrap();
    let (available, waiting) = (shared.permits.available(), shared.permits.waiting());
    assert_eq!((available, waiting), (2, 0), "seed {seed}");
    assert_eq!(shared.limit.waiting(), 0, "seed {seed}");
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert!(report.still_running().is_empty(), "seed {seed}: {report}");
}

/// How many seeds are tried: some hundreds, or what the environment asks for.
fn seeds() -> u64 {
    let asked = std::env::var("MILLHAND_SEEDS").ok();
    asked.map_or(300, |seeds| seeds.parse().expect("a number of seeds"))
}

#[test]
fn no_seed_hangs_with_nested_waits_gates_and_cancels() {
    (0..seeds()).for_each(nested_waits_with_gates_and_cancels);
}

/// The order in which a shutdown cancels what waits behind a promise. `ids`: how many ids of tasks this thread draws
/// before.
fn cancelled_by_a_shutdown(seed: u64, ids: usize) -> (Vec<(usize, usize)>, Vec<TraceEntry>) {
    (0..ids).for_each(|_| drop(promise::<()>()));
    let (pool, simulation) = ThreadPool::simulated(seed);
    let (_kept, never) = promise::<()>();
    let never = never.share();
    let order = Arc::new(Mutex::new(Vec::new()));
    let wait = |who: usize| {
        let (pool, never, order) = (pool.handle(), never.clone(), order.clone());
        move || {
            for n in 0..3 {
                let task = pool.task().submit_after((never.clone(),), |_| ());
                let order = order.clone();
                drop(task.on_finish(move |_| order.lock().unwrap().push((who, n))));
                // Its handle is not dropped, which would leave it to the promise.
                std::mem::forget(task);
            }
        }
    };
    let tasks: Vec<_> = (0..4).map(|who| pool.submit(wait(who))).collect();
    wait(4)();
    tasks.into_iter().for_each(|task| task.join().unwrap());
    wait(5)();
    pool.shutdown(Shutdown::cancel()).unwrap();
    let order = order.lock().unwrap().clone();
    (order, simulation.trace())
}

#[test]
fn a_seed_gives_the_same_run_whatever_the_process_did_before() {
    for seed in 0..10 {
        let first = cancelled_by_a_shutdown(seed, 0);
        assert_eq!(first.0.len(), 18);
        for ids in (0..256).step_by(15) {
            assert_eq!(
                cancelled_by_a_shutdown(seed, ids),
                first,
                "seed {seed}, {ids} ids"
            );
        }
    }
}
