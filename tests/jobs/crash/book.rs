//! What the children have done: a file with a line for each deed, which is not the storage's.
//!
//! A line is written by one call, at the end of the file. So lines of several processes do not mix,
//! and a kill takes none that is written.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

/// The writing end.
pub(crate) struct Book(File);

impl Book {
    pub(crate) fn open(folder: &Path) -> Self {
        let mut options = OpenOptions::new();
        let opened = options.append(true).create(true).open(folder.join("book"));
        Self(opened.unwrap())
    }

    /// Writes a line: a word for the deed, and numbers.
    pub(crate) fn write(&self, deed: &str, numbers: &[u64]) {
        let mut line = deed.to_owned();
        for number in numbers {
            line.push_str(&format!(" {number}"));
        }
        line.push('\n');
        assert_eq!((&self.0).write(line.as_bytes()).unwrap(), line.len());
    }
}

/// A line.
#[derive(Clone, Debug)]
pub(crate) struct Deed {
    pub(crate) deed: String,
    pub(crate) numbers: Vec<u64>,
}

/// The reading end. Reads what is new.
pub(crate) struct Reader {
    file: File,
    unread: String,
    pub(crate) deeds: Vec<Deed>,
}

impl Reader {
    pub(crate) fn open(folder: &Path) -> Self {
        drop(Book::open(folder));
        Self {
            file: File::open(folder.join("book")).unwrap(),
            unread: String::new(),
            deeds: Vec::new(),
        }
    }

    /// Reads what is new. Returns how many lines there are.
    pub(crate) fn read(&mut self) -> usize {
        self.file.read_to_string(&mut self.unread).unwrap();
        let whole = self.unread.rfind('\n').map_or(0, |end| end + 1);
        for line in self.unread[..whole].lines() {
            let mut words = line.split(' ').map(str::to_owned);
            let deed = words.next().unwrap();
            let numbers = words.map(|word| word.parse().unwrap()).collect();
            self.deeds.push(Deed { deed, numbers });
        }
        self.unread.drain(..whole);
        self.deeds.len()
    }

    /// The numbers of all deeds of this name.
    pub(crate) fn all(&mut self, deed: &str) -> Vec<Vec<u64>> {
        self.read();
        let all = self.deeds.iter().filter(|one| one.deed == deed);
        all.map(|one| one.numbers.clone()).collect()
    }
}
