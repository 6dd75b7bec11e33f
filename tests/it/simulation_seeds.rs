//! The same seed gives the same run, and no seed a hang: over a program with some of everything.

use millhand::{
    CancelReason, CancelToken, Every, Jitter, Overlap, RateLimiter, Retry, Semaphore, Shutdown,
    Simulation, TaskHandle, ThreadPool, TraceEntry, as_completed, promise, race, when_all,
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
    let lanes = millhand::Lanes::new();
    let mut handles: Vec<TaskHandle<u32>> = Vec::new();

    let flaky = pool.task().name("flaky").gate(&limit);
    let flaky = flaky.retry(Retry::exponential(5, 10 * MS).jitter(Jitter::Full));
    for n in 0..6 {
        let mut left = n % 3;
        let retried = flaky.submit(move || {
            if left > 0 {
                left -= 1;
                return Err(());
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
        let (go, gate) = promise::<()>();
        gates.push(go);
        let hung = pool.task().name("hung").total_timeout(30 * MS);
        let hung = hung.submit(move || drop(gate.join()));
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
    let chord = when_all((pool.submit(|| 1), chain)).then(|(a, b)| a.unwrap() + b.unwrap());
    handles.push(chord);
    let slow = pool.submit(|| millhand::sleep(S).map_or(0, |()| 0));
    handles.push(pool.submit(move || {
        let fast = millhand::current().unwrap().pool().submit(|| 7);
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
    let (go, gate) = promise::<()>();
    let stuck = pool.submit(move || drop(gate.join()));
    simulation.advance(MS);
    gates.pop();
    let how = match seed % 3 {
        0 => Shutdown::cancel().give_up_after(S),
        1 => Shutdown::drain().cancel_after(S).give_up_after(2 * S),
        _ => Shutdown::drain().give_up_after(2 * S),
    };
    let report = pool.shutdown(how).unwrap();
    assert!(!report.still_running().is_empty(), "{report}");
    assert_eq!(report.not_due().len(), 1);
    drop((never, deaf, stuck, go, ticking));
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
        token.cancel(CancelReason::User);
        assert!(handles.iter().all(|handle| handle.is_finished()));
        pool.wait_idle().unwrap();
        drop(pool);
        simulation.trace()
    };
    for seed in 0..5 {
        assert_eq!(run(seed), run(seed));
    }
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
        let (pool, never, order) = (pool.downgrade(), never.clone(), order.clone());
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
