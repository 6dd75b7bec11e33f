//! Every atomic access that is more than relaxed has a comment `ORDERING:`, which names what it pairs with.

use super::source::{Source, assert_none, find_word, sources};

const TAG: &str = "ORDERING:";

/// How many lines above the access the comment may begin.
const ABOVE: usize = 8;

const STRONG: &[&str] = &["Acquire", "Release", "AcqRel", "SeqCst"];

/// The lines with an access that has no comment, neither right above it nor on the function that it stands in.
fn unexplained(source: &Source) -> Vec<usize> {
    let code: Vec<_> = source.shipped.lines().collect();
    let comments: Vec<_> = source.comments.lines().collect();
    let has_tag = |n: usize| comments[n].contains(TAG);
    let indent = |n: usize| code[n].len() - code[n].trim_start().len();
    let is_access = |n: &usize| {
        let path = |at| code[*n][..at].ends_with("Ordering::");
        let is_strong = |word: &&str| find_word(code[*n], word).any(path);
        STRONG.iter().any(is_strong) && !code[*n].trim_start().starts_with("use ")
    };
    let is_explained = |n: usize| {
        let is_function = |line: &usize| {
            indent(*line) < indent(n) && find_word(code[*line], "fn").next().is_some()
        };
        let function = (0..n).rev().find(is_function).unwrap_or(0);
        let is_on_function = |line: &usize| {
            let code = code[*line].trim();
            code.starts_with('#') || code.is_empty() && !comments[*line].trim().is_empty()
        };
        let on_function = (0..function).rev().take_while(is_on_function);
        let above = n.saturating_sub(ABOVE).max(function)..=n;
        above.chain(on_function).any(has_tag)
    };
    let lines = (0..code.len()).filter(is_access);
    let lines = lines.filter(|n| !is_explained(*n));
    lines.map(|n| n + 1).collect()
}

#[test]
fn strong_orderings_say_what_they_pair_with() {
    let missing = sources().iter().flat_map(|source| {
        let lines = unexplained(source).into_iter();
        lines.map(|line| source.at_line(line)).collect::<Vec<_>>()
    });
    assert_none("no comment `ORDERING:`", &missing.collect::<Vec<_>>());
}

#[test]
fn orderings_without_a_comment_are_seen() {
    let lines = |text: &str| unexplained(&Source::new("x", text));
    let access = "        self.state.load(Ordering::Acquire)";
    let far = "        f();\n".repeat(ABOVE + 1);
    assert_eq!(lines(&format!("    fn f() {{\n{access}\n    }}")), [2]);
    assert_eq!(
        lines("    fn f() {\n        fence(Ordering::SeqCst);\n    }"),
        [2]
    );
    assert_eq!(
        lines(&format!("        // ORDERING: as above.\n{far}{access}")),
        [ABOVE + 3]
    );
    let other = "    fn g() {\n        // ORDERING: of g.\n    }\n";
    assert_eq!(lines(&format!("{other}\n    fn f() {{\n{access}")), [6]);
    for text in [
        format!("        // ORDERING: pairs with `set`.\n{access}"),
        format!(
            "    /// Docs.\n    // ORDERING: pairs with `set`.\n    #[inline]\n    fn f() {{\n{far}{access}"
        ),
        "        self.state.load(Ordering::Relaxed)".to_owned(),
        "        one.cmp(&other) == Ordering::Less".to_owned(),
        format!("#[cfg(test)]\nmod tests {{\n{access}\n}}"),
    ] {
        assert_eq!(lines(&text), [0; 0], "{text}");
    }
}
