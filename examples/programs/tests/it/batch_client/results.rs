//! What goes in and what comes out: arguments, lines, results, their order.

use super::*;
use crate::support::arguments::{assert_helps, assert_refused};

#[test]
fn help_names_all_options_and_exit_codes() {
    let help = output(&mut client(&["--help"]));
    let words = "FILE --jobs --rate --retries --retry-all --timeout --total-timeout --unordered \
        --bodies Exit codes";
    let words: Vec<_> = words.split(' ').collect();
    assert_helps(&help, &words);
}

#[test]
fn wrong_arguments_are_named_and_end_with_2() {
    for (arguments, named) in [
        (&["--colour"][..], "--colour"),
        (&["-j", "0"], "not a whole number from 1 to 1000"),
        (&["-j", "-5"], "not a whole number from 1 to 1000"),
        (&["--timeout", "-1"], "not a number of seconds above 0"),
        (&["--rate", "10/d"], "the unit must be s, m or h"),
        (&["--rate", "0/s"], "not a whole number above 0"),
        (&["--timeout", "0"], "not a number of seconds above 0"),
        (&["--retries", "-1"], "-1"),
        (&["/no/such/file"], "/no/such/file: No such file"),
    ] {
        let output = output(&mut client(arguments));
        assert_refused(&output, named);
    }
}

#[test]
fn a_dash_is_the_standard_input() {
    let output = run(&["-"], &["nonsense".into()]);
    assert_eq!(results(&output.stdout).len(), 1);
}

#[test]
fn an_input_that_cannot_be_read_ends_with_1() {
    let output = output(&mut client(&["/"]));
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("batch_client: /: Is a directory"), "{error}");
}

#[test]
fn an_output_that_takes_nothing_ends_with_1() {
    let way = says(200);
    let mut command = client(&[]);
    command.stdin(Stdio::piped()).stderr(Stdio::piped());
    command.stdout(File::options().write(true).open("/dev/full").unwrap());
    let mut child = command.spawn().unwrap();
    // The input stays open.
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{}", way.faults.url("/")).unwrap();
    let output = ended(child);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(
        error.starts_with("batch_client: the output: No space left"),
        "{error}"
    );
}

#[test]
fn no_requests_are_no_failure() {
    let output = run(&[], &["".into(), " ".into()]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.is_empty());
    assert!(text(&output.stderr).contains("0 failed, 0 attempts"));
}

#[test]
fn results_of_the_service_are_in_the_order_of_the_lines() {
    let way = Way::new(|_, _| Fault::Pass);
    let data = way.faults.url("/api/data");
    let lines = [
        format!(
            r#"{{"url": "{data}", "params": {{"wait": "30s"}}, "body": {{"numbers": [1, 2, 6]}}}}"#
        ),
        String::new(),
        "example.org".to_owned(),
        format!(r#"{{"url": "{}", "method": "HEAD"}}"#, way.faults.url("/")),
        way.faults.url("/nothing"),
        format!(r#"{{"url": "{data}", "headers": {{"Content-Type": "x/y"}}, "body": "{{}}"}}"#),
    ];
    let output = run(&["--bodies"], &lines);
    assert_eq!(output.status.code(), Some(1));
    let mut results = results(&output.stdout);
    let bodies: Vec<_> = results
        .iter_mut()
        .map(|result| result["body"].take())
        .collect();
    let body = |n: usize| -> Value { serde_json::from_str(bodies[n].as_str().unwrap()).unwrap() };
    assert_eq!(body(0)["result"]["sum"], 9.0);
    assert_eq!(body(3)["status"], 404);
    assert_eq!(bodies[2], "");
    let status = |line: u64, method: &str, path: &str, status: u16, body: usize| {
        json!({
            "line": line, "method": method, "url": way.faults.url(path), "status": status,
            "attempts": 1, "bytes": bodies[body].as_str().unwrap().len(), "body": null,
        })
    };
    let error = "\"example.org\": not a URL of http:// or https://";
    let expected = [
        status(1, "POST", "/api/data?wait=30s", 200, 0),
        json!({"line": 3, "error": error, "attempts": 0, "body": null}),
        status(4, "HEAD", "/", 200, 2),
        status(5, "GET", "/nothing", 404, 3),
        status(6, "POST", "/api/data", 400, 4),
    ];
    assert_eq!(results, expected);
    let passed = [
        "GET /nothing",
        "HEAD /",
        "POST /api/data",
        "POST /api/data?wait=30s",
    ];
    assert_eq!(way.faults.passed(), passed);
    let summary = text(&output.stderr);
    assert!(summary.contains("3 failed, 4 attempts"), "{summary}");
    let kinds: Vec<_> = summary
        .lines()
        .map(|line| line.split("  ").next().unwrap())
        .collect();
    assert_eq!(kinds[1..5], ["200", "400", "404", "bad line"]);
}

#[test]
fn a_connection_serves_many_requests() {
    let way = says(200);
    let output = run(&["-j", "1"], &way.urls(&["/"; 20]));
    assert_eq!(output.status.code(), Some(0));
    assert_eq!((way.faults.requests(), way.faults.connections()), (20, 1));
}

#[test]
fn a_slow_request_delays_the_results_behind_it_only_in_order() {
    let way = holds();
    let lines = way.urls(&["/?held", "/quick"]);
    let client = Fed::start(&["--unordered"], &lines);
    assert_eq!(client.result()["line"], 2);
    way.faults.release();
    assert_eq!(client.result()["line"], 1);
    assert_eq!(client.end(), (Some(0), Vec::new()));

    let way = holds();
    let client = Fed::start(&[], &way.urls(&["/?held", "/quick"]));
    until("the quick one", || {
        (way.faults.seen("/quick") == 1).then_some(())
    });
    way.faults.release();
    assert_eq!(
        (&client.result()["line"], &client.result()["line"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(client.end(), (Some(0), Vec::new()));
}

#[test]
fn results_come_while_the_input_goes_on() {
    let way = says(200);
    let mut client = Fed::start(&[], &[]);
    for line in 1..=3 {
        client.write(&way.urls(&["/"]));
        assert_eq!(client.result(), way.got(line, "/", 200, 1));
    }
    assert_eq!(client.end(), (Some(0), Vec::new()));
}
