//! One task at a time, submitted and joined, while nothing else runs.

use super::{Against, Aim, Row, Unit, cores, middle_half, words};
use crate::contenders::{self, POOLS, Pool, with_pool};
use std::hint::black_box;
use std::time::Instant;

const PLACES: usize = 5;
const TRIPS: usize = 1_000;

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
    let words = words();
    let mut trips = Vec::with_capacity(PLACES * TRIPS);
    // The system places a pool's threads once, and that placement decides much of a trip's time.
    // So several pools are measured, one after the other.
    for _ in 0..PLACES {
        let pool = P::new(workers);
        for trip in 0..TRIPS + TRIPS / 10 {
            let start = Instant::now();
            black_box(pool.join(pool.submit(move || words[0])));
            let took = start.elapsed();
            if trip >= TRIPS / 10 {
                trips.push(took.as_nanos() as f64 / 1e3);
            }
        }
    }
    middle_half(trips)
}
