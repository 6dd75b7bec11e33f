//! A start that fails.

use super::{output, text};
use crate::support::site::{Gate, Site, page, redirect, status};
use std::io::Write;

#[test]
fn the_first_start_that_fails_ends_all() {
    let gate = Gate::default();
    let (asked, held) = (Gate::default(), gate.clone());
    let slow = {
        let asked = asked.clone();
        Site::of(move |_| {
            asked.open();
            held.wait();
            page("")
        })
    };
    // It fails once the other one runs.
    let failing = Site::of(move |_| {
        asked.wait();
        status(404)
    });
    let output = output(&[&slow.url("/"), &failing.url("/no")]);
    gate.open();
    assert_eq!(output.status.code(), Some(3));
    let error = format!("crawler: {}: status 404\n", failing.url("/no"));
    assert_eq!(text(&output.stderr), error);
    assert!(output.stdout.is_empty());
}

#[test]
fn a_start_that_waits_is_cancelled_by_one_that_fails() {
    let site = Site::of(|_| status(404));
    // One after the other, in this order.
    let output = output(&[
        "--jobs",
        "1",
        &site.url("/1"),
        &site.url("/2"),
        &site.url("/3"),
    ]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(site.paths(), ["/1"]);
}

#[test]
fn what_a_start_can_fail_of_is_named() {
    let other = Site::of(|_| page(""));
    let moved = other.url("/");
    let away = Site::of(move |_| redirect(&moved));
    let without_rules = Site::serve(|request, stream| {
        let reply = match request.path.as_str() {
            "/robots.txt" => status(503),
            _ => page(""),
        };
        stream.write_all(reply.as_bytes())
    });
    for (url, named) in [
        ("http://127.0.0.1:1/".to_owned(), "refused"),
        (
            away.url("/"),
            &*format!("redirects to another host; start at {}", other.url("/")),
        ),
        (without_rules.url("/"), "/robots.txt: status 503"),
    ] {
        let output = output(&[&url, "--retries", "1"]);
        assert_eq!(output.status.code(), Some(3), "{url}");
        let error = text(&output.stderr);
        assert!(
            error.contains(named) && error.lines().count() == 1,
            "{error}"
        );
    }
}

#[test]
fn a_start_that_takes_too_long_is_named() {
    let gate = Gate::default();
    let held = gate.clone();
    let silent = Site::serve(move |_, _| {
        held.wait();
        Ok(())
    });
    let output = output(&[&silent.url("/"), "--timeout", "0.1"]);
    gate.open();
    assert_eq!(output.status.code(), Some(3));
    let error = text(&output.stderr);
    assert!(error.contains("timed out"), "{error}");
}
