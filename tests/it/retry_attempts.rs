//! What an attempt knows of those before it, and retrying on the caller's own thread.

use crate::handle::must_join;
use crate::manual::{HOUR, Manual, S, due_of};
use crate::support::{LONG, must_recv};
use millhand::{Retry, TaskError};
use std::sync::mpsc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

// What an attempt knows.

#[test]
fn an_attempt_knows_its_number() {
    let pool = Manual::new(1);
    let mut seen = Vec::new();
    let handle = pool
        .task()
        .retry(Retry::fixed(2, Duration::ZERO))
        .submit(move || {
            seen.push(millhand::attempt());
            match seen.len() {
                3 => Ok(std::mem::take(&mut seen)),
                n => Err(format!("error {n}")),
            }
        });
    assert_eq!(must_join(handle).unwrap(), Ok(vec![1, 2, 3]));
    let plain = pool.submit(millhand::attempt);
    assert_eq!(must_join(plain).unwrap(), 1);
}

#[test]
fn a_body_keeps_the_last_error_itself() {
    let pool = Manual::new(1);
    let mut last = None;
    let handle = pool
        .task()
        .retry(Retry::fixed(1, Duration::ZERO))
        .submit(move || match last.take() {
            Some(error) => Ok(error),
            None => {
                last = Some("disk full");
                Err("disk full")
            }
        });
    assert_eq!(must_join(handle).unwrap(), Ok("disk full"));
}

#[test]
fn a_template_serves_many_tasks_and_each_has_its_own_attempts() {
    let pool = Manual::new(2);
    let task = pool.task().name("flaky").retry(Retry::fixed(2, S));
    let once = task.clone().retry_if(|error: &u32| *error < 2);
    let body = || {
        let mut state = 0;
        move || {
            // What is kept between attempts is each task's own.
            state += 1;
            Err::<(), _>(state)
        }
    };
    let handles: Vec<_> = (0..10)
        .map(|n| [&task, &once][n % 2].submit(body()))
        .collect();
    for handle in &handles {
        assert_eq!(due_of(handle, 2), pool.now() + S);
        assert_eq!(handle.name().as_deref(), Some("flaky"));
    }
    pool.advance(S);
    for handle in handles.iter().step_by(2) {
        due_of(handle, 3);
    }
    pool.advance(S);
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(must_join(handle).unwrap(), Err([3, 2][n % 2]), "{n}");
    }
}

// On the caller's own thread.

#[test]
fn a_policy_runs_a_function_without_a_pool() {
    let mut attempts = Vec::new();
    let retry = Retry::from_fn(2, |k| k * MS);
    let answer = retry.run(|attempt| {
        attempts.push(attempt);
        Err::<(), _>(attempt)
    });
    assert_eq!((answer, attempts), (Err(3), vec![1, 2, 3]));
    assert_eq!(retry.run(Ok::<_, ()>), Ok(1));
    assert_eq!(Retry::fixed(0, HOUR).run(Err::<(), u32>), Err(1));
    // Nothing is slept for that would come too late.
    assert_eq!(
        Retry::fixed(9, HOUR).max_elapsed(S).run(Err::<(), u32>),
        Err(1)
    );
}

#[test]
fn inside_a_task_it_gives_up_the_seat_and_ends_with_the_task() {
    let pool = Manual::new(1);
    let (tell, told) = mpsc::channel();
    let handle = pool.submit(move || {
        Retry::fixed(9, HOUR).run(|attempt| {
            tell.send(attempt).unwrap();
            Err::<(), _>(attempt)
        })
    });
    assert_eq!(must_recv(&told), 1);
    // The only worker's: as soon as it sleeps.
    assert_eq!(must_join(pool.submit(|| 7)).unwrap(), 7);
    handle.cancel();
    assert_eq!(must_join(handle).unwrap(), Err(1));
    assert!(told.try_recv().is_err());
}

#[test]
fn a_panic_goes_through_it() {
    crate::stress::silence();
    let pool = Manual::new(1);
    let handle = pool.submit(|| {
        Retry::fixed(9, HOUR)
            .run(|_| -> Result<(), ()> { panic!("{} at once", crate::stress::EXPECTED) })
    });
    assert!(matches!(
        handle.join_timeout(LONG).unwrap(),
        Err(TaskError::Panicked(_))
    ));
}
