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
    /// Reads some bytes, 0 at the end. Fails as `TimedOut` or `WouldBlock` at `until`, and is
    /// never interrupted.
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

    /// Waits for the first bytes of a request.
    pub(super) fn wait(&mut self, peer: &mut dyn Peer, until: Instant) -> Result<(), Failure> {
        match self.fill(peer, until) {
            Ok(_) => Ok(()),
            Err(_) => Err(Failure::Gone), // it has not begun
        }
    }

    /// Reads once, in the middle of a request. Returns how many bytes came.
    fn fill(&mut self, peer: &mut dyn Peer, until: Instant) -> Result<usize, Failure> {
        let mut chunk = [0; 16 * 1024];
        match peer.read(&mut chunk, until) {
            Ok(0) => Err(Refusal::new(400, "the request ends too early").into()),
            Ok(n) => {
                self.bytes.extend_from_slice(&chunk[..n]);
                Ok(n)
            }
            Err(error) => match error.kind() {
                ErrorKind::TimedOut | ErrorKind::WouldBlock => {
                    Err(Refusal::new(408, "the request takes too long").into())
                }
                _ => Err(Failure::Gone),
            },
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
            self.fill(peer, until)?;
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
            self.fill(peer, until)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a text in pieces of so many bytes. Then it is silent, or ends.
    struct Pieces<'a> {
        text: &'a [u8],
        size: usize,
        ends: bool,
        written: Vec<u8>,
    }

    impl Peer for Pieces<'_> {
        fn read(&mut self, into: &mut [u8], _: Instant) -> io::Result<usize> {
            if self.text.is_empty() && !self.ends {
                return Err(ErrorKind::WouldBlock.into());
            }
            let n = self.size.min(into.len()).min(self.text.len());
            into[..n].copy_from_slice(&self.text[..n]);
            self.text = &self.text[n..];
            Ok(n)
        }

        fn write(&mut self, bytes: &[u8], _: Instant) -> io::Result<()> {
            self.written.extend_from_slice(bytes);
            Ok(())
        }
    }

    fn pieces(text: &[u8], size: usize) -> Pieces<'_> {
        Pieces {
            text,
            size,
            ends: false,
            written: Vec::new(),
        }
    }

    /// Reads one request as a connection does.
    fn read(reader: &mut Reader, peer: &mut dyn Peer) -> Result<Request, Failure> {
        let limits = Limits {
            head: 200,
            body: 100,
            ..Limits::default()
        };
        if reader.is_empty() {
            reader.wait(peer, Instant::now() + limits.time)?;
        }
        let head = reader.head(peer, &limits)?;
        reader.body(head, peer, &limits)
    }

    /// The status of the refusal. 0: no answer is due.
    fn refused(peer: &mut dyn Peer) -> u16 {
        match read(&mut Reader::default(), peer) {
            Ok(request) => panic!("taken: {request:?}"),
            Err(Failure::Gone) => 0,
            Err(Failure::Refused(refusal)) => refusal.status,
        }
    }

    const SIZED: &[u8] = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    const CHUNKED: &[u8] =
        b"POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    const BARE: &[u8] = b"GET /c HTTP/1.1\r\nHost: a\r\n\r\n";

    #[test]
    fn requests_in_a_row_are_read_in_pieces_of_any_size() {
        let text = [SIZED, CHUNKED, BARE, SIZED].concat();
        for size in 1..=text.len() {
            let mut peer = pieces(&text, size);
            let mut reader = Reader::default();
            for (path, body) in [("/a", "body"), ("/b", "body"), ("/c", ""), ("/a", "body")] {
                let request = read(&mut reader, &mut peer).unwrap();
                assert_eq!((&*request.path, &*request.body), (path, body.as_bytes()));
            }
            assert!(matches!(read(&mut reader, &mut peer), Err(Failure::Gone)));
        }
    }

    #[test]
    fn a_request_that_is_cut_anywhere_is_refused() {
        for text in [SIZED, CHUNKED, BARE] {
            for end in 0..text.len() {
                let mut peer = pieces(&text[..end], 3);
                let silent = refused(&mut peer);
                assert_eq!(silent, if end == 0 { 0 } else { 408 }, "{end}");
                let mut peer = pieces(&text[..end], 3);
                peer.ends = true;
                let ended = refused(&mut peer);
                assert_eq!(ended, if end == 0 { 0 } else { 400 }, "{end}");
            }
        }
    }

    #[test]
    fn heads_and_bodies_are_bounded() {
        let head = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "x".repeat(200)
        );
        for size in [1, 7, 1000] {
            assert_eq!(refused(&mut pieces(head.as_bytes(), size)), 431);
        }
        let endless = "GET / HTTP/1.1\r\n".to_owned() + &"x".repeat(1000);
        assert_eq!(refused(&mut pieces(endless.as_bytes(), 50)), 431);
        let body = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n";
        assert_eq!(refused(&mut pieces(body, 1000)), 413);
        let body = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n";
        assert_eq!(refused(&mut pieces(body, 1000)), 413);
    }

    #[test]
    fn a_client_that_waits_for_the_word_gets_it_once() {
        let head =
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
        let text = format!("{head}ab");
        let mut peer = pieces(text.as_bytes(), head.len());
        assert_eq!(read(&mut Reader::default(), &mut peer).unwrap().body, b"ab");
        assert_eq!(peer.written, b"HTTP/1.1 100 Continue\r\n\r\n");
        // The body is there already.
        let mut peer = pieces(text.as_bytes(), text.len());
        assert_eq!(read(&mut Reader::default(), &mut peer).unwrap().body, b"ab");
        assert!(peer.written.is_empty());
        // It would be refused.
        let large = head.replace("Length: 2", "Length: 200");
        let mut peer = pieces(large.as_bytes(), large.len());
        assert_eq!(refused(&mut peer), 413);
        assert!(peer.written.is_empty());
    }
}
