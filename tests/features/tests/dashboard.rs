//! The server of the dashboard, over real sockets: what it answers, what it refuses, what bounds it.

mod support;

use millhand::dashboard::{Dashboard, DashboardBuilder, Panel, PanelAction};
use millhand::{Every, Semaphore, ThreadPool};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{connect, control, control_with, get, read, send, wait_until};

const HOUR: Duration = Duration::from_secs(3600);

fn pool() -> ThreadPool {
    ThreadPool::builder()
        .workers(2)
        .name_prefix("tested")
        .build()
        .unwrap()
}

fn serve(builder: DashboardBuilder) -> Dashboard {
    builder.serve("127.0.0.1:0").unwrap()
}

fn show(pool: &ThreadPool) -> (Dashboard, SocketAddr) {
    let page = serve(Dashboard::builder().pool(pool));
    let address = page.local_addr();
    (page, address)
}

fn show_with_control(pool: &ThreadPool) -> (Dashboard, SocketAddr) {
    let page = serve(
        Dashboard::builder()
            .pool(pool)
            .allow_control("a-secret-of-the-tests"),
    );
    let address = page.local_addr();
    (page, address)
}

// What is served.

#[test]
fn a_foreign_client_gets_the_page_and_its_files() {
    let pool = pool();
    let (_page, address) = show(&pool);
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
        ("/page.json", "application/json"),
        ("/stats.json", "application/json"),
        ("/tasks.json", "application/json"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
    ] {
        let mut reply = ureq::get(format!("http://{address}{path}")).call().unwrap();
        let header = |name: &str| reply.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), kind, "{path}");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("connection"), "close");
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
        assert!(!reply.body_mut().read_to_string().unwrap().is_empty());
        let head = ureq::head(format!("http://{address}{path}"))
            .call()
            .unwrap();
        assert_eq!(head.headers()["content-type"].to_str().unwrap(), kind);
    }
}

#[test]
fn the_page_names_nothing_outside() {
    let pool = pool();
    let (_page, address) = show(&pool);
    for path in ["/", "/page.css", "/page.js"] {
        let text = get(address, path)
            .body
            .replace("http://www.w3.org/2000/svg", "");
        assert!(
            !text.contains("://") && !text.contains("style=") && !text.contains("innerHTML"),
            "{path}"
        );
    }
}

#[test]
fn the_counts_are_those_of_the_pool() {
    let (one, other) = (
        pool(),
        ThreadPool::builder()
            .workers(1)
            .name_prefix("other")
            .build()
            .unwrap(),
    );
    let page = serve(Dashboard::builder().pool(&one).pool(&other.handle()));
    let address = page.local_addr();
    let tasks: Vec<_> = (0..7).map(|n| one.submit(move || n)).collect();
    tasks
        .into_iter()
        .for_each(|task| assert!(task.join().is_ok()));
    let stats = get(address, "/stats.json").json();
    let (first, second) = (&stats["pools"][0], &stats["pools"][1]);
    assert_eq!(
        (&first["pool"], &second["pool"]),
        (&"tested".into(), &"other".into())
    );
    assert_eq!(
        (first["succeeded"].as_u64(), first["submitted"].as_u64()),
        (Some(7), Some(7))
    );
    assert_eq!(second["succeeded"].as_u64(), Some(0));
    assert_eq!(
        get(address, "/page.json?pool=1").json()["pool"]["stats"]["pool"],
        "other"
    );
    let metrics = get(address, "/metrics").body;
    let of_first =
        |line: &&str| line.contains("succeeded") && line.contains("tested") && line.ends_with(" 7");
    assert!(metrics.lines().any(|line| of_first(&line)), "{metrics}");
    // Each family has one heading, also with two pools.
    let headings: Vec<_> = metrics
        .lines()
        .filter(|line| line.starts_with("# TYPE"))
        .collect();
    let mut unique = headings.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(headings.len(), unique.len());
}

#[test]
fn a_reply_lists_so_many_tasks_at_most() {
    let (one, other) = (pool(), pool());
    let page = serve(Dashboard::builder().pool(&one).pool(&other).max_rows(5));
    let delayed = |pool: &ThreadPool| pool.task().name("later").delay(HOUR).submit(|| ());
    let tasks: Vec<_> = (0..8)
        .map(|n| delayed(if n % 2 == 0 { &one } else { &other }))
        .collect();
    let pools = &get(page.local_addr(), "/tasks.json").json()["pools"];
    let rows = |n: usize| pools[n]["tasks"].as_array().unwrap().len();
    assert_eq!((rows(0), rows(1)), (4, 1));
    assert_eq!(pools[1]["unlisted"].as_u64(), Some(3));
    let more: Vec<_> = (0..4).map(|_| delayed(&one)).collect();
    let shown = &get(page.local_addr(), "/page.json").json()["pool"];
    assert_eq!(shown["waiting"].as_array().unwrap().len(), 5);
    assert_eq!(shown["unlisted"].as_u64(), Some(3));
    tasks.iter().chain(&more).for_each(|task| {
        task.cancel();
    });
}

#[test]
fn tasks_are_shown_with_what_they_wait_for() {
    let pool = pool();
    let (_page, address) = show(&pool);
    let gate = Semaphore::new(1).unwrap();
    let taken = gate.acquire().unwrap();
    let (send, receive) = channel::<()>();
    let busy = pool
        .task()
        .name("busy")
        .submit(move || receive.recv().is_ok());
    let gated = pool.task().name("gated").gate(&gate).submit(|| ());
    let shown = || get(address, "/page.json").json()["pool"].clone();
    wait_until("both are listed", || {
        let shown = shown();
        shown["running"][0]["name"] == "busy" && shown["waiting"][0]["state"] == "gated"
    });
    let shown = shown();
    assert_eq!(shown["running"][0]["id"], busy.id().to_string());
    assert!(
        shown["running"][0]["site"]
            .as_str()
            .unwrap()
            .contains("dashboard.rs")
    );
    assert_eq!(shown["waiting"][0]["id"], gated.id().to_string());
    let what = &shown["waiting"][0]["waits_for"][0];
    assert_eq!(
        (&what["what"], &what["kind"]),
        (&"gate".into(), &"semaphore".into())
    );
    drop((taken, send));
    gated.join().unwrap();
}

#[test]
fn failures_are_shown_with_their_errors() {
    let pool = pool();
    let (_page, address) = show(&pool);
    pool.task()
        .name("parse")
        .fallible()
        .submit(|| "x".parse::<u32>())
        .join_ok()
        .unwrap_err();
    pool.task()
        .name("<b>bold</b>")
        .submit(|| panic!("no way"))
        .join()
        .unwrap_err();
    let failures = || get(address, "/page.json").json()["pool"]["failures"].clone();
    wait_until("both are listed", || {
        failures().as_array().unwrap().len() == 2
    });
    let failures = failures();
    let of = |outcome: &str| {
        failures
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["outcome"] == outcome)
            .unwrap()
    };
    assert_eq!(of("failed")["error"], "invalid digit found in string");
    assert_eq!(of("panicked")["error"], "no way");
    assert!(
        of("panicked")["site"]
            .as_str()
            .unwrap()
            .contains("dashboard.rs")
    );
}

#[test]
fn more_bodies_than_rows_are_counted_once() {
    let pool = ThreadPool::builder().workers(4).build().unwrap();
    let page = serve(Dashboard::builder().pool(&pool).max_rows(2));
    let (send, receive) = channel::<()>();
    let receive = Arc::new(Mutex::new(receive));
    for _ in 0..4 {
        let receive = receive.clone();
        pool.task().name("busy").execute(move || {
            let _ = receive.lock().unwrap().recv();
        });
    }
    let later = pool.task().name("later").delay(HOUR).submit(|| ());
    wait_until("all of them run", || pool.stats().running == 4);
    let shown = &get(page.local_addr(), "/page.json").json()["pool"];
    assert_eq!(shown["running"].as_array().unwrap().len(), 2);
    assert_eq!(shown["waiting"].as_array().unwrap().len(), 0);
    assert_eq!(shown["unlisted"].as_u64(), Some(3));
    drop(send);
    later.cancel();
}

#[test]
fn histograms_are_shown_if_the_pool_has_them() {
    let pool = ThreadPool::builder()
        .workers(1)
        .histograms(9)
        .build()
        .unwrap();
    let (_page, address) = show(&pool);
    pool.task().name("parse").submit(|| ()).join().unwrap();
    pool.wait_idle().unwrap();
    let stats = get(address, "/stats.json").json();
    let times = &stats["pools"][0]["times"];
    assert_eq!(
        (&times[0]["name"], &times[1]["name"]),
        (&serde_json::Value::Null, &"parse".into())
    );
    assert_eq!(times[1]["ran"]["count"].as_u64(), Some(1));
    assert!(times[1]["total"]["max"].as_f64() > Some(0.0));
}

// What is refused.

#[test]
fn bad_requests_are_refused() {
    let pool = pool();
    let (_page, address) = show(&pool);
    let with = |header: &str| format!("GET / HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n");
    let long = "x".repeat(100_000);
    for (request, status) in [
        (String::new(), 0),
        ("GET / HTT".into(), 400),
        ("\x16\x03\x01\x02\0\x01\0\x01\u{7f}".into(), 400),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("GET / HTTP/3\r\nHost: localhost\r\n\r\n".into(), 400),
        (with("Host: localhost"), 400),
        (with("Content-Length: 2\r\nContent-Length: 3"), 400),
        (with("Content-Length: 2\r\nTransfer-Encoding: chunked"), 411),
        (with("Content-Length: -1"), 400),
        (with("Content-Length: 5000"), 413),
        (with("Content-Length: 99999999999999999999999"), 413),
        (with("Content-Length: 5"), 400),
        (with(&format!("Cookie: {long}")), 431),
        (with(&"a: b\r\n".repeat(100)), 431),
        (format!("GET /{long} HTTP/1.1\r\n"), 431),
        (
            "GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
            404,
        ),
        (
            "GET /%2e%2e/page.js HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
            404,
        ),
        (
            "GET //page.js HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
            404,
        ),
        (
            "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
            400,
        ),
        (
            "GET /panel.json?panel=0 HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
            404,
        ),
        (
            "GET /page.json?pool=1 HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
            404,
        ),
        (
            "GET /page.json?pool=-1 HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
            404,
        ),
        (
            "GET /tasks.json?pool=x HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
            404,
        ),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n".into(), 403),
        (
            "GET / HTTP/1.1\r\nHost: localhost.evil.example:80\r\n\r\n".into(),
            403,
        ),
    ] {
        let short: String = request.chars().take(80).collect();
        assert_eq!(send(address, &request).status, status, "{short:?}");
    }
    for (method, path, allow) in [
        ("POST", "/", "GET, HEAD"),
        ("DELETE", "/stats.json", "GET, HEAD"),
        ("OPTIONS", "/page.js", "GET, HEAD"),
        ("TRACE", "/metrics", "GET, HEAD"),
        ("GET", "/control", "POST"),
    ] {
        let reply = send(
            address,
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        );
        assert_eq!(reply.status, 405, "{method} {path}");
        assert!(
            reply.head.contains(&format!("\r\nAllow: {allow}\r\n")),
            "{}",
            reply.head
        );
    }
    assert_eq!(get(address, "/stats.json").status, 200);
}

#[test]
fn a_host_that_was_given_is_allowed() {
    let pool = pool();
    let page = serve(
        Dashboard::builder()
            .pool(&pool)
            .allow_host("Jobs.example.com"),
    );
    let status = |host: &str| {
        send(
            page.local_addr(),
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        )
        .status
    };
    assert_eq!(status("jobs.example.com:9944"), 200);
    assert_eq!(status("[::1]:9944"), 200);
    assert_eq!(status("other.example.com"), 403);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let pool = pool();
    let builder = || Dashboard::builder().pool(&pool);
    let error =
        |builder: DashboardBuilder, address: &str| builder.serve(address).unwrap_err().to_string();
    assert!(error(Dashboard::builder(), "127.0.0.1:0").contains("`pool`"));
    assert!(error(builder().max_rows(0), "127.0.0.1:0").contains("`max_rows`"));
    assert!(error(builder().allow_control(""), "127.0.0.1:0").contains("`allow_control`"));
    assert!(error(builder().allow_control("two words"), "127.0.0.1:0").contains("`allow_control`"));
    assert!(error(builder().allow_control("fifteen-letters"), "127.0.0.1:0").contains("16"));
    assert!(error(builder().allow_host("[::1]:80"), "127.0.0.1:0").contains("`allow_host`"));
    assert!(error(builder().allow_host("a:80"), "127.0.0.1:0").contains("`allow_host`"));
    assert!(error(builder(), "0.0.0.0:0").contains("allow_remote"));
    assert!(error(builder(), "[::]:0").contains("allow_remote"));
    assert!(error(builder(), "no port").contains("resolve"));
    let page = serve(builder());
    let taken = builder().serve(page.local_addr()).unwrap_err();
    assert!(taken.io().is_some());
    // On all addresses, and stopped through the loopback.
    let page = builder().allow_remote(true).serve("0.0.0.0:0").unwrap();
    assert_eq!(
        get(([127, 0, 0, 1], page.local_addr().port()).into(), "/").status,
        200
    );
}

// Changes.

#[test]
fn the_page_is_read_only_by_default() {
    let pool = pool();
    let (_page, address) = show(&pool);
    let command = r#"{"do":"resize","pool":0,"workers":5}"#;
    assert_eq!(control(address, command).status, 403);
    assert_eq!(pool.workers(), 2);
    assert_eq!(get(address, "/page.json").json()["allows_control"], false);
}

#[test]
fn a_command_needs_the_token_and_no_other_site() {
    let pool = pool();
    let (_page, address) = show_with_control(&pool);
    let command = r#"{"do":"resize","pool":0,"workers":5}"#;
    let json = "Content-Type: application/json\r\n";
    let right = format!("{json}Authorization: Bearer a-secret-of-the-tests\r\n");
    for (headers, status) in [
        (json.to_owned(), 401),
        (format!("{json}Authorization: Bearer wrong\r\n"), 401),
        (
            format!("{json}Authorization: Basic a-secret-of-the-tests\r\n"),
            401,
        ),
        (
            "Content-Type: text/plain\r\nAuthorization: Bearer a-secret-of-the-tests\r\n".into(),
            415,
        ),
        (format!("{right}Origin: http://evil.example\r\n"), 403),
        (format!("{right}Origin: null\r\n"), 403),
        (format!("{right}Origin: http://localhost:1\r\n"), 403),
        (format!("{right}Sec-Fetch-Site: cross-site\r\n"), 403),
        (format!("{right}Sec-Fetch-Site: same-site\r\n"), 403),
    ] {
        assert_eq!(
            control_with(address, &headers, command).status,
            status,
            "{headers}"
        );
        assert_eq!(pool.workers(), 2);
    }
    let here = format!("{right}Origin: http://{address}\r\nSec-Fetch-Site: same-origin\r\n");
    assert_eq!(control_with(address, &here, command).status, 200);
    assert_eq!(pool.workers(), 5);
}

#[test]
fn commands_are_checked() {
    let pool = pool();
    let (_page, address) = show_with_control(&pool);
    for (command, status) in [
        ("", 400),
        ("{", 400),
        ("[]", 400),
        (r#"{"do":"stop"}"#, 400),
        (r#"{"do":"check"}"#, 200),
        (r#"{"do":"resize","workers":1}"#, 404),
        (r#"{"do":"resize","pool":1,"workers":1}"#, 404),
        (r#"{"do":"resize","pool":0}"#, 400),
        (r#"{"do":"resize","pool":0,"workers":-1}"#, 400),
        (r#"{"do":"resize","pool":0,"workers":0}"#, 422),
        (r#"{"do":"resize","pool":0,"workers":1000000}"#, 422),
        (r#"{"do":"cancel","pool":0}"#, 400),
        (r#"{"do":"cancel","pool":0,"task":"x"}"#, 400),
        (
            r#"{"do":"cancel","pool":0,"task":"18446744073709551615"}"#,
            404,
        ),
        (r#"{"do":"pause","pool":0,"schedule":"99"}"#, 404),
        (r#"{"do":"act","panel":0,"action":"x"}"#, 404),
    ] {
        assert_eq!(control(address, command).status, status, "{command}");
    }
    // serde_json bounds how deep a text may nest.
    assert_eq!(control(address, &"[".repeat(4000)).status, 400);
}

#[test]
fn a_task_is_cancelled_by_its_id() {
    let pool = pool();
    let (_page, address) = show_with_control(&pool);
    let later = pool.task().name("later").delay(HOUR).submit(|| ());
    let id = later.id();
    let command = format!(r#"{{"do":"cancel","pool":0,"task":"{id}"}}"#);
    let reply = control(address, &command);
    assert_eq!(
        (reply.status, reply.body),
        (200, format!("task {id} is cancelled\n"))
    );
    assert!(later.is_finished());
    assert_eq!(control(address, &command).status, 404);

    let (send, receive) = channel();
    let running = pool.task().name("running").submit(move || {
        send.send(()).unwrap();
        let _ = millhand::sleep(HOUR);
    });
    receive.recv().unwrap();
    let id = running.id();
    let reply = control(
        address,
        &format!(r#"{{"do":"cancel","pool":0,"task":{id}}}"#),
    );
    assert_eq!(
        (reply.status, reply.body),
        (200, format!("task {id} is asked to stop\n"))
    );
    let _ = running.join();
}

#[test]
fn a_schedule_is_paused_and_resumed() {
    let pool = pool();
    let (_page, address) = show_with_control(&pool);
    let hourly = pool
        .task()
        .name("backup")
        .every(Every::new(HOUR))
        .run(|| ())
        .unwrap();
    let shown = get(address, "/page.json").json()["pool"]["schedules"][0].clone();
    assert_eq!(
        (&shown["name"], &shown["paused"]),
        (&"backup".into(), &false.into())
    );
    assert!(shown["next_run"].as_f64().is_some());
    let command = |verb: &str| format!(r#"{{"do":"{verb}","pool":0,"schedule":{}}}"#, shown["id"]);
    assert_eq!(control(address, &command("pause")).status, 200);
    assert!(hourly.is_paused());
    assert_eq!(control(address, &command("resume")).status, 200);
    assert!(!hourly.is_paused());
    hourly.cancel();
    assert_eq!(control(address, &command("pause")).status, 404);
}

// Panels.

#[derive(Default)]
struct Letters(Mutex<Vec<String>>);

impl Panel for Letters {
    fn title(&self) -> String {
        "letters".into()
    }

    fn json(&self) -> String {
        match self.0.lock().unwrap().first().map(|row| &**row) {
            Some("panic") => panic!("the panel fails"),
            Some("broken") => "{".into(),
            _ => r#"[{"id":7,"to":"Ada"}]"#.into(),
        }
    }

    fn actions(&self) -> Vec<PanelAction> {
        vec![PanelAction::new("empty"), PanelAction::per_row("retry")]
    }

    fn act(&self, action: &str, row: Option<&str>) -> Result<String, String> {
        if row == Some("panic") {
            panic!("the action fails");
        }
        self.0.lock().unwrap().push(format!("{action} {row:?}"));
        if action == "empty" {
            Err("not now".into())
        } else {
            Ok("done".into())
        }
    }
}

#[test]
fn a_panel_is_shown_and_acts() {
    let letters = Arc::new(Letters::default());
    let page = serve(
        Dashboard::builder()
            .panel(letters.clone())
            .allow_control("a-secret-of-the-tests"),
    );
    let address = page.local_addr();
    let listed = get(address, "/page.json").json();
    assert_eq!(listed["panels"][0]["title"], "letters");
    assert_eq!(listed["panels"][0]["actions"][1]["per_row"], true);
    assert!(listed["pool"].is_null());
    assert_eq!(get(address, "/panel.json?panel=0").json()[0]["to"], "Ada");
    let act = |rest: &str| control(address, &format!(r#"{{"do":"act","panel":0,{rest}}}"#));
    assert_eq!(act(r#""action":"retry","row":"7""#).body, "done\n");
    let refused = act(r#""action":"empty""#);
    assert_eq!((refused.status, &*refused.body), (422, "not now\n"));
    assert_eq!(
        *letters.0.lock().unwrap(),
        ["retry Some(\"7\")", "empty None"]
    );
    // Only as it was offered.
    assert_eq!(act(r#""action":"other""#).status, 404);
    assert_eq!(act(r#""action":"retry""#).status, 404);
    assert_eq!(act(r#""action":"empty","row":"7""#).status, 404);
    // A failure is that of one request.
    assert_eq!(act(r#""action":"retry","row":"panic""#).status, 500);
    *letters.0.lock().unwrap() = vec!["broken".into()];
    assert_eq!(get(address, "/panel.json?panel=0").status, 500);
    *letters.0.lock().unwrap() = vec!["panic".into()];
    assert_eq!(get(address, "/panel.json?panel=0").status, 500);
    letters.0.clear_poison();
    letters.0.lock().unwrap().clear();
    assert_eq!(get(address, "/panel.json?panel=0").status, 200);
}

/// Drops the dashboard in its own action.
struct Stops(Arc<Mutex<Option<Dashboard>>>);

impl Panel for Stops {
    fn title(&self) -> String {
        "stops".into()
    }

    fn json(&self) -> String {
        "null".into()
    }

    fn actions(&self) -> Vec<PanelAction> {
        vec![PanelAction::new("stop")]
    }

    fn act(&self, _: &str, _: Option<&str>) -> Result<String, String> {
        drop(self.0.lock().unwrap().take());
        Ok("stopped".into())
    }
}

#[test]
fn a_panel_may_drop_its_dashboard() {
    let place = Arc::new(Mutex::new(None));
    let page = serve(
        Dashboard::builder()
            .panel(Stops(place.clone()))
            .allow_control("a-secret-of-the-tests"),
    );
    let address = page.local_addr();
    *place.lock().unwrap() = Some(page);
    // Its own connection ends, too.
    assert_eq!(
        control(address, r#"{"do":"act","panel":0,"action":"stop"}"#).status,
        0
    );
    wait_until("the end of the acceptor", || {
        TcpStream::connect(address).is_err()
    });
}

// Clients that are slow, dead, or too many.

/// A connection with the beginning of a request.
fn begin(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    stream
}

#[test]
fn a_request_that_takes_too_long_is_refused() {
    let pool = pool();
    let (_page, address) = show(&pool);
    let silent = begin(address);
    // A byte now and then extends no deadline.
    let slow = begin(address);
    let mut writer = slow.try_clone().unwrap();
    let writes = std::thread::spawn(move || {
        writer.write_all(b"a: ").unwrap();
        while writer.write_all(b"b").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    assert_eq!(read(&silent).status, 408);
    // The last bytes may cross the end of the connection, which then is a reset.
    let mut reply = [0; 12];
    std::io::Read::read_exact(&mut &slow, &mut reply).unwrap();
    assert_eq!(&reply, b"HTTP/1.1 408");
    writes.join().unwrap();
}

#[test]
fn the_ninth_connection_gets_a_503() {
    let pool = pool();
    let (_page, address) = show(&pool);
    let mut held: Vec<_> = (0..8).map(|_| begin(address)).collect();
    // On a slow machine the server may not have read what one of them sent, take it as unused, and close it. Another one
    // then takes its place.
    wait_until("a 503", || {
        let reply = get(address, "/stats.json");
        let is_refused = reply.status == 503;
        if is_refused {
            assert!(
                reply.head.contains("\r\nRetry-After: 1\r\n"),
                "{}",
                reply.head
            );
        } else {
            held.push(begin(address));
        }
        is_refused
    });
    drop(held);
    wait_until("a free thread", || {
        get(address, "/stats.json").status == 200
    });
}

#[test]
fn idle_and_dead_connections_make_room() {
    let pool = pool();
    let (_page, address) = show(&pool);
    // As a browser opens them in advance.
    let idle: Vec<_> = (0..8).map(|_| connect(address)).collect();
    wait_until("a thread whose client is idle", || {
        get(address, "/stats.json").status == 200
    });
    drop(idle);
    (0..100).for_each(|_| drop(begin(address)));
    wait_until("a thread whose client is gone", || {
        get(address, "/stats.json").status == 200
    });
}

/// More than the buffers of a socket hold, and about as much as a reply may have.
struct Large;

impl Panel for Large {
    fn title(&self) -> String {
        "large".into()
    }

    fn json(&self) -> String {
        format!("\"{}\"", "x".repeat((4 << 20) - 9))
    }
}

#[test]
fn a_client_that_does_not_read_holds_no_thread_for_long() {
    let page = serve(Dashboard::builder().panel(Large));
    let address = page.local_addr();
    let unread: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = connect(address);
            let request = format!("GET /panel.json?panel=0 HTTP/1.1\r\nHost: {address}\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    wait_until("a free thread", || get(address, "/page.json").status == 200);
    drop(unread);
}

#[test]
fn the_drop_ends_all_connections() {
    let pool = pool();
    let (page, address) = show(&pool);
    let idle: Vec<_> = (0..3).map(|_| connect(address)).collect();
    let begun: Vec<_> = (0..8).map(|_| begin(address)).collect();
    drop(page);
    for stream in idle.iter().chain(&begun) {
        // Closed, or reset if its bytes were not read. One that was refused has a 503.
        let _ = stream.set_nonblocking(false);
        let mut end = Vec::new();
        let _ = std::io::Read::read_to_end(&mut &*stream, &mut end);
        assert!(end.is_empty() || end.starts_with(b"HTTP/1.1 503"));
    }
    assert!(TcpStream::connect(address).is_err());
    // The address is free at once.
    drop(Dashboard::builder().pool(&pool).serve(address).unwrap());
}

#[test]
fn a_pool_that_has_ended_is_shown_as_closed() {
    let pool = pool();
    let (_page, address) = show_with_control(&pool);
    pool.submit(|| ()).join().unwrap();
    drop(pool);
    let shown = get(address, "/page.json").json();
    assert_eq!(shown["pool"]["closed"], true);
    assert_eq!(shown["pool"]["stats"]["succeeded"].as_u64(), Some(1));
    let reply = control(address, r#"{"do":"resize","pool":0,"workers":3}"#);
    assert_eq!((reply.status, &*reply.body), (409, "the pool has ended\n"));
}
