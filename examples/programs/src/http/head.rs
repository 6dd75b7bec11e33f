//! The head of a request: its line and its headers.

use crate::http::reader::Refusal;
use httparse::{EMPTY_HEADER, Header, Status};

const MOST_HEADERS: usize = 64;

/// A request that was read whole, its length and its headers checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    pub method: String,
    /// Without the query, and not decoded.
    pub path: String,
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// Returns the value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let is_named = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        let found = self.headers.iter().find(is_named);
        found.map(|(_, value)| value.as_str())
    }

    /// Returns whether a header that is a list, such as `Connection`, has this word.
    pub fn has_word(&self, name: &str, word: &str) -> bool {
        let is_named = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        let mut words = self
            .headers
            .iter()
            .filter(is_named)
            .flat_map(|(_, value)| value.split(','));
        words.any(|one| one.trim().eq_ignore_ascii_case(word))
    }

    /// Returns the value of `name` in the query, not decoded.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let mut pairs = self
            .query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
}

/// A head, and what it says about its connection.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) request: Request,
    pub(super) framing: Framing,
    pub(super) keeps_alive: bool,
    pub(super) is_http_1_0: bool,
    pub(super) expects_continue: bool,
    /// How many bytes it takes.
    pub(super) length: usize,
}

/// Parses the head at the beginning of `bytes`. `None` if the head goes on.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Head>, Refusal> {
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Refusal::new(431, "there are more than 64 headers"));
        }
        Err(error) => return Err(Refusal::new(400, format!("not an HTTP request: {error}"))),
    };
    let is_http_1_0 = parsed.version == Some(0);
    let method = parsed.method.unwrap_or_default();
    let request = request(method, parsed.path.unwrap_or_default(), parsed.headers)?;
    check_host(&request, is_http_1_0)?;
    let framing = framing(&request, is_http_1_0)?;
    let expects_continue = match only(&request, "expect")? {
        None => false,
        // A client of HTTP/1.0 does not know the interim response.
        Some(value) if value.eq_ignore_ascii_case("100-continue") => !is_http_1_0,
        Some(_) => return Err(Refusal::new(417, "only 100-continue can be expected")),
    };
    let keeps_alive = match is_http_1_0 {
        true => request.has_word("connection", "keep-alive"),
        false => !request.has_word("connection", "close"),
    };
    Ok(Some(Head {
        request,
        framing,
        keeps_alive,
        is_http_1_0,
        expects_continue,
        length,
    }))
}

fn request(method: &str, target: &str, headers: &[Header<'_>]) -> Result<Request, Refusal> {
    // The path or the asterisk. A proxy sends whole URLs, and this is no server for proxies.
    if !target.starts_with('/') && target != "*" {
        return Err(Refusal::new(400, "the target is not a path"));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut pairs = Vec::with_capacity(headers.len());
    for header in headers {
        let Ok(value) = std::str::from_utf8(header.value) else {
            let text = format!("the header {} is not UTF-8", header.name);
            return Err(Refusal::new(400, text));
        };
        // Other blanks, such as one that does not break, belong to the value.
        let value = value.trim_matches([' ', '\t']);
        pairs.push((header.name.to_owned(), value.to_owned()));
    }
    Ok(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: pairs,
        body: Vec::new(),
    })
}

/// The value of a header that may come once at most.
fn only<'a>(request: &'a Request, name: &str) -> Result<Option<&'a str>, Refusal> {
    let is_named = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
    let mut found = request.headers.iter().filter(is_named);
    let first = found.next();
    match found.next() {
        None => Ok(first.map(|(_, value)| value.as_str())),
        Some(_) => Err(Refusal::new(400, format!("the header {name} comes twice"))),
    }
}

fn check_host(request: &Request, is_http_1_0: bool) -> Result<(), Refusal> {
    match only(request, "host")? {
        None if !is_http_1_0 => Err(Refusal::new(400, "the header host is missing")),
        _ => Ok(()),
    }
}

/// A request with both lengths is refused: a proxy in front may go by the other one, and what is
/// the end of a body for one would be a second request for the other.
fn framing(request: &Request, is_http_1_0: bool) -> Result<Framing, Refusal> {
    let length = only(request, "content-length")?;
    match only(request, "transfer-encoding")? {
        Some(_) if length.is_some() => Err(Refusal::new(
            400,
            "content-length and transfer-encoding exclude each other",
        )),
        Some(_) if is_http_1_0 => Err(Refusal::new(400, "HTTP/1.0 has no transfer-encoding")),
        Some(coding) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        Some(_) => Err(Refusal::new(501, "the only transfer-encoding is chunked")),
        None => match length {
            Some(length) => Ok(Framing::Length(content_length(length)?)),
            None if ["POST", "PUT", "PATCH"].contains(&request.method.as_str()) => {
                Err(Refusal::new(
                    411,
                    "a body needs content-length or transfer-encoding: chunked",
                ))
            }
            None => Ok(Framing::Length(0)),
        },
    }
}

/// Digits alone: `parse` would take a sign, too.
fn content_length(text: &str) -> Result<usize, Refusal> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::new(400, "content-length is not a number"));
    }
    Ok(text.parse().unwrap_or(usize::MAX)) // more than any limit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        parse(text.as_bytes()).unwrap().unwrap()
    }

    /// The status with which a request with these headers is refused.
    fn refused(line: &str, headers: &str) -> u16 {
        let text = format!("{line}\r\n{headers}\r\n");
        parse(text.as_bytes()).unwrap_err().status
    }

    #[test]
    fn a_head_is_parsed() {
        let text = "GET /a/b?wait=2s&x HTTP/1.1\r\nHost: a\r\n\
            Connection: Upgrade, x\r\nB:\t c \r\n\r\nrest";
        let head = head(text);
        let request = head.request;
        assert_eq!(head.length, text.len() - "rest".len());
        assert_eq!((&*request.method, &*request.path), ("GET", "/a/b"));
        assert_eq!(request.parameter("wait"), Some("2s"));
        assert_eq!(request.parameter("x"), Some(""));
        assert_eq!(request.parameter("ait"), None);
        assert_eq!(request.header("b"), Some("c"));
        assert!(request.has_word("connection", "upgrade"));
        assert!(!request.has_word("connection", "up"));
        assert!(head.keeps_alive && !head.is_http_1_0 && !head.expects_continue);
        assert_eq!(head.framing, Framing::Length(0));
    }

    #[test]
    fn a_head_that_is_cut_anywhere_goes_on() {
        let text = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
        for end in 0..text.len() {
            assert!(parse(&text.as_bytes()[..end]).unwrap().is_none(), "{end}");
        }
        assert_eq!(head(text).framing, Framing::Length(5));
    }

    #[test]
    fn a_connection_lasts_as_its_version_and_its_header_say() {
        let keeps = |version: &str, header: &str| {
            let text = format!("GET / HTTP/{version}\r\nHost: a\r\n{header}\r\n");
            head(&text).keeps_alive
        };
        assert!(keeps("1.1", "") && !keeps("1.1", "Connection: x, CLOSE\r\n"));
        assert!(!keeps("1.0", "") && keeps("1.0", "Connection: Keep-Alive\r\n"));
    }

    #[test]
    fn two_readers_could_find_no_two_ends_of_a_body() {
        let post = |headers: &str| refused("POST / HTTP/1.1", &format!("Host: a\r\n{headers}"));
        for headers in [
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: 1, 1\r\n",
            "Content-Length: 0x1\r\n",
            "Content-Length:\r\n",
            "Content-Length : 1\r\n",
            "Content-Length: \u{a0}1\r\n",
        ] {
            assert_eq!(post(headers), 400, "{headers}");
        }
        assert_eq!(post("Transfer-Encoding: gzip, chunked\r\n"), 501);
        assert_eq!(post(""), 411);
        let old = "Transfer-Encoding: chunked\r\n";
        assert_eq!(refused("POST / HTTP/1.0", old), 400);
        let vast = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            "9".repeat(50)
        );
        assert_eq!(head(&vast).framing, Framing::Length(usize::MAX));
    }

    #[test]
    fn bad_heads_are_refused() {
        let get = |headers: &str| refused("GET / HTTP/1.1", headers);
        assert_eq!(get(""), 400);
        assert_eq!(get("Host: a\r\nHost: a\r\n"), 400);
        assert_eq!(get("Host: a\r\na b: c\r\n"), 400);
        assert_eq!(get("Host: a\r\nExpect: tea\r\n"), 417);
        assert_eq!(get(&format!("Host: a\r\n{}", "a: b\r\n".repeat(64))), 431);
        assert_eq!(refused("GET http://a/ HTTP/1.1", "Host: a\r\n"), 400);
        assert_eq!(refused("GET / HTTP/2.0", "Host: a\r\n"), 400);
        assert_eq!(refused("\x16\x03\x01", ""), 400);
        let not_text = b"GET / HTTP/1.1\r\nHost: a\r\nX: \xff\r\n\r\n";
        assert_eq!(parse(not_text).unwrap_err().status, 400);
    }

    #[test]
    fn a_client_of_http_1_0_needs_no_host_and_knows_no_interim_response() {
        let text = "POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";
        let head = head(text);
        assert!(head.is_http_1_0 && !head.expects_continue);
    }
}
