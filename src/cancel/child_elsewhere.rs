//! Waiting for a child process, and killing it, where std alone can do either.
//
// The wait takes the child by `&mut`, so no other thread can kill it meanwhile. So the waiting
// thread waits for the token, and looks at the child now and then.

use crate::cancel::child::{LOOK_EVERY, Reading};
use crate::cancel::{CancelToken, blocking};
use crate::clock::Clock;
use crate::reason::CancelReason;
use std::io;
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::Duration;

pub(super) fn wait(
    child: &mut Child,
    token: &CancelToken,
    _: Duration,
    reading: Option<Reading<'_>>,
) -> io::Result<(ExitStatus, Option<CancelReason>)> {
    let _blocking = blocking::begin();
    thread::scope(|scope| {
        if let Some(read) = reading {
            let name = "millhand-stdout".to_owned();
            thread::Builder::new()
                .name(name)
                .spawn_scoped(scope, read)?;
        }
        let system = Clock::system();
        loop {
            let is_asked = token.wait_by(&system, system.deadline(LOOK_EVERY), &|| false);
            if let Some(status) = child.try_wait()? {
                return Ok((status, None));
            }
            if is_asked {
                child.kill()?;
                return Ok((child.wait()?, token.reason()));
            }
        }
    })
}
