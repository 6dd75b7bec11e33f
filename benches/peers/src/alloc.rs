//! The program's one allocator: the system's or mimalloc, as the environment asks, and a count of
//! the allocations.
//!
//! The allocator is chosen at run time, so that one build measures both. That adds a load and a
//! well-predicted branch to each allocation, alike for all contenders.
//!
//! `GlobalAlloc` needs `unsafe`. It is nowhere else in the package.
#![allow(unsafe_code)]

use mimalloc::MiMalloc;
use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// The variable that names a process's allocator: `mimalloc`, or anything else for the system's.
pub const VARIABLE: &str = "MILLHAND_PEERS_ALLOCATOR";
const C_VARIABLE: &CStr = c"MILLHAND_PEERS_ALLOCATOR";

#[global_allocator]
static ALLOCATOR: Chosen = Chosen;

struct Chosen;

const UNKNOWN: u8 = 0;
const SYSTEM: u8 = 1;
const MIMALLOC: u8 = 2;

/// The chosen allocator. The first allocation writes it. Threads that allocate at the same time
/// may write it too: all of them read the same variable.
static CHOICE: AtomicU8 = AtomicU8::new(UNKNOWN);

// ORDERING: statistics. They publish no other memory, so relaxed is enough.
static COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// What was requested while the count was on. A reallocation counts as an allocation of its new
/// size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub allocations: u64,
    pub bytes: u64,
}

/// Counts the allocations of all threads until `f` returns.
pub fn counted<T>(f: impl FnOnce() -> T) -> (T, Counted) {
    ALLOCATIONS.store(0, Ordering::Relaxed);
    BYTES.store(0, Ordering::Relaxed);
    // ORDERING: keeps the two calls around `f`. Other threads read the flag relaxed: what they
    // allocate at the edges may or may not count.
    COUNTING.store(true, Ordering::SeqCst);
    let value = f();
    COUNTING.store(false, Ordering::SeqCst);
    let counted = Counted {
        allocations: ALLOCATIONS.load(Ordering::Relaxed),
        bytes: BYTES.load(Ordering::Relaxed),
    };
    (value, counted)
}

fn is_mimalloc() -> bool {
    match CHOICE.load(Ordering::Relaxed) {
        UNKNOWN => choose(),
        choice => choice == MIMALLOC,
    }
}

/// Asks libc: `std::env::var` would allocate, and this is part of an allocation.
#[cold]
fn choose() -> bool {
    // SAFETY: the name ends with a zero byte. Nothing changes the environment of this process:
    // the driver sets its children's before they start. The answer is null or a string that ends
    // with a zero byte, and is read at once.
    let mimalloc = unsafe {
        let value = libc::getenv(C_VARIABLE.as_ptr());
        !value.is_null() && CStr::from_ptr(value).to_bytes() == b"mimalloc"
    };
    CHOICE.store(if mimalloc { MIMALLOC } else { SYSTEM }, Ordering::Relaxed);
    mimalloc
}

fn count(bytes: usize) {
    if COUNTING.load(Ordering::Relaxed) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

// SAFETY: each call is passed on unchanged to one of two allocators that keep the contract. It is
// always the same one, since the choice never changes, so memory returns to the allocator that it
// came from.
unsafe impl GlobalAlloc for Chosen {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe {
            if is_mimalloc() {
                MiMalloc.alloc(layout)
            } else {
                System.alloc(layout)
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as above.
        unsafe {
            if is_mimalloc() {
                MiMalloc.alloc_zeroed(layout)
            } else {
                System.alloc_zeroed(layout)
            }
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: as above.
        unsafe {
            if is_mimalloc() {
                MiMalloc.realloc(memory, layout, size)
            } else {
                System.realloc(memory, layout, size)
            }
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe {
            if is_mimalloc() {
                MiMalloc.dealloc(memory, layout);
            } else {
                System.dealloc(memory, layout);
            }
        }
    }
}
