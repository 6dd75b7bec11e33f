//! What is answered to a request.

use crate::http::reader::Refusal;
use serde::Serialize;
use serde_json::json;
use std::borrow::Cow;
use std::fmt::Write;

/// A response, which [`Connection::respond`](crate::http::Connection::respond) writes.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    pub body: Vec<u8>,
}

impl Response {
    /// A response without a body.
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A response whose body is of this type.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        let mut response = Self::empty(status).header("Content-Type", content_type);
        response.body = body.into();
        response
    }

    /// A response with a value as JSON.
    ///
    /// # Panics
    /// If the value has no JSON, such as a map whose keys are no strings.
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        let mut body = serde_json::to_vec(value).expect("the value has a form in JSON");
        body.push(b'\n'); // for a terminal
        Self::new(status, "application/json", body)
    }

    /// An error as JSON, with its status and a text that says what is wrong.
    pub fn error(status: u16, text: &str) -> Self {
        Self::json(status, &json!({"status": status, "error": text}))
    }

    /// Adds a header.
    pub fn header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The header `Connection`, if the response has one of its own.
    pub(super) fn connection(&self) -> Option<&str> {
        let is_it = |(name, _): &&(&str, Cow<'_, str>)| name.eq_ignore_ascii_case("connection");
        self.headers.iter().find(is_it).map(|(_, value)| &**value)
    }

    /// The bytes as they are sent. `connection` is the header of this name, if it is needed.
    pub(super) fn to_bytes(&self, connection: Option<&str>, has_body: bool) -> Vec<u8> {
        let mut head = String::with_capacity(256);
        let reason = reason(self.status);
        // A `String` takes all that is written.
        let _ = write!(head, "HTTP/1.1 {} {reason}\r\n", self.status);
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if let Some(connection) = connection {
            let _ = write!(head, "Connection: {connection}\r\n");
        }
        // A response to an upgrade has no body, and no length of it.
        if self.status >= 200 {
            let _ = write!(head, "Content-Length: {}\r\n", self.body.len());
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        if has_body {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        Self::error(refusal.status, &refusal.text)
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        417 => "Expectation Failed",
        426 => "Upgrade Required",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_has_its_length_and_no_header_twice() {
        let response = Response::error(404, "no such \"thing\"").header("X", "y");
        let text = String::from_utf8(response.to_bytes(Some("close"), true)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 404 Not Found\r\n"), "{head}");
        assert!(head.contains("\r\nX: y\r\nConnection: close\r\n"), "{head}");
        assert!(
            head.ends_with(&format!("Content-Length: {}", body.len())),
            "{head}"
        );
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"], "no such \"thing\"");
        let own = Response::empty(200).header("Connection", "close");
        assert_eq!(own.connection(), Some("close"));
    }

    #[test]
    fn without_its_body_a_response_still_says_its_length() {
        let response = Response::new(200, "text/plain", "four");
        let text = String::from_utf8(response.to_bytes(None, false)).unwrap();
        assert!(text.ends_with("Content-Length: 4\r\n\r\n"), "{text}");
        let upgrade = Response::empty(101).to_bytes(None, true);
        assert!(!String::from_utf8(upgrade).unwrap().contains("Length"));
    }
}
