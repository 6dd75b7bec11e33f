//! Priorities: which task comes next, exactly as the documents say, and nothing starves or is lost.

use crate::submit::hold;
use crate::support::LONG;
use millhand::limit::Lanes;
use millhand::task::TaskState;
use millhand::testing::ManualClock;
use millhand::{Retry, Semaphore, TaskBuilder, TaskHandle, ThreadPool, current};
use proptest::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Waits for what must come to be.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "it never came: {what}");
        std::thread::yield_now();
    }
}

type Log = Arc<Mutex<Vec<usize>>>;

/// What a worker takes next: the run queue's rule, in the plainest words.
#[derive(Default)]
struct Model {
    /// Priority and number, in order of becoming ready.
    ready: Vec<(i32, usize)>,
    takes: u32,
}

impl Model {
    /// The first of the highest priority among those that `fits`.
    fn best(&mut self, fits: impl Fn(i32) -> bool) -> Option<usize> {
        let highest = self.ready.iter().map(|(priority, _)| *priority);
        let highest = highest.filter(|priority| fits(*priority)).max()?;
        let at = self.ready.iter().position(|(p, _)| *p == highest)?;
        Some(self.ready.remove(at).1)
    }

    fn next(&mut self) -> Option<usize> {
        if self.ready.iter().all(|(priority, _)| *priority == 0) {
            return self.best(|_| true);
        }
        self.takes += 1;
        let mut next = None;
        if self.takes % 4096 == 0 {
            next = self.best(|priority| priority < 0);
        }
        if next.is_none() && self.takes % 64 == 0 {
            next = self.best(|priority| priority == 0);
        }
        next.or_else(|| self.best(|_| true))
    }
}

#[derive(Clone, Copy, Debug)]
struct Job {
    priority: i32,
    /// It joins the queue so many milliseconds later than now.
    delay: Option<u64>,
    /// Its first attempt fails, and the next is due so many milliseconds later.
    retry: Option<u64>,
}

fn any_job() -> impl Strategy<Value = Job> {
    let priority = prop_oneof![
        4 => Just(0),
        4 => -2..=2,
        1 => prop::sample::select(vec![i32::MIN, i32::MIN + 1, i32::MAX - 1, i32::MAX]),
    ];
    let later = || prop_oneof![4 => Just(None), 1 => (1..4_u64).prop_map(Some)];
    let retry = prop_oneof![4 => Just(None), 1 => (0..3_u64).prop_map(Some)];
    (priority, later(), retry).prop_map(|(priority, delay, retry)| Job {
        priority,
        delay,
        retry,
    })
}

fn submit(pool: &ThreadPool, job: Job, body: impl FnMut() + Send + 'static) {
    let mut body = body;
    let mut task = pool.task().priority(job.priority);
    if let Some(millis) = job.delay {
        task = task.delay(Duration::from_millis(millis));
    }
    let Some(millis) = job.retry else {
        return task.execute(body);
    };
    let task = task.retry(Retry::fixed(1, Duration::from_millis(millis)));
    let retried = move || {
        body();
        match current().unwrap().attempt() {
            1 => Err("once more"),
            _ => Ok(()),
        }
    };
    task.execute_ok(retried);
}

/// Runs the jobs on one worker that is held while they come, and compares.
fn follows_the_model(jobs: &[Job]) {
    let clock = ManualClock::new();
    let build = ThreadPool::builder().workers(1).clock(&clock);
    let pool = build.build().unwrap();
    let log = Log::default();
    let mut model = Model::default();
    let mut expected = Vec::new();

    let held = hold(&pool, 1);
    for (n, job) in jobs.iter().enumerate() {
        let log = log.clone();
        submit(&pool, *job, move || log.lock().unwrap().push(n));
    }
    let at_once = (0..jobs.len()).filter(|&n| jobs[n].delay.is_none());
    model.ready.extend(at_once.map(|n| (jobs[n].priority, n)));
    let mut delayed: Vec<_> = (0..jobs.len())
        .filter(|&n| jobs[n].delay.is_some())
        .collect();
    delayed.sort_by_key(|&n| jobs[n].delay);
    model
        .ready
        .extend(delayed.iter().map(|&n| (jobs[n].priority, n)));
    clock.advance(Duration::from_millis(10));
    until("all are due", || pool.queued() == jobs.len());
    held.release();

    // The clock stands, so what is retried later is so after all this.
    let mut seen = vec![0; jobs.len()];
    let mut again = Vec::new();
    let mut play = |model: &mut Model, again: &mut Vec<usize>| {
        while let Some(n) = model.next() {
            expected.push(n);
            seen[n] += 1;
            match jobs[n].retry {
                Some(0) if seen[n] == 1 => model.ready.push((jobs[n].priority, n)),
                Some(_) if seen[n] == 1 => again.push(n),
                _ => {}
            }
        }
        expected.len()
    };
    let ran = play(&mut model, &mut again);
    until("the first part is done", || {
        log.lock().unwrap().len() == ran
    });

    let held = hold(&pool, 1);
    again.sort_by_key(|&n| jobs[n].retry);
    model
        .ready
        .extend(again.iter().map(|&n| (jobs[n].priority, n)));
    clock.advance(Duration::from_millis(10));
    until("all are due again", || pool.queued() == again.len());
    held.release();
    play(&mut model, &mut Vec::new());
    pool.wait_idle().unwrap();
    assert_eq!(*log.lock().unwrap(), expected);
    assert_eq!(pool.queued(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn one_worker_takes_them_in_the_promised_order(
        jobs in prop::collection::vec(any_job(), 0..300),
    ) {
        follows_the_model(&jobs);
    }
}

fn jobs(priority: i32, count: usize) -> impl Iterator<Item = Job> {
    let job = Job {
        priority,
        delay: None,
        retry: None,
    };
    std::iter::repeat_n(job, count)
}

#[test]
fn the_sixty_fourth_take_is_a_normal_task_and_the_4096th_one_that_can_wait() {
    let many = jobs(-1, 3).chain(jobs(0, 300)).chain(jobs(1, 9000));
    follows_the_model(&many.collect::<Vec<_>>());
    // Without normal ones the urgent ones have those turns, too.
    let many = jobs(5, 5000).chain(jobs(-5, 5000));
    follows_the_model(&many.collect::<Vec<_>>());
    follows_the_model(&jobs(-1, 200).chain(jobs(0, 200)).collect::<Vec<_>>());
}

#[test]
fn a_template_keeps_its_priority_and_zero_is_as_if_none_was_given() {
    let pool = ThreadPool::new(1).unwrap();
    let log = Log::default();
    let held = hold(&pool, 1);
    let note = |task: &TaskBuilder, n| {
        let log = log.clone();
        task.execute(move || log.lock().unwrap().push(n));
    };
    let (normal, urgent) = (pool.task().priority(0), pool.task().priority(1));
    note(&normal, 2);
    note(&pool.task(), 3);
    note(&urgent, 0);
    note(&urgent.clone().priority(-1), 5);
    note(&urgent.clone().priority(7).priority(0), 4);
    note(&urgent, 1);
    held.release();
    pool.wait_idle().unwrap();
    assert_eq!(*log.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
}

/// A task that submits itself again until `end`, and counts its runs.
fn stream(priority: i32, end: &Arc<AtomicBool>, runs: &Arc<AtomicUsize>) {
    if end.load(SeqCst) {
        return;
    }
    runs.fetch_add(1, SeqCst);
    let pool = current().unwrap().pool();
    let (end, runs) = (end.clone(), runs.clone());
    let next = move || stream(priority, &end, &runs);
    pool.task().priority(priority).execute(next);
}

#[test]
fn streams_of_what_comes_first_starve_nobody() {
    // The streams, and the task that must get its turn.
    let cases: [(&[i32], i32); 5] = [
        (&[i32::MAX], 0),
        (&[1, 2, 3], 0),
        (&[1], -1),
        (&[0, 0], i32::MIN),
        (&[i32::MAX, 0, 0], i32::MIN),
    ];
    for (streams, priority) in cases {
        for workers in [1, 2] {
            let pool = ThreadPool::new(workers).unwrap();
            let end = Arc::new(AtomicBool::new(false));
            let runs = Arc::new(AtomicUsize::new(0));
            for &priority in streams {
                let (end, runs) = (end.clone(), runs.clone());
                let first = move || stream(priority, &end, &runs);
                pool.task().priority(priority).execute(first);
            }
            until("it streams", || runs.load(SeqCst) > 100);
            let last = pool.task().priority(priority).submit(|| ());
            last.join_timeout(LONG).expect("it has its turn").unwrap();
            end.store(true, SeqCst);
        }
    }
}

#[test]
fn a_normal_task_waits_for_63_urgent_ones_and_a_low_one_for_4095_others() {
    for (priority, others) in [(0, 63), (-1, 4095)] {
        let pool = ThreadPool::new(1).unwrap();
        let end = Arc::new(AtomicBool::new(false));
        let runs = Arc::new(AtomicUsize::new(0));
        let held = hold(&pool, 1);
        pool.task().priority(1).execute({
            let (end, runs) = (end.clone(), runs.clone());
            move || stream(1, &end, &runs)
        });
        let last = pool.task().priority(priority).submit({
            let (end, runs) = (end.clone(), runs.clone());
            move || {
                end.store(true, SeqCst);
                runs.load(SeqCst)
            }
        });
        held.release();
        assert_eq!(last.join().unwrap(), others);
    }
}

/// Tasks of these priorities behind `gate`, in this order, all in its line.
fn in_line(
    pool: &ThreadPool,
    gated: &TaskBuilder,
    priorities: &[i32],
    first: usize,
    log: &Log,
) -> Vec<TaskHandle<()>> {
    let submit = |(n, &priority): (usize, &i32)| {
        let log = log.clone();
        let task = gated.clone().priority(priority);
        task.submit(move || log.lock().unwrap().push(first + n))
    };
    let handles: Vec<_> = priorities.iter().enumerate().map(submit).collect();
    until("they are in line", || {
        handles
            .iter()
            .all(|handle| handle.state() == TaskState::Gated)
            && pool.queued() == 0
    });
    handles
}

#[test]
fn what_a_gate_has_called_goes_in_front_in_its_original_order() {
    // One permit is handed on from one to the next, three are there at once.
    for permits in [1, 3] {
        let pool = ThreadPool::new(1).unwrap();
        let log = Log::default();
        let gate = Semaphore::new(1).unwrap();
        let permit = gate.try_acquire().unwrap();
        in_line(
            &pool,
            &pool.task().gate(&gate),
            &[-1, i32::MIN, 0, 5],
            0,
            &log,
        );
        let held = hold(&pool, 1);
        for (n, priority) in [(5, 0), (4, i32::MAX)] {
            let log = log.clone();
            let task = pool.task().priority(priority);
            task.execute(move || log.lock().unwrap().push(n));
        }
        gate.set_permits(permits);
        drop(permit);
        held.release();
        pool.wait_idle().unwrap();
        assert_eq!(*log.lock().unwrap(), [0, 1, 2, 3, 4, 5], "with {permits}");
    }
}

#[test]
fn called_by_two_gates_the_earlier_submission_is_first() {
    let pool = ThreadPool::new(1).unwrap();
    let log = Log::default();
    let gates = [(); 2].map(|()| Semaphore::new(1).unwrap());
    let [first, second] = gates.each_ref().map(|gate| gate.try_acquire().unwrap());
    in_line(&pool, &pool.task().gate(&gates[1]), &[0, 0], 0, &log);
    in_line(&pool, &pool.task().gate(&gates[0]), &[9], 2, &log);
    let held = hold(&pool, 1);
    gates[1].set_permits(2);
    drop(first);
    drop(second);
    held.release();
    pool.wait_idle().unwrap();
    assert_eq!(*log.lock().unwrap(), [0, 1, 2]);
}

#[test]
fn a_long_line_at_a_gate_does_not_starve_the_urgent_ones() {
    let pool = ThreadPool::new(1).unwrap();
    let log = Log::default();
    let gate = Semaphore::new(1).unwrap();
    let permit = gate.try_acquire().unwrap();
    in_line(&pool, &pool.task().gate(&gate), &[0; 500], 0, &log);
    let held = hold(&pool, 1);
    for (n, priority) in [(1000, 0), (1001, 1), (1002, -1)] {
        let log = log.clone();
        let task = pool.task().priority(priority);
        task.execute(move || log.lock().unwrap().push(n));
    }
    // Each that ends calls the next, so that there is always one in front.
    drop(permit);
    held.release();
    pool.wait_idle().unwrap();
    let log = log.lock().unwrap();
    let place = |n| log.iter().position(|m| *m == n).unwrap();
    assert!(place(1000) <= 64, "normal: {}", place(1000));
    assert!(place(1001) <= 64, "urgent: {}", place(1001));
}

#[test]
fn a_keyed_lane_keeps_its_order_whatever_the_priorities() {
    let pool = ThreadPool::new(4).unwrap();
    let lanes = Lanes::new();
    let log = Log::default();
    for n in 0..200 {
        let task = pool.task().gate(&lanes.key("one"));
        let log = log.clone();
        let task = task.priority([0, 7, -7, i32::MAX, i32::MIN][n % 5]);
        task.execute(move || log.lock().unwrap().push(n));
    }
    pool.wait_idle().unwrap();
    assert_eq!(*log.lock().unwrap(), (0..200).collect::<Vec<_>>());
}
