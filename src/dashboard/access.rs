//! Who may ask: the names of the server, the token, and where a request comes from.
//!
//! Layer: dashboard. Plain decisions about headers.
//
// A page of another site can have a browser send requests here. It cannot read the replies, unless
// its own name is made to lead to this machine; then `Host` has that name, and the request is
// refused. What changes something needs the token, in a header that such a page cannot set.

use crate::dashboard::http::Request;
use crate::dashboard::reply::Reply;
use std::fmt;
use std::hint;
use std::net::{IpAddr, Ipv6Addr};

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// What the builder allows.
#[derive(Clone, Default)]
pub(crate) struct Access {
    /// Names of the server beside those of the loopback, in lower case.
    pub(crate) hosts: Vec<String>,
    /// Without one nothing can be changed.
    pub(crate) token: Option<String>,
}

impl Access {
    /// Checks the `Host` of a request.
    pub(crate) fn check_host(&self, request: &Request) -> Result<(), Reply> {
        let host = request.host.as_deref().unwrap_or_default();
        let is_known = name_of(host).is_some_and(|name| {
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            LOOPBACK.iter().any(|known| is(known)) || self.hosts.iter().any(|known| is(known))
        });
        if is_known {
            return Ok(());
        }
        Err(Reply::text(403, "this host is not allowed: see allow_host"))
    }

    /// Checks that a request for data comes from no page of another site. A browser keeps the reply
    /// from such a page, but has it made.
    pub(crate) fn check_site(request: &Request) -> Result<(), Reply> {
        match request.fetch_site.as_deref() {
            None | Some("none" | "same-origin") => Ok(()),
            Some(_) => Err(Reply::text(403, "the request comes from another site")),
        }
    }

    /// Checks that a request may change something.
    pub(crate) fn check_control(&self, request: &Request) -> Result<(), Reply> {
        let Some(token) = &self.token else {
            return Err(Reply::text(
                403,
                "this page is read-only: see allow_control",
            ));
        };
        if !is_same_origin(request) {
            return Err(Reply::text(403, "the request comes from another site"));
        }
        let given = request.authorization.as_deref().unwrap_or_default();
        let is_right = given.split_once(' ').is_some_and(|(scheme, given)| {
            let given = given.trim_start_matches(' ');
            scheme.eq_ignore_ascii_case("Bearer") && is_equal(given.as_bytes(), token.as_bytes())
        });
        if !is_right {
            return Err(Reply::text(401, "the token is missing or wrong"));
        }
        let kind = request.content_type.as_deref().unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(Reply::text(415, "the body must be application/json"));
        }
        Ok(())
    }
}

/// Whether this is a name that can stand in a `Host`: without a scheme, a port or a wildcard.
pub(crate) fn is_name(host: &str) -> bool {
    let inner = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Some(inner) = inner {
        return inner.parse::<Ipv6Addr>().is_ok();
    }
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !host.is_empty() && host.bytes().all(is_allowed)
}

/// An address as it stands in a `Host`.
pub(crate) fn name_of_ip(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// The name in a `Host`, without its port. `None` if that is not a port.
fn name_of(host: &str) -> Option<&str> {
    let end = match host.starts_with('[') {
        true => host.find(']')? + 1,
        false => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at(end);
    let digits = port.strip_prefix(':').unwrap_or(port);
    let is_port = port.is_empty() || port.len() > 1 && digits.len() < port.len();
    (is_port && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(name)
}

/// Whether a browser sent this from the page itself, or it comes from no browser.
fn is_same_origin(request: &Request) -> bool {
    let site = request.fetch_site.as_deref();
    let is_from_here = site.is_none_or(|site| site == "same-origin");
    let is_origin = |origin: &str| {
        let authority = ["http://", "https://"]
            .iter()
            .find_map(|scheme| origin.strip_prefix(scheme));
        let host = request.host.as_deref().unwrap_or_default();
        authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
    };
    is_from_here && request.origin.as_deref().is_none_or(is_origin)
}

/// Compares in a time that depends on the lengths alone.
fn is_equal(given: &[u8], token: &[u8]) -> bool {
    let mut difference = u8::from(given.len() != token.len());
    for (at, byte) in given.iter().enumerate() {
        difference |= hint::black_box(byte ^ token[at % token.len()]);
    }
    hint::black_box(difference) == 0
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hosts, token } = self;
        f.debug_struct("Access")
            .field("hosts", hosts)
            .field("allows_control", &token.is_some())
            .finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn access() -> Access {
        Access {
            hosts: vec!["build.local".to_owned()],
            token: Some("secret".to_owned()),
        }
    }

    /// The status of a refusal, or 200.
    fn status(checked: Result<(), Reply>) -> u16 {
        checked.err().map_or(200, |reply| reply.status)
    }

    #[test]
    fn hosts_are_compared_whole() {
        let status = |host: &str| {
            let host = Some(host.to_owned());
            status(access().check_host(&Request {
                host,
                ..Request::default()
            }))
        };
        for host in [
            "localhost",
            "LOCALHOST:9944",
            "127.0.0.1",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:9944",
            "Build.Local",
            "build.local:80",
        ] {
            assert_eq!(status(host), 200, "{host}");
        }
        for host in [
            "",
            ":80",
            "localhost.",
            "localhost.evil.example",
            "evil.example",
            "evil.example:80",
            "127.0.0.1.evil.example",
            "127.0.0.2",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]x:80",
            "localhost:",
            "localhost:x",
            "localhost:80:80",
            "localhost@evil.example",
            "0.0.0.0",
        ] {
            assert_eq!(status(host), 403, "{host}");
        }
    }

    #[test]
    fn a_port_a_scheme_or_a_wildcard_is_no_name() {
        for name in [
            "localhost",
            "a_b.Example",
            "192.168.1.7",
            "[::1]",
            "[fe80::1]",
        ] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            "a:80",
            "[::1]:80",
            "[::1",
            "::1",
            "[x]",
            "http://a",
            "*",
            "*.example",
            "a/b",
            "a b",
        ] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn data_is_for_the_page_itself_and_for_no_browser() {
        for (site, wanted) in [
            (None, 200),
            (Some("none"), 200),
            (Some("same-origin"), 200),
            (Some("same-site"), 403),
            (Some("cross-site"), 403),
        ] {
            let fetch_site = site.map(str::to_owned);
            let request = Request {
                fetch_site,
                ..Request::default()
            };
            assert_eq!(status(Access::check_site(&request)), wanted, "{site:?}");
        }
    }

    #[test]
    fn a_change_needs_the_token_and_the_page_itself() {
        let good = || Request {
            host: Some("localhost:9944".to_owned()),
            authorization: Some("Bearer secret".to_owned()),
            content_type: Some("application/json; charset=utf-8".to_owned()),
            ..Request::default()
        };
        let check = |change: &dyn Fn(&mut Request)| {
            let mut request = good();
            change(&mut request);
            status(access().check_control(&request))
        };
        assert_eq!(check(&|_| ()), 200);
        for token in [
            "",
            "secret",
            "Bearer ",
            "Bearer secre",
            "Bearer secrets",
            "Bearer Secret",
            "Bearersecret",
            "Basic secret",
        ] {
            let set = |request: &mut Request| request.authorization = Some(token.to_owned());
            assert_eq!(check(&set), 401, "{token}");
        }
        for token in ["bearer secret", "BEARER  secret"] {
            let set = |request: &mut Request| request.authorization = Some(token.to_owned());
            assert_eq!(check(&set), 200, "{token}");
        }
        assert_eq!(check(&|request| request.authorization = None), 401);
        assert_eq!(check(&|request| request.content_type = None), 415);
        let form = |request: &mut Request| request.content_type = Some("text/plain".to_owned());
        assert_eq!(check(&form), 415);
        for (origin, wanted) in [
            ("http://localhost:9944", 200),
            ("https://localhost:9944", 200),
            ("http://localhost", 403),
            ("http://evil.example", 403),
            ("null", 403),
            ("", 403),
        ] {
            let set = |request: &mut Request| request.origin = Some(origin.to_owned());
            assert_eq!(check(&set), wanted, "{origin}");
        }
        for (site, wanted) in [
            ("same-origin", 200),
            ("same-site", 403),
            ("cross-site", 403),
        ] {
            let set = |request: &mut Request| request.fetch_site = Some(site.to_owned());
            assert_eq!(check(&set), wanted, "{site}");
        }
        let read_only = Access {
            token: None,
            ..access()
        };
        assert_eq!(status(read_only.check_control(&good())), 403);
    }
}
