//! A directory of a test's own, and trees of files in it.

use millhand_programs::random::Random;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Its drop removes it.
pub(crate) struct Tree(PathBuf);

impl Tree {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tree-{}-{number}", process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path.canonicalize().unwrap())
    }

    /// Makes one with many files, some of which are the same. The seed decides which.
    pub(crate) fn generated(seed: u64) -> Self {
        let tree = Self::new();
        let mut random = Random::new(seed);
        let dirs: Vec<_> = (0..20).map(|_| tree.random_dir(&mut random)).collect();
        let mut files = Vec::new();
        for number in 0..400 {
            let path = random_place(&dirs, &mut random, &format!("file {number}"));
            fs::write(&path, random_content(&mut random)).unwrap();
            files.push(path);
        }
        for number in 0..40 {
            let file = &files[random.between(0, 399) as usize];
            fs::hard_link(
                file,
                random_place(&dirs, &mut random, &format!("{number} h")),
            )
            .unwrap();
            symlink(
                file,
                random_place(&dirs, &mut random, &format!("{number} s")),
            )
            .unwrap();
        }
        symlink(&dirs[0], tree.0.join("to a directory")).unwrap();
        symlink("..", dirs[0].join("to one above")).unwrap();
        symlink("nowhere", tree.0.join("to nothing")).unwrap();
        // It stays when it is closed.
        drop(UnixListener::bind(tree.0.join("socket")).unwrap());
        tree
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file, and the directories that it lies in.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Writes a file that is too long to be read to its end, and takes no place on the disk.
    pub(crate) fn write_endless(&self, name: &str) -> PathBuf {
        let path = self.write(name, "");
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_len(1 << 40).unwrap();
        path
    }

    fn random_dir(&self, random: &mut Random) -> PathBuf {
        let mut dir = self.0.clone();
        for _ in 0..random.between(0, 4) {
            dir.push(format!("dir {}", random.between(0, 3)));
        }
        fs::create_dir_all(&dir).unwrap();
        dir
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns a name in one of the directories, with any bytes but NUL and slash in it.
fn random_place(dirs: &[PathBuf], random: &mut Random, unique: &str) -> PathBuf {
    let mut name = match random.happens(500) {
        true => Vec::new(),
        false => (0..3).map(|_| random.between(1, 255) as u8).collect(),
    };
    name.retain(|byte| *byte != b'/');
    name.extend(unique.bytes());
    let dir = random.between(0, dirs.len() as u64 - 1);
    dirs[dir as usize].join(OsString::from_vec(name))
}

/// Returns one of few contents of one of few sizes, around those at which a reader changes its
/// way. Some differ in their first byte, some in their last.
fn random_content(random: &mut Random) -> Vec<u8> {
    const SIZES: [usize; 10] = [0, 1, 100, 4095, 4096, 4097, 8192, 65_536, 65_537, 200_000];
    let size = SIZES[random.between(0, 9) as usize];
    let mut content = vec![b'.'; size];
    if let [first, .., last] = content.as_mut_slice() {
        *first = random.between(0, 2) as u8;
        *last = random.between(0, 2) as u8;
    }
    content
}
