//! Many tasks that are not due yet: their order against a model, and what is left of them when they are gone.

use crate::manual::{Drops, HOUR, Manual, S, until};
use crate::support::LONG;
use millhand::CancelToken;
use millhand::task::{CancelOutcome, TaskState};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};

#[test]
fn a_million_wait_and_what_is_cancelled_is_gone() {
    const MANY: u32 = 1_000_000;
    let pool = Manual::new(1);
    let (batch, drops) = (CancelToken::new(), Drops::default());
    let ran = Drops::default();
    for n in 0..MANY {
        let (one, ran) = (drops.one(), ran.one());
        let delay = HOUR + n % 1000 * S;
        let body = move || {
            one.keep();
            drop(ran);
        };
        if n % 10 == 0 {
            pool.task().delay(delay).execute(body);
        } else {
            // Their callbacks and values are dropped with them.
            pool.task().token(&batch).delay(delay).execute(body);
        }
    }
    assert_eq!(drops.count(), 0);
    batch.cancel();
    assert_eq!(
        drops.count(),
        900_000,
        "dropped at once, whatever is due when"
    );
    pool.advance(HOUR + 1000 * S);
    pool.wait_idle().unwrap();
    assert_eq!(drops.count(), MANY as usize);
    assert_eq!(ran.count(), MANY as usize);
}

#[test]
fn a_pool_that_is_gone_leaves_nothing_behind() {
    for round in 0..20 {
        let alive = Arc::new(());
        let hook = alive.clone();
        let pool = Manual::with(2, move |builder| {
            builder.on_worker_start(move |_| drop(hook.clone()))
        });
        // Entries of every kind that nothing waits for any more when the pool ends.
        let task = pool
            .task()
            .expires(HOUR)
            .deadline(HOUR)
            .attempt_timeout(HOUR);
        for _ in 0..500 * round {
            task.execute(|| ());
        }
        drop(pool.task().delay(HOUR).submit(|| ()).cancel_on_drop());
        // A template keeps what its pool is made of.
        drop(task);
        drop(pool);
        until(&format!("all of round {round} is dropped"), || {
            Arc::strong_count(&alive) == 1
        });
    }
}

// The order, against a model.

#[derive(Clone, Debug)]
enum Step {
    /// A task that is due so many seconds later; 0: at once.
    Submit(u64),
    /// Cancels one of those that were submitted.
    Cancel(usize),
    Advance(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6_u64).prop_map(Step::Submit),
        1 => any::<usize>().prop_map(Step::Cancel),
        3 => (1..4_u64).prop_map(Step::Advance),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn tasks_run_in_the_order_in_which_they_are_due(
        steps in proptest::collection::vec(any_step(), 0..60)
    ) {
        let pool = Manual::new(1);
        let ran = Arc::new(Mutex::new(Vec::new()));
        // The model: what waits, by due second and number; what has run.
        let (mut waiting, mut expected): (Vec<(u64, usize)>, Vec<usize>) = Default::default();
        let mut handles = Vec::new();
        let mut now = 0;
        for step in steps.into_iter().chain([Step::Advance(10)]) {
            match step {
                Step::Submit(delay) => {
                    let (n, ran) = (handles.len(), ran.clone());
                    let handle = pool.task().delay(delay as u32 * S)
                        .submit(move || ran.lock().unwrap().push(n));
                    if delay == 0 {
                        handle.wait().unwrap();
                        expected.push(n);
                    } else {
                        waiting.push((now + delay, n));
                    }
                    handles.push(handle);
                }
                Step::Cancel(which) if !handles.is_empty() => {
                    let n = which % handles.len();
                    let was_waiting = waiting.iter().any(|(_, m)| *m == n);
                    let settled = handles[n].cancel() == CancelOutcome::Settled;
                    prop_assert_eq!(settled, was_waiting);
                    waiting.retain(|(_, m)| *m != n);
                }
                Step::Cancel(_) => {}
                Step::Advance(seconds) => {
                    now += seconds;
                    pool.advance(seconds as u32 * S);
                    let (mut due, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(at, _)| *at <= now);
                    due.sort();
                    waiting = later;
                    for (_, n) in due {
                        prop_assert!(handles[n].wait_timeout(LONG).unwrap());
                        expected.push(n);
                    }
                    for (_, n) in &waiting {
                        let is_delayed = matches!(handles[*n].state(), TaskState::Delayed { .. });
                        prop_assert!(is_delayed);
                    }
                }
            }
            prop_assert_eq!(&*ran.lock().unwrap(), &expected);
        }
    }
}
