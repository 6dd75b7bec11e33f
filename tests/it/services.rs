//! Services: they live as long as their pool, and its shutdown waits for them.

use crate::submit::hold;
use crate::support::{LONG, must_recv};
use millhand::pool::{AttachError, OnFull, Phase, PoolError, Service, ServiceHost, ServiceReport};
use millhand::{CancelToken, Shutdown, ThreadPool};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

type Body = Box<dyn Fn(&ServiceHost, &CancelToken) + Send + Sync>;

/// A service that does what a test says. Its token is cancelled when the pool closes.
struct Loop {
    body: Body,
    closed: CancelToken,
    phases: Mutex<Sender<Phase>>,
    section: ServiceReport,
}

/// Returns the phases of which the service hears.
fn service(
    body: impl Fn(&ServiceHost, &CancelToken) + Send + Sync + 'static,
) -> (Loop, Receiver<Phase>) {
    let (send, phases) = mpsc::channel();
    let service = Loop {
        body: Box::new(body),
        closed: CancelToken::new(),
        phases: Mutex::new(send),
        section: ServiceReport::new("a section"),
    };
    (service, phases)
}

impl Service for Loop {
    fn name(&self) -> &str {
        "loop"
    }

    fn run(&self, host: &ServiceHost) {
        (self.body)(host, &self.closed);
    }

    fn phase_changed(&self, phase: Phase) {
        let _ = self.phases.lock().unwrap().send(phase);
        self.closed.cancel();
    }

    fn report(&self) -> ServiceReport {
        self.section.clone()
    }
}

#[test]
fn a_drain_waits_for_a_service_and_takes_what_it_submits() {
    let pool = ThreadPool::new(1).unwrap();
    let (ask, asked) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let (mut service, phases) = service(move |host, closed| {
        closed.wait().unwrap();
        ask.send(host.phase()).unwrap();
        let _ = wait.lock().unwrap().recv();
        assert_eq!(host.pool().submit(|| 7).join().unwrap(), 7);
    });
    service.section = ServiceReport::new("two lines not saved").unclean();
    pool.attach(service).unwrap();
    let (mut silent, _phases) = self::service(|_, _| {});
    silent.section = ServiceReport::default();
    pool.attach(silent).unwrap();
    pool.wait_idle().unwrap(); // what waits for its source is not busy
    std::thread::scope(|s| {
        let drain = s.spawn(|| pool.shutdown(Shutdown::drain()).unwrap());
        assert_eq!(must_recv(&asked), Phase::Draining);
        assert!(!drain.is_finished());
        drop(go);
        let report = drain.join().unwrap();
        assert_eq!(report.succeeded(), 1);
        assert!(!report.is_clean());
        assert_eq!(report.services().count(), 1, "one has nothing to say");
        assert!(
            report.to_string().ends_with("; loop: two lines not saved"),
            "{report}"
        );
    });
    assert_eq!(phases.try_iter().collect::<Vec<_>>(), [Phase::Draining]);
}

#[test]
fn a_service_hears_of_each_phase() {
    let pool = ThreadPool::new(1).unwrap();
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let (service, phases) = service(move |_, _| {
        let _ = wait.lock().unwrap().recv();
    });
    pool.attach(service).unwrap();
    std::thread::scope(|s| {
        let drain = s.spawn(|| pool.shutdown(Shutdown::drain()).unwrap());
        assert_eq!(must_recv(&phases), Phase::Draining);
        let finish = s.spawn(|| pool.shutdown(Shutdown::finish_running()).unwrap());
        assert_eq!(must_recv(&phases), Phase::Finishing);
        let cancel = s.spawn(|| pool.shutdown(Shutdown::cancel()).unwrap());
        assert_eq!(must_recv(&phases), Phase::Cancelling);
        drop(go);
        for shutdown in [drain, finish, cancel] {
            assert!(shutdown.join().unwrap().is_clean());
        }
    });
    assert!(phases.try_recv().is_err(), "no other phase");
}

#[test]
fn a_closed_pool_takes_no_service() {
    let pool = ThreadPool::new(1).unwrap();
    pool.close();
    let (never, _phases) = service(|_, _| panic!("it runs"));
    let error = pool.attach(never).unwrap_err();
    assert!(matches!(error, AttachError::Closed), "{error}");
    assert_eq!(
        pool.shutdown(Shutdown::drain()).unwrap().services().count(),
        0
    );
}

#[test]
fn a_service_that_ends_early_or_panics_leaves_the_pool_as_it_is() {
    crate::stress::silence();
    let pool = ThreadPool::new(1).unwrap();
    let (done, is_done) = mpsc::channel();
    for panics in [false, true] {
        let done = done.clone();
        let (service, _phases) = service(move |_, _| {
            let _ = done.send(());
            assert!(!panics, "{}", crate::stress::EXPECTED);
        });
        pool.attach(service).unwrap();
        must_recv(&is_done);
    }
    assert_eq!(pool.submit(|| 7).join().unwrap(), 7);
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!((report.services().count(), report.is_clean()), (2, true));
}

#[test]
fn a_service_waits_for_no_place_in_a_full_queue() {
    let pool = ThreadPool::builder()
        .workers(1)
        .queue_capacity(1)
        .on_full(OnFull::Block)
        .build()
        .unwrap();
    let held = hold(&pool, 1);
    let (done, is_done) = mpsc::channel();
    let (service, _phases) = service(move |host, _| {
        (0..100).for_each(|_| host.pool().execute(|| ()));
        done.send(()).unwrap();
    });
    pool.attach(service).unwrap();
    must_recv(&is_done);
    assert_eq!(pool.queued(), 100);
    held.release();
    assert_eq!(pool.shutdown(Shutdown::drain()).unwrap().succeeded(), 101);
}

#[test]
fn a_service_cannot_wait_for_the_end_of_its_pool() {
    let pool = ThreadPool::new(1).unwrap();
    let handle = Arc::new(pool);
    let (give, given) = mpsc::channel::<Arc<ThreadPool>>();
    let given = Mutex::new(given);
    let (send, answer) = mpsc::channel();
    let (service, _phases) = service(move |_, _| {
        let pool = must_recv(&given.lock().unwrap());
        send.send(pool.shutdown(Shutdown::drain()).map(drop))
            .unwrap();
    });
    handle.attach(service).unwrap();
    give.send(handle).unwrap(); // which also drops it there
    assert_eq!(must_recv(&answer), Err(PoolError::InsideTask));
}

#[test]
fn a_shutdown_that_gives_up_leaves_a_service_behind() {
    let pool = ThreadPool::new(1).unwrap();
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let (done, is_done) = mpsc::channel();
    let (service, _phases) = service(move |_, _| {
        let _ = wait.lock().unwrap().recv();
        done.send(()).unwrap();
    });
    pool.attach(service).unwrap();
    let how = Shutdown::cancel().give_up_after(Duration::from_millis(1));
    pool.shutdown(how).unwrap();
    drop(pool);
    drop(go);
    must_recv(&is_done);
}

#[test]
fn a_pool_that_is_dropped_waits_for_its_services() {
    let ended = Arc::new(AtomicUsize::new(0));
    for _ in 0..20 {
        let pool = ThreadPool::new(1).unwrap();
        for _ in 0..3 {
            let ended = ended.clone();
            let (service, _phases) = service(move |_, closed| {
                closed.wait().unwrap();
                ended.fetch_add(1, SeqCst);
            });
            pool.attach(service).unwrap();
        }
    }
    assert_eq!(ended.load(SeqCst), 60);
}

#[test]
fn an_attach_and_a_close_at_the_same_time() {
    for _ in 0..200 {
        let pool = ThreadPool::new(1).unwrap();
        let start = Barrier::new(2);
        let ran = Arc::new(AtomicUsize::new(0));
        let inside = ran.clone();
        let (service, _phases) = service(move |_, closed| {
            closed.wait_timeout(LONG).unwrap();
            inside.fetch_add(1, SeqCst);
        });
        let attached = std::thread::scope(|s| {
            let attach = s.spawn(|| {
                start.wait();
                pool.attach(service).is_ok()
            });
            start.wait();
            let report = pool.shutdown(Shutdown::drain()).unwrap();
            (attach.join().unwrap(), report.services().count())
        });
        assert_eq!(attached.0, attached.1 == 1);
        assert_eq!(
            ran.load(SeqCst),
            attached.1,
            "a shutdown waits for its thread"
        );
    }
}

#[cfg(feature = "simulation")]
#[test]
fn the_thread_of_a_service_is_part_of_a_simulation() {
    let run = |seed| {
        let (pool, simulation) = ThreadPool::simulated(seed);
        let hour = Duration::from_secs(3600);
        let (service, _phases) = service(move |host, closed| {
            while !closed.wait_timeout(hour).unwrap() {
                host.pool().task().name("hourly").execute(|| ());
            }
        });
        pool.attach(service).unwrap();
        simulation.advance(24 * hour + hour / 2);
        let report = pool.shutdown(Shutdown::drain()).unwrap();
        assert_eq!(report.succeeded(), 24);
        simulation.trace()
    };
    assert_eq!(run(1), run(1));
}
