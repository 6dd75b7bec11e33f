//! The end of `http_service`: by SIGTERM and by Ctrl-C, with requests and tasks in progress.

use crate::http_service::{ENDLESS, SHORT, serve, start, submit, until_busy};
use crate::support::http::Client;
use crate::support::{Program, command};
use rustix::process::Signal;

/// A service with a task that runs until it is cancelled, a request that waits for the next one, a
/// request that is half sent, and a connection without a request.
struct Busy {
    program: Program,
    waits: Client,
    half_sent: Client,
    idle: Client,
}

impl Busy {
    fn new(program: Program, address: &str) -> Self {
        let mut waits = Client::open(address);
        let path = format!("/api/tasks/{}", submit(&mut waits, ENDLESS));
        let mut idle = Client::open(address);
        until_busy(&mut idle, 1, 0);
        waits.begin_post("/api/data?wait=60s", SHORT);
        until_busy(&mut idle, 1, 1);
        let mut half_sent = Client::open(address);
        // A response comes before the half request, so that it is half read by now or soon, and not
        // waiting outside.
        half_sent.send(&format!(
            "GET /api/tasks/1 HTTP/1.1\r\nHost: a\r\n\r\nDELETE {path} HTTP/1.1\r\n"
        ));
        assert_eq!(half_sent.reply().status, 404);
        Self {
            program,
            waits,
            half_sent,
            idle,
        }
    }

    /// The signal has come. Everything in progress is finished, and what is idle ends at once.
    fn drains(mut self) {
        assert!(self.idle.ends());
        self.half_sent.send("Host: a\r\n\r\n");
        let deleted = self.half_sent.reply();
        assert_eq!(deleted.status, 202, "{deleted:?}");
        assert!(deleted.has("Connection: close"), "{deleted:?}");
        assert!(self.half_sent.ends());
        let answered = self.waits.reply();
        assert_eq!(answered.status, 200, "{answered:?}");
        assert_eq!(answered.json()["state"], "succeeded");
        assert!(answered.has("Connection: close"), "{answered:?}");
        assert!(self.waits.ends());
        let (status, lines) = self.program.end();
        assert_eq!(status.code(), Some(0), "{lines:?}");
        let line = |pool: &str| lines.iter().find(|line| line.starts_with(pool)).unwrap();
        let work =
            "work: 1 succeeded, 0 failed, 0 panicked, 1 cancelled (0 of them by the shutdown)";
        assert!(line("work: ").starts_with(work), "{lines:?}");
        assert!(
            line("connections: ").ends_with("0 still running"),
            "{lines:?}"
        );
        assert!(line("sockets: ").ends_with("0 still running"), "{lines:?}");
    }
}

#[test]
fn sigterm_finishes_what_is_in_progress() {
    let (program, address) = serve(&["--workers", "1"]);
    let busy = Busy::new(program, &address);
    busy.program.signal(Signal::TERM);
    busy.drains();
}

#[test]
fn ctrl_c_finishes_what_is_in_progress() {
    let mut service = command(env!("CARGO_BIN_EXE_http_service"));
    service.args(["--listen", "127.0.0.1:0", "--client-timeout", "300"]);
    let (program, address) = start(service.args(["--drain", "300", "--workers", "1"]));
    let busy = Busy::new(program, &address);
    busy.program.signal(Signal::INT);
    busy.drains();
}

#[test]
fn an_idle_service_ends_at_once() {
    let (mut program, address) = serve(&[]);
    let mut idle = Client::open(&address);
    assert_eq!(idle.ask("GET", "/api/tasks/1").status, 404);
    program.signal(Signal::TERM);
    assert!(idle.ends());
    let (status, lines) = program.end();
    assert_eq!((status.code(), lines.len()), (Some(0), 3), "{lines:?}");
    // The one that accepts, and one connection.
    assert!(
        lines[0].starts_with("connections: 2 succeeded"),
        "{lines:?}"
    );
}

#[test]
fn a_second_signal_cancels_the_tasks() {
    let (mut program, address) = serve(&["--workers", "1"]);
    let mut client = Client::open(&address);
    submit(&mut client, ENDLESS);
    until_busy(&mut client, 1, 0);
    program.signal(Signal::TERM);
    assert!(client.ends()); // the first signal has come
    program.signal(Signal::TERM);
    let (status, lines) = program.end();
    assert_eq!(status.code(), Some(1), "{lines:?}");
    let work = "work: 0 succeeded, 0 failed, 0 panicked, 1 cancelled (1 of them by the shutdown)";
    assert!(lines.iter().any(|line| line.starts_with(work)), "{lines:?}");
}

#[test]
fn a_drain_that_takes_too_long_cancels_the_tasks() {
    let (mut program, address) = serve(&["--workers", "1", "--drain", "0.1"]);
    let mut client = Client::open(&address);
    submit(&mut client, ENDLESS);
    until_busy(&mut client, 1, 0);
    // Its client never sends the rest.
    client.send("GET / HTTP/1.1\r\n");
    program.signal(Signal::TERM);
    let (status, lines) = program.end();
    assert_eq!(status.code(), Some(1), "{lines:?}");
    assert!(
        lines.iter().any(|line| line.contains("(1 of them by")),
        "{lines:?}"
    );
}
