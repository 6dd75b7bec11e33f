//! The files below a directory: one task per directory, which submits one for each directory in it.

use millhand::TaskBuilder;
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

/// A regular file as the walk has found it.
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    /// The device and the number of the file there: the same for all hard links to it.
    pub(crate) id: (u64, u64),
}

impl File {
    fn new(path: PathBuf, about: &Metadata) -> Self {
        Self {
            path,
            size: about.len(),
            id: (about.dev(), about.ino()),
        }
    }

    /// The path as bytes, by which files are sorted.
    pub(crate) fn name(&self) -> &[u8] {
        self.path.as_os_str().as_bytes()
    }
}

/// Why a file or a directory could not be read.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) path: PathBuf,
    pub(crate) error: io::Error,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.error)
    }
}

impl std::error::Error for Unread {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// What is in one directory, apart from other directories.
#[derive(Default)]
pub(crate) struct Listing {
    pub(crate) files: Vec<File>,
    pub(crate) unread: Vec<Unread>,
}

impl Listing {
    /// Takes note of an error, if there is one.
    fn note(&mut self, path: &Path, result: io::Result<()>) {
        if let Err(error) = result {
            let path = path.to_owned();
            self.unread.push(Unread { path, error });
        }
    }
}

/// Lists the files of all paths and below them, with the options of a template. Each task has a
/// sender of the channel: the channel ends when the last task has ended or was cancelled.
pub(crate) fn walk(list: &TaskBuilder, paths: &[PathBuf]) -> Receiver<Listing> {
    let (found, listings) = channel();
    let mut named = Listing::default();
    for path in paths {
        let looked_at = fs::metadata(path).and_then(|about| {
            if about.is_dir() {
                walk_below(list, path.clone(), &found);
            } else if about.is_file() {
                named.files.push(File::new(path.clone(), &about));
            } else {
                return Err(io::Error::other("neither a file nor a directory"));
            }
            Ok(())
        });
        named.note(path, looked_at);
    }
    let _ = found.send(named); // the receiver is below
    listings
}

fn walk_below(list: &TaskBuilder, dir: PathBuf, found: &Sender<Listing>) {
    let (template, found) = (list.clone(), found.clone());
    list.execute(move || {
        let mut listing = Listing::default();
        let looked_at = look_into(&dir, &mut listing, |below| {
            walk_below(&template, below, &found);
        });
        listing.note(&dir, looked_at);
        let _ = found.send(listing); // it fails once nobody wants the rest
    });
}

fn look_into(dir: &Path, listing: &mut Listing, on_dir: impl Fn(PathBuf)) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        millhand::check()?; // leaves the directory after Ctrl-C
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            on_dir(entry.path());
        } else if kind.is_file() {
            let path = entry.path();
            match entry.metadata() {
                Ok(about) => listing.files.push(File::new(path, &about)),
                Err(error) => listing.unread.push(Unread { path, error }),
            }
        }
    }
    Ok(())
}
