//! Loads an HTTP server: so many requests on so many connections, and how long they took.
//!
//!     cargo run --release --manifest-path examples/programs/Cargo.toml --bin http_load -- \
//!         http://127.0.0.1:8080/api/status --requests 20000
//!
//! A connection is a task of a pool with as many workers, sends one request after the other, and
//! stays open. The result is a line of JSON: the requests, those that have failed, the seconds they
//! took in all, the requests per second, and the times of the median and of the slowest hundredth
//! in milliseconds. A response with another status than 2xx is a failure. The standard error has
//! the reason of one of those. The time of each request is kept in memory.
//!
//! To try: `--post '{"text": "a b"}'` with `http://127.0.0.1:8080/api/data?wait=10s`, or with more
//! connections than the service has workers and places in its queue.
//!
//! Exit codes: 0 if no request has failed; 1 if one has, or the output does; 2 for wrong arguments.

use clap::Parser;
use httparse::{EMPTY_HEADER, Status};
use millhand::ThreadPool;
use millhand_programs::arguments::{self, host_and_port, whole};
use millhand_programs::{print, say};
use serde_json::json;
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// No response takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends requests to an HTTP server, and measures how long they take.
#[derive(Parser)]
#[command(name = "http_load", version, after_help = EXIT_CODES)]
struct Options {
    /// What to ask for: http://HOST:PORT/PATH
    #[arg(value_name = "URL", value_parser = target)]
    target: Target,

    /// How many connections there are at once
    #[arg(long, value_name = "N", default_value_t = 16)]
    #[arg(value_parser = whole::<u16>(1..=512))]
    connections: u16,

    /// How many requests are sent in all
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    #[arg(value_parser = whole::<usize>(0..=u32::MAX.into()))]
    requests: usize,

    /// Sends this in a POST
    #[arg(long, value_name = "BODY")]
    post: Option<String>,
}

const EXIT_CODES: &str = "Exit codes: 0 if no request has failed; 1 if one has, or the output \
    does; 2 for wrong arguments.";

#[derive(Clone)]
struct Target {
    address: String,
    path: String,
}

fn target(url: &str) -> Result<Target, &'static str> {
    let rest = url
        .strip_prefix("http://")
        .ok_or("the URL must begin with http://")?;
    let (address, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the path must be visible ASCII: %20 is a blank");
    }
    Ok(Target {
        address: host_and_port(address)
            .map_err(|_| "the URL must have a host and a port, such as http://127.0.0.1:8080/")?,
        path: match path.strip_prefix('/') {
            Some(_) => path.to_owned(),
            None => format!("/{path}"),
        },
    })
}

fn main() -> ExitCode {
    let options: Options = arguments::parse();
    match run(&options) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        // `| head` has what it wants.
        Err(error) if is_broken_pipe(&*error) => ExitCode::FAILURE,
        Err(error) => {
            say(format_args!("http_load: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Returns how many requests have failed.
fn run(options: &Options) -> Result<usize, Box<dyn Error>> {
    let connections = usize::from(options.connections);
    let pool = ThreadPool::new(connections)?;
    let request = request(options);
    let begun = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|number| {
            let (address, request) = (options.target.address.clone(), request.clone());
            let share = (number + options.requests) / connections;
            pool.submit(move || load(&address, &request, share))
        })
        .collect();
    let (mut times, mut failed, mut why) = (Vec::new(), 0, None);
    for task in tasks {
        let done = task.join()?;
        times.extend(done.times);
        failed += done.failed;
        why = why.or(done.why);
    }
    let elapsed = begun.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |part: f64| {
        let place = (times.len() as f64 * part) as usize;
        let time = times.get(place).copied().unwrap_or_default();
        time.as_secs_f64() * 1000.0
    };
    let line = json!({
        "requests": times.len(),
        "failed": failed,
        "seconds": elapsed,
        "per_second": times.len() as f64 / elapsed,
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
    });
    print(line)?;
    if let Some(why) = why {
        say(format_args!(
            "http_load: {failed} have failed, one of them by: {why}"
        ));
    }
    Ok(failed)
}

fn request(options: &Options) -> String {
    let Target { address, path } = &options.target;
    match &options.post {
        None => format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n"),
        Some(body) => format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    }
}

#[derive(Default)]
struct Done {
    /// Of the requests that were answered.
    times: Vec<Duration>,
    failed: usize,
    /// What the first of these has failed by.
    why: Option<String>,
}

impl Done {
    fn fail(&mut self, why: String) {
        self.failed += 1;
        self.why.get_or_insert(why);
    }
}

/// Sends so many requests on one connection, and on another one after a failure.
fn load(address: &str, request: &str, requests: usize) -> Done {
    let mut done = Done::default();
    let mut connection = None;
    for _ in 0..requests {
        let begun = Instant::now();
        let answer = connection
            .take()
            .map_or_else(|| Client::open(address), Ok)
            .and_then(|mut client| {
                let (status, keeps_alive) = client.ask(request)?;
                connection = keeps_alive.then_some(client);
                Ok(status)
            });
        match answer {
            Ok(200..=299) => done.times.push(begun.elapsed()),
            Ok(status) => done.fail(format!("status {status}")),
            Err(error) => done.fail(error.to_string()),
        }
    }
    done
}

struct Client {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Client {
    fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            bytes: Vec::new(),
        })
    }

    /// Sends a request, and reads the response. Returns its status, and whether another request may
    /// follow.
    fn ask(&mut self, request: &str) -> io::Result<(u16, bool)> {
        self.stream.write_all(request.as_bytes())?;
        let head = loop {
            self.fill()?;
            if let Some(head) = Head::parse(&self.bytes)? {
                break head;
            }
        };
        while self.bytes.len() < head.length {
            self.fill()?;
        }
        self.bytes.drain(..head.length);
        Ok((head.status, head.keeps_alive))
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 4096];
        let n = loop {
            match self.stream.read(&mut chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if n == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.bytes.extend_from_slice(&chunk[..n]);
        Ok(())
    }
}

/// The head of a response.
struct Head {
    status: u16,
    keeps_alive: bool,
    /// With the body.
    length: usize,
}

impl Head {
    fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        let mut headers = [EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let head = match response.parse(bytes).map_err(io::Error::other)? {
            Status::Complete(head) => head,
            Status::Partial => return Ok(None),
        };
        let value = |name: &str| {
            let mut headers = response.headers.iter();
            let found = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(found.value).ok()
        };
        let length = value("content-length").and_then(|text| text.parse::<usize>().ok());
        let length = length.ok_or_else(|| io::Error::other("there is no Content-Length"))?;
        Ok(Some(Self {
            status: response.code.unwrap_or_default(),
            keeps_alive: value("connection") != Some("close"),
            length: head + length,
        }))
    }
}
