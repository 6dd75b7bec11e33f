//! Each combinator in each situation: all succeed, one fails in one of four ways, none, one, ten thousand, finished before;
//! from outside, and from inside of a task on a pool of one worker.

use crate::handle::must_join;
use millhand::cancel::CancelReason;
use millhand::compose::{Failures, Until, wait_until};
use millhand::{
    JoinError, PoolHandle, Retry, TaskError, TaskHandle, ThreadPool, as_completed, current,
    join_all, join_all_ok, race, wait_any, when_all,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// What the bodies return.
pub(crate) type Body = Result<usize, String>;
type Outcome = Result<Body, TaskError>;

/// What is to become of one task.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Want {
    Value,
    Error,
    Panic,
    Cancelled,
    TimedOut,
}
use Want::{Cancelled, Error, Panic, TimedOut, Value};

impl Want {
    /// The task at `place`: on its way, or through already.
    fn task(self, pool: &PoolHandle, place: usize) -> TaskHandle<Body> {
        match self {
            Value => pool.submit(move || Ok(place)),
            Error => pool.submit(move || Err(format!("error {place}"))),
            Panic => pool.submit(move || panic!("panic {place}")),
            Cancelled => {
                let hour = Duration::from_secs(3600);
                let handle = pool.task().delay(hour).submit(move || Ok(place));
                handle.cancel();
                handle
            }
            TimedOut => {
                let limited = pool.task().total_timeout(Duration::from_millis(1));
                limited.submit(move || {
                    current().unwrap().token().wait().unwrap();
                    Ok(place)
                })
            }
        }
    }

    fn is(self, place: usize, outcome: &Outcome) -> bool {
        match (self, outcome) {
            (Value, Ok(Ok(value))) => *value == place,
            (Error, Ok(Err(error))) => *error == format!("error {place}"),
            (_, Err(error)) => self.is_error(place, error),
            _ => false,
        }
    }

    fn is_error(self, place: usize, error: &TaskError) -> bool {
        match (self, error) {
            (Panic, TaskError::Panicked(panic)) => panic.message() == format!("panic {place}"),
            (Cancelled, TaskError::Cancelled(CancelReason::User)) => true,
            (TimedOut, TaskError::TimedOut) => true,
            _ => false,
        }
    }

    fn is_failure(self, place: usize, error: &JoinError<String>) -> bool {
        match error {
            JoinError::Failed(error) => self == Error && *error == format!("error {place}"),
            JoinError::Task(error) => self.is_error(place, error),
        }
    }
}

/// Handles, and what is to become of each.
struct Scene {
    pool: PoolHandle,
    wants: Vec<Want>,
    handles: Vec<TaskHandle<Body>>,
}

impl Scene {
    fn of(pool: &PoolHandle, wants: &[Want], finished: bool) -> Self {
        let tasks = wants.iter().enumerate();
        let handles: Vec<_> = tasks.map(|(n, want)| want.task(pool, n)).collect();
        if finished {
            handles.iter().for_each(|handle| handle.wait().unwrap());
        }
        Self {
            pool: pool.clone(),
            wants: wants.to_vec(),
            handles,
        }
    }

    /// Whether all outcomes are there, in their order.
    fn assert_all(wants: &[Want], outcomes: &[Outcome]) {
        assert_eq!(outcomes.len(), wants.len());
        for (n, (want, outcome)) in wants.iter().zip(outcomes).enumerate() {
            assert!(want.is(n, outcome), "{n} was to be {want:?}: {outcome:?}");
        }
    }

    fn assert_failures(wants: &[Want], failures: &Failures<String>) {
        let mut places: Vec<_> = failures.iter().map(|failure| failure.index()).collect();
        for failure in failures {
            let n = failure.index();
            assert!(wants[n].is_failure(n, failure.error()), "{failure:?}");
        }
        places.sort_unstable();
        assert!(places.into_iter().eq(0..wants.len()), "all have failed");
    }
}

fn by_join_all(Scene { wants, handles, .. }: Scene) {
    Scene::assert_all(&wants, &join_all(handles));
}

fn by_join_all_ok(Scene { wants, handles, .. }: Scene) {
    let ids: Vec<_> = handles.iter().map(TaskHandle::id).collect();
    match join_all_ok(handles) {
        Ok(values) => {
            assert!(wants.iter().all(|want| *want == Value));
            assert!(values.into_iter().eq(0..wants.len()));
        }
        Err(failure) => {
            let n = failure.index();
            assert!(wants[n].is_failure(n, failure.error()), "{failure:?}");
            assert_eq!(failure.id(), ids[n]);
        }
    }
}

fn by_wait_any(Scene { wants, handles, .. }: Scene) {
    match wait_any(&handles).unwrap() {
        Some(place) => assert!(handles[place].is_finished()),
        None => assert!(wants.is_empty()),
    }
    Scene::assert_all(&wants, &join_all(handles));
}

fn waits(Scene { wants, handles, .. }: Scene, until: Until) {
    let (done, pending) = wait_until(&handles, until).unwrap();
    let mut all = [&done[..], &pending[..]].concat();
    assert!(done.is_sorted() && pending.is_sorted());
    all.sort_unstable();
    assert!(all.into_iter().eq(0..wants.len()), "each is in one of them");
    assert!(done.iter().all(|place| handles[*place].is_finished()));
    // An `Err` is no error to a task that was not submitted as fallible.
    let is_bad = |place: &usize| !matches!(wants[*place], Value | Error);
    match until {
        Until::FirstCompleted => assert_eq!(done.is_empty(), wants.is_empty()),
        Until::FirstError => assert!(done.iter().any(is_bad) || pending.is_empty()),
        Until::All => assert!(pending.is_empty()),
        other => panic!("a new condition, {other:?}, wants a test"),
    }
    Scene::assert_all(&wants, &join_all(handles));
}

fn by_wait_until_the_first(scene: Scene) {
    waits(scene, Until::FirstCompleted);
}

fn by_wait_until_an_error(scene: Scene) {
    waits(scene, Until::FirstError);
}

fn by_wait_until_all(scene: Scene) {
    waits(scene, Until::All);
}

/// Of nothing there is no winner: a mistake.
fn is_refused<T>(race: impl FnOnce() -> T) {
    let panic = catch_unwind(AssertUnwindSafe(race)).err().unwrap();
    let said = panic.downcast_ref::<&str>();
    assert_eq!(said, Some(&"a race needs at least one handle"));
}

fn by_race(Scene { wants, handles, .. }: Scene) {
    if wants.is_empty() {
        return is_refused(|| race(handles));
    }
    match race(handles) {
        Ok(place) => assert_eq!(wants[place], Value),
        Err(failures) => {
            assert!(!wants.contains(&Value));
            Scene::assert_failures(&wants, &failures);
        }
    }
}

fn by_as_completed(Scene { wants, handles, .. }: Scene) {
    let mut outcomes: Vec<Option<Outcome>> = wants.iter().map(|_| None).collect();
    let mut iterator = as_completed(handles);
    assert_eq!(iterator.size_hint(), (0, Some(wants.len())));
    for (place, outcome) in iterator.by_ref() {
        assert!(outcomes[place].replace(outcome).is_none(), "once each");
    }
    assert!(iterator.next().is_none() && iterator.into_pending().is_empty());
    let outcomes: Vec<_> = outcomes.into_iter().flatten().collect();
    Scene::assert_all(&wants, &outcomes);
}

fn by_when_all(Scene { wants, handles, .. }: Scene) {
    let chord = when_all(handles).then(|outcomes| outcomes);
    Scene::assert_all(&wants, &must_join(chord).unwrap());
}

fn by_submit_after(
    Scene {
        pool,
        wants,
        handles,
    }: Scene,
) {
    let after = pool.task().submit_after(handles, |outcomes| outcomes);
    Scene::assert_all(&wants, &must_join(after).unwrap());
}

fn by_submit_after_fallible(
    Scene {
        pool,
        wants,
        handles,
    }: Scene,
) {
    let after = pool.task().fallible();
    let all = wants.clone();
    let after = after.submit_after(handles, move |outcomes| {
        Scene::assert_all(&all, &outcomes);
        Err::<(), _>(outcomes.len())
    });
    assert_eq!(must_join(after).unwrap(), Err(wants.len()));
}

fn by_submit_after_with_retries(
    Scene {
        pool,
        wants,
        handles,
    }: Scene,
) {
    let after = pool.task().retry(Retry::fixed(2, Duration::ZERO));
    let all = wants.clone();
    let after = after.submit_after(handles, move |outcomes| {
        Scene::assert_all(&all, outcomes);
        match current().unwrap().attempt() {
            3 => Ok(outcomes.len()),
            n => Err(n),
        }
    });
    assert_eq!(must_join(after).unwrap(), Ok(wants.len()));
}

/// The situations, by name: what is to become of the tasks, and whether it has become before.
fn situation(name: &str) -> (Vec<Want>, bool) {
    match name {
        "all_ok" => (vec![Value; 7], false),
        "one_error" => (vec![Value, Value, Error, Value], false),
        "one_panic" => (vec![Value, Panic, Value, Value], false),
        "one_cancelled" => (vec![Value, Value, Value, Cancelled], false),
        "one_timed_out" => (vec![TimedOut, Value, Value, Value], false),
        "all_bad" => (vec![Error, Panic, Cancelled, TimedOut], false),
        "none_succeeds" => (vec![Panic, Cancelled, TimedOut], false),
        "empty" => (Vec::new(), false),
        "one_alone" => (vec![Value], false),
        "one_alone_bad" => (vec![Panic], false),
        "ten_thousand" => (vec![Value; 10_000], false),
        "finished" => (vec![Value, Panic, Error, Cancelled, TimedOut], true),
        "all_finished_ok" => (vec![Value; 5], true),
        other => panic!("no such situation: {other}"),
    }
}

fn from_outside(name: &str, check: fn(Scene)) {
    let (wants, finished) = situation(name);
    let pool = ThreadPool::new(2).unwrap();
    check(Scene::of(&pool.handle(), &wants, finished));
}

fn from_the_only_worker(name: &str, check: fn(Scene)) {
    let (wants, finished) = situation(name);
    let pool = ThreadPool::new(1).unwrap();
    let inside = pool.submit(move || {
        let pool = current().unwrap().pool();
        check(Scene::of(&pool, &wants, finished));
    });
    must_join(inside).unwrap();
}

macro_rules! matrix {
    ($($combinator:ident),+ $(,)?) => {
        $(mod $combinator {
            use super::{$combinator as check, from_outside, from_the_only_worker};
            matrix!(@ all_ok one_error one_panic one_cancelled one_timed_out all_bad none_succeeds empty one_alone
                one_alone_bad ten_thousand finished all_finished_ok);
        })+
    };
    (@ $($situation:ident)+) => {
        $(mod $situation {
            use super::{check, from_outside, from_the_only_worker};

            #[test]
            fn outside() {
                from_outside(stringify!($situation), check);
            }

            #[test]
            fn inside() {
                from_the_only_worker(stringify!($situation), check);
            }
        })+
    };
}

matrix!(
    by_join_all,
    by_join_all_ok,
    by_wait_any,
    by_wait_until_the_first,
    by_wait_until_an_error,
    by_wait_until_all,
    by_race,
    by_as_completed,
    by_when_all,
    by_submit_after,
    by_submit_after_fallible,
    by_submit_after_with_retries,
);
