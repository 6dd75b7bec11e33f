//! The tasks of a page: it is fetched, read, and its links are submitted, as a chain of three.

use crate::fetch::{FetchError, Fetcher, REFERRER, Reply, found_on};
use crate::frontier::Frontier;
use crate::html;
use crate::report::{Event, Outcome};
use crate::robots::Rules;
use crate::url::Url;
use millhand::limit::Keyed;
use millhand::pool::Retrying;
use millhand::{Pool, RateLimiter, TaskBuilder, TaskError, TaskHandle};
use millhand_programs::lock;
use std::collections::HashMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

/// What all pages share. Each page that is pending holds it, in a task or in the closure of one.
///
/// With it each of them holds the sender. When no page is pending, no sender is left, and the
/// channel is closed: that is how the main thread finds out that the crawl is over.
pub(crate) struct Crawl {
    /// The template of all requests.
    pub(crate) request: TaskBuilder<Retrying<FetchError>>,
    pub(crate) rates: Keyed<String, RateLimiter>,
    pub(crate) fetcher: Fetcher,
    /// The sites that are crawled.
    pub(crate) sites: HashMap<String, Rules>,
    pub(crate) checks_external: bool,
    /// Held for moments only.
    pub(crate) frontier: Mutex<Frontier>,
    pub(crate) events: Sender<Event>,
}

/// What a page has come to.
struct Page {
    outcome: Outcome,
    links: Vec<Url>,
}

impl Crawl {
    /// Begins with the start pages, which are fetched already, and returns.
    pub(crate) fn begin(self, pool: &Pool, pages: Vec<(Url, Reply)>) {
        let crawl = Arc::new(self);
        for (url, reply) in pages {
            crawl.say(Event::Start(url.clone()));
            if crawl.lock().start(&url) {
                let page = url.clone();
                let read = pool.submit(move || Ok(Page::read(&page, reply)));
                crawl.then_follow(url, read);
            }
        }
    }

    fn fetch(self: &Arc<Self>, url: Url) {
        let rate = self.rates.key_ref(url.site());
        let (crawl, page) = (self.clone(), url.clone());
        let fetched = self.request.clone().gate(&rate).submit(move || {
            crawl.say(Event::Begun(page.clone(), Instant::now()));
            crawl
                .fetcher
                .page(&page, crawl.sites.contains_key(page.site()))
        });
        let page = url.clone();
        let read = fetched.and_then(move |reply| Ok(Page::read(&page, reply)));
        self.then_follow(url, read);
    }

    /// `then` runs in any case: also after a cancel, a panic, or the end of a time limit.
    fn then_follow(self: &Arc<Self>, url: Url, read: TaskHandle<Result<Page, FetchError>>) {
        let crawl = self.clone();
        drop(read.then(move |page| crawl.follow(&url, page)));
    }

    /// The last step of a page: says what it has come to, and submits its links.
    fn follow(self: &Arc<Self>, url: &Url, page: Result<Result<Page, FetchError>, TaskError>) {
        let outcome = match page {
            Ok(Ok(page)) => {
                self.submit(url, page.links);
                page.outcome
            }
            Ok(Err(error)) => {
                log::info!("{url}: {error}{}", found_on());
                Outcome::Failed(error.word)
            }
            Err(TaskError::TimedOut) => Outcome::Failed("timeout"),
            Err(error) if error.is_cancelled() => Outcome::Stopped,
            Err(error) => {
                log::error!("{url}: {error}");
                Outcome::Failed("error")
            }
        };
        self.say(Event::Ended(url.clone(), outcome, Instant::now()));
    }

    fn submit(self: &Arc<Self>, page: &Url, mut links: Vec<Url>) {
        links.retain(|link| self.is_wanted(page, link));
        let fetch = self.lock().follow(page, links);
        REFERRER.with(Some(page.clone()), || {
            for link in fetch {
                self.fetch(link);
            }
        });
    }

    /// Decides on a link whether a request is to be sent, and reports the link unless it is one to
    /// another site that is not to be checked.
    fn is_wanted(&self, page: &Url, link: &Url) -> bool {
        let rules = self.sites.get(link.site());
        let refusal = match rules {
            _ if !link.is_valid() => Some(Outcome::Failed("invalid")),
            None if !self.checks_external => return false,
            Some(rules) if !rules.allow(link.path()) => Some(Outcome::Disallowed),
            _ => None,
        };
        self.say(Event::Link {
            to: link.clone(),
            from: page.clone(),
        });
        let is_wanted = refusal.is_none();
        if let Some(outcome) = refusal {
            self.say(Event::Ended(link.clone(), outcome, Instant::now()));
        }
        is_wanted
    }

    /// Never waits: the channel has no bound. An error means that the main thread is gone.
    fn say(&self, event: Event) {
        let _ = self.events.send(event);
    }

    fn lock(&self) -> MutexGuard<'_, Frontier> {
        lock(&self.frontier)
    }
}

impl Page {
    fn read(url: &Url, reply: Reply) -> Self {
        let target = reply.location.and_then(|location| url.join(&location));
        let html = reply.html.unwrap_or_default();
        let mut links = html::links(url, &html);
        links.extend(target.clone());
        let outcome = match target {
            Some(to) => Outcome::Redirect(reply.status, to),
            None => Outcome::Status(reply.status, reply.is_cut),
        };
        Self { outcome, links }
    }
}
