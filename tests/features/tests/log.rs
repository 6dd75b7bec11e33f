//! The key-values of log records, seen by a logger that is not the library's.

use log::kv::{self, Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};
use millhand::{Shutdown, TaskHandle, ThreadPool};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

#[derive(Clone, Debug)]
struct Line {
    level: Level,
    target: String,
    text: String,
    about: BTreeMap<String, String>,
}

struct Lines(Mutex<Vec<Line>>);

struct Visitor(BTreeMap<String, String>);

impl<'a> VisitSource<'a> for Visitor {
    fn visit_pair(&mut self, key: Key<'a>, value: Value<'a>) -> Result<(), kv::Error> {
        self.0.insert(key.to_string(), value.to_string());
        Ok(())
    }
}

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut about = Visitor(BTreeMap::new());
        record.key_values().visit(&mut about).unwrap();
        self.0.lock().unwrap().push(Line {
            level: record.level(),
            target: record.target().to_owned(),
            text: record.args().to_string(),
            about: about.0,
        });
    }

    fn flush(&self) {}
}

static LINES: Lines = Lines(Mutex::new(Vec::new()));

/// The level is the whole program's: one test at a time.
fn at_level(level: LevelFilter) -> MutexGuard<'static, ()> {
    static LOGGER: OnceLock<()> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::new(());
    LOGGER.get_or_init(|| log::set_logger(&LINES).unwrap());
    let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    log::set_max_level(level);
    LINES.0.lock().unwrap().clear();
    turn
}

fn line_with(text: &str) -> Line {
    let lines = LINES.0.lock().unwrap();
    let found = lines.iter().find(|line| line.text.contains(text));
    found
        .unwrap_or_else(|| panic!("no {text:?} in {lines:#?}"))
        .clone()
}

#[test]
fn a_record_about_a_task_names_it() {
    let _turn = at_level(LevelFilter::Info);
    let pool = ThreadPool::new(1).unwrap();
    let line = line!() + 1;
    let named = pool.task().name("parse").submit(|| panic!("no digits"));
    let id = named.id().to_string();
    named.wait().unwrap();
    drop::<TaskHandle<()>>(named);
    pool.execute(|| panic!("no name"));
    drop(pool);

    let named = line_with("no digits");
    assert_eq!(
        (named.level, named.target.as_str()),
        (Level::Error, "millhand")
    );
    assert_eq!(named.about["task_id"], id);
    assert_eq!(named.about["task_name"], "parse");
    assert!(named.about["task_site"].contains(&format!("log.rs:{line}:")));
    assert_eq!(named.about.len(), 3);

    let unnamed = line_with("no name");
    let keys: Vec<_> = unnamed.about.keys().collect();
    assert_eq!(keys, ["task_id", "task_site"]);
}

#[test]
fn a_record_about_a_pool_names_it() {
    let _turn = at_level(LevelFilter::Info);
    let pool = ThreadPool::builder()
        .workers(1)
        .name_prefix("mail")
        .on_drop(Shutdown::cancel())
        .build()
        .unwrap();
    let later = pool.task().delay(Duration::from_secs(3600)).submit(|| ());
    drop(pool);
    assert!(later.is_finished());
    let report = line_with("a pool was");
    assert_eq!(report.level, Level::Warn);
    assert_eq!(
        report.about,
        BTreeMap::from([("pool".to_owned(), "mail".to_owned())])
    );
}

static MADE: AtomicUsize = AtomicUsize::new(0);

/// An error that counts how often its text is made.
struct Counted;

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        MADE.fetch_add(1, Ordering::Relaxed);
        f.write_str("half done")
    }
}

#[test]
fn no_text_is_made_for_a_level_that_is_off() {
    let stop_one = || {
        let pool = ThreadPool::new(1).unwrap();
        let (send, receive) = channel();
        let handle = pool.task().fallible().submit(move || {
            send.send(()).unwrap();
            while !millhand::is_cancelled() {
                std::thread::yield_now();
            }
            Err::<(), _>(Counted)
        });
        receive.recv().unwrap();
        handle.cancel();
        drop(handle.join());
    };
    let turn = at_level(LevelFilter::Info);
    stop_one();
    assert_eq!(MADE.load(Ordering::Relaxed), 0);
    drop(turn);
    let _turn = at_level(LevelFilter::Debug);
    stop_one();
    assert_eq!(MADE.load(Ordering::Relaxed), 1);
    let stopped = line_with("was asked to stop, and returned an error: half done");
    assert_eq!(stopped.level, Level::Debug);
    assert!(stopped.about.contains_key("task_id"));
}
