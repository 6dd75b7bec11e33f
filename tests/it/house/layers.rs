//! Which folder may import which, what an index may hold, and what stands in one file only.

use super::source::{Source, assert_none, find_word, is_word, sources};

/// The layers from the ground up: folders, and files of the root. What is in a layer imports only from its own and from
/// those before it. A file belongs to the longest entry that its name begins with.
const ORDER: &[&str] = &[
    "sync",
    "random",
    "id",
    "reason",
    "invalid_task",
    "panic",
    "sim",
    "clock",
    "error",
    "process",
    "context_var",
    "cancel",
    "retry",
    "limit",
    "task",
    "observe",
    "pool",
    "schedule",
    "compose/failures",
    "compose/wait",
    "compose/scope",
    "compose/pipeline",
    "compose",
    "signal",
    "dashboard",
    "jobs",
    "guide",
    "lib",
];

/// Imports from a layer above that are still there: the file, the layer that it imports from, and why. Empty in the end.
const NOT_YET: &[(&str, &str, &str)] = &[];

/// The layer that is written as the program of a user is: it imports from the root what that exports, and nothing else.
const ON_THE_FACE: &str = "jobs";

/// Without the docs for users, which may be as long as they need to be.
const MOST_LINES: usize = 400;

/// What only these files may say.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("Instant::now", &["clock/clock", "sync/spin"]),
    ("SystemTime::now", &["clock/clock"]),
    (".elapsed(", &["clock/clock", "sync/spin"]),
    ("thread::sleep", &["clock/clock"]),
    ("park_timeout", &["clock/clock"]),
    ("recv_timeout", &["clock/clock"]),
    ("recv_deadline", &["clock/clock"]),
    (".wait_until(", &["clock/clock"]),
    (".wait_for(", &["clock/clock"]),
    (".wait_while_until(", &["clock/clock"]),
    (".wait_while_for(", &["clock/clock"]),
    ("catch_unwind", &["panic"]),
    ("log::", &["panic"]),
    ("unsafe", &["compose/scope/scope"]),
];

fn layer(file: &str) -> Option<&'static str> {
    let is_in = |layer: &&&str| {
        let rest = file.strip_prefix(**layer);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    ORDER
        .iter()
        .filter(is_in)
        .max_by_key(|layer| layer.len())
        .copied()
}

fn rank(layer: &str) -> usize {
    ORDER.iter().position(|name| *name == layer).unwrap()
}

/// Every path that begins with `crate::`; a group in braces is a path for each of its members.
fn crate_paths(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for at in find_word(code, "crate") {
        if let Some(path) = code[at + "crate".len()..].strip_prefix("::") {
            spread(path, &mut Vec::new(), &mut paths);
        }
    }
    paths
}

/// Reads what follows a `::`. Returns the rest of the text.
fn spread<'a>(text: &'a str, prefix: &mut Vec<String>, paths: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut group) = text.strip_prefix('{') {
        loop {
            group = group.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
            if group.is_empty() || group.starts_with('}') {
                return group.get(1..).unwrap_or_default();
            }
            group = spread(group, prefix, paths);
        }
    }
    // `*` and a macro's `$name` stand for items of the module before them.
    let end = text
        .find(|c| !is_word(c) && c != '*' && c != '$')
        .unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    prefix.push(word.to_owned());
    let rest = match rest.strip_prefix("::") {
        Some(inner) if !inner.starts_with('<') => spread(inner, prefix, paths),
        _ => {
            paths.push(prefix.clone());
            // Up to the next member of a group: over `as name`.
            &rest[rest.find([',', '}', ';']).unwrap_or(rest.len())..]
        }
    };
    prefix.pop();
    rest
}

/// The layer that a path leads to: `lib` for what stands in the root itself.
fn target(path: &[String]) -> &'static str {
    layer(&path.join("/")).unwrap_or("lib")
}

/// The imports of one file that lead to a layer above its own, as (layer, path).
fn wrong_imports(file: &str, code: &str) -> Vec<(&'static str, String)> {
    let own = layer(file).map_or(0, rank);
    crate_paths(code)
        .iter()
        .map(|path| (target(path), path.join("::")))
        .filter(|(target, _)| rank(target) > own)
        .filter(|(target, _)| (layer(file), *target) != (Some(ON_THE_FACE), "lib"))
        .collect()
}

/// The imports of one file that a program cannot write: those that the public face does not list.
fn private_imports(file: &str, code: &str, face: &str) -> Vec<String> {
    if layer(file) != Some(ON_THE_FACE) {
        return Vec::new();
    }
    let items: Vec<&str> = face
        .lines()
        .filter_map(|line| line.split(' ').nth(1)?.strip_prefix("millhand::"))
        .map(|item| item.trim_end_matches(':'))
        .collect();
    let mut paths = crate_paths(code);
    paths.retain(|path| path[0] != ON_THE_FACE);
    let mut wrong = Vec::new();
    for path in paths {
        // What follows an item is in it: a variant, a constant.
        let is_public = (1..=path.len()).any(|end| items.contains(&&*path[..end].join("::")));
        if !is_public {
            wrong.push(format!("src/{file}.rs: crate::{}", path.join("::")));
        }
    }
    wrong
}

/// Whether a path through `super` may lead out of the folder, and so around the rule.
fn leaves_by_super(file: &str, code: &str) -> bool {
    let is_top = !file.contains('/') || file.ends_with("/mod");
    let out = |line: &str| is_top && !line.starts_with(' ') && line.contains("super::");
    code.contains("super::super") || code.lines().any(out)
}

/// The items of an index that are none of these. Attributes do not count.
fn logic_of(code: &str, allowed: &[&str]) -> Vec<String> {
    let plain: String = code
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| [line, "\n"])
        .collect();
    plain
        .split(';')
        // Past the end of a module with names alone.
        .map(|item| item.trim_start_matches(|c: char| c == '}' || c.is_whitespace()))
        .map(str::trim)
        .filter(|item| !item.is_empty() && !allowed.iter().any(|start| item.starts_with(start)))
        .map(String::from)
        .collect()
}

/// Whether the code says `word`. A method of `self` with a condvar's name is none of a condvar's.
fn says(code: &str, word: &str) -> bool {
    find_word(code, word).any(|at| !(word.starts_with('.') && code[..at].ends_with("self")))
}

#[test]
fn every_file_has_its_layer() {
    let names = || sources().iter().map(|source| source.name.as_str());
    let unknown: Vec<_> = names().filter(|file| layer(file).is_none()).collect();
    assert!(
        unknown.is_empty(),
        "give them a place in ORDER: {unknown:?}"
    );
    let used: Vec<_> = names().filter_map(layer).collect();
    let gone: Vec<_> = ORDER.iter().filter(|layer| !used.contains(layer)).collect();
    assert!(gone.is_empty(), "take them out of ORDER: {gone:?}");
}

#[test]
fn a_layer_imports_only_from_those_before_it() {
    let mut wrong = Vec::new();
    let mut needed = Vec::new();
    for source in sources() {
        // With the unit tests, which keep to the order, too.
        for (target, path) in wrong_imports(&source.name, &source.code) {
            let known =
                |(file, layer, _): &&(&str, &str, &str)| *file == source.name && *layer == target;
            match NOT_YET.iter().find(known) {
                Some(exception) => needed.push(exception),
                None => wrong.push(format!("src/{}.rs: crate::{path}", source.name)),
            }
        }
    }
    assert_none("imports from a layer above", &wrong);
    let stale: Vec<_> = NOT_YET
        .iter()
        .filter(|entry| !needed.contains(entry))
        .collect();
    assert!(stale.is_empty(), "take them out of NOT_YET: {stale:?}");
}

#[test]
fn jobs_use_what_a_program_can_use() {
    let face = include_str!("../../api.txt");
    let wrong: Vec<_> = sources()
        .iter()
        .flat_map(|source| private_imports(&source.name, &source.code, face))
        .collect();
    assert_none("imports that tests/api.txt does not list", &wrong);
}

#[test]
fn imports_of_what_is_private_are_seen() {
    let face = "fn millhand::check: ..\nenum millhand::cancel::CancelReason: ..\n    Lease";
    let code =
        "use crate::jobs::id; use crate::cancel::{CancelReason::Lease, hidden}; crate::check();";
    let wrong = private_imports("jobs/one", code, face);
    assert_eq!(wrong, ["src/jobs/one.rs: crate::cancel::hidden"]);
    assert!(private_imports("pool/one", code, face).is_empty());
}

#[test]
fn no_import_leaves_its_folder_through_super() {
    let leaves = |source: &&Source| leaves_by_super(&source.name, &source.code);
    let leaving: Vec<_> = sources()
        .iter()
        .filter(leaves)
        .map(|source| &source.name)
        .collect();
    assert!(leaving.is_empty(), "{leaving:?}");
}

#[test]
fn an_index_holds_no_logic() {
    for source in sources() {
        let logic = match source.name.as_str() {
            // The last is where the README's examples are compiled.
            "lib" => logic_of(
                &source.code,
                &["mod ", "pub mod ", "pub use ", "struct Readme"],
            ),
            file if file.ends_with("/mod") => {
                let allowed = [
                    "mod ",
                    "pub mod ",
                    "pub use ",
                    "pub(crate) mod ",
                    "pub(crate) use ",
                ];
                logic_of(&source.code, &allowed)
            }
            _ => continue,
        };
        assert!(logic.is_empty(), "{}: {logic:?}", source.name);
    }
}

#[test]
fn files_stay_small() {
    let is_docs = |line: &&str| {
        ["///", "//!"]
            .iter()
            .any(|docs| line.trim_start().starts_with(docs))
    };
    let length = |source: &Source| source.text.lines().filter(|line| !is_docs(line)).count();
    let long: Vec<_> = sources()
        .iter()
        .map(|source| (&source.name, length(source)))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .collect();
    assert!(long.is_empty(), "more than {MOST_LINES} lines: {long:?}");
}

#[test]
fn time_panics_and_unsafe_code_have_one_file_each() {
    let mut wrong = Vec::new();
    for (word, files) in ONLY_IN {
        let named = sources()
            .iter()
            .filter(|source| files.contains(&source.name.as_str()));
        assert_eq!(
            named.count(),
            files.len(),
            "the files for {word} are not where they were"
        );
        let others = sources()
            .iter()
            .filter(|source| !files.contains(&source.name.as_str()));
        let saying = others.filter(|source| says(&source.shipped, word));
        wrong.extend(saying.map(|source| format!("src/{}.rs: {word}", source.name)));
    }
    assert_none("these belong elsewhere", &wrong);
}

// The reader itself, on texts that break the rules and on texts that keep to them.

#[test]
fn the_reader_finds_imports_that_run_the_wrong_way() {
    for (file, text) in [
        ("sync/spin", "use crate::task::Task;"),
        ("clock/mod", "use crate::{task, sync};"),
        (
            "limit/rate",
            "use crate::{clock, task::{handle::TaskHandle}};",
        ),
        ("limit/rate", "fn f() -> crate::task::TaskHandle<()> {}"),
        ("limit/rate", "use crate::task as t;"),
        ("limit/rate", "use crate::task::*;"),
        (
            "limit/rate",
            "macro_rules! m { () => { $crate::pool::submit::f() } }",
        ),
        (
            "limit/rate",
            "use crate::{\n    clock,\n    task::{\n        self, // the index\n    },\n};",
        ),
        (
            "limit/rate",
            "use crate::{clock as time, task::{self as it, TaskRef as R}};",
        ),
        ("task/task", "use crate::TaskHandle;"),
        ("task/task", "let s = \"//\"; crate::pool::f();"),
        ("task/task", "let r = r#\"a \" b\"#; crate::pool::f();"),
        (
            "task/task",
            "mod tests { use crate::pool::worker::Worker; }",
        ),
    ] {
        let found = wrong_imports(file, &Source::new(file, text).code);
        assert!(!found.is_empty(), "{file}: {text}");
    }
}

#[test]
fn the_reader_lets_the_right_ones_pass() {
    for (file, text) in [
        ("task/task", "use crate::task::{handle, run::{self, Run}};"),
        (
            "task/task",
            "use crate::{clock, sync::{Mutex, atomic::{AtomicU8, Ordering}}};",
        ),
        (
            "task/task",
            "//! See crate::pool.\n/* crate::pool /* crate::pool */ crate::pool */",
        ),
        (
            "task/task",
            "let s = \"crate::pool\"; let t = r#\"crate::pool \" crate::pool\"#;",
        ),
        (
            "task/task",
            "my_crate::pool::f(); crate::clock::now::<u8>(); pub(crate) fn pool() {}",
        ),
        ("task/mod", "pub use handle::TaskHandle;"),
    ] {
        let found = wrong_imports(file, &Source::new(file, text).code);
        assert_eq!(found, [], "{file}: {text}");
    }
}

#[test]
fn the_reader_sees_words_super_and_logic() {
    assert!(says("let now = Instant::now();", "Instant::now"));
    assert!(says("condvar.wait_until(x)", ".wait_until("));
    assert!(!says("self.wait_until(x)", ".wait_until("));
    assert!(!says("AssertUnwindunsafe_code", "unsafe"));

    assert!(leaves_by_super(
        "task/task",
        "use super::super::pool::Pool;"
    ));
    assert!(leaves_by_super("task/mod", "pub use super::pool::Pool;"));
    assert!(!leaves_by_super(
        "task/task",
        "use super::handle::TaskHandle;"
    ));
    assert!(!leaves_by_super(
        "error",
        "mod tests {\n    use super::*;\n}"
    ));

    let index = "#![doc = include_str!(a[0])]\nmod a;\n#[cfg(x)]\nmod b;\npub use a::{B, C};";
    assert!(logic_of(index, &["mod ", "pub use "]).is_empty());
    let logic = format!("{index}\npub fn f() {{}}");
    assert_eq!(logic_of(&logic, &["mod ", "pub use "]).len(), 1);
}
