//! The lines of the input, and the commands that they are.

use crate::journal::Done;
use crate::options::Options;
use crate::stop::Stop;
use std::fs::File;
use std::io::{self, BufRead, BufReader, stdin};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::{iter, thread};

/// A command to run.
pub(crate) struct Job {
    /// The number of its line, from 1.
    pub(crate) line: u64,
    /// What the shell gets. Names of files need not be UTF-8, and so this need not.
    pub(crate) command: Vec<u8>,
}

/// The commands of the input which have not ended by the journal, read as they are asked for.
pub(crate) struct Jobs {
    input: Box<dyn BufRead + Send>,
    name: String,
    template: Template,
    done: Done,
    line: u64,
}

impl Jobs {
    pub(crate) fn open(options: &Options, done: Done) -> Result<Self, String> {
        let (input, name): (Box<dyn BufRead + Send>, _) = match &options.arg_file {
            Some(path) if path != Path::new("-") => {
                let name = path.display().to_string();
                let file = File::open(path).map_err(|error| format!("{name}: {error}"))?;
                (Box::new(BufReader::new(file)), name)
            }
            _ => (Box::new(BufReader::new(stdin())), "standard input".into()),
        };
        Ok(Self {
            input,
            name,
            template: Template::new(&options.command),
            done,
            line: 0,
        })
    }

    /// Returns the next line that is not empty, and `None` at the end of the input.
    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        while self.input.read_until(b'\n', &mut line)? > 0 {
            self.line += 1;
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some(line));
            }
            line.clear();
        }
        Ok(None)
    }
}

/// After an error there is nothing to be asked for.
impl Iterator for Jobs {
    type Item = Result<Job, String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let text = match self.next_line() {
                Ok(Some(text)) => text,
                Ok(None) => return self.done.check_rest(self.line).err().map(Err),
                Err(error) => return Some(Err(format!("{}: {error}", self.name))),
            };
            let line = self.line;
            let command = self.template.fill(text);
            match self.done.take(line, &command) {
                Ok(true) => {}
                Ok(false) => return Some(Ok(Job { line, command })),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Reads the jobs on a thread of its own, which nothing joins: no signal ends a read of standard
/// input. The iterator waits for it, and ends when no more lines are taken.
pub(crate) fn read_ahead(
    jobs: Jobs,
    stop: &Arc<Stop>,
) -> io::Result<impl Iterator<Item = Job> + use<>> {
    let (send, receive) = mpsc::sync_channel(1);
    let (wake, stop) = (send.clone(), stop.clone());
    // If there is no room for it, the iterator finds something else, and looks at the token then.
    let hook = stop.start.on_cancel(move |_| drop(wake.try_send(None)));
    let reader = stop.clone();
    thread::Builder::new()
        .name("reader".into())
        .spawn(move || {
            for job in jobs {
                let job = job.map_err(|error| reader.fail(error)).ok();
                if job.is_none() || send.send(job).is_err() {
                    break;
                }
            }
            let _ = send.send(None);
        })?;
    Ok(iter::from_fn(move || {
        let _hook = &hook;
        let job = receive.recv().ok().flatten();
        job.filter(|_| stop.takes_more())
    }))
}

/// Returns how many commands a file has. `None` for what can be read only once, as a FIFO.
pub(crate) fn count(path: &Path) -> Option<u64> {
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let lines = BufReader::new(File::open(path).ok()?).split(b'\n');
    let lines = lines.map_while(Result::ok);
    let count = lines.filter(|line| !line.trim_ascii().is_empty()).count();
    u64::try_from(count).ok()
}

/// Makes commands of lines. `None`: a line is a command.
struct Template(Option<Vec<Vec<u8>>>);

impl Template {
    /// Keeps what is before, between and behind each `{}`.
    fn new(words: &[String]) -> Self {
        if words.is_empty() {
            return Self(None);
        }
        let mut text = words.join(" ");
        if !text.contains("{}") {
            text.push_str(" {}");
        }
        Self(Some(text.split("{}").map(Vec::from).collect()))
    }

    fn fill(&self, line: Vec<u8>) -> Vec<u8> {
        match &self.0 {
            None => line,
            Some(parts) => parts.join(&quote(&line)[..]),
        }
    }
}

/// Makes one word of the shell of any bytes.
fn quote(text: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for byte in text {
        match byte {
            b'\'' => quoted.extend(br"'\''"),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(words: &[&str], line: &str) -> String {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        String::from_utf8(Template::new(&words).fill(line.into())).unwrap()
    }

    #[test]
    fn a_line_alone_is_the_command() {
        assert_eq!(filled(&[], "echo {} 'a'"), "echo {} 'a'");
    }

    #[test]
    fn each_placeholder_becomes_the_quoted_line() {
        assert_eq!(filled(&["cp", "{}", "{}.bak"], "a b"), "cp 'a b' 'a b'.bak");
        assert_eq!(filled(&["{}{}"], "x"), "'x''x'");
        assert_eq!(filled(&["echo {"], "}"), "echo { '}'");
        assert_eq!(filled(&["{}"], "{}"), "'{}'");
    }

    #[test]
    fn without_a_placeholder_the_line_comes_last() {
        assert_eq!(filled(&["gzip", "-9"], "$(rm) -x"), "gzip -9 '$(rm) -x'");
    }

    #[test]
    fn quotes_end_no_word() {
        assert_eq!(quote(br#"it's "so""#), br#"'it'\''s "so"'"#);
        assert_eq!(quote(b"\xff"), b"'\xff'");
    }
}
