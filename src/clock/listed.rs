//! The table of threads for which a condvar is not enough when their monitor is notified: those
//! that wait by a test's clock, and workers, which get their run slot back.
//
// The table is the process's own, as the one of parking_lot is, so that a monitor needs no room
// for such threads. An entry lives as long as the wait, which borrows the monitor, so no two
// monitors in the table have the same address. While no such thread waits, a notification pays one
// load.

use crate::sync::waiter::ClockWaiter;
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many threads are in the table. Every notification reads it, so it shares its cache line with
/// nothing that is written.
static LISTED: CachePadded<AtomicUsize> = CachePadded::new(AtomicUsize::new(0));

const SHARDS: usize = 16;

/// Threads, each with the address of the monitor that it waits at.
type Shard = Mutex<Vec<(usize, Arc<dyn ClockWaiter>)>>;

static TABLE: [Shard; SHARDS] = [const { Mutex::new(Vec::new()) }; SHARDS];

fn shard(address: usize) -> &'static Shard {
    // What is allocated lies at multiples of 16.
    &TABLE[address / 16 % SHARDS]
}

/// Notifies the threads that wait at the monitor with this address. Called after its lock was held.
#[inline]
pub(crate) fn notify_at(address: usize, all: bool) {
    // ORDERING: relaxed, since the lock of the monitor orders it: who was listed before that lock
    // was taken is counted.
    if LISTED.load(Ordering::Relaxed) > 0 {
        notify_listed(address, all);
    }
}

#[cold]
fn notify_listed(address: usize, all: bool) {
    let shard = shard(address).lock();
    let here = shard.iter().filter(|(at, _)| *at == address);
    here.for_each(|(_, listener)| listener.notified(all));
}

/// The only thread that waits at the monitor with this address is about to be notified.
pub(crate) fn unsettle_at(address: usize) {
    // ORDERING: as in `notify_at`.
    if LISTED.load(Ordering::Relaxed) > 0 {
        let shard = shard(address).lock();
        let here = shard.iter().filter(|(at, _)| *at == address);
        here.for_each(|(_, listener)| listener.settles(false));
    }
}

/// An entry of the table, until it is dropped. Made and dropped with the lock of the monitor held.
pub(crate) struct Listed(usize, Arc<dyn ClockWaiter>);

impl Listed {
    pub(crate) fn new(address: usize, listener: Arc<dyn ClockWaiter>) -> Self {
        shard(address).lock().push((address, listener.clone()));
        LISTED.fetch_add(1, Ordering::Relaxed);
        Self(address, listener)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let Self(address, listener) = self;
        LISTED.fetch_sub(1, Ordering::Relaxed);
        let mut shard = shard(*address).lock();
        let is_mine = |(at, other): &(usize, _)| at == address && Arc::ptr_eq(other, listener);
        let mine = shard.iter().position(is_mine);
        mine.map(|at| shard.remove(at));
    }
}
