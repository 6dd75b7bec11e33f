//! The steps of the search: what files there are, and which of them have the same content.

use crate::progress::Progress;
use crate::walk::{File, Unread, walk};
use blake3::{Hash, Hasher};
use indicatif::ProgressBar;
use millhand::{CancelToken, Semaphore, TaskBuilder, ThreadPool};
use std::collections::HashMap;
use std::fmt::Display;
use std::fs;
use std::hash::Hash as Key;
use std::io::{self, ErrorKind, Read};
use std::iter;
use std::path::PathBuf;

/// A step that reads files.
struct Step {
    what: &'static str,
    /// So many bytes of each file at most.
    most: u64,
    /// A task reads so many files. For starts a task each would cost more than the reading.
    lot: usize,
}

/// Most files of one size differ here.
const STARTS: Step = Step {
    what: "starts",
    most: 4096,
    lot: 32,
};

const CONTENTS: Step = Step {
    what: "contents",
    most: u64::MAX,
    lot: 1,
};

const CHUNK: u64 = 64 * 1024;

/// Files with the same content, in the order of their names. There are two at least.
pub(crate) type Group = Vec<File>;

pub(crate) struct Search<'a> {
    pool: &'a ThreadPool,
    list: TaskBuilder,
    read: TaskBuilder,
    token: CancelToken,
    progress: &'a Progress,
}

impl<'a> Search<'a> {
    /// What the search opens passes the gate `open`. The token ends it, and then its results are
    /// worth nothing.
    pub(crate) fn new(
        pool: &'a ThreadPool,
        open: &Semaphore,
        token: &CancelToken,
        progress: &'a Progress,
    ) -> Self {
        let task = |name| pool.task().name(name).gate(open).token(token);
        Self {
            pool,
            list: task("list"),
            read: task("read"),
            token: token.clone(),
            progress,
        }
    }

    /// Returns the files of these paths and below them.
    pub(crate) fn files(&self, paths: &[PathBuf]) -> Vec<File> {
        let bar = self.progress.begin();
        let mut files = Vec::new();
        for listing in walk(&self.list, paths) {
            bar.inc(listing.files.len() as u64);
            files.extend(listing.files);
            for unread in listing.unread {
                self.problem(unread);
            }
        }
        files
    }

    /// Returns those with the same content, group by group.
    pub(crate) fn groups(&self, mut files: Vec<File>, with_empty: bool) -> Vec<Group> {
        files.retain(|file| file.size > 0 || with_empty);
        // Of the links to one file the first stays.
        files.sort_unstable_by(|a, b| (a.id, a.name()).cmp(&(b.id, b.name())));
        files.dedup_by_key(|file| file.id);

        let same_size = repeated(files.into_iter().map(|file| (file.size, file)));
        let same_start = self.same_hash(same_size, &STARTS);
        let is_done = |group: &Group| group[0].size <= STARTS.most;
        let (mut groups, long): (Vec<_>, _) = same_start.into_iter().partition(is_done);
        groups.extend(self.same_hash(long, &CONTENTS));

        for group in &mut groups {
            group.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        }
        groups.sort_unstable_by(|a, b| a[0].name().cmp(b[0].name()));
        groups
    }

    /// Splits groups by the size and the hash of what a step reads of each file.
    fn same_hash(&self, groups: Vec<Group>, step: &Step) -> Vec<Group> {
        let Step { what, most, lot } = *step;
        let mut files: Vec<_> = groups.into_iter().flatten().collect();
        files.sort_unstable_by_key(|file| file.id); // which suits a disk with a head
        let bytes = files.iter().map(|file| file.size.min(most)).sum();
        let bar = self.progress.begin_reading(what, bytes).clone();
        let lots = self
            .pool
            .pipeline(lots(files, lot))
            .stage_with(&self.read, 2 * self.pool.workers(), move |lot| {
                let hashes = lot.into_iter().map(|file| hash_of(file, most, &bar));
                hashes.collect::<Vec<_>>()
            })
            .unordered();

        let mut hashed = Vec::new();
        for lot in lots {
            for one in self.ok(lot).into_iter().flatten() {
                let one = self.ok(one);
                hashed.extend(one.map(|(hash, file)| ((file.size, hash), file)));
            }
        }
        repeated(hashed)
    }

    fn ok<T>(&self, result: Result<T, impl Display>) -> Option<T> {
        result.map_err(|error| self.problem(error)).ok()
    }

    /// Reports an error, unless it comes from the end of the search.
    fn problem(&self, error: impl Display) {
        if !self.token.is_cancelled() {
            self.progress.problem(error);
        }
    }
}

/// Returns the items in vectors of so many, and the last one with the rest.
fn lots<T>(items: Vec<T>, lot: usize) -> impl Iterator<Item = Vec<T>> {
    let mut items = items.into_iter();
    iter::from_fn(move || {
        let lot: Vec<_> = items.by_ref().take(lot).collect();
        (!lot.is_empty()).then_some(lot)
    })
}

/// Returns the values whose key comes more than once, by their keys.
fn repeated<K: Key + Eq, T>(items: impl IntoIterator<Item = (K, T)>) -> Vec<Vec<T>> {
    let mut groups: HashMap<K, Vec<T>> = HashMap::new();
    for (key, item) in items {
        groups.entry(key).or_default().push(item);
    }
    let groups = groups.into_values();
    groups.filter(|group| group.len() > 1).collect()
}

fn hash_of(file: File, most: u64, bar: &ProgressBar) -> Result<(Hash, File), Unread> {
    match hash_start(&file, most, bar) {
        Ok(hash) => Ok((hash, file)),
        Err(error) => {
            let path = file.path;
            Err(Unread { path, error })
        }
    }
}

fn hash_start(file: &File, most: u64, bar: &ProgressBar) -> io::Result<Hash> {
    let wanted = file.size.min(most);
    // One byte more than its size shows that the file has grown.
    let limit = if file.size <= most {
        file.size + 1
    } else {
        most
    };
    let mut content = fs::File::open(&file.path)?.take(limit);
    let mut chunk = vec![0; CHUNK.min(wanted + 1) as usize];
    let (mut hasher, mut read) = (Hasher::new(), 0);
    loop {
        millhand::check()?; // leaves the file after Ctrl-C
        match content.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => {
                hasher.update(&chunk[..n]);
                bar.inc(n as u64);
                read += n as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    match read == wanted {
        true => Ok(hasher.finalize()),
        false => Err(io::Error::other("its length has changed meanwhile")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_once_is_left_out() {
        let words = ["a1", "b1", "a2", "c1", "c2", "c3"];
        let mut groups = repeated(words.iter().map(|word| (&word[..1], word)));
        groups.sort();
        assert_eq!(groups, [vec![&"a1", &"a2"], vec![&"c1", &"c2", &"c3"]]);
    }

    #[test]
    fn a_lot_is_full_but_the_last() {
        let lots_of = |n| lots((0..n).collect(), 3).collect::<Vec<Vec<i32>>>();
        assert!(lots_of(0).is_empty());
        assert_eq!(lots_of(3), [vec![0, 1, 2]]);
        assert_eq!(lots_of(4), [vec![0, 1, 2], vec![3]]);
    }
}
