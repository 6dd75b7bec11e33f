//! The program `dupes` beside `jdupes`: the groups that both find in a tree, and their times.
//!
//!     cargo bench --manifest-path examples/programs/Cargo.toml --bench dupes -- [--quick] [DIR]
//!
//! The tree is `/usr/share` unless another one is named. Both must find the same groups. Then they
//! run by turns, with what they read in the cache, and medians are printed. `jdupes -Q` trusts its
//! hash, of 64 bits, as `dupes` trusts one of 256 bits; plain `jdupes` compares the contents, too.

#[path = "../tests/it/support/groups.rs"]
mod groups;

use crate::groups::{files, groups, jdupes};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

fn main() {
    let mut rounds = 21;
    let mut dir = PathBuf::from("/usr/share");
    for argument in std::env::args_os().skip(1) {
        match argument.to_str() {
            Some("--bench") => {} // from cargo
            Some("--quick") => rounds = 3,
            _ => dir = argument.into(),
        }
    }
    let (ours, same) = (groups(&dupes(&dir)), groups(&theirs(&dir, &[])));
    assert_eq!(files(&ours), files(&same), "in {}", dir.display());
    println!(
        "{}: both find the same {} groups",
        dir.display(),
        ours.len()
    );

    let contenders: [(&str, &dyn Fn()); 3] = [
        ("dupes", &|| drop(dupes(&dir))),
        ("jdupes", &|| drop(theirs(&dir, &[]))),
        ("jdupes -Q", &|| drop(theirs(&dir, &["-Q"]))),
    ];
    let mut times = contenders.map(|_| Vec::new());
    for _ in 0..rounds {
        for ((_, run), times) in contenders.iter().zip(&mut times) {
            let begun = Instant::now();
            run();
            times.push(begun.elapsed());
        }
    }
    let medians = times.map(median);
    for ((name, _), time) in contenders.iter().zip(medians) {
        let ratio = time.as_secs_f64() / medians[0].as_secs_f64();
        println!(
            "{name:10} {:7.1} ms  {ratio:.2} x dupes",
            time.as_secs_f64() * 1e3
        );
    }
    println!("medians of {rounds} rounds");
}

fn dupes(dir: &Path) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dupes"));
    command.arg("--null").arg(dir);
    let output = command.output().expect("cargo has built it");
    assert!(
        output.status.success(),
        "dupes: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// What `jdupes` prints.
fn theirs(dir: &Path, options: &[&str]) -> Vec<u8> {
    let output = jdupes(dir, options).output();
    let output = output.unwrap_or_else(|error| {
        panic!("jdupes, to compare with, is needed: install the package of that name ({error})")
    });
    output.stdout
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
