//! Connections are cut at any byte.

use super::proxy::Proxy;
use super::{Ledger, Ran, SECOND, Worker, all_go_on, all_is_at_rest, cuts, open, until};
use crate::redis_server::Server;
use millhand::jobs::{Heartbeat, SessionInfo};
use std::time::Instant;

#[test]
fn connections_that_are_cut_at_any_byte_lose_no_job_and_double_none() {
    let server = Server::start(&[]);
    let (proxy, direct) = (Proxy::new(&server), open(&server.url()));
    let through = || open(&proxy.url());
    let (ran, ledger) = (Ran::default(), Ledger::default());
    let workers = [0, 1, 2].map(|_| Worker::start(&through(), &ran));
    let enqueuers = ledger.start([through(), through(), through()]);
    until("jobs run", || ran.count() > 10);
    // The scripts are larger than what passes before a cut, so the server knows them before.
    let storage = direct.storage();
    let session = storage
        .open_session(&SessionInfo::default(), SECOND)
        .unwrap();
    let sign = Heartbeat {
        session,
        lease: SECOND,
        settled: 0,
        held: &[],
    };
    storage.heartbeat(&sign).unwrap();
    storage.close_session(session).unwrap();
    storage.sweep(1).unwrap();

    let (begun, before) = (Instant::now(), ran.count());
    proxy.set_cuts(true);
    for part in 1..=4 {
        let most = cuts() as u64 * part / 4;
        until("connections are cut", || proxy.cuts() >= most);
        proxy.set_refuses(true);
        proxy.cut_all();
        let enough = proxy.refused() + 10;
        until("connections are refused", || proxy.refused() >= enough);
        proxy.set_refuses(false);
    }
    proxy.set_cuts(false);
    let (cuts, lasted) = (proxy.cuts(), begun.elapsed());
    let (meanwhile, still_at) = (ran.count() - before, Instant::now());

    // All go on by themselves.
    let marker = 1;
    ledger.enqueue(&through(), &[marker]).unwrap();
    until("a new job runs", || ran.has(marker));
    let resumed = still_at.elapsed();
    all_go_on(&workers);
    let all = still_at.elapsed();
    enqueuers.end();
    assert_eq!(ledger.settle(&direct, &ran, |_| false).len(), 0);
    workers.into_iter().for_each(Worker::end);
    all_is_at_rest(&direct);
    eprintln!(
        "{} jobs, {meanwhile} of them in {lasted:?} while {cuts} connections were cut; {} lost \
         claims, {} bodies again; a new job ran {resumed:?} after that, and all consumers were \
         there after {all:?}",
        ran.count(),
        direct.counts().unwrap().totals.crashed,
        ran.again()
    );
}
