//! What the server of the dashboard costs under load: threads, memory, and nothing of the pool. One test, so that the
//! threads and the memory of the process are its own.
#![cfg(target_os = "linux")]

mod support;

use millhand::ThreadPool;
use millhand::dashboard::Dashboard;
use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};
use support::{connect, get, wait_until};

/// The names of the threads of the dashboard.
fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    // A thread may end meanwhile.
    let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    let is_ours = |name: &String| name == "dashboard\n" || name.starts_with("dashboard-");
    names.filter(is_ours).collect()
}

/// The resident memory, in KiB.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Asks so often on so many threads, until each request is answered.
fn ask(address: SocketAddr, path: &'static str, clients: usize, requests: usize) {
    let begun = Instant::now();
    let ask = move || {
        let mut refused = 0;
        for _ in 0..requests {
            wait_until("an answer", || match get(address, path).status {
                200 => true,
                503 => {
                    refused += 1;
                    false
                }
                status => panic!("{status}"),
            });
        }
        refused
    };
    let threads: Vec<_> = (0..clients).map(|_| thread::spawn(ask)).collect();
    let refused: usize = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum();
    let seconds = begun.elapsed().as_secs_f64();
    let rate = (clients * requests + refused) as f64 / seconds;
    println!(
        "{path}: {clients} clients, {rate:.0} requests/s, {refused} refused, {} KiB",
        memory()
    );
}

#[test]
fn thousands_of_requests_cost_nine_threads_and_no_memory() {
    let pool = ThreadPool::builder()
        .workers(2)
        .name_prefix("loaded")
        .build()
        .unwrap();
    let page = Dashboard::builder()
        .pool(&pool)
        .serve("127.0.0.1:0")
        .unwrap();
    let address = page.local_addr();
    wait_until("the name of the acceptor", || threads() == ["dashboard\n"]);
    let hour = Duration::from_secs(3600);
    let later: Vec<_> = (0..300)
        .map(|_| pool.task().name("later").delay(hour).submit(|| ()))
        .collect();

    ask(address, "/stats.json", 1, 1000);
    let paths = ["/page.json", "/tasks.json", "/metrics", "/page.js"];
    let ask_all = || {
        ask(address, "/stats.json", 16, 100);
        paths.iter().for_each(|path| ask(address, path, 16, 25));
    };
    ask_all();
    let (before, open) = (memory(), files());
    ask_all();
    assert!(threads().len() <= 9, "{:?}", threads());
    // Connections that end at once: as many at a time as the system queues.
    for _ in 0..10 {
        (0..100).for_each(|_| drop(connect(address)));
        ask(address, "/stats.json", 1, 1);
    }
    ask(address, "/stats.json", 1, 1000);
    assert!(
        memory() < before + 16 * 1024,
        "from {before} KiB to {} KiB",
        memory()
    );
    // Those that were refused are closed with the next ones.
    wait_until("closed connections", || {
        get(address, "/stats.json");
        files() <= open + 8
    });

    // The pool did nothing of that.
    let stats = pool.stats();
    assert_eq!(stats.submitted as usize, later.len());
    assert_eq!(stats.threads, 2);
    drop(page);
    assert_eq!(threads(), [""; 0]);
    for task in &later {
        task.cancel();
    }
}
