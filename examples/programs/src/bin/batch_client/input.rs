//! Reads the requests, no faster than they are sent.

use crate::client::Client;
use crate::output::{Output, Slot};
use crate::request::Request;
use millhand::Semaphore;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, stderr, stdin};
use std::path::Path;

pub(crate) struct Input {
    name: String,
    text: Box<dyn BufRead + Send>,
    /// How many there are, for the progress bar.
    pub(crate) requests: Option<u64>,
}

impl Input {
    /// Opens a file, or standard input. The error names it.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, String> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(Self {
                name: "standard input".to_owned(),
                text: Box::new(BufReader::new(stdin())),
                requests: None,
            });
        };
        let name = path.display().to_string();
        let opened = || -> io::Result<(File, Option<u64>)> {
            let file = File::open(path)?;
            // A pipe can be read only once.
            let requests = match stderr().is_terminal() && file.metadata()?.is_file() {
                true => Some(lines(BufReader::new(File::open(path)?)).count() as u64),
                false => None,
            };
            Ok((file, requests))
        };
        let (file, requests) = opened().map_err(|error| format!("{name}: {error}"))?;
        Ok(Self {
            name,
            text: Box::new(BufReader::new(file)),
            requests,
        })
    }

    /// Reads to the end, or until the pool takes no more.
    pub(crate) fn feed(self, client: &Client, output: &Output, window: &Semaphore) {
        for (place, line) in (0..).zip(lines(self.text)) {
            let read = line.and_then(|line| Ok((line, window.acquire()?)));
            let ((line, text), permit) = match read {
                Ok(read) => read,
                Err(error) => return output.input_failed(&self.name, &error),
            };
            let slot = Slot {
                place,
                line,
                permit,
            };
            match Request::parse(&text) {
                Ok(request) => {
                    if !client.send(request, slot) {
                        return;
                    }
                }
                Err(error) => output.refuse(slot, &error),
            }
        }
    }
}

/// The lines that are not blank, with their numbers.
fn lines(text: impl BufRead) -> impl Iterator<Item = io::Result<(u64, Vec<u8>)>> {
    let numbered = (1..).zip(text.split(b'\n'));
    let lines = numbered.map(|(number, line)| Ok((number, line?)));
    lines.filter(|line| !matches!(line, Ok((_, text)) if text.trim_ascii().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_are_numbered_and_left_out() {
        let text = "a\n\n \t\r\nb\r\nc";
        let lines: io::Result<Vec<_>> = lines(text.as_bytes()).collect();
        let expected = [(1, "a"), (4, "b\r"), (5, "c")];
        assert_eq!(
            lines.unwrap(),
            expected.map(|(n, text)| (n, text.as_bytes().to_vec()))
        );
    }
}
