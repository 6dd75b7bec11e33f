//! URLs, and what a link means on its page: RFC 3986, section 5.
//!
//! The crate `url` would bring more than twenty others, most of them for host names with letters
//! outside of ASCII. Such a link is reported as invalid here; written with `xn--` it works.

use std::fmt;
use std::sync::Arc;
use ureq::http::Uri;

/// The URL of a page, without a fragment, in one form: two links to a page are equal.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Url(Arc<str>);

impl Url {
    /// Parses an argument of the command line.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let url = normalize(text).filter(Self::is_valid);
        url.ok_or("not a URL that begins with http:// or https:// and a host")
    }

    /// Returns what a link on this page leads to. `None` if that is no page of the web, such as
    /// `mailto:`. The result may be invalid.
    pub(crate) fn join(&self, link: &str) -> Option<Self> {
        // As browsers do: a link may be broken into lines.
        let link: String = link.chars().filter(|c| !"\t\r\n".contains(*c)).collect();
        normalize(&resolve(&self.0, link.trim_matches(' ')))
    }

    /// Says whether a request can be sent to it.
    pub(crate) fn is_valid(&self) -> bool {
        let uri = Uri::try_from(self.as_str());
        !self.site().is_empty()
            && uri.is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty()))
    }

    /// Returns the host, and the port unless it is that of the scheme.
    pub(crate) fn site(&self) -> &str {
        let authority = Parts::of(&self.0).authority.unwrap_or_default();
        authority.rsplit('@').next().unwrap_or_default()
    }

    /// Returns the path and the query.
    pub(crate) fn path(&self) -> &str {
        let Parts { path, query, .. } = Parts::of(&self.0);
        let length = path.len() + query.map_or(0, |query| query.len() + 1);
        &self.0[self.0.len() - length..]
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A URL or a reference, as appendix B of the RFC takes it to pieces.
#[derive(Clone, Copy, Debug)]
struct Parts<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let (rest, fragment) = cut(text, '#');
        let (rest, query) = cut(rest, '?');
        let (scheme, rest) = match rest.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
            _ => (None, rest),
        };
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (Some(authority), path)
            }
            None => (None, rest),
        };
        Self {
            scheme,
            authority,
            path,
            query,
            fragment,
        }
    }

    /// Section 5.3.
    fn join(&self) -> String {
        let piece = |begin, part: Option<&str>, end| {
            part.map_or_else(String::new, |part| format!("{begin}{part}{end}"))
        };
        [
            piece("", self.scheme, ":"),
            piece("//", self.authority, ""),
            self.path.to_owned(),
            piece("?", self.query, ""),
            piece("#", self.fragment, ""),
        ]
        .concat()
    }
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Section 5.2.2: what `reference` means in a document at `base`.
fn resolve(base: &str, reference: &str) -> String {
    let (base, given) = (Parts::of(base), Parts::of(reference));
    let path;
    let mut target = given;
    if given.scheme.is_some() || given.authority.is_some() {
        path = remove_dot_segments(given.path);
        target.scheme = given.scheme.or(base.scheme);
    } else {
        (target.scheme, target.authority) = (base.scheme, base.authority);
        path = match given.path {
            "" => {
                target.query = given.query.or(base.query);
                base.path.to_owned()
            }
            absolute if absolute.starts_with('/') => remove_dot_segments(absolute),
            relative => remove_dot_segments(&merge(&base, relative)),
        };
    }
    Parts {
        path: &path,
        ..target
    }
    .join()
}

/// Section 5.2.3.
fn merge(base: &Parts<'_>, relative: &str) -> String {
    match base.path.rfind('/') {
        Some(end) => format!("{}{relative}", &base.path[..=end]),
        None if base.authority.is_some() => format!("/{relative}"),
        None => relative.to_owned(),
    }
}

/// Section 5.2.4.
fn remove_dot_segments(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut kept = Vec::new();
    let mut segments = path.split('/').skip(usize::from(is_absolute)).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push(""); // it names a folder
                }
            }
            segment => kept.push(segment),
        }
    }
    let begin = if is_absolute { "/" } else { "" };
    format!("{begin}{}", kept.join("/"))
}

/// Brings a URL into one form: a scheme and a host in small letters, no port that goes without
/// saying, a path, no fragment, and nothing that a request cannot contain. `None` if it is none of
/// the web.
fn normalize(text: &str) -> Option<Url> {
    let parts = Parts::of(text);
    let scheme = parts.scheme?.to_ascii_lowercase();
    let port = match scheme.as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    let authority = parts.authority.map(|authority| {
        let (user, host) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        let host = host.to_ascii_lowercase();
        let host = host.strip_suffix(port).unwrap_or(&host);
        format!("{user}{}", host.strip_suffix(':').unwrap_or(host))
    });
    let path = remove_dot_segments(parts.path);
    let url = Parts {
        scheme: Some(&scheme),
        authority: authority.as_deref(),
        path: if path.is_empty() { "/" } else { &path },
        query: parts.query,
        fragment: None,
    };
    Some(Url(encode(&url.join()).into()))
}

/// Writes what a request cannot contain as `%` and two digits.
fn encode(text: &str) -> String {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
    text.bytes()
        .map(|byte| match is_allowed(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the RFC, 5.4.1 and 5.4.2.
    const EXAMPLES: [(&str, &str); 42] = [
        ("g:h", "g:h"),
        ("g", "http://a/b/c/g"),
        ("./g", "http://a/b/c/g"),
        ("g/", "http://a/b/c/g/"),
        ("/g", "http://a/g"),
        ("//g", "http://g"),
        ("?y", "http://a/b/c/d;p?y"),
        ("g?y", "http://a/b/c/g?y"),
        ("#s", "http://a/b/c/d;p?q#s"),
        ("g#s", "http://a/b/c/g#s"),
        ("g?y#s", "http://a/b/c/g?y#s"),
        (";x", "http://a/b/c/;x"),
        ("g;x", "http://a/b/c/g;x"),
        ("g;x?y#s", "http://a/b/c/g;x?y#s"),
        ("", "http://a/b/c/d;p?q"),
        (".", "http://a/b/c/"),
        ("./", "http://a/b/c/"),
        ("..", "http://a/b/"),
        ("../", "http://a/b/"),
        ("../g", "http://a/b/g"),
        ("../..", "http://a/"),
        ("../../", "http://a/"),
        ("../../g", "http://a/g"),
        ("../../../g", "http://a/g"),
        ("../../../../g", "http://a/g"),
        ("/./g", "http://a/g"),
        ("/../g", "http://a/g"),
        ("g.", "http://a/b/c/g."),
        (".g", "http://a/b/c/.g"),
        ("g..", "http://a/b/c/g.."),
        ("..g", "http://a/b/c/..g"),
        ("./../g", "http://a/b/g"),
        ("./g/.", "http://a/b/c/g/"),
        ("g/./h", "http://a/b/c/g/h"),
        ("g/../h", "http://a/b/c/h"),
        ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
        ("g;x=1/../y", "http://a/b/c/y"),
        ("g?y/./x", "http://a/b/c/g?y/./x"),
        ("g?y/../x", "http://a/b/c/g?y/../x"),
        ("g#s/./x", "http://a/b/c/g#s/./x"),
        ("g#s/../x", "http://a/b/c/g#s/../x"),
        ("http:g", "http:g"),
    ];

    #[test]
    fn references_resolve_as_in_the_rfc() {
        for (reference, target) in EXAMPLES {
            assert_eq!(
                resolve("http://a/b/c/d;p?q", reference),
                target,
                "{reference}"
            );
        }
        assert_eq!(resolve("http://a", "g"), "http://a/g");
        assert_eq!(resolve("http://a?q", "./g"), "http://a/g");
    }

    #[test]
    fn equal_pages_have_equal_urls() {
        for (text, url) in [
            ("HTTP://Example.ORG:80", "http://example.org/"),
            ("https://example.org:443/a/../b#c", "https://example.org/b"),
            (
                "http://example.org:8080/?q=A",
                "http://example.org:8080/?q=A",
            ),
            ("http://[::1]:80/", "http://[::1]/"),
            ("http://a/Straße x|y", "http://a/Stra%C3%9Fe%20x%7Cy"),
        ] {
            assert_eq!(Url::parse(text).unwrap().as_str(), url);
        }
        for text in [
            "example.org",
            "ftp://example.org/",
            "http://",
            "http:///a",
            "http://ä/",
            "",
        ] {
            Url::parse(text).unwrap_err();
        }
    }

    #[test]
    fn a_link_is_read_as_a_browser_does() {
        let page = Url::parse("https://ann@h.org:8443/a/b?c").unwrap();
        assert_eq!((page.site(), page.path()), ("h.org:8443", "/a/b?c"));
        let join = |link: &str| page.join(link).map(|url| url.to_string());
        assert_eq!(
            join(" c \n d ").unwrap(),
            "https://ann@h.org:8443/a/c%20%20d"
        );
        assert_eq!(join("//x/y").unwrap(), "https://x/y");
        assert_eq!(join("#top").unwrap(), page.to_string());
        assert_eq!(join("mailto:ann@h.org"), None);
        assert_eq!(join("javascript:void(0)"), None);
        assert!(!page.join("http://ä.org/").unwrap().is_valid());
        assert!(!page.join("https:x").unwrap().is_valid());
    }
}
