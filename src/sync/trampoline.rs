//! Runs jobs one after the other that would otherwise run inside one another: a job that is
//! started inside of another job is put off until the outermost job has returned.
//!
//! So a chain of a hundred thousand tasks, each of which settles or drops the next, takes no more
//! of the stack than one task.

use std::cell::RefCell;
use std::collections::VecDeque;

type Job = Box<dyn FnOnce()>;

crate::sync::thread_local! {
    /// The jobs that this thread has put off. `None` while no job runs here.
    static DEFERRED: RefCell<Option<VecDeque<Job>>> = const { RefCell::new(None) };
}

/// Runs `job` now, or, inside of another job on this thread, after that job and those put off
/// before. `job` must not panic.
///
/// On a thread whose thread-locals are gone it runs now.
pub(crate) fn run(job: impl FnOnce() + 'static) {
    if is_inside() {
        return defer(Box::new(job));
    }
    job();
    end();
}

/// Whether a job runs here already. If not, one begins.
fn is_inside() -> bool {
    let inside = DEFERRED.try_with(|deferred| {
        let mut deferred = deferred.borrow_mut();
        let inside = deferred.is_some();
        deferred.get_or_insert_default();
        inside
    });
    inside.unwrap_or(false)
}

fn defer(job: Job) {
    DEFERRED.with(|deferred| {
        let mut deferred = deferred.borrow_mut();
        deferred.get_or_insert_default().push_back(job);
    });
}

/// The outermost job has returned.
fn end() {
    run_deferred();
    let _ = DEFERRED.try_with(|deferred| deferred.replace(None));
}

/// Runs the jobs that this thread has put off, here and now. Called inside of a job by a thread
/// that is about to wait, perhaps for one of them.
pub(crate) fn run_deferred() {
    let next = || DEFERRED.try_with(|deferred| deferred.borrow_mut().as_mut()?.pop_front());
    while let Ok(Some(job)) = next() {
        job();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn a_job_that_waits_first_runs_what_was_put_off() {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let note = |what: &'static str| {
            let seen = seen.clone();
            move || seen.borrow_mut().push(what)
        };
        let (one, two, waits) = (note("1"), note("2"), note("waits"));
        run_deferred();
        run(move || {
            run(move || {
                one();
                run(two);
            });
            run_deferred();
            waits();
        });
        assert_eq!(*seen.borrow(), ["1", "2", "waits"]);
    }

    #[test]
    fn jobs_in_jobs_run_after_them_and_in_order() {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let note = |what: &'static str| {
            let seen = seen.clone();
            move || seen.borrow_mut().push(what)
        };
        let (one, two, three) = (note("1"), note("2"), note("3"));
        let (begins, ends) = (note("begins"), note("ends"));
        run(move || {
            begins();
            run(move || {
                one();
                run(three);
            });
            run(two);
            ends();
        });
        assert_eq!(*seen.borrow(), ["begins", "ends", "1", "2", "3"]);
    }

    #[test]
    fn any_depth_takes_the_same_stack() {
        fn deep(n: u32) {
            if n > 0 {
                run(move || deep(n - 1));
            }
        }
        deep(1_000_000);
    }
}
