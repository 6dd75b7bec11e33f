//! The WebSockets: an echo, and news of every task that has ended.
//
// They have a pool of their own, since each one stays for as long as its client likes: in the pool
// of the connections they would take the places of requests. A WebSocket is one task, which reads.
//
// Writes are tasks, too, in the lane of their WebSocket: one at a time, in order. So a worker that
// has news submits them, and never waits for a client. The writes to a client that does not read
// stay in its lane, and a semaphore bounds how many: one more, and the WebSocket is dropped. The
// task that reads writes its echoes itself, in the same lane. It waits for its turn there, and
// meanwhile reads no more from a client that does not read.
//
// At most one task reads and one writes for each WebSocket, and the pool has a worker for each of
// them. So no client waits for another one.

use crate::tasks::TaskView;
use jiff::Timestamp;
use millhand::limit::{Lane, Lanes, Permit};
use millhand::{PoolHandle, Semaphore, TaskBuilder, ThreadPool};
use millhand_programs::http::{Request, Response, linger};
use millhand_programs::lock;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Bytes, Error, Message, WebSocket};

/// How many WebSockets may be open.
pub(crate) const MOST_SOCKETS: u32 = 32;
/// How many writes may wait in the lane of a WebSocket.
const MOST_WAITING: u32 = 1024;
/// How long a message of a client may be.
const MOST_MESSAGE: usize = 64 * 1024;
/// How long the end of a WebSocket may take.
const LINGER: Duration = Duration::from_secs(2);

/// The open WebSockets.
pub(crate) struct Hub {
    pool: PoolHandle,
    lanes: Lanes<u64>,
    places: Semaphore,
    /// A client may be silent for so long. Then it is pinged, and after the same time dropped.
    patience: Duration,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    sockets: HashMap<u64, Arc<Socket>>,
}

/// What is written to, by any thread.
struct Socket {
    stream: Arc<TcpStream>,
    lane: Lane,
    /// The template of the writes.
    writes: TaskBuilder,
    room: Semaphore,
}

impl Hub {
    pub(crate) fn new(pool: &ThreadPool, patience: Duration) -> Self {
        Self {
            pool: pool.handle(),
            lanes: Lanes::new(),
            places: Semaphore::new(MOST_SOCKETS).expect("the number is not zero"),
            patience,
            open: Mutex::new(Open::default()),
        }
    }

    /// Answers a request for a WebSocket. With the permit the connection may become one.
    pub(crate) fn upgrade(&self, request: &Request) -> (Response, Option<Permit>) {
        let key = request.header("sec-websocket-key").unwrap_or_default();
        let is_asked = request.has_word("connection", "upgrade")
            && request.has_word("upgrade", "websocket")
            && request.header("sec-websocket-version") == Some("13");
        if !is_asked {
            let response = Response::error(426, "/ws is for WebSockets, version 13")
                .header("Upgrade", "websocket")
                .header("Connection", "Upgrade")
                .header("Sec-WebSocket-Version", "13");
            return (response, None);
        }
        if key.len() != 24 {
            let response = Response::error(400, "sec-websocket-key has not 24 characters");
            return (response, None);
        }
        let Ok(permit) = self.places.try_acquire() else {
            let text = format!("{MOST_SOCKETS} WebSockets are open, which is all there may be");
            let response = Response::error(503, &text).header("Retry-After", "1");
            return (response, None);
        };
        let response = Response::empty(101)
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Accept", derive_accept_key(key.as_bytes()));
        (response, Some(permit))
    }

    /// Takes a connection that was upgraded, with what has been read of it already.
    pub(crate) fn take(self: &Arc<Self>, stream: Arc<TcpStream>, read: Vec<u8>, permit: Permit) {
        let (number, socket) = self.open(stream);
        let hub = self.clone();
        self.pool.task().name("websocket").execute(move || {
            let stream = socket.stream.clone();
            let token = millhand::current().expect("a task runs here").token();
            let _hook = token.on_cancel(move |_| drop(stream.shutdown(Shutdown::Both)));
            socket.serve(read);
            drop(permit);
            lock(&hub.open).sockets.remove(&number);
        });
    }

    fn open(&self, stream: Arc<TcpStream>) -> (u64, Arc<Socket>) {
        // An error here comes again at the first read.
        let _ = stream.set_read_timeout(Some(self.patience));
        let _ = stream.set_write_timeout(Some(self.patience));
        let mut open = lock(&self.open);
        open.next += 1;
        let number = open.next;
        let lane = self.lanes.key(number);
        let socket = Arc::new(Socket {
            stream,
            writes: self.pool.task().gate(&lane),
            lane,
            room: Semaphore::new(MOST_WAITING).expect("the number is not zero"),
        });
        open.sockets.insert(number, socket.clone());
        (number, socket)
    }

    /// Sends news of a task that has ended.
    pub(crate) fn announce(&self, task: &TaskView) {
        let open = lock(&self.open);
        if open.sockets.is_empty() {
            return;
        }
        let message = json!({"type": "finished", "at": now(), "task": task});
        let frame = Frame::message(message.to_string(), OpCode::Data(Data::Text), true);
        let bytes = to_bytes(frame);
        for socket in open.sockets.values() {
            socket.send(bytes.clone(), false);
        }
    }

    /// Closes all WebSockets, each after what is still to be written there.
    pub(crate) fn close(&self) {
        let reason = CloseFrame {
            code: CloseCode::Away,
            reason: "the service ends".into(),
        };
        let bytes = to_bytes(Frame::close(Some(reason)));
        for socket in lock(&self.open).sockets.values() {
            socket.send(bytes.clone(), true);
        }
    }

    /// How many get news.
    pub(crate) fn len(&self) -> usize {
        lock(&self.open).sockets.len()
    }
}

impl Socket {
    /// Submits a write. Never waits. A client that has not read for too long is dropped. After the
    /// last write, the task that reads ends when the client has closed its side, too.
    fn send(self: &Arc<Self>, bytes: Bytes, is_last: bool) {
        let Ok(permit) = self.room.try_acquire() else {
            return self.end();
        };
        let socket = self.clone();
        self.writes.execute(move || {
            if (&*socket.stream).write_all(&bytes).is_err() {
                socket.end(); // a frame may have been written in part
            } else if is_last {
                let _ = socket.stream.shutdown(Shutdown::Write);
            }
            drop(permit);
        });
    }

    /// Ends what is being read and written.
    fn end(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Answers the client to the end of the connection.
    fn serve(self: &Arc<Self>, read: Vec<u8>) {
        let config = WebSocketConfig::default()
            .read_buffer_size(4 * 1024)
            .max_message_size(Some(MOST_MESSAGE))
            .max_frame_size(Some(MOST_MESSAGE));
        let lane = InLane(self.clone());
        let mut client = WebSocket::from_partially_read(lane, read, Role::Server, Some(config));
        let mut is_pinged = false;
        loop {
            let sent = match client.read() {
                // Pings are answered by the next read.
                Ok(message) => {
                    is_pinged = false;
                    echo(message).map_or(Ok(()), |echo| client.send(echo))
                }
                Err(Error::Io(error)) if is_timeout(&error) && !is_pinged => {
                    is_pinged = true;
                    client.send(Message::Ping(Bytes::new()))
                }
                Err(error) => {
                    log::debug!("a WebSocket ends: {error}");
                    refuse(&mut client, &error);
                    break;
                }
            };
            if sent.is_err() {
                break;
            }
        }
        linger(&self.stream, LINGER);
    }
}

/// The answer to a message of a client, if it gets one.
fn echo(message: Message) -> Option<Message> {
    let answer = match message {
        Message::Text(text) => match serde_json::from_str::<Value>(&text) {
            Ok(value) => json!({"type": "echo", "at": now(), "message": value}),
            Err(error) => json!({"type": "error", "at": now(), "error": error.to_string()}),
        },
        Message::Binary(_) => {
            json!({"type": "error", "at": now(), "error": "a message is text, in JSON"})
        }
        _ => return None,
    };
    Some(Message::text(answer.to_string()))
}

/// Says why, if the client is at fault.
fn refuse(client: &mut WebSocket<InLane>, error: &Error) {
    let code = match error {
        Error::Capacity(_) => CloseCode::Size,
        Error::Utf8(_) => CloseCode::Invalid,
        Error::Protocol(_) => CloseCode::Protocol,
        _ => return,
    };
    let reason = error.to_string().into();
    // The client may be gone.
    let _ = client.close(Some(CloseFrame { code, reason }));
    let _ = client.flush();
}

/// The socket as the task sees that reads. Each write has whole frames, and waits for its turn.
struct InLane(Arc<Socket>);

impl Read for InLane {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match (&*self.0.stream).read(into) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

impl Write for InLane {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self(socket) = self;
        socket.lane.run(|| (&*socket.stream).write_all(bytes))??;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

fn to_bytes(frame: Frame) -> Bytes {
    let mut bytes = Vec::with_capacity(frame.len());
    frame.format(&mut bytes).expect("a vector takes all bytes");
    bytes.into()
}

fn now() -> String {
    Timestamp::now().to_string()
}
