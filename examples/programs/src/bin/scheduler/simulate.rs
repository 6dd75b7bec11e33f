//! What would run when.
//
// The times come from `Cron::next_after`, from which the schedules of a pool have theirs. The same
// table on a pool with a manual clock gives the same runs, as the test below checks, but each of
// them takes a turn of two threads then: a year would take seconds.

use crate::table::Entry;
use jiff::Timestamp;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

/// Prints the runs of a scheduler that starts at `from`, in order, up to `span` later: the local
/// time in the zone of the entry, the name or a `-`, the command.
pub(crate) fn print(
    entries: &[Entry],
    from: Timestamp,
    span: Duration,
    out: &mut impl Write,
) -> io::Result<()> {
    let width = entries.iter().map(|entry| name(entry).chars().count());
    let width = width.max().unwrap_or(0);
    for (time, index) in runs(entries, from.into(), span) {
        let entry = &entries[index];
        let time = Timestamp::try_from(time).map_err(io::Error::other)?;
        let local = time.to_zoned(entry.zone.clone());
        let local = local.strftime("%Y-%m-%dT%H:%M:%S%.f%:z");
        writeln!(out, "{local}  {:width$}  {}", name(entry), entry.command)?;
    }
    out.flush()
}

fn name(entry: &Entry) -> &str {
    entry.name.as_deref().unwrap_or("-")
}

/// The runs after `from`, up to `span` later: when, and of which entry.
fn runs(
    entries: &[Entry],
    from: SystemTime,
    span: Duration,
) -> impl Iterator<Item = (SystemTime, usize)> {
    let end = from.checked_add(span);
    let next = move |index: usize, time| {
        let next = entries[index].when.next_after(time)?;
        end.is_none_or(|end| next <= end).then_some((next, index))
    };
    let firsts = (0..entries.len()).filter_map(|index| next(index, from));
    let mut due: BinaryHeap<_> = firsts.map(Reverse).collect();
    std::iter::from_fn(move || {
        let Reverse((time, index)) = due.pop()?;
        due.extend(next(index, time).map(Reverse));
        Some((time, index))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::parse;
    use millhand::testing::ManualClock;
    use millhand::{CancelToken, ThreadPool};
    use std::sync::{Arc, Mutex};

    const TABLE: &str = "\
TZ=Europe/Berlin
30 2 * * * [name=nightly] backup
*/20 * * * * [name=often] poll
@every 7h ping
TZ=America/New_York
0 9 * * MON-FRI [name=office] open
@weekly [name=week] report
";

    /// Over both changes of the clocks in Berlin, and one in New York.
    #[test]
    fn schedules_of_a_pool_run_at_the_same_times() {
        let entries = parse(TABLE.as_bytes()).unwrap();
        for from in ["2026-03-27T22:59:30Z", "2026-10-24T12:00Z"] {
            let from = SystemTime::from(from.parse::<Timestamp>().unwrap());
            let span = Duration::from_secs(9 * 24 * 3600);
            let mut printed: Vec<_> = runs(&entries, from, span).collect();
            assert!(printed.len() > 600);
            assert!(printed.is_sorted());

            let clock = ManualClock::new();
            clock.set_wall(from);
            let pool = ThreadPool::builder().workers(2).clock(&clock);
            let pool = pool.build().unwrap();
            let done = Arc::new(Mutex::new(Vec::new()));
            let start = |(index, entry): (usize, &Entry)| {
                let (clock, done) = (clock.clock(), done.clone());
                let body = move || {
                    done.lock().unwrap().push((clock.wall(), index));
                    Ok(())
                };
                let schedule = entry.schedule(&pool, &CancelToken::new(), body);
                schedule.unwrap()
            };
            let schedules: Vec<_> = entries.iter().enumerate().map(start).collect();
            loop {
                let next = schedules.iter().filter_map(|one| one.next_run()).min();
                let now = clock.clock().wall();
                let next = next.unwrap();
                if next > from + span {
                    break;
                }
                clock.advance(next.duration_since(now).unwrap());
                pool.wait_idle().unwrap();
            }
            let mut done = done.lock().unwrap().clone();
            // Two runs that are due at the same time may go in either order.
            done.sort();
            printed.sort();
            assert_eq!(done, printed);
        }
    }

    #[test]
    fn a_span_without_an_end_is_no_error() {
        let entries = parse(b"@yearly report").unwrap();
        let mut runs = runs(&entries, SystemTime::UNIX_EPOCH, Duration::MAX);
        assert!(runs.next().is_some());
    }
}
