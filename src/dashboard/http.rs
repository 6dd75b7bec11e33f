//! HTTP as the dashboard needs it: reads one request.
//!
//! Layer: dashboard. It works over any `Read`, so it is tested without sockets. The server sets the
//! deadline: a read past it fails as `TimedOut`.
//
// One request per connection, and no proxy between is assumed to agree with this reader about where
// a request ends. So what two readers may understand differently is refused: two lengths, a
// transfer encoding, two hosts.

use crate::dashboard::reply::Reply;
use httparse::Status;
use std::io::{ErrorKind, Read};

/// How long the line and the headers of a request may be.
const MOST_HEAD: usize = 8 * 1024;
/// How long its body may be.
const MOST_BODY: usize = 4 * 1024;
const MOST_HEADERS: usize = 64;

/// A request that was read whole, its length and its headers checked.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) host: Option<String>,
    pub(crate) origin: Option<String>,
    pub(crate) fetch_site: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// Why there is no request.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The client sent nothing, or is gone: no answer can reach it.
    Gone,
    /// The client gets this answer.
    Refused(Reply),
}

impl Failure {
    fn refused(status: u16, text: &'static str) -> Self {
        Self::Refused(Reply::text(status, text))
    }

    /// A reply to `HEAD` has no body, also where the rest of the request is bad.
    fn of(self, request: &[u8]) -> Self {
        match self {
            Self::Refused(reply) if request.starts_with(b"HEAD ") => {
                Self::Refused(reply.without_body())
            }
            failure => failure,
        }
    }
}

impl Request {
    /// Reads a request. It reads no further than its end and what came with that.
    pub(crate) fn read(stream: &mut dyn Read) -> Result<Self, Failure> {
        let mut bytes = Vec::new();
        Self::read_into(stream, &mut bytes).map_err(|failure| failure.of(&bytes))
    }

    fn read_into(stream: &mut dyn Read, bytes: &mut Vec<u8>) -> Result<Self, Failure> {
        let (mut request, head, body) = loop {
            let new = read_some(stream, bytes, MOST_HEAD)?;
            // Parsed when a line has ended, not for each byte; and at once, so that a client that
            // speaks another protocol is answered.
            if new == bytes.len() || bytes[bytes.len() - new..].contains(&b'\n') {
                if let Some(parsed) = parse(bytes)? {
                    break parsed;
                }
            }
        };
        while bytes.len() < head + body {
            read_some(stream, bytes, head + body)?;
        }
        request.body = bytes[head..head + body].to_vec();
        Ok(request)
    }

    /// The value of `name` in the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        pairs
            .into_iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

/// Reads once, up to a length of `most`. Returns how many bytes came.
fn read_some(stream: &mut dyn Read, bytes: &mut Vec<u8>, most: usize) -> Result<usize, Failure> {
    let mut chunk = [0; 4096];
    let room = most.saturating_sub(bytes.len()).min(chunk.len());
    if room == 0 {
        return Err(Failure::refused(431, "the headers are too long"));
    }
    loop {
        match stream.read(&mut chunk[..room]) {
            Ok(0) if bytes.is_empty() => return Err(Failure::Gone),
            Ok(0) => return Err(Failure::refused(400, "the request ends too early")),
            Ok(n) => {
                bytes.extend_from_slice(&chunk[..n]);
                return Ok(n);
            }
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                ErrorKind::TimedOut | ErrorKind::WouldBlock if !bytes.is_empty() => {
                    return Err(Failure::refused(408, "the request took too long"));
                }
                _ => return Err(Failure::Gone),
            },
        }
    }
}

/// Parses the head of a request. Returns the request without its body, and the lengths of the head
/// and of the body. `None` if the head goes on.
fn parse(bytes: &[u8]) -> Result<Option<(Request, usize, usize)>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let head = match parsed.parse(bytes) {
        Ok(Status::Complete(head)) => head,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Failure::refused(431, "there are too many headers"));
        }
        Err(_) => return Err(Failure::refused(400, "this is not an HTTP request")),
    };
    let only = |name| only(parsed.headers, name);
    if only("transfer-encoding")?.is_some() {
        return Err(Failure::refused(411, "a body needs a Content-Length"));
    }
    if only("expect")?.is_some() {
        return Err(Failure::refused(417, "send the body at once"));
    }
    let Some(host) = only("host")? else {
        return Err(Failure::refused(400, "there is no Host"));
    };
    if !host.is_ascii() {
        return Err(Failure::refused(400, "the Host is no name"));
    }
    let target = parsed.path.unwrap_or_default();
    let (authority, target) = split_target(target);
    if authority.is_some_and(|authority| !authority.eq_ignore_ascii_case(&host)) {
        return Err(Failure::refused(400, "the target and the Host differ"));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: if path.is_empty() { "/" } else { path }.to_owned(),
        query: query.to_owned(),
        host: Some(host),
        origin: only("origin")?,
        fetch_site: only("sec-fetch-site")?,
        content_type: only("content-type")?,
        authorization: only("authorization")?,
        body: Vec::new(),
    };
    let body = only("content-length")?.map_or(Ok(0), |text| body_length(&text))?;
    Ok(Some((request, head, body)))
}

/// The authority of a target in absolute form, as to a proxy, and the rest of the target.
fn split_target(target: &str) -> (Option<&str>, &str) {
    const SCHEME: &str = "http://";
    match target.get(..SCHEME.len()) {
        Some(scheme) if scheme.eq_ignore_ascii_case(SCHEME) => {
            let rest = &target[SCHEME.len()..];
            let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            (Some(authority), target)
        }
        _ => (None, target),
    }
}

/// The value of a header that may come once at most.
fn only(headers: &[httparse::Header<'_>], name: &str) -> Result<Option<String>, Failure> {
    let is_named = |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case(name);
    let mut found = headers.iter().filter(is_named);
    let Some(first) = found.next() else {
        return Ok(None);
    };
    if found.next().is_some() {
        return Err(Failure::refused(400, "a header comes twice"));
    }
    match std::str::from_utf8(first.value) {
        // Other blanks, such as one that does not break, belong to the value.
        Ok(value) => Ok(Some(value.trim_matches([' ', '\t']).to_owned())),
        Err(_) => Err(Failure::refused(400, "a header is not text")),
    }
}

/// Digits alone: `parse` would take a sign, too.
fn body_length(text: &str) -> Result<usize, Failure> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Failure::refused(400, "the Content-Length is not a number"));
    }
    match text.parse() {
        Ok(length) if length <= MOST_BODY => Ok(length),
        _ => Err(Failure::refused(413, "the body is too long")),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::clock;
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};
    use std::time::Duration;

    /// Reads in pieces of this size. At its end it fails as a socket does whose deadline is over.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() {
                return Err(ErrorKind::WouldBlock.into());
            }
            let n = self.1.min(into.len()).min(self.0.len());
            into[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn read(text: &[u8]) -> Result<Request, Failure> {
        Request::read(&mut Pieces(text, 4096))
    }

    /// The status that a request is refused with. 0: it is closed without an answer.
    fn refused(text: impl AsRef<[u8]>) -> u16 {
        match read(text.as_ref()) {
            Ok(request) => panic!("taken: {request:?}"),
            Err(Failure::Gone) => 0,
            Err(Failure::Refused(reply)) => reply.status,
        }
    }

    #[test]
    fn a_request_is_read_in_pieces_of_any_size() {
        let text = b"POST /control?a=1&pool=2 HTTP/1.1\r\nHost: localhost:80\r\n\
            origin: http://localhost\r\ncontent-LENGTH: 4\r\n\r\nbodyand more";
        for size in 1..text.len() {
            let request = Request::read(&mut Pieces(text, size)).unwrap();
            assert_eq!((&*request.method, &*request.path), ("POST", "/control"));
            assert_eq!(request.parameter("pool"), Some("2"));
            assert_eq!(request.parameter("ool"), None);
            assert_eq!(request.host.as_deref(), Some("localhost:80"));
            assert_eq!(request.origin.as_deref(), Some("http://localhost"));
            assert_eq!(request.body, b"body");
        }
    }

    #[test]
    fn bad_requests_are_refused() {
        let with = |header: &str| format!("GET / HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n");
        assert_eq!(refused(""), 0);
        assert_eq!(refused("GET / HT"), 408);
        assert_eq!(refused("\x16\x03\x01\x02\0\x01\0"), 400);
        assert_eq!(refused("GET / HTTP/2.0\r\nHost: localhost\r\n\r\n"), 400);
        assert_eq!(refused("GET /\r\n\r\n"), 400);
        assert_eq!(refused("GET / HTTP/1.1\r\n\r\n"), 400);
        assert_eq!(refused(with("Host: other")), 400);
        assert_eq!(refused(with("a b: c")), 400);
        assert_eq!(refused(with("Origin: \u{e9}").replace('\u{e9}', "\0")), 400);
        assert_eq!(refused(with("Content-Length: 1\r\nContent-Length: 1")), 400);
        assert_eq!(refused(with("Content-Length: 1, 1")), 400);
        assert_eq!(refused(with("Content-Length: +1")), 400);
        assert_eq!(refused(with("Content-Length: ")), 400);
        assert_eq!(refused(with("Content-Length: 4097")), 413);
        assert_eq!(
            refused(with(&format!("Content-Length: {}", "9".repeat(99)))),
            413
        );
        assert_eq!(refused(with("Content-Length: 5")), 408);
        assert_eq!(refused(with("Transfer-Encoding: chunked")), 411);
        assert_eq!(refused(with("Expect: 100-continue")), 417);
        assert_eq!(refused(with(&"a: b\r\n".repeat(64))), 431);
        assert_eq!(refused(with(&format!("a: {}", "b".repeat(MOST_HEAD)))), 431);
        assert_eq!(refused(format!("GET /{}", "a".repeat(MOST_HEAD))), 431);
    }

    #[test]
    fn blanks_other_than_space_and_tab_belong_to_the_value() {
        let good = "GET / HTTP/1.1\r\nHost:\t localhost \t\r\nContent-Length: \t0\t \r\n\r\n";
        assert_eq!(
            read(good.as_bytes()).unwrap().host.as_deref(),
            Some("localhost")
        );
        let host = "GET / HTTP/1.1\r\nHost: localhost\u{a0}\r\n\r\n";
        assert_eq!(refused(host), 400);
        let length = "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: \u{a0}0\r\n\r\n";
        assert_eq!(refused(length), 400);
    }

    #[test]
    fn a_target_in_absolute_form_is_taken_for_the_host_alone() {
        let read = |target: &str| {
            let text = format!("GET {target} HTTP/1.1\r\nHost: localhost:1\r\n\r\n");
            read(text.as_bytes())
        };
        let path = |target: &str| read(target).unwrap().path;
        assert_eq!(path("http://localhost:1/page.js?a=b"), "/page.js");
        assert_eq!(path("HTTP://LOCALHOST:1"), "/");
        let query = read("http://localhost:1?pool=2").unwrap();
        assert_eq!((&*query.path, query.parameter("pool")), ("/", Some("2")));
        for target in [
            "http://localhost/",
            "http://evil.example/",
            "http:///",
            "http://a@localhost:1/",
        ] {
            let failure = read(target).unwrap_err();
            assert!(
                matches!(&failure, Failure::Refused(reply) if reply.status == 400),
                "{target}"
            );
        }
    }

    #[test]
    fn a_refusal_of_a_bad_head_request_has_no_body() {
        let body = |method: &str| match read(format!("{method} / HTTP/1.1\r\n\r\n").as_bytes()) {
            Err(Failure::Refused(reply)) => !reply.bytes().ends_with(b"\r\n\r\n"),
            other => panic!("{other:?}"),
        };
        assert!(!body("HEAD") && body("GET"));
    }

    #[test]
    fn a_client_that_leaves_in_the_middle_is_refused() {
        let failure = Request::read(&mut &b"GET / HTTP/1.1\r\n"[..]).unwrap_err();
        assert!(matches!(failure, Failure::Refused(reply) if reply.status == 400));
    }

    /// What requests are made of, good and bad.
    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        let known = prop::sample::select(vec![
            "GET ",
            "POST ",
            "/",
            "/page.json?pool=0",
            "/../..",
            " HTTP/1.1",
            " HTTP/1.0",
            "\r\n",
            "\n",
            "\r",
            "\r\n\r\n",
            "Host: localhost\r\n",
            "Host: [::1]:9\r\n",
            "Origin: null\r\n",
            "Content-Length: 3\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Content-Length:",
            "Transfer-Encoding: chunked\r\n",
            "Authorization: Bearer x\r\n",
            ": ",
            "0\r\n\r\n",
        ]);
        let known = known.prop_map(|text| text.as_bytes().to_vec());
        let long = (any::<u8>(), 0..9000_usize).prop_map(|(byte, n)| vec![byte; n]);
        let noise = prop::collection::vec(any::<u8>(), 0..20);
        prop_oneof![12 => known, 1 => long, 3 => noise]
    }

    /// A good request with some bytes changed, or any pieces in a row.
    fn requests() -> impl Strategy<Value = Vec<u8>> {
        let good = b"POST /control HTTP/1.1\r\nHost: localhost:9944\r\nContent-Length: 2\r\n\
            Content-Type: application/json\r\nAuthorization: Bearer token\r\n\r\n{}";
        let change = (0..good.len(), any::<u8>());
        let changed = prop::collection::vec(change, 0..4).prop_map(move |changes| {
            let mut bytes = good.to_vec();
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            bytes
        });
        let row = prop::collection::vec(pieces(), 0..12).prop_map(|pieces| pieces.concat());
        prop_oneof![changed, row]
    }

    /// Each request is taken or refused, the same in pieces of any size, and within the limits. It
    /// goes on for `MILLHAND_FUZZ_SECONDS`.
    #[test]
    fn any_bytes_are_taken_or_refused() {
        let seconds =
            std::env::var("MILLHAND_FUZZ_SECONDS").map_or(0, |text| text.parse().unwrap());
        let end = clock::now() + Duration::from_secs(seconds);
        let mut runner = TestRunner::new(Config::with_cases(512));
        loop {
            let cases = runner.run(&(requests(), 1..200_usize), |(bytes, size)| {
                let whole = Request::read(&mut Pieces(&bytes, usize::MAX));
                let pieces = Request::read(&mut Pieces(&bytes, size));
                match (whole, pieces) {
                    (Ok(one), Ok(other)) => {
                        prop_assert!(one.body.len() <= MOST_BODY && one.host.is_some());
                        prop_assert_eq!(format!("{one:?}"), format!("{other:?}"));
                    }
                    (Err(Failure::Gone), Err(Failure::Gone)) => prop_assert!(bytes.is_empty()),
                    (Err(Failure::Refused(one)), Err(Failure::Refused(other))) => {
                        // A head may break two rules, and the pieces decide which is seen first.
                        prop_assert!((400..500).contains(&one.status));
                        prop_assert!((400..500).contains(&other.status));
                    }
                    (whole, pieces) => prop_assert!(false, "{whole:?} against {pieces:?}"),
                }
                Ok(())
            });
            cases.unwrap();
            if clock::now() >= end {
                break;
            }
        }
    }
}
