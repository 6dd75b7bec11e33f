//! The program `jobs`: lanes, jobs that follow others, and jobs that take the place of others. In a
//! file, and on a server.

use crate::support::queue::{Queue, UNTIL_GO};
use crate::support::text;

/// Stores a job for the shell, with options. Returns its id.
fn shell(queue: &Queue, command: &str, options: &[&str]) -> String {
    let payload = serde_json::json!({ "command": command }).to_string();
    let job = ["enqueue", "shell", &payload, "--keep", "1h"];
    let id = queue.ok(&[&job[..], options].concat());
    id.trim_end().to_owned()
}

#[test]
fn a_lane_has_one_job_at_a_time_in_its_order() {
    for queue in Queue::both() {
        let first = shell(&queue, UNTIL_GO, &["--lane", "a"]);
        let second = shell(&queue, "echo 2 >> log", &["--lane", "a", "--priority", "9"]);
        let third = shell(&queue, "echo 3 >> log", &["--lane", "a"]);
        let other = shell(&queue, "echo other >> log", &["--lane", "b"]);
        let worker = queue.work(&[]);
        queue.wait_for_file("begun");
        queue.ok(&["wait", &other]);
        assert_eq!(queue.state(&second).0, "blocked");
        let listed = queue.ok(&["list", "--state", "blocked"]);
        assert_eq!(listed.matches("waits for its lane").count(), 2, "{listed}");
        let shown = queue.ok(&["show", &third]);
        assert!(shown.contains("lane        a\n"), "{shown}");
        queue.0.write("go", "");
        queue.ok(&["wait", &third]);
        assert_eq!(queue.0.text("log"), "other\n2\n3\n");
        assert_eq!(queue.state(&first).0, "done");
        worker.stop();
        assert_eq!(queue.ok(&["doctor"]), "no fault is left\n");
    }
}

#[test]
fn a_job_begins_after_those_that_it_follows() {
    for queue in Queue::both() {
        let first = shell(&queue, UNTIL_GO, &[]);
        let second = shell(&queue, UNTIL_GO, &[]);
        let both = format!("{first},{second}");
        let last = shell(&queue, "wc -l < begun", &["--after", &both]);
        let listed = queue.ok(&["list", "--state", "blocked"]);
        assert!(listed.contains("waits for 2 jobs"), "{listed}");
        let shown = queue.ok(&["show", &last]);
        assert!(shown.contains("follows     1 (ready)\n"), "{shown}");
        let worker = queue.work(&[]);
        queue.0.write("go", "");
        assert_eq!(queue.ok(&["wait", &last]), "\"2\\n\"\n");
        worker.stop();
    }
}

#[test]
fn what_follows_a_failure_is_cancelled_unless_it_says_otherwise() {
    for queue in Queue::both() {
        let first = shell(&queue, "exit 1", &["--at-most-once"]);
        let second = shell(&queue, "echo", &["--after", &first]);
        let third = shell(&queue, "echo", &["--after", &second]);
        let cleans = shell(&queue, "echo", &["--after", &first, "--even-if-failed"]);
        let worker = queue.work(&[]);
        queue.ok(&["wait", &cleans]);
        for id in [second, third] {
            let error = queue.fails(&["wait", &id], 1);
            assert!(error.contains("was cancelled"), "{error}");
        }
        assert_eq!(worker.stop(), "1 done, 1 dead, 0 retried");
    }
}

#[test]
fn a_job_takes_the_place_of_one_that_has_not_begun() {
    for queue in Queue::both() {
        let unique = |payload, delay| {
            let job = ["enqueue", "echo", payload, "--unique", "key", "--replace"];
            queue.run(&[&job[..], &["--keep", "1h", "--delay", delay]].concat())
        };
        assert_eq!(text(&unique("1", "1h").stdout), "1\n");
        let again = unique("2", "0s");
        assert_eq!((again.status.code(), text(&again.stdout)), (Some(0), "1\n"));
        let said = text(&again.stderr);
        assert!(said.contains("took the place of a job"), "{said}");
        let worker = queue.work(&[]);
        assert_eq!(queue.ok(&["wait", "1"]), "2\n");
        worker.stop();
    }
}

#[test]
fn what_is_known_of_a_job_is_listed() {
    for queue in Queue::both() {
        let options = [
            "enqueue",
            "echo",
            "1",
            "--unique",
            "key",
            "--lane",
            "a",
            "--keep",
            "90m",
            "--max-crashes",
            "7",
            "--at-most-once",
        ];
        queue.ok(&options);
        let listed: serde_json::Value =
            serde_json::from_str(&queue.ok(&["list", "--json"])).unwrap();
        assert_eq!(listed["lane"], "a");
        assert_eq!(listed["unique_key"], "key");
        assert_eq!(listed["keep_ms"], 90 * 60 * 1000);
        assert_eq!(listed["max_crashes"], 7);
        assert_eq!(listed["at_most_once"], true);
        assert_eq!(listed["waits_for"], 0);
        assert!(listed["expires_at"].is_null());
        let shown = queue.ok(&["show", "1"]);
        for line in [
            "unique      key",
            "keep        1h 30m",
            "may crash   7",
            "begins      at most once",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
        }
    }
}
