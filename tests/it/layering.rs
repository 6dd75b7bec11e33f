//! The house rules for `src/`: which file may import which, and what is said in one place only.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The files of `src/` from the ground up: a file imports only from files before it. So there is no circle, and a
/// folder's `mod`, its index, is imported by none of its children: it comes after them.
const ORDER: &[&str] = &[
    // 0, ground
    "sync",
    "spin",
    "wake",
    "random",
    "sim/trace",
    "sim/baton",
    "sim/hand",
    "sim/turns",
    "sim/stuck",
    "sim/world",
    "sim/mod",
    "clock",
    "fork",
    "here",
    "spawn",
    "alarm",
    "counters",
    "flat",
    "id",
    "reason",
    "panic",
    "context_var",
    "error",
    "event",
    "seat",
    // 1, hand-off
    "cancel",
    "extras",
    "aftermath",
    "slot",
    "policy/retry",
    "policy/mod",
    "gate/error",
    "gate/rule",
    "gate/bucket",
    "gate/window",
    "gate/permits",
    "gate/turns",
    "gate/line",
    "gate/claim",
    "gate/stand",
    "gate/mod",
    // 2, task
    "task/work",
    "task/any",
    "task/cell",
    "task/time",
    "task/course",
    "task/behind",
    "task/run",
    "task/job",
    "task/context",
    "task/retry",
    "task/handle",
    "task/shared",
    "task/promise",
    "task/mod",
    // 3, pool
    "pool/options",
    "pool/phase",
    "pool/intake",
    "pool/seats",
    "pool/waits",
    "pool/lanes",
    "pool/parking",
    "pool/queue",
    "pool/crew",
    "pool/quiet",
    "pool/report",
    "pool/heap",
    "pool/timer",
    "pool/roll",
    "pool/schedules",
    "pool/core",
    "pool/simulated",
    "pool/admit",
    "pool/follow",
    "pool/worker_local",
    "pool/worker",
    "pool/stage",
    "pool/threads",
    "pool/home",
    "pool/shutdown",
    "pool/submit",
    "pool/pool_ref",
    "pool/thread_pool",
    "pool/builder",
    "pool/mod",
    "simulation",
    // 4, limits
    "limit/gates",
    "limit/keyed",
    "limit/lanes",
    "limit/semaphore",
    "limit/rate",
    "limit/mod",
    // 5, time
    "schedule/every",
    "schedule/cron_error",
    "schedule/cron",
    "schedule/beat",
    "schedule/answer",
    "schedule/series",
    "schedule/shell",
    "schedule/handle",
    "schedule/run",
    "schedule/mod",
    // 6, composition
    "compose/failures",
    "compose/handles",
    "compose/arrivals",
    "compose/wait",
    "compose/completed",
    "compose/after",
    "compose/then",
    "compose/group",
    "compose/latch",
    "compose/gather",
    "compose/members",
    "compose/scope_options",
    "compose/scoped_handle",
    "compose/scope",
    "compose/belt",
    "compose/flow",
    "compose/pipeline",
    "compose/map",
    "compose/map_iter",
    "compose/mod",
    // 7, signals
    "signal",
    // The guides: nothing but words.
    "guide/performance",
    "guide/mod",
    "lib",
];

/// Without the documentation for users, which may be as long as they need.
const MOST_LINES: usize = 400;

/// Where alone these words may stand: time, and the catching of panics. And what may stand nowhere.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("Instant::now", &["clock", "spin"]),
    ("SystemTime::now", &["clock"]),
    (".elapsed(", &["clock", "spin"]),
    ("thread::sleep", &["clock"]),
    ("park_timeout", &["clock"]),
    ("recv_timeout", &["clock"]),
    ("recv_deadline", &["clock"]),
    (".wait_until(", &["clock"]),
    (".wait_for(", &["clock"]),
    (".wait_while_until(", &["clock"]),
    (".wait_while_for(", &["clock"]),
    ("catch_unwind", &["panic"]),
    ("unsafe", &["compose/scope"]),
];

/// The files by name, `task/cell` for `src/task/cell.rs`, with comments and texts blanked out and tests cut off.
struct Sources {
    whole: BTreeMap<String, String>,
    code: BTreeMap<String, String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Sources {
    fn read(folder: &Path, prefix: &str, into: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap();
            if path.is_dir() {
                read(&path, &format!("{prefix}{stem}/"), into);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                into.insert(format!("{prefix}{stem}"), text);
            }
        }
    }
    let mut whole = BTreeMap::new();
    read(&root().join("src"), "", &mut whole);
    assert!(whole.len() > 20, "the sources are not where they were");
    let code = whole
        .iter()
        .map(|(file, text)| (file.clone(), without_tests(&code_of(text))))
        .collect();
    Sources { whole, code }
}

/// The text with comments, strings and character literals blanked out; lines stay lines.
fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let length = if rest.starts_with(b"//") {
            rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            block_comment(rest)
        } else if rest[0] == b'"' {
            let raw = at > 0 && matches!(bytes[at - 1], b'r' | b'#');
            string(rest, if raw { hashes_before(bytes, at) } else { None })
        } else if rest[0] == b'\'' {
            character(rest)
        } else {
            at += 1;
            continue;
        };
        for byte in &mut code[at..at + length] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at += length;
    }
    String::from_utf8(code).unwrap()
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

/// How many hashes a raw string that opens at `at` has; `None` for one that is not raw.
fn hashes_before(text: &[u8], at: usize) -> Option<usize> {
    let hashes = text[..at].iter().rev().take_while(|b| **b == b'#').count();
    (at > hashes && text[at - hashes - 1] == b'r').then_some(hashes)
}

fn string(text: &[u8], raw: Option<usize>) -> usize {
    let mut at = 1;
    while at < text.len() {
        match (text[at], raw) {
            (b'\\', None) => at += 1,
            (b'"', None) => break,
            (b'"', Some(hashes)) if text[at + 1..].starts_with(&b"####"[..hashes]) => break,
            _ => {}
        }
        at += 1;
    }
    (at + 1).min(text.len())
}

/// The length of a character literal; 1 for a lifetime's quote.
fn character(text: &[u8]) -> usize {
    if text.get(1) == Some(&b'\\') {
        let end = text[3..].iter().position(|b| *b == b'\'');
        return end.map_or(1, |end| end + 4);
    }
    match text.get(2) {
        Some(b'\'') => 3,
        _ => 1,
    }
}

/// Cuts out every inline module whose `cfg` speaks of tests.
fn without_tests(code: &str) -> String {
    let mut left = code.to_owned();
    while let Some(start) = test_module(&left) {
        let open = start + left[start..].find('{').unwrap();
        let end = closing_brace(&left, open);
        left.replace_range(start..=end, "");
    }
    left
}

fn test_module(code: &str) -> Option<usize> {
    code.match_indices("#[cfg(").find_map(|(start, _)| {
        let end = start + code[start..].find(']')?;
        let of_tests = code[start..end]
            .split(|c: char| !c.is_alphanumeric())
            .any(|word| word == "test");
        let what = code[end + 1..].trim_start();
        let body = what.find(['{', ';']);
        let inline = what.starts_with("mod ") && body.is_some_and(|at| what[at..].starts_with('{'));
        (of_tests && inline).then_some(start)
    })
}

fn closing_brace(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + at;
        }
    }
    panic!("a brace is not closed")
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Every path that begins with `crate::`, with groups in braces spread out: `crate::a::{b, c::d}` is two.
fn crate_paths(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for (at, start) in code.match_indices("crate::") {
        // Part of a longer word is none.
        if !code[..at].ends_with(is_word) {
            spread(&code[at + start.len()..], &mut Vec::new(), &mut paths);
        }
    }
    paths
}

/// Reads what follows a `::`; gives what is left of the text.
fn spread<'a>(text: &'a str, prefix: &mut Vec<String>, paths: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut group) = text.strip_prefix('{') {
        loop {
            group = spread(group, prefix, paths).trim_start();
            match group.chars().next() {
                Some(',') => group = group[1..].trim_start(),
                Some('}') => return &group[1..],
                _ => return group,
            }
            if let Some(rest) = group.strip_prefix('}') {
                return rest;
            }
        }
    }
    let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
    let (word, mut rest) = text.split_at(end);
    // `*` and a macro's `$name` stand for items of what comes before them.
    let deeper = !word.is_empty() && word != "self";
    if deeper {
        prefix.push(word.to_owned());
    } else {
        rest = rest.strip_prefix('*').unwrap_or(rest);
    }
    let left = match rest.trim_start().strip_prefix("::") {
        Some(inner) if !inner.trim_start().starts_with('<') => spread(inner, prefix, paths),
        _ => {
            paths.push(prefix.clone());
            let renamed = rest.trim_start().strip_prefix("as ");
            renamed.map_or(rest, |name| name.trim_start().trim_start_matches(is_word))
        }
    };
    if deeper {
        prefix.pop();
    }
    left
}

/// The file that a path leads to: the deepest one, a folder's index, or `lib` for what stands in the root.
fn file_of(path: &[String], exists: impl Fn(&str) -> bool) -> String {
    let longest = (1..=path.len()).rev().find_map(|n| {
        let name = path[..n].join("/");
        let index = format!("{name}/mod");
        [name, index].into_iter().find(|name| exists(name))
    });
    longest.unwrap_or_else(|| "lib".to_owned())
}

fn rank(file: &str) -> Option<usize> {
    ORDER.iter().position(|name| *name == file)
}

/// The imports of one file that run the wrong way.
fn wrong_imports(file: &str, code: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    crate_paths(code)
        .into_iter()
        .map(|path| (file_of(&path, &exists), path.join("::")))
        .filter(|(target, _)| target != file && rank(target) >= rank(file))
        .map(|(target, path)| format!("{file} imports crate::{path}, from {target}"))
        .collect()
}

/// Paths through `super` outside an inline module lead to the folder's index, or around this test.
fn uses_super(code: &str) -> bool {
    let mut depth = 0_usize;
    let mut inline = Vec::new();
    for (at, c) in code.char_indices() {
        match c {
            '{' => {
                let head = &code[..at].trim_end();
                let start = head.rfind(['{', '}', ';', ']']).map_or(0, |at| at + 1);
                let head = head[start..].trim_start();
                if head.starts_with("mod ") || head.contains(" mod ") {
                    inline.push(depth);
                }
                depth += 1;
            }
            '}' => {
                depth = depth.saturating_sub(1);
                if inline.last() == Some(&depth) {
                    inline.pop();
                }
            }
            's' if inline.is_empty()
                && code[at..].starts_with("super::")
                && !code[..at].ends_with(is_word) =>
            {
                return true;
            }
            _ => {}
        }
    }
    false
}

/// Attributes and what may stand in an index, taken away.
fn logic_of(code: &str, allowed: &[&str]) -> Vec<String> {
    let mut plain = code.to_owned();
    while let Some(start) = plain.find("#[").or_else(|| plain.find("#![")) {
        let mut depth = 0;
        let end = plain[start..].find(|c| {
            depth += i32::from(c == '[') - i32::from(c == ']');
            c == ']' && depth == 0
        });
        plain.replace_range(start..=start + end.unwrap(), "");
    }
    plain
        .split(';')
        .map(str::trim)
        .filter(|item| !item.is_empty() && !allowed.iter().any(|start| item.starts_with(start)))
        .map(String::from)
        .collect()
}

// The rules.

#[test]
fn every_file_has_its_place_in_the_order() {
    let sources = sources();
    let unknown: Vec<_> = sources.code.keys().filter(|f| rank(f).is_none()).collect();
    assert!(
        unknown.is_empty(),
        "give them a place in ORDER: {unknown:?}"
    );
    let gone: Vec<_> = ORDER
        .iter()
        .filter(|file| !sources.code.contains_key(**file))
        .collect();
    assert!(gone.is_empty(), "take them out of ORDER: {gone:?}");
}

#[test]
fn a_file_imports_only_from_files_before_it() {
    let sources = sources();
    let exists = |file: &str| sources.whole.contains_key(file);
    let wrong: Vec<_> = sources
        .whole
        .iter()
        // With the unit tests, which keep to the order too.
        .flat_map(|(file, text)| wrong_imports(file, &code_of(text), exists))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_import_goes_through_super() {
    let sources = sources();
    let using: Vec<_> = sources
        .code
        .iter()
        .filter(|(_, code)| uses_super(code))
        .map(|(file, _)| file)
        .collect();
    assert!(using.is_empty(), "{using:?}");
}

#[test]
fn the_indices_hold_no_logic() {
    for (file, code) in sources().code {
        let logic = match file.as_str() {
            // The last is where the README's examples are compiled.
            "lib" => logic_of(&code, &["mod ", "pub mod ", "pub use ", "struct Readme"]),
            _ if file.ends_with("/mod") => {
                logic_of(&code, &["mod ", "pub mod ", "pub use ", "pub(crate) use "])
            }
            _ => continue,
        };
        assert!(logic.is_empty(), "{file}: {logic:?}");
    }
}

#[test]
fn files_stay_small() {
    let long: Vec<_> = sources()
        .whole
        .into_iter()
        .map(|(file, text)| {
            let is_docs = |line: &&str| {
                let line = line.trim_start();
                line.starts_with("///") || line.starts_with("//!")
            };
            let lines = text.lines().filter(|line| !is_docs(line)).count();
            (file, lines)
        })
        .filter(|(_, lines)| *lines > MOST_LINES)
        .collect();
    assert!(long.is_empty(), "more than {MOST_LINES} lines: {long:?}");
}

#[test]
fn time_and_panics_have_one_room_each_and_unsafe_has_none() {
    let mut wrong = Vec::new();
    for (file, code) in sources().code {
        for (word, rooms) in ONLY_IN {
            if !rooms.contains(&file.as_str()) && says(&code, word) {
                wrong.push(format!("{file} says {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Whether the word stands there by itself. A method of `self` is no condvar's.
fn says(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let part = word.starts_with(is_word) && code[..at].ends_with(is_word)
            || word.ends_with(is_word) && code[at + word.len()..].starts_with(is_word);
        let own = word.starts_with('.') && code[..at].ends_with("self");
        !part && !own
    })
}

#[test]
fn the_changelog_has_a_heading_for_this_version() {
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let heading = changelog.lines().any(|line| {
        line.strip_prefix("## ").is_some_and(|heading| {
            heading
                .split(|c: char| c.is_whitespace() || "[]()".contains(c))
                .any(|word| word == version)
        })
    });
    assert!(heading, "no heading for {version}");
}

// The reader itself, on texts that break the rules.

fn wrong_in(file: &str, text: &str) -> Vec<String> {
    wrong_imports(file, &code_of(text), |name| ORDER.contains(&name))
}

#[test]
fn the_reader_finds_imports_that_run_the_wrong_way() {
    for (file, text) in [
        ("sync", "use crate::slot::Slot;"),
        ("clock", "use crate::{slot, sync};"),
        ("slot", "use crate::{clock, task::{cell::Cell}};"),
        ("slot", "fn f() -> crate::task::TaskHandle<()> {}"),
        ("slot", "use crate::task as t;"),
        ("slot", "use crate::task::*;"),
        (
            "slot",
            "macro_rules! m { () => { $crate::pool::submit::f() } }",
        ),
        ("task/cell", "use crate::task::TaskRef;"),
        (
            "task/cell",
            "use crate::task::{work::Work, handle::TaskHandle};",
        ),
        (
            "task/cell",
            "use crate::{\n    clock,\n    task::{\n        self, // the index\n    },\n};",
        ),
        ("task/cell", "use crate::TaskHandle;"),
        ("pool/core", "let s = \"//\"; crate::pool::builder::f();"),
        (
            "pool/core",
            "let c = '\"'; crate::pool::builder::f(); let d = '\"';",
        ),
        (
            "pool/core",
            "let r = r#\"a \" b\"#; crate::pool::builder::f();",
        ),
        (
            "pool/core",
            "mod tests { use crate::pool::worker::Worker; }",
        ),
    ] {
        assert_eq!(wrong_in(file, text).len(), 1, "{file}: {text}");
    }
}

#[test]
fn the_reader_lets_the_right_ones_pass() {
    for (file, text) in [
        (
            "slot",
            "use crate::clock;\nuse crate::sync::{Mutex, atomic::{AtomicU8, Ordering}};",
        ),
        ("slot", "use crate::seat::{self, Wait};"),
        (
            "slot",
            "//! See crate::task.\n/* crate::pool /* crate::pool */ crate::pool */",
        ),
        (
            "slot",
            "let s = \"crate::pool\"; let c = '\\''; let t = r#\"crate::pool \" crate::task\"#;",
        ),
        ("slot", "fn f<'a>(x: &'a str) -> &'a str { x }"),
        ("slot", "my_crate::pool::f()"),
        ("slot", "crate::clock::now::<u8>()"),
        ("task/cell", "use crate::task::work::Work;"),
        ("task/handle", "crate::task::handle::wait_for()"),
        (
            "pool/core",
            "use crate::task::{self, TaskHandle as Handle, cell};",
        ),
    ] {
        assert_eq!(wrong_in(file, text), [""; 0], "{file}: {text}");
    }
}

#[test]
fn the_reader_sees_words_super_and_logic() {
    let code = |text| without_tests(&code_of(text));
    assert!(says(&code("let now = Instant::now();"), "Instant::now"));
    assert!(says(&code("condvar.wait_until(x)"), ".wait_until("));
    assert!(says(&code("unsafe { f() }"), "unsafe"));
    assert!(!says(&code("self.wait_until(x)"), ".wait_until("));
    assert!(!says(&code("AssertUnwindunsafe_code"), "unsafe"));
    assert!(!says(&code("// unsafe\n\"unsafe\""), "unsafe"));
    assert!(!says(
        &code("#[cfg(all(test, not(loom)))]\nmod tests { fn f() { unsafe {} } }"),
        "unsafe"
    ));
    assert!(says(
        &code("#[cfg(test)]\nmod tests { fn f() {} }\nfn g() { unsafe {} }"),
        "unsafe"
    ));

    assert!(uses_super("use super::cell::Cell;"));
    assert!(uses_super("fn f() { super::g() }"));
    assert!(uses_super("mod inner { use super::*; } use super::x;"));
    assert!(!uses_super("pub(super) fn f() {}"));
    assert!(!uses_super("mod inner { use super::*; fn f() {} }"));

    let index = "#![doc = include_str!(a[0])]\nmod a;\n#[cfg(x)]\nmod b;\npub use a::{B, C};";
    assert!(logic_of(index, &["mod ", "pub use "]).is_empty());
    let logic = format!("{index}\npub fn f() {{}}");
    assert_eq!(logic_of(&logic, &["mod ", "pub use "]).len(), 1);
    assert_eq!(logic_of("mod a; mod b { }", &["mod "]).len(), 0);
}
