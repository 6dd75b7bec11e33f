//! Which schedules a pool has: it owns them, since nobody need hold their handles.
//!
//! Layer 3.

use crate::pool::report::EndedSchedule;
use crate::pool::timer::Tick;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) struct Schedules(Mutex<List>);

#[derive(Default)]
struct List {
    next_key: u64,
    live: BTreeMap<u64, Arc<dyn Tick>>,
    /// Those that a shutdown ended.
    ended: Vec<EndedSchedule>,
}

impl Schedules {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(List::default()))
    }

    /// A key for one that is being made.
    pub(crate) fn key(&self) -> u64 {
        let mut list = self.0.lock();
        list.next_key += 1;
        list.next_key
    }

    /// Takes one in if `is_open`, which is asked under the lock: a pool closes first and then takes out what there is, so
    /// either this sees it closed, or that finds the schedule.
    pub(crate) fn insert(
        &self,
        key: u64,
        schedule: Arc<dyn Tick>,
        is_open: impl FnOnce() -> bool,
    ) -> bool {
        let mut list = self.0.lock();
        let open = is_open();
        if open {
            list.live.insert(key, schedule);
        }
        open
    }

    pub(crate) fn remove(&self, key: u64) {
        let gone = self.0.lock().live.remove(&key);
        drop(gone);
    }

    /// Ends all there are: drops what is the user's of them here.
    pub(crate) fn end_all(&self) {
        let live = std::mem::take(&mut self.0.lock().live);
        for schedule in live.into_values() {
            if let Some(ended) = schedule.end() {
                self.0.lock().ended.push(ended);
            }
        }
    }

    pub(crate) fn ended(&self) -> Vec<EndedSchedule> {
        self.0.lock().ended.clone()
    }
}
