//! The pages beside the code keep up with it: the maintainers' page in `src/`, and the changelog.

use super::source::{Source, closing, find_word, folders, is_word, page, root, sources};
use std::collections::HashSet;

/// Names of other crates need not be defined here.
const FOREIGN: &[&str] = &[
    "std::",
    "core::",
    "loom::",
    "parking_lot::",
    "crossbeam_channel::",
    "log::",
];

/// Words of the language that the page may set as code.
const KEYWORDS: &[&str] = &[
    "unsafe", "dyn", "fn", "mod", "pub", "Option", "Result", "Some", "None", "Ok", "Err",
];

/// What stands between backticks, by line. In a block of code each word with an underscore, a path or a call does.
fn quoted(page: &str) -> Vec<(usize, &str)> {
    let mut quoted = Vec::new();
    let mut in_block = false;
    for (n, line) in page.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            let words = line.split(|c: char| !is_word(c) && !":()/.".contains(c));
            let is_name = |word: &&str| {
                word.len() > 2 && ["_", "::", "()"].iter().any(|mark| word.contains(mark))
            };
            quoted.extend(words.filter(is_name).map(|word| (n + 1, word)));
        } else {
            quoted.extend(line.split('`').skip(1).step_by(2).map(|word| (n + 1, word)));
        }
    }
    quoted
}

/// What a file defines: items, the fields of its structs and the variants of its enums.
fn defined(source: &Source) -> HashSet<&str> {
    const ITEMS: &[&str] = &[
        "fn",
        "struct",
        "enum",
        "trait",
        "type",
        "const",
        "static",
        "mod",
        "macro_rules!",
    ];
    let code = source.shipped.as_str();
    let mut names = HashSet::new();
    for item in ITEMS {
        for at in find_word(code, item) {
            let rest = code[at + item.len()..].trim_start();
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            names.insert(&rest[..end]);
            let body = rest
                .find(['{', ';'])
                .filter(|body| rest[*body..].starts_with('{'));
            if let (true, Some(open)) = (["struct", "enum"].contains(item), body) {
                names.extend(members(&rest[open + 1..closing(rest, open)]));
            }
        }
    }
    names
}

/// The fields or variants in the body of a struct or an enum.
fn members(body: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut at = 0;
    while at < body.len() {
        let rest = &body[at..];
        let c = rest.chars().next().unwrap();
        if c == '#' || c == '(' {
            // An attribute, or the `(crate)` of a `pub`.
            at += closing(rest, rest.find(['[', '(']).unwrap()) + 1;
        } else if is_word(c) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            at += end;
            if &rest[..end] != "pub" {
                names.push(&rest[..end]);
                at += end_of_member(&body[at..]);
            }
        } else {
            at += c.len_utf8();
        }
    }
    names
}

/// The place after the comma that ends a field or a variant.
fn end_of_member(rest: &str) -> usize {
    let mut depth = 0;
    let mut before = ' ';
    let end = rest.find(|c| {
        depth += i32::from("([{<".contains(c))
            - i32::from(")]}".contains(c) || c == '>' && before != '-');
        before = c;
        c == ',' && depth == 0
    });
    end.map_or(rest.len(), |end| end + 1)
}

/// Whether what the page quotes is there: a path, or names that one file defines.
fn is_there(quoted: &str, files: &[(&str, HashSet<&str>)]) -> bool {
    let is_foreign = FOREIGN.iter().any(|krate| quoted.starts_with(krate));
    if is_foreign || KEYWORDS.contains(&quoted) {
        return true;
    }
    let is_path = |c: char| is_word(c) || "/.-".contains(c);
    if quoted.chars().all(is_path) && (quoted.contains('/') || quoted.ends_with(".rs")) {
        return root().join("src").join(quoted).exists() || root().join(quoted).exists();
    }
    // Without arguments and parameters; anything but a name, such as an expression, is not looked at.
    let name = &quoted[..quoted.find(['(', '<']).unwrap_or(quoted.len())];
    let names: Vec<_> = name.split("::").flat_map(|part| part.split('.')).collect();
    if names
        .iter()
        .any(|name| name.is_empty() || !name.chars().all(is_word))
    {
        return true;
    }
    let is_in = |(file, defined): &(&str, HashSet<&str>)| {
        let is_file = |name: &str| file.split('/').any(|part| part == name);
        names
            .iter()
            .all(|name| defined.contains(name) || is_file(name))
    };
    files.iter().any(is_in)
}

#[test]
fn what_the_maintainers_page_names_is_there() {
    let files: Vec<_> = sources()
        .iter()
        .map(|source| (source.name.as_str(), defined(source)))
        .collect();
    let page = page("src/README.md");
    let quoted = quoted(&page);
    let gone: Vec<_> = quoted
        .iter()
        .filter(|(_, word)| !is_there(word, &files))
        .collect();
    assert!(
        gone.is_empty(),
        "src/README.md names what is not there (line, name): {gone:?}"
    );
    let is_missing = |folder: &&str| {
        let folder = format!("{folder}/");
        !quoted.iter().any(|(_, word)| *word == folder)
    };
    let missing: Vec<_> = folders().into_iter().filter(is_missing).collect();
    assert!(
        missing.is_empty(),
        "src/README.md leaves out the folders {missing:?}"
    );
}

#[test]
fn the_changelog_has_a_heading_for_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    let is_heading = |line: &str| {
        let words = line.strip_prefix("## ").unwrap_or_default();
        let mut words = words.split(|c: char| c.is_whitespace() || "[]()".contains(c));
        words.any(|word| word == version)
    };
    assert!(
        page("CHANGELOG.md").lines().any(is_heading),
        "no heading for {version}"
    );
}

#[test]
fn the_reader_of_pages_sees_names() {
    let text = "pub(crate) struct Task<B: ?Sized = dyn Body> {\n    #[cfg(x)] head: Map<u8, Head>,\n    pub(crate) body: B,\n}
        enum State { Queued(Closure, u8), #[a] Running { since: u8 }, Done }\nimpl Task { fn run(&self) {} }";
    let source = Source::new("task/task", text);
    let files = [("task/task", defined(&source))];
    for name in [
        "Task",
        "run",
        "Task::run",
        "Task::run()",
        "task::run",
        "run(worker)",
        "State::Queued",
        "State::Done",
        "Running",
        "task.head",
        "body",
        "Task<dyn Body>",
        "src/lib.rs",
        "lib.rs",
        "std::sync::Arc",
        "a + b",
        "1 << 3",
    ] {
        assert!(is_there(name, &files), "{name}");
    }
    for name in [
        "Cell",
        "Task::walk",
        "State::Gone",
        "since",
        "Closure",
        "u8",
        "lib2.rs",
        "nowhere/",
        "State::run2()",
    ] {
        assert!(!is_there(name, &files), "{name}");
    }
    let page = "`a` and `b`\n```\nsubmit -> Core::send -> run() is_plain\n```\n`c`";
    let words: Vec<_> = quoted(page).into_iter().map(|(_, word)| word).collect();
    assert_eq!(words, ["a", "b", "Core::send", "run()", "is_plain", "c"]);
}
