//! A connection to a client, and its deadline.
//!
//! Layer: dashboard.
//
// The acceptor may close a connection whose client holds a thread for nothing: one without a byte
// for `GRACE`, or without a whole request for `HEAD_GRACE`. The flags say how far the client is.
// They are hints alone: the thread of a connection that is closed just as its request came finds
// that out from the socket.

use crate::clock;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a connection may be without a byte though others wait.
const GRACE: Duration = Duration::from_millis(250);
/// How long its request may be incomplete though others wait.
const HEAD_GRACE: Duration = Duration::from_secs(1);
/// How long, and how much, is read from a client that sends more than is wanted.
pub(crate) const LINGER: Duration = Duration::from_millis(500);
const MOST_DROPPED: usize = 256 * 1024;

pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) began: Instant,
    /// Set by its thread when the first byte came, and by the acceptor when it closes it.
    is_used: AtomicBool,
    /// Set by its thread when the request is read or refused, and by the acceptor as above.
    is_read: AtomicBool,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, began: Instant) -> Self {
        Self {
            stream,
            began,
            is_used: AtomicBool::new(false),
            is_read: AtomicBool::new(false),
        }
    }

    /// Its request has been read.
    pub(crate) fn set_read(&self) {
        self.is_read.store(true, Ordering::Relaxed);
    }

    /// Whether the acceptor may close it for another one.
    pub(crate) fn may_be_closed(&self, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.began);
        // Flags alone: see above.
        let is_unused = age >= GRACE && !self.is_used.load(Ordering::Relaxed);
        is_unused || age >= HEAD_GRACE && !self.is_read.load(Ordering::Relaxed)
    }

    /// Closes it, so that it is not closed for another one again.
    pub(crate) fn evict(&self) {
        self.is_used.store(true, Ordering::Relaxed);
        self.is_read.store(true, Ordering::Relaxed);
        self.close();
    }

    /// Ends what its thread waits for.
    pub(crate) fn close(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Whether the client has sent something that is not read.
    pub(crate) fn has_unread(&self) -> bool {
        let is_there = || {
            self.stream.set_nonblocking(true)?;
            let peeked = self.stream.peek(&mut [0]);
            self.stream.set_nonblocking(false)?;
            peeked
        };
        is_there().is_ok_and(|n| n > 0)
    }
}

/// Its socket with a deadline for all that is read and written.
pub(crate) struct Timed<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) until: Instant,
}

impl Timed<'_> {
    /// What is left, more than zero.
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(clock::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(Some(left))
    }

    /// Reads what a client still sends, so that it gets its reply.
    pub(crate) fn linger(&mut self) {
        let _ = self.connection.stream.shutdown(Shutdown::Write);
        self.until = clock::now() + LINGER;
        let mut dropped = 0;
        let mut chunk = [0; 4096];
        while let Ok(n) = self.read(&mut chunk) {
            dropped += n;
            if n == 0 || dropped > MOST_DROPPED {
                break;
            }
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut stream = &self.connection.stream;
        stream.set_read_timeout(self.left()?)?;
        let n = stream.read(into)?;
        self.connection.is_used.store(true, Ordering::Relaxed);
        Ok(n)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stream = &self.connection.stream;
        stream.set_write_timeout(self.left()?)?;
        stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
