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
