//! The daemon: the schedules that run, what the signals do to them, and what is logged about them.
//
// `millhand::Signals` takes SIGHUP for a request to end. It leaves the signal to a handler of the
// program on Linux alone; see the guide `daemons`. So signal-hook has all three signals here, and a
// token ends the pool.

use crate::command;
use crate::table::{self, Entry};
use log::{error, info, warn};
use millhand::observe::{Event, Observer};
use millhand::schedule::Schedule;
use millhand::{CancelToken, Shutdown, ThreadPool};
use signal_hook::consts::SIGHUP;
use signal_hook::iterator::Signals;
use std::error::Error;
use std::mem;
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::thread;

/// Runs the table until a signal asks for the end, and then ends the pool as `how` says.
pub(crate) fn run(
    pool: &ThreadPool,
    file: &Path,
    entries: Vec<Entry>,
    mut signals: Signals,
    how: Shutdown,
) -> Result<(), Box<dyn Error>> {
    let stop = CancelToken::new();
    let mut table = Running {
        pool,
        file,
        commands: CancelToken::new(),
        schedules: Vec::new(),
    };
    table.replace(entries);
    let watch = signals.handle();
    let report = thread::scope(|scope| -> Result<_, Box<dyn Error>> {
        // It waits for signals up to the end of the pool, so it is no task of the pool.
        let watcher = thread::Builder::new().name("signals".into());
        watcher.spawn_scoped(scope, || table.obey(&mut signals, &stop))?;
        let report = pool.run_until(&stop, how);
        watch.close();
        Ok(report?)
    })?;
    // Its own text names each schedule that has ended, which are all.
    let failed = report.failed() + report.panicked() + report.timed_out();
    info!(
        "the end: runs that succeeded: {}, that failed: {failed}, that were ended: {}",
        report.succeeded(),
        report.cancelled()
    );
    Ok(())
}

/// The table that is in force.
struct Running<'a> {
    pool: &'a ThreadPool,
    file: &'a Path,
    /// Of all commands: its cancel ends those that run.
    commands: CancelToken,
    schedules: Vec<(Arc<Entry>, Schedule)>,
}

impl Running<'_> {
    fn obey(&mut self, signals: &mut Signals, stop: &CancelToken) {
        let mut requests = 0;
        for signal in signals.forever() {
            if signal == SIGHUP {
                if requests == 0 {
                    self.reload();
                }
                continue;
            }
            requests += 1;
            match requests {
                1 => {
                    stop.cancel();
                    info!("a signal asks for the end: no command starts any more");
                }
                2 => {
                    self.commands.cancel();
                    warn!("the second signal ends the commands that run");
                }
                _ => process::exit(130),
            }
        }
    }

    fn reload(&mut self) {
        match table::load(self.file) {
            Ok(entries) => self.replace(entries),
            Err(wrong) => {
                wrong.to_string().lines().for_each(|line| error!("{line}"));
                let file = self.file.display();
                warn!("{file}: the table stays as it was");
            }
        }
    }

    /// Puts these entries in force. An entry that is there already keeps its schedule.
    fn replace(&mut self, entries: Vec<Entry>) {
        let mut old = mem::take(&mut self.schedules);
        let mut new = Vec::new();
        for entry in entries {
            match old.iter().position(|(known, _)| **known == entry) {
                Some(index) => self.schedules.push(old.remove(index)),
                None => new.push(Arc::new(entry)),
            }
        }
        let kept = self.schedules.len();
        for (entry, schedule) in &old {
            schedule.cancel();
            if schedule.counts().running > 0 {
                info!(
                    "{}: is gone, and the command that runs goes on",
                    entry.label()
                );
            }
        }
        let file = self.file.display();
        info!(
            "{file}: {} entries: {kept} as before, {} new, {} gone",
            kept + new.len(),
            new.len(),
            old.len()
        );
        for entry in new {
            let body = {
                let entry = entry.clone();
                move || command::run(&entry)
            };
            match entry.schedule(self.pool, &self.commands, body) {
                Ok(schedule) => self.schedules.push((entry, schedule)),
                Err(why) => error!("{}: is not scheduled: {why}", entry.label()),
            }
        }
    }
}

/// Logs the runs that were left out.
pub(crate) struct LogLeftOut;

impl Observer for LogLeftOut {
    fn on_event(&self, event: &Event) {
        let (name, runs, why) = match event {
            Event::ScheduleSkipped { name, runs, .. } => (name, runs, "another had not ended"),
            Event::ScheduleMissed { name, runs, .. } => (name, runs, "their time had passed"),
            _ => return,
        };
        let name = name.as_deref().unwrap_or("?");
        warn!("{name}: runs left out: {runs}, since {why}");
    }
}
