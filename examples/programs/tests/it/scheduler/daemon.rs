//! The daemon: its runs, its signals, its page.

use super::{Place, release};
use crate::support::get;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::{self, File};
use std::io::Read;
use std::thread;
use std::time::Duration;

#[test]
fn commands_run_at_their_times_and_the_log_has_their_output_and_failures() {
    let table = "\
GREETING = \"good day\"
@every 1s [name=greet] echo $GREETING; echo to all >&2; echo again > /dev/stdout; printf 'no end'
GREETING='bye'
@every 1s [name=fail] echo $GREETING; exit 3
@every 1s [name=long] head -c 20000 /dev/zero | tr '\\0' x
@every 1s [name=child] read line; while test -e table; do sleep 1; done & echo \"left: $line\"
";
    let place = Place::new("runs", table);
    let daemon = place.start();
    for line in ["good day", "to all", "again", "no end", "has ended after"] {
        daemon.wait_for(&format!("greet: {line}"));
    }
    daemon.wait_for("long: has ended");
    assert!(daemon.count("long: x") > 1, "it comes in parts");
    daemon.wait_for("fail: bye");
    let failed = daemon.wait_for("task ");
    assert!(failed.contains("`fail`"), "{failed}");
    assert!(failed.contains("failed: exit status: 3"), "{failed}");
    // The input is empty, and what runs in the background holds nothing up.
    daemon.wait_for("child: left: ");
    daemon.wait_for("child: has ended");
    daemon.end();
}

#[test]
fn a_run_is_left_out_while_another_runs() {
    let table = "@every 1s [name=slow] echo up; read line < go; echo down\n";
    let place = Place::new("overlap", table);
    let go = place.fifo("go");
    let daemon = place.start();
    daemon.wait_for("slow: up");
    assert_eq!(
        daemon.wait_for("slow: "),
        "slow: runs left out: 1, since another had not ended"
    );
    daemon.wait_for("slow: runs left out: 1");
    release(&go);
    daemon.wait_for("slow: down");
    daemon.wait_for("slow: up"); // the next one
    daemon.end();
}

#[test]
fn so_many_run_at_once_and_one_waits() {
    let table = "\
@every 1s [name=both overlap=2] echo up; read line < two
@every 1s [name=queued overlap=queue] echo up; read line < one; echo down
";
    let place = Place::new("widths", table);
    let (_two, one) = (place.fifo("two"), place.fifo("one"));
    let daemon = place.start();
    daemon.wait_for_all(&["both: runs left out: 1", "queued: runs left out: 1"]);
    daemon.wait_for_all(&["both: up", "queued: up"]);
    release(&one);
    daemon.wait_for("queued: down");
    daemon.wait_for("queued: up");
    assert_eq!(
        (daemon.count("both: up"), daemon.count("queued: up")),
        (2, 2)
    );
    daemon.end();
}

#[test]
fn runs_that_were_missed_are_left_out_as_far_as_the_rule_says() {
    let place = Place::new("missed", "@every 1s [name=tick missed=1] echo tick\n");
    let daemon = place.start();
    daemon.wait_for("tick: tick");
    daemon.signal(Signal::STOP);
    // What is tested: times pass while the scheduler is stopped, at least three of them.
    thread::sleep(Duration::from_secs(4));
    daemon.signal(Signal::CONT);
    // The run from before may not have ended at the next time.
    let is_missed = |line: String| line.ends_with("since their time had passed");
    while !is_missed(daemon.wait_for("tick: runs left out")) {}
    daemon.end();
}

#[test]
fn sighup_reads_the_table_again() {
    let before = "\
@every 1s [name=kept] echo up; read line < kept; echo still there
@every 1s [name=changed] echo old
@every 1s [name=gone] echo up; read line < gone; echo done
";
    let after = "\
@every 1s [name=new] echo new

@every 1s [name=changed] echo different
@every 1s [name=kept] echo up; read line < kept; echo still there
";
    let place = Place::new("reload", before);
    let (kept, gone) = (place.fifo("kept"), place.fifo("gone"));
    // SIGHUP reloads also if it was ignored at the start.
    let daemon = place.start_after("trap '' HUP;", &["--grace", "0s"]);
    daemon.wait_for("table: 3 entries: 0 as before, 3 new, 0 gone");
    daemon.wait_for_all(&["kept: up", "changed: old", "gone: up"]);

    // What is wrong changes nothing.
    place.write("@every 1s echo fine\n@every x echo wrong\n");
    daemon.signal(Signal::HUP);
    daemon.wait_for("table:2: `x` is no time: allowed ");
    daemon.wait_for("table: the table stays as it was");
    daemon.wait_for("changed: old");
    fs::remove_file(place.0.join("table")).unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_for("table: No such file");
    daemon.wait_for("table: the table stays as it was");
    daemon.wait_for("changed: old");

    place.write(after);
    daemon.signal(Signal::HUP);
    daemon.wait_for("gone: is gone, and the command that runs goes on");
    daemon.wait_for("table: 3 entries: 1 as before, 2 new, 2 gone");
    daemon.wait_for("changed: different");
    daemon.wait_for("new: new");
    // The command of the entry that is as before runs still, and its schedule knows.
    daemon.wait_for("kept: runs left out");
    assert_eq!(daemon.count("kept: starts"), 1);
    release(&gone);
    daemon.wait_for("gone: done");
    release(&kept);
    daemon.wait_for("kept: still there");
    daemon.wait_for("kept: up");
    daemon.wait_for("new: new");
    assert_eq!(daemon.count("gone: starts"), 1);
    daemon.end();
}

#[test]
fn the_page_shows_the_schedules_and_the_commands_that_run() {
    let table = "@every 1s [name=slow] echo up; read line < go\n@yearly [name=party] dance\n";
    let place = Place::new("page", table);
    let _go = place.fifo("go");
    let daemon = place.start_after("", &["--grace", "0s", "--listen", "127.0.0.1:0"]);
    let line = daemon.wait_for("the page is at ");
    let address = line.strip_prefix("the page is at http://").unwrap();
    let address = address.trim_end_matches('/');
    daemon.wait_for("slow: up");
    assert_eq!(get(address, "/").0, 200);
    let (_, tasks) = get(address, "/tasks.json");
    let tasks: Value = serde_json::from_str(&tasks).unwrap();
    assert_eq!(tasks["pools"][0]["tasks"][0]["name"], "slow", "{tasks}");
    let (_, page) = get(address, "/page.json");
    let page: Value = serde_json::from_str(&page).unwrap();
    let schedules = page["pool"]["schedules"].as_array();
    let schedules = schedules.unwrap_or_else(|| panic!("{page}"));
    let names: Vec<_> = schedules.iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["slow", "party"]);
    assert_eq!(schedules[0]["runs"], 1);
    daemon.end();
}

#[test]
fn sigterm_leaves_a_command_the_time_to_end() {
    // Another run may begin before the schedule ends, and that is not to wait.
    let table = "\
@every 1s [name=slow] test -e done || { echo up; read line < go; touch done; }; echo down
";
    let place = Place::new("drain", table);
    let go = place.fifo("go");
    let daemon = place.start_after("", &["--grace", "1h"]);
    daemon.wait_for("slow: up");
    daemon.signal(Signal::TERM);
    daemon.wait_for("a signal asks for the end");
    daemon.signal(Signal::HUP); // It is too late for that.
    release(&go);
    let rest = daemon.ends_with(0);
    assert!(rest.contains("slow: down"), "{rest}");
    assert!(rest.contains("slow: has ended after"), "{rest}");
    assert!(
        rest.ends_with("that failed: 0, that were ended: 0"),
        "{rest}"
    );
    assert!(!rest.contains("entries"), "{rest}");
}

#[test]
fn the_grace_ends_for_a_command_that_does_not() {
    let table = "@every 1s [name=slow] echo up; read line < go; echo no\n";
    let place = Place::new("grace", table);
    let _go = place.fifo("go");
    let daemon = place.start();
    daemon.wait_for("slow: up");
    let rest = daemon.end();
    assert!(rest.contains("slow: stopped: "), "{rest}");
    assert!(
        rest.contains("runs that succeeded: 0, that failed: 0, that were ended: 1"),
        "{rest}"
    );
}

#[test]
fn the_second_signal_ends_the_commands_that_run() {
    let place = Place::new("second", "@every 1s [name=slow] echo up; read line < go\n");
    let _go = place.fifo("go");
    let daemon = place.start_after("", &["--grace", "1h"]);
    daemon.wait_for("slow: up");
    daemon.signal(Signal::INT);
    daemon.wait_for("a signal asks for the end");
    daemon.signal(Signal::INT);
    daemon.wait_for("the second signal ends the commands that run");
    let rest = daemon.ends_with(0);
    assert!(rest.contains("that were ended: 1"), "{rest}");
}

#[test]
fn the_third_signal_ends_the_scheduler() {
    let table = "@every 1s [name=deaf] trap '' TERM; echo pid $$; read line < go\n";
    let place = Place::new("third", table);
    let go = place.fifo("go");
    let daemon = place.start_after("", &["--grace", "1h"]);
    let line = daemon.wait_for("deaf: pid ");
    let id = line.strip_prefix("deaf: pid ").unwrap().parse().unwrap();
    daemon.signal(Signal::TERM);
    daemon.wait_for("a signal asks for the end");
    // Two kinds, as two of one kind may become one.
    daemon.signal(Signal::TERM);
    daemon.signal(Signal::INT);
    let rest = daemon.ends_with(130);
    assert!(
        rest.contains("the second signal ends the commands"),
        "{rest}"
    );
    // The command is left to itself.
    release(&go);
    let _ = kill_process(Pid::from_raw(id).unwrap(), Signal::KILL);
}

#[test]
fn a_time_limit_ends_what_the_command_has_started() {
    let table = "\
@every 1s [name=limited timeout=1s] \
sh -c 'trap \"\" TERM; exec sleep 3600 > alive' & \
sh -c 'trap \"echo cleaned; exit\" TERM; while :; do sleep 0.01; done'; echo no
";
    let place = Place::new("limit", table);
    let alive = place.fifo("alive");
    let daemon = place.start();
    // It waits for a process that has the other end: one of the first run, or of a later one.
    let mut alive = File::open(alive).unwrap();
    // What runs in the foreground has time to clean up.
    daemon.wait_for("limited: cleaned");
    daemon.wait_for("limited: stopped: its deadline passed");
    let late = daemon.wait_for("task ");
    assert!(late.contains("`limited`"), "{late}");
    assert!(late.contains("timed out"), "{late}");
    // Each that had the other end is gone.
    assert_eq!(alive.read(&mut [0]).unwrap(), 0);
    daemon.end();
}
