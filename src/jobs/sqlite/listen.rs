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

use crate::jobs::id::{JobId, SessionId};
use crate::jobs::notifier::Notifier;
use crate::jobs::sqlite::statements as sql;
use crate::jobs::sqlite::work::{self, News, Outcome};
use parking_lot::Mutex;
use rusqlite::Connection;
use std::collections::HashMap;
use std::io;
use std::mem;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// How often the listener looks by itself.
const LOOK: Duration = Duration::from_millis(100);

/// So many looks that find nothing new are a time of rest.
const LOOKS_AT_REST: u32 = 10;

/// A WAL of more bytes than this is cut off in a time of rest.
const MOST_WAL: u64 = 4 << 20;

/// A port is stored for so long, and again each time that half of this has passed.
pub(super) const PORT_FOR: Duration = Duration::from_secs(120);

/// The notifiers of this process.
#[derive(Debug, Default)]
pub(super) struct Notifiers {
    lists: Mutex<Lists>,
    /// Wakes the listener: there is a notifier, or the storage closes.
    pub(super) change: Notifier,
    is_closed: AtomicBool,
    /// The number of the last news that notifiers were used for.
    seen: Mutex<i64>,
}

#[derive(Debug, Default)]
struct Lists {
    last: u64,
    queues: HashMap<u64, (Vec<String>, Notifier)>,
    jobs: HashMap<JobId, Vec<(u64, Notifier)>>,
    sessions: HashMap<u64, (SessionId, Notifier)>,
}

impl Notifiers {
    pub(super) fn new(seen: i64) -> Self {
        let notifiers = Self::default();
        *notifiers.seen.lock() = seen;
        notifiers
    }

    pub(super) fn add_queues(&self, queues: Vec<String>, notifier: Notifier) -> u64 {
        let mut lists = self.lists.lock();
        lists.last += 1;
        let number = lists.last;
        lists.queues.insert(number, (queues, notifier));
        drop(lists);
        self.change.notify();
        number
    }

    pub(super) fn add_job(&self, job: JobId, notifier: Notifier) -> u64 {
        let mut lists = self.lists.lock();
        lists.last += 1;
        let number = lists.last;
        lists.jobs.entry(job).or_default().push((number, notifier));
        drop(lists);
        self.change.notify();
        number
    }

    pub(super) fn add_session(&self, session: SessionId, notifier: Notifier) -> u64 {
        let mut lists = self.lists.lock();
        lists.last += 1;
        let number = lists.last;
        lists.sessions.insert(number, (session, notifier));
        drop(lists);
        self.change.notify();
        number
    }

    pub(super) fn remove_session(&self, number: u64) {
        self.lists.lock().sessions.remove(&number);
    }

    pub(super) fn remove_queues(&self, number: u64) {
        self.lists.lock().queues.remove(&number);
    }

    pub(super) fn remove_job(&self, job: JobId, number: u64) {
        let mut lists = self.lists.lock();
        if let Some(notifiers) = lists.jobs.get_mut(&job) {
            notifiers.retain(|(known, _)| *known != number);
            if notifiers.is_empty() {
                lists.jobs.remove(&job);
            }
        }
    }

    fn is_empty(&self) -> bool {
        let lists = self.lists.lock();
        lists.queues.is_empty() && lists.jobs.is_empty() && lists.sessions.is_empty()
    }

    pub(super) fn close(&self) {
        // ORDERING: relaxed. The listener locks the notifier before it looks, and so does a
        // notification.
        self.is_closed.store(true, Relaxed);
        self.change.notify();
    }

    /// Uses those notifiers that are for what this process committed as the news of this number.
    pub(super) fn notify(&self, news: &News, number: i64) {
        let mut seen = self.seen.lock();
        if *seen == number - 1 {
            *seen = number;
        }
        drop(seen);
        self.notify_some(|queue| news.queues.contains(queue), &news.ended);
        self.notify_sessions(&news.cancels);
    }

    /// Uses all notifiers.
    pub(super) fn notify_all(&self) {
        self.notify_some(|_| true, &self.watched());
        self.notify_sessions(&self.sessions());
    }

    /// The sessions of which cancellations are waited for.
    fn sessions(&self) -> Vec<SessionId> {
        let lists = self.lists.lock();
        lists
            .sessions
            .values()
            .map(|(session, _)| *session)
            .collect()
    }

    fn notify_sessions(&self, sessions: &[SessionId]) {
        let lists = self.lists.lock();
        let meant = lists.sessions.values();
        let meant = meant.filter(|(session, _)| sessions.contains(session));
        let notifiers: Vec<Notifier> = meant.map(|(_, notifier)| notifier.clone()).collect();
        drop(lists);
        notifiers.iter().for_each(Notifier::notify);
    }

    /// The jobs whose ends are waited for.
    fn watched(&self) -> Vec<JobId> {
        self.lists.lock().jobs.keys().copied().collect()
    }

    fn notify_some(&self, is_meant: impl Fn(&String) -> bool, jobs: &[JobId]) {
        let lists = self.lists.lock();
        let queues = lists.queues.values();
        let of_queues = queues.filter(|(queues, _)| queues.iter().any(&is_meant));
        let of_queues = of_queues.map(|(_, notifier)| notifier);
        let of_jobs = jobs.iter().filter_map(|id| lists.jobs.get(id)).flatten();
        let of_jobs = of_jobs.map(|(_, notifier)| notifier);
        let notifiers: Vec<Notifier> = of_queues.chain(of_jobs).cloned().collect();
        drop(lists);
        notifiers.iter().for_each(Notifier::notify);
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
    notifiers: &'a Notifiers,
    socket: Option<&'a UdpSocket>,
    /// That of the file when it was read last.
    version: Option<i64>,
    /// How many looks have found it unchanged.
    at_rest: u32,
    /// The jobs that were to be cancelled at the last look, by the sessions that run them. What was
    /// there then is no news.
    cancels: HashMap<SessionId, Vec<i64>>,
}

impl<'a> Listener<'a> {
    pub(super) fn new(
        conn: &'a Connection,
        notifiers: &'a Notifiers,
        socket: Option<&'a UdpSocket>,
    ) -> Self {
        Self {
            conn,
            notifiers,
            socket,
            version: None,
            at_rest: 0,
            cancels: HashMap::new(),
        }
    }

    /// Runs until the storage closes. While there are notifiers, calls `refresh` again and again,
    /// and looks at the length of the WAL when nothing is written.
    pub(super) fn run(&mut self, mut refresh: impl FnMut(), wal: impl Fn() -> u64) {
        loop {
            let change = self.notifiers.change.listen();
            if self.notifiers.is_closed.load(Relaxed) {
                return;
            }
            if self.notifiers.is_empty() {
                let _ = change.wait_timeout(Duration::MAX);
                continue;
            }
            match self.socket {
                Some(socket) => match socket.recv(&mut [0]) {
                    Err(error) if !is_passing(&error) => drop(change.wait_timeout(LOOK)),
                    _ => {}
                },
                None => drop(change.wait_timeout(LOOK)),
            }
            // What cannot be read now is read next time.
            let _ = self.look();
            if self.at_rest == LOOKS_AT_REST {
                self.at_rest = 0;
                if wal() > MOST_WAL {
                    let _ = self.cut_wal();
                }
            }
            refresh();
        }
    }

    /// Writes the WAL into the file. Waits for nothing: if it is in use, that is for the next time.
    fn cut_wal(&self) -> Outcome<()> {
        work::one(self.conn, "PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    fn look(&mut self) -> Outcome<()> {
        let version = work::one(self.conn, "PRAGMA data_version", [], |row| row.get(0))?;
        if version == self.version {
            self.at_rest += 1;
            return Ok(());
        }
        self.at_rest = 0;
        let number = work::one(self.conn, sql::NEWS, [], |row| row.get(0))?;
        if number.is_some_and(|number| self.notifiers.has_news(number)) {
            // One that cannot be looked at counts as ended: a notification may be for nothing.
            let is_live = |id: &JobId| {
                let key = [work::from_id(*id)];
                matches!(
                    work::one(self.conn, sql::IS_LIVE, key, |_| Ok(())),
                    Ok(Some(()))
                )
            };
            let mut ended = self.notifiers.watched();
            ended.retain(|id| !is_live(id));
            self.notifiers.notify_some(|_| true, &ended);
            self.look_for_cancels();
        }
        self.version = version;
        Ok(())
    }

    fn look_for_cancels(&mut self) {
        let mut last = mem::take(&mut self.cancels);
        for session in self.notifiers.sessions() {
            let before = last.remove(&session).unwrap_or_default();
            let key = [work::from_count(session.0)];
            let found = work::all(self.conn, sql::CANCEL_ASKED, key, |row| row.get(0));
            let found: Vec<i64> = found.unwrap_or_default();
            if found.iter().any(|id| !before.contains(id)) {
                self.notifiers.notify_sessions(&[session]);
            }
            self.cancels.insert(session, found);
        }
    }
}

/// Whether the next call is likely to wait: this one took its time, or was interrupted. An answer
/// that a port is closed comes once for each datagram. Any other error may come at once each time.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, Interrupted, TimedOut, WouldBlock};
    let passing = [
        WouldBlock,
        TimedOut,
        Interrupted,
        ConnectionRefused,
        ConnectionReset,
    ];
    passing.contains(&error.kind())
}
