//! Comments are narrow, and what a lint would say is silenced with a reason.

use super::source::{Source, assert_none, sources};

const WIDTH: usize = 100;

/// The lines with a comment beyond column `WIDTH`. What cannot be broken is none: a table's row, an example, a comment of
/// a single word such as a link.
fn wide_comments(source: &Source) -> Vec<usize> {
    let mut in_example = false;
    let mut wide = Vec::new();
    for (n, (line, comment)) in source.text.lines().zip(source.comments.lines()).enumerate() {
        let docs = ["///", "//!"]
            .iter()
            .find_map(|docs| line.trim_start().strip_prefix(docs));
        let docs = docs.map(str::trim_start);
        if docs.is_some_and(|docs| docs.starts_with("```")) {
            in_example = !in_example;
        }
        let is_fixed = docs.is_some_and(|docs| in_example || docs.starts_with('|'));
        let words = comment
            .trim_start()
            .trim_start_matches(['/', '!'])
            .split_whitespace();
        let is_wide = line.chars().count() > WIDTH && !comment.trim().is_empty();
        if is_wide && !is_fixed && words.count() > 1 {
            wide.push(n + 1);
        }
    }
    wide
}

/// The lines with an `allow` or an `expect` that gives no reason: neither in itself nor in a comment above or beside it.
fn unexplained(source: &Source) -> Vec<usize> {
    let lines: Vec<_> = source.code.lines().zip(source.comments.lines()).collect();
    let silences = |code: &str| {
        ["#[allow(", "#![allow(", "#[expect(", "#![expect("]
            .iter()
            .any(|lint| code.contains(lint))
    };
    let is_reason = |n: usize| {
        let comment = lines[n].1.trim();
        comment.starts_with("// ") || comment.starts_with("//!")
    };
    (0..lines.len())
        .filter(|n| silences(lines[*n].0) && !lines[*n].0.contains("reason ="))
        .filter(|n| !(n.saturating_sub(1)..=*n).any(is_reason))
        .map(|n| n + 1)
        .collect()
}

fn everywhere(what: &str, lines: impl Fn(&Source) -> Vec<usize>) {
    let found = sources().iter().flat_map(|source| {
        let lines = lines(source).into_iter();
        lines.map(|line| source.at_line(line)).collect::<Vec<_>>()
    });
    assert_none(what, &found.collect::<Vec<_>>());
}

#[test]
fn comments_are_narrow() {
    everywhere("comments past column 100", wide_comments);
}

#[test]
fn a_lint_is_silenced_with_a_reason() {
    everywhere("no reason given", unexplained);
}

#[test]
fn wide_comments_are_seen() {
    let lines = |text: &str| wide_comments(&Source::new("x", text));
    let (long, word) = ("word ".repeat(20), "w".repeat(100));
    assert_eq!(lines(&format!("// {long}")), [1]);
    assert_eq!(lines(&format!("f();\n    f(); // {long}")), [2]);
    for text in [
        format!("let s = \"{long}\";"),
        format!("/// [`{word}`]"),
        format!("//! | {long} |"),
        format!("/// ```\n/// f(); // {long}\n/// ```"),
    ] {
        assert_eq!(lines(&text), [0; 0], "{text}");
    }
}

#[test]
fn lints_without_a_reason_are_seen() {
    let lines = |text: &str| unexplained(&Source::new("x", text));
    assert_eq!(lines("/// Docs.\n#[allow(unused)]\nfn f() {}"), [2]);
    for text in [
        "#[allow(unused)] // The test uses it.",
        "// The test uses it.\n#[allow(unused)]",
        "#[allow(unused, reason = \"the test uses it\")]",
    ] {
        assert_eq!(lines(text), [0; 0], "{text}");
    }
}
