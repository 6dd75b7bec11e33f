//! What a command writes, in files without a name: a large output needs no memory.

use millhand_programs::scratch;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::process::Stdio;

/// So much is kept in memory, so that an output that waits for its turn needs no open file.
const SMALL: u64 = 64 << 10;

/// A file that one output of a command goes to.
pub(crate) struct Spool(File);

impl Spool {
    pub(crate) fn new() -> io::Result<Self> {
        scratch::file().map(Self)
    }

    /// The end for the command.
    pub(crate) fn stdio(&self) -> io::Result<Stdio> {
        Ok(self.0.try_clone()?.into())
    }

    /// The command has ended. Takes what is there now.
    pub(crate) fn finish(self) -> io::Result<Output> {
        let length = self.0.metadata()?.len();
        if length > SMALL {
            return Ok(Output::Large(self.0, length));
        }
        let mut bytes = Vec::new();
        copy(&self.0, length, &mut bytes)?;
        Ok(Output::Small(bytes))
    }
}

/// The whole output of a command.
pub(crate) enum Output {
    Small(Vec<u8>),
    /// The file and its length.
    Large(File, u64),
}

impl Output {
    /// Whether it ends within a line.
    pub(crate) fn is_open(&self) -> bool {
        let mut last = [b'\n'];
        match self {
            Self::Small(bytes) => last[0] = bytes.last().copied().unwrap_or(b'\n'),
            Self::Large(file, length) => drop(file.read_at(&mut last, length - 1)),
        }
        last != [b'\n']
    }

    pub(crate) fn write_to(&self, to: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Small(bytes) => to.write_all(bytes)?,
            Self::Large(file, length) => copy(file, *length, to)?,
        }
        to.flush()
    }
}

/// At offsets of its own: a process that the command has left behind may move that of the file.
fn copy(file: &File, length: u64, to: &mut dyn Write) -> io::Result<()> {
    let most = length.min(SMALL);
    let mut buffer = vec![0; usize::try_from(most).unwrap_or_default()];
    let mut at = 0;
    while at < length {
        let n = match file.read_at(&mut buffer, at) {
            Ok(0) => break, // it was cut
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let n = n.min(usize::try_from(length - at).unwrap_or(n));
        to.write_all(&buffer[..n])?;
        at += u64::try_from(n).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(bytes: &[u8]) -> (Spool, Output) {
        let spool = Spool::new().unwrap();
        (&spool.0).write_all(bytes).unwrap();
        let again = Spool(spool.0.try_clone().unwrap());
        (again, spool.finish().unwrap())
    }

    #[test]
    fn an_output_of_any_size_comes_out_as_it_went_in() {
        for size in [0, 1, 65_536, 65_537, 1_000_000] {
            let bytes: Vec<_> = (0..size).map(|n| (n % 251) as u8).collect();
            let (_, output) = spool(&bytes);
            assert_eq!(matches!(output, Output::Large(..)), size > 65_536);
            let mut out = Vec::new();
            output.write_to(&mut out).unwrap();
            assert!(out == bytes, "{size}");
            assert_eq!(output.is_open(), size > 0);
            let (_, whole) = spool(&[&bytes[..], b"\n"].concat());
            assert!(!whole.is_open());
        }
    }

    #[test]
    fn what_is_written_after_the_end_is_left_out() {
        let (late, output) = spool(&[b'x'; 100_000]);
        (&late.0).write_all(b"late").unwrap();
        let mut out = Vec::new();
        output.write_to(&mut out).unwrap();
        assert_eq!(out.len(), 100_000);
    }
}
