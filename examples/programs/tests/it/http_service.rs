//! The program `http_service` as its users see it: its arguments, its paths, its load, its end.

use crate::support::arguments::{assert_address_is_named, assert_helps, assert_refused};
use crate::support::http::Client;
use crate::support::{self, Program, command, text, until};
use serde_json::Value;
use std::process::{Command, Output, Stdio};

/// Keeps its worker busy for longer than any test takes. Only a cancel ends it.
pub(crate) const ENDLESS: &str = r#"{"text": "endless", "cost_ms": 60000}"#;
pub(crate) const SHORT: &str = r#"{"text": "one two"}"#;

/// Starts the service, and returns its address, too. No time limit is to end anything in a test
/// that does not set one.
pub(crate) fn serve(arguments: &[&str]) -> (Program, String) {
    let mut command = command(env!("CARGO_BIN_EXE_http_service"));
    command.args(["--listen", "127.0.0.1:0"]);
    for limit in ["--client-timeout", "--drain"] {
        if !arguments.contains(&limit) {
            command.args([limit, "300"]);
        }
    }
    start(command.args(arguments))
}

pub(crate) fn start(command: &mut Command) -> (Program, String) {
    let program = Program::start(command);
    let line = program.line();
    let address = line.strip_prefix("listening on http://").unwrap();
    (program, address.to_owned())
}

/// Waits until so many tasks run, and so many wait for a worker.
pub(crate) fn until_busy(client: &mut Client, running: u64, queued: u64) {
    until("the tasks to be as far", || {
        let work = client.ask("GET", "/api/status").json()["work"].take();
        (work["running"] == running && work["queued"] == queued).then_some(())
    });
}

/// Submits a task, and returns its id.
pub(crate) fn submit(client: &mut Client, body: &str) -> String {
    let reply = client.post("/api/data", body);
    assert_eq!(reply.status, 202, "{reply:?}");
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    assert!(
        reply.has(&format!("Location: /api/tasks/{id}")),
        "{reply:?}"
    );
    id
}

fn output(arguments: &[&str]) -> Output {
    let mut command = command(env!("CARGO_BIN_EXE_http_service"));
    support::output(command.args(arguments))
}

#[test]
fn help_names_all_options_and_exit_codes() {
    let help = output(&["--help"]);
    assert_helps(
        &help,
        &[
            "--listen",
            "--workers",
            "--queue",
            "--connections",
            "--client-timeout",
            "--drain",
            "Exit codes",
        ],
    );
}

#[test]
fn wrong_arguments_are_named_and_end_with_2() {
    for (arguments, named) in [
        (&["--colour"][..], "--colour"),
        (&["--listen", "localhost"], "not a host and a port"),
        (&["--listen", ":80"], "not a host and a port"),
        (&["--listen", "localhost:http"], "not a host and a port"),
        (&["--workers", "0"], "--workers"),
        (&["--workers", "1025"], "not a whole number from 1 to 1024"),
        (&["--workers", "many"], "not a whole number from 1 to 1024"),
        (&["--queue", "0"], "--queue"),
        (&["--connections", "0"], "--connections"),
        (&["--client-timeout", "0"], "--client-timeout"),
        (&["--drain", "soon"], "not a number of seconds"),
    ] {
        let output = output(arguments);
        assert_refused(&output, named);
    }
}

#[test]
fn an_address_in_use_is_named_and_ends_with_1() {
    assert_address_is_named(|address| output(&["--listen", address]));
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_takes_nothing_is_named_and_ends_with_1() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = command(env!("CARGO_BIN_EXE_http_service"));
    command.args(["--listen", "127.0.0.1:0"]).stdout(full);
    let output = support::ended(command.stderr(Stdio::piped()).spawn().unwrap());
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("the standard output: "),
        "{output:?}"
    );
}

/// Runs curl, and returns the status and the body.
fn curl(arguments: &[&str]) -> (u16, String) {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "60"]);
    command.args(["--write-out", "\n%{http_code}"]);
    let output = support::output(command.args(arguments));
    assert!(output.status.success(), "{output:?}");
    let text = text(&output.stdout);
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn curl_gets_a_task_done() {
    let (_program, address) = serve(&[]);
    let url = |path: &str| format!("http://{address}{path}");

    let (status, body) = curl(&["--data", SHORT, &url("/api/data?wait=60s")]);
    assert_eq!(status, 200);
    let task = json(&body);
    assert_eq!(task["state"], "succeeded");
    assert_eq!(task["result"]["words"], 2);
    assert!(task["ran_ms"].is_f64() && task["waited_ms"].is_f64());

    let numbers = r#"{"numbers": [1, 2.5, -2]}"#;
    let (status, body) = curl(&["--data", numbers, &url("/api/data")]);
    assert_eq!(status, 202);
    let path = format!("/api/tasks/{}", json(&body)["id"].as_str().unwrap());
    let task = until("the end of the task", || {
        let (status, body) = curl(&[&url(&path)]);
        assert_eq!(status, 200);
        let task = json(&body);
        (task["state"] == "succeeded").then_some(task)
    });
    assert_eq!(task["result"]["sum"], 1.5);
    assert_eq!(task["result"]["min"], -2.0);

    let fails = r#"{"text": "x", "fail": true}"#;
    let (status, body) = curl(&["--data", fails, &url("/api/data?wait=60s")]);
    assert_eq!(status, 200);
    assert_eq!(json(&body)["state"], "failed");
    assert_eq!(json(&body)["error"], "the task was asked to fail");
}

#[test]
fn curl_sends_bodies_in_each_way_and_sees_the_numbers() {
    let (_program, address) = serve(&[]);
    let url = |path: &str| format!("http://{address}{path}");
    let wait = url("/api/data?wait=60s");
    let large = format!(r#"{{"text": "{}"}}"#, "word ".repeat(200_000));
    let file = std::env::temp_dir().join(format!("http_service-{}", std::process::id()));
    std::fs::write(&file, &large).unwrap();
    let data = format!("@{}", file.display());
    for header in ["Transfer-Encoding: chunked", "Expect: 100-continue", "X: y"] {
        let (status, body) = curl(&["--header", header, "--data-binary", &data, &wait]);
        assert_eq!(status, 200, "{header}");
        assert_eq!(json(&body)["result"]["words"], 200_000);
    }
    std::fs::remove_file(&file).unwrap();

    let (status, body) = curl(&[&url("/api/status")]);
    assert_eq!(
        (status, &json(&body)["work"]["succeeded"]),
        (200, &3.into())
    );
    let (status, body) = curl(&[&url("/metrics")]);
    assert_eq!(status, 200);
    assert!(body.contains("http_service_refused_total 0\n"), "{body}");
    assert!(body.contains(r#"pool="work""#) && body.contains(r#"pool="connections""#));
    let (status, body) = curl(&[&url("/")]);
    assert_eq!(status, 200);
    assert!(body.starts_with("<!doctype html>"), "{body}");
    let (status, body) = curl(&["--head", &url("/api/status")]);
    assert_eq!(status, 200);
    assert!(
        body.contains("Content-Length: ") && !body.contains('{'),
        "{body}"
    );
}

#[test]
fn a_load_from_another_process_is_answered_whole() {
    let (_program, address) = serve(&["--queue", "64"]);
    let load = |path: &str, arguments: &[&str]| -> Value {
        let mut command = command(env!("CARGO_BIN_EXE_http_load"));
        command.arg(format!("http://{address}{path}"));
        command.args(["--connections", "16", "--requests", "800"]);
        let output = support::output(command.args(arguments));
        assert!(output.status.success(), "{output:?}");
        json(text(&output.stdout))
    };
    for result in [
        load("/api/status", &[]),
        load("/api/data?wait=60s", &["--post", SHORT]),
    ] {
        println!("{result}");
        assert_eq!(
            (&result["requests"], &result["failed"]),
            (&800.into(), &0.into())
        );
        let number = |name: &str| result[name].as_f64().unwrap();
        assert!(number("per_second") > 0.0 && number("p99_ms") >= number("p50_ms"));
    }
    let status = Client::open(&address).ask("GET", "/api/status").json();
    assert_eq!(status["work"]["succeeded"], 800);
}

#[test]
fn a_full_queue_refuses_and_a_delete_makes_room() {
    let (_program, address) = serve(&["--workers", "1", "--queue", "1"]);
    let mut client = Client::open(&address);
    let runs = submit(&mut client, ENDLESS);
    until_busy(&mut client, 1, 0);
    let waits = submit(&mut client, SHORT);
    let refused = client.post("/api/data", SHORT);
    assert_eq!(refused.status, 503);
    assert!(refused.has("Retry-After: 1"), "{refused:?}");
    assert_eq!(refused.json()["error"], "the queue is full");
    assert_eq!(
        client.ask("GET", "/api/status").json()["work"]["refused"],
        1
    );
    let state = |client: &mut Client, id: &str| {
        let task = client.ask("GET", &format!("/api/tasks/{id}")).json();
        task["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state(&mut client, &waits), "queued");
    assert_eq!(state(&mut client, &runs), "running");

    let path = format!("/api/tasks/{runs}");
    assert_eq!(client.ask("DELETE", &path).status, 202);
    until("the end of the others", || {
        (state(&mut client, &waits) == "succeeded").then_some(())
    });
    assert_eq!(state(&mut client, &runs), "cancelled");
    let late = client.ask("DELETE", &path);
    assert_eq!((late.status, &late.json()["status"]), (409, &409.into()));
}

#[test]
fn a_queued_task_is_cancelled_at_once() {
    let (_program, address) = serve(&["--workers", "1"]);
    let mut client = Client::open(&address);
    submit(&mut client, ENDLESS);
    until_busy(&mut client, 1, 0);
    let path = format!("/api/tasks/{}", submit(&mut client, SHORT));
    let reply = client.ask("DELETE", &path);
    assert_eq!(
        (reply.status, &reply.json()["cancel"]),
        (200, &"cancelled".into())
    );
    assert_eq!(client.ask("GET", &path).json()["state"], "cancelled");
    assert_eq!(client.ask("DELETE", &path).status, 409);
}

#[test]
fn the_oldest_tasks_are_forgotten() {
    let (_program, address) = serve(&[]);
    let mut client = Client::open(&address);
    let first = client.post("/api/data?wait=60s", SHORT).json();
    let path = format!("/api/tasks/{}", first["id"].as_str().unwrap());
    for _ in 0..1000 {
        assert_eq!(client.ask("GET", &path).status, 200);
        assert_eq!(client.post("/api/data?wait=60s", SHORT).status, 200);
    }
    let forgotten = client.ask("GET", &path);
    assert_eq!(forgotten.status, 404);
    let error = forgotten.json()["error"].take();
    assert!(error.as_str().unwrap().contains("forgotten"), "{error}");
    assert_eq!(client.ask("GET", "/api/status").json()["tasks_known"], 1000);
}
