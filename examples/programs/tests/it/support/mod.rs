//! What the tests of several programs need: a child process, HTTP, and a terminal.

pub(crate) mod arguments;
pub(crate) mod faults;
pub(crate) mod groups;
pub(crate) mod http;
pub(crate) mod queue;
pub(crate) mod redis;
pub(crate) mod shell;
pub(crate) mod site;
pub(crate) mod terminal;
pub(crate) mod tree;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing takes so long. It keeps a test from hanging, and decides nothing else.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// Asks until there is an answer.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < BOUND, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A program, with the signals as a terminal leaves them. A background job of a script ignores
/// SIGINT, and one under nohup SIGHUP; the tests would ignore them then, and their children, too.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT,HUP", program]);
    command
}

/// Runs a command to its end, without any input.
#[track_caller]
pub(crate) fn output(command: &mut Command) -> Output {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
    let started = command.stderr(Stdio::piped()).spawn();
    ended(started.unwrap_or_else(|error| panic!("{command:?}: {error}")))
}

/// Waits for the end of a child, and returns what its pipes had. Its input is closed.
#[track_caller]
pub(crate) fn ended(mut child: Child) -> Output {
    drop(child.stdin.take());
    let outputs = [
        child.stdout.take().map(all_of),
        child.stderr.take().map(all_of),
    ];
    let (status, _) = Program::silent(child).end();
    // A process that the child has left behind may keep a pipe open.
    let all = |bytes: Option<Receiver<_>>| match bytes {
        Some(bytes) => bytes.recv_timeout(BOUND).expect("the output ends"),
        None => Vec::new(),
    };
    let [stdout, stderr] = outputs.map(all);
    Output {
        status,
        stdout,
        stderr,
    }
}

/// Reads to the end of a pipe, which its writer may wait for.
fn all_of(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (send, bytes) = mpsc::channel();
    thread::spawn(move || {
        let mut all = Vec::new();
        pipe.read_to_end(&mut all).unwrap();
        let _ = send.send(all);
    });
    bytes
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A program that runs. Its drop kills it.
pub(crate) struct Program {
    pub(crate) child: Child,
    lines: Receiver<String>,
}

impl Program {
    /// Starts it with its output in [`line`](Self::line).
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = lines_of(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// One whose output goes elsewhere.
    pub(crate) fn silent(child: Child) -> Self {
        let lines = mpsc::channel().1;
        Self { child, lines }
    }

    /// Returns the next line of its standard output.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(BOUND).unwrap()
    }

    /// Waits for its end. Returns the lines that were left.
    #[track_caller]
    pub(crate) fn end(&mut self) -> (ExitStatus, Vec<String>) {
        let status = until("the end of the program", || self.child.try_wait().unwrap());
        (status, self.lines.iter().collect())
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_of(output: ChildStdout) -> Receiver<String> {
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Sends a request, and returns the status and the body of the reply.
pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}
