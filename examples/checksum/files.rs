//! The files under a directory.

use crate::list::bytes;
use crate::progress::report;
use crate::sums::Entry;
use millhand::Signals;
use std::fs;
use std::io;
use std::path::Path;

/// Returns the regular files under `dir`, sorted by the bytes of their paths, and whether all
/// directories could be read. Links are not followed, except by `dir` itself. Stops at a signal.
pub(crate) fn files_under(dir: &Path, signals: &Signals) -> (Vec<Entry>, bool) {
    let mut files = Vec::new();
    let mut all_well = true;
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        if signals.count() > 0 {
            break;
        }
        let mut look_through = || -> io::Result<()> {
            for entry in fs::read_dir(&dir)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    open.push(entry.path());
                } else if kind.is_file() {
                    let size = entry.metadata().map_or(0, |about| about.len());
                    files.push(Entry::found(entry.path(), size));
                }
            }
            Ok(())
        };
        if let Err(error) = look_through() {
            report(format_args!("{}: {error}", dir.display()));
            all_well = false;
        }
    }
    files.sort_unstable_by(|a, b| bytes(&a.path).cmp(bytes(&b.path)));
    (files, all_well)
}
