//! Files without a name, which are gone with the program: for the output of a command. Such a file
//! takes an output of any size, the command never waits for a reader, and what it leaves running in
//! the background delays nothing.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, io, process};

/// Makes one in the temporary directory.
///
/// # Errors
/// If none can be made there.
pub fn file() -> io::Result<File> {
    let directory = env::temp_dir();
    let file = unnamed(&directory).or_else(|_| unlinked(&directory));
    file.map_err(|error| {
        let what = format!("no file for its output in {}", directory.display());
        io::Error::new(error.kind(), format!("{what}: {error}"))
    })
}

// Both append: what the command has started writes behind its output, not over it.

#[cfg(target_os = "linux")]
fn unnamed(directory: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC;
    Ok(open(directory, flags, Mode::RUSR | Mode::WUSR)?.into())
}

#[cfg(not(target_os = "linux"))]
fn unnamed(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Has a name for a moment, and keeps it if this program is killed then.
fn unlinked(directory: &Path) -> io::Result<File> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut options = OpenOptions::new();
    options.read(true).append(true).create_new(true).mode(0o600);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("millhand.{}.{number}", process::id()));
        match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => {
                let file = opened?;
                fs::remove_file(&path)?;
                return Ok(file);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};

    #[test]
    fn a_file_is_written_at_its_end_and_read_from_its_beginning() {
        for made in [file(), unlinked(&env::temp_dir())] {
            let mut made = made.unwrap();
            let mut other = made.try_clone().unwrap();
            made.write_all(b"one").unwrap();
            other.rewind().unwrap();
            other.write_all(b"two").unwrap();
            made.rewind().unwrap();
            let mut text = String::new();
            made.read_to_string(&mut text).unwrap();
            assert_eq!(text, "onetwo");
        }
    }
}
