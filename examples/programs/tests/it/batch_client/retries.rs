//! What is tried again, how often, and after which delay.

use super::*;

/// Each fault by its name, with the error that it is if nothing is tried again.
fn fault(path: &str) -> Option<(Fault, &'static str)> {
    Some(match path {
        "/close" => (Fault::Close, "io: Peer disconnected"),
        "/head" => (Fault::CutHead, "io: Peer disconnected"),
        "/body" => (Fault::CutBody, "io: Peer disconnected"),
        "/garbage" => (
            Fault::Garbage,
            "protocol: http parse fail: invalid HTTP version",
        ),
        _ => return None,
    })
}

#[test]
fn a_response_that_is_none_is_an_error() {
    let way = Way::new(|path, _| fault(path).unwrap().0);
    let paths = ["/close", "/head", "/body", "/garbage"];
    let output = run(&["--retries", "0"], &way.urls(&paths));
    assert_eq!(output.status.code(), Some(1));
    let expected = (1..).zip(paths).map(|(line, path)| {
        let (_, error) = fault(path).unwrap();
        way.failed(line, path, error, 1)
    });
    assert_eq!(results(&output.stdout), expected.collect::<Vec<_>>());
    assert_eq!(counted(text(&output.stderr), "no response"), 4);
    assert!(way.faults.passed().is_empty());
}

/// What passes at the second attempt.
const PASSING: [&str; 9] = [
    "/close", "/head", "/body", "/garbage", "/503", "/429", "/500", "/408", "/504",
];

#[test]
fn faults_that_pass_are_tried_again() {
    let way = Way::new(|path, nth| match (nth, path) {
        (2, _) => answer(200, &[]),
        (_, "/503") => answer(503, &[("Retry-After", "0")]),
        (_, "/429") => answer(429, &[("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT")]),
        (_, path) => match fault(path) {
            Some((fault, _)) => fault,
            None => answer(path[1..].parse().unwrap(), &[]),
        },
    });
    let output = run(&[], &way.urls(&PASSING));
    assert_eq!(output.status.code(), Some(0));
    let expected = (1..)
        .zip(PASSING)
        .map(|(line, path)| way.got(line, path, 200, 2));
    assert_eq!(results(&output.stdout), expected.collect::<Vec<_>>());
    assert_eq!(way.faults.requests(), 18);
    assert!(text(&output.stderr).contains("0 failed, 18 attempts"));
}

#[test]
fn the_last_answer_is_the_result() {
    let way = Way::new(|_, _| answer(503, &[("Retry-After", "0")]));
    let output = run(&["--retries", "4"], &way.urls(&["/"]));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(results(&output.stdout), [way.got(1, "/", 503, 5)]);
    assert_eq!(way.faults.seen("/"), 5);
}

#[test]
fn a_retry_is_not_before_the_time_that_the_server_asks_for() {
    // No time limit allows these, so that there is none.
    let way = Way::new(|path, _| match path {
        "/seconds" => answer(503, &[("Retry-After", "86400")]),
        _ => answer(429, &[("Retry-After", "Tue, 31 Dec 2999 23:59:59 GMT")]),
    });
    let output = run(&[], &way.urls(&["/seconds", "/date"]));
    assert_eq!(output.status.code(), Some(1));
    let expected = [way.got(1, "/seconds", 503, 1), way.got(2, "/date", 429, 1)];
    assert_eq!(results(&output.stdout), expected);
    assert_eq!(way.faults.requests(), 2);
}

#[test]
fn what_cannot_pass_is_not_tried_again() {
    let way = Way::new(|path, _| answer(path[1..].parse().unwrap(), &[("Retry-After", "0")]));
    let paths = ["/400", "/401", "/404", "/410", "/501"];
    let output = run(&[], &way.urls(&paths));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(way.faults.requests(), 5);
}

#[test]
fn a_post_is_tried_again_only_if_asked_for() {
    let way = Way::new(|_, nth| match nth {
        1 | 2 => answer(503, &[("Retry-After", "0")]),
        _ => Fault::Pass,
    });
    let data = way.faults.url("/api/data?wait=30s");
    let post = [format!(r#"{{"url": "{data}", "body": {{"text": "a b"}}}}"#)];
    let once = run(&[], &post);
    assert_eq!(once.status.code(), Some(1));
    assert_eq!(results(&once.stdout)[0]["attempts"], 1);
    assert_eq!(way.faults.requests(), 1);
    let again = run(&["--retry-all"], &post);
    assert_eq!(again.status.code(), Some(0));
    assert_eq!(results(&again.stdout)[0]["attempts"], 2);
    assert_eq!(way.faults.passed(), ["POST /api/data?wait=30s"]);
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    // A port of its own that is free now might be that of another test then.
    let url = "http://127.0.0.1:1/".to_owned();
    let output = run(&["--retries", "1"], std::slice::from_ref(&url));
    assert_eq!(output.status.code(), Some(1));
    let error = "io: Connection refused (os error 111)";
    let expected = json!({"line": 1, "method": "GET", "url": url, "error": error, "attempts": 2});
    assert_eq!(results(&output.stdout), [expected]);
}

/// There is no server with a certificate here: the handshake begins, and meets plain HTTP.
#[test]
fn https_speaks_tls() {
    let way = Way::new(|_, _| Fault::Pass);
    let url = format!("https://{}/", way.address);
    let output = run(&[], &[url]);
    assert_eq!(output.status.code(), Some(1));
    let results = results(&output.stdout);
    let error = results[0]["error"].as_str().unwrap();
    assert!(error.contains("InvalidContentType"), "{error}");
    assert_eq!(results[0]["attempts"], 1);
}

#[test]
fn a_server_sets_the_delay_in_seconds() {
    let way = Way::new(|_, nth| match nth {
        1 => answer(503, &[("Retry-After", "2")]),
        _ => answer(200, &[]),
    });
    let output = run(&[], &way.urls(&["/"]));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["status"], 200);
    // The back-off would be half a second at most.
    assert!(result["ms"].as_f64().unwrap() >= 2000.0, "{result}");
}
