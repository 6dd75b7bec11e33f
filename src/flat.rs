//! One after the other in place of one inside the other: what would recurse is put off until the outermost has returned.
//!
//! Layer 0. A chain of a hundred thousand tasks, each of which settles or drops the next, must not take as many frames of
//! the stack.

use std::cell::RefCell;
use std::collections::VecDeque;

type Job = Box<dyn FnOnce()>;

thread_local! {
    /// What waits on this thread; `None` when nothing runs here.
    static LATER: RefCell<Option<VecDeque<Job>>> = const { RefCell::new(None) };
}

/// Runs `job`: now, or, inside of another such job on this thread, after that one and those put off before. It must not
/// panic.
///
/// On a thread whose locals are gone it runs now.
pub(crate) fn run(job: impl FnOnce() + 'static) {
    let mut job = Some(job);
    let outermost = LATER.try_with(|later| match &mut *later.borrow_mut() {
        Some(later) => {
            later.extend(job.take().map(|job| Box::new(job) as Job));
            false
        }
        none => {
            *none = Some(VecDeque::new());
            true
        }
    });
    if let Some(job) = job {
        job();
    }
    if outermost != Ok(true) {
        return;
    }
    catch_up();
    LATER.set(None);
}

/// Runs here and now what this thread has put off: for whoever is inside of a job and about to wait for such things.
pub(crate) fn catch_up() {
    let next = || LATER.try_with(|later| later.borrow_mut().as_mut()?.pop_front());
    while let Ok(Some(next)) = next() {
        next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn who_waits_in_a_job_first_runs_what_was_put_off() {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let note = |what: &'static str| {
            let seen = seen.clone();
            move || seen.borrow_mut().push(what)
        };
        let (one, two, waits) = (note("1"), note("2"), note("waits"));
        catch_up();
        run(move || {
            run(move || {
                one();
                run(two);
            });
            catch_up();
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
