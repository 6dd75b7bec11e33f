//! Lanes: the order of each key, with many producers, several keys a task, delays, and against a model.

use crate::gate_kit::{HOUR, SECOND, pool_on, until};
use crate::stress::{EXPECTED, silence};
use crate::support::must_recv;
use millhand::limit::Lanes;
use millhand::task::TaskState;
use millhand::testing::ManualClock;
use millhand::{Retry, TaskHandle, ThreadPool};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

#[test]
fn eight_producers_have_their_tasks_run_in_the_order_of_each() {
    const PRODUCERS: usize = 8;
    const EACH: usize = 500;
    const KEYS: usize = 3;
    let pool = ThreadPool::new(4).unwrap();
    let lanes = Lanes::new();
    let ran = Arc::new([const { Mutex::new(Vec::new()) }; KEYS]);
    std::thread::scope(|s| {
        for producer in 0..PRODUCERS {
            let (pool, lanes, ran) = (&pool, &lanes, &ran);
            s.spawn(move || {
                for n in 0..EACH {
                    let key = (producer + n) % KEYS;
                    let ran = ran.clone();
                    let task = pool.task().gate(&lanes.key(key)).priority(-(n as i32));
                    // Whoever comes while another of the key runs finds this locked.
                    let body = move || ran[key].try_lock().unwrap().push((producer, n));
                    task.execute(body);
                }
            });
        }
    });
    pool.wait_idle().unwrap();
    let mut all = 0;
    for ran in ran.iter() {
        let ran = ran.lock().unwrap();
        all += ran.len();
        for producer in 0..PRODUCERS {
            let mine = ran.iter().filter(|(p, _)| *p == producer).map(|(_, n)| n);
            assert!(mine.is_sorted());
        }
    }
    assert_eq!(all, PRODUCERS * EACH);
}

#[test]
fn tasks_with_two_keys_do_not_lock_each_other_out() {
    const EACH: usize = 400;
    let pool = ThreadPool::new(4).unwrap();
    // Two keys of one, given in either order, and keys of two, made in either order.
    let one = Lanes::new();
    let (left, right) = (Lanes::new(), Lanes::new());
    let _ = (left.key(0), right.key(0), right.key(1), left.key(1));
    let ran = Arc::new([const { Mutex::new(Vec::new()) }; 4]);
    std::thread::scope(|s| {
        for producer in 0..4_usize {
            let (pool, one, left, right, ran) = (&pool, &one, &left, &right, &ran);
            s.spawn(move || {
                for n in 0..EACH {
                    let (a, b) = ((producer + n) % 2, (producer / 2 + n) % 2);
                    let task = match producer % 2 {
                        0 => pool.task().gate(&one.key(a)).gate(&one.key(1 - a)),
                        _ => pool.task().gate(&left.key(a)).gate(&right.key(b)),
                    };
                    let places = if producer % 2 == 0 {
                        [0, 1]
                    } else {
                        [2 + a, 2 + a]
                    };
                    let ran = ran.clone();
                    let body = move || {
                        let mut first = ran[places[0]].try_lock().unwrap();
                        first.push((producer, n));
                        if places[0] != places[1] {
                            ran[places[1]].try_lock().unwrap().push((producer, n));
                        }
                    };
                    task.execute(body);
                }
            });
        }
    });
    pool.wait_idle().unwrap();
    assert_eq!(*ran[0].lock().unwrap(), *ran[1].lock().unwrap());
    let all: usize = ran[1..].iter().map(|ran| ran.lock().unwrap().len()).sum();
    assert_eq!(all, 4 * EACH);
    for ran in ran.iter() {
        let ran = ran.lock().unwrap();
        for producer in 0..4 {
            assert!(ran.iter().filter(|(p, _)| *p == producer).is_sorted());
        }
    }
}

#[test]
fn a_delayed_task_takes_its_place_when_it_is_due() {
    let clock = ManualClock::new();
    let pool = pool_on(&clock, 2);
    let lanes = Lanes::new();
    let task = pool.task().gate(&lanes.key(1));
    let (tell, told) = mpsc::channel();
    let note = |what: &'static str| {
        let tell = tell.clone();
        move || tell.send(what).unwrap()
    };
    let later = task.clone().delay(SECOND).submit(note("delayed"));
    task.submit(note("submitted after it")).join().unwrap();
    assert_eq!(must_recv(&told), "submitted after it");
    let (go, wait) = mpsc::channel::<()>();
    let running = task.submit(move || {
        let _ = wait.recv();
    });
    until("it runs", || running.state() == TaskState::Running);
    let before = task.submit(note("before it is due"));
    clock.advance(SECOND);
    until("both wait", || lanes.key(1).waiting() == 2);
    let after = task.submit(note("after it was due"));
    drop(go);
    for expected in ["before it is due", "delayed", "after it was due"] {
        assert_eq!(must_recv(&told), expected);
    }
    later.join().unwrap();
    before.join().unwrap();
    after.join().unwrap();
}

#[test]
fn delayed_tasks_that_are_due_together_keep_the_order_of_submission() {
    let clock = ManualClock::new();
    let pool = pool_on(&clock, 3);
    let lanes = Lanes::new();
    let ran = Arc::new(Mutex::new(Vec::new()));
    for n in 0..200 {
        let ran = ran.clone();
        let task = pool.task().gate(&lanes.key(1)).priority(n % 5 - 2);
        let body = move || ran.try_lock().unwrap().push(n);
        task.delay(SECOND).execute(body);
    }
    clock.advance(SECOND);
    pool.wait_idle().unwrap();
    assert_eq!(*ran.lock().unwrap(), (0..200).collect::<Vec<_>>());
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Course {
    Returns,
    Panics,
    /// Fails so often, then succeeds.
    Retries(u32),
    /// Is cancelled right after its submission, or a bit later.
    Cancelled(usize),
}

#[derive(Clone, Debug)]
struct Planned {
    keys: BTreeSet<usize>,
    priority: i32,
    delayed: bool,
    course: Course,
}

fn planned() -> impl Strategy<Value = Planned> {
    let course = prop_oneof![
        4 => Just(Course::Returns),
        1 => Just(Course::Panics),
        2 => (1..3_u32).prop_map(Course::Retries),
        2 => (0..4_usize).prop_map(Course::Cancelled),
    ];
    let keys = proptest::collection::btree_set(0..4_usize, 1..=3);
    (keys, -2..3_i32, proptest::bool::weighted(0.2), course).prop_map(
        |(keys, priority, delayed, course)| Planned {
            keys,
            priority,
            delayed,
            course,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_submitted_each_key_keeps_its_order(plans in proptest::collection::vec(planned(), 1..60)) {
        silence();
        let clock = ManualClock::new();
        let pool = pool_on(&clock, 3);
        let lanes = Lanes::new();
        let ran: Arc<[Mutex<Vec<usize>>; 4]> = Arc::default();
        let mut handles: Vec<TaskHandle<Result<(), &str>>> = Vec::new();
        for (n, plan) in plans.iter().enumerate() {
            let mut task = pool.task().priority(plan.priority);
            for key in &plan.keys {
                task = task.gate(&lanes.key(*key));
            }
            if plan.delayed {
                task = task.delay(HOUR);
            }
            let (ran, keys, course) = (ran.clone(), plan.keys.clone(), plan.course);
            let body = move || {
                let mut held: Vec<_> = keys.iter().map(|key| ran[*key].try_lock().unwrap()).collect();
                let attempt = millhand::attempt();
                held.iter_mut().for_each(|ran| ran.push(n));
                drop(held);
                match course {
                    Course::Panics => panic!("{EXPECTED}"),
                    Course::Retries(times) if attempt <= times => Err("once more"),
                    _ => Ok(()),
                }
            };
            let delay = if n % 2 == 0 { Duration::ZERO } else { Duration::from_micros(1) };
            handles.push(task.retry(Retry::fixed(5, delay)).submit(body));
            for (at, plan) in plans[..=n].iter().enumerate() {
                if plan.course == Course::Cancelled(n - at) {
                    handles[at].cancel();
                }
            }
        }
        let rest: Vec<_> = (0..plans.len()).filter(|n| matches!(plans[*n].course, Course::Cancelled(_))).collect();
        for n in rest {
            handles[n].cancel();
        }
        // The retries' delays, and then those who come later.
        for step in [SECOND, HOUR] {
            clock.advance(step);
            loop {
                let is_early = |n: usize| step == SECOND && plans[n].delayed;
                if (0..plans.len()).all(|n| is_early(n) || handles[n].is_finished()) {
                    break;
                }
                clock.advance(Duration::from_micros(1));
                std::thread::yield_now();
            }
        }
        pool.wait_idle().unwrap();
        for key in 0..4 {
            let ran = ran[key].lock().unwrap().clone();
            let mine = (0..plans.len()).filter(|n| plans[*n].keys.contains(&key));
            let (late, early): (Vec<_>, Vec<_>) = mine.partition(|n| plans[*n].delayed);
            let mut model = Vec::new();
            for n in early.into_iter().chain(late) {
                let times = ran.iter().filter(|at| **at == n).count();
                match plans[n].course {
                    Course::Cancelled(_) => prop_assert!(times <= 1),
                    Course::Returns | Course::Panics => prop_assert_eq!(times, 1),
                    Course::Retries(failures) => prop_assert_eq!(times, failures as usize + 1),
                }
                model.extend(std::iter::repeat_n(n, times));
            }
            prop_assert_eq!(ran, model);
            prop_assert_eq!(lanes.key(key).waiting(), 0);
        }
    }
}
