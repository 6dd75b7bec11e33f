//! The page of the dashboard in a browser: the numbers follow the pool, and the buttons do what they say.

mod webdriver;

use millhand::dashboard::{Dashboard, DashboardBuilder, Panel, PanelAction};
use millhand::{Every, Semaphore, ThreadPool};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use webdriver::{Browser, ENTER, TAB};

const HOUR: Duration = Duration::from_secs(3600);

fn pool(name: &str) -> ThreadPool {
    ThreadPool::builder()
        .workers(2)
        .name_prefix(name)
        .build()
        .unwrap()
}

/// Serves the page, and opens it.
fn open(builder: DashboardBuilder) -> (Dashboard, Browser) {
    let page = builder.serve("127.0.0.1:0").unwrap();
    let browser = Browser::open();
    browser.go(&format!("http://{}/", page.local_addr()));
    browser.wait_for("return document.querySelectorAll('#totals dd, #panels section').length > 0");
    (page, browser)
}

/// Occupies a worker with a named task until the sender is dropped.
fn occupy(pool: &ThreadPool, name: &str) -> Sender<()> {
    let (send, receive) = channel::<()>();
    pool.task().name(name).execute(move || {
        let _ = receive.recv();
    });
    send
}

fn has_count(name: &str, n: u64) -> String {
    format!("return document.querySelector('[data-count={name}]').textContent === '{n}'")
}

/// Whether a row of the table has all these texts.
fn has_row(table: &str, texts: &[&str]) -> String {
    let texts = serde_json::to_string(texts).unwrap();
    format!(
        "return [...document.querySelectorAll('#{table} tbody tr')].some((row) => \
         {texts}.every((text) => row.textContent.includes(text)))"
    )
}

fn unlock(browser: &Browser) {
    browser.type_into("#token", &format!("a-secret-of-the-tests{ENTER}"));
    browser.wait_for("return !document.getElementById('lock').hidden");
}

/// The console has no error and no warning, and nothing was fetched from elsewhere.
fn assert_clean(browser: &Browser) {
    assert_eq!(browser.console(), [""; 0]);
    let script = "return performance.getEntriesByType('resource')
        .every((entry) => entry.name.startsWith(location.origin + '/'))";
    assert_eq!(browser.run(script), true);
}

#[test]
fn the_numbers_follow_the_load() {
    let pool = ThreadPool::builder()
        .workers(2)
        .name_prefix("loaded")
        .histograms(9)
        .build()
        .unwrap();
    let (_page, browser) = open(Dashboard::builder().pool(&pool));
    browser.wait_for(&has_count("succeeded", 0));
    assert_eq!(browser.run("return document.title"), "loaded · millhand");

    let tasks: Vec<_> = (0..7).map(|n| pool.submit(move || n)).collect();
    tasks
        .into_iter()
        .for_each(|task| assert!(task.join().is_ok()));
    browser.wait_for(&has_count("succeeded", 7));
    let mark = "<img src=x onerror=alert(1)>";
    pool.task()
        .name("import")
        .fallible()
        .submit(move || Err::<(), _>(mark))
        .join_ok()
        .unwrap_err();
    pool.task()
        .name("render")
        .submit(|| panic!("no canvas"))
        .join()
        .unwrap_err();
    browser.wait_for(&has_count("failed", 1));
    browser.wait_for(&has_count("panicked", 1));
    browser.wait_for(&has_row("failures", &["import", mark, "page.rs:"]));
    browser.wait_for(&has_row("failures", &["render", "panicked", "no canvas"]));
    assert_eq!(
        browser.run("return document.querySelectorAll('main img').length"),
        0
    );

    browser.wait_for(&has_row("times", &["import", "1", "µs"]));
    browser.wait_for(&has_row("times", &["all timed tasks", "2"]));

    let gate = Semaphore::new(1).unwrap();
    let taken = gate.acquire().unwrap();
    let hold = occupy(&pool, "long one");
    let gated = pool.task().name("gated one").gate(&gate).submit(|| ());
    let later = pool.task().name("later one").delay(HOUR).submit(|| ());
    browser.wait_for(&has_row("workers", &["long one", "busy", "page.rs:"]));
    browser.wait_for(&has_row("slowest", &["long one"]));
    browser.wait_for(&has_row("waiting", &["gated one", "semaphore"]));
    browser.wait_for(&has_row("waiting", &["later one", "59 min"]));
    browser.wait_for(&has_row("gates", &["semaphore", "gated one"]));
    browser.wait_for(&has_count("gated", 1));
    browser.wait_for(&has_count("running", 1));
    // It is shown for how long it has run, and that changes.
    let age = "return document.querySelector('#slowest td:nth-child(2)').textContent";
    let first = browser.run(age);
    browser.wait_for(&format!("{age} !== {first}"));

    let hourly = pool
        .task()
        .name("backup")
        .every(Every::new(HOUR))
        .run(|| ())
        .unwrap();
    browser.wait_for(&has_row("schedules", &["backup", "in 59 min"]));
    drop((taken, hold));
    gated.join().unwrap();
    later.cancel();
    hourly.cancel();
    browser.wait_for(&has_count("running", 0));
    browser.wait_for(&has_count("cancelled", 1));
    browser.wait_for("return document.getElementById('schedules').hidden");
    // Two points make a line.
    browser.wait_for("return document.getElementById('line').getAttribute('points').includes(' ')");
    assert_eq!(
        browser.run("return document.querySelectorAll('td button').length"),
        0
    );
    assert_clean(&browser);
}

#[test]
fn the_buttons_do_what_they_say() {
    let pool = pool("changed");
    let (_page, browser) = open(
        Dashboard::builder()
            .pool(&pool)
            .allow_control("a-secret-of-the-tests"),
    );
    let later = pool.task().name("later one").delay(HOUR).submit(|| ());
    let hourly = pool
        .task()
        .name("backup")
        .every(Every::new(HOUR))
        .run(|| ())
        .unwrap();
    browser.wait_for(&has_row("waiting", &["later one"]));
    unlock(&browser);

    let cancel = format!("button[aria-label='Cancel later one #{}']", later.id());
    browser.wait_for(&format!(
        "return document.querySelector(\"{cancel}\") !== null"
    ));
    browser.click(&cancel);
    browser.wait_for("return document.getElementById('waiting').hidden");
    assert!(later.is_finished());
    assert!(later.join().is_err());

    browser.click("button[aria-label='Pause backup']");
    browser.wait_for(&has_row("schedules", &["backup", "paused", "Resume"]));
    assert!(hourly.is_paused());
    browser.click("button[aria-label='Resume backup']");
    browser.wait_for(&has_row("schedules", &["backup", "in 59 min"]));
    assert!(!hourly.is_paused());

    browser.run("document.getElementById('workers-wanted').value = ''");
    browser.type_into("#workers-wanted", &format!("5{ENTER}"));
    browser.wait_for(&has_count("workers", 5));
    assert_eq!(pool.workers(), 5);

    browser.click("#lock");
    browser.wait_for("return document.querySelectorAll('td button').length === 0");
    assert_clean(&browser);
}

#[test]
fn a_wrong_token_unlocks_nothing() {
    let pool = pool("locked");
    let (_page, browser) = open(
        Dashboard::builder()
            .pool(&pool)
            .allow_control("a-secret-of-the-tests"),
    );
    browser.type_into("#token", &format!("wrong{ENTER}"));
    browser.wait_for(
        "return document.getElementById('message').textContent === 'The token is wrong.'",
    );
    assert_eq!(
        browser.run("return document.getElementById('resize').hidden"),
        true
    );
    // The browser itself notes the refusal.
    assert_eq!(browser.console().len(), 1);
}

#[test]
fn the_keyboard_is_enough_and_the_focus_stays() {
    let (one, other) = (pool("first"), pool("second"));
    let later = other.task().name("later one").delay(HOUR).submit(|| ());
    let (_page, browser) = open(
        Dashboard::builder()
            .pool(&one)
            .pool(&other)
            .allow_control("a-secret-of-the-tests"),
    );
    let focus = |what: &str| browser.wait_for(&format!("return document.activeElement.{what}"));
    browser.press(TAB);
    focus("className === 'skip'");
    browser.press(TAB);
    focus("textContent === 'first'");
    browser.press(TAB);
    focus("textContent === 'second'");
    browser.press(ENTER);
    browser.wait_for("return document.title === 'second · millhand'");
    focus("textContent === 'second'");
    assert_eq!(
        browser.run("return document.activeElement.getAttribute('aria-current')"),
        "true"
    );
    browser.press(TAB);
    focus("id === 'token'");
    browser.press(&format!("a-secret-of-the-tests{ENTER}"));
    focus("id === 'lock'");
    browser.press(TAB);
    focus("id === 'workers-wanted'");
    browser.press(TAB);
    browser.press(TAB);
    focus("getAttribute('aria-label').startsWith('Cancel later one')");
    // With the row of a cancelled task the focus goes to the next one.
    let doomed = other.task().name("doomed one").delay(HOUR).submit(|| ());
    let button = format!(
        "document.querySelector(\"[aria-label='Cancel doomed one #{}']\")",
        doomed.id()
    );
    browser.wait_for(&format!("return {button} !== null"));
    browser.run(&format!("{button}.focus()"));
    browser.press(ENTER);
    focus("getAttribute('aria-label')?.startsWith('Cancel later one')");
    assert!(doomed.is_finished());
    // Rows come and go around it.
    let before: Vec<_> = (0..3)
        .map(|_| other.task().name("more").delay(HOUR).submit(|| ()))
        .collect();
    browser.wait_for("return document.querySelectorAll('#waiting tbody tr').length === 4");
    focus("getAttribute('aria-label').startsWith('Cancel later one')");
    for task in &before {
        task.cancel();
    }
    browser.wait_for("return document.querySelectorAll('#waiting tbody tr').length === 1");
    browser.press(ENTER);
    browser.wait_for("return document.getElementById('waiting').hidden");
    assert!(later.is_finished());
    // The focus is not lost with the last row.
    focus("id === 'waiting-title'");
    assert_clean(&browser);
}

#[test]
fn it_fits_a_phone_and_follows_the_dark() {
    let pool = pool("phone");
    let hold = occupy(&pool, "a task with a name that goes on and on and on");
    let _later = pool.task().name("later one").delay(HOUR).submit(|| ());
    let (_page, browser) = open(Dashboard::builder().pool(&pool));
    pool.task()
        .name("x".repeat(200))
        .submit(|| panic!("{}", "y".repeat(200)))
        .join()
        .unwrap_err();
    browser.wait_for(&has_row("failures", &["yyyy"]));
    let phone =
        serde_json::json!({ "width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true });
    browser.command("Emulation.setDeviceMetricsOverride", phone);
    browser.wait_for("return innerWidth === 390 && document.documentElement.scrollWidth === 390");
    let style = "getComputedStyle(document.querySelector('#workers td'), '::before').content";
    assert_eq!(browser.run(&format!("return {style}")), "\"Worker\"");

    let background = "return getComputedStyle(document.body).backgroundColor";
    let scheme = |value: &str| {
        let features =
            serde_json::json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        browser.command("Emulation.setEmulatedMedia", features);
        browser.run(background)
    };
    assert_eq!(
        (scheme("light"), scheme("dark")),
        ("rgb(245, 246, 248)".into(), "rgb(20, 24, 29)".into())
    );
    drop(hold);
    assert_clean(&browser);
}

struct Letters(Mutex<Vec<(u32, &'static str)>>);

impl Panel for Letters {
    fn title(&self) -> String {
        "Returned letters".into()
    }

    fn json(&self) -> String {
        let letters = self.0.lock().unwrap();
        let rows = letters
            .iter()
            .map(|(id, to)| serde_json::json!({ "id": id, "to": to }));
        serde_json::Value::from(rows.collect::<Vec<_>>()).to_string()
    }

    fn actions(&self) -> Vec<PanelAction> {
        vec![PanelAction::per_row("drop"), PanelAction::new("drop all")]
    }

    fn act(&self, action: &str, row: Option<&str>) -> Result<String, String> {
        let mut letters = self.0.lock().unwrap();
        letters.retain(|(id, _)| action == "drop" && Some(&*id.to_string()) != row);
        Ok(format!("{} left", letters.len()))
    }
}

#[test]
fn a_panel_is_shown_and_acts() {
    let letters = Letters(Mutex::new(vec![
        (7, "Ada"),
        (8, "<b>Grace</b>"),
        (9, "Joan"),
    ]));
    let (_page, browser) = open(
        Dashboard::builder()
            .panel(letters)
            .allow_control("a-secret-of-the-tests"),
    );
    let rows =
        |n: u32| format!("return document.querySelectorAll('#panels tbody tr').length === {n}");
    browser.wait_for(&rows(3));
    assert!(browser.text().contains("<b>Grace</b>"));
    unlock(&browser);
    browser.wait_for("return document.querySelector(\"[aria-label='drop 8']\") !== null");
    browser.click("[aria-label='drop 8']");
    browser.wait_for(&rows(2));
    assert!(!browser.text().contains("Grace"));
    browser.click("[aria-label='drop all']");
    browser.wait_for("return document.getElementById('message').textContent === '0 left'");
    assert_clean(&browser);
}

#[test]
fn numbers_are_rounded_into_the_next_unit() {
    let pool = pool("numbers");
    let (_page, browser) = open(Dashboard::builder().pool(&pool));
    let texts = browser.run(
        "return [9.5e-7, 999.4e-6, 999.6e-6, 0.9994, 0.9996, 59.94, 59.96, 3599.9].map(duration).join()",
    );
    let wanted = "0.950 µs,999 µs,1.00 ms,999 ms,1.0 s,59.9 s,1 min 00 s,59 min 59 s";
    assert_eq!(texts, wanted);
    assert_eq!(
        browser.run("return [9.94, 9.96].map(perSecond).join()"),
        "9.9 tasks/s,10 tasks/s"
    );
}

#[test]
fn the_line_breaks_where_the_page_did_not_ask() {
    let pool = pool("gaps");
    let (_page, browser) = open(Dashboard::builder().pool(&pool));
    browser.wait_for("return lines.get(0)?.points.length >= 2");
    // As if its last answer came a minute ago.
    browser.run("lines.get(0).at -= 60; lines.get(0).ended -= 1");
    browser.wait_for("return lines.get(0).points.length < 2");
    // The counts of another run begin again.
    browser.wait_for("return lines.get(0).points.length >= 2");
    browser.run("page.instance = 'another run'");
    browser.wait_for("return page.instance !== 'another run' && lines.get(0).points.length < 2");
    assert_clean(&browser);
}

#[test]
fn a_button_acts_on_the_pool_of_its_row() {
    let (one, other) = (pool("first"), pool("second"));
    let builder = Dashboard::builder().pool(&one).pool(&other);
    let (_page, browser) = open(builder.allow_control("a-secret-of-the-tests"));
    unlock(&browser);
    browser.run("document.getElementById('workers-wanted').value = ''");
    browser.type_into("#workers-wanted", "7");
    // The other pool is asked for, and the answer is not there yet.
    browser.run("clearTimeout(timer); shown = 1; document.querySelector('#resize button').click()");
    browser.wait_for(
        "return document.getElementById('message').textContent === 'the pool has 7 workers'",
    );
    assert_eq!((one.workers(), other.workers()), (7, 2));
    // What was typed for one pool is not for the other one.
    browser.type_into("#workers-wanted", "9");
    browser.run(
        "document.querySelectorAll('#pools button')[1].click(); document.activeElement.blur()",
    );
    browser.wait_for("return document.getElementById('workers-wanted').value === '2'");
    // A pool of the same number and another name is not changed.
    browser.run("page.pool.stats.pool = 'third'; clearTimeout(timer); document.querySelector('#resize button').click()");
    browser
        .wait_for("return document.getElementById('message').textContent.includes('another name')");
}

/// Fails or hangs, as it is told.
struct Moody(Arc<Mutex<&'static str>>);

impl Panel for Moody {
    fn title(&self) -> String {
        "Moody".into()
    }

    fn json(&self) -> String {
        let mood = *self.0.lock().unwrap();
        match mood {
            "fails" => "{".into(),
            "hangs" => {
                std::thread::sleep(Duration::from_secs(8));
                "null".into()
            }
            _ => r#"[{"id":1}]"#.into(),
        }
    }
}

#[test]
fn a_panel_that_fails_shows_its_error_and_no_old_rows() {
    let pool = pool("panels");
    let mood = Arc::new(Mutex::new("well"));
    let builder = Dashboard::builder().pool(&pool).panel(Moody(mood.clone()));
    let (_page, browser) = open(builder);
    let seen = |selector: &str| {
        format!("return document.querySelector('#panels {selector}').checkVisibility()")
    };
    browser.wait_for(&seen("table"));
    assert_eq!(
        browser.run("return document.querySelector('#panels th').scope"),
        "col"
    );
    *mood.lock().unwrap() = "fails";
    browser.wait_for(
        "return document.querySelector('#panels .error').textContent.includes('no JSON')",
    );
    assert_eq!(browser.run(&seen("table")), false);
    *mood.lock().unwrap() = "well";
    browser.wait_for(&seen("table"));
    assert_eq!(browser.run(&seen(".error")), false);
    // One that hangs does not hold up the numbers.
    *mood.lock().unwrap() = "hangs";
    browser.wait_for(
        "return document.querySelector('#panels .error').textContent.includes('too long')",
    );
    let before = browser
        .run("return page.pool.stats.uptime")
        .as_f64()
        .unwrap();
    browser.wait_for(&format!("return page.pool.stats.uptime > {}", before + 2.5));
}

#[test]
fn a_restart_locks_the_page_and_a_server_that_is_gone_is_no_wrong_token() {
    let pool = pool("restarted");
    let builder = || Dashboard::builder().pool(&pool);
    let (page, browser) = open(builder().allow_control("a-secret-of-the-tests"));
    let address = page.local_addr();
    drop(page);
    browser.type_into("#token", &format!("a-secret-of-the-tests{ENTER}"));
    let message = "document.getElementById('message').textContent";
    browser.wait_for(&format!(
        "return {message} === 'The program does not answer.'"
    ));
    let page = builder()
        .allow_control("a-secret-of-the-tests")
        .serve(address)
        .unwrap();
    browser.type_into("#token", ENTER);
    browser.wait_for("return !document.getElementById('lock').hidden");
    drop(page);
    let _page = builder()
        .allow_control("another-secret-of-the-tests")
        .serve(address)
        .unwrap();
    browser.click("#resize button");
    browser.wait_for(
        "return document.getElementById('lock').hidden && document.getElementById('resize').hidden",
    );
    assert_eq!(pool.workers(), 2);
}

#[test]
fn tables_have_captions_and_controls_have_borders_that_are_seen() {
    let pool = pool("seen");
    let (_page, browser) = open(Dashboard::builder().pool(&pool));
    let uncaptioned =
        "return [...document.querySelectorAll('table')].filter((one) => !one.caption).length";
    assert_eq!(browser.run(uncaptioned), 0);
    let contrast = "const light = (color) => color.match(/[0-9]+/g).map((c) => c / 255)
            .map((c) => c > 0.04045 ? ((c + 0.055) / 1.055) ** 2.4 : c / 12.92)
            .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0.05);
        const style = (selector) => getComputedStyle(document.querySelector(selector));
        const border = light(style('select').borderTopColor);
        const backs = [style('select').backgroundColor, style('section').backgroundColor].map(light);
        return Math.min(...backs.map((back) => Math.max(border / back, back / border)))";
    for scheme in ["light", "dark"] {
        let features = serde_json::json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        browser.command("Emulation.setEmulatedMedia", features);
        let contrast = browser.run(contrast).as_f64().unwrap();
        assert!(contrast >= 3.0, "{scheme}: {contrast}");
    }
}

#[test]
fn failures_beyond_those_kept_are_not_hidden_in_silence() {
    let pool = pool("failing");
    let (_page, browser) = open(Dashboard::builder().pool(&pool));
    let fail = || {
        let task = pool.task().name("import").submit(|| panic!("no way"));
        task.join().unwrap_err();
    };
    let note = "return document.getElementById('more-failures').textContent";
    (0..31).for_each(|_| fail());
    browser.wait_for("return document.querySelectorAll('#failures tbody tr').length === 31");
    assert_eq!(browser.run(note), "");
    fail();
    browser.wait_for(&format!("{note} === 'Only the last 32 are kept.'"));
}

#[test]
fn gates_that_are_not_listed_are_not_denied() {
    let pool = pool("gates");
    let (_page, browser) = open(Dashboard::builder().pool(&pool).max_rows(1));
    let later = pool.task().name("later one").delay(HOUR).submit(|| ());
    let gate = Semaphore::new(1).unwrap();
    let taken = gate.acquire().unwrap();
    let calls: Vec<_> = (0..2)
        .map(|_| pool.task().name("call").gate(&gate).submit(|| ()))
        .collect();
    browser.wait_for(&has_count("gated", 2));
    browser.wait_for("return document.getElementById('more-gates').textContent === 'Without 2 tasks that are not listed above.'");
    assert_eq!(
        browser.run("return document.getElementById('no-gates').hidden"),
        true
    );
    drop(taken);
    for call in calls {
        call.join().unwrap();
    }
    browser.wait_for("return !document.getElementById('no-gates').hidden");
    later.cancel();
}

/// Draws the picture for the README, if it is asked for: `MILLHAND_SCREENSHOT=1`.
#[test]
fn a_picture_of_the_page() {
    if std::env::var_os("MILLHAND_SCREENSHOT").is_none() {
        return;
    }
    let pool = ThreadPool::builder()
        .workers(6)
        .name_prefix("shop")
        .histograms(20)
        .build()
        .unwrap();
    let mails = ThreadPool::builder()
        .workers(2)
        .name_prefix("mails")
        .build()
        .unwrap();
    let builder = Dashboard::builder()
        .pool(&pool)
        .pool(&mails)
        .allow_control("a-secret-of-the-tests");
    let (_page, browser) = open(builder);
    unlock(&browser);
    let gate = Semaphore::new(1).unwrap();
    let taken = gate.acquire().unwrap();
    let backup = pool
        .task()
        .name("backup")
        .every(Every::new(HOUR))
        .run(|| ())
        .unwrap();
    let report = pool
        .task()
        .name("daily report")
        .every(Every::new(6 * HOUR))
        .run(|| ())
        .unwrap();
    backup.trigger_now();
    report.pause();
    let holds: Vec<_> = (1..4_u64)
        .map(|n| {
            let (send, receive) = channel::<()>();
            pool.task()
                .name(["import orders", "render invoice", "resize images"][n as usize - 1])
                .execute(move || {
                    millhand::current().unwrap().set_progress(n * 23, 100);
                    let _ = receive.recv();
                });
            send
        })
        .collect();
    let calls = (0..4).map(|_| pool.task().name("call the bank").gate(&gate).submit(|| ()));
    let calls: Vec<_> = calls.collect();
    let later = pool
        .task()
        .name("reminder")
        .delay(Duration::from_secs(900))
        .submit(|| ());
    for (name, error) in [
        ("charge card", "the bank does not answer"),
        ("parse order 1174", "no digits in \"x\""),
    ] {
        pool.task()
            .name(name)
            .fallible()
            .submit(move || Err::<(), _>(error))
            .join_ok()
            .unwrap_err();
    }
    pool.task()
        .name("thumbnail")
        .submit(|| panic!("index out of bounds"))
        .join()
        .unwrap_err();
    // A load that rises and falls, for the line.
    for n in 0..25_u32 {
        let wave = 1.0 + (f64::from(n) / 3.0).sin();
        let tasks = (200.0 + 400.0 * wave) as u32;
        for _ in 0..tasks {
            pool.task()
                .name("thumbnail")
                .execute(|| std::thread::sleep(Duration::from_micros(300)));
        }
        std::thread::sleep(Duration::from_millis(900));
    }
    browser.run("document.getElementById('message').textContent = ''; document.getElementById('main').focus()");
    let height = browser.run("return document.documentElement.scrollHeight");
    let size = serde_json::json!({ "width": 1280, "height": height, "deviceScaleFactor": 1, "mobile": false });
    browser.command("Emulation.setDeviceMetricsOverride", size);
    let picture = browser.command(
        "Page.captureScreenshot",
        serde_json::json!({ "format": "png" }),
    );
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/dashboard.png");
    std::fs::write(place, webdriver::decoded(picture["data"].as_str().unwrap())).unwrap();
    drop((taken, holds));
    for call in &calls {
        call.cancel();
    }
    later.cancel();
}
