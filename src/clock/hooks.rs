//! The threads for user code that the library calls for a time-out: hooks of tokens, wakers, and
//! drops of hooks.
//!
//! However much there is to call at once, at most four threads call it: one, and another where the
//! first has been in one call for more than 100 ms. They end when nothing is left to call. The
//! timers and the alarm only file calls here, and wait for none.
//
// While there is more to call, one more thread than those in a call exists: it waits until each of
// them has been in its call for too long, and then makes the next. Four threads that are all stuck
// hold up whatever comes later.

use crate::clock::current;
use crate::panic;
use std::panic::Location;

struct Call {
    /// What is called. The log names it by this and the place in the program.
    what: &'static str,
    site: &'static Location<'static>,
    run: Box<dyn FnOnce() + Send>,
}

/// Makes the call on a thread of the library; on this one if no thread can be started. The log
/// names the call by `what` and `site`.
pub(crate) fn call_in_background(
    what: &'static str,
    site: &'static Location<'static>,
    run: impl FnOnce() + Send + 'static,
) {
    let run = Box::new(run);
    let call = Call { what, site, run };
    match current::clock().simulated() {
        Some(sim) => sim.call_in_background(Box::new(|| call.make())),
        None => imp::file(call),
    }
}

impl Call {
    fn make(self) {
        let Self { what, site, run } = self;
        let mut run = Some(run);
        panic::shield_dyn(&format!("{what} {site}"), &mut || {
            if let Some(run) = run.take() {
                run();
            }
        });
    }
}

#[cfg(not(loom))]
mod imp {
    use super::Call;
    use crate::clock::{Clock, Monitor};
    use crate::panic::{self, Level};
    use std::collections::VecDeque;
    use std::panic::Location;
    use std::process;
    use std::sync::LazyLock;
    use std::thread;
    use std::time::{Duration, Instant};

    const MOST_THREADS: usize = 4;
    const PATIENCE: Duration = Duration::from_millis(100);

    /// Notified when the last call was taken.
    static HOOKS: LazyLock<Monitor<Hooks>> = LazyLock::new(|| {
        Monitor::new(Hooks {
            process: 0,
            threads: 0,
            calls: VecDeque::new(),
            made: Vec::new(),
        })
    });

    struct Hooks {
        /// The process that has the threads. A forked child has none.
        process: u32,
        threads: usize,
        calls: VecDeque<Call>,
        /// The calls that are being made: when they began, and what they are.
        made: Vec<(Instant, &'static str, &'static Location<'static>)>,
    }

    impl Hooks {
        /// Whether a thread is to be started: there are calls, and all threads are in one.
        fn wants_thread(&self) -> bool {
            !self.calls.is_empty() && self.threads == self.made.len() && self.threads < MOST_THREADS
        }

        /// Until when a thread leaves the calls to those that are in one.
        fn patience_ends(&self) -> Option<Instant> {
            let last = self.made.iter().map(|(begun, ..)| *begun).max();
            last.map(|begun| begun + PATIENCE)
        }
    }

    pub(super) fn file(call: Call) {
        let mut hooks = HOOKS.lock();
        let process = process::id();
        if hooks.process != process {
            // What the parent of this process has filed is called there, and is not dropped here.
            std::mem::forget(std::mem::take(&mut hooks.calls));
            hooks.made.clear();
            hooks.threads = 0;
            hooks.process = process;
        }
        hooks.calls.push_back(call);
        start_if_wanted(&mut hooks);
        // No thread could be started, and there is none that would come to it.
        let here = (hooks.threads == 0).then(|| hooks.calls.pop_front());
        drop(hooks);
        here.flatten().into_iter().for_each(Call::make);
    }

    fn start_if_wanted(hooks: &mut Hooks) {
        if hooks.wants_thread() {
            let thread = thread::Builder::new().name("millhand-deadline".to_owned());
            // If the system refuses the thread, the next call that is filed or begins tries again.
            hooks.threads += usize::from(thread.spawn(main).is_ok());
        }
    }

    fn main() {
        let clock = Clock::system();
        let mut hooks = HOOKS.lock();
        loop {
            let until = hooks.patience_ends();
            if !hooks.calls.is_empty() && until.is_some_and(|until| until > clock.now()) {
                let waits = &mut |hooks: &mut Hooks| !hooks.calls.is_empty();
                HOOKS.wait_while(&mut hooks, &clock, until, &"a slow call", waits);
                continue;
            }
            let Some(call) = hooks.calls.pop_front() else {
                hooks.threads -= 1;
                return;
            };
            let slow = hooks.made.iter().copied().max_by_key(|(begun, ..)| *begun);
            let this = (clock.now(), call.what, call.site);
            hooks.made.push(this);
            start_if_wanted(&mut hooks);
            let (was_last, in_calls) = (hooks.calls.is_empty(), hooks.made.len());
            drop(hooks);
            if was_last {
                HOOKS.notify_all();
            }
            if let Some((_, what, site)) = slow {
                panic::log(
                    Level::Warn,
                    format_args!(
                        "{what} {site} has run for more than 100 ms: thread {in_calls} of at most {MOST_THREADS} goes on with others"
                    ),
                );
            }
            call.make();
            hooks = HOOKS.lock();
            if let Some(at) = hooks.made.iter().position(|call| *call == this) {
                hooks.made.swap_remove(at);
            }
        }
    }
}

#[cfg(loom)]
mod imp {
    //! The models have no such threads.
    pub(super) fn file(call: super::Call) {
        call.make();
    }
}
