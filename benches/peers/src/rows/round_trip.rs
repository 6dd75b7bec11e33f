//! One task at a time, there and back, and nobody else at work.

use super::{Against, Aim, Row, Unit, cores, words};
use crate::contenders::{self, POOLS, Pool, with_pool};
use std::hint::black_box;
use std::time::Instant;

const TRIPS: usize = 5_000;

pub const ROUND_TRIP: Row = Row {
    key: "round-trip",
    title: "round trip of one task: idle pool, as many workers as cores",
    unit: Unit::Micros,
    contenders: contenders::ALL,
    yardsticks: &[],
    aims: &[Aim {
        against: Against::BestPeer,
        bound: 0.20,
    }],
    measure: |contender| with_pool!(contender, round_trip(cores())),
};

pub const ROUND_TRIP_1: Row = Row {
    key: "round-trip-1",
    title: "round trip of one task: idle pool of one worker",
    contenders: POOLS,
    measure: |contender| with_pool!(contender, round_trip(1)),
    ..ROUND_TRIP
};

fn round_trip<P: Pool>(workers: usize) -> f64 {
    let pool = P::new(workers);
    let words = words();
    let mut trips = Vec::with_capacity(TRIPS);
    for trip in 0..TRIPS + TRIPS / 10 {
        let start = Instant::now();
        black_box(pool.join(pool.submit(move || words[0])));
        let took = start.elapsed();
        if trip >= TRIPS / 10 {
            trips.push(took.as_nanos() as f64 / 1e3);
        }
    }
    middle_half(trips)
}

/// The mean of the middle half: the few trips that the machine's other work fell into do not count, and of those that do
/// none decides alone, as a median would have it when there are two ways that a trip may go.
fn middle_half(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let quarter = figures.len() / 4;
    let middle = &figures[quarter..figures.len() - quarter];
    middle.iter().sum::<f64>() / middle.len() as f64
}
