//! What one request, one panel or one client of the dashboard may take from the others.

mod support;

use log::{LevelFilter, Log, Metadata, Record};
use millhand::dashboard::{Dashboard, DashboardBuilder, Panel, PanelAction};
use millhand::{TaskHandle, ThreadPool};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};
use support::{connect, control, control_with, get, read, send, wait_until};

const TOKEN: &str = "a-secret-of-the-tests";
const HOUR: Duration = Duration::from_secs(3600);

fn pool(name: &str) -> ThreadPool {
    let builder = ThreadPool::builder().workers(1).name_prefix(name);
    builder.build().unwrap()
}

fn serve(builder: DashboardBuilder) -> (Dashboard, SocketAddr) {
    let page = builder.serve("127.0.0.1:0").unwrap();
    let address = page.local_addr();
    (page, address)
}

fn later(pool: &ThreadPool, name: &str) -> TaskHandle<()> {
    pool.task().name(name).delay(HOUR).submit(|| ())
}

struct Lines;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{} {}", record.level(), record.args());
        LINES.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}

/// How many lines of the log have this text.
fn logged(text: &str) -> usize {
    let lines = LINES.lock().unwrap();
    lines.iter().filter(|line| line.contains(text)).count()
}

fn start_log() {
    static LOGGER: OnceLock<()> = OnceLock::new();
    LOGGER.get_or_init(|| log::set_logger(&Lines).unwrap());
    log::set_max_level(LevelFilter::Info);
}

// What is listed.

#[test]
fn the_tasks_of_the_smallest_ids_are_chosen_and_the_others_counted() {
    let pool = pool("many");
    let (_page, address) = serve(Dashboard::builder().pool(&pool).max_rows(3));
    let tasks: Vec<_> = (0..500)
        .map(|n| later(&pool, &format!("later {n}")))
        .collect();
    let listed = &get(address, "/tasks.json").json()["pools"][0];
    let ids = listed["tasks"].as_array().unwrap().iter();
    let ids: Vec<_> = ids
        .map(|task| task["id"].as_str().unwrap().to_owned())
        .collect();
    let first: Vec<_> = tasks[..3]
        .iter()
        .map(|task| task.id().to_string())
        .collect();
    assert_eq!(ids, first);
    assert_eq!(listed["unlisted"], 497);
    tasks.iter().for_each(|task| {
        task.cancel();
    });
}

#[test]
fn a_page_of_another_site_gets_no_data() {
    let pool = pool("data");
    let (_page, address) = serve(Dashboard::builder().pool(&pool));
    let status = |path: &str, site: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n");
        send(address, format!("{head}Sec-Fetch-Site: {site}\r\n\r\n")).status
    };
    for path in [
        "/page.json",
        "/panel.json",
        "/stats.json",
        "/tasks.json",
        "/metrics",
    ] {
        assert_eq!(
            (status(path, "cross-site"), status(path, "same-site")),
            (403, 403),
            "{path}"
        );
    }
    for path in ["/page.json", "/stats.json", "/tasks.json", "/metrics"] {
        assert_eq!(
            (status(path, "none"), status(path, "same-origin")),
            (200, 200),
            "{path}"
        );
    }
    // A link may lead to the page.
    assert_eq!(status("/", "cross-site"), 200);
}

#[test]
fn a_long_name_is_cut() {
    let pool = pool("names");
    let (_page, address) = serve(Dashboard::builder().pool(&pool));
    let long = later(&pool, &"n\u{e9}".repeat(100_000));
    let shown = &get(address, "/page.json").json()["pool"]["waiting"][0];
    let name = shown["name"].as_str().unwrap();
    assert_eq!(name.chars().count(), 201);
    assert!(name.ends_with('\u{2026}'));
    long.cancel();
}

// Panels.

/// Waits in its call until the sender is dropped.
struct Hangs {
    title: &'static str,
    calls: &'static AtomicUsize,
    until: Mutex<Receiver<()>>,
}

impl Panel for Hangs {
    fn title(&self) -> String {
        self.title.into()
    }

    fn json(&self) -> String {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let _ = self.until.lock().unwrap().recv();
        "null".into()
    }

    fn actions(&self) -> Vec<PanelAction> {
        vec![PanelAction::new("act")]
    }
}

/// A panel that hangs at `calls`, and what ends its call.
fn hangs(title: &'static str, calls: &'static AtomicUsize) -> (Hangs, std::sync::mpsc::Sender<()>) {
    let (send, receive) = channel();
    let until = Mutex::new(receive);
    (
        Hangs {
            title,
            calls,
            until,
        },
        send,
    )
}

/// Asks for a panel on a thread that may take its time.
fn ask_panel(address: SocketAddr, n: usize) -> thread::JoinHandle<u16> {
    thread::spawn(move || get(address, &format!("/panel.json?panel={n}")).status)
}

#[test]
fn panels_that_hang_take_two_threads_at_most() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let pool = pool("hung");
    let mut builder = Dashboard::builder().pool(&pool).allow_control(TOKEN);
    let mut ends = Vec::new();
    for title in ["one", "two", "three"] {
        let (panel, end) = hangs(title, &CALLS);
        builder = builder.panel(panel);
        ends.push(end);
    }
    let (page, address) = serve(builder);
    let held = [ask_panel(address, 0), ask_panel(address, 1)];
    wait_until("two calls", || CALLS.load(Ordering::SeqCst) == 2);
    let begun = Instant::now();
    for _ in 0..20 {
        for panel in 0..3 {
            let busy = get(address, &format!("/panel.json?panel={panel}"));
            assert_eq!(
                (busy.status, &busy.json()["error"]),
                (503, &"the panel is busy".into())
            );
        }
        assert_eq!(
            control(address, r#"{"do":"act","panel":0,"action":"act"}"#).status,
            503
        );
        assert_eq!(get(address, "/metrics").status, 200);
    }
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(CALLS.load(Ordering::SeqCst), 2);
    drop(ends);
    for asked in held {
        asked.join().unwrap();
    }
    wait_until("a free panel", || {
        get(address, "/panel.json?panel=2").status == 200
    });
    drop(page);
}

#[test]
fn a_panel_that_hangs_does_not_hold_up_the_drop_for_ever() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    start_log();
    let (panel, end) = hangs("hangs", &CALLS);
    let (page, address) = serve(Dashboard::builder().panel(panel));
    let asked = ask_panel(address, 0);
    wait_until("a call", || CALLS.load(Ordering::SeqCst) == 1);
    let begun = Instant::now();
    drop(page);
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_secs(4) && took < Duration::from_secs(60),
        "{took:?}"
    );
    assert_eq!(logged("WARN 1 threads of the dashboard"), 1);
    drop(end);
    // Its connection was shut.
    assert_eq!(asked.join().unwrap(), 0);
}

/// More than a reply may have.
struct TooLarge;

impl Panel for TooLarge {
    fn title(&self) -> String {
        "too large".into()
    }

    fn json(&self) -> String {
        format!("\"{}\"", "x".repeat(5 << 20))
    }
}

#[test]
fn a_reply_that_is_too_long_is_refused() {
    let (_page, address) = serve(Dashboard::builder().panel(TooLarge));
    let reply = get(address, "/panel.json?panel=0");
    assert_eq!(reply.status, 500);
    assert!(reply.body.contains("too long"), "{}", reply.body);
}

// Commands.

#[test]
fn a_command_for_a_pool_of_another_name_changes_nothing() {
    let (one, other) = (pool("one"), pool("other"));
    let builder = Dashboard::builder().pool(&one).pool(&other);
    let (_page, address) = serve(builder.allow_control(TOKEN));
    let shown = get(address, "/page.json?pool=1").json();
    assert_eq!(
        (&shown["number"], &shown["pool"]["stats"]["pool"]),
        (&1.into(), &"other".into())
    );
    let resize = |rest: &str| {
        let command = format!(r#"{{"do":"resize","pool":0,"workers":3,{rest}}}"#);
        control(address, &command).status
    };
    assert_eq!(resize(r#""name":"other""#), 409);
    assert_eq!(resize(r#""instance":"of an earlier run""#), 409);
    assert_eq!((one.workers(), other.workers()), (1, 1));
    assert_eq!(
        resize(&format!(r#""name":"one","instance":{}"#, shown["instance"])),
        200
    );
    assert_eq!((one.workers(), other.workers()), (3, 1));
}

#[test]
fn wrong_tokens_and_changes_are_in_the_log() {
    start_log();
    let pool = pool("logged");
    let (_page, address) = serve(Dashboard::builder().pool(&pool).allow_control(TOKEN));
    let wrong = "Content-Type: application/json\r\nAuthorization: Bearer guessed\r\n";
    let begun = Instant::now();
    for _ in 0..20 {
        let refused = control_with(address, wrong, r#"{"do":"check"}"#);
        assert_eq!(refused.status, 401);
        assert!(refused.head.contains("\r\nWWW-Authenticate: Bearer"));
    }
    let warnings = logged("WARN a request to the dashboard has a wrong token");
    let most = 1 + begun.elapsed().as_secs() as usize;
    assert!(warnings >= 1 && warnings <= most, "{warnings}");
    assert_eq!(control(address, r#"{"do":"check"}"#).status, 200);
    assert_eq!(logged("\"logged\""), 0);
    let resize = r#"{"do":"resize","pool":0,"workers":2,"name":"logged"}"#;
    assert_eq!(control(address, resize).status, 200);
    assert_eq!(
        logged("INFO from the dashboard: \"the pool has 2 workers\""),
        1
    );
    assert_eq!(logged("guessed") + logged(TOKEN), 0);
}

// Clients.

#[test]
fn heads_that_never_end_make_room_after_a_second() {
    let pool = pool("heads");
    let (_page, address) = serve(Dashboard::builder().pool(&pool));
    let held: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = connect(address);
            stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
            stream
        })
        .collect();
    let begun = Instant::now();
    wait_until("a thread", || get(address, "/stats.json").status == 200);
    // Without an eviction, they hold the threads for 5 seconds.
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    drop(held);
}

#[test]
fn a_good_request_with_more_behind_it_gets_its_reply() {
    let pool = pool("more");
    let (_page, address) = serve(Dashboard::builder().pool(&pool));
    for _ in 0..20 {
        let mut bytes = format!("GET /page.js HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes();
        bytes.resize(100_000, b'x');
        // A reset would lose a part of it.
        let reply = send(address, &bytes);
        assert_eq!(reply.status, 200);
        assert!(reply.body.ends_with("ask();\n"));
    }
}

#[test]
fn the_address_that_is_served_is_a_host() {
    let pool = pool("bound");
    let builder = Dashboard::builder().pool(&pool);
    let page = builder.serve("127.0.0.2:0").unwrap();
    assert_eq!(get(page.local_addr(), "/stats.json").status, 200);
    // One that stands for all is none.
    let builder = Dashboard::builder().pool(&pool).allow_remote(true);
    let all = builder.serve("0.0.0.0:0").unwrap();
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), all.local_addr().port());
    assert_eq!(
        send(address, "GET / HTTP/1.1\r\nHost: 0.0.0.0\r\n\r\n").status,
        403
    );
}

#[test]
fn a_head_has_the_length_and_no_body() {
    let pool = pool("head");
    let (_page, address) = serve(Dashboard::builder().pool(&pool));
    for (path, host, status) in [
        ("/", "localhost", 200),
        ("/no", "localhost", 404),
        ("/", "\u{a0}", 400),
    ] {
        let mut stream = connect(address);
        let request = format!("HEAD {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let reply = read(&stream);
        assert_eq!((reply.status, &*reply.body), (status, ""), "{path}");
        assert!(!reply.head.contains("Content-Length: 0"));
    }
    // In absolute form, as to a proxy.
    let mut stream = connect(address);
    stream
        .write_all(b"GET http://localhost/icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("<svg"));
}
