//! The example `consumer`: it runs to its end and prints what it measured.

use crate::example::example;
use std::process::Command;

/// What the example prints under one headline.
struct Section<'a>(Vec<&'a str>);

impl<'a> Section<'a> {
    fn of(printed: &'a str, headline: &str) -> Self {
        let mut sections = printed.split("\n\n");
        let section = sections.find(|section| section.starts_with(headline));
        let section = section.unwrap_or_else(|| panic!("no section `{headline}` in {printed}"));
        Self(section.lines().collect())
    }

    fn row(&self, what: &str) -> &'a str {
        let line = self.0.iter().find(|line| line.starts_with(what));
        line.unwrap_or_else(|| panic!("no row `{what}` in {:?}", self.0))
    }

    /// The figures of a row, without their units.
    fn figures(&self, what: &str) -> Vec<f64> {
        let rest = &self.row(what)[what.len()..];
        numbers(rest)
    }
}

fn numbers(text: &str) -> Vec<f64> {
    let words = text.split_whitespace();
    words.filter_map(|word| word.parse().ok()).collect()
}

// One test, as each run takes its fourteen seconds. Nothing here hangs on the machine's speed: a rate, a delay, a bound
// and the length of the work have each a least time, and no greatest one is asked for.
#[test]
fn it_prints_its_measurements_beside_the_prototype_s_and_the_limits() {
    let output = Command::new(example("consumer")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();

    // Five tasks of three seconds on four workers take two rounds, whatever the machine.
    let five = Section::of(&printed, "5 tasks of 3s at once");
    assert!(five.row("submit time").len() > "submit time".len());
    assert!(
        five.row("total").ends_with("6.526 s     6.000 s"),
        "{printed}"
    );
    assert!(
        five.row("concurrency efficiency")
            .ends_with("229.8 %     250.0 %")
    );
    assert!(five.figures("total")[0] >= 6.0, "{printed}");

    // Three chains of three steps: each as long as its steps are, and no longer for the others.
    let chains = Section::of(&printed, "3 chains of 3 steps");
    assert_eq!(chains.figures("steps"), [9.0]);
    assert!(
        chains.row("total").ends_with("2.5 s     2.500 s"),
        "{printed}"
    );
    assert!(chains.figures("total")[0] >= 2.5, "{printed}");

    // Thirty starts, the last no earlier than 29 tenths of a second after the submitting began.
    let rated = Section::of(&printed, "30 tasks, 10 a second");
    let starts: Vec<_> = rated.0[1..4]
        .iter()
        .flat_map(|line| numbers(line))
        .collect();
    assert_eq!((starts.len(), starts[0]), (30, 0.0), "{printed}");
    assert!(starts.is_sorted(), "{printed}");
    let total = rated.figures("total");
    assert!(total[0] >= 2.9 && total[1] == 2.9, "{printed}");
    let spacing = |which: &str| rated.figures(&format!("{which} spacing"))[0];
    let spacings = [spacing("least"), spacing("median"), spacing("greatest")];
    assert!(spacings.is_sorted(), "{printed}");
    // The figures are rounded, to half a millisecond each.
    assert!(spacings[2] <= 1e3 * starts[29] + 1.0 && 29.0 * spacings[0] <= 1e3 * starts[29] + 1.0);

    // Each attempt hears what the one before failed with, and is put off as the policy says, or longer.
    let flaky = Section::of(&printed, "a flaky task");
    let attempts: Vec<_> = flaky
        .0
        .iter()
        .filter(|line| line.starts_with("attempt"))
        .collect();
    let errors = ["none", "connection refused", "timed out"];
    assert_eq!(attempts.len(), errors.len(), "{printed}");
    for (number, error) in (1..).zip(errors) {
        let what = format!("attempt {number}");
        assert!(flaky.row(&what).ends_with(error), "{printed}");
        match flaky.figures(&what)[..] {
            [] => assert_eq!(number, 1, "{printed}"),
            [put_off, policy] => assert!(number > 1 && put_off >= policy, "{printed}"),
            _ => panic!("{printed}"),
        }
    }
    assert_eq!(flaky.figures("attempt 2")[1], 0.2);
    assert_eq!(flaky.figures("attempt 3")[1], 0.4);
    let total = flaky.figures("total");
    assert!(total[0] >= 0.6 && total[1] == 0.6, "{printed}");

    // Never more than two at once, so six of half a second take three rounds.
    let batch = Section::of(&printed, "6 tasks of 500ms, 2 at a time");
    let at_once = batch.figures("most at once");
    assert!(
        (1.0..=2.0).contains(&at_once[0]) && at_once[1] == 2.0,
        "{printed}"
    );
    let total = batch.figures("total");
    assert!(total[0] >= 1.5 && total[1] == 1.5, "{printed}");
    assert!(batch.row("another task begins").len() > "another task begins".len());

    // The table has them all, beside the limits; no schedule ticks more often than time allows.
    let table = Section::of(&printed, "all of it");
    for (what, limit) in [
        ("five at once", 6.0),
        ("three chains", 2.5),
        ("ten a second", 2.9),
        ("third time lucky", 0.6),
        ("two at a time", 1.5),
    ] {
        let figures = table.figures(what);
        assert_eq!(figures.last(), Some(&limit), "{printed}");
        assert!(figures[0] >= limit, "{printed}");
    }
    let ticks = table.figures("ticks, one in 250ms");
    assert!(0.0 < ticks[0] && ticks[0] <= ticks[1] + 1.0, "{printed}");
}

#[test]
fn it_takes_no_argument_but_help() {
    let run = |argument| Command::new(example("consumer")).arg(argument).output();
    let help = run("--help").unwrap();
    assert!(help.status.success() && help.stdout.starts_with(b"usage: consumer"));
    let refused = run("--fast").unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("no argument: `--fast`"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_takes_nothing_is_named_and_ends_it_with_1() {
    let full = std::fs::File::options().write(true).open("/dev/full");
    let mut command = Command::new(example("consumer"));
    let output = command.stdout(full.unwrap()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("standard output: No space left"), "{error}");
    assert!(!error.contains("panicked"), "{error}");
}
