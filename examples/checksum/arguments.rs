//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

pub(crate) const USAGE: &str =
    "usage: checksum [DIR] [--workers N] [--open-files N]\n       checksum --check LIST [..]";

pub(crate) const HELP: &str = "\
Prints the SHA-256 of every regular file under a directory, as sha256sum does.

usage: checksum [DIR] [--workers N] [--open-files N]
       checksum --check LIST [--workers N] [--open-files N]

  DIR               the directory [default: .]
  -c, --check LIST  reads the files that LIST names, and compares; - is the standard input
  --workers N       threads [default: the number of cores]
  --open-files N    files that are open at once [default: 64]
  -h, --help        prints this
  --                what follows is a directory, also with a dash

Ctrl-C finishes the files being read, a second Ctrl-C leaves them.
Exit codes: 0; 1 if anything could not be read or written, or a sum does not match;
2 for wrong arguments; 130 after Ctrl-C, SIGTERM or SIGHUP.
";

/// Many more would not fit into the memory maps that a process may have by default.
const MOST_WORKERS: usize = 1024;

pub(crate) struct Arguments {
    pub(crate) dir: PathBuf,
    pub(crate) check: Option<PathBuf>,
    pub(crate) workers: Option<usize>,
    pub(crate) open_files: u32,
    pub(crate) help: bool,
}

impl Arguments {
    pub(crate) fn parse(mut words: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let (mut dir, mut check, mut workers) = (None, None, None);
        let (mut open_files, mut help) = (64, false);
        let mut may_be_option = true;
        while let Some(word) = words.next() {
            let text = word.to_str().filter(|_| may_be_option);
            let text = text.unwrap_or_default();
            let (option, mut value) = match text.split_once('=') {
                Some((option, value)) if option.starts_with("--") => (option, Some(value.into())),
                _ => (text, None),
            };
            let mut value = || value.take().or_else(|| words.next());
            match option {
                "--" => may_be_option = false,
                "--help" | "-h" => help = true,
                "--workers" => {
                    let number = number("--workers", "threads", value())?;
                    if !(1..=MOST_WORKERS).contains(&number) {
                        return Err(format!("--workers: it must be from 1 to {MOST_WORKERS}"));
                    }
                    workers = Some(number);
                }
                "--open-files" => open_files = number("--open-files", "files", value())?,
                "--check" | "-c" => {
                    let list = value().ok_or("--check takes the name of a list")?;
                    check = Some(PathBuf::from(list));
                }
                option if option.starts_with('-') => {
                    return Err(format!("there is no option `{option}`"));
                }
                _ if dir.is_some() => {
                    let second = word.to_string_lossy();
                    return Err(format!("one directory, please: `{second}` is a second"));
                }
                _ => dir = Some(PathBuf::from(word)),
            }
        }
        if let (Some(dir), Some(_)) = (&dir, &check) {
            let dir = dir.display();
            return Err(format!("--check takes one list and no directory: `{dir}`"));
        }
        Ok(Self {
            dir: dir.unwrap_or_else(|| ".".into()),
            check,
            workers,
            open_files,
            help,
        })
    }
}

fn number<T: FromStr>(option: &str, what: &str, word: Option<OsString>) -> Result<T, String> {
    let word = word.ok_or_else(|| format!("{option} takes a number of {what}, and has none"))?;
    let word = word.to_string_lossy();
    let number = word.parse();
    number.map_err(|_| format!("{option} takes a number of {what}, not `{word}`"))
}
