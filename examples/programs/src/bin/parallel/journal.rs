//! The journal: which commands have ended. A run that was killed goes on from it.
//!
//! Each entry is a line: the number of the line in the input, the exit code, the command. So
//! `awk '$2 != 0'` finds what has failed, and an entry that is taken out runs again.
//
// An entry is one `write` to a file that is open for appending. What the system has taken is there
// after SIGKILL of this program. It is not forced to the disk: after a loss of power the last
// entries may be missing, and their commands run again. A write that was cut short by either, or
// by a full disk, leaves a last line without its end, which counts as not there.
//
// The lock ends with the process, however that ends. One of `flock` would not: a process that was
// just forked to run a command shares it for a moment.

use crate::input::Job;
use millhand_programs::lock;
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use std::collections::HashMap;
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::str::from_utf8;
use std::sync::Mutex;

pub(crate) struct Journal {
    name: String,
    /// `None` after an error: an entry behind half of another would be lost.
    file: Mutex<Option<File>>,
}

impl Journal {
    /// Opens it, and returns what it has. Cuts off a last line without an end.
    pub(crate) fn open(path: &Path, resume: bool) -> Result<(Option<Self>, Done), String> {
        let name = path.display().to_string();
        let opened = Self::open_named(path, &name, resume);
        opened.map_err(|error| format!("the journal {name}: {error}"))
    }

    fn open_named(
        path: &Path,
        name: &str,
        resume: bool,
    ) -> Result<(Option<Self>, Done), Box<dyn Error>> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).open(path)?;
        if !file.metadata()?.is_file() {
            return Err("it is no file that can be read again".into());
        }
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::AGAIN | Errno::ACCESS) => return Err("another run writes to it".into()),
            locked => locked?,
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        if !resume && !bytes.is_empty() {
            return Err("it has entries: give --resume to run what is left, or remove it".into());
        }
        let (done, whole) = Done::parse(name, &bytes)?;
        if whole < bytes.len() {
            file.set_len(u64::try_from(whole)?)?;
        }
        let (name, file) = (name.to_owned(), Mutex::new(Some(file)));
        Ok((Some(Self { name, file }), done))
    }

    /// Notes that a command has ended. When it returns, SIGKILL does not undo it.
    pub(crate) fn note(&self, job: &Job, code: i32) -> Result<(), String> {
        let mut entry = format!("{} {code} ", job.line).into_bytes();
        entry.extend(&job.command);
        entry.push(b'\n');
        let mut file = lock(&self.file);
        let open = file.as_mut().ok_or("no more is noted after an error")?;
        open.write_all(&entry).map_err(|error| {
            *file = None;
            format!("the journal {}: {error}", self.name)
        })
    }
}

/// What has ended by a journal, and was not found in the input yet.
#[derive(Debug, Default)]
pub(crate) struct Done {
    name: String,
    /// The commands by the numbers of their lines.
    commands: HashMap<u64, Vec<u8>>,
    /// How many of them have failed.
    pub(crate) failed: u64,
}

impl Done {
    /// Reads a journal without a change. One that is not there is empty.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let name = path.display().to_string();
        let parsed = match fs::read(path) {
            Ok(bytes) => Self::parse(&name, &bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => Err(error.to_string()),
        };
        let (done, _) = parsed.map_err(|error| format!("the journal {name}: {error}"))?;
        Ok(done)
    }

    /// Also returns how many bytes whole lines have.
    fn parse(name: &str, bytes: &[u8]) -> Result<(Self, usize), String> {
        let end = bytes.iter().rposition(|byte| *byte == b'\n');
        let whole = end.map_or(0, |end| end + 1);
        let (lines, torn) = bytes.split_at(whole);
        let mut done = Self {
            name: name.to_owned(),
            ..Self::default()
        };
        for (n, line) in (1..).zip(lines.split_inclusive(|byte| *byte == b'\n')) {
            let Some((number, code, command)) = entry(&line[..line.len() - 1]) else {
                let line = String::from_utf8_lossy(line);
                return Err(format!("line {n} is no entry: {}", line.trim_end()));
            };
            done.failed += u64::from(code != 0);
            done.commands.insert(number, command.to_vec());
        }
        // A file that is no journal is not cut.
        if !torn
            .iter()
            .take_while(|byte| **byte != b' ')
            .all(u8::is_ascii_digit)
        {
            return Err("its last line is no entry".into());
        }
        Ok((done, whole))
    }

    pub(crate) fn count(&self) -> u64 {
        u64::try_from(self.commands.len()).unwrap_or_default()
    }

    /// Returns whether this command has ended.
    pub(crate) fn take(&mut self, line: u64, command: &[u8]) -> Result<bool, String> {
        match self.commands.remove(&line) {
            None => Ok(false),
            Some(noted) if noted == command => Ok(true),
            Some(noted) => Err(format!(
                "the journal {} is that of another input: line {line} was `{}` and is `{}`",
                self.name,
                String::from_utf8_lossy(&noted),
                String::from_utf8_lossy(command),
            )),
        }
    }

    /// The input has ended after so many lines.
    pub(crate) fn check_rest(&self, lines: u64) -> Result<(), String> {
        match self.commands.keys().min() {
            None => Ok(()),
            Some(line) => Err(format!(
                "the journal {} is that of another input: it has line {line}, \
                 and the input has no command there in its {lines} lines",
                self.name
            )),
        }
    }
}

fn entry(line: &[u8]) -> Option<(u64, i32, &[u8])> {
    let mut fields = line.splitn(3, |byte| *byte == b' ');
    let mut text = || fields.next();
    let number = from_utf8(text()?).ok()?.parse().ok()?;
    let code = from_utf8(text()?).ok()?.parse().ok()?;
    Some((number, code, text()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<(Done, usize), String> {
        Done::parse("j", bytes)
    }

    #[test]
    fn whole_lines_count_and_a_torn_one_is_cut() {
        let text = b"2 0 echo a  b\n10 137 \xff\n3 0 ech";
        for end in 23..=text.len() {
            let (mut done, whole) = parse(&text[..end]).unwrap();
            assert_eq!((done.count(), done.failed, whole), (2, 1, 23), "{end}");
            assert_eq!(done.take(2, b"echo a  b"), Ok(true));
            assert_eq!(done.take(3, b"echo"), Ok(false));
            assert_eq!(done.take(10, b"\xff"), Ok(true));
            assert_eq!(done.check_rest(10), Ok(()));
        }
    }

    #[test]
    fn another_input_is_refused() {
        let (mut done, _) = parse(b"2 0 echo a\n5 0 x\n").unwrap();
        let error = done.take(2, b"echo b").unwrap_err();
        assert!(error.contains("`echo a` and is `echo b`"), "{error}");
        let error = done.check_rest(4).unwrap_err();
        assert!(
            error.contains("line 5") && error.contains("4 lines"),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_journal_is_refused() {
        for wrong in [
            &b"echo\n"[..],
            b"1 0\n",
            b"1 x y\n",
            b"-1 0 y\n",
            b"\n",
            b"echo",
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(parse(b"").unwrap().1, 0);
    }
}
