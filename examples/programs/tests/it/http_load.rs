//! The program `http_load` as its users see it: its arguments, its counts, its end. The tests of
//! `http_service` load the service with it.

use crate::support::arguments::{assert_helps, assert_refused};
use crate::support::faults::{Fault, Faults, answer};
use crate::support::{self, command, text};
use serde_json::Value;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Output, Stdio};

fn output(arguments: &[&str]) -> Output {
    let mut command = command(env!("CARGO_BIN_EXE_http_load"));
    support::output(command.args(arguments))
}

#[test]
fn help_names_all_options_and_exit_codes() {
    let words = ["URL", "--connections", "--requests", "--post", "Exit codes"];
    assert_helps(&output(&["--help"]), &words);
}

#[test]
fn wrong_arguments_are_named_and_end_with_2() {
    const URL: &str = "http://127.0.0.1:80/";
    for (arguments, named) in [
        (&[][..], "<URL>"),
        (&["--colour"], "--colour"),
        (&[URL, "/second"], "/second"),
        (&["127.0.0.1:80"], "must begin with http://"),
        (&["https://127.0.0.1:80/"], "must begin with http://"),
        (&["http://localhost/"], "must have a host and a port"),
        (
            &[URL, "--connections", "0"],
            "not a whole number from 1 to 512",
        ),
        (&["http://:80/"], "must have a host and a port"),
        (&["http://127.0.0.1:http/"], "must have a host and a port"),
        (&["http://127.0.0.1:80/a b"], "visible ASCII"),
        (
            &[URL, "--connections", "many"],
            "not a whole number from 1 to 512",
        ),
        (&[URL, "--requests", "-1"], "-1"),
    ] {
        assert_refused(&output(arguments), named);
    }
}

fn counts(output: &Output) -> (u64, u64) {
    let line: Value = serde_json::from_str(text(&output.stdout)).unwrap();
    let count = |name: &str| line[name].as_u64().unwrap();
    (count("requests"), count("failed"))
}

#[test]
fn a_failure_is_counted_and_has_its_reason() {
    let server = Faults::start("", |path, _| match path {
        "/good" | "/?good" => answer(200, &[]),
        "/bad" => answer(503, &[]),
        _ => Fault::Close,
    });
    for (path, failed, why) in [
        ("/good", 0, ""),
        ("?good", 0, ""),
        ("/bad", 5, "5 have failed, one of them by: status 503"),
        ("/cut", 5, "5 have failed, one of them by: "),
    ] {
        let (url, requests) = (server.url(path), ["--requests", "5"]);
        let output = output(&[&[url.as_str()][..], &requests].concat());
        assert_eq!(output.status.code(), Some(i32::from(failed > 0)), "{path}");
        assert_eq!(counts(&output), (5 - failed, failed), "{path}");
        let error = text(&output.stderr);
        assert!(
            error.contains(why) && why.is_empty() == error.is_empty(),
            "{error}"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_takes_nothing_ends_with_1() {
    let outputs: [(Stdio, &str); 2] = [
        (
            File::options()
                .write(true)
                .open("/dev/full")
                .unwrap()
                .into(),
            "the standard output: No space",
        ),
        (OwnedFd::from(UnixStream::pair().unwrap().1).into(), ""),
    ];
    for (to, named) in outputs {
        let mut command = command(env!("CARGO_BIN_EXE_http_load"));
        command.args(["http://127.0.0.1:1/", "--requests", "0"]);
        let child = command.stdout(to).stderr(Stdio::piped()).spawn().unwrap();
        drop(command);
        let output = support::ended(child);
        assert_eq!(output.status.code(), Some(1));
        let error = text(&output.stderr);
        assert!(
            error.contains(named) && named.is_empty() == error.is_empty(),
            "{error}"
        );
    }
}
