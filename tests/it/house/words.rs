//! No private words: `words.txt` has them, the plain word beside each, and the exceptions.

use super::source::{assert_none, page, sources};
use std::collections::HashMap;

struct Rule<'a> {
    words: Vec<&'a str>,
    plain: &'a str,
}

struct Exception<'a> {
    file: &'a str,
    words: &'a str,
}

fn rules(list: &str) -> (Vec<Rule<'_>>, Vec<Exception<'_>>) {
    let (rules, exceptions) = list
        .split_once("[exceptions]")
        .expect("a list of exceptions");
    let lines = |part| str::lines(part).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let pair = |line, between| str::split_once(line, between).unwrap_or_else(|| panic!("{line:?}"));
    let rules = lines(rules).map(|line| {
        let (words, plain) = pair(line, " = ");
        let words = words.split_whitespace().collect();
        Rule { words, plain }
    });
    let exceptions = lines(exceptions).map(|line| {
        let (file, rest) = pair(line, ": ");
        let (words, _reason) = pair(rest, " = ");
        Exception { file, words }
    });
    (rules.collect(), exceptions.collect())
}

/// The words of a text with their places: runs of letters, names split at capitals.
fn words_of(text: &str) -> Vec<(usize, &str)> {
    let bytes = text.as_bytes();
    let is_lower = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_lowercase);
    let is_upper = |at: usize| bytes[at].is_ascii_uppercase();
    let mut words = Vec::new();
    let mut start = 0;
    for at in 0..=bytes.len() {
        let is_letter = bytes.get(at).is_some_and(u8::is_ascii_alphabetic);
        // `RunQueue` between n and Q, `HTTPServer` between P and S.
        let splits =
            is_letter && at > start && is_upper(at) && (is_lower(at - 1) || is_lower(at + 1));
        if !is_letter || splits {
            if at > start {
                words.push((start, &text[start..at]));
            }
            start = if splits { at } else { at + 1 };
        }
    }
    words
}

/// Where the text breaks a rule.
fn breaks<'a>(text: &str, rules: &'a [Rule<'a>]) -> Vec<(usize, &'a Rule<'a>)> {
    let mut by_first: HashMap<String, Vec<&Rule>> = HashMap::new();
    for rule in rules {
        let first = rule.words[0].to_lowercase();
        by_first.entry(first).or_default().push(rule);
    }
    let words = words_of(text);
    let is = |word: &str, wanted: &str| {
        let exact = wanted.starts_with(|c: char| c.is_ascii_uppercase());
        word == wanted || !exact && word.eq_ignore_ascii_case(wanted)
    };
    let follows = |one: &(usize, &str), next: &(usize, &str)| {
        let between = &text[one.0 + one.1.len()..next.0];
        between
            .chars()
            .all(|c| c.is_whitespace() || "/!_".contains(c))
    };
    let mut found = Vec::new();
    for (n, (at, word)) in words.iter().enumerate() {
        for rule in by_first.get(&word.to_lowercase()).into_iter().flatten() {
            let run = words.get(n..n + rule.words.len()).unwrap_or_default();
            let same = run
                .iter()
                .zip(&rule.words)
                .all(|((_, word), wanted)| is(word, wanted));
            if !run.is_empty() && same && run.windows(2).all(|two| follows(&two[0], &two[1])) {
                found.push((*at, *rule));
            }
        }
    }
    found
}

#[test]
fn the_library_uses_plain_words() {
    let list = page("tests/it/house/words.txt");
    let (rules, exceptions) = rules(&list);
    let mut used = vec![false; exceptions.len()];
    let mut findings = Vec::new();
    let mut check = |file: &str, text: &str, at: &dyn Fn(usize) -> String| {
        for (offset, rule) in breaks(text, &rules) {
            let words = rule.words.join(" ");
            let mut known = exceptions.iter().zip(&mut used);
            match known.find(|(known, _)| known.file == file && known.words == words) {
                Some((_, used)) => *used = true,
                None => findings.push(format!("{}: `{words}`: {}", at(offset), rule.plain)),
            }
        }
    };
    for source in sources() {
        check(
            &format!("src/{}.rs", source.name),
            &source.text,
            &|offset| source.at(offset),
        );
    }
    let readme = page("src/README.md");
    let line = |offset| {
        format!(
            "src/README.md:{}",
            1 + readme[..offset].matches('\n').count()
        )
    };
    check("src/README.md", &readme, &line);
    assert_none("private words", &findings);
    let stale = exceptions.iter().zip(&used).filter(|(_, used)| !**used);
    let stale: Vec<_> = stale.map(|(stale, _)| (stale.file, stale.words)).collect();
    assert!(
        stale.is_empty(),
        "take them out of the exceptions: {stale:?}"
    );
}

#[test]
fn the_list_is_in_order_and_gives_reasons() {
    let list = page("tests/it/house/words.txt");
    let (rules, _) = rules(&list);
    let words: Vec<_> = rules
        .iter()
        .map(|rule| rule.words.join(" ").to_lowercase())
        .collect();
    assert!(words.is_sorted(), "sort it: {words:?}");
    let empty = list.lines().any(|line| line.trim_end().ends_with('='));
    assert!(
        !empty,
        "a word without a plain one, or an exception without a reason"
    );
}

#[test]
fn words_are_found_whole_and_in_names() {
    let list = "crew = workers\nRemains = cleanup\nsays whether = returns whether\n[exceptions]\n";
    let (rules, _) = rules(list);
    let count = |text| breaks(text, &rules).len();
    for text in [
        "// the crew's",
        "let on_crew = 1;",
        "CREW",
        "struct CrewLock;",
        "\"Crew: {}\"",
        "struct Remains(u8);",
        "/// Says\n    /// whether it is.",
        "fn says_whether()",
    ] {
        assert_eq!(count(text), 1, "{text}");
    }
    for text in [
        "screw crewed",
        "it remains",
        "REMAINS",
        "says. Whether",
        "says it, whether",
    ] {
        assert_eq!(count(text), 0, "{text}");
    }
    let words: Vec<_> = words_of("fn HTTPServer_runQueue8x()")
        .into_iter()
        .map(|(_, word)| word)
        .collect();
    assert_eq!(words, ["fn", "HTTP", "Server", "run", "Queue", "x"]);
}
