//! Waiting for a child process on Unix, and ending it by signals.
//
// After a wait of std the number of the child is free, and a signal may reach another process. So
// the waiting thread waits without reaping: the child stays a zombie, which keeps its number and
// that of its group. The hook of the token and the alarm send the signals. That they send none too
// late:
//
// 1. The child ends. `waitid` with `NOWAIT` returns in the waiting thread.
// 2. The waiting thread sets `is_over`, with the lock of the state held.
// 3. It reaps the child, and the number is free.
//
// A signal is sent with that lock held, if `is_over` is not set. So it is sent before 2, or not at
// all.

use crate::cancel::child::{LOOK_EVERY, Reading};
use crate::cancel::{CancelToken, blocking};
use crate::clock::{Clock, Monitor, alarm};
use crate::reason::CancelReason;
use crate::sync::Mutex;
use crate::sync::waiter::ClockWaiter;
use rustix::io::retry_on_intr;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getpgid, kill_process, kill_process_group, waitid,
};
use std::io;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// What ends the child. The waiting thread, the hook of the token and the alarm share it.
struct Stop {
    child: Pid,
    grace: Duration,
    /// Held while a signal is sent.
    state: Mutex<State>,
}

struct State {
    /// The waiting thread still reads the output.
    is_reading: bool,
    /// Why the child was asked to end.
    why: Option<CancelReason>,
    /// Whether it led its group then.
    leads: bool,
    /// The child is about to be reaped.
    is_over: bool,
}

pub(super) fn wait(
    child: &mut Child,
    token: &CancelToken,
    grace: Duration,
    reading: Option<Reading<'_>>,
) -> io::Result<(ExitStatus, Option<CancelReason>)> {
    let stop = Arc::new(Stop::new(child, grace, reading.is_some()));
    let asked = stop.clone();
    let _hook = token.on_cancel_light(move |why| asked.ask(why));
    stop.wait(child, reading)
}

impl Stop {
    fn new(child: &Child, grace: Duration, is_reading: bool) -> Self {
        Self {
            child: Pid::from_child(child),
            grace,
            state: Mutex::new(State {
                is_reading,
                why: None,
                leads: false,
                is_over: false,
            }),
        }
    }

    fn wait(
        &self,
        child: &mut Child,
        reading: Option<Reading<'_>>,
    ) -> io::Result<(ExitStatus, Option<CancelReason>)> {
        let blocking = blocking::begin();
        if let Some(read) = reading {
            read();
            self.state.lock().is_reading = false;
        }
        let ended = wait_for_end(self.child);
        let why = self.end();
        drop(blocking);
        ended?;
        Ok((child.wait()?, why))
    }

    /// The task is asked to stop, and so is the child. If it has ended there is nothing to
    /// stop, except for processes of its group whose output is read.
    fn ask(self: Arc<Self>, why: CancelReason) {
        let mut state = self.state.lock();
        if state.is_over || state.why.is_some() {
            return;
        }
        let leads = getpgid(Some(self.child)).is_ok_and(|group| group == self.child);
        let is_needed = match has_ended(self.child, WaitIdOptions::NOHANG) {
            Ok(false) => true,
            Ok(true) => leads && state.is_reading,
            Err(_) => false,
        };
        if !is_needed {
            return;
        }
        state.why = Some(why);
        state.leads = leads;
        self.send(leads, Signal::TERM);
        drop(state);
        let system = Clock::system();
        if let Some(instant) = system.deadline(self.grace) {
            let weak = Arc::downgrade(&self);
            alarm::at(&system, instant, weak as Weak<dyn ClockWaiter>);
        }
    }

    /// The child has ended. From here on no signal is sent. Returns why it was asked to end, if
    /// it was: then what is left of its group is killed.
    fn end(&self) -> Option<CancelReason> {
        let mut state = self.state.lock();
        state.is_over = true;
        if state.leads {
            self.send(true, Signal::KILL);
        }
        state.why
    }

    /// Called with the lock held, before the child is reaped.
    fn send(&self, to_group: bool, signal: Signal) {
        // Something else in this program may have reaped it.
        if has_ended(self.child, WaitIdOptions::NOHANG).is_err() {
            return;
        }
        // An error means that there is no process left, or none that may be signalled.
        let _ = match to_group {
            true => kill_process_group(self.child, signal),
            false => kill_process(self.child, signal),
        };
    }
}

/// The grace is over.
impl ClockWaiter for Stop {
    fn wake(self: Arc<Self>) {
        let state = self.state.lock();
        if !state.is_over {
            self.send(state.leads, Signal::KILL);
        }
    }
}

/// Whether the child has ended. It stays to be reaped. Without `NOHANG` it blocks until the
/// child changes its state.
fn has_ended(child: Pid, how: WaitIdOptions) -> io::Result<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | how;
    let status = retry_on_intr(|| waitid(WaitId::Pid(child), options))?;
    Ok(status.is_some_and(|status| status.exited() || status.killed() || status.dumped()))
}

fn wait_for_end(child: Pid) -> io::Result<()> {
    while !has_ended(child, WaitIdOptions::empty())? {
        // macOS reports a child that a signal has stopped.
        let (system, rest) = (Clock::system(), Monitor::new(()));
        let until = system.deadline(LOOK_EVERY);
        rest.wait_while(&mut rest.lock(), &system, until, &"a child", &mut |()| true);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};
    use std::thread;

    /// With the lock held a signal may be sent if the wait is not over. Then the number must be
    /// that of the child still.
    #[test]
    fn no_signal_is_sent_to_a_child_that_was_reaped() {
        for round in 0..200 {
            let mut cat = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
            let stdin = cat.stdin.take();
            let stop = Arc::new(Stop::new(&cat, Duration::ZERO, false));
            thread::scope(|scope| {
                scope.spawn(|| {
                    drop(stdin);
                    loop {
                        let state = stop.state.lock();
                        if state.is_over {
                            break;
                        }
                        let is_there = has_ended(stop.child, WaitIdOptions::NOHANG).is_ok();
                        assert!(is_there, "a signal would reach another process");
                        drop(state);
                        thread::yield_now();
                        if round % 2 == 0 {
                            stop.clone().ask(CancelReason::User);
                        }
                    }
                    stop.clone().ask(CancelReason::User);
                    stop.clone().wake();
                });
                let (status, why) = stop.wait(&mut cat, None).unwrap();
                assert!(status.success() || why.is_some());
            });
        }
    }
}
