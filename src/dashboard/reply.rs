//! HTTP as the dashboard needs it: writes one reply.
//!
//! Layer: dashboard. What a browser may do with the page stands here, in the headers.

use serde_json::Value;
use std::borrow::Cow;
use std::io::{self, Write};

/// How long the body of a reply in JSON may be.
const MOST_JSON: usize = 4 * 1024 * 1024;

/// What the server answers.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    kind: &'static str,
    /// The methods that the path has, for a status 405.
    allow: Option<&'static str>,
    pub(crate) body: Cow<'static, [u8]>,
    /// Whether the body is sent: one to `HEAD` has none, but its length.
    is_sent: bool,
}

/// Takes so many bytes at most.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MOST_JSON {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Reply {
    pub(crate) fn new(kind: &'static str, body: impl Into<Cow<'static, [u8]>>) -> Self {
        Self {
            status: 200,
            kind,
            allow: None,
            body: body.into(),
            is_sent: true,
        }
    }

    pub(crate) fn without_body(self) -> Self {
        Self {
            is_sent: false,
            ..self
        }
    }

    pub(crate) fn json(status: u16, value: &Value) -> Self {
        let mut body = Bounded(Vec::new());
        if serde_json::to_writer(&mut body, value).is_err() {
            return Self::too_long();
        }
        Self {
            status,
            ..Self::new("application/json", body.0)
        }
    }

    /// Text that is JSON, as it is: with the order of names that its author gave it.
    pub(crate) fn json_text(text: &str) -> Self {
        let mut body = Bounded(Vec::new());
        if body.write_all(text.as_bytes()).is_err() {
            return Self::too_long();
        }
        Self::new("application/json", body.0)
    }

    fn too_long() -> Self {
        let text = "the reply would be too long: see max_rows, and what a panel returns";
        Self::text(500, text)
    }

    /// A line of text: the answer to what was refused.
    pub(crate) fn text(status: u16, text: &str) -> Self {
        let body = format!("{text}\n").into_bytes();
        Self {
            status,
            ..Self::new("text/plain; charset=utf-8", body)
        }
    }

    /// The answer to a method that the path does not have.
    pub(crate) fn wrong_method(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::text(405, "this path does not have this method")
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let Self {
            status,
            kind,
            allow,
            body,
            is_sent,
        } = self;
        let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(*status));
        for (name, value) in FIXED {
            head += &format!("{name}: {value}\r\n");
        }
        if let Some(allow) = allow {
            head += &format!("Allow: {allow}\r\n");
        }
        match status {
            401 => head += "WWW-Authenticate: Bearer\r\n",
            503 => head += "Retry-After: 1\r\n",
            _ => {}
        }
        head += &format!(
            "Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut bytes = head.into_bytes();
        if *is_sent {
            bytes.extend_from_slice(body);
        }
        bytes
    }

    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.bytes())
    }
}

/// The headers that each reply has. The page loads its own script and style, and nothing else; no
/// other page can frame it or read from it.
const FIXED: [(&str, &str); 7] = [
    ("Connection", "close"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
];

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Other",
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_reply_has_its_length_and_its_headers() {
        let text = String::from_utf8(Reply::text(404, "no").bytes()).unwrap();
        assert!(text.starts_with("HTTP/1.1 404 Not Found\r\nConnection: close\r\n"));
        assert!(text.ends_with("Content-Length: 3\r\n\r\nno\n"));
        let head = Reply::wrong_method("GET, HEAD").without_body().bytes();
        let head = String::from_utf8(head).unwrap();
        assert!(head.contains("\r\nAllow: GET, HEAD\r\n") && head.ends_with("\r\n\r\n"));
        let refused = String::from_utf8(Reply::text(401, "no").bytes()).unwrap();
        assert!(refused.contains("\r\nWWW-Authenticate: Bearer\r\n"));
    }

    #[test]
    fn a_reply_in_json_is_bounded() {
        let of = |length: usize| Reply::json(200, &"x".repeat(length).into());
        assert_eq!((of(9).status, of(MOST_JSON - 2).status), (200, 200));
        assert_eq!(of(MOST_JSON - 1).status, 500);
    }
}
