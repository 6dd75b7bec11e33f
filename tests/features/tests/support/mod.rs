//! A client on a plain socket, and bounded waits.
#![allow(dead_code)] // Each test file uses a part of it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long a test waits for what must come: it turns a hang into a failure.
const LONG: Duration = Duration::from_secs(120);

/// Waits until `is_so` returns true.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < end, "it must come: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub struct Reply {
    /// 0: the connection was closed without an answer.
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// Reads to the end of the connection.
pub fn read(mut stream: &TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if text.is_empty() {
        let (status, head, body) = (0, text.clone(), text);
        return Reply { status, head, body };
    }
    end.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
    Reply {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// Sends these bytes and no more, and reads the reply.
pub fn send(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Reply {
    let mut stream = connect(address);
    // The server may refuse in the middle, and close.
    let _ = stream.write_all(bytes.as_ref());
    let _ = stream.shutdown(Shutdown::Write);
    read(&stream)
}

pub fn get(address: SocketAddr, path: &str) -> Reply {
    send(
        address,
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n"),
    )
}

/// A command with these headers beside those that it needs.
pub fn control_with(address: SocketAddr, headers: &str, body: &str) -> Reply {
    let length = body.len();
    let head = format!("POST /control HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n");
    send(address, format!("{head}{headers}\r\n{body}"))
}

/// A command with the token of the tests.
pub fn control(address: SocketAddr, body: &str) -> Reply {
    let headers =
        "Content-Type: application/json\r\nAuthorization: Bearer a-secret-of-the-tests\r\n";
    control_with(address, headers, body)
}
