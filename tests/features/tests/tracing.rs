//! The observer `Tracing`, seen by a layer of `tracing-subscriber`.

use millhand::observe::Tracing;
use millhand::{Retry, ThreadPool};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

type Fields = BTreeMap<&'static str, String>;

/// A span. Its number is its place in the list of all.
#[derive(Clone, Debug)]
struct Span {
    name: &'static str,
    target: &'static str,
    parent: Option<usize>,
    fields: Fields,
    is_closed: bool,
}

#[derive(Clone, Debug)]
struct Told {
    level: Level,
    target: &'static str,
    span: Option<usize>,
    fields: Fields,
}

impl Told {
    fn message(&self) -> &str {
        &self.fields["message"]
    }
}

#[derive(Clone, Debug, Default)]
struct Record {
    spans: Vec<Span>,
    events: Vec<Told>,
}

static RECORD: Mutex<Record> = Mutex::new(Record {
    spans: Vec::new(),
    events: Vec::new(),
});

struct Recorder;

thread_local! {
    /// What the recorder does at the next event of this thread.
    static HOOK: Cell<Option<Box<dyn FnOnce()>>> = const { Cell::new(None) };
}

/// The number of a span.
struct Number(usize);

struct Reader(Fields);

impl Visit for Reader {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut reader = Reader(Fields::new());
        attributes.record(&mut reader);
        let span = context.span(id).unwrap();
        let parent = span
            .parent()
            .map(|parent| parent.extensions().get::<Number>().unwrap().0);
        let mut record = RECORD.lock().unwrap();
        span.extensions_mut().insert(Number(record.spans.len()));
        record.spans.push(Span {
            name: attributes.metadata().name(),
            target: attributes.metadata().target(),
            parent,
            fields: reader.0,
            is_closed: false,
        });
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if let Some(hook) = HOOK.take() {
            hook();
        }
        let mut reader = Reader(Fields::new());
        event.record(&mut reader);
        let span = context.event_span(event);
        let span = span.map(|span| span.extensions().get::<Number>().unwrap().0);
        RECORD.lock().unwrap().events.push(Told {
            level: *event.metadata().level(),
            target: event.metadata().target(),
            span,
            fields: reader.0,
        });
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let number = context
            .span(&id)
            .unwrap()
            .extensions()
            .get::<Number>()
            .unwrap()
            .0;
        RECORD.lock().unwrap().spans[number].is_closed = true;
    }
}

/// What was recorded below one span of a test.
struct Below {
    root: usize,
    record: Record,
}

impl Below {
    fn of(root: &str) -> Self {
        let record = RECORD.lock().unwrap().clone();
        let root = record
            .spans
            .iter()
            .position(|span| span.name == root)
            .unwrap();
        Self { root, record }
    }

    fn children(&self, parent: usize) -> Vec<usize> {
        let is_child = |n: &usize| self.record.spans[*n].parent == Some(parent);
        (0..self.record.spans.len()).filter(is_child).collect()
    }

    fn events(&self, span: usize) -> Vec<&Told> {
        let events = self.record.events.iter();
        events.filter(|event| event.span == Some(span)).collect()
    }

    fn messages(&self, span: usize) -> Vec<(Level, &str)> {
        let events = self.events(span).into_iter();
        events.map(|event| (event.level, event.message())).collect()
    }
}

/// A pool that is traced, and the observer.
fn traced() -> (ThreadPool, Arc<Tracing>) {
    static SUBSCRIBER: OnceLock<()> = OnceLock::new();
    SUBSCRIBER.get_or_init(|| {
        tracing::subscriber::set_global_default(Registry::default().with(Recorder)).unwrap();
    });
    let tracing = Arc::new(Tracing::new());
    let pool = ThreadPool::builder().workers(1).observer(tracing.clone());
    (pool.build().unwrap(), tracing)
}

#[track_caller]
fn assert_empty(tracing: &dyn Debug) {
    assert!(format!("{tracing:?}").contains("tasks: 0"), "{tracing:?}");
}

fn panics() {
    panic!("expected");
}

#[test]
fn an_attempt_runs_in_a_span_below_that_of_its_submitter() {
    let (pool, tracing) = traced();
    let root = tracing::info_span!("request");
    let handle = root.in_scope(|| {
        pool.task().name("outer").submit(|| {
            tracing::info!("in outer");
            let pool = millhand::current().unwrap().pool();
            let inner = pool
                .task()
                .name("inner")
                .submit(|| tracing::info!("in inner"));
            inner.join().unwrap();
            tracing::info!("after inner");
        })
    });
    let id = handle.id().to_string();
    drop(root);
    handle.join().unwrap();
    drop(pool);

    let below = Below::of("request");
    let [outer] = below.children(below.root)[..] else {
        panic!()
    };
    let span = &below.record.spans[outer];
    assert_eq!((span.name, span.target), ("task", "millhand"));
    let keys: Vec<_> = span.fields.keys().copied().collect();
    assert_eq!(keys, ["attempt", "id", "name", "site"]);
    assert_eq!((&span.fields["id"], &*span.fields["name"]), (&id, "outer"));
    assert_eq!(span.fields["attempt"], "1");
    assert!(span.fields["site"].contains("tracing.rs"));
    let info = Level::INFO;
    let succeeded = (Level::DEBUG, "succeeded");
    let in_outer = [(info, "in outer"), (info, "after inner"), succeeded];
    assert_eq!(below.messages(outer), in_outer);

    let [inner] = below.children(outer)[..] else {
        panic!()
    };
    assert_eq!(below.record.spans[inner].fields["name"], "inner");
    assert_eq!(below.messages(inner), [(info, "in inner"), succeeded]);
    let ended = below.events(inner)[1];
    assert_eq!(
        (ended.target, &*ended.fields["attempts"]),
        ("millhand", "1")
    );
    assert!(ended.fields["ran_seconds"].parse::<f64>().unwrap() >= 0.0);
    assert!(ended.fields.contains_key("waited_seconds"));
    assert!(!ended.fields.contains_key("error"));

    assert!(
        [below.root, outer, inner]
            .iter()
            .all(|n| below.record.spans[*n].is_closed)
    );
    assert_empty(&tracing);
}

#[test]
fn each_attempt_has_a_span_of_its_own() {
    let (pool, tracing) = traced();
    let retried = pool
        .task()
        .name("upload")
        .retry(Retry::fixed(1, Duration::from_millis(1)));
    let root = tracing::info_span!("retried");
    let handle = root.in_scope(|| {
        retried.submit(|| {
            tracing::info!("tries");
            Err::<(), _>("no route")
        })
    });
    drop(root);
    handle.join_ok().unwrap_err();
    drop(pool);

    let below = Below::of("retried");
    let [first, second] = below.children(below.root)[..] else {
        panic!()
    };
    for (n, span) in [(1, first), (2, second)] {
        assert_eq!(below.record.spans[span].fields["attempt"], n.to_string());
        assert!(below.record.spans[span].is_closed);
    }
    let tries = (Level::INFO, "tries");
    assert_eq!(below.messages(first), [tries, (Level::WARN, "retrying")]);
    assert_eq!(below.messages(second), [tries, (Level::ERROR, "failed")]);
    assert_eq!(below.events(first)[1].fields["error"], "no route");
    assert_eq!(below.events(first)[1].fields["delay_seconds"], "0.001");
    let failed = &below.events(second)[1].fields;
    assert_eq!((&*failed["error"], &*failed["attempts"]), ("no route", "2"));
    assert_empty(&tracing);
}

#[test]
fn outcomes_without_an_attempt_are_in_the_span_of_the_submitter() {
    let (pool, tracing) = traced();
    let root = tracing::info_span!("unrun");
    root.in_scope(|| {
        let delayed = pool
            .task()
            .name("cancelled")
            .delay(Duration::from_secs(3600));
        delayed.submit(|| ()).cancel();
        let late = pool
            .task()
            .name("expired")
            .expires(Duration::from_millis(1));
        let (send, receive) = channel::<()>();
        pool.execute(move || {
            let _ = receive.recv();
        });
        let late = late.submit(|| ());
        late.wait().unwrap();
        drop(send);
        pool.wait_idle().unwrap();
        let panicked = pool.task().name("panicked").submit(panics);
        panicked.join().unwrap_err();
        let slow = pool
            .task()
            .name("timed out")
            .total_timeout(Duration::from_millis(100));
        let slow = slow.submit(|| millhand::sleep(Duration::from_secs(3600)));
        slow.join().map(drop).unwrap_err();
        pool.wait_idle().unwrap();
    });
    drop(root);
    drop(pool);

    let below = Below::of("unrun");
    let level_of = |name: &str| {
        let events = below.record.events.iter();
        let of_name = events.filter(|event| event.fields.get("name").is_some_and(|n| n == name));
        let [event] = of_name.collect::<Vec<_>>()[..] else {
            panic!("{name}")
        };
        assert_eq!(event.message(), name);
        assert!(event.fields.contains_key("error"), "{name}");
        let is_of_root = event.span == Some(below.root);
        let parent = below.record.spans[event.span.unwrap()].parent;
        assert!(is_of_root || parent == Some(below.root), "{name}");
        (event.level, is_of_root)
    };
    assert_eq!(level_of("cancelled"), (Level::INFO, true));
    assert_eq!(level_of("expired"), (Level::WARN, true));
    assert_eq!(level_of("panicked"), (Level::ERROR, false));
    assert_eq!(level_of("timed out"), (Level::WARN, false));
    assert_empty(&tracing);
}

#[test]
fn a_task_of_no_span_has_a_root_of_its_own() {
    let (pool, tracing) = traced();
    pool.task()
        .name("no parent")
        .submit(|| tracing::info!("runs"))
        .join()
        .unwrap();
    let reference = pool.handle();
    drop(pool);
    drop(reference.task().name("refused").submit(|| ()));

    let record = RECORD.lock().unwrap().clone();
    let named = |span: &&Span| {
        span.fields
            .get("name")
            .is_some_and(|name| name == "no parent")
    };
    let span = record.spans.iter().find(named).unwrap();
    assert_eq!((span.parent, span.is_closed), (None, true));
    let refused = |event: &&Told| {
        event
            .fields
            .get("name")
            .is_some_and(|name| name == "refused")
    };
    let refused = record.events.iter().find(refused).unwrap();
    assert_eq!(
        (refused.level, refused.message()),
        (Level::WARN, "rejected")
    );
    assert_eq!(refused.span, None);
    assert_empty(&tracing);
}

#[test]
fn a_slow_task_is_an_event_in_its_span() {
    let (_pool, _) = traced();
    let tracing = Arc::new(Tracing::new());
    let (send, receive) = channel();
    let send = Mutex::new(send);
    let pool = ThreadPool::builder()
        .workers(1)
        .slow_task(Duration::from_millis(20))
        .observer(tracing.clone())
        .observer(move |event: &millhand::observe::Event| {
            if event.name() == "slow" {
                send.lock().unwrap().send(()).unwrap();
            }
        })
        .build()
        .unwrap();
    let root = tracing::info_span!("patient");
    let handle = root.in_scope(|| {
        // It runs until the watchdog has seen it.
        pool.task()
            .name("slow one")
            .submit(move || receive.recv().unwrap())
    });
    handle.join().unwrap();
    drop(pool);
    drop(root);
    let below = Below::of("patient");
    let [span] = below.children(below.root)[..] else {
        panic!()
    };
    let messages = below.messages(span);
    assert_eq!(
        messages,
        [(Level::WARN, "slow"), (Level::DEBUG, "succeeded")]
    );
    assert!(
        below.events(span)[0].fields["running_seconds"]
            .parse::<f64>()
            .unwrap()
            >= 0.02
    );
    assert_empty(&tracing);
}

#[test]
fn nothing_is_left_after_many_tasks_of_many_threads() {
    let (pool, tracing) = traced();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let _root = tracing::info_span!("crowd").entered();
                for n in 0..200 {
                    match n % 4 {
                        0 => pool.execute(|| ()),
                        1 => drop(pool.submit(|| ())),
                        2 => drop(pool.task().name("n").submit(|| ()).cancel()),
                        _ => drop(pool.submit(|| ()).map(|()| ())),
                    }
                }
            });
        }
    });
    pool.wait_idle().unwrap();
    drop(pool);
    assert_empty(&tracing);
    let record = RECORD.lock().unwrap().clone();
    let crowd = record.spans.iter().filter(|span| span.name == "crowd");
    assert!(crowd.clone().count() == 4 && crowd.clone().all(|span| span.is_closed));
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn the_spans_of_a_task_that_the_subscriber_settled_stayed_for_ever() {
    let (pool, tracing) = traced();
    let root = tracing::info_span!("twins");
    let [first, second] = [(); 2].map(|()| {
        let task = pool.task().delay(HOUR);
        root.in_scope(|| task.submit(|| ()))
    });
    HOOK.set(Some(Box::new(move || {
        second.cancel();
    })));
    first.cancel();
    assert_empty(&tracing);
    drop(root);
    let below = Below::of("twins");
    let cancelled = (Level::INFO, "cancelled");
    assert_eq!(below.messages(below.root), [cancelled; 2]);
    assert!(below.record.spans[below.root].is_closed);
}

#[test]
fn nothing_is_kept_for_what_the_subscriber_submits() {
    let (pool, tracing) = traced();
    let handle = pool.handle();
    let root = tracing::info_span!("spawner");
    let first = root.in_scope(|| pool.task().delay(HOUR).submit(|| ()));
    HOOK.set(Some(Box::new(move || {
        for _ in 0..100 {
            handle.execute(|| ());
        }
    })));
    first.cancel();
    pool.wait_idle().unwrap();
    drop(pool);
    assert_empty(&tracing);
}

#[test]
fn the_spans_of_live_tasks_stayed_when_the_subscriber_had_panicked() {
    let (pool, tracing) = traced();
    let root = tracing::info_span!("broken");
    let [first, second] = [(); 2].map(|()| {
        let task = pool.task().delay(HOUR);
        root.in_scope(|| task.submit(|| ()))
    });
    drop(root);
    HOOK.set(Some(Box::new(|| panic!("expected"))));
    first.cancel();
    assert_empty(&tracing);
    let below = Below::of("broken");
    assert!(below.record.spans[below.root].is_closed);
    // The pool goes on without it.
    second.cancel();
    assert_eq!(pool.submit(|| 7).join().unwrap(), 7);
    pool.wait_idle().unwrap();
    assert_empty(&tracing);
}
