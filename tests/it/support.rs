//! What the tests share.

use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

/// How long a test waits for what must come. Never decides a test that passes: it turns a hang into a failure.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// Receives, or fails in place of hanging.
pub(crate) fn must_recv<T>(receiver: &mpsc::Receiver<T>) -> T {
    receiver.recv_timeout(LONG).expect("it must come")
}

/// What tells a copy of this program, begun by `in_a_copy`, what to run.
pub(crate) const SCENARIO: &str = "MILLHAND_TEST_SCENARIO";

/// Runs one of the scenarios of the test `the_copy` in a copy of this program that runs nothing else.
pub(crate) fn in_a_copy(the_copy: &str, scenario: &str) {
    let copy = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", the_copy, "--nocapture", "--test-threads=1"])
        .env(SCENARIO, scenario)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&copy.stdout);
    let cried = String::from_utf8_lossy(&copy.stderr);
    assert!(
        copy.status.success(),
        "{scenario}: {}\n{said}\n{cried}",
        copy.status
    );
    assert!(
        said.contains("1 passed"),
        "the copy ran something else:\n{said}"
    );
}

/// Waits for the token, whatever the task here is asked to do: a destructor does that while its thread unwinds.
#[cfg(feature = "simulation")]
pub(crate) fn wait_deafly(token: &millhand::CancelToken) {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    struct Waits<'a>(&'a millhand::CancelToken);
    impl Drop for Waits<'_> {
        fn drop(&mut self) {
            self.0.wait().unwrap();
        }
    }
    let unwinds = || {
        let _waits = Waits(token);
        resume_unwind(Box::new(()))
    };
    let unwound: Result<(), _> = catch_unwind(AssertUnwindSafe(unwinds));
    assert!(unwound.is_err());
}
