//! Hosts are cut off from the server for longer than their leases, and come back.
//!
//! A host is a process with a consumer. Where the kernel and the user allow it, it has a network of
//! its own, whose only link goes down and up again: packets are lost without a word, and what was
//! sent is sent again later, as with a switch that fails. That needs root and `ip`. Elsewhere, a
//! proxy for each host holds back what goes either way. The test says which of them it was.

use super::proxy::{Held, Proxy};
use super::{Ledger, MS, Ran, SECOND, Work, all_is_at_rest, cuts, open, until};
use crate::crash::Random;
use crate::crash::book::{Book, Reader};
use crate::crash::child::{self, Child};
use crate::redis_server::Server;
use crate::support::Folder;
use millhand::cancel::CancelReason;
use millhand::jobs::{Filter, Job, JobContext};
use millhand::{Shutdown, ThreadPool};
use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

/// Which of the hosts a child is.
const HOST: &str = "MILLHAND_HOST";

/// If there is such a file, long jobs end.
const MAY_END: &str = "may end";

/// The numbers of jobs that are long: they run until they are asked to stop, or may end.
const LONG_ONES: u64 = 100;

/// Runs jobs, and writes down what becomes of them.
pub(super) fn host() {
    let folder = child::folder();
    let number: u64 = std::env::var(HOST).unwrap().parse().unwrap();
    let url = folder.join(format!("url {number}"));
    until("the host has a network", || url.exists());
    let jobs = open(&fs::read_to_string(url).unwrap());
    let (book, may_end) = (Book::open(&folder), folder.join(MAY_END));
    let pool = ThreadPool::new(12).unwrap();
    let run = move |work: Work, context: &JobContext| {
        book.write("run", &[work.n, number]);
        let is_first = context.crashes() == 0;
        while work.n < LONG_ONES && !may_end.exists() {
            let reason = context.token().reason();
            if is_first && reason.is_some() {
                if reason == Some(CancelReason::Lease) {
                    book.write("lease", &[work.n, number]);
                }
                // One that says so, and one that does not care.
                if work.n % 2 == 1 {
                    return Err("asked to stop".to_owned());
                }
                break;
            }
            thread::sleep(5 * MS);
        }
        thread::sleep(MS * (work.n % 50) as u32);
        book.write("ended", &[work.n, number]);
        Ok(work.n)
    };
    let consumer = jobs.consumer(&pool).queue(Work::QUEUE, 12).lease(SECOND);
    let consumer = consumer.handle(run).start().unwrap();
    child::wait_for_the_end();
    pool.shutdown(Shutdown::drain()).unwrap();
    let report = consumer.report();
    assert_eq!((report.running, report.unsaved.len()), (0, 0));
    Book::open(&folder).write("report", &[number, report.done, report.gone]);
}

/// A host, with what cuts it off.
struct Host {
    number: u64,
    child: Child,
    proxy: Proxy,
    /// The end here of the link to its network.
    link: Option<String>,
}

/// Runs a program. Returns whether it did what it should.
fn did(line: &str) -> bool {
    let mut words = line.split(' ');
    let mut program = Command::new(words.next().unwrap());
    program
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    program.status().is_ok_and(|status| status.success())
}

/// Gives the network of a process a link to this one. Returns the end here, and its address.
fn connect(pid: u32, number: u64) -> Option<(String, Ipv4Addr)> {
    let link = format!("mh{pid}");
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    let theirs = format!("/proc/{pid}/ns/net");
    until("the child has its network", || {
        fs::read_link(&theirs).is_ok_and(|theirs| theirs != own)
    });
    // Of the network for benchmarks, RFC 2544.
    let part = (std::process::id() % 256) as u8;
    let address = |last| Ipv4Addr::new(198, 18, part, 4 * number as u8 + last);
    let (here, there) = (address(1), address(2));
    let inside = format!("nsenter -t {pid} -n ip");
    let is_connected = did(&format!(
        "ip link add {link} type veth peer name eth0 netns {pid}"
    )) && did(&format!("ip addr add {here}/30 dev {link}"))
        && did(&format!("ip link set {link} up"))
        && did(&format!("{inside} addr add {there}/30 dev eth0"))
        && did(&format!("{inside} link set eth0 up"));
    is_connected.then_some((link, here))
}

impl Host {
    fn start(number: u64, server: &Server, folder: &Path) -> Self {
        let start = |program: &str, argument: &str| {
            let mut outer = Command::new(program);
            outer.arg(argument).env(HOST, number.to_string());
            Child::start_in(outer, "redis host", folder)
        };
        let own = did("unshare -n true")
            .then(|| start("unshare", "-n"))
            .flatten()
            .and_then(|child| {
                let (link, address) = connect(child.id(), number)?;
                Some((child, address, Some(link)))
            });
        let (child, address, link) = own.unwrap_or_else(|| {
            let child = start("env", "--").unwrap();
            (child, Ipv4Addr::new(127, 0, 0, 1 + number as u8), None)
        });
        let proxy = Proxy::at(address, server);
        let url = folder.join("url");
        fs::write(&url, proxy.url()).unwrap();
        fs::rename(url, folder.join(format!("url {number}"))).unwrap();
        Self {
            number,
            child,
            proxy,
            link,
        }
    }

    fn set_up(&self, is_up: bool) {
        match &self.link {
            Some(link) => {
                let state = if is_up { "up" } else { "down" };
                assert!(did(&format!("ip link set {link} {state}")));
            }
            None => self.proxy.hold(Held {
                requests: !is_up,
                replies: !is_up,
            }),
        }
    }
}

/// The jobs about which a host has written such lines.
fn of_host(book: &mut Reader, deed: &str, host: u64) -> BTreeSet<u64> {
    let all = book.all(deed).into_iter();
    all.filter(|line| line[1] == host)
        .map(|line| line[0])
        .collect()
}

#[test]
fn hosts_that_are_cut_off_come_back_and_end_nothing_twice() {
    let (server, folder) = (Server::start(&[]), Folder::new());
    let (jobs, ledger) = (open(&server.url()), Ledger::default());
    let mut book = Reader::open(folder.path());
    let hosts = [1, 2, 3].map(|number| Host::start(number, &server, folder.path()));

    // The one that runs most is cut off.
    let long_ones = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    ledger.enqueue(&jobs, &long_ones).unwrap();
    until("all jobs begin", || {
        book.all("run").len() >= long_ones.len()
    });
    let mut victim = &hosts[0];
    for host in &hosts[1..] {
        let mut jobs_of = |host: &Host| of_host(&mut book, "run", host.number).len();
        if jobs_of(host) > jobs_of(victim) {
            victim = host;
        }
    }
    let lost = of_host(&mut book, "run", victim.number);
    victim.set_up(false);
    until("its jobs run elsewhere", || {
        let mut elsewhere = BTreeSet::new();
        for host in hosts.iter().filter(|host| host.number != victim.number) {
            elsewhere.append(&mut of_host(&mut book, "run", host.number));
        }
        lost.is_subset(&elsewhere)
    });
    until("its own bodies are notified", || {
        lost.is_subset(&of_host(&mut book, "lease", victim.number))
    });
    victim.set_up(true);
    let (victim_number, pid) = (victim.number, victim.child.id());
    until("it has another lease", || {
        let now = jobs.storage().now().unwrap();
        let sessions = jobs.sessions().unwrap();
        let mut of_victim = sessions.iter().filter(|session| session.info.pid == pid);
        of_victim.any(|session| session.lease_until > now)
    });
    // Its late ends have not counted.
    let all = Filter {
        payloads: true,
        ..Filter::default()
    };
    for job in jobs.list(all) {
        let job = job.unwrap();
        let work: Work = serde_json::from_slice(&job.payload).unwrap();
        assert!(!lost.contains(&work.n) || job.ended_at.is_none(), "{job:?}");
    }
    fs::write(folder.path().join(MAY_END), "").unwrap();

    // And now at random.
    let (mut random, rounds) = (Random::new(), cuts().div_ceil(20));
    let mut n = LONG_ONES;
    for _ in 0..rounds {
        let numbers: Vec<u64> = (n..n + 40).collect();
        n += 40;
        ledger.enqueue(&jobs, &numbers).unwrap();
        let victims: Vec<&Host> = hosts.iter().filter(|_| random.below(2) == 0).collect();
        random.pause(50);
        victims.iter().for_each(|host| host.set_up(false));
        random.pause(2500);
        victims.iter().for_each(|host| host.set_up(true));
    }
    let ran = Ran::default();
    until("all jobs run", || {
        book.read();
        let ended = |n: u64| {
            book.deeds
                .iter()
                .any(|one| one.deed == "ended" && one.numbers[0] == n)
        };
        long_ones.into_iter().chain(LONG_ONES..n).all(ended)
    });
    for ended in book.all("ended") {
        ran.note(ended[0]);
    }
    assert_eq!(ledger.settle(&jobs, &ran, |_| false).len(), 0);
    let networks = hosts.iter().filter(|host| host.link.is_some()).count();
    for host in hosts {
        host.child.end();
    }
    all_is_at_rest(&jobs);
    let reports = book.all("report");
    let of_victim = reports
        .iter()
        .find(|report| report[0] == victim_number)
        .unwrap();
    let even = lost.iter().filter(|n| *n % 2 == 0).count() as u64;
    assert!(of_victim[2] >= even, "{reports:?}");
    let gone: u64 = reports.iter().map(|report| report[2]).sum();
    eprintln!(
        "{} jobs, {} of the first lost their host, then {rounds} rounds; {networks} hosts with \
         networks of their own, {} lost claims, {gone} late ends, {} bodies again",
        ran.count(),
        lost.len(),
        jobs.counts().unwrap().totals.crashed,
        ran.again()
    );
}
