//! The sources of the library, read once: each file's text, its code alone and its comments alone.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// One file of `src/`. All texts have the same length and the same lines.
pub(crate) struct Source {
    /// `task/handle` for `src/task/handle.rs`.
    pub(crate) name: String,
    pub(crate) text: String,
    /// Comments, strings and character literals are blank.
    pub(crate) code: String,
    /// As `code`, with the inline test modules blank, too.
    pub(crate) shipped: String,
    /// All but the comments is blank.
    pub(crate) comments: String,
}

impl Source {
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let (code, comments) = split(text);
        Self {
            name: name.to_owned(),
            text: text.to_owned(),
            shipped: without_tests(&code),
            code,
            comments,
        }
    }

    /// `src/task/handle.rs:7`, for the seventh line.
    pub(crate) fn at_line(&self, line: usize) -> String {
        format!("src/{}.rs:{line}", self.name)
    }

    /// The same for the byte at `offset`.
    pub(crate) fn at(&self, offset: usize) -> String {
        let before = self.text.as_bytes()[..offset].iter();
        self.at_line(1 + before.filter(|byte| **byte == b'\n').count())
    }
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files of `src/`, by name.
pub(crate) fn sources() -> &'static [Source] {
    fn read(folder: &Path, prefix: &str, into: &mut Vec<Source>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{prefix}{}", path.file_stem().unwrap().to_str().unwrap());
            if path.is_dir() {
                read(&path, &format!("{name}/"), into);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                into.push(Source::new(&name, &fs::read_to_string(&path).unwrap()));
            }
        }
    }
    static SOURCES: OnceLock<Vec<Source>> = OnceLock::new();
    SOURCES.get_or_init(|| {
        let mut all = Vec::new();
        read(&root().join("src"), "", &mut all);
        all.sort_by(|one, other| one.name.cmp(&other.name));
        assert!(all.len() > 20, "the sources are not where they were");
        all
    })
}

/// The folders of `src/`, each as `compose/scope`.
pub(crate) fn folders() -> Vec<&'static str> {
    let mut all: Vec<_> = sources()
        .iter()
        .filter_map(|source| Some(source.name.rsplit_once('/')?.0))
        .flat_map(|folder| {
            let parents = folder.match_indices('/').map(|(at, _)| &folder[..at]);
            parents.chain([folder])
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Fails with one line per finding, and with how many there are in each folder.
#[track_caller]
pub(crate) fn assert_none(what: &str, findings: &[String]) {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for finding in findings {
        let file = finding.split(':').next().unwrap();
        let folder = file.rfind('/').map_or(file, |at| &file[..=at]);
        match counts.iter_mut().find(|(name, _)| *name == folder) {
            Some((_, count)) => *count += 1,
            None => counts.push((folder, 1)),
        }
    }
    assert!(
        findings.is_empty(),
        "{what}:\n{}\n{} in all: {counts:?}",
        findings.join("\n"),
        findings.len()
    );
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` stands by itself, and not as a part of a longer one.
pub(crate) fn find_word<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|(at, _)| at).filter(|at| {
        let longer = word.starts_with(is_word) && text[..*at].ends_with(is_word)
            || word.ends_with(is_word) && text[at + word.len()..].starts_with(is_word);
        !longer
    })
}

/// The place of the bracket that closes the one at `open`; the end of the text if there is none.
pub(crate) fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0;
    let end = code[open..].find(|c| {
        depth += i32::from("([{".contains(c)) - i32::from(")]}".contains(c));
        depth == 0
    });
    end.map_or(code.len(), |end| open + end)
}

fn blank(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| **byte != b'\n') {
        *byte = b' ';
    }
}

/// The code alone, and the comments alone.
fn split(text: &str) -> (String, String) {
    let bytes = text.as_bytes();
    let (mut code, mut comments) = (bytes.to_vec(), bytes.to_vec());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let is_comment = rest.starts_with(b"//") || rest.starts_with(b"/*");
        let length = match rest[0] {
            _ if rest.starts_with(b"//") => rest.iter().position(|b| *b == b'\n'),
            _ if rest.starts_with(b"/*") => Some(block_comment(rest)),
            b'"' => Some(string(rest, &bytes[..at])),
            b'\'' => character(rest),
            _ => None,
        };
        let length = match length {
            Some(length) => length,
            None if is_comment => rest.len(),
            None => 1,
        };
        if is_comment || length > 1 {
            blank(&mut code[at..at + length]);
        }
        if !is_comment {
            blank(&mut comments[at..at + length]);
        }
        at += length;
    }
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(code), text(comments))
}

fn block_comment(text: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// The length of the string that begins `text`; what stands before it says whether it is raw.
fn string(text: &[u8], before: &[u8]) -> usize {
    let hashes = before.iter().rev().take_while(|b| **b == b'#').count();
    let is_raw = before[..before.len() - hashes].ends_with(b"r");
    let end = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    let mut at = 1;
    while at < text.len() {
        if !is_raw && text[at] == b'\\' {
            at += 1;
        } else if text[at..].starts_with(if is_raw { &end } else { b"\"" }) {
            break;
        }
        at += 1;
    }
    (at + 1).min(text.len())
}

/// The length of a character literal; none for the quote of a lifetime.
fn character(text: &[u8]) -> Option<usize> {
    if text.get(1) == Some(&b'\\') {
        let end = text[3..].iter().position(|b| *b == b'\'')?;
        return Some(end + 4);
    }
    (text.get(2) == Some(&b'\'')).then_some(3)
}

/// Blanks every inline module whose `cfg` names `test`.
fn without_tests(code: &str) -> String {
    let mut shipped = code.as_bytes().to_vec();
    for (start, _) in code.match_indices("#[cfg(") {
        let end = closing(code, start + 1);
        let of_tests = find_word(&code[start..end], "test").next().is_some();
        let item = code[end + 1..].trim_start();
        let body = item
            .find(['{', ';'])
            .filter(|at| item[*at..].starts_with('{'));
        if let (true, true, Some(body)) = (of_tests, item.starts_with("mod "), body) {
            let open = code.len() - item.len() + body;
            blank(&mut shipped[start..=closing(code, open)]);
        }
    }
    String::from_utf8(shipped).unwrap()
}

#[test]
fn code_and_comments_are_told_apart() {
    let code = |text: &str| Source::new("x", text).code.trim().to_owned();
    assert_eq!(
        code("let s = \"// \\\" x\"; f()"),
        format!("let s = {}; f()", " ".repeat(9))
    );
    assert_eq!(code("let r = r#\"a \" b\"#; f()").len(), 23);
    assert!(!code("let r = r#\"a \" b\"#; f()").contains('b'));
    assert_eq!(
        code("let c = '\"'; f('\\''); g()"),
        "let c =    ; f(    ); g()"
    );
    assert_eq!(code("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
    assert_eq!(code("/* a /* b */ c */ f() // d"), "f()");

    let source = Source::new("x", "f(); // a \"b\"\nlet s = \"// c\";\n/// d");
    let comments: Vec<_> = source.comments.lines().map(str::trim).collect();
    assert_eq!(comments, ["// a \"b\"", "", "/// d"]);
    assert_eq!(source.at(20), "src/x.rs:2");
}

#[test]
fn test_modules_are_not_shipped() {
    let shipped = |text: &str| Source::new("x", text).shipped.trim().to_owned();
    let tests = "#[cfg(all(test, not(loom)))]\nmod tests { fn f() { unsafe {} } }";
    assert_eq!(shipped(tests), "");
    assert_eq!(shipped(&format!("{tests} fn g() {{}}")), "fn g() {}");
    assert_eq!(
        shipped("#[cfg(test)]\nmod tests;"),
        "#[cfg(test)]\nmod tests;"
    );
    assert_eq!(
        shipped("#[cfg(loom)]\nmod m { }"),
        "#[cfg(loom)]\nmod m { }"
    );
}
