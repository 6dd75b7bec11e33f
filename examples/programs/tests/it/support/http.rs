//! A connection to a server that the tests write to byte by byte.

use crate::support::BOUND;
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::mem;
use std::net::TcpStream;

/// A connection that stays open.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    bytes: Vec<u8>,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The line and the headers.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn has(&self, header: &str) -> bool {
        self.head.lines().any(|line| line == header)
    }
}

impl Client {
    pub(crate) fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream.set_write_timeout(Some(BOUND)).unwrap();
        Self {
            stream,
            bytes: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// Sends a request without a body.
    pub(crate) fn ask(&mut self, method: &str, path: &str) -> Reply {
        self.send(&format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        self.reply()
    }

    /// Sends the request of a task, and does not wait for the response.
    pub(crate) fn begin_post(&mut self, path: &str, body: &str) {
        let length = body.len();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
    }

    pub(crate) fn post(&mut self, path: &str, body: &str) -> Reply {
        self.begin_post(path, body);
        self.reply()
    }

    /// Reads a response.
    pub(crate) fn reply(&mut self) -> Reply {
        self.next_reply().expect("a response comes")
    }

    /// Reads a response. `None` if the connection ends.
    pub(crate) fn next_reply(&mut self) -> Option<Reply> {
        loop {
            if let Some(reply) = self.parse() {
                return Some(reply);
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    assert!(self.bytes.is_empty(), "cut: {:?}", self.bytes);
                    return None;
                }
                Ok(n) => self.bytes.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Whether the connection ends without another response.
    pub(crate) fn ends(&mut self) -> bool {
        self.next_reply().is_none()
    }

    /// Reads to the end of the connection.
    pub(crate) fn rest(&mut self) -> String {
        let mut bytes = mem::take(&mut self.bytes);
        self.stream.read_to_end(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn parse(&mut self) -> Option<Reply> {
        let end = self.bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = std::str::from_utf8(&self.bytes[..end]).unwrap().to_owned();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        if self.bytes.len() < end + length {
            return None;
        }
        let body = String::from_utf8(self.bytes[end..end + length].to_vec()).unwrap();
        self.bytes.drain(..end + length);
        Some(Reply { status, head, body })
    }
}
