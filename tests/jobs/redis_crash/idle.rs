//! What a consumer costs that has nothing to do.

use super::{SECOND, Work, open};
use crate::crash::child::{self, Child};
use crate::crash::until;
use crate::redis_server::Server;
use crate::support::Folder;
use millhand::jobs::{Job, JobContext};
use millhand::{Shutdown, ThreadPool};
use std::fs;
use std::time::{Duration, Instant};

/// A consumer that has nothing to do.
pub(super) fn idle() {
    let url = fs::read_to_string(child::folder().join("url")).unwrap();
    let (jobs, pool) = (open(&url), ThreadPool::new(4).unwrap());
    let consumer = jobs.consumer(&pool).queue(Work::QUEUE, 4);
    let run = |work: Work, _: &JobContext| Ok::<_, String>(work.n);
    let _consumer = consumer.handle(run).start().unwrap();
    child::wait_for_the_end();
    pool.shutdown(Shutdown::drain()).unwrap();
}

/// How long all threads of a process have been on a processor.
fn busy(pid: u32) -> Duration {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let times = fs::read_to_string(thread.unwrap().path().join("schedstat"));
        let times = times.unwrap_or_default();
        nanos += times
            .split(' ')
            .next()
            .map_or(0, |it| it.parse().unwrap_or(0));
    }
    Duration::from_nanos(nanos)
}

#[test]
fn an_idle_consumer_says_what_it_costs() {
    let (server, folder) = (Server::start(&[]), Folder::new());
    fs::write(folder.path().join("url"), server.url()).unwrap();
    let jobs = open(&server.url());
    let child = Child::start("redis idle", folder.path());
    until("it has its session", || {
        !jobs.sessions().unwrap().is_empty()
    });
    let set = std::env::var("MILLHAND_IDLE").ok();
    let span = set.map_or(2, |seconds| seconds.parse().unwrap()) * SECOND;
    let (before, began) = (busy(child.id()), Instant::now());
    std::thread::sleep(span);
    let (used, passed) = (busy(child.id()) - before, began.elapsed());
    eprintln!(
        "an idle consumer: {used:?} of {passed:?}, {:.3} % of a processor",
        100.0 * used.as_secs_f64() / passed.as_secs_f64()
    );
    child.end();
}
