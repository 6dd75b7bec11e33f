//! Which pages are known, how many clicks each is from a start page, and which are to be fetched.
//!
//! Pages come in any order, and a long way to a page may be found before a short one. So that the
//! order does not decide what is checked, a page that turns out to be nearer passes that on to the
//! pages that it links to.

use crate::url::Url;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

#[derive(Debug)]
pub(crate) struct Frontier {
    known: HashMap<Url, Known>,
    max_depth: u32,
    /// How many pages more may be fetched.
    left: usize,
}

#[derive(Debug)]
struct Known {
    depth: u32,
    is_taken: bool,
    /// Empty until the page is read.
    links: Vec<Url>,
}

impl Frontier {
    pub(crate) fn new(max_depth: u32, max_pages: usize) -> Self {
        Self {
            known: HashMap::new(),
            max_depth,
            left: max_pages,
        }
    }

    /// Adds a start page. Returns false if it was added before, or if it is one too many.
    pub(crate) fn start(&mut self, page: &Url) -> bool {
        !self.reach([(page.clone(), 0)].into()).is_empty()
    }

    /// Adds the links of a page. Returns those to fetch.
    pub(crate) fn follow(&mut self, page: &Url, links: Vec<Url>) -> Vec<Url> {
        let Some(known) = self.known.get_mut(page) else {
            return Vec::new();
        };
        known.links = links;
        let reached = known.neighbours();
        self.reach(reached)
    }

    fn reach(&mut self, mut reached: VecDeque<(Url, u32)>) -> Vec<Url> {
        let mut fetch = Vec::new();
        while let Some((url, depth)) = reached.pop_front() {
            let known = match self.known.entry(url.clone()) {
                Entry::Occupied(entry) if entry.get().depth <= depth => continue,
                entry => entry.or_insert_with(|| Known {
                    depth,
                    is_taken: false,
                    links: Vec::new(),
                }),
            };
            known.depth = depth;
            reached.extend(known.neighbours());
            if !known.is_taken && depth <= self.max_depth && self.left > 0 {
                known.is_taken = true;
                self.left -= 1;
                fetch.push(url);
            }
        }
        fetch
    }
}

impl Known {
    fn neighbours(&self) -> VecDeque<(Url, u32)> {
        let depth = self.depth.saturating_add(1);
        self.links
            .iter()
            .map(|link| (link.clone(), depth))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls<const N: usize>(names: [&str; N]) -> Vec<Url> {
        let url = |name| Url::parse(&format!("http://h/{name}")).unwrap();
        names.map(url).into()
    }

    fn url(name: &str) -> Url {
        urls([name]).remove(0)
    }

    #[test]
    fn each_page_is_fetched_once() {
        let mut frontier = Frontier::new(9, 9);
        assert!(frontier.start(&url("a")) && !frontier.start(&url("a")));
        assert_eq!(
            frontier.follow(&url("a"), urls(["a", "b", "c"])),
            urls(["b", "c"])
        );
        assert_eq!(frontier.follow(&url("b"), urls(["a", "c"])), []);
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let mut frontier = Frontier::new(1, 9);
        frontier.start(&url("a"));
        assert_eq!(frontier.follow(&url("a"), urls(["b"])), urls(["b"]));
        assert_eq!(frontier.follow(&url("b"), urls(["c"])), []);
        let mut frontier = Frontier::new(9, 2);
        assert_eq!(
            ["a", "b", "c"].map(|page| frontier.start(&url(page))),
            [true, true, false]
        );
    }

    #[test]
    fn a_short_way_that_is_found_late_counts() {
        let mut frontier = Frontier::new(3, 9);
        frontier.start(&url("a"));
        frontier.follow(&url("a"), urls(["b", "slow"]));
        // The long way first: e is four clicks away.
        frontier.follow(&url("b"), urls(["c"]));
        frontier.follow(&url("c"), urls(["d"]));
        assert_eq!(frontier.follow(&url("d"), urls(["e"])), []);
        // From here d is two clicks away, and so e is three.
        assert_eq!(frontier.follow(&url("slow"), urls(["d"])), urls(["e"]));
    }
}
