//! Copies of this program, and what one does to them.

use super::until;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ROLE: &str = "MILLHAND_CRASH_ROLE";
const FOLDER: &str = "MILLHAND_CRASH_FOLDER";

/// What this process is to do, if it is a child.
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// The folder of the test whose child this is.
pub(crate) fn folder() -> PathBuf {
    std::env::var(FOLDER).unwrap().into()
}

/// In a child: waits until the test lets it end, or has died.
pub(crate) fn wait_for_the_end() {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// A child. It is killed when this is dropped.
pub(crate) struct Child(std::process::Child);

impl Child {
    pub(crate) fn start(role: &str, folder: &Path) -> Self {
        let program = Command::new(std::env::current_exe().unwrap());
        Self::spawn(program, role, folder).unwrap()
    }

    /// Has another program start it. `None` if there is no such program.
    #[cfg(target_os = "linux")]
    pub(crate) fn start_in(mut outer: Command, role: &str, folder: &Path) -> Option<Self> {
        outer.arg(std::env::current_exe().unwrap());
        Self::spawn(outer, role, folder).ok()
    }

    fn spawn(mut program: Command, role: &str, folder: &Path) -> std::io::Result<Self> {
        let started = program
            .args(["--exact", "crash::the_child"])
            .args(["--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .env(FOLDER, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        started.map(Self)
    }

    /// Sends it a line.
    pub(crate) fn say(&mut self, line: &str) {
        let mut stdin = self.0.stdin.as_ref().unwrap();
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    #[cfg(feature = "redis")]
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Stops it, and waits until none of its threads runs.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        let pid = Some(Pid::from_child(&self.0));
        let (_, status) = waitpid(pid, WaitOptions::UNTRACED).unwrap().unwrap();
        assert!(status.stopped(), "it ended in place of stopping");
    }

    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Whether it has died by itself.
    pub(crate) fn has_died(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Lets it end, and waits for that.
    pub(crate) fn end(mut self) {
        drop(self.0.stdin.take());
        self.ended();
    }

    /// Waits until it has ended well.
    pub(crate) fn ended(mut self) {
        until("a child ends", || self.has_died());
        let status = self.0.wait().unwrap();
        assert!(status.success(), "a child: {status}");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
