//! What all programs have in common: their help, wrong arguments, an address in use.

use crate::support::text;
use std::net::TcpListener;
use std::process::Output;

/// `--help` names all of these: the options, and the exit codes.
#[track_caller]
pub(crate) fn assert_helps(help: &Output, words: &[&str]) {
    assert!(help.status.success());
    for word in words {
        assert!(text(&help.stdout).contains(word), "{word}");
    }
}

/// The arguments are refused with 2, and the error names what is wrong.
#[track_caller]
pub(crate) fn assert_refused(output: &Output, named: &str) {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let error = text(&output.stderr);
    assert!(error.contains(named), "{named}: {error}");
    assert!(output.stdout.is_empty());
}

/// A server ends with 1 if it cannot listen on the address that `run` gives to it, and names it.
#[track_caller]
pub(crate) fn assert_address_is_named(run: impl FnOnce(&str) -> Output) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&address);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(
        error.contains(&address) && error.contains("in use"),
        "{error}"
    );
}
