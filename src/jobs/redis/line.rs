//! Connections for requests: one request at a time on each.
//!
//! Layer: jobs.
//
// A reply cannot be taken for another's: a connection on which anything went wrong is dropped, and
// a script repeats the number of the request in its reply.

use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::redis::ask::Ask;
use crate::jobs::redis::fault::Trouble;
use crate::jobs::redis::reply::{self, Reply};
use crate::jobs::redis::scripts::{ARRIVE, Step};
use crate::testing::Clock;
use crossbeam_channel::{Receiver, Sender, after, bounded, never, select_biased};
use parking_lot::Mutex;
use redis::{Client, Cmd, Connection, Value};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// So many requests at once.
const MOST_LINES: usize = 4;

/// A connection whose server does not answer in this time is dropped. A server that has run one
/// script for 5 seconds says to others that it is busy, and has done nothing. This must be longer.
pub(super) const SILENCE: Duration = Duration::from_secs(8);

/// To connect may take so long.
const CONNECTING: Duration = Duration::from_secs(5);

/// Replicas have so long to take what was written. Shorter than the silence.
const REPLICATING: Duration = Duration::from_secs(4);

/// So much longer for each argument, since a script with many jobs takes its time. At most a
/// minute.
const EXTRA: Duration = Duration::from_micros(100);
const MOST_EXTRA: Duration = Duration::from_secs(60);

/// After this time a connection is tried before a request that must not be sent twice.
const IDLE: Duration = Duration::from_secs(1);

/// The pauses before one connects anew. With that of a consumer after an error behind it, the
/// longest one takes 5 seconds.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(2500));

/// Whether a request may be sent again if it is not known whether the server has got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    /// To do it twice is as to do it once.
    Again,
    Once,
}

/// The connections.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) client: Client,
    /// Where the server is, without the password.
    pub(super) place: String,
    patience: Duration,
    /// A permit for each connection that may be in use.
    permits: (Sender<()>, Receiver<()>),
    /// Those that are open and not in use. The last one is used first.
    idle: Mutex<Vec<Line>>,
    /// The last request's.
    number: AtomicU64,
}

/// A connection.
pub(super) struct Line {
    conn: Connection,
    /// When it was last known to be whole.
    used_at: Instant,
    /// Whether the first script has run on it.
    has_arrived: bool,
}

impl Lines {
    pub(super) fn new(client: Client, place: String, patience: Duration) -> Self {
        let permits = bounded(MOST_LINES);
        for _ in 0..MOST_LINES {
            let _ = permits.0.send(());
        }
        Self {
            client,
            place,
            patience,
            permits,
            idle: Mutex::default(),
            number: AtomicU64::new(0),
        }
    }

    /// Has the server do a step. `replicas`: how many of them must have it as well.
    pub(super) fn run(
        &self,
        step: &Step,
        keys: &str,
        now: &str,
        ask: &Ask,
        sending: Sending,
        replicas: usize,
    ) -> Result<Reply, JobsError> {
        self.with_line(step.name, sending, |line| {
            if !line.has_arrived {
                let arrived = self.run_on(line, &ARRIVE, keys, now, &Ask::new(), Sending::Again);
                arrived.map_err(Trouble::unsent)?;
                line.has_arrived = true;
            }
            let reply = self.run_on(line, step, keys, now, ask, sending)?;
            if replicas > 0 {
                line.replicate(replicas)?;
            }
            Ok(reply)
        })
    }

    fn run_on(
        &self,
        line: &mut Line,
        step: &Step,
        keys: &str,
        now: &str,
        ask: &Ask,
        sending: Sending,
    ) -> Result<Reply, Trouble> {
        let number = self.number.fetch_add(1, Relaxed).to_string();
        let mut call = redis::cmd("EVALSHA");
        call.arg(step.script.get_hash()).arg(1).arg(keys);
        call.arg(now).arg(&number).arg(&ask.args);
        let work = u32::try_from(ask.work).unwrap_or(u32::MAX);
        let extra = EXTRA.saturating_mul(work).min(MOST_EXTRA);
        let is_long = extra > SILENCE / 10;
        if is_long {
            line.set_silence(SILENCE + extra)?;
        }
        let value = line.run(step, &call, sending)?;
        if is_long {
            line.set_silence(SILENCE)?;
        }
        let mut reply = Reply::new(value).map_err(Trouble::Final)?;
        match reply.text().map_err(Trouble::Final)? == number {
            true => Ok(reply),
            false => Err(Trouble::Final(reply::bad("it is that of another request"))),
        }
    }

    /// Sends one command.
    pub(super) fn command(&self, name: &str, cmd: &Cmd) -> Result<Value, JobsError> {
        self.with_line(name, Sending::Again, |line| {
            cmd.query(&mut line.conn).map_err(Trouble::of)
        })
    }

    /// Uses a connection. Connects anew for as long as the patience lasts.
    fn with_line<T>(
        &self,
        attempted: &str,
        sending: Sending,
        act: impl Fn(&mut Line) -> Result<T, Trouble>,
    ) -> Result<T, JobsError> {
        let result = crate::blocking(|| self.try_often(sending, act));
        result.map_err(|error| {
            let text = format!("{}: {attempted}: {error}", self.place);
            JobsError::new(error.kind(), text).with_source(error)
        })
    }

    fn try_often<T>(
        &self,
        sending: Sending,
        act: impl Fn(&mut Line) -> Result<T, Trouble>,
    ) -> Result<T, JobsError> {
        let clock = Clock::system();
        let until = clock.now().checked_add(self.patience);
        let left = || until.map(|until| until.saturating_duration_since(clock.now()));
        let mut lent = self.lend(left())?;
        let mut pauses = Pauses::default();
        loop {
            let line = match lent.line.take() {
                Some(line) => Ok(line),
                None => connect(&self.client, left()),
            };
            let result = line.and_then(|mut line| {
                let answer = act(&mut line);
                // After an error of any kind the connection is dropped.
                lent.line = answer.is_ok().then_some(line);
                answer
            });
            let (error, may_repeat, hint) = match result {
                Ok(answer) => return Ok(answer),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Unknown) => return Err(reply::bad("it does not keep a script")),
                Err(Trouble::NotNow(error)) => (error, true, None),
                Err(Trouble::Lost {
                    why,
                    was_sent,
                    hint,
                }) => (why, !was_sent || sending == Sending::Again, hint),
            };
            let pause = pauses.next();
            let is_over = left().is_some_and(|left| left <= pause);
            if is_over || !may_repeat {
                let advice = match may_repeat {
                    true => format!("the server cannot be reached for {:?}", self.patience),
                    false => "the server may have done it".to_owned(),
                };
                let hint = hint.map(|hint| format!("{hint}; ")).unwrap_or_default();
                let text = format!("{error}; {hint}{advice}");
                return Err(JobsError::new(JobsErrorKind::Unreachable, text).with_source(error));
            }
            let _ = after(pause).recv();
        }
    }

    /// Waits for a permit.
    fn lend(&self, left: Option<Duration>) -> Result<Lent<'_>, JobsError> {
        let over = left.map_or_else(never, after);
        let has_permit = select_biased! {
            recv(self.permits.1) -> permit => permit.is_ok(),
            recv(over) -> _ => false,
        };
        if !has_permit {
            let text = "all connections are in use by requests that wait for the server";
            return Err(JobsError::new(JobsErrorKind::Unreachable, text));
        }
        let line = self.idle.lock().pop();
        Ok(Lent { line, lines: self })
    }

    /// Does something with a connection that is free and open, and waits for none. Returns whether
    /// that went well.
    pub(super) fn with_free(&self, act: impl Fn(&mut Connection) -> bool) -> bool {
        let Some(mut line) = self.idle.lock().pop() else {
            return false;
        };
        let is_done = act(&mut line.conn);
        if is_done {
            self.idle.lock().push(line);
        }
        is_done
    }

    /// Takes the connections out, so that a forked process can forget them.
    pub(super) fn take(&self) -> Vec<Line> {
        mem::take(&mut self.idle.lock())
    }
}

/// Opens a connection, with time-outs.
pub(super) fn connect(client: &Client, left: Option<Duration>) -> Result<Line, Trouble> {
    let least = Duration::from_millis(100);
    let timeout = left.map_or(CONNECTING, |left| left.clamp(least, CONNECTING));
    let conn = client.get_connection_with_timeout(timeout);
    let trouble = |error| Trouble::of_connecting(error, client.get_connection_info().addr());
    let conn = conn.map_err(trouble)?;
    let set = conn
        .set_read_timeout(Some(SILENCE))
        .and_then(|()| conn.set_write_timeout(Some(SILENCE)));
    set.map_err(trouble)?;
    Ok(Line {
        conn,
        used_at: Clock::system().now(),
        has_arrived: false,
    })
}

impl Line {
    pub(super) fn into_inner(self) -> Connection {
        self.conn
    }

    fn set_silence(&self, silence: Duration) -> Result<(), Trouble> {
        let set = self.conn.set_read_timeout(Some(silence));
        set.map_err(|error| Trouble::of(error).unsent())
    }

    /// Runs a script. The server may have to be given it first.
    fn run(&mut self, step: &Step, call: &Cmd, sending: Sending) -> Result<Value, Trouble> {
        let clock = Clock::system();
        let idle = clock.now().saturating_duration_since(self.used_at);
        if sending == Sending::Once && idle > IDLE {
            // A server may have ended the connection. Then nothing is sent, and it is made anew.
            let ping = redis::cmd("PING").query(&mut self.conn);
            let () = ping.map_err(|error| Trouble::of(error).unsent())?;
        }
        let mut answer = self.call(call);
        let is_unknown = |trouble: &Trouble| matches!(trouble, Trouble::Unknown);
        if answer.as_ref().is_err_and(is_unknown) {
            step.script
                .load(&mut self.conn)
                .map_err(|error| Trouble::of(error).unsent())?;
            answer = self.call(call);
        }
        self.used_at = clock.now();
        answer
    }

    fn call(&mut self, call: &Cmd) -> Result<Value, Trouble> {
        let sent = self.conn.send_packed_command(&call.get_packed_command());
        // The server does nothing with a part of a request.
        sent.map_err(|error| Trouble::of(error).unsent())?;
        match self.conn.recv_response() {
            Ok(Value::ServerError(error)) => Err(Trouble::of(error.into())),
            Ok(value) => Ok(value),
            Err(error) => Err(Trouble::of(error)),
        }
    }

    /// Waits until so many replicas have what this connection has written.
    fn replicate(&mut self, replicas: usize) -> Result<(), Trouble> {
        let mut wait = redis::cmd("WAIT");
        wait.arg(replicas).arg(REPLICATING.as_millis() as u64);
        let reached: usize = wait.query(&mut self.conn).map_err(Trouble::of)?;
        if reached >= replicas {
            return Ok(());
        }
        let text = format!(
            "{reached} of {replicas} replicas have it: it is stored, and a failover may take it"
        );
        Err(Trouble::Final(JobsError::new(
            JobsErrorKind::Unreachable,
            text,
        )))
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            conn: _,
            used_at,
            has_arrived,
        } = self;
        f.debug_struct("Line")
            .field("used_at", used_at)
            .field("has_arrived", has_arrived)
            .finish_non_exhaustive()
    }
}

/// A permit that goes back when this is dropped, with the connection, if there is one.
struct Lent<'a> {
    line: Option<Line>,
    lines: &'a Lines,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.lines.idle.lock().extend(self.line.take());
        let _ = self.lines.permits.0.send(());
    }
}

/// Growing pauses, with some luck in them, so that not all clients connect at once.
#[derive(Debug, Default)]
pub(super) struct Pauses(u32);

impl Pauses {
    pub(super) fn next(&mut self) -> Duration {
        let (first, most) = PAUSES;
        let longest = first.saturating_mul(1 << self.0.min(16)).min(most);
        self.0 += 1;
        let parts = RandomState::new().hash_one(self.0) % 512;
        longest / 2 + longest * u32::try_from(parts).unwrap_or(0) / 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit() {
        let mut pauses = Pauses::default();
        let (first, most) = PAUSES;
        assert!(pauses.next() <= first);
        let mut last = Duration::ZERO;
        for _ in 0..20 {
            last = pauses.next();
            assert!(last >= first / 2 && last <= most, "{last:?}");
        }
        assert!(last >= most / 2);
    }
}
