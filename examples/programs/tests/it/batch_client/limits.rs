//! How many are sent at a time, how often, for how long, and how far the input is read.

use super::*;

#[test]
fn an_attempt_and_a_request_have_time_limits() {
    let way = holds();
    let output = run(
        &["--timeout", "0.2", "--retries", "1"],
        &way.urls(&["/?held"]),
    );
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        results(&output.stdout),
        [way.failed(1, "/?held", "timed out", 2)]
    );
    let output = run(&["--total-timeout", "0.2"], &way.urls(&["/?held-all"]));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        results(&output.stdout),
        [way.failed(1, "/?held-all", "timed out", 1)]
    );
    assert_eq!(counted(text(&output.stderr), "timed out"), 1);
}

#[test]
fn so_many_are_sent_at_a_time() {
    let way = holds();
    let client = Fed::start(&["-j", "3"], &way.urls(&["/?held"; 9]));
    way.faults.wait_held(3);
    way.faults.release();
    let (code, results) = client.end();
    assert_eq!((code, results.len()), (Some(0), 9));
    assert_eq!(way.faults.most_held(), 3);
}

#[test]
fn a_rate_holds_for_each_host_and_each_attempt() {
    let busy = Way::new(|_, _| answer(503, &[("Retry-After", "0")]));
    let idle = says(200);
    let mut lines = busy.urls(&["/first", "/second"]);
    lines.extend(idle.urls(&["/third"]));
    let mut client = Fed::start(&["--rate", "1/h", "--unordered"], &lines);
    // An hour has to pass for anything else.
    assert_eq!(client.result(), idle.got(3, "/third", 200, 1));
    until("the first attempt", || {
        (busy.faults.requests() > 0).then_some(())
    });
    let _errors = client.interrupt();
    client.program.signal(Signal::INT);
    let (code, results) = client.end();
    assert_eq!((code, results.len()), (Some(130), 2));
    assert!(results.iter().all(|result| result["error"] == "cancelled"));
    let attempts: Vec<_> = results.iter().map(|result| &result["attempts"]).collect();
    assert!(attempts == [0, 1] || attempts == [1, 0], "{attempts:?}");
    assert_eq!((busy.faults.requests(), idle.faults.requests()), (1, 1));
}

#[test]
fn the_input_is_read_no_further_than_needed() {
    let way = holds();
    let mut paths = vec!["/?held"];
    paths.resize(100, "/quick");
    let client = Fed::start(&["-j", "2"], &way.urls(&paths));
    // Four for each that is sent at a time. The first of them holds all results back.
    until("those behind the first", || {
        (way.faults.requests() == 8).then_some(())
    });
    way.faults.release();
    let (code, results) = client.end();
    assert_eq!(
        (code, results.len(), way.faults.requests()),
        (Some(0), 100, 100)
    );
}
