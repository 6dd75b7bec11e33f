//! The server is killed, and started again.

use super::{Ledger, Ran, SECOND, Work, Worker, all_go_on, all_is_at_rest, cuts, open, until};
use crate::crash::Random;
use crate::redis_server::Server;
use millhand::jobs::{
    Ended, Exchange, Job, Judged, SessionId, SessionInfo, Storage, Verdict, Want,
};
use std::time::Instant;

/// How it is made sure that something survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Safety {
    Always,
    EverySecond,
    Snapshots,
}

/// A time in which something may have been stored that the server lost.
struct Window {
    from: Instant,
    to: Instant,
}

fn save(server: &Server) {
    let client = redis::Client::open(server.url()).unwrap();
    let mut conn = client.get_connection().unwrap();
    let () = redis::cmd("SAVE").query(&mut conn).unwrap();
}

/// Kills the server again and again while jobs are stored and run.
fn kill_often(safety: Safety) {
    let mut server = Server::start(match safety {
        Safety::Always => &["--appendonly", "yes", "--appendfsync", "always"],
        Safety::EverySecond => &["--appendonly", "yes", "--appendfsync", "everysec"],
        Safety::Snapshots => &[],
    });
    let direct = open(&server.url());
    let warnings = &direct.facts().warnings;
    let warns = warnings.iter().any(|text| text.contains("`appendonly`"));
    assert_eq!(warns, safety == Safety::Snapshots, "{warnings:?}");
    let (ran, ledger) = (Ran::default(), Ledger::default());
    let workers = [0, 1].map(|_| Worker::start(&open(&server.url()), &ran));
    let enqueuers = ledger.start([open(&server.url()), open(&server.url())]);
    let (mut random, mut windows) = (Random::new(), Vec::new());
    let kills = (cuts() / 40).max(10);
    for _ in 0..kills {
        let enough = (ran.count() + 10, ledger.count() + 10);
        until("jobs are stored and run", || {
            ran.count() >= enough.0 && ledger.count() >= enough.1
        });
        let mut from = Instant::now();
        if safety == Safety::Snapshots {
            save(&server);
        }
        random.pause(40);
        if safety == Safety::EverySecond {
            from = Instant::now() - 2 * SECOND;
        }
        server.stop();
        let to = Instant::now();
        windows.push(Window { from, to });
        random.pause(40);
        server.go_on();
    }
    all_go_on(&workers);
    enqueuers.end();
    let missing = ledger.settle(&direct, &ran, |one| {
        let may_be_lost = |window: &Window| one.began <= window.to && one.at >= window.from;
        safety != Safety::Always && windows.iter().any(may_be_lost)
    });
    workers.into_iter().for_each(Worker::end);
    all_is_at_rest(&direct);
    eprintln!(
        "{safety:?}: {} jobs ended, {kills} kills, {} acknowledged jobs were lost, {} lost claims, \
         {} bodies again",
        direct.counts().unwrap().totals.done,
        missing.len(),
        direct.counts().unwrap().totals.crashed,
        ran.again()
    );
}

#[test]
fn a_server_that_writes_at_once_loses_no_job_when_it_is_killed() {
    kill_often(Safety::Always);
}

#[test]
fn a_server_that_writes_each_second_loses_no_older_job_when_it_is_killed() {
    kill_often(Safety::EverySecond);
}

#[test]
fn a_server_that_is_killed_goes_on_from_its_snapshot() {
    kill_often(Safety::Snapshots);
}

/// Claims the only job there is. Returns its claim.
fn claim(storage: &dyn Storage, session: SessionId, number: u64) -> millhand::jobs::Claimed {
    let wanted = [Want {
        queue: Work::QUEUE.into(),
        kinds: vec![Work::NAME.into()],
        most: 1,
    }];
    let exchange = Exchange {
        session,
        number,
        ended: &[],
        wanted: &wanted,
    };
    storage.exchange(&exchange).unwrap().claimed.remove(0)
}

#[test]
fn the_end_of_a_job_that_the_server_lost_is_not_taken_for_that_of_a_later_one() {
    let mut server = Server::start(&[]);
    let jobs = open(&server.url());
    let storage = jobs.storage();
    let session = || storage.open_session(&SessionInfo::default(), 60 * SECOND);
    let (old, new) = (session().unwrap(), session().unwrap());
    save(&server);
    let lost = jobs.enqueue(&Work { n: 1 }).unwrap();
    let of_lost = claim(storage, old, 1);
    assert_eq!(of_lost.id, lost.id());
    server.stop();
    server.go_on();

    let later = jobs.enqueue(&Work { n: 2 }).unwrap();
    let of_later = claim(storage, new, 1);
    assert_eq!(of_later.id, later.id());
    let ended = Ended {
        id: of_lost.id,
        claim: of_lost.claim,
        verdict: Verdict::Back,
    };
    let exchange = Exchange {
        session: old,
        number: 2,
        ended: &[ended],
        wanted: &[],
    };
    let judged = storage.exchange(&exchange).unwrap().judged;
    assert_eq!(judged, [Judged::Gone], "{lost:?}, {later:?}");
    assert_eq!(storage.check(false).unwrap(), []);
}
