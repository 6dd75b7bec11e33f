//! What `http_service` answers to clients that are wrong, slow, or ahead of it.

use crate::http_service::{ENDLESS, SHORT, serve, submit, until_busy};
use crate::support::http::{Client, Reply};
use crate::support::until;
use std::io::{self, ErrorKind, Write};

/// The reply to a request, on a connection of its own.
fn reply(address: &str, request: &str) -> Reply {
    let mut client = Client::open(address);
    client.send(request);
    client.reply()
}

/// Whether a write has failed since the service has closed the connection. The client has a time
/// limit, too.
fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
    )
}

/// An error is JSON, and says what is wrong.
fn check(reply: &Reply, status: u16, text: &str) {
    assert_eq!(reply.status, status, "{reply:?}");
    let error = reply.json();
    assert_eq!(error["status"], status, "{reply:?}");
    let error = error["error"].as_str().unwrap();
    assert!(error.contains(text), "{error} has no {text:?}");
}

#[test]
fn bad_bodies_are_named_and_the_connection_stays() {
    let (_program, address) = serve(&[]);
    let mut client = Client::open(&address);
    for (body, text) in [
        ("", "EOF"),
        ("{", "line 1 column 1"),
        ("[]", "invalid"),
        ("{}", "either `text` or `numbers`"),
        (
            r#"{"text": "a", "numbers": [1]}"#,
            "either `text` or `numbers`",
        ),
        (r#"{"numbers": []}"#, "`numbers` is empty"),
        (r#"{"numbers": ["a"]}"#, "expected f64"),
        (r#"{"words": "a"}"#, "unknown field `words`"),
        (
            r#"{"text": "a", "cost_ms": 60001}"#,
            "`cost_ms` is at most 60000",
        ),
        ("{\"text\": \"\u{e9}", "EOF"),
    ] {
        check(&client.post("/api/data", body), 400, text);
    }
    for wait in [
        "2",
        "s",
        "-1s",
        "1h",
        "61s",
        "2s&wait",
        "99999999999999999999s",
    ] {
        let reply = client.post(&format!("/api/data?wait={wait}"), SHORT);
        match wait.contains('&') {
            true => assert_eq!(reply.status, 200, "{reply:?}"), // the first one counts
            false => check(&reply, 400, "wait is a time such as 2s"),
        }
    }
}

#[test]
fn wrong_paths_methods_and_ids_are_named() {
    let (_program, address) = serve(&[]);
    let mut client = Client::open(&address);
    check(&client.ask("GET", "/api"), 404, "nothing at /api");
    for (method, path, allowed) in [
        ("GET", "/api/data", "POST"),
        ("DELETE", "/api/status", "GET, HEAD"),
        ("DELETE", "/", "GET, HEAD"),
        ("OPTIONS", "/api/tasks/1", "GET, HEAD, DELETE"),
        ("DELETE", "/ws", "GET"),
    ] {
        let reply = client.ask(method, path);
        check(&reply, 405, allowed);
        assert!(reply.has(&format!("Allow: {allowed}")), "{reply:?}");
    }
    for id in ["1", "0", "-1", "x", "", "1/2", "99999999999999999999999"] {
        for method in ["GET", "DELETE"] {
            let reply = client.ask(method, &format!("/api/tasks/{id}"));
            check(&reply, 404, "unknown or has been forgotten");
        }
    }
    check(&client.ask("GET", "/ws"), 426, "WebSockets");
    let foreign =
        "POST /api/data HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\nContent-Length: 0\r\n\r\n";
    check(&reply(&address, foreign), 403, "another site");
}

#[test]
fn requests_that_cannot_be_read_are_refused_and_end_the_connection() {
    let (_program, address) = serve(&[]);
    let post = |headers: &str| format!("POST /api/data HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n");
    for (request, status, text) in [
        ("hello\r\n\r\n".to_owned(), 400, "not an HTTP request"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400, "host is missing"),
        (
            post("Content-Length: 1\r\nTransfer-Encoding: chunked"),
            400,
            "exclude each other",
        ),
        (post("Content-Length: one"), 400, "not a number"),
        (
            post("Transfer-Encoding: chunked\r\n\r\nx\r\n"),
            400,
            "not hexadecimal",
        ),
        (post("X: y"), 411, "content-length"),
        (post("Content-Length: 1048577"), 413, "larger than 1048576"),
        (
            post("Transfer-Encoding: chunked\r\n\r\n100001\r\n"),
            413,
            "larger than 1048576",
        ),
        (
            post("Expect: tea\r\nContent-Length: 1"),
            417,
            "100-continue",
        ),
        (
            post(&format!("X: {}", "x".repeat(20_000))),
            431,
            "head is larger",
        ),
        (post("Transfer-Encoding: gzip"), 501, "chunked"),
    ] {
        let mut client = Client::open(&address);
        client.send(&request);
        let reply = client.reply();
        check(&reply, status, text);
        assert!(reply.has("Connection: close"), "{reply:?}");
        assert!(client.ends());
    }
}

#[test]
fn a_body_that_is_refused_may_be_on_its_way() {
    let (_program, address) = serve(&[]);
    let mut client = Client::open(&address);
    client.send("POST /api/data HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n");
    // More than the buffers of the sockets take. The service reads and drops it.
    client.stream.write_all(&vec![b' '; 3_000_000]).unwrap();
    check(&client.reply(), 413, "larger than 1048576");
    assert!(client.ends());
}

#[test]
fn requests_may_come_in_a_row_and_in_any_pieces() {
    let (_program, address) = serve(&[]);
    let mut client = Client::open(&address);
    let chunked =
        "Transfer-Encoding: chunked\r\n\r\n6\r\n{\"text\r\nb;x\r\n\": \"a b c\"}\r\n0\r\n\r\n";
    let all = format!(
        "GET /api/tasks/1 HTTP/1.1\r\nHost: a\r\n\r\n\
         POST /api/data?wait=60s HTTP/1.1\r\nHost: a\r\n{chunked}\
         HEAD /api/status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    );
    for byte in all.bytes() {
        client.stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(client.reply().status, 404);
    assert_eq!(client.reply().json()["result"]["words"], 3);
    let last = client.rest();
    assert!(
        last.starts_with("HTTP/1.1 200 OK\r\n") && last.ends_with("\r\n\r\n"),
        "{last}"
    );
    assert!(last.contains("Connection: close\r\n"), "{last}");
}

#[test]
fn a_client_of_http_1_0_keeps_its_connection_if_it_asks_for_that() {
    let (_program, address) = serve(&[]);
    let mut client = Client::open(&address);
    client.send("GET /api/tasks/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let reply = client.reply();
    assert!(
        reply.status == 404 && reply.has("Connection: keep-alive"),
        "{reply:?}"
    );
    client.send("GET /api/tasks/1 HTTP/1.0\r\n\r\n");
    assert!(client.reply().has("Connection: close"));
    assert!(client.ends());
}

#[test]
fn slow_clients_are_answered_and_sent_away() {
    for part in [
        "GET / HTTP/1.1\r\n",
        "POST /api/data HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n{",
    ] {
        // On a slow machine the limit may be over before the service has the first byte. Then there
        // is no answer.
        let reply = ["0.3", "2", "20"].into_iter().find_map(|limit| {
            let (_program, address) = serve(&["--client-timeout", limit]);
            let mut client = Client::open(&address);
            client.send(part);
            let reply = client.next_reply();
            assert!(reply.is_none() || client.ends());
            reply
        });
        check(&reply.expect("an answer"), 408, "too long");
    }
}

#[test]
fn a_client_that_sends_nothing_is_sent_away_without_an_answer() {
    let (_program, address) = serve(&["--client-timeout", "0.3"]);
    assert!(Client::open(&address).ends());
}

#[test]
fn a_client_that_sends_byte_by_byte_has_no_more_time() {
    let (_program, address) = serve(&["--client-timeout", "0.3"]);
    let mut client = Client::open(&address);
    client.send("GET / HTTP/1.1\r\nX: ");
    // Each byte is on time, and the whole is not. The bytes that can be sent meanwhile are fewer
    // than a head may have.
    let ended = until("the service to have enough", || {
        client.stream.write_all(b"x").err()
    });
    assert!(is_closed(&ended), "{ended}");
}

#[test]
fn a_client_that_reads_no_responses_is_sent_away() {
    let (_program, address) = serve(&["--client-timeout", "0.3"]);
    let mut client = Client::open(&address);
    let requests = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
    let ended = until("the service to close the connection", || {
        client.stream.write_all(requests.as_bytes()).err()
    });
    assert!(is_closed(&ended), "{ended}");
}

#[test]
fn with_all_connections_taken_each_one_ends_after_its_response() {
    let (_program, address) = serve(&["--connections", "2", "--workers", "1"]);
    let mut first = Client::open(&address);
    let path = format!("/api/tasks/{}", submit(&mut first, ENDLESS));
    until_busy(&mut first, 1, 0);
    let mut second = Client::open(&address);
    second.begin_post("/api/data?wait=60s", SHORT);
    // The loop leaves no moment in which `second` might not have been accepted.
    until("both places to be taken", || {
        let status = first.ask("GET", "/api/status");
        if status.has("Connection: close") {
            return Some(());
        }
        assert_eq!(status.json()["connections"]["open"], 1);
        None
    });
    assert!(first.ends());
    // A third one has the place of the first.
    let mut third = Client::open(&address);
    let deleted = third.ask("DELETE", &path);
    assert!(
        deleted.status == 202 && deleted.has("Connection: close"),
        "{deleted:?}"
    );
    assert_eq!(second.reply().status, 200);
}
