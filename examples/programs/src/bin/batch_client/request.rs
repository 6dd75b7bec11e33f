//! A line of the input: a URL, or a JSON object.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use ureq::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use ureq::http::{HeaderMap, Method, Uri};

/// What a parameter keeps as it is: the unreserved characters of RFC 3986.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A request that can be sent.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<String>,
}

/// A line that is a JSON object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    url: String,
    method: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    params: Map<String, Value>,
    body: Option<Value>,
}

impl Request {
    /// Reads a line. The error says what is wrong with it.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, String> {
        let line = std::str::from_utf8(line).map_err(|error| error.to_string())?;
        let line = line.trim();
        let fields = match line.starts_with('{') {
            true => serde_json::from_str(line).map_err(without_line)?,
            false => Fields::of(line),
        };
        fields.check()
    }

    /// The server that a rate is about.
    pub(crate) fn host(&self) -> String {
        let host = self.uri.host().unwrap_or_default().to_ascii_lowercase();
        let default = match self.uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        };
        format!("{host}:{}", self.uri.port_u16().unwrap_or(default))
    }
}

impl Fields {
    fn of(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            method: None,
            headers: BTreeMap::new(),
            params: Map::new(),
            body: None,
        }
    }

    fn check(self) -> Result<Request, String> {
        let mut headers = headers(self.headers)?;
        let body = match self.body {
            Some(Value::String(text)) => Some(text),
            Some(json) => {
                let is_json = HeaderValue::from_static("application/json");
                headers.entry(CONTENT_TYPE).or_insert(is_json);
                Some(json.to_string())
            }
            None => None,
        };
        let method = match self.method {
            Some(name) => {
                let method = Method::from_bytes(name.as_bytes());
                method.map_err(|error| format!("method {name:?}: {error}"))?
            }
            None if body.is_some() => Method::POST,
            None => Method::GET,
        };
        Ok(Request {
            method,
            uri: uri(&self.url, &self.params)?,
            headers,
            body,
        })
    }
}

fn headers(fields: BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let key = HeaderName::try_from(&name).map_err(|error| format!("header {name:?}: {error}"));
        let text = HeaderValue::try_from(value);
        let text = text.map_err(|error| format!("header {name:?}: {error}"))?;
        headers.append(key?, text);
    }
    Ok(headers)
}

fn uri(url: &str, params: &Map<String, Value>) -> Result<Uri, String> {
    let scheme = url
        .split_once("://")
        .map(|(scheme, _)| scheme.to_ascii_lowercase());
    if !matches!(scheme.as_deref(), Some("http" | "https")) {
        return Err(format!("{url:?}: not a URL of http:// or https://"));
    }
    // A fragment is for the reader of a page, and is not sent.
    let mut text = url.split('#').next().unwrap_or_default().to_owned();
    for (name, value) in params {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => {
                return Err(format!(
                    "parameter {name:?}: not a text, a number or a bool"
                ));
            }
        };
        text.push(if text.contains('?') { '&' } else { '?' });
        text.extend(utf8_percent_encode(name, QUERY));
        text.push('=');
        text.extend(utf8_percent_encode(&value, QUERY));
    }
    text.parse().map_err(|error| format!("{url:?}: {error}"))
}

/// The text of an error, whose line is always 1: the program counts lines itself.
fn without_line(error: serde_json::Error) -> String {
    error.to_string().replace("at line 1 column", "at column")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Request, String> {
        Request::parse(line.as_bytes())
    }

    #[test]
    fn a_url_is_a_get() {
        let request = parse("  http://example.org/a?b=c#d\r\n").unwrap();
        assert_eq!(request.method, Method::GET);
        assert_eq!(request.uri.to_string(), "http://example.org/a?b=c");
        assert!(request.headers.is_empty() && request.body.is_none());
    }

    #[test]
    fn an_object_has_all_parts() {
        let line = r#"{"url": "https://example.org", "method": "PUT", "headers": {"X-A": "b"},
            "params": {"q": "a b&c=ü", "n": 2, "all": true}, "body": "text"}"#;
        let request = parse(line).unwrap();
        assert_eq!(request.method, Method::PUT);
        let uri = "https://example.org/?all=true&n=2&q=a%20b%26c%3D%C3%BC";
        assert_eq!(request.uri.to_string(), uri);
        assert_eq!(request.headers["x-a"], "b");
        assert!(!request.headers.contains_key(CONTENT_TYPE));
        assert_eq!(request.body.as_deref(), Some("text"));
    }

    #[test]
    fn parameters_follow_those_of_the_url() {
        let request = parse(r#"{"url": "http://h/p?a=1#part", "params": {"b": 2}}"#).unwrap();
        assert_eq!(request.uri.to_string(), "http://h/p?a=1&b=2");
    }

    #[test]
    fn a_body_is_posted_and_json_has_its_type() {
        let request = parse(r#"{"url": "http://h", "body": {"n": [1, null]}}"#).unwrap();
        assert_eq!(request.method, Method::POST);
        assert_eq!(request.headers[CONTENT_TYPE], "application/json");
        assert_eq!(request.body.as_deref(), Some(r#"{"n":[1,null]}"#));
        let line = r#"{"url": "http://h", "headers": {"content-type": "x/y"}, "body": [1]}"#;
        assert_eq!(parse(line).unwrap().headers[CONTENT_TYPE], "x/y");
        let none = parse(r#"{"url": "http://h", "body": null}"#).unwrap();
        assert_eq!((none.method, none.body), (Method::GET, None));
    }

    #[test]
    fn a_host_has_a_port_and_no_capitals() {
        let host = |line| parse(line).unwrap().host();
        assert_eq!(host("http://Example.ORG/x"), "example.org:80");
        assert_eq!(host("https://example.org"), "example.org:443");
        assert_eq!(host("http://[::1]:8080/"), "[::1]:8080");
    }

    #[test]
    fn errors_name_what_is_wrong() {
        for (line, error) in [
            (
                "example.org/x",
                r#""example.org/x": not a URL of http:// or https://"#,
            ),
            (
                "ftp://h/",
                r#""ftp://h/": not a URL of http:// or https://"#,
            ),
            ("http://a b/", r#""http://a b/": invalid uri character"#),
            ("http:///x", r#""http:///x": invalid format"#),
            (
                r#"{"url": 1}"#,
                "invalid type: integer `1`, expected a string at column 9",
            ),
            ("{}", "missing field `url` at column 2"),
            (
                r#"{"url": "http://h", "method": "G T"}"#,
                r#"method "G T": invalid HTTP method"#,
            ),
            (
                r#"{"url": "http://h", "headers": {"a b": "c"}}"#,
                r#"header "a b": invalid HTTP header name"#,
            ),
            (
                r#"{"url": "http://h", "headers": {"a": "b\nc"}}"#,
                r#"header "a": failed to parse header value"#,
            ),
            (
                r#"{"url": "http://h", "params": {"a": [1]}}"#,
                r#"parameter "a": not a text, a number or a bool"#,
            ),
        ] {
            assert_eq!(parse(line).unwrap_err(), error, "{line}");
        }
        assert!(
            parse(r#"{"url": "http://h", "verb": "GET"}"#)
                .unwrap_err()
                .contains("`verb`")
        );
        assert!(
            Request::parse(b"http://h/\xff")
                .unwrap_err()
                .contains("utf-8")
        );
    }
}
