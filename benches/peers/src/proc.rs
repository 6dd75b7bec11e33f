//! What Linux reports about this process in /proc. Other systems have no such figures, and the
//! functions here panic.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The folders of all threads.
pub fn threads() -> Vec<PathBuf> {
    let folder = fs::read_dir("/proc/self/task").expect("/proc/self/task");
    folder.map(|entry| entry.unwrap().path()).collect()
}

/// Returns none if the thread has ended meanwhile.
fn read(thread: &Path, file: &str) -> Option<String> {
    fs::read_to_string(thread.join(file)).ok()
}

/// The processor time of all living threads. The time of threads that have ended is not included.
pub fn processor_time() -> Duration {
    processor_time_of(&threads())
}

pub fn processor_time_of(threads: &[PathBuf]) -> Duration {
    let of = |thread: &PathBuf| -> u64 {
        let text = read(thread, "schedstat").unwrap_or_default();
        let first = text.split_whitespace().next();
        first.map_or(0, |nanos| nanos.parse().unwrap())
    };
    Duration::from_nanos(threads.iter().map(of).sum())
}

/// How often a thread has waited for a lock, a condition or the clock.
pub fn waits(thread: &Path) -> u64 {
    let text = read(thread, "status").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.map_or(0, |count| count.trim().parse().unwrap())
}

/// Returns whether a thread is on a processor or ready for one.
pub fn is_running(thread: &Path) -> bool {
    let text = read(thread, "stat").unwrap_or_default();
    // The state follows the name. The name is in brackets and may contain anything.
    text.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('R'))
}

/// The memory that the process has pages for, counted page by page. /proc/self/statm is quicker
/// and off by some pages per thread.
pub fn resident_bytes() -> u64 {
    let text = fs::read_to_string("/proc/self/smaps_rollup").expect("/proc/self/smaps_rollup");
    kilobytes(&text, "Rss:") * 1024
}

/// The memory that can be used before the machine is short of it.
pub fn available_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").expect("/proc/meminfo");
    kilobytes(&text, "MemAvailable:") * 1024
}

fn kilobytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number.expect(name).trim().parse().unwrap()
}
