//! The arguments, the table, and the list of the runs to come.

use super::{Place, SCHEDULER, text};
use crate::support;
use crate::support::arguments::{assert_helps, assert_refused};
use std::fs;
use std::process::Command;

#[test]
fn help_names_the_options_the_format_and_the_exit_codes() {
    let help = Place::new("help", "").output(&["--help"]);
    assert_helps(
        &help,
        &[
            "--listen",
            "--grace",
            "--simulate",
            "--from",
            "@every",
            "overlap=",
            "missed=",
            "timeout=",
            "name=",
            "TZ",
            "Exit codes",
        ],
    );
}

#[test]
fn wrong_arguments_are_named_and_end_with_2() {
    let place = Place::new("arguments", "");
    for (arguments, named) in [
        (&[][..], "<FILE>"),
        (&["table", "--from", "2026-03-28T00:00"], "--simulate"),
        (&["table", "--simulate", "soon"], "`soon` is no time"),
        (
            &["table", "--simulate", "1d", "--from", "noon"],
            "allowed are such as 2026-03-28",
        ),
        (
            &["table", "--simulate", "1d", "--listen", "127.0.0.1:0"],
            "--listen",
        ),
        (&["table", "--grace=-1s"], "--grace"),
    ] {
        let output = place.output(arguments);
        assert_refused(&output, named);
    }
}

#[test]
fn each_wrong_line_is_named_with_what_is_allowed() {
    let lines = [
        ("* * * *", "a line needs five times (minute, hour, "),
        (
            "* 25 * * * x",
            "cron expression `* 25 * * *`: `25` at position 2 is no hour: allowed are 0-23, ",
        ),
        ("0 0 30 2 * x", "cron expression `0 0 30 2 *` never fires"),
        (
            "@often x",
            "cron expression `@often` is no nickname at position 0: allowed are @yearly, ",
        ),
        (
            "@every soon x",
            "`soon` is no time: allowed are such as 30s, 10m, 1h30m and 7d",
        ),
        (
            "@every 0s x",
            "`0s` is too short: allowed are times above zero",
        ),
        (
            "TZ=Moon/Tycho",
            "unknown time zone `Moon/Tycho`: allowed are the names of the IANA ",
        ),
        (
            "* * * * *",
            "there is no command: it is needed after the times",
        ),
        (
            "@daily [name=x]",
            "there is no command: it is needed after the times",
        ),
        (
            "@daily [name=x x",
            "the options have no end: a `]` is needed before the command",
        ),
        ("@daily [name=] x", "option `name=`: a name is needed"),
        (
            "@daily [overlap=0] x",
            "option `overlap=0`: allowed are skip, queue, and a number from 1",
        ),
        (
            "@daily [missed=all] x",
            "option `missed=all`: allowed are skip, and a number from 1 on",
        ),
        (
            "@daily [timeout=0s] x",
            "option `timeout=0s`: `0s` is too short: allowed are times above",
        ),
        (
            "@daily [nice] x",
            "option `nice`: allowed are name, overlap, missed and timeout, each",
        ),
    ];
    let table = lines.map(|(line, _)| line).join("\n");
    let output = Place::new("lines", &table).output(&["table"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let errors: Vec<_> = text(&output.stderr).lines().collect();
    assert_eq!(errors.len(), lines.len(), "{errors:?}");
    for (number, (error, (_, what))) in (1..).zip(errors.iter().zip(lines)) {
        let wanted = format!("table:{number}: {what}");
        assert!(error.starts_with(&wanted), "{error} is not {wanted}");
    }
}

#[test]
fn what_cannot_be_read_or_served_ends_with_1() {
    let place = Place::new("unreadable", "");
    let output = place.output(&["nowhere"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("scheduler: nowhere: No such file"));
    let output = place.output(&["table", "--listen", "192.0.2.1:1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--listen 192.0.2.1:1: "));
}

/// In Berlin 02:00 to 03:00 is left out on 29 March, and comes twice on 25 October.
const CLOCKS: &str = "\
# Berlin, as the environment of the test says
30 2 * * *    [name=nightly] backup
@every 9h30m  ping
TZ=America/New_York
0 9 * * SUN   [name=office overlap=queue missed=3 timeout=1m] open shop
TZ=\"Europe/Berlin\"
*/30 2 * 3,10 SUN  [ -e file ] && half
";

#[test]
fn a_simulation_is_exact_when_clocks_are_changed() {
    let place = Place::new("clocks", CLOCKS);
    let spring = place.output(&["table", "--simulate", "2d", "--from", "2026-03-28T00:00"]);
    let wanted = "\
2026-03-28T02:30:00+01:00  nightly  backup
2026-03-28T09:30:00+01:00  -        ping
2026-03-28T19:00:00+01:00  -        ping
2026-03-29T03:00:00+02:00  nightly  backup
2026-03-29T05:30:00+02:00  -        ping
2026-03-29T15:00:00+02:00  -        ping
2026-03-29T09:00:00-04:00  office   open shop
2026-03-30T00:30:00+02:00  -        ping
";
    assert_eq!(text(&spring.stdout), wanted);
    assert_eq!((spring.status.code(), text(&spring.stderr)), (Some(0), ""));
    let autumn = place.output(&["table", "--simulate", "4h", "--from", "2026-10-24T22:00Z"]);
    let wanted = "\
2026-10-25T02:00:00+02:00  -        [ -e file ] && half
2026-10-25T02:30:00+02:00  nightly  backup
2026-10-25T02:30:00+02:00  -        [ -e file ] && half
2026-10-25T02:00:00+01:00  -        [ -e file ] && half
2026-10-25T02:30:00+01:00  -        [ -e file ] && half
";
    assert_eq!(text(&autumn.stdout), wanted);
}

#[test]
fn a_line_that_is_not_utf_8_is_named() {
    let place = Place::new("bytes", "");
    fs::write(place.0.join("table"), b"@daily a\n@daily \xff\n").unwrap();
    let output = place.output(&["table"]);
    assert_refused(&output, "table:2: the line is not UTF-8");
}

#[test]
fn a_simulation_ends_quietly_if_nobody_reads_on() {
    let place = Place::new("head", "@every 1s ping\n");
    let mut command = Command::new("sh");
    let script = r#"{ "$0" --simulate 400d table; echo "code $?" >&2; } | head -1"#;
    command
        .args(["-c", script, SCHEDULER])
        .current_dir(&place.0);
    let output = support::output(&mut command);
    assert_eq!(text(&output.stdout).lines().count(), 1);
    assert_eq!(text(&output.stderr), "code 0\n");
}
