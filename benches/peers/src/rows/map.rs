//! A closure over a collection, results in order: many small items, and items of very different
//! sizes.

use super::work::{steps, work};
use super::{Against, Aim, Row, Unit, cores, nanos_each};
use crate::contenders::MILLHAND;
use rayon::prelude::*;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// The peer: it takes any iterator, as `map` does.
const PAR_BRIDGE: &str = "par_bridge";
/// This one knows how many items there are and where each one is. `map` does not.
const PAR_ITER: &str = "par_iter";

pub const MAP: Row = Row {
    key: "map",
    title: "map over 1,000,000 items of 100 ns",
    unit: Unit::NanosPerItem,
    contenders: &[MILLHAND, PAR_BRIDGE, PAR_ITER],
    yardsticks: &[PAR_ITER],
    aims: &[
        Aim {
            against: Against::BestPeer,
            bound: 1.00,
        },
        Aim {
            against: Against::Contender(PAR_ITER),
            bound: 1.10,
        },
    ],
    measure: |contender| {
        map(
            contender,
            &vec![steps(Duration::from_nanos(100)); 1_000_000],
        )
    },
};

pub const MAP_SKEWED: Row = Row {
    key: "map-skewed",
    title: "map over 50,000 items of 1 µs, one in 100 of 100 µs",
    measure: |contender| {
        let base = steps(Duration::from_micros(1));
        let item = |n: usize| if n % 100 == 7 { 100 * base } else { base };
        map(contender, &(0..50_000).map(item).collect::<Vec<_>>())
    },
    ..MAP
};

type Map = Box<dyn Fn(&[u64]) -> Vec<u64>>;

/// Each item is the number of steps that it takes.
fn map(contender: &str, items: &[u64]) -> f64 {
    let of = |steps: &u64| work(*steps);
    let run: Map = match contender {
        MILLHAND => {
            let pool = millhand::ThreadPool::new(cores()).unwrap();
            Box::new(move |items| pool.map(items, of))
        }
        PAR_BRIDGE => {
            let pool = rayon_pool();
            Box::new(move |items| pool.install(|| items.iter().par_bridge().map(of).collect()))
        }
        PAR_ITER => {
            let pool = rayon_pool();
            Box::new(move |items| pool.install(|| items.par_iter().map(of).collect()))
        }
        other => panic!("no map by {other:?}"),
    };
    black_box(run(&items[..items.len() / 10]));
    let start = Instant::now();
    black_box(run(items));
    nanos_each(start.elapsed(), items.len() as u64)
}

fn rayon_pool() -> rayon::ThreadPool {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(cores());
    pool.build().unwrap()
}
