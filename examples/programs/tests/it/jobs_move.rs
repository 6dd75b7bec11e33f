//! The program `jobs`: what `move` takes from one store to another.

use crate::support::queue::{Queue, UNTIL_GO};
use crate::support::{Program, text, until};
use millhand::jobs::rusqlite::Connection;
use millhand::jobs::{Jobs, NewJob, Sqlite};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

/// A file, and a server.
fn stores() -> (Queue, Queue) {
    let file = Queue::new();
    let server = file.with_redis();
    // Both are there before anything moves.
    file.ok(&["enqueue", "echo", "1", "--queue", "none"]);
    file.ok(&["cancel", "1"]);
    (file, server)
}

/// Moves from one to the other. Returns what is printed.
fn moved(from: &Queue, to: &Queue, options: &[&str]) -> String {
    from.ok(&[&["move", "--to", to.store()], options].concat())
}

/// Stores a job that adds a line to the file `log`, after a moment.
fn log(queue: &Queue, line: &str, options: &[&str]) {
    let command = format!("sleep 0.01; echo {line} >> log");
    let payload = serde_json::json!({ "command": command }).to_string();
    queue.ok(&[&["enqueue", "shell", &payload], options].concat());
}

fn all(queue: &Queue) -> Vec<Value> {
    let listed = queue.ok(&["list", "--json"]);
    let jobs = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    jobs.collect()
}

/// What a move keeps of each job, by the payload.
fn kept(queue: &Queue) -> BTreeMap<String, Value> {
    let jobs = all(queue).into_iter().map(|mut job| {
        let fields = job.as_object_mut().unwrap();
        for field in ["id", "enqueued_at", "due_at"] {
            fields.remove(field);
        }
        let is_made = |key: &Value| key.as_str().is_some_and(|key| key.starts_with("move:"));
        if fields.get("unique_key").is_some_and(is_made) {
            fields["unique_key"] = Value::Null;
        }
        let meta = fields["meta"].as_object_mut().unwrap();
        meta.remove("moved-from");
        assert!(!meta.contains_key("moved-held"), "it is held");
        (job["payload"].to_string(), job)
    });
    jobs.collect()
}

/// When what waits for its time is due, by the payload.
fn due_later(queue: &Queue) -> BTreeMap<String, Value> {
    let jobs = all(queue).into_iter();
    let jobs = jobs.filter(|job| job["state"] == "scheduled");
    jobs.map(|job| (job["payload"].to_string(), job["due_at"].clone()))
        .collect()
}

/// Waits until neither has a job, with workers that run.
fn wait_for_all(stores: [&Queue; 2]) {
    until("the end of all jobs", || {
        stores
            .iter()
            .all(|queue| all(queue).is_empty())
            .then_some(())
    });
}

fn assert_no_faults(stores: [&Queue; 2]) {
    for queue in stores {
        assert_eq!(queue.ok(&["doctor"]), "no fault is left\n");
    }
}

#[test]
fn jobs_that_wait_go_to_a_server_and_back_as_they_are() {
    let (file, server) = stores();
    for options in [
        "a --queue mail --priority 7 --keep 1h",
        "b --delay 1h --max-crashes 5",
        "c --at-most-once --unique key",
        "d --lane x",
        "e --lane x",
        "f --lane x --delay 1h",
    ] {
        let (line, options) = options.split_once(' ').unwrap();
        log(&file, line, &options.split(' ').collect::<Vec<_>>());
    }
    let before = kept(&file);
    assert_eq!(before.len(), 6);
    let due = due_later(&file);
    assert_eq!(due.len(), 2);
    for (from, to) in [(&file, &server), (&server, &file), (&file, &server)] {
        let printed = moved(from, to, &[]);
        assert!(printed.starts_with("6 jobs are moved to "), "{printed}");
        assert_eq!(printed.lines().count(), 1, "{printed}");
        assert_eq!(all(from), Vec::<Value>::new());
        assert_eq!(kept(to), before);
        assert_eq!(due_later(to), due);
        assert!(moved(from, to, &[]).starts_with("0 jobs are moved"));
        assert_no_faults([&file, &server]);
    }
}

#[test]
fn a_job_expires_when_it_would_have() {
    let (file, server) = stores();
    let jobs = Jobs::open(Sqlite::open(file.0.path("jobs.db")).unwrap()).unwrap();
    let mut job = NewJob::new("default", "echo", "1");
    job.expires = Some(Duration::from_secs(24 * 3600));
    jobs.enqueue_records(&[job]).unwrap();
    drop(jobs);
    // It was due twelve hours ago.
    let half = 12 * 3600 * 1000;
    let connection = Connection::open(file.0.path("jobs.db")).unwrap();
    let earlier = "UPDATE mh_job SET run_at = run_at - ?1, expires_at = expires_at - ?1";
    connection.execute(earlier, [half]).unwrap();
    drop(connection);
    let before = all(&file)[0]["expires_at"].as_i64().unwrap();
    for (from, to) in [(&file, &server), (&server, &file)] {
        moved(from, to, &[]);
        let after = all(to)[0]["expires_at"].as_i64().unwrap();
        // What is due at once is due a moment after it was free.
        assert!(
            (before..before + half / 2).contains(&after),
            "{before} {after}"
        );
    }
}

#[test]
fn a_queue_or_a_kind_is_moved() {
    let (file, server) = stores();
    file.ok(&["enqueue", "echo", "1"]);
    file.ok(&["enqueue", "sleep", r#"{"ms": 1}"#]);
    file.ok(&["enqueue", "echo", "2", "--queue", "mail"]);
    let printed = moved(&file, &server, &["--queue", "mail"]);
    assert!(
        printed.starts_with("1 job is moved to redis+unix://"),
        "{printed}"
    );
    assert!(moved(&file, &server, &["--kind", "sleep"]).starts_with("1 job is"));
    let left = all(&file);
    assert_eq!((left.len(), &left[0]["payload"]), (1, &1.into()));
}

#[test]
fn what_cannot_be_moved_stays_and_is_named() {
    let (file, server) = stores();
    let worker = file.work(&["--slots", "1"]);
    file.ok(&["enqueue", "sleep", "0"]); // it cannot be read
    file.fails(&["wait", "2"], 1);
    let running = file.shell(UNTIL_GO);
    file.wait_for_file("begun");
    log(&file, "followed", &["--lane", "x"]);
    log(&file, "lane", &["--lane", "x"]);
    log(&file, "follows", &["--after", "4"]);
    file.ok(&["enqueue", "echo", "2", "--unique", "key"]);
    server.ok(&["enqueue", "echo", "1", "--unique", "key"]);
    let printed = moved(&file, &server, &[]);
    let mut lines = printed.lines();
    assert!(lines.next().unwrap().starts_with("0 jobs are moved"));
    let mut lines: Vec<_> = lines.collect();
    lines.sort_unstable();
    let expected = [
        "1 job is left: dead",
        "1 job is left: follows other jobs",
        "1 job is left: its unique key is taken in the target",
        "1 job is left: running",
        "2 jobs are left: in a lane of which a job stays",
    ];
    assert_eq!(lines, expected);
    file.0.write("go", "");
    file.ok(&["wait", &running]);
    let other = server.work(&[]);
    until("the end of all jobs", || {
        let has_ended = |job: &Value| job["state"] == "done" || job["state"] == "dead";
        let mut jobs = all(&file).into_iter().chain(all(&server));
        jobs.all(|job| has_ended(&job)).then_some(())
    });
    let lines = file.0.text("log");
    let mut lines: Vec<_> = lines.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["followed", "follows", "lane"]);
    worker.stop();
    other.stop();
    assert_no_faults([&file, &server]);
}

#[test]
fn a_unique_key_is_taken_along() {
    let (file, server) = stores();
    let unique = ["enqueue", "echo", "1", "--unique", "key"];
    file.ok(&unique);
    moved(&file, &server, &[]);
    let again = server.run(&unique);
    assert_eq!(text(&again.stdout), "1\n");
    assert!(text(&again.stderr).contains("not stored"), "{again:?}");
    let worker = server.work(&[]);
    wait_for_all([&file, &server]);
    assert_eq!(server.ok(&unique), "2\n");
    worker.stop();
}

#[test]
fn each_job_ends_once_though_workers_run_at_both() {
    let (file, server) = stores();
    let mut expected = Vec::new();
    for number in 10..40 {
        expected.push(format!("s{number}"));
        log(&file, &format!("s{number}"), &[]);
        expected.push(format!("l{number}"));
        log(&file, &format!("l{number}"), &["--lane", "x"]);
    }
    let workers = [&file, &server].map(|queue| queue.work(&["--slots", "2", "--lease", "600"]));
    for (from, to) in [(&file, &server), (&server, &file), (&file, &server)] {
        // A lane whose jobs begin on their way is waited for, which is said.
        let printed = from.run(&["move", "--to", to.store()]);
        assert!(printed.status.success(), "{printed:?}");
    }
    wait_for_all([&file, &server]);
    let lines = file.0.text("log");
    let lane: Vec<_> = lines.lines().filter(|line| line.starts_with('l')).collect();
    assert!(lane.is_sorted(), "{lane:?}");
    let mut lines: Vec<_> = lines.lines().collect();
    lines.sort_unstable();
    expected.sort_unstable();
    assert_eq!(lines, expected);
    for worker in workers {
        worker.stop();
    }
    assert_no_faults([&file, &server]);
}

/// So often is a move killed.
const KILLS: u64 = 20;

#[test]
fn a_move_that_was_killed_is_finished_by_the_next_one() {
    let (file, server) = stores();
    for number in 10..25 {
        log(&file, &format!("s{number}"), &[]);
        log(
            &file,
            &format!("u{number}"),
            &["--unique", &number.to_string()],
        );
        log(&file, &format!("l{number}"), &["--lane", "x"]);
    }
    let before = kept(&file);
    let mut ends = (&file, &server);
    let mut were_killed = 0;
    for round in 0..KILLS {
        let (from, to) = ends;
        let mut program = Program::start(&mut from.command(&["move", "--to", to.store()]));
        // Somewhere between its start and its end: it decides nothing.
        thread::sleep(Duration::from_millis(round * 7919 % 200));
        program.signal(Signal::KILL);
        were_killed += u32::from(!program.end().0.success());
        let printed = moved(from, to, &[]);
        assert_eq!(all(from), Vec::<Value>::new(), "{printed}");
        assert_eq!(kept(to), before, "{printed}");
        assert_no_faults([from, to]);
        ends = (to, from);
    }
    assert!(were_killed > 0);
    let worker = ends.0.work(&["--slots", "2"]);
    wait_for_all([&file, &server]);
    worker.stop();
    let lines = file.0.text("log");
    let lane: Vec<_> = lines.lines().filter(|line| line.starts_with('l')).collect();
    assert!(lane.is_sorted(), "{lane:?}");
    let mut lines: Vec<_> = lines.lines().collect();
    lines.sort_unstable();
    let numbers = |letter| (10..25).map(move |number| format!("{letter}{number}"));
    let expected: Vec<_> = ['l', 's', 'u'].into_iter().flat_map(numbers).collect();
    assert_eq!(lines, expected);
}
