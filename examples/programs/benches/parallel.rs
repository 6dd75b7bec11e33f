//! What a command costs beside the command: `parallel` and `xargs -P`, in alternating rounds.
//!
//!     cargo bench --manifest-path examples/programs/Cargo.toml --bench parallel [-- --quick]
//!
//! All run the same command, `true` in a shell, for each line. The outputs of `xargs` mix, and
//! those of `parallel` are kept together, so the last row does what `xargs` does not.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

struct Contender {
    name: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
}

const CONTENDERS: [Contender; 4] = [
    Contender {
        name: "xargs -P N -I{} sh -c 'true {}'",
        program: "xargs",
        arguments: &["-P", "N", "-I{}", "sh", "-c", "true {}"],
    },
    Contender {
        name: "xargs -P N -n1 sh -c true",
        program: "xargs",
        arguments: &["-P", "N", "-n1", "sh", "-c", "true"],
    },
    Contender {
        name: "parallel -j N true {}",
        program: env!("CARGO_BIN_EXE_parallel"),
        arguments: &["-j", "N", "true", "{}"],
    },
    Contender {
        name: "parallel -j N -k --journal J true {}",
        program: env!("CARGO_BIN_EXE_parallel"),
        arguments: &["-j", "N", "-k", "--journal", "J", "true", "{}"],
    },
];

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let (commands, rounds) = if is_quick { (100, 3) } else { (500, 7) };
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("parallel-bench");
    fs::create_dir_all(&directory).expect("a directory for the input");
    let input = directory.join("input");
    let lines: String = (0..commands).map(|n| format!("{n}\n")).collect();
    fs::write(&input, lines).expect("the input");

    println!(
        "{commands} commands, {rounds} rounds; median time per command, and its ratio to the first"
    );
    for at_once in ["1", "2", "8"] {
        let mut times = [const { Vec::new() }; CONTENDERS.len()];
        for _ in 0..rounds {
            for (contender, times) in CONTENDERS.iter().zip(&mut times) {
                times.push(round(
                    contender,
                    at_once,
                    &input,
                    &directory.join("journal"),
                ));
            }
        }
        println!("N = {at_once}");
        let medians = times.map(|mut times| {
            times.sort();
            times[times.len() / 2] / commands
        });
        for (contender, median) in CONTENDERS.iter().zip(medians) {
            let ratio = median.as_secs_f64() / medians[0].as_secs_f64();
            let micros = median.as_secs_f64() * 1e6;
            println!("  {:38} {micros:8.1} us  {ratio:5.2}", contender.name);
        }
    }
    let _ = fs::remove_dir_all(directory);
}

fn round(contender: &Contender, at_once: &str, input: &PathBuf, journal: &PathBuf) -> Duration {
    let _ = fs::remove_file(journal);
    let mut command = Command::new(contender.program);
    for argument in contender.arguments {
        match *argument {
            "N" => command.arg(at_once),
            "J" => command.arg(journal),
            argument => command.arg(argument),
        };
    }
    command.stdin(File::open(input).expect("the input"));
    let begun = Instant::now();
    let status = command.stdout(Stdio::null()).status();
    let took = begun.elapsed();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{}",
        contender.name
    );
    took
}
