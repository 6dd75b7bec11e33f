//! The begin: all start pages and the rules of their sites at once, or none of them.

use crate::fetch::{FetchError, Fetcher, Reply};
use crate::robots::Rules;
use crate::url::Url;
use crate::{Options, request};
use millhand::limit::Keyed;
use millhand::{CancelToken, Pool, RateLimiter, ScopeOptions};
use std::collections::HashMap;

pub(crate) struct Started {
    pub(crate) pages: Vec<(Url, Reply)>,
    pub(crate) sites: HashMap<String, Rules>,
}

/// Fetches the start pages and each `robots.txt` in a scope. The tasks borrow the places for what
/// they fetch, so that all places are filled after a scope without a failure. The first failure
/// cancels the tasks that wait, ends the requests that run, and is the one that is reported.
pub(crate) fn start(
    pool: &Pool,
    options: &Options,
    rates: &Keyed<String, RateLimiter>,
    fetcher: &Fetcher,
    stop: &CancelToken,
) -> Result<Started, String> {
    let urls = &options.start;
    let mut replies: Vec<_> = urls.iter().map(|url| (url.clone(), None)).collect();
    let mut sites: HashMap<_, _> = urls.iter().map(|url| (url.site(), (url, None))).collect();
    let done = pool.scope_with(ScopeOptions::fail_fast().token(stop), |s| {
        let task = |site: &str| request(s.task(), options).gate(&rates.key_ref(site));
        for (site, (url, rules)) in &mut sites {
            let robots = task(site).name(format!("{site}/robots.txt"));
            robots.submit(move || fetcher.robots(url).map(|found| *rules = Some(found)));
        }
        for (url, reply) in &mut replies {
            let page = task(url.site()).name(url.as_str());
            page.submit(move || start_page(fetcher, url).map(|found| *reply = Some(found)));
        }
        // The hook is the value of the scope, and so lives until its last task has ended.
        let fetcher = fetcher.clone();
        s.token().on_cancel(move |_| fetcher.shut_down())
    });
    let _hook = done.map_err(|failures| {
        let first = failures.first();
        let name = first.name().unwrap_or("the start");
        format!("{name}: {}", first.error().cause())
    })?;
    let pages = replies
        .into_iter()
        .filter_map(|(url, reply)| Some((url, reply?)));
    let sites = sites
        .into_iter()
        .map(|(site, (_, rules))| (site.to_owned(), rules.unwrap_or_default()));
    Ok(Started {
        pages: pages.collect(),
        sites: sites.collect(),
    })
}

/// A start page must be there, and on the site that is to be checked.
fn start_page(fetcher: &Fetcher, url: &Url) -> Result<Reply, FetchError> {
    let reply = fetcher.page(url, true)?;
    let target = reply
        .location
        .as_deref()
        .and_then(|location| url.join(location));
    match (reply.status, target) {
        (_, Some(to)) if to.site() != url.site() => Err(FetchError::of_reply(format!(
            "redirects to another host; start at {to}"
        ))),
        (status @ 400.., _) | (status @ 300.., None) => {
            Err(FetchError::of_reply(format!("status {status}")))
        }
        _ => Ok(reply),
    }
}
