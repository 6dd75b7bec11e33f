//! `Redis`: what a server, its settings and lost connections make of it.

use crate::redis_server::{Fake, Proxy, Server};
use crate::steps::{
    assert_unknown_parents_are_named, done, exchange, pass_a_lane_on_in_parts, ready,
};
use ::redis::{Client, Connection, Value, cmd};
use millhand::jobs::{
    Batch, BatchNumber, Ended, Exchange, Filter, JobId, JobState, Jobs, JobsError, JobsErrorKind,
    Judged, NewJob, Notifier, Placed, Redis, SessionId, SessionInfo, Storage, Unique, UniqueUntil,
    Verdict, Want,
};
use millhand::testing::ManualClock;
use std::panic::catch_unwind;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(100);

/// A storage of its own on the server of the process.
fn open(namespace: &str) -> Redis {
    let options = Redis::options(Server::shared().url());
    options.namespace(namespace).open().unwrap()
}

fn raw(server: &Server) -> Connection {
    let client = Client::open(server.url()).unwrap();
    client.get_connection().unwrap()
}

/// Runs a line of words. A tab is a space within a word.
fn run(conn: &mut Connection, line: &str) -> Value {
    let mut words = line.split(' ');
    let mut command = cmd(words.next().unwrap());
    words.for_each(|word| _ = command.arg(word.replace('\t', " ")));
    command.query(conn).unwrap()
}

fn job(payload: &str) -> NewJob {
    NewJob::new("mail", "welcome", payload)
}

fn try_enqueue(storage: &Redis, jobs: &[NewJob]) -> Result<Vec<Placed>, JobsError> {
    storage.enqueue(&Batch { number: None, jobs })
}

fn enqueue(storage: &Redis, jobs: &[NewJob]) -> Vec<JobId> {
    let placed = try_enqueue(storage, jobs).unwrap();
    placed.iter().map(|placed| placed.id()).collect()
}

fn session(storage: &Redis) -> SessionId {
    let info = SessionInfo::default();
    storage.open_session(&info, LONG).unwrap()
}

/// Why a server is refused.
fn refused(result: Result<Redis, JobsError>) -> (JobsErrorKind, String) {
    let error = result.unwrap_err();
    (error.kind(), error.to_string())
}

#[test]
fn a_server_that_does_not_start_fails_its_test_at_once_with_its_log() {
    let started = catch_unwind(|| Server::start(&["--no-such-setting", "yes"]));
    let payload = started.map(drop).unwrap_err();
    let text = payload.downcast::<String>().unwrap();
    assert!(text.contains("no-such-setting"), "{text}");
}

#[test]
fn an_address_that_leads_nowhere_is_refused_with_what_to_do() {
    for (url, text) in [
        ("http://127.0.0.1/", "redis+unix:///path"),
        ("no address", "redis+unix:///path"),
        ("redis://127.0.0.1:1/", "127.0.0.1:1: INFO: "),
        ("redis+unix:///no/such/socket", "/no/such/socket: INFO: "),
    ] {
        let (kind, found) = refused(Redis::options(url).patience(SHORT).open());
        assert_eq!(kind, JobsErrorKind::Unreachable, "{found}");
        assert!(found.contains(text), "{found}");
    }
    if cfg!(not(feature = "redis-tls")) {
        let (_, found) = refused(Redis::connect("rediss://127.0.0.1/"));
        assert!(found.contains("redis-tls"), "{found}");
    }
    let options = Redis::options(Server::shared().url()).namespace("two words");
    assert_eq!(refused(options.open()).0, JobsErrorKind::Name);
}

#[test]
fn a_lane_that_is_long_and_too_late_is_passed_on_in_parts() {
    let clock = ManualClock::new();
    let options = Redis::options(Server::shared().url()).namespace("late");
    pass_a_lane_on_in_parts(&options.clock(&clock).open().unwrap(), &clock);
}

#[test]
fn a_server_that_may_lose_jobs_is_refused_or_warned_of() {
    let server = Server::start(&[]);
    let mut conn = raw(&server);
    let open = || Redis::options(server.url());
    let warnings = open().open().unwrap().facts().unwrap().warnings;
    assert!(warnings[0].contains("`appendonly`"), "{warnings:?}");
    run(&mut conn, "CONFIG SET maxmemory-policy allkeys-lru");
    let (kind, text) = refused(open().open());
    assert_eq!(kind, JobsErrorKind::Unreachable);
    assert!(text.contains("`allkeys-lru`"), "{text}");
    let storage = open().allow_eviction().open().unwrap();
    assert_eq!(storage.facts().unwrap().warnings.len(), 2);
    run(&mut conn, "CONFIG SET maxmemory-policy volatile-ttl");
    assert_eq!(storage.facts().unwrap().warnings.len(), 2);
    run(&mut conn, "CONFIG SET maxmemory-policy noeviction");
    run(&mut conn, "CONFIG SET appendonly yes");
    assert_eq!(storage.facts().unwrap().warnings.len(), 0);
    run(&mut conn, "REPLICAOF 127.0.0.1 1");
    let (kind, text) = refused(open().open());
    assert_eq!(kind, JobsErrorKind::Unreachable);
    assert!(text.contains("replica"), "{text}");
}

#[test]
fn a_server_wants_the_right_password() {
    let server = Server::start(&["--requirepass", "secret"]);
    let socket = server.url();
    for (url, text) in [
        (socket.clone(), "NOAUTH"),
        (format!("{socket}?pass=wrong"), "password"),
    ] {
        let (kind, found) = refused(Redis::options(url).patience(LONG).open());
        assert_eq!(kind, JobsErrorKind::Unreachable);
        assert!(found.contains(text), "{found}");
    }
    let url = format!("{socket}?pass=secret&db=3");
    let storage = Redis::options(&url).open().unwrap();
    enqueue(&storage, &[job("1")]);
    assert_eq!(ready(&Redis::connect(&url).unwrap()), 1);
    assert_eq!(
        ready(&Redis::connect(format!("{socket}?pass=secret")).unwrap()),
        0
    );
    assert!(!format!("{:?} {storage:?}", Redis::options(&url)).contains("secret"));
}

/// A server with a user `shop`, who has these rights.
fn server_with_user(rights: &str) -> (Server, Proxy) {
    let server = Server::start(&[]);
    let mut conn = raw(&server);
    run(
        &mut conn,
        &format!("ACL SETUSER shop reset on >secret {rights}"),
    );
    run(&mut conn, "ACL SETUSER default resetpass off");
    let proxy = Proxy::new(&server);
    (server, proxy)
}

#[test]
fn a_user_with_the_rights_of_the_docs_may_do_all() {
    let (_server, proxy) = server_with_user("~{shop}:* +@all -@dangerous +info");
    let url = format!("redis://shop:secret@{}/2", proxy.address());
    let storage = Redis::options(url).namespace("shop").open().unwrap();
    assert!(storage.facts().is_ok() && storage.now().is_ok());
    let notifier = Notifier::new();
    let _subscribed = storage.subscribe(&["mail"], &notifier).unwrap();
    let listening = notifier.listen();
    let mut new = job("1");
    new.lane = Some("lane".into());
    let ids = enqueue(&storage, &[new, job(&"x".repeat(1000))]);
    assert_eq!(listening.wait_timeout(LONG), Ok(true));
    let worker = session(&storage);
    let _watching = storage.watch(ids[0], &notifier, LONG).unwrap();
    let _sessions = storage.watch_session(worker, &notifier).unwrap();
    assert_eq!(exchange(&storage, worker, 1, &[], 9).claimed.len(), 2);
    storage.cancel(ids[1]).unwrap();
    let ended = [done(ids[0], 1)];
    let judged = exchange(&storage, worker, 2, &ended, 0).judged;
    assert_eq!(judged, [Judged::Ended]);
    storage.register_schedule("nightly", "rule").unwrap();
    assert_eq!(storage.schedules().unwrap().len(), 1);
    assert_eq!(storage.sessions().unwrap().len(), 1);
    storage.close_session(worker).unwrap();
    storage.sweep(9).unwrap();
    storage.purge(&Filter::default(), 9).unwrap();
    storage.retry_dead(&Filter::default(), 9).unwrap();
    assert_eq!(storage.check(true).unwrap(), []);
}

#[test]
fn a_user_without_the_rights_is_refused_with_what_to_do() {
    let (server, proxy) = server_with_user("~{shop}:* +@all -@dangerous +info");
    let socket = server.url();
    for (url, text) in [
        (proxy.url(), "wants a password"),
        (format!("redis://{}/1", proxy.address()), "wants a password"),
        (socket.clone(), "wants a password"),
        (
            format!("redis://shop:wrong@{}/", proxy.address()),
            "is wrong",
        ),
        (
            format!("redis://else:secret@{}/", proxy.address()),
            "is wrong",
        ),
        (format!("{socket}?user=shop&pass=wrong"), "is wrong"),
        (
            format!("{socket}?user=shop&pass=secret&db=99"),
            "give a database",
        ),
    ] {
        let (kind, found) = refused(Redis::options(&url).patience(LONG).open());
        assert_eq!(kind, JobsErrorKind::Unreachable, "{url}: {found}");
        assert!(found.contains(text), "{url}: {found}");
        assert!(!found.contains("secret"), "{found}");
    }
    // Another namespace than the user's.
    let url = format!("{socket}?user=shop&pass=secret");
    let (kind, found) = refused(Redis::options(&url).patience(LONG).open());
    assert_eq!(kind, JobsErrorKind::Unreachable, "{found}");
    assert!(found.contains("ACL SETUSER"), "{found}");
    drop(Redis::options(&url).namespace("shop").open().unwrap());
    for (missing, is_opened) in [("-info", false), ("-evalsha", true), ("-hset", true)] {
        let rights = format!("~{{shop}}:* +@all -@dangerous +info {missing}");
        let (server, _) = server_with_user(&rights);
        let url = format!("{}?user=shop&pass=secret", server.url());
        let opened = Redis::options(url).namespace("shop").patience(LONG).open();
        assert_eq!(opened.is_ok(), is_opened, "{missing}");
        let error = opened.and_then(|storage| try_enqueue(&storage, &[job("1")]));
        let error = error.unwrap_err();
        assert_eq!(
            error.kind(),
            JobsErrorKind::Unreachable,
            "{missing}: {error}"
        );
        assert!(
            error.to_string().contains("ACL SETUSER"),
            "{missing}: {error}"
        );
    }
}

#[test]
fn replicas_have_a_job_before_its_enqueue_returns() {
    let server = Server::start(&["--repl-diskless-sync-delay", "0"]);
    let proxy = Proxy::new(&server);
    let port = proxy.port().to_string();
    let mut replica = Server::start(&["--replicaof", "127.0.0.1", &port]);
    // Until it has all that there is.
    assert_eq!(run(&mut raw(&server), "WAIT 1 0"), Value::Int(1));
    let storage = Redis::options(server.url()).replicas(1).open().unwrap();
    let jobs: Vec<NewJob> = (0..50).map(|_| job("1")).collect();
    enqueue(&storage, &jobs);
    let stored = run(&mut raw(&replica), "HGET {millhand}:q:mail R");
    assert_eq!(stored, Value::BulkString(b"50".into()));
    let (kind, found) = refused(Redis::connect(replica.url()));
    assert_eq!(kind, JobsErrorKind::Unreachable);
    assert!(found.contains("replica"), "{found}");
    replica.stop();
    let error = try_enqueue(&storage, &[job("2")]).unwrap_err();
    assert_eq!(error.kind(), JobsErrorKind::Unreachable);
    assert!(error.to_string().contains("it is stored"), "{error}");
    assert_eq!(ready(&storage), 51);
    let without = Redis::connect(server.url()).unwrap();
    enqueue(&without, &[job("3")]);
}

#[test]
fn an_answer_to_another_request_is_refused_with_its_connection() {
    let fake = Fake::new();
    let storage = Redis::connect(fake.url()).unwrap();
    assert_eq!(storage.now().unwrap().0, 42);
    assert_eq!(fake.connections(), 1);
    fake.lie_next();
    let error = storage.now().unwrap_err();
    assert_eq!(error.kind(), JobsErrorKind::Corrupt);
    assert!(error.to_string().contains("another request"), "{error}");
    assert_eq!(storage.now().unwrap().0, 42);
    assert_eq!(fake.connections(), 2);
}

#[test]
fn what_a_newer_version_has_written_is_refused() {
    let namespace = "newer";
    drop(open(namespace));
    let mut conn = raw(Server::shared());
    run(&mut conn, "SET {newer}:version 2");
    let options = Redis::options(Server::shared().url()).namespace(namespace);
    assert_eq!(refused(options.open()).0, JobsErrorKind::NewerSchema);
}

#[test]
fn namespaces_are_storages_of_their_own() {
    let (first, second) = (open("first"), open("second"));
    enqueue(&first, &[job("1"), job("2")]);
    assert_eq!((ready(&first), ready(&second)), (2, 0));
    let mut conn = raw(Server::shared());
    let Value::Array(keys) = run(&mut conn, "KEYS {second}:*") else {
        panic!("no list");
    };
    assert_eq!(keys.len(), 2, "the version and the run: {keys:?}");
}

#[test]
fn when_the_memory_is_full_enqueues_are_refused_and_jobs_end() {
    let server = Server::start(&[]);
    let storage = Redis::connect(server.url()).unwrap();
    let worker = session(&storage);
    let jobs: Vec<NewJob> = (0..100).map(|_| job(&"x".repeat(1000))).collect();
    enqueue(&storage, &jobs);
    let mut conn = raw(&server);
    run(&mut conn, "CONFIG SET maxmemory 1");
    // A consumer may begin, and so make room.
    storage.close_session(session(&storage)).unwrap();
    let before = storage.counts().unwrap();
    let error = try_enqueue(&storage, &jobs[..2]).unwrap_err();
    assert_eq!(error.kind(), JobsErrorKind::Full, "{error}");
    assert!(error.is_transient());
    assert_eq!(storage.counts().unwrap(), before);
    let claimed = exchange(&storage, worker, 1, &[], 50).claimed;
    assert_eq!(claimed.len(), 50);
    let retry = |id, claim| Ended {
        id,
        claim,
        verdict: Verdict::Retry {
            after: LONG,
            error: "no".repeat(100),
        },
    };
    let mut ends: Vec<Ended> = claimed.iter().map(|it| done(it.id, it.claim)).collect();
    ends[7] = retry(ends[7].id, ends[7].claim);
    let judged = exchange(&storage, worker, 2, &ends, 50).judged;
    assert_eq!(judged.iter().filter(|it| **it == Judged::Ended).count(), 49);
    storage.close_session(worker).unwrap();
    storage.sweep(100).unwrap();
    assert_eq!(storage.check(false).unwrap(), []);
    // Another program opens it, and finds out at its first enqueue.
    let other = Redis::options(server.url())
        .namespace("other")
        .open()
        .unwrap();
    let error = try_enqueue(&other, &jobs[..1]).unwrap_err();
    assert_eq!(error.kind(), JobsErrorKind::Full);
    run(&mut conn, "CONFIG SET maxmemory 0");
    enqueue(&storage, &jobs[..1]);
    assert_eq!(
        (ready(&storage), storage.counts().unwrap().totals.done),
        (51, 49)
    );
}

#[test]
fn a_server_that_was_away_is_used_again() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let storage = Redis::connect(server.url()).unwrap();
    let hasty = Redis::options(server.url()).patience(SHORT * 50);
    let hasty = hasty.open().unwrap();
    let notifier = Notifier::new();
    let _watching = storage.subscribe(&["mail"], &notifier).unwrap();
    enqueue(&storage, &[job("1")]);
    server.stop();
    let error = try_enqueue(&hasty, &[job("2")]).unwrap_err();
    assert_eq!(error.kind(), JobsErrorKind::Unreachable, "{error}");
    let number = Some(BatchNumber {
        producer: 1,
        number: 1,
    });
    let waiting = std::thread::scope(|scope| {
        let jobs = [job("3")];
        let batch =
            move |jobs: &[NewJob]| storage.enqueue(&Batch { number, jobs }).map(|_| storage);
        let waiting = scope.spawn(move || batch(&jobs));
        server.go_on();
        waiting.join().unwrap()
    });
    let storage = waiting.unwrap();
    assert_eq!(ready(&storage), 2);
    // A server that has restarted may have lost ids that it had given.
    let infos = storage.list(
        &Filter::default(),
        millhand::jobs::Page {
            after: JobId(0),
            most: 9,
        },
    );
    let ids: Vec<u64> = infos.unwrap().iter().map(|info| info.id.0).collect();
    assert_eq!(ids, [1, 1_000_000_002]);
    // What listens has connected anew, too.
    let listening = notifier.listen();
    enqueue(&storage, &[job("4")]);
    assert_eq!(listening.wait_timeout(LONG), Ok(true));
    assert_eq!(storage.check(false).unwrap(), []);
}

#[test]
fn a_batch_whose_answer_is_lost_is_stored_once() {
    let server = Server::start(&[]);
    let proxy = Proxy::new(&server);
    let jobs = Jobs::open(Redis::connect(proxy.url()).unwrap()).unwrap();
    let mut last = JobId(0);
    for round in 1..=20 {
        proxy.lose_next();
        let placed = jobs.enqueue_records(&[job("1"), job("2")]).unwrap();
        assert!(proxy.has_lost());
        assert!(placed[0].is_new() && placed[0].id() > last);
        last = placed[1].id();
        assert_eq!(last, JobId(round * 2));
    }
    assert_eq!(jobs.storage().check(false).unwrap(), []);
}

#[test]
fn an_exchange_whose_answer_is_lost_is_an_error_and_loses_no_job() {
    let server = Server::start(&[]);
    let proxy = Proxy::new(&server);
    let storage = Redis::connect(proxy.url()).unwrap();
    let worker = session(&storage);
    let ids = enqueue(&storage, &[job("1")]);
    exchange(&storage, worker, 1, &[], 0);
    proxy.lose_next();
    let wanted = [Want {
        queue: "mail".into(),
        kinds: vec!["welcome".into()],
        most: 9,
    }];
    let asked = Exchange {
        session: worker,
        number: 2,
        ended: &[],
        wanted: &wanted,
    };
    let error = storage.exchange(&asked).unwrap_err();
    assert_eq!(error.kind(), JobsErrorKind::Unreachable, "{error}");
    let sign = millhand::jobs::Heartbeat {
        session: worker,
        lease: LONG,
        settled: 2,
        held: &[],
    };
    assert_eq!(storage.heartbeat(&sign).unwrap().given_back, 1);
    let again = exchange(&storage, worker, 3, &[], 9);
    assert_eq!((again.claimed[0].id, again.claimed[0].claim), (ids[0], 2));
}

#[test]
fn a_connection_that_the_server_ends_is_no_error() {
    let server = Server::start(&[]);
    let storage = Redis::connect(server.url()).unwrap();
    let mut conn = raw(&server);
    for number in 1..=20 {
        run(&mut conn, "CLIENT KILL TYPE normal SKIPME yes");
        let number = Some(BatchNumber {
            producer: 1,
            number,
        });
        let jobs = &[job("1")];
        storage.enqueue(&Batch { number, jobs }).unwrap();
    }
    assert_eq!(ready(&storage), 20);
}

#[test]
fn what_was_loaded_is_loaded_again_after_the_server_forgot_it() {
    let storage = open("scripts");
    let mut conn = raw(Server::shared());
    enqueue(&storage, &[job("1")]);
    run(&mut conn, "SCRIPT FLUSH");
    enqueue(&storage, &[job("2")]);
    assert_eq!(ready(&storage), 2);
}

#[test]
fn long_texts_are_kept_beside_the_job_and_go_with_it() {
    let storage = open("texts");
    let mut conn = raw(Server::shared());
    let text = "x".repeat(1000);
    let mut new = job(&text);
    new.meta.insert("trace".into(), text.clone());
    new.unique = Some(Unique {
        key: text[..256].to_owned(),
        until: UniqueUntil::Ended,
    });
    let id = enqueue(&storage, &[new])[0];
    let worker = session(&storage);
    let claimed = exchange(&storage, worker, 1, &[], 1).claimed.remove(0);
    assert_eq!(
        (claimed.payload.len(), claimed.meta["trace"].len()),
        (1000, 1000)
    );
    let verdict = Verdict::Dead { error: text };
    let ended = Ended {
        id,
        claim: 1,
        verdict,
    };
    exchange(&storage, worker, 2, &[ended], 0);
    let error = storage.outcome(id).unwrap();
    assert!(format!("{error:?}").len() > 1000);
    assert_eq!(storage.check(false).unwrap(), []);
    assert_eq!(storage.purge(&Filter::default(), 9).unwrap(), 1);
    storage.close_session(worker).unwrap();
    let Value::Array(mut keys) = run(&mut conn, "KEYS {texts}:*") else {
        panic!("no list");
    };
    let stays = ["id", "run", "sid", "st", "version", "wake:mail"];
    let stays = stays.map(|key| Value::BulkString(format!("{{texts}}:{key}").into_bytes()));
    keys.retain(|key| !stays.contains(key));
    assert_eq!(keys, []);
}

#[test]
fn what_is_broken_is_found_and_mended() {
    let storage = open("broken");
    let mut conn = raw(Server::shared());
    let mut in_lane = job("3");
    in_lane.lane = Some("lane".into());
    in_lane.unique = Some(Unique {
        key: "key".into(),
        until: UniqueUntil::Ended,
    });
    let mut next = job("4");
    next.lane = Some("lane".into());
    let mut late = job("5");
    late.due = millhand::jobs::Due::After(LONG);
    late.expires = Some(LONG);
    let first = enqueue(&storage, &[job("1"), job("2"), in_lane, next, late])[0];
    let mut child = job("6");
    child.after = vec![first];
    enqueue(&storage, &[child]);
    let worker = session(&storage);
    exchange(&storage, worker, 1, &[], 1);
    assert_eq!(storage.check(false).unwrap(), []);
    for (breaks, word) in [
        (
            "HSET {broken}:s:SESSION 1 00000000000000000001\t1\tmail",
            "another end",
        ),
        ("DEL {broken}:s:SESSION", "its session does not have it"),
        ("ZREM {broken}:sessions SESSION", "is not open"),
        ("DEL {broken}:due", "scheduled"),
        ("DEL {broken}:exp", "expiring"),
        ("ZREM {broken}:r:mail\nwelcome 0000000000000002", "its line"),
        (
            "ZADD {broken}:r:mail\nwelcome 0 0000000000000077",
            "has it wrongly",
        ),
        ("DEL {broken}:l:lane", "its lane"),
        ("SET {broken}:l:lane 77", "lane wrongly"),
        ("DEL {broken}:bl:lane", "its lane"),
        ("DEL {broken}:ch:1", "know of it"),
        ("DEL {broken}:u:welcome\n=key", "has not its unique key"),
        ("SET {broken}:u:welcome\n=other 3", "not its own"),
        ("HINCRBY {broken}:q:mail R 7", "other counts"),
        ("SET {broken}:p:2 text", "is left"),
        ("DEL {broken}:j:2", "nothing of it"),
    ] {
        let line = breaks.replace("SESSION", &worker.to_string());
        let padded = format!("{:016}", worker.0);
        let line = match line.starts_with("ZREM {broken}:sessions") {
            true => format!("ZREM {{broken}}:sessions {padded}"),
            false => line,
        };
        run(&mut conn, &line);
        let found = storage.check(false).unwrap();
        let is_found = found
            .iter()
            .any(|fault| fault.text.contains(word) && !fault.is_mended);
        assert!(is_found, "{breaks:?}: {found:?}");
        // What was mended may show what else was wrong.
        for _ in 0..3 {
            storage.check(true).unwrap();
        }
        assert_eq!(storage.check(false).unwrap(), [], "{breaks:?}");
    }
}

#[test]
#[allow(unsafe_code)]
fn a_forked_process_is_refused_and_its_parent_goes_on() {
    let storage = open("fork");
    let _subscribed = storage.subscribe(&["mail"], &Notifier::new()).unwrap();
    enqueue(&storage, &[job("1")]);
    let is_forked = |error: JobsError| error.kind() == JobsErrorKind::Forked;
    // SAFETY: the child calls what takes no lock of another thread, and leaves by `_exit`.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let stored = try_enqueue(&storage, &[job("2")]);
        let is_refused = stored.is_err_and(is_forked) && storage.counts().is_err_and(is_forked);
        drop(storage);
        // SAFETY: a plain system call.
        unsafe { libc::_exit(i32::from(!is_refused)) };
    }
    let mut status = 1;
    // SAFETY: `pid` is the child, and `status` is here.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!((waited, status), (pid, 0));
    enqueue(&storage, &[job("3")]);
    assert_eq!(ready(&storage), 2);
}

#[test]
fn a_parent_that_never_was_is_named_as_by_other_storages() {
    assert_unknown_parents_are_named(&open("parents"));
}

#[test]
fn a_storage_that_is_dropped_ends_its_thread_at_once() {
    let server = Server::start(&[]);
    let storage = Redis::connect(server.url()).unwrap();
    let watching = storage.subscribe(&["mail"], &Notifier::new()).unwrap();
    drop(watching);
    drop(storage);
    let mut conn = raw(&server);
    let Value::BulkString(clients) = run(&mut conn, "CLIENT LIST") else {
        panic!("no text");
    };
    let clients = String::from_utf8(clients).unwrap();
    assert!(!clients.contains("cmd=blpop"), "{clients}");
}

#[test]
fn jobs_of_many_pages_are_all_listed_and_removed() {
    let storage = open("pages");
    let jobs: Vec<NewJob> = (0..6_000).map(|_| job("1")).collect();
    let ids = enqueue(&storage, &jobs);
    let some = Filter {
        ids: Some(ids[..5_900].to_vec()),
        ..Filter::default()
    };
    assert_eq!(storage.purge(&some, usize::MAX).unwrap(), 5_900);
    let page = millhand::jobs::Page {
        after: JobId(0),
        most: 1_000,
    };
    let listed = storage.list(&Filter::default(), page).unwrap();
    let listed: Vec<JobId> = listed.iter().map(|info| info.id).collect();
    assert_eq!(listed, ids[5_900..]);
    let dead = Filter {
        state: Some(JobState::Dead),
        ..Filter::default()
    };
    assert_eq!(storage.list(&dead, page).unwrap(), []);
    assert_eq!(storage.check(false).unwrap(), []);
}
