//! The program `jobs`: what prints jobs, and what is around them.

use crate::support::Program;
use crate::support::queue::{Queue, UNTIL_GO};
use crate::support::terminal::Terminal;
use millhand::jobs::rusqlite::Connection;
use millhand::jobs::{Sqlite, Storage};
use serde_json::Value;

#[test]
fn list_shows_the_jobs_that_are_asked_for() {
    for queue in Queue::both() {
        queue.ok(&["enqueue", "echo", "1"]);
        queue.ok(&["enqueue", "echo", "2", "--queue", "mail", "--delay", "1h"]);
        queue.ok(&["enqueue", "sleep", r#"{"ms": 1}"#]);
        let ids = |arguments: &[&str]| {
            let listed = queue.list(arguments);
            let ids: Vec<_> = listed.iter().map(|words| words[0].as_str()).collect();
            ids.join(" ")
        };
        assert_eq!(ids(&[]), "1 2 3");
        assert_eq!(ids(&["--queue", "mail"]), "2");
        assert_eq!(ids(&["--kind", "echo"]), "1 2");
        assert_eq!(ids(&["--state", "ready"]), "1 3");
        assert_eq!(ids(&["--state", "ready", "--kind", "echo"]), "1");
        assert_eq!(ids(&["--state", "dead"]), "");
        assert_eq!(queue.list(&[])[1][..4], ["2", "scheduled", "mail", "echo"]);
    }
}

#[test]
fn list_prints_an_object_for_each_job() {
    for queue in Queue::both() {
        queue.ok(&["enqueue", "echo", r#"{"a": 1}"#, "--priority", "7"]);
        queue.ok(&["enqueue", "shell", r#"{"command": "date"}"#]);
        let listed = queue.ok(&["list", "--json"]);
        let listed: Vec<Value> = listed
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(listed.len(), 2);
        assert_eq!((&listed[0]["id"], &listed[1]["id"]), (&1.into(), &2.into()));
        let job = &listed[0];
        assert_eq!(
            (&job["kind"], &job["state"]),
            (&"echo".into(), &"ready".into())
        );
        assert_eq!(
            (&job["queue"], &job["priority"]),
            (&"default".into(), &7.into())
        );
        assert_eq!(job["payload"], serde_json::json!({"a": 1}));
        assert!(job["began_at"].is_null() && job["enqueued_at"].is_u64());
    }
}

#[test]
fn show_prints_what_is_known_of_a_job() {
    for queue in Queue::both() {
        queue.ok(&["enqueue", "echo", r#"{"a": 1}"#, "--delay", "1h"]);
        let shown = queue.ok(&["show", "1"]);
        for line in [
            "job         1",
            "state       scheduled",
            "payload     {\"a\":1}",
            "claims      0",
            "may crash   3",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
        }
        assert!(
            shown.contains("due         20") && !shown.contains("begun"),
            "{shown}"
        );
    }
}

#[test]
fn sessions_lists_the_workers() {
    for queue in Queue::both() {
        queue.shell(UNTIL_GO);
        let worker = queue.work(&["--queue", "default", "mail"]);
        queue.wait_for_file("begun");
        let sessions = queue.ok(&["sessions"]);
        let words: Vec<_> = sessions
            .lines()
            .nth(1)
            .unwrap()
            .split_whitespace()
            .collect();
        assert!(words[0].parse::<u64>().is_ok(), "{words:?}");
        assert_eq!(words[2], worker.id());
        assert!(
            !words[1].is_empty() && words[4].starts_with("20"),
            "{words:?}"
        );
        assert!(words[3].contains('.'), "{words:?}");
        assert_eq!(words[6], "1");
        assert_eq!(words[9..], ["default,mail", "crash,echo,fail,shell,sleep"]);
        queue.0.write("go", "");
        worker.stop();
        assert_eq!(queue.ok(&["sessions"]).lines().count(), 1);
    }
}

#[test]
fn schedules_lists_those_of_other_programs() {
    let queue = Queue::new();
    let storage = Sqlite::open(queue.0.path("jobs.db")).unwrap();
    storage.register_schedule("nightly", "every 24h").unwrap();
    drop(storage);
    let schedules = queue.ok(&["schedules"]);
    let line = schedules.lines().nth(1).unwrap();
    assert!(
        line.starts_with("nightly") && line.contains("every 24h       "),
        "{line}"
    );
}

#[test]
fn doctor_finds_faults_and_mends_them() {
    let queue = Queue::new();
    queue.ok(&["enqueue", "echo", "1", "--keep", "1h"]);
    assert_eq!(queue.ok(&["doctor"]), "no fault is left\n");
    // No transaction of the library leaves that.
    let file = Connection::open(queue.0.path("jobs.db")).unwrap();
    file.execute("UPDATE mh_job SET state = 2, session = 99", [])
        .unwrap();
    drop(file);
    let error = queue.fails(&["doctor"], 1);
    assert!(error.contains("faults: 1"), "{error}");
    let mended = queue.ok(&["doctor", "--repair"]);
    let fault = "job 1: it runs, and its session is gone (mended)\n";
    assert_eq!(mended, format!("{fault}no fault is left\n"));
    let worker = queue.work(&[]);
    assert_eq!(queue.ok(&["wait", "1"]), "1\n");
    worker.stop();
}

#[test]
fn watch_shows_the_counts_of_now_in_a_terminal() {
    let queue = Queue::new();
    queue.ok(&["enqueue", "echo", "1", "--queue", "first"]);
    let mut terminal = Terminal::new();
    let mut command = queue.command(&["watch"]);
    terminal.attach(&mut command);
    let program = Program::silent(command.spawn().unwrap());
    drop(command); // it holds the terminal, too
    terminal.wait_for("dead and kept: 0", false);
    queue.ok(&["enqueue", "echo", "1", "--queue", "second", "--count", "12"]);
    queue.ok(&["pause", "second"]);
    terminal.wait_for("paused", false);
    let line = |name| {
        let text = terminal.text();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(line("first"), ["first", "0", "0", "1", "0"]);
    assert_eq!(line("second"), ["second", "0", "0", "12", "0", "paused"]);
    drop(program);
}

#[test]
fn watch_ends_with_its_reader() {
    let queue = Queue::new();
    queue.ok(&["enqueue", "echo", "1"]);
    let script = format!("{} watch | head -1", env!("CARGO_BIN_EXE_jobs"));
    let output = queue.0.script(&script);
    assert!(output.stdout.starts_with(b"queue "), "{output:?}");
    assert_eq!(output.stderr, b"");
}
