//! The lines of a list of sums, as `sha256sum` writes and reads them.

use crate::sums::Sum;
use std::path::{Path, PathBuf};

/// A line of a list. A name with a backslash or a line break in it is escaped, and the line then
/// begins with a backslash.
pub(crate) fn line(sum: &Sum, path: &Path) -> Vec<u8> {
    let (mark, name) = escaped(path);
    let hex: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    [mark, hex.as_bytes(), b"  ", &name, b"\n"].concat()
}

/// A line of the answer to a list, escaped likewise.
pub(crate) fn verdict(path: &Path, verdict: &str) -> Vec<u8> {
    let (mark, name) = escaped(path);
    [mark, &name, b": ", verdict.as_bytes(), b"\n"].concat()
}

fn escaped(path: &Path) -> (&'static [u8], Vec<u8>) {
    let mut name = Vec::new();
    for byte in bytes(path) {
        match byte {
            b'\\' => name.extend(b"\\\\"),
            b'\n' => name.extend(b"\\n"),
            b'\r' => name.extend(b"\\r"),
            other => name.push(*other),
        }
    }
    let is_changed = name.len() > bytes(path).len();
    (if is_changed { b"\\" } else { b"" }, name)
}

/// On Unix these are the name's own bytes, whether they are UTF-8 or not.
pub(crate) fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

/// Returns the lines of a list that are to be parsed: not those that are empty or a comment.
pub(crate) fn lines(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = list.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.starts_with(b"#"));
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter(|line| !line.is_empty())
}

/// Takes a line apart, in the form of `sha256sum` or that of its option `--tag`.
pub(crate) fn parse(line: &[u8]) -> Option<(Sum, PathBuf)> {
    let line = without_blanks(line);
    let unmarked = line.strip_prefix(b"\\");
    let line = unmarked.unwrap_or(line);
    let (sum, name) = match line.strip_prefix(b"SHA256") {
        Some(tagged) => {
            let tagged = tagged.strip_prefix(b" ").unwrap_or(tagged);
            let tagged = tagged.strip_prefix(b"(")?;
            let end = tagged.iter().rposition(|byte| *byte == b')')?;
            let sum = without_blanks(&tagged[end + 1..]).strip_prefix(b"=")?;
            (without_blanks(sum), &tagged[..end])
        }
        None => match line.split_at_checked(64)? {
            // The second mark says whether the file was read as a text, which is all the same here.
            (sum, [b' ' | b'\t', b' ' | b'*', name @ ..]) if !name.is_empty() => (sum, name),
            _ => return None,
        },
    };
    let name = match unmarked {
        Some(_) => unescaped(name)?,
        None => name.to_vec(),
    };
    Some((sum_of_hex(sum)?, path(name)?))
}

fn without_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'));
    &text[blanks.count()..]
}

fn unescaped(name: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = name.iter();
    let mut name = Vec::new();
    while let Some(byte) = bytes.next() {
        name.push(match byte {
            b'\\' => match bytes.next()? {
                b'\\' => b'\\',
                b'n' => b'\n',
                b'r' => b'\r',
                _ => return None,
            },
            other => *other,
        });
    }
    Some(name)
}

fn sum_of_hex(hex: &[u8]) -> Option<Sum> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut sum = Sum::default();
    if hex.len() != 2 * sum.len() {
        return None;
    }
    for (byte, pair) in sum.iter_mut().zip(hex.chunks(2)) {
        *byte = u8::try_from(16 * digit(pair[0])? + digit(pair[1])?).ok()?;
    }
    Some(sum)
}

#[cfg(unix)]
fn path(name: Vec<u8>) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    Some(std::ffi::OsString::from_vec(name).into())
}

#[cfg(not(unix))]
fn path(name: Vec<u8>) -> Option<PathBuf> {
    String::from_utf8(name).ok().map(PathBuf::from)
}
