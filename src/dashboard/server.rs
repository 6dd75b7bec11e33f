//! The threads of the dashboard, and what bounds them.
//!
//! Layer: dashboard.
//
// # The threads
//
// The acceptor takes connections, and hands each to a connection thread: an idle one, or one that
// it starts, up to `MOST_THREADS`. A connection thread reads one request, answers it, closes the
// connection, and waits for another one. It exits after `IDLE`.
//
// # What a client cannot do
//
// Each connection has one deadline, from when it was accepted, for its request and its reply. So a
// client that is slow, or gone, holds a thread for so long at most. Browsers open connections in
// advance and leave them idle: when all threads are busy, the acceptor closes a connection on which
// nothing has come for a moment, or no whole request for a second. Its thread then takes the new
// one. If there is none, the acceptor answers 503 itself. That write does not block: it fits into
// the empty buffer of the socket.
//
// # Closing
//
// The system resets a connection that is closed with something unread, and the client may then lose
// the reply. So what a refused client still sends is read and dropped for a while: by its thread.
// So is what follows a good request, if it is there already.
// For a 503 there is no thread, and the connection stays in `State::refused`, half closed.
//
// # Stopping
//
// The acceptor waits in `accept`, which only a connection ends: `stop` makes one. A thread that
// waits for its client waits in a socket, and `stop` shuts all of them. One that is in a panel, or
// in a hook of a task that it cancels, is waited for, but not for ever.

use crate::clock::spawn::{self, Thread};
use crate::clock::{self, Clock};
use crate::dashboard::api::Api;
use crate::dashboard::connection::{Connection, LINGER, Timed};
use crate::dashboard::http::{Failure, Request};
use crate::dashboard::reply::Reply;
use crate::panic::{self, Level};
use crate::sync::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{mem, process};

const MOST_THREADS: usize = 8;
/// For a request and its reply.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long a thread waits for another connection.
const IDLE: Duration = Duration::from_secs(5);
/// How many clients with a 503 may wait for their end.
const MOST_REFUSED: usize = 32;
/// How long the drop waits for the connection threads.
const STOP: Duration = Duration::from_secs(5);
/// How long the acceptor waits when the system is out of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// The running server. `stop` must be called at its end.
pub(crate) struct Server {
    shared: Arc<Shared>,
    acceptor: Option<Thread>,
    address: SocketAddr,
    /// A forked child has none of the threads.
    process: u32,
}

struct Shared {
    api: Api,
    state: Mutex<State>,
    /// Notified when a connection is queued, when the server stops, and when the acceptor ends.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_stopping: bool,
    has_accepted_last: bool,
    /// Connection threads, and those of them that wait for a connection.
    threads: usize,
    idle: usize,
    /// Each for an idle thread, or for one whose connection was just closed.
    queue: VecDeque<Arc<Connection>>,
    live: Vec<Arc<Connection>>,
    refused: VecDeque<(TcpStream, Instant)>,
    handles: Vec<Thread>,
}

impl Server {
    pub(crate) fn start(listener: TcpListener, api: Api) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            api,
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
        });
        let accept = {
            let shared = shared.clone();
            move || shared.accept_all(&listener)
        };
        let name = "dashboard".to_owned();
        let acceptor = spawn::spawn(&Clock::system(), name, None, Box::new(accept))?;
        Ok(Self {
            shared,
            acceptor: Some(acceptor),
            address,
            process: process::id(),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all threads, and joins them; not the calling one, in a panel that drops the dashboard.
    pub(crate) fn stop(&mut self) {
        if self.process != process::id() {
            return mem::forget(self.acceptor.take());
        }
        let mut state = self.shared.state.lock();
        state.is_stopping = true;
        state.queue.clear();
        state.refused.clear();
        for connection in &state.live {
            connection.close();
        }
        drop(state);
        self.shared.changed.notify_all();
        self.join_acceptor();
        self.join_threads();
    }

    /// A panel that hangs, or a hook that it calls, holds up its thread: not this one for ever.
    fn join_threads(&self) {
        let until = clock::now() + STOP;
        let mut state = self.shared.state.lock();
        let own = state.handles.iter().filter(|thread| thread.is_current());
        let own = own.count();
        let mut is_over = false;
        while state.threads > own && !is_over {
            is_over = clock::wait(&self.shared.changed, &mut state, Some(until));
        }
        let left = state.threads.saturating_sub(own);
        let handles = mem::take(&mut state.handles);
        drop(state);
        if left > 0 {
            let address = self.address;
            let text = format_args!(
                "{left} threads of the dashboard at {address} go on after its end: a panel, or a \
                 hook of a cancelled task, does not return"
            );
            return panic::log(Level::Warn, text);
        }
        let others = handles.into_iter().filter(|thread| !thread.is_current());
        others.for_each(|thread| drop(thread.join()));
    }

    fn join_acceptor(&mut self) {
        let ip = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let address = SocketAddr::new(ip, self.address.port());
        // Again, since the system may be out of file descriptors for a moment.
        for _ in 0..100 {
            let _ = TcpStream::connect_timeout(&address, DEADLINE);
            let until = clock::now() + PAUSE;
            let mut state = self.shared.state.lock();
            while !state.has_accepted_last {
                if clock::wait(&self.shared.changed, &mut state, Some(until)) {
                    break;
                }
            }
            if state.has_accepted_last {
                drop(state);
                let acceptor = self.acceptor.take();
                return drop(acceptor.map(Thread::join));
            }
        }
        let text = format_args!("the dashboard at {address} ends with its next connection");
        panic::log(Level::Warn, text);
    }
}

impl Shared {
    fn accept_all(self: &Arc<Self>, listener: &TcpListener) {
        let mut is_logged = false;
        loop {
            let accepted = listener.accept();
            let mut state = self.state.lock();
            if state.is_stopping {
                break;
            }
            match accepted {
                Ok((stream, _)) => {
                    is_logged = false;
                    self.admit(&mut state, stream);
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    drop(state);
                    if !mem::replace(&mut is_logged, true) {
                        let text = format_args!("the dashboard cannot take connections: {error}");
                        panic::log(Level::Warn, text);
                    }
                    let mut state = self.state.lock();
                    if !state.is_stopping {
                        clock::wait(&self.changed, &mut state, Some(clock::now() + PAUSE));
                    }
                }
            }
        }
        self.state.lock().has_accepted_last = true;
        self.changed.notify_all();
    }

    /// Finds a thread for a connection.
    fn admit(self: &Arc<Self>, state: &mut State, stream: TcpStream) {
        let now = clock::now();
        state.drop_refused(now);
        let connection = Arc::new(Connection::new(stream, now));
        if state.idle > state.queue.len()
            || state.threads == MOST_THREADS && state.close_unused(now)
        {
            state.queue.push_back(connection);
            // Only idle threads wait, as long as the server does not stop.
            self.changed.notify_one();
        } else if state.threads < MOST_THREADS && self.start_thread(state, &connection).is_ok() {
            state.threads += 1;
            state.live.push(connection);
        } else if let Some(connection) = Arc::into_inner(connection) {
            state.refuse(connection.stream, now);
        }
    }

    fn start_thread(
        self: &Arc<Self>,
        state: &mut State,
        first: &Arc<Connection>,
    ) -> io::Result<()> {
        state.handles.retain(|thread| !thread.is_finished());
        let (shared, connection) = (self.clone(), first.clone());
        let work = move || {
            let mut next = Some(connection);
            while let Some(connection) = next {
                shared.serve(&connection);
                next = shared.next(connection);
            }
        };
        let name = format!("dashboard-{}", state.threads);
        let thread = spawn::spawn(&Clock::system(), name, None, Box::new(work))?;
        state.handles.push(thread);
        Ok(())
    }

    /// Waits for another connection after `done`. `None` if the thread is to exit.
    fn next(&self, done: Arc<Connection>) -> Option<Arc<Connection>> {
        let mut state = self.state.lock();
        state.live.retain(|one| !Arc::ptr_eq(one, &done));
        drop(done);
        let until = clock::now() + IDLE;
        let mut is_over = false;
        state.idle += 1;
        let next = loop {
            let next = state.queue.pop_front();
            if next.is_some() || state.is_stopping || is_over {
                break next;
            }
            is_over = clock::wait(&self.changed, &mut state, Some(until));
        };
        state.idle -= 1;
        match &next {
            Some(connection) => state.live.push(connection.clone()),
            None => {
                state.threads -= 1;
                if state.is_stopping {
                    self.changed.notify_all();
                }
            }
        }
        state.drop_refused(clock::now());
        next
    }

    fn serve(&self, connection: &Connection) {
        let until = connection.began + DEADLINE;
        let mut stream = Timed { connection, until };
        let request = Request::read(&mut stream);
        connection.set_read();
        match request {
            Ok(request) => {
                let mut reply = Reply::text(500, "the request failed, and the log has the reason");
                panic::shield("a request of the dashboard", || {
                    reply = self.api.answer(&request);
                });
                if request.method == "HEAD" {
                    reply = reply.without_body();
                }
                if reply.write(&mut stream).is_ok() && connection.has_unread() {
                    stream.linger();
                }
            }
            Err(Failure::Refused(reply)) => {
                // The deadline may be over.
                stream.until = clock::now() + LINGER;
                if reply.write(&mut stream).is_ok() {
                    stream.linger();
                }
            }
            Err(Failure::Gone) => {}
        }
    }
}

/// Whether an error of `accept` is that of one connection.
fn is_passing(error: &io::Error) -> bool {
    let kinds = [
        ErrorKind::Interrupted,
        ErrorKind::ConnectionAborted,
        ErrorKind::ConnectionReset,
    ];
    kinds.contains(&error.kind())
}

impl State {
    /// Closes the oldest connection that may be closed for another one, if there is any.
    fn close_unused(&mut self, now: Instant) -> bool {
        let live = self.live.iter().filter(|one| one.may_be_closed(now));
        let oldest = live.min_by_key(|one| one.began);
        oldest.inspect(|one| one.evict()).is_some()
    }

    /// Answers 503. No thread is free, so this must not block.
    fn refuse(&mut self, stream: TcpStream, now: Instant) {
        let reply = Reply::text(503, "the dashboard has too many connections");
        if stream.set_nonblocking(true).is_err() || reply.write(&mut &stream).is_err() {
            return;
        }
        let _ = stream.shutdown(Shutdown::Write);
        if self.refused.len() == MOST_REFUSED {
            self.refused.pop_front();
        }
        self.refused.push_back((stream, now));
    }

    /// Closes the refused connections that have had their time.
    fn drop_refused(&mut self, now: Instant) {
        let is_over = |(_, since): &(TcpStream, Instant)| *since + LINGER <= now;
        while self.refused.front().is_some_and(is_over) {
            let _ = self
                .refused
                .pop_front()
                .map(|(mut stream, _)| stream.read(&mut [0; 4096]));
        }
    }
}
