//! The WebSockets of `http_service`.

use crate::http_service::{SHORT, serve, submit};
use crate::support::http::Client;
use crate::support::{BOUND, command, output, until};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};

type Socket = WebSocket<TcpStream>;

fn connect(address: &str) -> Socket {
    try_connect(address).unwrap()
}

/// Fails if the service has had no time to wait for the handshake.
fn try_connect(address: &str) -> Option<Socket> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    let (socket, _) = tungstenite::client(format!("ws://{address}/ws"), stream).ok()?;
    Some(socket)
}

/// Reads a message. A signal, such as that of a debugger, interrupts a read that has a time limit.
fn read(socket: &mut Socket) -> Result<Message, Error> {
    loop {
        match socket.read() {
            Err(Error::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

fn next(socket: &mut Socket) -> Value {
    let message = read(socket).unwrap();
    let value: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
    assert!(value["at"].as_str().unwrap().ends_with('Z'), "{value}");
    value
}

/// Returns how many are open. `None` if the service has had no time to wait for the request.
fn open(address: &str) -> Option<u64> {
    let mut client = Client::open(address);
    client.send("GET /api/status HTTP/1.1\r\nHost: a\r\n\r\n");
    client.next_reply()?.json()["websockets"]["open"].as_u64()
}

fn until_open(address: &str, number: u64) {
    until("the WebSockets to be as many", || {
        (open(address) == Some(number)).then_some(())
    });
}

#[test]
fn a_message_comes_back_and_what_is_no_json_is_named() {
    let (_program, address) = serve(&[]);
    let mut socket = connect(&address);
    socket.send(Message::text(r#"{"a": [1, null]}"#)).unwrap();
    let echo = next(&mut socket);
    assert_eq!(
        (&echo["type"], &echo["message"]),
        (&"echo".into(), &json!({"a": [1, null]}))
    );
    socket.send(Message::text("{")).unwrap();
    let error = next(&mut socket);
    assert_eq!(error["type"], "error");
    assert!(error["error"].as_str().unwrap().contains("EOF"), "{error}");
    socket.send(Message::binary(vec![1])).unwrap();
    assert_eq!(next(&mut socket)["type"], "error");
    socket.send(Message::Ping("x".into())).unwrap();
    assert_eq!(read(&mut socket).unwrap(), Message::Pong("x".into()));
}

#[test]
fn each_open_socket_gets_the_end_of_each_task_and_dead_ones_are_dropped() {
    let (_program, address) = serve(&[]);
    let (mut first, mut second) = (connect(&address), connect(&address));
    let third = connect(&address);
    until_open(&address, 3);
    third.get_ref().shutdown(Shutdown::Both).unwrap(); // without a word
    until_open(&address, 2);
    let mut client = Client::open(&address);
    let id = submit(&mut client, SHORT);
    for socket in [&mut first, &mut second] {
        let news = next(socket);
        assert_eq!(news["type"], "finished");
        assert_eq!(news["task"]["id"], id.as_str());
        assert_eq!(news["task"]["result"]["words"], 2);
    }
    let task = client.ask("GET", &format!("/api/tasks/{id}")).json();
    second.close(None).unwrap();
    assert!(matches!(read(&mut second), Ok(Message::Close(_))));
    assert!(matches!(read(&mut second), Err(Error::ConnectionClosed)));
    until_open(&address, 1);
    submit(&mut client, r#"{"text": "", "fail": true}"#);
    let news = next(&mut first);
    assert_eq!(news["task"]["error"], "the task was asked to fail");
    assert_eq!(task["state"], "succeeded");
}

#[test]
fn a_socket_that_does_not_read_is_dropped_and_holds_up_none() {
    let (mut program, address) = serve(&[]);
    let mut deaf = connect(&address);
    let mut reads = connect(&address);
    until_open(&address, 2);
    let news = Arc::new(AtomicU64::new(0));
    let count = news.clone();
    // Ends when the service does, at the latest.
    let reader = thread::spawn(move || {
        while let Ok(message) = read(&mut reads) {
            count.fetch_add(u64::from(message.is_text()), Ordering::Relaxed);
        }
    });
    // The echoes that it does not read fill the buffers of the socket, and then the service does
    // not read any more, either.
    let echo = Message::text(json!("x".repeat(60_000)).to_string());
    let talks = thread::spawn(move || while deaf.send(echo.clone()).is_ok() {});
    let mut tasks = 0;
    until("the deaf socket to be dropped", || {
        let mut command = command(env!("CARGO_BIN_EXE_http_load"));
        command.arg(format!("http://{address}/api/data?wait=60s"));
        // Fewer than may wait: a client that reads is not dropped, however late it runs.
        command.args(["--requests", "700", "--post", SHORT]);
        assert!(output(&mut command).status.success());
        tasks += 700;
        until("the other one to get all news", || {
            (news.load(Ordering::Relaxed) == tasks).then_some(())
        });
        (open(&address) == Some(1)).then_some(())
    });
    talks.join().unwrap();
    program.signal(Signal::TERM);
    assert_eq!(program.end().0.code(), Some(0));
    reader.join().unwrap();
}

#[test]
fn a_silent_socket_is_pinged_and_one_that_does_not_answer_is_dropped() {
    // On a slow machine the limit may be over before the test has done its part.
    let is_dropped = ["0.2", "2", "20"].into_iter().any(|limit| {
        let (_program, address) = serve(&["--client-timeout", limit]);
        let (Some(mut alive), Some(_silent)) = (try_connect(&address), try_connect(&address))
        else {
            return false;
        };
        // The next read answers the ping.
        let mut is_pinged = || matches!(read(&mut alive), Ok(Message::Ping(_)));
        while is_pinged() {
            if open(&address) == Some(1) {
                return is_pinged();
            }
        }
        false
    });
    assert!(is_dropped);
}

#[test]
fn a_message_that_is_too_large_ends_the_socket_with_a_reason() {
    let (_program, address) = serve(&[]);
    let mut socket = connect(&address);
    socket.send(Message::text("x".repeat(70_000))).unwrap();
    let Message::Close(Some(frame)) = read(&mut socket).unwrap() else {
        panic!("it is not closed");
    };
    assert_eq!(frame.code, CloseCode::Size);
    until_open(&address, 0);
}

#[test]
fn what_is_no_handshake_is_refused_and_so_is_one_too_many() {
    let (_program, address) = serve(&[]);
    let handshake = |headers: &str| {
        let mut client = Client::open(&address);
        client.send(&format!("GET /ws HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n"));
        client.reply()
    };
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket";
    assert!(handshake(upgrade).has("Sec-WebSocket-Version: 13"));
    let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ";
    assert_eq!(handshake(&format!("{upgrade}\r\n{key}short")).status, 400);
    let foreign = format!("{upgrade}\r\nOrigin: http://b\r\n{key}dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(handshake(&foreign).status, 403);
    let good = format!("{upgrade}\r\n{key}dGhlIHNhbXBsZSBub25jZQ==");
    let reply = handshake(&good);
    assert_eq!(reply.status, 101);
    assert!(
        reply.has("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        "{reply:?}"
    );
    until_open(&address, 0);
    let all: Vec<_> = (0..32).map(|_| connect(&address)).collect();
    let refused = handshake(&good);
    assert!(
        refused.status == 503 && refused.has("Retry-After: 1"),
        "{refused:?}"
    );
    drop(all);
}

#[test]
fn a_drain_sends_the_last_news_and_then_closes() {
    let (mut program, address) = serve(&["--workers", "1"]);
    let mut socket = connect(&address);
    until_open(&address, 1);
    let mut client = Client::open(&address);
    let ids: Vec<_> = (0..20).map(|_| submit(&mut client, SHORT)).collect();
    program.signal(Signal::TERM);
    for id in ids {
        assert_eq!(next(&mut socket)["task"]["id"], id.as_str());
    }
    let Message::Close(Some(frame)) = read(&mut socket).unwrap() else {
        panic!("it is not closed");
    };
    assert_eq!(frame.code, CloseCode::Away);
    assert!(read(&mut socket).is_err());
    assert_eq!(program.end().0.code(), Some(0));
}
