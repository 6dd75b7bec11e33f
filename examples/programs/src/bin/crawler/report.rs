//! What the main thread knows of the crawl, from the messages of the tasks.

use crate::url::Url;
use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

/// A message to the main thread. In which order the messages of different pages come is not
/// decided: a link to a page may come after the end of that page.
#[derive(Debug)]
pub(crate) enum Event {
    Start(Url),
    Link {
        to: Url,
        from: Url,
    },
    /// An attempt.
    Begun(Url, Instant),
    Ended(Url, Outcome, Instant),
}

#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// A status, and whether only the begin of the page was read.
    Status(u16, bool),
    Redirect(u16, Url),
    /// There was no reply, for this reason.
    Failed(&'static str),
    /// `robots.txt` allows no request.
    Disallowed,
    /// The crawl was stopped before.
    Stopped,
}

impl Outcome {
    pub(crate) fn is_broken(&self) -> bool {
        match self {
            Self::Status(status, _) => *status >= 300,
            Self::Failed(_) => true,
            Self::Redirect(..) | Self::Disallowed | Self::Stopped => false,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status, _) | Self::Redirect(status, _) => write!(f, "{status}"),
            Self::Failed(why) => f.write_str(why),
            Self::Disallowed => f.write_str("robots.txt"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) url: Url,
    /// The pages that link to it.
    pub(crate) from: Vec<Url>,
    pub(crate) begun: Option<Instant>,
    pub(crate) took: Option<Duration>,
    pub(crate) outcome: Option<Outcome>,
}

/// All pages, in the order in which they were found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    places: HashMap<Url, usize>,
    /// The last page that was begun.
    pub(crate) newest: usize,
    pub(crate) counts: Counts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) checked: usize,
    pub(crate) broken_links: usize,
    pub(crate) disallowed: usize,
    pub(crate) stopped: usize,
    /// Of those that are checked, the ones that were read in part.
    pub(crate) cut: usize,
}

impl Report {
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Takes a message. Returns the lines of the links that are known as broken now.
    pub(crate) fn take(&mut self, event: Event) -> Vec<String> {
        let broken = match event {
            Event::Start(url) => {
                self.place(&url);
                Vec::new()
            }
            Event::Link { to, from } => {
                let place = self.place(&to);
                let row = &mut self.rows[place];
                row.from.push(from);
                let last = row.from.len() - 1;
                row.lines(last)
            }
            Event::Begun(url, at) => {
                let place = self.place(&url);
                self.newest = self.newest.max(place);
                let row = &mut self.rows[place];
                row.begun = Some(row.begun.unwrap_or(at));
                Vec::new()
            }
            Event::Ended(url, outcome, at) => self.end(&url, outcome, at),
        };
        self.counts.broken_links += broken.len();
        broken
    }

    fn place(&mut self, url: &Url) -> usize {
        if let Some(place) = self.places.get(url) {
            return *place;
        }
        let place = self.rows.len();
        self.places.insert(url.clone(), place);
        self.rows.push(Row {
            url: url.clone(),
            from: Vec::new(),
            begun: None,
            took: None,
            outcome: None,
        });
        place
    }

    fn end(&mut self, url: &Url, outcome: Outcome, at: Instant) -> Vec<String> {
        let place = self.place(url);
        let row = &mut self.rows[place];
        if row.outcome.is_some() {
            return Vec::new(); // refused once more, by another link to it
        }
        match outcome {
            Outcome::Disallowed => self.counts.disallowed += 1,
            Outcome::Stopped => self.counts.stopped += 1,
            _ => self.counts.checked += 1,
        }
        self.counts.cut += usize::from(matches!(outcome, Outcome::Status(_, true)));
        row.took = row.begun.map(|begun| at.saturating_duration_since(begun));
        row.outcome = Some(outcome);
        let ring = self.ring(place);
        for place in &ring {
            self.rows[*place].outcome = Some(Outcome::Failed("loop"));
        }
        let ended = if ring.is_empty() { vec![place] } else { ring };
        ended
            .into_iter()
            .flat_map(|place| self.rows[place].lines(0))
            .collect()
    }

    /// Returns the redirects that lead from a page back to it. They form a ring when the last of
    /// them comes, whichever that is.
    fn ring(&self, begin: usize) -> Vec<usize> {
        let mut ring = vec![begin];
        while let Some(Outcome::Redirect(_, to)) = &self.rows[ring[ring.len() - 1]].outcome {
            match self.places.get(to) {
                Some(place) if *place == begin => return ring,
                // The ring of another page would be marked as broken already.
                Some(place) => ring.push(*place),
                None => break,
            }
        }
        Vec::new()
    }

    pub(crate) fn summary(&self, took: Duration) -> String {
        let Counts {
            checked,
            broken_links,
            disallowed,
            stopped,
            cut,
        } = self.counts;
        let left = self.rows.iter().filter(|row| row.outcome.is_none()).count();
        let mut text = format!("pages checked: {checked}, broken links: {broken_links}");
        for (what, count) in [
            ("read in part (--max-body)", cut),
            ("not checked (robots.txt)", disallowed),
            ("not checked (--depth, --pages)", left),
            ("not checked (stopped)", stopped),
        ] {
            if count > 0 {
                text.push_str(&format!(", {what}: {count}"));
            }
        }
        text.push_str(&format!(", seconds: {:.1}", took.as_secs_f64()));
        text
    }
}

impl Row {
    /// The lines of the links from this place on, if the page is broken.
    fn lines(&self, from: usize) -> Vec<String> {
        let broken = self.outcome.as_ref().filter(|outcome| outcome.is_broken());
        let lines = broken.map(|outcome| {
            let line = |from: &Url| format!("{outcome} {} <- {from}", self.url);
            self.from[from..].iter().map(line).collect()
        });
        lines.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(name: &str) -> Url {
        Url::parse(&format!("http://h/{name}")).unwrap()
    }

    fn link(to: &str, from: &str) -> Event {
        let (to, from) = (url(to), url(from));
        Event::Link { to, from }
    }

    fn ended(page: &str, outcome: Outcome) -> Event {
        Event::Ended(url(page), outcome, Instant::now())
    }

    /// Takes messages in this order and in the opposite one. Returns the sorted lines.
    fn lines(events: impl Fn() -> Vec<Event>) -> Vec<String> {
        let sorted = |events: Vec<Event>| {
            let mut report = Report::default();
            let lines = events.into_iter().flat_map(|event| report.take(event));
            let mut lines: Vec<_> = lines.map(|line| line.replace("http://h", "")).collect();
            lines.sort();
            assert_eq!(lines.len(), report.counts.broken_links);
            lines
        };
        let forward = sorted(events());
        assert_eq!(forward, sorted(events().into_iter().rev().collect()));
        forward
    }

    #[test]
    fn a_link_counts_before_and_after_the_end_of_its_page() {
        let events = || {
            vec![
                link("a", "x"),
                ended("a", Outcome::Status(404, false)),
                link("a", "y"),
                link("b", "x"),
                ended("b", Outcome::Status(200, false)),
                link("c", "x"),
                ended("c", Outcome::Disallowed),
                ended("c", Outcome::Disallowed),
            ]
        };
        assert_eq!(lines(events), ["404 /a <- /x", "404 /a <- /y"]);
        let mut report = Report::default();
        for event in events() {
            report.take(event);
        }
        let summary = report.summary(Duration::ZERO);
        let counts = "pages checked: 2, broken links: 2, not checked (robots.txt): 1";
        assert!(summary.starts_with(counts), "{summary}");
    }

    #[test]
    fn a_ring_of_redirects_is_found_whichever_comes_last() {
        let redirect = |from, to| ended(from, Outcome::Redirect(302, url(to)));
        // `way` leads into the ring, and is no part of it.
        let events = || {
            vec![
                link("way", "x"),
                link("a", "way"),
                link("b", "a"),
                link("a", "b"),
                redirect("way", "a"),
                redirect("b", "a"),
                redirect("a", "b"),
            ]
        };
        assert_eq!(
            lines(events),
            ["loop /a <- /b", "loop /a <- /way", "loop /b <- /a"]
        );
    }
}
