//! One request: its headers, its time limit, and what can go wrong.

use crate::robots::Rules;
use crate::url::Url;
use millhand::ContextVar;
use std::fmt;
use std::io::{self, ErrorKind, Read};
use ureq::http::{Response, header};
use ureq::{Agent, Body};

/// The page on which the link was found. A request names it, and so do the lines of the log.
///
/// The crawl sets it where it submits the links of a page. From there it comes along: into the
/// request, into each of its retries, and into the steps that follow.
pub(crate) static REFERRER: ContextVar<Option<Url>> = ContextVar::new(None);

/// More of a `robots.txt` is not read. It is the least that the RFC demands.
const MAX_ROBOTS: u64 = 500 * 1024;

#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    agent: Agent,
    max_body: u64,
}

/// What a server has answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Where it redirects to, as it stands there.
    pub(crate) location: Option<String>,
    /// The page, if it was to be read and is one.
    pub(crate) html: Option<Vec<u8>>,
    /// Whether only the begin of the page was read.
    pub(crate) is_cut: bool,
}

impl Fetcher {
    pub(crate) fn new(max_body: u64, connections: usize) -> Self {
        let config = Agent::config_builder()
            .user_agent("crawler (an example of millhand)")
            .http_status_as_error(false)
            .max_redirects(0) // each is a link, and counts as one
            .max_idle_connections_per_host(connections);
        Self {
            agent: config.build().into(),
            max_body,
        }
    }

    /// Ends all requests that run, and refuses more.
    pub(crate) fn shut_down(&self) {
        self.agent.clone().shutdown();
    }

    /// Fetches a page. Unless it `is_read`, its status is enough.
    pub(crate) fn page(&self, url: &Url, is_read: bool) -> Result<Reply, FetchError> {
        let mut reply = self.get(url, 0)?;
        let location = reply.headers().get(header::LOCATION);
        let location = location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let mime_type = reply.body().mime_type().map(str::to_ascii_lowercase);
        let is_html = matches!(
            mime_type.as_deref(),
            Some("text/html" | "application/xhtml+xml")
        );
        let status = reply.status();
        let mut html = match is_read && is_html && status.is_success() {
            true => Some(read(reply.body_mut(), self.max_body.saturating_add(1))?),
            false => None,
        };
        let most = usize::try_from(self.max_body).unwrap_or(usize::MAX);
        let is_cut = html.as_ref().is_some_and(|html| html.len() > most);
        if let Some(html) = &mut html {
            html.truncate(most);
        }
        Ok(Reply {
            status: status.as_u16(),
            location: location.filter(|_| status.is_redirection()),
            html,
            is_cut,
        })
    }

    /// Fetches the rules of the site of a page. A site without them allows everything.
    pub(crate) fn robots(&self, page: &Url) -> Result<Rules, FetchError> {
        let url = page.join("/robots.txt").unwrap_or_else(|| page.clone());
        let mut reply = self.get(&url, 5)?;
        match reply.status().as_u16() {
            200..300 => {
                let text = read(reply.body_mut(), MAX_ROBOTS)?;
                Ok(Rules::parse(&String::from_utf8_lossy(&text)))
            }
            status @ 500.. => Err(FetchError::of_reply(format!("status {status}"))),
            _ => Ok(Rules::default()),
        }
    }

    fn get(&self, url: &Url, redirects: u32) -> Result<Response<Body>, FetchError> {
        let task = millhand::current();
        let attempt = task.as_ref().map_or(1, |task| task.attempt());
        log::debug!("GET {url}, attempt {attempt}{}", found_on());
        let mut request = self.agent.get(url.as_str());
        // Other sites need not learn which pages there are.
        if let Some(page) = REFERRER.get().filter(|page| page.site() == url.site()) {
            request = request.header(header::REFERER, page.as_str());
        }
        // The time limit of the attempt is that of the socket.
        let request = request
            .config()
            .timeout_global(task.and_then(|task| task.remaining()))
            .max_redirects(redirects)
            .max_redirects_will_error(false);
        Ok(request.build().call()?)
    }
}

fn read(body: &mut Body, most: u64) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    body.as_reader()
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(ureq::Error::from)?;
    Ok(bytes)
}

/// Names the page on which the link was found, for the log.
pub(crate) fn found_on() -> String {
    let page = REFERRER.get();
    page.map_or_else(String::new, |page| format!(" <- {page}"))
}

/// Why there is no reply, or none that will do.
#[derive(Clone, Debug)]
pub(crate) struct FetchError {
    /// One word, which stands where a status would.
    pub(crate) word: &'static str,
    text: String,
    /// Whether the next attempt may do better.
    pub(crate) is_transient: bool,
}

impl FetchError {
    /// A reply that will not do.
    pub(crate) fn of_reply(text: String) -> Self {
        Self {
            word: "reply",
            text,
            is_transient: false,
        }
    }
}

impl From<ureq::Error> for FetchError {
    fn from(error: ureq::Error) -> Self {
        let word = match &error {
            ureq::Error::Timeout(_) => "timeout",
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => "unreachable",
            ureq::Error::Io(error) => io_word(error),
            ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::Pem(_) => "tls",
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => "invalid",
            _ => "protocol",
        };
        let text = match &error {
            // A moment before the task itself has timed out.
            ureq::Error::Timeout(_) => "timed out".to_owned(),
            ureq::Error::Io(error) => error.to_string(),
            error => error.to_string(),
        };
        Self {
            word,
            text,
            is_transient: matches!(word, "unreachable" | "closed"),
        }
    }
}

fn io_word(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::TimedOut => "timeout",
        ErrorKind::UnexpectedEof
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe => "closed",
        ErrorKind::InvalidData => "tls", // a certificate
        ErrorKind::InvalidInput => "invalid",
        _ => "unreachable",
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for FetchError {}
