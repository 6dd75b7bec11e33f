//! Reads one request after the other, with limits.

use crate::http::chunked::Chunks;
use crate::http::head::{self, Framing, Head, Request};
use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

/// What a client may take: of memory, and of time.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The bytes of the line and the headers of a request. Default: 16 KiB.
    pub head: usize,
    /// The bytes of a body. Default: 1 MiB.
    pub body: usize,
    /// How long each of these may take in all: the wait for the next request, its head, its body,
    /// and the write of a response. Default: 10 seconds.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 16 * 1024,
            body: 1024 * 1024,
            time: Duration::from_secs(10),
        }
    }
}

/// Why a request was not read, for the client: after this answer the connection ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub status: u16,
    pub text: Cow<'static, str>,
}

impl Refusal {
    pub(super) fn new(status: u16, text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        Self { status, text }
    }

    pub(super) fn too_large(most: usize) -> Self {
        Self::new(413, format!("the body is larger than {most} bytes"))
    }
}

/// Why there is no request.
#[derive(Debug)]
pub(super) enum Failure {
    /// The client is gone, or has sent nothing: no answer is due.
    Gone,
    Refused(Refusal),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The other side: a socket, and in the tests of this file a text.
pub(super) trait Peer {
    /// Reads some bytes, 0 at the end. Fails as `TimedOut` or `WouldBlock` at `until`.
    fn read(&mut self, into: &mut [u8], until: Instant) -> io::Result<usize>;

    /// Writes all bytes, or fails at `until`.
    fn write(&mut self, bytes: &[u8], until: Instant) -> io::Result<()>;
}

/// Keeps what has come and belongs to the next request.
#[derive(Debug, Default)]
pub(super) struct Reader {
    bytes: Vec<u8>,
}

impl Reader {
    /// Nothing of the next request has come.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns what has come, for a connection that changes its protocol.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Reads once. Returns how many bytes came.
    pub(super) fn fill(&mut self, peer: &mut dyn Peer, until: Instant) -> Result<usize, Failure> {
        let mut chunk = [0; 16 * 1024];
        loop {
            match peer.read(&mut chunk, until) {
                Ok(0) if self.bytes.is_empty() => return Err(Failure::Gone),
                Ok(0) => return Err(Refusal::new(400, "the request ends too early").into()),
                Ok(n) => {
                    self.bytes.extend_from_slice(&chunk[..n]);
                    return Ok(n);
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::TimedOut | ErrorKind::WouldBlock if !self.bytes.is_empty() => {
                        return Err(Refusal::new(408, "the request takes too long").into());
                    }
                    _ => return Err(Failure::Gone),
                },
            }
        }
    }

    /// Reads the rest of a request of which some bytes have come.
    pub(super) fn head(&mut self, peer: &mut dyn Peer, limits: &Limits) -> Result<Head, Failure> {
        let until = Instant::now() + limits.time;
        let mut new = self.bytes.len();
        loop {
            // Parsed when a line has ended, not for each byte; and at once, so that a client that
            // speaks another protocol is answered.
            let come = &self.bytes[self.bytes.len() - new..];
            if new == self.bytes.len() || come.contains(&b'\n') {
                if let Some(head) = head::parse(&self.bytes[..self.bytes.len().min(limits.head)])? {
                    self.bytes.drain(..head.length);
                    return Ok(head);
                }
            }
            if self.bytes.len() >= limits.head {
                let text = format!("the head is larger than {} bytes", limits.head);
                return Err(Refusal::new(431, text).into());
            }
            new = self.fill(peer, until)?;
        }
    }

    /// Reads the body, and completes the request.
    pub(super) fn body(
        &mut self,
        head: Head,
        peer: &mut dyn Peer,
        limits: &Limits,
    ) -> Result<Request, Failure> {
        let until = Instant::now() + limits.time;
        let mut request = head.request;
        let is_there = match head.framing {
            Framing::Length(length) if length > limits.body => {
                return Err(Refusal::too_large(limits.body).into());
            }
            Framing::Length(length) => self.bytes.len() >= length,
            Framing::Chunked => false,
        };
        if head.expects_continue && !is_there && self.bytes.is_empty() {
            let written = peer.write(b"HTTP/1.1 100 Continue\r\n\r\n", until);
            written.map_err(|_| Failure::Gone)?;
        }
        request.body = match head.framing {
            Framing::Length(0) => Vec::new(),
            Framing::Length(length) => self.sized(length, peer, until)?,
            Framing::Chunked => self.chunked(limits.body, peer, until)?,
        };
        Ok(request)
    }

    fn sized(
        &mut self,
        length: usize,
        peer: &mut dyn Peer,
        until: Instant,
    ) -> Result<Vec<u8>, Failure> {
        while self.bytes.len() < length {
            self.fill(peer, until).map_err(cut)?;
        }
        let rest = self.bytes.split_off(length);
        Ok(std::mem::replace(&mut self.bytes, rest))
    }

    fn chunked(
        &mut self,
        most: usize,
        peer: &mut dyn Peer,
        until: Instant,
    ) -> Result<Vec<u8>, Failure> {
        let mut chunks = Chunks::new(most);
        loop {
            let used = chunks.decode(&self.bytes)?;
            self.bytes.drain(..used);
            if chunks.is_done() {
                return Ok(chunks.into_body());
            }
            self.fill(peer, until).map_err(cut)?;
        }
    }
}

/// The same failure in the middle of a request, where an answer is due though nothing is kept.
fn cut(failure: Failure) -> Failure {
    match failure {
        Failure::Gone => Refusal::new(408, "the body does not come").into(),
        refused => refused,
    }
}
