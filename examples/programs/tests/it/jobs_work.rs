//! The program `jobs`: workers, and how they end.

use crate::support::queue::{Queue, UNTIL_GO, Worker};
use crate::support::{text, until};
use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt;

/// One that is to be killed: with the shortest lease, so that its jobs are soon begun again. Others
/// have longer ones, so that they keep them on a busy machine.
fn short_lease(queue: &Queue) -> Worker {
    queue.work(&["--lease", "1"])
}

#[test]
fn each_kind_of_job_has_a_handler() {
    for queue in Queue::both() {
        queue.ok(&["enqueue", "echo", "[null, 1.5]", "--keep", "1h"]);
        queue.ok(&["enqueue", "sleep", r#"{"ms": 1}"#, "--keep", "1h"]);
        queue.ok(&["enqueue", "fail", r#"{"times": 2}"#, "--keep", "1h"]);
        queue.ok(&["enqueue", "fail", "{}"]);
        queue.shell("echo one; echo two >&2; cat");
        queue.ok(&[
            "enqueue",
            "shell",
            r#"{"command": "echo so; exit 7"}"#,
            "--at-most-once",
        ]);
        let worker = queue.work(&[]);
        assert_eq!(queue.ok(&["wait", "1"]), "[null,1.5]\n");
        assert_eq!(queue.ok(&["wait", "2"]), "null\n");
        assert_eq!(queue.ok(&["wait", "3"]), "null\n");
        let error = queue.fails(&["wait", "4"], 1);
        assert_eq!(
            error,
            "jobs: job 4: the job has failed: it fails, as asked for\n"
        );
        assert_eq!(queue.ok(&["wait", "5"]), "\"one\\ntwo\\n\"\n");
        let error = queue.fails(&["wait", "6"], 1);
        assert!(error.ends_with("exit status: 7: so\n"), "{error}");
        assert_eq!(queue.state("3"), ("done".to_owned(), 2, 0));
        assert_eq!(worker.stop(), "4 done, 2 dead, 5 retried");
    }
}

#[test]
fn a_job_whose_worker_was_killed_runs_again() {
    for queue in Queue::both() {
        let id = queue.shell(UNTIL_GO);
        let first = short_lease(&queue);
        first.wait_for("job 1: shell begins");
        queue.wait_for_file("begun");
        first.kill();
        assert_eq!(queue.state(&id).0, "running");
        assert_eq!(queue.ok(&["sessions"]).lines().count(), 2);
        let second = queue.work(&[]);
        let line = second.wait_for("begins");
        assert_eq!(
            line,
            "job 1: shell begins again: its worker was lost 1 time(s)"
        );
        queue.0.write("go", "");
        assert_eq!(queue.ok(&["wait", &id]), "\"out\"\n");
        assert_eq!(queue.state(&id), ("done".to_owned(), 0, 1));
        assert_eq!(second.stop(), "1 done, 0 dead, 0 retried");
        assert_eq!(queue.0.text("begun"), "x\nx\n");
        assert_eq!(queue.ok(&["doctor"]), "no fault is left\n");
    }
}

#[test]
fn a_job_that_crashes_its_workers_is_dead_after_so_many() {
    for queue in Queue::both() {
        queue.ok(&["enqueue", "crash", "{}", "--max-crashes", "1"]);
        for _ in 0..2 {
            let (status, line) = short_lease(&queue).end();
            assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()), "{line}");
        }
        let third = queue.work(&[]);
        let error = queue.fails(&["wait", "1"], 1);
        assert!(error.contains("worker was lost"), "{error}");
        assert_eq!(third.stop(), "0 done, 0 dead, 0 retried");
        assert_eq!(queue.state("1"), ("dead".to_owned(), 0, 2));
    }
}

#[test]
fn a_job_at_most_once_is_dead_after_its_crash() {
    for queue in Queue::both() {
        queue.ok(&["enqueue", "crash", "{}", "--at-most-once"]);
        short_lease(&queue).end();
        let second = queue.work(&[]);
        let error = queue.fails(&["wait", "1"], 1);
        assert!(error.contains("at most once"), "{error}");
        second.stop();
    }
}

#[test]
fn two_workers_do_each_job_once() {
    for queue in Queue::both() {
        let job = [
            "enqueue",
            "shell",
            r#"{"command": "echo x >> n"}"#,
            "--keep",
            "1h",
        ];
        let before = ["--count", "30"];
        queue.ok(&[&job[..], &before].concat());
        let workers = [(); 2].map(|()| queue.work(&["--lease", "600"]));
        queue.ok(&[&job[..], &before].concat());
        until("the end of all jobs", || {
            (queue.list(&["--state", "done"]).len() == 60).then_some(())
        });
        let ends = workers.map(Worker::stop);
        assert_eq!(queue.0.text("n"), "x\n".repeat(60));
        let done = ends.iter().map(|end| {
            let (done, rest) = end.split_once(' ').unwrap();
            assert_eq!(rest, "done, 0 dead, 0 retried");
            done.parse::<u32>().unwrap()
        });
        assert_eq!(done.sum::<u32>(), 60);
    }
}

#[test]
fn sigterm_lets_what_runs_end_and_leaves_nothing_leased() {
    for queue in Queue::both() {
        let running = queue.shell(UNTIL_GO);
        let waiting = queue.shell("touch more");
        let worker = queue.work(&["--slots", "1"]);
        queue.wait_for_file("begun");
        worker.ask_to_end();
        queue.0.write("go", "");
        let (status, line) = worker.end();
        assert_eq!(status.code(), Some(0));
        assert_eq!(queue.state(&running).0, "done");
        // It may have begun before the pool heard of the signal.
        let (done, state) = match queue.0.path("more").exists() {
            true => (2, "done"),
            false => (1, "ready"),
        };
        assert_eq!(line, format!("{done} done, 0 dead, 0 retried"));
        assert_eq!(queue.state(&waiting), (state.to_owned(), 0, 0));
        assert_eq!(
            queue.ok(&["sessions"]).lines().count(),
            1,
            "no session is left"
        );
    }
}

#[test]
fn a_second_signal_ends_what_runs_and_the_job_goes_back() {
    for queue in Queue::both() {
        let id = queue.shell(UNTIL_GO);
        let worker = queue.work(&[]);
        queue.wait_for_file("begun");
        worker.ask_to_end();
        worker.signal(Signal::TERM);
        let (status, line) = worker.end();
        assert_eq!(
            (status.code(), line.as_str()),
            (Some(0), "0 done, 0 dead, 0 retried, 1 given back")
        );
        assert_eq!(queue.state(&id), ("ready".to_owned(), 0, 0));
        assert_eq!(
            queue.ok(&["sessions"]).lines().count(),
            1,
            "no session is left"
        );
    }
}

#[test]
fn a_job_that_runs_is_asked_to_stop_by_a_cancel() {
    for queue in Queue::both() {
        let id = queue.shell(UNTIL_GO);
        let worker = queue.work(&["--lease", "6"]); // it asks each 2 seconds
        queue.wait_for_file("begun");
        assert_eq!(
            queue.ok(&["cancel", &id]),
            "job 1 runs, and is asked to stop\n"
        );
        let error = queue.fails(&["wait", &id], 1);
        assert_eq!(error, "jobs: job 1: the job was cancelled\n");
        assert_eq!(worker.stop(), "0 done, 0 dead, 0 retried, 1 cancelled");
    }
}

#[test]
fn a_worker_ends_after_the_time_that_it_was_given() {
    for queue in Queue::both() {
        let output = queue.run(&["work", "--for", "0.1"]);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(text(&output.stdout), "0 done, 0 dead, 0 retried\n");
        assert_eq!(text(&output.stderr), "jobs: works on default\n");
        assert_eq!(
            queue.ok(&["sessions"]).lines().count(),
            1,
            "no session is left"
        );
    }
}
