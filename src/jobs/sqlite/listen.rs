//! Wakes those that wait for news, of this process and of others.
//!
//! Layer: jobs.
//
// A transaction with news adds one to the number `news` in `mh_meta`. After the commit, the writer
// wakes those that wait in this process, and sends a datagram to the port of each other process, as
// `mh_port` has it. Since a datagram may be lost, or be forbidden, a process with waits also looks
// at `PRAGMA data_version` every 100 ms. A heartbeat or a claim changes that, too. So the number
// decides whether there is news, and an idle consumer does not wake another one.
//
// No news is missed: `seen` is the number up to which those that wait were woken. The writer counts
// it up for its own news, if that follows on `seen`. If not, another process has committed news in
// between. Then `seen` stays, and the listener finds that there is more.

use crate::jobs::bell::Bell;
use crate::jobs::id::JobId;
use crate::jobs::sqlite::statements as sql;
use crate::jobs::sqlite::work::{self, News, Outcome};
use parking_lot::Mutex;
use rusqlite::Connection;
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// How often the listener looks by itself.
const LOOK: Duration = Duration::from_millis(100);

/// A port is stored for so long, and again each time that half of this has passed.
pub(super) const PORT_FOR: Duration = Duration::from_secs(120);

/// The bells of this process.
#[derive(Debug, Default)]
pub(super) struct Bells {
    lists: Mutex<Lists>,
    /// Wakes the listener: there is a bell, or the storage closes.
    pub(super) change: Bell,
    is_closed: AtomicBool,
    /// The number of the last news for which bells were to ring.
    seen: Mutex<i64>,
}

#[derive(Debug, Default)]
struct Lists {
    last: u64,
    queues: HashMap<u64, (Vec<String>, Bell)>,
    jobs: HashMap<JobId, Vec<(u64, Bell)>>,
}

impl Bells {
    pub(super) fn new(seen: i64) -> Self {
        let bells = Self::default();
        *bells.seen.lock() = seen;
        bells
    }

    pub(super) fn add_queues(&self, queues: Vec<String>, bell: Bell) -> u64 {
        let mut lists = self.lists.lock();
        lists.last += 1;
        let number = lists.last;
        lists.queues.insert(number, (queues, bell));
        drop(lists);
        self.change.ring();
        number
    }

    pub(super) fn add_job(&self, job: JobId, bell: Bell) -> u64 {
        let mut lists = self.lists.lock();
        lists.last += 1;
        let number = lists.last;
        lists.jobs.entry(job).or_default().push((number, bell));
        drop(lists);
        self.change.ring();
        number
    }

    pub(super) fn remove_queues(&self, number: u64) {
        self.lists.lock().queues.remove(&number);
    }

    pub(super) fn remove_job(&self, job: JobId, number: u64) {
        let mut lists = self.lists.lock();
        if let Some(bells) = lists.jobs.get_mut(&job) {
            bells.retain(|(known, _)| *known != number);
            if bells.is_empty() {
                lists.jobs.remove(&job);
            }
        }
    }

    fn is_empty(&self) -> bool {
        let lists = self.lists.lock();
        lists.queues.is_empty() && lists.jobs.is_empty()
    }

    pub(super) fn close(&self) {
        // ORDERING: relaxed. The listener locks the bell before it looks, and so does the ring.
        self.is_closed.store(true, Relaxed);
        self.change.ring();
    }

    /// Has those bells ring that are for what this process committed as the news of this number.
    pub(super) fn ring(&self, news: &News, number: i64) {
        let mut seen = self.seen.lock();
        if *seen == number - 1 {
            *seen = number;
        }
        drop(seen);
        self.ring_some(|queue| news.queues.contains(queue), &news.ended);
    }

    /// Has all bells ring.
    pub(super) fn ring_all(&self) {
        self.ring_some(|_| true, &self.watched());
    }

    /// The jobs whose ends are waited for.
    fn watched(&self) -> Vec<JobId> {
        self.lists.lock().jobs.keys().copied().collect()
    }

    fn ring_some(&self, is_meant: impl Fn(&String) -> bool, jobs: &[JobId]) {
        let lists = self.lists.lock();
        let queues = lists.queues.values();
        let of_queues = queues.filter(|(queues, _)| queues.iter().any(&is_meant));
        let of_queues = of_queues.map(|(_, bell)| bell);
        let of_jobs = jobs.iter().filter_map(|id| lists.jobs.get(id)).flatten();
        let of_jobs = of_jobs.map(|(_, bell)| bell);
        let bells: Vec<Bell> = of_queues.chain(of_jobs).cloned().collect();
        drop(lists);
        bells.iter().for_each(Bell::ring);
    }

    /// Returns whether there is news up to this number of which some is new here.
    fn has_news(&self, number: i64) -> bool {
        let mut seen = self.seen.lock();
        let is_new = *seen < number;
        *seen = number.max(*seen);
        is_new
    }
}

/// Binds the socket to which other processes send datagrams.
pub(super) fn socket() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(LOOK))?;
    Ok(socket)
}

/// The thread that listens.
#[derive(Debug)]
pub(super) struct Listener<'a> {
    conn: &'a Connection,
    bells: &'a Bells,
    socket: Option<&'a UdpSocket>,
    /// That of the file when it was read last.
    version: Option<i64>,
}

impl<'a> Listener<'a> {
    pub(super) fn new(
        conn: &'a Connection,
        bells: &'a Bells,
        socket: Option<&'a UdpSocket>,
    ) -> Self {
        Self {
            conn,
            bells,
            socket,
            version: None,
        }
    }

    /// Runs until the storage closes. Calls `refresh` again and again while there are bells.
    pub(super) fn run(&mut self, mut refresh: impl FnMut()) {
        loop {
            let change = self.bells.change.listen();
            if self.bells.is_closed.load(Relaxed) {
                return;
            }
            if self.bells.is_empty() {
                let _ = change.wait_timeout(Duration::MAX);
                continue;
            }
            match self.socket {
                // An error is a time-out, or ends the wait as well.
                Some(socket) => drop(socket.recv(&mut [0])),
                None => drop(change.wait_timeout(LOOK)),
            };
            // What cannot be read now is read next time.
            let _ = self.look();
            refresh();
        }
    }

    fn look(&mut self) -> Outcome<()> {
        let version = work::one(self.conn, "PRAGMA data_version", [], |row| row.get(0))?;
        if version == self.version {
            return Ok(());
        }
        let number = work::one(self.conn, sql::NEWS, [], |row| row.get(0))?;
        if number.is_some_and(|number| self.bells.has_news(number)) {
            // One that cannot be looked at counts as ended: a bell may ring for nothing.
            let is_live = |id: &JobId| {
                let key = [work::from_id(*id)];
                matches!(
                    work::one(self.conn, sql::IS_LIVE, key, |_| Ok(())),
                    Ok(Some(()))
                )
            };
            let mut ended = self.bells.watched();
            ended.retain(|id| !is_live(id));
            self.bells.ring_some(|_| true, &ended);
        }
        self.version = version;
        Ok(())
    }
}
