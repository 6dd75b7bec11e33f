//! A backlog of tasks that wait for their children, and a tree of them, by each kind of wait: a
//! handful of threads must be enough, whatever the bound is.

use crate::waits::{FEW, TREES, WAITS, backlog, whole_tree};
use std::process::ExitCode;
use std::time::Instant;

const OUTER: u64 = 100_000;
const DEPTH: u32 = 5;
const NODES: u64 = 111_111;

pub(crate) fn run() -> ExitCode {
    let mut are_few = true;
    let mut print = |what: &str, kind: &str, spares: usize, begun: Instant, most: usize| {
        let seconds = begun.elapsed().as_secs_f64();
        println!("{what:<8} {kind:<24} {spares:>6} spares {most:>6} threads {seconds:>8.2} s");
        are_few &= most <= FEW;
    };
    for spares in [256, 0] {
        for (kind, wait) in WAITS {
            let begun = Instant::now();
            let most = backlog(wait, OUTER, spares);
            print("backlog", kind, spares, begun, most);
        }
        for (kind, wait) in TREES {
            let begun = Instant::now();
            let (nodes, most) = whole_tree(wait, DEPTH, spares);
            assert!(nodes == NODES || kind == "race", "{kind}: {nodes} nodes");
            print("tree", kind, spares, begun, most);
        }
    }
    if are_few {
        return ExitCode::SUCCESS;
    }
    eprintln!("broken: more than {FEW} threads");
    ExitCode::FAILURE
}
