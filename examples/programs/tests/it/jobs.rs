//! The program `jobs`: its arguments, and what changes jobs.

use crate::support::arguments::{assert_helps, assert_refused};
use crate::support::queue::{Queue, UNTIL_GO};
use crate::support::{Program, ended, text};
use std::fs::File;
use std::process::Stdio;

/// A job that is dead as soon as a worker has begun it.
const UNREADABLE: [&str; 3] = ["enqueue", "sleep", "0.5"];

/// Has a worker do what there is to do in the queue `default`, up to this job.
fn work_up_to(queue: &Queue, id: &str) {
    let worker = queue.work(&[]);
    queue.run(&["wait", id]);
    worker.stop();
}

#[test]
fn the_help_names_commands_options_and_exit_codes() {
    let queue = Queue::new();
    let commands = [
        "enqueue",
        "work",
        "list",
        "show",
        "dead",
        "retry",
        "purge",
        "cancel",
        "pause",
        "resume",
        "watch",
        "sessions",
        "schedules",
        "doctor",
        "wait",
        "move",
        "--store",
        "redis://HOST",
        "Exit codes",
    ];
    assert_helps(&queue.run(&["--help"]), &commands);
    let enqueue = [
        "--queue",
        "--priority",
        "--delay",
        "--unique",
        "--replace",
        "--lane",
        "--after",
        "--even-if-failed",
        "--keep",
        "--count",
        "--max-crashes",
        "--at-most-once",
    ];
    assert_helps(&queue.run(&["enqueue", "--help"]), &enqueue);
    let work = ["--slots", "--queue", "--for", "--lease"];
    assert_helps(&queue.run(&["work", "--help"]), &work);
}

#[test]
fn wrong_arguments_are_named_and_end_with_2() {
    let queue = Queue::new();
    for (arguments, named) in [
        (&[][..], "Usage"),
        (&["dance"], "dance"),
        (&["enqueue", "echo"], "<JSON>"),
        (&["enqueue", "echo", "{"], "not JSON"),
        (&["enqueue", "two words", "1"], "`two words`"),
        (
            &["enqueue", "echo", "1", "--queue", ""],
            "the name of a queue",
        ),
        (
            &["enqueue", "echo", "1", "--count", "0"],
            "from 1 to 100000",
        ),
        (
            &["enqueue", "echo", "1", "--count", "-1"],
            "from 1 to 100000",
        ),
        (
            &["enqueue", "echo", "1", "--delay", "soon"],
            "`soon` is no time",
        ),
        (
            &["enqueue", "echo", "1", "--priority", "high"],
            "--priority",
        ),
        (&["--store", "memory:", "list"], "no other process"),
        (&["list", "--store", "postgres://host"], "sqlite:app.db"),
        (&["list", "--store", "redis:6379"], "redis://"),
        (
            &["list", "--store", "redis://h?name=a"],
            "`name` is unknown",
        ),
        (&["enqueue", "echo", "1", "--replace"], "--unique"),
        (&["enqueue", "echo", "1", "--even-if-failed"], "--after"),
        (&["enqueue", "echo", "1", "--after", "1,b"], "--after"),
        (&["move"], "--to"),
        (&["move", "--to", "postgres://host"], "sqlite:app.db"),
        (&["list", "--state", "lost"], "scheduled, ready, running"),
        (&["show", "first"], "first"),
        (&["retry"], "--all"),
        (&["retry", "1", "--all"], "--all"),
        (&["purge"], "--dead"),
        (&["purge", "--dead", "--older=-7d"], "`-7d` is no time"),
        (&["pause"], "<QUEUE>"),
        (&["work", "--slots", "0"], "from 1 to 1000"),
        (&["work", "--lease", "0"], "from 1 to 3600"),
        (&["work", "--for", "0"], "seconds above 0"),
        (&["work", "--queue", "a", "a"], "twice"),
    ] {
        assert_refused(&queue.run(arguments), named);
    }
    queue.ok(&["enqueue", "echo", "1"]);
    assert_refused(&queue.run(&["pause", "two words"]), "`two words`");
    let never = ["enqueue", "echo", "1", "--after", "9"];
    assert_refused(&queue.run(&never), "never");
    assert_refused(&queue.run(&["move", "--to", "./jobs.db"]), "the same store");
}

#[test]
fn a_store_that_fails_is_named_and_ends_with_3() {
    let queue = Queue::new();
    queue
        .0
        .write("text.db", "this is a text, and no database at all\n");
    for arguments in [
        &["list"][..],
        &["enqueue", "echo", "1"],
        &["work"],
        &["wait", "1"],
    ] {
        let arguments = [&["--store", "sqlite:text.db"], arguments].concat();
        let error = queue.fails(&arguments, 3);
        assert!(
            error.contains("text.db") && error.contains("not a database"),
            "{error}"
        );
    }
    let error = queue.fails(&["list"], 3);
    assert!(error.contains("jobs.db: there is no such file"), "{error}");
    assert!(!queue.0.path("jobs.db").exists());
    let error = queue.fails(&["list", "--store", "other.db"], 3);
    assert!(error.contains("other.db: there is no such file"), "{error}");
    queue.0.write("empty.db", "");
    let error = queue.fails(&["list", "--store", "empty.db"], 3);
    assert!(error.contains("empty.db: it has no jobs"), "{error}");
    let error = queue.fails(&["--store", "redis+unix:///no/such.sock", "list"], 3);
    assert!(error.contains("/no/such.sock"), "{error}");
    let error = queue.fails(&["--store", "sqlite:no/app.db", "enqueue", "echo", "1"], 3);
    assert!(error.contains("no/app.db"), "{error}");
}

#[test]
fn enqueue_prints_the_id_of_each_job() {
    let queue = Queue::new();
    assert_eq!(queue.ok(&["enqueue", "echo", "1"]), "1\n");
    assert_eq!(
        queue.ok(&["enqueue", "echo", "1", "--count", "3"]),
        "2\n3\n4\n"
    );
    for (store, id) in [("sqlite:other.db", "1\n"), ("other.db", "2\n")] {
        let arguments = ["--store", store, "enqueue", "echo", "1"];
        assert_eq!(queue.ok(&arguments), id);
    }
}

#[test]
fn a_unique_job_is_stored_once() {
    for queue in Queue::both() {
        let unique = ["enqueue", "echo", "1", "--unique", "key"];
        assert_eq!(queue.ok(&unique), "1\n");
        let again = queue.run(&unique);
        assert_eq!((again.status.code(), text(&again.stdout)), (Some(0), "1\n"));
        assert!(text(&again.stderr).contains("not stored"), "{again:?}");
        assert_eq!(queue.list(&[]).len(), 1);
        work_up_to(&queue, "1");
        assert_eq!(queue.ok(&unique), "2\n");
    }
}

#[test]
fn the_larger_priority_goes_first_and_a_delay_makes_a_job_wait() {
    for queue in Queue::both() {
        queue.ok(&["enqueue", "echo", "1", "--priority", "-1"]);
        queue.ok(&["enqueue", "echo", "2"]);
        queue.ok(&["enqueue", "echo", "3", "--priority", "5"]);
        queue.ok(&["enqueue", "echo", "4", "--delay", "1h"]);
        let worker = queue.work(&["--slots", "1"]);
        for id in ["3", "2", "1"] {
            assert_eq!(worker.wait_for("begins"), format!("job {id}: echo begins"));
        }
        assert_eq!(worker.stop(), "3 done, 0 dead, 0 retried");
        let left = queue.list(&[]);
        assert_eq!(
            (left.len(), left[0][0].as_str(), left[0][1].as_str()),
            (1, "4", "scheduled")
        );
    }
}

#[test]
fn a_job_that_waits_is_cancelled_at_once() {
    for queue in Queue::both() {
        queue.ok(&["enqueue", "echo", "1", "--keep", "1h"]);
        assert_eq!(queue.ok(&["cancel", "1"]), "job 1 is cancelled\n");
        assert_eq!(queue.state("1").0, "cancelled");
        assert!(
            queue
                .fails(&["wait", "1"], 1)
                .contains("job 1: the job was cancelled")
        );
        assert!(queue.fails(&["cancel", "1"], 1).contains("has ended"));
        assert!(queue.fails(&["cancel", "9"], 1).contains("there was none"));
    }
}

#[test]
fn dead_jobs_are_listed_made_ready_and_removed() {
    for queue in Queue::both() {
        queue.ok(&UNREADABLE);
        queue.ok(&["enqueue", "shell", "0"]);
        work_up_to(&queue, "1");
        work_up_to(&queue, "2");
        let dead = queue.ok(&["dead"]);
        assert_eq!(
            dead.matches("the payload cannot be read").count(),
            2,
            "{dead}"
        );
        let dead = queue.ok(&["dead", "--kind", "shell"]);
        assert!(dead.contains("shell") && !dead.contains("sleep"), "{dead}");

        let error = queue.fails(&["retry", "1", "9"], 1);
        assert!(error.contains("not dead") && error.contains('9'), "{error}");
        assert_eq!(queue.state("1"), ("ready".to_owned(), 0, 0));
        assert_eq!(
            queue.ok(&["retry", "--kind", "sleep"]),
            "0 jobs are ready again\n"
        );
        assert_eq!(
            queue.ok(&["retry", "--kind", "shell"]),
            "1 job is ready again\n"
        );
        work_up_to(&queue, "1");
        work_up_to(&queue, "2");
        assert_eq!(queue.ok(&["retry", "--all"]), "2 jobs are ready again\n");

        work_up_to(&queue, "1");
        work_up_to(&queue, "2");
        assert_eq!(
            queue.ok(&["purge", "--dead", "--older", "7d"]),
            "0 jobs are removed\n"
        );
        queue.ok(&["enqueue", "echo", "1"]);
        assert_eq!(queue.ok(&["purge", "--dead"]), "2 jobs are removed\n");
        let left = queue.list(&[]);
        assert_eq!((left.len(), left[0][1].as_str()), (1, "ready"));
    }
}

#[test]
fn no_job_of_a_paused_queue_begins() {
    for queue in Queue::both() {
        queue.ok(&["enqueue", "echo", "1", "--keep", "1h"]);
        queue.ok(&["enqueue", "echo", "2", "--keep", "1h", "--queue", "other"]);
        assert_eq!(queue.ok(&["pause", "default"]), "");
        let worker = queue.work(&["--queue", "default", "other"]);
        // A worker asks for jobs of both queues at once, so this one would have begun, too.
        assert_eq!(queue.ok(&["wait", "2"]), "2\n");
        assert_eq!(queue.state("1").0, "ready");
        assert_eq!(queue.ok(&["resume", "default"]), "");
        assert_eq!(queue.ok(&["wait", "1"]), "1\n");
        assert_eq!(worker.stop(), "2 done, 0 dead, 0 retried");
    }
}

#[test]
fn wait_says_how_a_job_has_ended() {
    for queue in Queue::both() {
        queue.ok(&["enqueue", "echo", r#"{"a": [1, "b"]}"#, "--keep", "1h"]);
        queue.ok(&["enqueue", "echo", "1"]);
        queue.ok(&UNREADABLE);
        let worker = queue.work(&["--slots", "1"]);
        assert_eq!(queue.ok(&["wait", "1"]), "{\"a\":[1,\"b\"]}\n");
        let error = queue.fails(&["wait", "3"], 1);
        assert!(
            error.starts_with("jobs: job 3: the job has failed: "),
            "{error}"
        );
        // They have run in this order.
        let error = queue.fails(&["wait", "2"], 1);
        assert!(error.contains("outcome was not kept"), "{error}");
        assert!(
            queue
                .fails(&["wait", "9"], 1)
                .contains("there is no such job")
        );
        assert_eq!(worker.stop(), "2 done, 1 dead, 0 retried");
        assert!(
            queue
                .ok(&["show", "1"])
                .contains("output      {\"a\":[1,\"b\"]}")
        );
        assert!(
            queue
                .fails(&["show", "2"], 1)
                .contains("nothing of it is kept")
        );
        assert!(queue.fails(&["show", "9"], 1).contains("there is no job 9"));
    }
}

#[test]
fn wait_waits_for_a_job_that_has_not_ended() {
    for queue in Queue::both() {
        let id = queue.shell(UNTIL_GO);
        let waits = Program::start(&mut queue.command(&["wait", &id]));
        let worker = queue.work(&[]);
        worker.wait_for("begins");
        queue.0.write("go", "");
        assert_eq!(waits.line(), r#""out""#);
        worker.stop();
    }
}

#[test]
fn an_output_that_takes_nothing_is_named_and_ends_with_1() {
    let queue = Queue::new();
    for arguments in [
        "enqueue echo 1",
        "list",
        "watch",
        "doctor",
        "purge --dead",
        "work --for 0.1",
    ] {
        let arguments: Vec<_> = arguments.split(' ').collect();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut command = queue.command(&arguments);
        let child = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let ended = ended(child);
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}");
        let error = text(&ended.stderr);
        assert!(
            error.contains("jobs: the standard output: No space"),
            "{error}"
        );
    }
}
