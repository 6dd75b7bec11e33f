//! A proxy on loopback that does wrong on purpose, and counts what comes by.

use crate::support::{BOUND, until};
use millhand_programs::lock;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

/// What is done with a request.
#[derive(Clone)]
pub(crate) enum Fault {
    /// The service gets it, and the client gets the response.
    Pass,
    /// As `Pass`, but not before [`Faults::release`].
    Hold,
    /// The connection is closed without a response.
    Close,
    /// The same in the midst of the head of a response.
    CutHead,
    /// The same in the midst of the body.
    CutBody,
    /// Bytes that are no HTTP.
    Garbage,
    /// A response that is not the service's.
    Answer(String),
}

/// A response that is not the service's. Its body has 4 bytes.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)]) -> Fault {
    let mut text = format!("HTTP/1.1 {status} Said\r\nContent-Length: 4\r\n");
    for (name, value) in headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    Fault::Answer(text + "\r\nsaid")
}

/// A proxy. Its drop ends it.
pub(crate) struct Faults {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    accepts: Option<JoinHandle<()>>,
}

type Script = dyn Fn(&str, usize) -> Fault + Send + Sync;

struct Shared {
    service: String,
    /// Decides by the path of a request, and by how often it has come, from 1.
    script: Box<Script>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    connections: usize,
    /// How often each path has come.
    seen: HashMap<String, usize>,
    /// What the service got, such as `GET /`.
    passed: Vec<String>,
    held: usize,
    most_held: usize,
    is_released: bool,
    is_over: bool,
}

impl Faults {
    /// Starts a proxy of the service at an address.
    pub(crate) fn start(
        service: &str,
        script: impl Fn(&str, usize) -> Fault + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            service: service.to_owned(),
            script: Box::new(script),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let accepted = shared.clone();
        let accepts = thread::spawn(move || {
            for stream in listener.incoming().map(Result::unwrap) {
                let shared = accepted.clone();
                {
                    let mut state = lock(&shared.state);
                    if state.is_over {
                        return;
                    }
                    state.connections += 1;
                }
                // It fails once the client is gone.
                thread::spawn(move || shared.serve(&stream));
            }
        });
        Self {
            address,
            shared,
            accepts: Some(accepts),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How often a path has come.
    pub(crate) fn seen(&self, path: &str) -> usize {
        let state = lock(&self.shared.state);
        state.seen.get(path).copied().unwrap_or(0)
    }

    /// How many requests have come.
    pub(crate) fn requests(&self) -> usize {
        lock(&self.shared.state).seen.values().sum()
    }

    /// What the service got, sorted.
    pub(crate) fn passed(&self) -> Vec<String> {
        let mut passed = lock(&self.shared.state).passed.clone();
        passed.sort();
        passed
    }

    pub(crate) fn connections(&self) -> usize {
        lock(&self.shared.state).connections
    }

    /// Waits until so many requests are held.
    pub(crate) fn wait_held(&self, requests: usize) {
        until("requests that are held", || {
            (lock(&self.shared.state).held == requests).then_some(())
        });
    }

    /// How many were held at once.
    pub(crate) fn most_held(&self) -> usize {
        lock(&self.shared.state).most_held
    }

    /// Passes on what is held, and holds nothing more.
    pub(crate) fn release(&self) {
        lock(&self.shared.state).is_released = true;
        self.shared.changed.notify_all();
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        lock(&self.shared.state).is_over = true;
        self.release();
        let _ = TcpStream::connect(self.address);
        if let Some(accepts) = self.accepts.take() {
            let _ = accepts.join();
        }
    }
}

/// A request as it came.
struct Request {
    method: String,
    path: String,
    headers: String,
    body: Vec<u8>,
}

impl Shared {
    fn serve(&self, mut stream: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        while let Some(request) = read(&mut reader)? {
            match self.decide(&request.path) {
                Fault::Pass => stream.write_all(&self.pass(&request)?)?,
                Fault::Hold => {
                    self.hold();
                    stream.write_all(&self.pass(&request)?)?;
                }
                Fault::Close => return Ok(()),
                Fault::CutHead => return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Le"),
                Fault::CutBody => {
                    return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
                }
                Fault::Garbage => return stream.write_all(b"\x15\x03\x03 is no HTTP\r\n\r\n"),
                Fault::Answer(text) => stream.write_all(text.as_bytes())?,
            }
        }
        Ok(())
    }

    fn decide(&self, path: &str) -> Fault {
        let mut state = lock(&self.state);
        let seen = state.seen.entry(path.to_owned()).or_default();
        *seen += 1;
        (self.script)(path, *seen)
    }

    fn hold(&self) {
        let mut state = lock(&self.state);
        state.held += 1;
        state.most_held = state.most_held.max(state.held);
        let wait = self.changed.wait_while(state, |state| !state.is_released);
        wait.unwrap().held -= 1;
    }

    /// Has the service answer. The connection to the client stays.
    fn pass(&self, request: &Request) -> io::Result<Vec<u8>> {
        let Request {
            method,
            path,
            headers,
            body,
        } = request;
        lock(&self.state).passed.push(format!("{method} {path}"));
        let mut service = TcpStream::connect(&self.service)?;
        service.set_read_timeout(Some(BOUND))?;
        let head = format!("{method} {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        service.write_all(head.as_bytes())?;
        service.write_all(body)?;
        let mut head = String::new();
        let mut reader = BufReader::new(service);
        while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
        let mut response = head.replace("Connection: close\r\n", "").into_bytes();
        reader.read_to_end(&mut response)?;
        Ok(response)
    }
}

fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let (mut headers, mut length) = (String::new(), 0);
    loop {
        let begin = headers.len();
        reader.read_line(&mut headers)?;
        let header = headers[begin..].to_ascii_lowercase();
        if header.trim().is_empty() {
            headers.truncate(begin);
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Request {
        method,
        path,
        headers,
        body,
    }))
}
