//! HTTP as the dashboard needs it: writes one reply.
//!
//! Layer: dashboard. What a browser may do with the page stands here, in the headers.

use serde_json::Value;
use std::borrow::Cow;
use std::io::Write;

/// What the server answers.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    kind: &'static str,
    /// The methods that the path has, for a status 405.
    allow: Option<&'static str>,
    pub(crate) body: Cow<'static, [u8]>,
}

impl Reply {
    pub(crate) fn new(kind: &'static str, body: impl Into<Cow<'static, [u8]>>) -> Self {
        Self {
            status: 200,
            kind,
            allow: None,
            body: body.into(),
        }
    }

    pub(crate) fn json(status: u16, value: &Value) -> Self {
        let body = value.to_string().into_bytes();
        Self {
            status,
            ..Self::new("application/json", body)
        }
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

    /// The text of the reply. One to `HEAD` has no body, but its length.
    pub(crate) fn bytes(&self, with_body: bool) -> Vec<u8> {
        let Self {
            status,
            kind,
            allow,
            body,
        } = self;
        let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(*status));
        for (name, value) in FIXED {
            head += &format!("{name}: {value}\r\n");
        }
        if let Some(allow) = allow {
            head += &format!("Allow: {allow}\r\n");
        }
        if *status == 503 {
            head += "Retry-After: 1\r\n";
        }
        head += &format!(
            "Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut bytes = head.into_bytes();
        if with_body {
            bytes.extend_from_slice(body);
        }
        bytes
    }

    pub(crate) fn write(&self, out: &mut dyn Write, with_body: bool) -> std::io::Result<()> {
        out.write_all(&self.bytes(with_body))
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
        let text = String::from_utf8(Reply::text(404, "no").bytes(true)).unwrap();
        assert!(text.starts_with("HTTP/1.1 404 Not Found\r\nConnection: close\r\n"));
        assert!(text.ends_with("Content-Length: 3\r\n\r\nno\n"));
        let head = String::from_utf8(Reply::wrong_method("GET, HEAD").bytes(false)).unwrap();
        assert!(head.contains("\r\nAllow: GET, HEAD\r\n") && head.ends_with("\r\n\r\n"));
    }
}
