//! The groups that a finder of duplicates prints, in a form that two finders agree on.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The command `jdupes`, with NULs after the names.
pub(crate) fn jdupes(dir: &Path, options: &[&str]) -> Command {
    let mut command = Command::new("jdupes");
    command.args(["-rq0"]).args(options).arg(dir);
    command
}

/// Takes names apart that end with a NUL each, in groups that end with one more.
pub(crate) fn groups(output: &[u8]) -> Vec<Vec<PathBuf>> {
    let mut groups = vec![Vec::new()];
    for name in output.split(|byte| *byte == 0) {
        match name {
            b"" => groups.push(Vec::new()),
            name => groups
                .last_mut()
                .unwrap()
                .push(OsStr::from_bytes(name).into()),
        }
    }
    groups.retain(|group| !group.is_empty());
    groups
}

/// Returns the groups with the numbers of the files in place of their names: the finders may
/// disagree on which hard link stands for a file, and in which order they print.
pub(crate) fn files(groups: &[Vec<PathBuf>]) -> BTreeSet<BTreeSet<(u64, u64)>> {
    let number = |path: &PathBuf| {
        let about = fs::symlink_metadata(path).unwrap();
        (about.dev(), about.ino())
    };
    let groups = groups.iter();
    groups
        .map(|group| group.iter().map(number).collect())
        .collect()
}
