//! A body in chunks.
//!
//! Strict, since a proxy in front may be so, too: lines end with CR LF, a size is hexadecimal
//! digits alone. Extensions of chunks and headers after the last one are dropped.

use crate::http::reader::Refusal;

/// How long the line of a size may be, or one header after the last chunk.
const MOST_LINE: usize = 1024;
/// How many bytes of extensions and late headers a body may have in all.
const MOST_EXTRA: usize = 8 * 1024;

/// Decodes chunks as their bytes come.
#[derive(Debug)]
pub(super) struct Chunks {
    body: Vec<u8>,
    state: State,
    extra: usize,
    most: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// The line with the size of the next chunk comes.
    Size,
    /// So many bytes of a chunk come.
    Data(usize),
    /// The end of the line after the bytes of a chunk comes.
    DataEnd,
    /// Headers come after the last chunk, and then an empty line.
    Trailer,
    Done,
}

impl Chunks {
    /// The body may have at most so many bytes.
    pub(super) fn new(most: usize) -> Self {
        Self {
            body: Vec::new(),
            state: State::Size,
            extra: 0,
            most,
        }
    }

    /// Decodes as much of `bytes` as can be. Returns how many bytes that were: the caller passes
    /// the others again, with more behind them.
    pub(super) fn decode(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            match self.state {
                State::Done => return Ok(used),
                State::Data(left) => {
                    let n = left.min(rest.len());
                    self.body.extend_from_slice(&rest[..n]);
                    used += n;
                    if n < left {
                        self.state = State::Data(left - n);
                        return Ok(used);
                    }
                    self.state = State::DataEnd;
                }
                State::DataEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        used += 2;
                        self.state = State::Size;
                    }
                    [] | [b'\r'] => return Ok(used),
                    _ => return Err(Refusal::new(400, "a chunk is longer than its size says")),
                },
                State::Size | State::Trailer => match line(rest)? {
                    None => return Ok(used),
                    Some(line) => {
                        used += line.len() + 2;
                        self.state = match self.state {
                            State::Size => self.size(line)?,
                            _ => self.trailer(line)?,
                        };
                    }
                },
            }
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    pub(super) fn into_body(self) -> Vec<u8> {
        self.body
    }

    fn size(&mut self, line: &[u8]) -> Result<State, Refusal> {
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit());
        let (digits, extension) = line.split_at(digits.count());
        if digits.is_empty() || !matches!(extension.first(), None | Some(b';' | b' ' | b'\t')) {
            return Err(Refusal::new(400, "the size of a chunk is not hexadecimal"));
        }
        self.count_extra(extension.len())?;
        let value = |digit: &u8| char::from(*digit).to_digit(16).unwrap_or(0) as usize;
        let size = digits.iter().try_fold(0_usize, |size, digit| {
            size.checked_mul(16)?.checked_add(value(digit))
        });
        match size {
            Some(0) => Ok(State::Trailer),
            Some(size) if size <= self.most - self.body.len() => Ok(State::Data(size)),
            _ => Err(Refusal::too_large(self.most)),
        }
    }

    fn trailer(&mut self, line: &[u8]) -> Result<State, Refusal> {
        self.count_extra(line.len())?;
        match line.is_empty() {
            true => Ok(State::Done),
            false => Ok(State::Trailer),
        }
    }

    fn count_extra(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.extra += bytes;
        match self.extra <= MOST_EXTRA {
            true => Ok(()),
            false => Err(Refusal::new(431, "the chunks have too many extensions")),
        }
    }
}

/// The first line of `bytes`, without its end. `None` if it goes on.
fn line(bytes: &[u8]) -> Result<Option<&[u8]>, Refusal> {
    let within = &bytes[..bytes.len().min(MOST_LINE)];
    match within.iter().position(|byte| *byte == b'\n') {
        Some(end) if end > 0 && bytes[end - 1] == b'\r' => Ok(Some(&bytes[..end - 1])),
        Some(_) => Err(Refusal::new(
            400,
            "a line of a chunk does not end with CR LF",
        )),
        None if bytes.len() >= MOST_LINE => Err(Refusal::new(400, "a line of a chunk is too long")),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes in pieces of `size` bytes. Returns the body, if it has ended, and what is left.
    fn decode(text: &[u8], size: usize) -> Result<(Option<Vec<u8>>, Vec<u8>), Refusal> {
        let mut chunks = Chunks::new(100);
        let mut bytes = Vec::new();
        for piece in text.chunks(size) {
            bytes.extend_from_slice(piece);
            let used = chunks.decode(&bytes)?;
            bytes.drain(..used);
        }
        let is_done = chunks.is_done();
        Ok((is_done.then(|| chunks.into_body()), bytes))
    }

    const GOOD: &[u8] = b"3\r\nabc\r\n0A;x=\"y\"\r\n0123456789\r\n0\r\nLate: header\r\n\r\n";

    #[test]
    fn a_body_is_decoded_in_pieces_of_any_size() {
        for size in 1..=GOOD.len() {
            let (body, left) = decode(GOOD, size).unwrap();
            assert_eq!(body.unwrap(), b"abc0123456789", "{size}");
            assert!(left.is_empty(), "{size}");
        }
    }

    #[test]
    fn what_follows_is_left() {
        let text = [GOOD, b"GET / "].concat();
        assert_eq!(decode(&text, text.len()).unwrap().1, b"GET / ");
    }

    #[test]
    fn a_body_that_is_cut_anywhere_has_not_ended() {
        for end in 0..GOOD.len() {
            let (body, _) = decode(&GOOD[..end], 7).unwrap();
            assert_eq!(body, None, "{end}");
        }
    }

    #[test]
    fn bad_chunks_are_refused() {
        let refused = |text: &[u8]| {
            let statuses: Vec<_> = (1..=text.len())
                .map(|size| decode(text, size).unwrap_err().status)
                .collect();
            let first = statuses[0];
            assert!(statuses.iter().all(|status| *status == first));
            first
        };
        for text in [
            &b"\r\n"[..],
            b"x\r\n",
            b"-1\r\n",
            b"0x1\r\n",
            b" 1\r\na\r\n",
            b"1\na\r\n",
            b"1\r\nab\r\n",
            b"1\r\na\n",
            b"0\r\nLate: header\n",
        ] {
            assert_eq!(refused(text), 400, "{text:?}");
        }
        assert_eq!(refused(b"65\r\n"), 413);
        assert_eq!(refused(b"ffffffffffffffffffff\r\n"), 413);
        let body = format!("3c\r\n{0}\r\n3c\r\n{0}\r\n", "a".repeat(60));
        assert_eq!(refused(body.as_bytes()), 413);
    }

    #[test]
    fn lines_and_extensions_are_bounded() {
        let long = [b"1;".to_vec(), vec![b'a'; MOST_LINE]].concat();
        assert_eq!(decode(&long, long.len()).unwrap_err().status, 400);
        let line = format!("1;{}\r\na\r\n", "x".repeat(900));
        let many = line.repeat(10);
        assert_eq!(decode(many.as_bytes(), 100).unwrap_err().status, 431);
        let late = format!("0\r\n{}", "a: b\r\n".repeat(3000));
        assert_eq!(decode(late.as_bytes(), 100).unwrap_err().status, 431);
    }
}
