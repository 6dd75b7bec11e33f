//! loom models of the parking: what was pushed is taken, by as many workers as there are.
//!
//! Checked with LOOM_MAX_PREEMPTIONS=3.
//
// A count stands for the channel. Each worker takes one item and then is busy for ever, so that
// what is left needs another worker. Nothing here times out, so a worker that sleeps while an item
// is there is a deadlock, which loom reports.
//
// As in the models of the run slots, an atomic is stored to once before the threads start.

use super::*;
use loom::thread;

struct Pool {
    parking: Parking,
    items: AtomicUsize,
}

impl Pool {
    fn new() -> Arc<Self> {
        let pool = Self {
            parking: Parking::new(),
            items: AtomicUsize::new(0),
        };
        pool.items.store(0, Ordering::SeqCst);
        pool.parking.in_order();
        Arc::new(pool)
    }

    fn push(&self) {
        self.items.fetch_add(1, Ordering::SeqCst);
        self.parking.notify();
    }

    fn has_item(&self) -> bool {
        self.items.load(Ordering::SeqCst) > 0
    }

    fn try_pop(&self) -> bool {
        let one_less = |n: usize| n.checked_sub(1);
        self.items
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
            .is_ok()
    }

    /// As `RunQueue::pop`. `mail` returns whether there is mail, which also ends it.
    fn pop(&self, me: &Arc<Sleeper>, mail: impl Fn() -> bool) -> bool {
        let mut searches = self.parking.search();
        loop {
            let is_mail = mail();
            let found = is_mail || self.try_pop();
            if searches {
                self.parking.end_search(found, || self.has_item());
            }
            if found {
                return !is_mail;
            }
            let is_ready = || self.has_item() || mail();
            searches = self.parking.sleep(me, is_ready) || self.parking.search();
        }
    }
}

fn worker(pool: &Arc<Pool>) -> thread::JoinHandle<()> {
    let pool = pool.clone();
    thread::spawn(move || assert!(pool.pop(&Sleeper::new(), || false)))
}

#[test]
fn one_pusher_and_two_workers() {
    loom::model(|| {
        let pool = Pool::new();
        let workers = [worker(&pool), worker(&pool)];
        pool.push();
        pool.push();
        workers
            .into_iter()
            .for_each(|worker| worker.join().unwrap());
    });
}

#[test]
fn two_pushers_and_two_workers() {
    loom::model(|| {
        let pool = Pool::new();
        let workers = [worker(&pool), worker(&pool)];
        let other = pool.clone();
        let pusher = thread::spawn(move || other.push());
        pool.push();
        pusher.join().unwrap();
        workers
            .into_iter()
            .for_each(|worker| worker.join().unwrap());
    });
}

#[test]
fn a_searching_worker_wakes_the_next_if_it_finds_something() {
    loom::model(|| {
        let pool = Pool::new();
        // Two workers sleep or are about to. A third, here, goes from task to task and takes one of
        // three items without a search.
        let workers = [worker(&pool), worker(&pool)];
        (0..3).for_each(|_| pool.push());
        assert!(pool.try_pop());
        workers
            .into_iter()
            .for_each(|worker| worker.join().unwrap());
    });
}

#[test]
fn mail_wakes_its_own_worker_and_holds_up_no_other() {
    loom::model(|| {
        let pool = Pool::new();
        let mail = Arc::new(AtomicUsize::new(0));
        mail.store(0, Ordering::SeqCst);
        let sleeper = Sleeper::new();
        let with_mail = {
            let (pool, mail, sleeper) = (pool.clone(), mail.clone(), sleeper.clone());
            thread::spawn(move || {
                let has_mail = || mail.load(Ordering::SeqCst) > 0;
                // Its mail, and what else it finds before: both may come to this worker.
                while pool.pop(&sleeper, has_mail) {}
            })
        };
        let other = worker(&pool);
        mail.fetch_add(1, Ordering::SeqCst);
        sleeper.wake();
        with_mail.join().unwrap();
        pool.push();
        other.join().unwrap();
    });
}
