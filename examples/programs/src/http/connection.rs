//! A connection to a client.

use crate::http::head::Request;
use crate::http::reader::{Failure, Limits, Peer, Reader, Refusal};
use crate::http::response::Response;
use crate::lock;
use millhand::CancelToken;
use millhand::cancel::CancelGuard;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a client that still sends may be silent.
const SILENCE: Duration = Duration::from_secs(1);

/// A connection to a client: reads its requests, and writes the responses.
///
/// ```no_run
/// use millhand_programs::http::{Connection, Limits, Response};
///
/// let listener = std::net::TcpListener::bind("127.0.0.1:8080")?;
/// let stop = millhand::CancelToken::new();
/// for stream in listener.incoming() {
///     let connection = Connection::new(stream?, Limits::default(), &stop)?;
///     connection.serve(|request| Response::new(200, "text/plain", request.path.as_str()));
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A worker that waits for its client keeps its run slot: in a pool, let there be a worker for each
/// connection that may be open.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    reader: Reader,
    limits: Limits,
    /// Whether another request may follow.
    keeps_alive: bool,
    /// Of the request that is answered next.
    is_http_1_0: bool,
    is_head: bool,
    stop: CancelToken,
    /// Whether the connection waits for a request, so that the hook may end it.
    is_idle: Arc<Mutex<bool>>,
    _hook: CancelGuard,
}

impl Connection {
    /// Takes a connection. It ends when `stop` is cancelled: at once if it waits for a request, and
    /// otherwise after the response.
    ///
    /// # Errors
    /// If the socket cannot be set up.
    pub fn new(stream: TcpStream, limits: Limits, stop: &CancelToken) -> io::Result<Self> {
        // A response is one write, and is not to wait for the next one.
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limits.time))?;
        stream.set_write_timeout(Some(limits.time))?;
        let stream = Arc::new(stream);
        let is_idle = Arc::new(Mutex::new(false));
        let hook = {
            let (stream, is_idle) = (stream.clone(), is_idle.clone());
            stop.on_cancel(move |_| {
                // With the lock held: the connection either sees the token when it begins to wait,
                // or has begun.
                if *lock(&is_idle) {
                    let _ = stream.shutdown(Shutdown::Read);
                }
            })
        };
        Ok(Self {
            socket: Socket {
                stream,
                read_timeout: limits.time,
                write_timeout: limits.time,
            },
            reader: Reader::default(),
            limits,
            keeps_alive: true,
            is_http_1_0: false,
            is_head: false,
            stop: stop.clone(),
            is_idle,
            _hook: hook,
        })
    }

    /// The socket, to shut it down from elsewhere.
    pub fn stream(&self) -> &Arc<TcpStream> {
        &self.socket.stream
    }

    /// Answers requests to the end of the connection. After a response with the status 101, returns
    /// the socket for the other protocol, and what has been read of that already.
    pub fn serve(
        mut self,
        mut answer: impl FnMut(&Request) -> Response,
    ) -> Option<(Arc<TcpStream>, Vec<u8>)> {
        loop {
            let (response, patience) = match self.read() {
                Ok(Some(request)) => (answer(&request), SILENCE),
                Ok(None) => return None,
                // The rest of the request may be on its way.
                Err(refusal) => (refusal.into(), self.limits.time),
            };
            self.respond(&response).ok()?;
            if response.status == 101 {
                return Some((self.socket.stream, self.reader.into_bytes()));
            }
            if !self.keeps_alive {
                linger(&self.socket.stream, patience);
                return None;
            }
        }
    }

    /// Reads the next request. `None` after the last one: the client has closed the connection, has
    /// been silent for too long, or either side has said that the connection ends.
    ///
    /// # Errors
    /// What is wrong with the request, as the answer to it.
    pub fn read(&mut self) -> Result<Option<Request>, Refusal> {
        if !self.keeps_alive {
            return Ok(None);
        }
        self.keeps_alive = false; // unless a good request says otherwise
        self.is_head = false;
        match self.read_request() {
            Ok(request) => Ok(Some(request)),
            Err(Failure::Gone) => Ok(None),
            Err(Failure::Refused(refusal)) => Err(refusal),
        }
    }

    fn read_request(&mut self) -> Result<Request, Failure> {
        if self.reader.is_empty() {
            self.wait()?;
        }
        let head = self.reader.head(&mut self.socket, &self.limits)?;
        self.is_head = head.request.method == "HEAD";
        self.is_http_1_0 = head.is_http_1_0;
        let keeps_alive = head.keeps_alive;
        let request = self.reader.body(head, &mut self.socket, &self.limits)?;
        self.keeps_alive = keeps_alive;
        Ok(request)
    }

    /// Waits for the first bytes of a request.
    fn wait(&mut self) -> Result<(), Failure> {
        {
            let mut is_idle = lock(&self.is_idle);
            if self.stop.is_cancelled() {
                return Err(Failure::Gone);
            }
            *is_idle = true;
        }
        let until = Instant::now() + self.limits.time;
        let come = self.reader.wait(&mut self.socket, until);
        *lock(&self.is_idle) = false;
        come
    }

    /// Writes a response. With the header `Connection: close` it is the last one.
    ///
    /// # Errors
    /// If the client is gone, or does not read in time.
    pub fn respond(&mut self, response: &Response) -> io::Result<()> {
        let own = response.connection();
        let closes = own.is_some_and(|own| own.eq_ignore_ascii_case("close"));
        self.keeps_alive &= !closes && !self.stop.is_cancelled();
        let connection = match self.keeps_alive {
            _ if own.is_some() => None,
            false => Some("close"),
            true if self.is_http_1_0 => Some("keep-alive"),
            true => None,
        };
        let bytes = response.to_bytes(connection, !self.is_head);
        let until = Instant::now() + self.limits.time;
        self.socket.write(&bytes, until)
    }
}

/// Ends a connection so that the client gets all that was written. The system would take that back
/// if the socket were closed with something unread.
///
/// Reads and drops what the client still sends, until the client closes its side or is silent for a
/// second, for `time` at most.
pub fn linger(stream: &TcpStream, time: Duration) {
    let _ = stream.shutdown(Shutdown::Write);
    let until = Instant::now() + time;
    let mut chunk = [0; 4096];
    loop {
        let left = until.saturating_duration_since(Instant::now()).min(SILENCE);
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return;
        }
        match (&*stream).read(&mut chunk) {
            Ok(1..) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}

/// A socket whose time limits are changed only where they differ from those before.
#[derive(Debug)]
struct Socket {
    stream: Arc<TcpStream>,
    read_timeout: Duration,
    write_timeout: Duration,
}

/// What is left, more than zero. In steps, so that the same limit serves many reads.
fn left(until: Instant, timeout: Duration) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    let is_about = left <= timeout && timeout - left < timeout / 64;
    Ok(if is_about { timeout } else { left })
}

impl Peer for Socket {
    fn read(&mut self, into: &mut [u8], until: Instant) -> io::Result<usize> {
        loop {
            let left = left(until, self.read_timeout)?;
            if left != self.read_timeout {
                self.stream.set_read_timeout(Some(left))?;
                self.read_timeout = left;
            }
            match (&*self.stream).read(into) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    fn write(&mut self, mut bytes: &[u8], until: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            let left = left(until, self.write_timeout)?;
            if left != self.write_timeout {
                self.stream.set_write_timeout(Some(left))?;
                self.write_timeout = left;
            }
            match (&*self.stream).write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
