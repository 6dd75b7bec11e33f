//! The program's one allocator: the system's or mimalloc, as the environment says, and a count of what it is asked for.
//!
//! Chosen at run time, so that one build measures both. What that adds to an allocation is a load and a branch that goes
//! the same way every time, alike for all contenders.
//!
//! `unsafe` is here because `GlobalAlloc` is, and nowhere else in the package.
#![allow(unsafe_code)]

use mimalloc::MiMalloc;
use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// Says which allocator a process takes: `mimalloc`, or anything else for the system's.
pub const VARIABLE: &str = "MILLHAND_PEERS_ALLOCATOR";
const C_VARIABLE: &CStr = c"MILLHAND_PEERS_ALLOCATOR";

#[global_allocator]
static ALLOCATOR: Chosen = Chosen;

struct Chosen;

const UNKNOWN: u8 = 0;
const SYSTEM: u8 = 1;
const MIMALLOC: u8 = 2;

/// Written at the first allocation, and by whoever comes at the same time: all read the same variable.
static CHOICE: AtomicU8 = AtomicU8::new(UNKNOWN);

// Statistics: nothing is published by them, so that relaxed is enough.
static COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// What has been asked for while it was counted. A reallocation is an allocation of its new size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub allocations: u64,
    pub bytes: u64,
}

/// Counts what `f` and all other threads ask for until it returns.
pub fn counted<T>(f: impl FnOnce() -> T) -> (T, Counted) {
    ALLOCATIONS.store(0, Ordering::Relaxed);
    BYTES.store(0, Ordering::Relaxed);
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

/// Asks libc: `std::env::var` would allocate, which is what this is on the way to.
#[cold]
fn choose() -> bool {
    // SAFETY: the name ends with a zero byte. Nobody changes the environment of this process: the driver sets its
    // children's before they start. The answer is null or a string that ends with a zero byte, and is read at once.
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

// SAFETY: each call is handed on as it is to one of two allocators that keep the contract, and always to the same one,
// since the choice never changes; so memory goes back to where it came from.
unsafe impl GlobalAlloc for Chosen {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are handed on.
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
