//! The example `consumer`: it runs to its end and prints what it measured.

use crate::checksum::example;
use std::process::Command;

#[test]
fn it_prints_its_measurements_beside_the_prototype_s_and_the_limit() {
    let output = Command::new(example("consumer")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let row = |what: &str| {
        let line = printed.lines().find(|line| line.starts_with(what));
        line.unwrap_or_else(|| panic!("no row `{what}` in {printed}"))
    };
    assert!(row("submit time").len() > "submit time".len());
    assert!(row("total").ends_with("6.526 s     6.000 s"), "{printed}");
    assert!(row("concurrency efficiency").ends_with("229.8 %     250.0 %"));
    // Five tasks of three seconds on four workers take two rounds, whatever the machine.
    let words: Vec<_> = row("total").split_whitespace().collect();
    let seconds: f64 = words[1].parse().unwrap();
    assert!(seconds >= 6.0, "{printed}");
}
