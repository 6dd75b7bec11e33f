//! A handle is a future of std's: awaited here with an executor of twenty lines.

use crate::handle::keep_busy;
use crate::manual::Manual;
use crate::submit::hold;
use crate::support::must_recv;
use millhand::cancel::CancelReason;
use millhand::{TaskError, ThreadPool, promise};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// A waker that counts.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Count {
    fn new() -> (Arc<Self>, Waker) {
        let count = Arc::new(Self::default());
        (count.clone(), Waker::from(count))
    }

    fn wakes(&self) -> usize {
        self.0.load(SeqCst)
    }
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

#[test]
fn awaiting_a_running_task_gives_its_value() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let (go_on, gone_on) = mpsc::channel();
    let handle = pool.submit(move || {
        tell.send(()).unwrap();
        must_recv(&gone_on);
        5
    });
    must_recv(&told);
    let value = block_on(async move {
        // Nothing is lost between the first look and the note of whom to wake: the task goes on in between.
        go_on.send(()).unwrap();
        handle.await.unwrap()
    });
    assert_eq!(value, 5);
}

#[test]
fn awaiting_a_finished_task_does_not_wait() {
    let pool = ThreadPool::new(1).unwrap();
    let mut handle = pool.submit(|| 5);
    handle.wait().unwrap();
    let (count, waker) = Count::new();
    assert!(matches!(poll(&mut handle, &waker), Poll::Ready(Ok(5))));
    assert_eq!(count.wakes(), 0);
}

#[test]
fn awaiting_a_task_that_is_cancelled_meanwhile_gives_the_reason() {
    let pool = ThreadPool::new(1).unwrap();
    let _busy = keep_busy(&pool);
    let mut handle = pool.submit(|| ());
    let (count, waker) = Count::new();
    assert!(poll(&mut handle, &waker).is_pending());
    handle.cancel();
    assert_eq!(count.wakes(), 1);
    assert!(matches!(
        block_on(handle),
        Err(TaskError::Cancelled(CancelReason::User))
    ));
}

#[test]
fn awaiting_a_task_that_panics_gives_the_panic() {
    let pool = ThreadPool::new(1).unwrap();
    let Err(TaskError::Panicked(panic)) = block_on(pool.submit(|| panic!("awaited"))) else {
        panic!("it panicked");
    };
    assert_eq!(panic.message(), "awaited");
}

#[test]
fn the_last_waker_is_the_one_that_is_woken() {
    let (promise, mut handle) = promise();
    let (first, first_waker) = Count::new();
    let (second, second_waker) = Count::new();
    assert!(poll(&mut handle, &first_waker).is_pending());
    assert!(poll(&mut handle, &second_waker).is_pending());
    promise.complete(5).unwrap();
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
    drop(first_waker);
    assert_eq!(Arc::strong_count(&first), 1, "the stale waker was dropped");
    assert!(matches!(
        poll(&mut handle, &second_waker),
        Poll::Ready(Ok(5))
    ));
    drop(second_waker);
    assert_eq!(Arc::strong_count(&second), 1);
}

#[test]
fn polled_on_one_thread_and_finished_on_another() {
    let (promise, mut handle) = promise();
    let (first, first_waker) = Count::new();
    assert!(poll(&mut handle, &first_waker).is_pending());
    let (tell, told) = mpsc::channel();
    let other = thread::spawn(move || {
        let (count, waker) = Count::new();
        assert!(poll(&mut handle, &waker).is_pending());
        tell.send(()).unwrap();
        assert_eq!(block_on(handle).unwrap(), 5);
        count
    });
    must_recv(&told);
    promise.complete(5).unwrap();
    other.join().unwrap();
    assert_eq!(first.wakes(), 0);
}

#[test]
fn a_pending_handle_can_be_joined_after_all() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let mut handle = pool.submit(|| 5);
    let (count, waker) = Count::new();
    assert!(poll(&mut handle, &waker).is_pending());
    drop(busy);
    assert_eq!(handle.join().unwrap(), 5);
    // Settled is settled, whoever takes it: the waker is told, if a moment later than the joiner.
    pool.wait_idle().unwrap();
    assert_eq!(count.wakes(), 1);
}

#[test]
fn a_waker_that_panics_harms_nothing() {
    struct Bomb;
    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            panic!("in a waker");
        }
    }
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let mut handle = pool.submit(|| 5);
    assert!(poll(&mut handle, &Waker::from(Arc::new(Bomb))).is_pending());
    drop(busy);
    assert_eq!(handle.join().unwrap(), 5);
    assert_eq!(pool.submit(|| 6).join().unwrap(), 6);
}

#[test]
#[should_panic(expected = "polled after it was ready")]
fn polling_again_after_it_was_ready_panics() {
    let (promise, mut handle) = promise();
    promise.complete(5).unwrap();
    assert!(poll(&mut handle, Waker::noop()).is_ready());
    let _ = poll(&mut handle, Waker::noop());
}

#[test]
fn no_wake_up_is_lost_when_settling_and_polling_race() {
    let pool = ThreadPool::new(2).unwrap();
    for n in 0..2_000 {
        assert_eq!(block_on(pool.submit(move || n)).unwrap(), n);
    }
}

#[test]
fn a_dropped_handle_drops_its_waker_before_the_task_settles() {
    let (promise, mut handle) = promise::<u32>();
    let (count, waker) = Count::new();
    assert!(poll(&mut handle, &waker).is_pending());
    drop(waker);
    assert_eq!(Arc::strong_count(&count), 2);
    drop(handle);
    assert_eq!(Arc::strong_count(&count), 1);
    drop(promise);
    assert_eq!(count.wakes(), 0);
}

/// Tells of each wake-up.
struct Tells(mpsc::Sender<()>);

impl Wake for Tells {
    fn wake(self: Arc<Self>) {
        self.0.send(()).unwrap();
    }
}

#[test]
fn who_awaits_a_shared_handle_heard_of_a_time_limit_only_when_a_worker_was_free() {
    let pool = Manual::new(1);
    let busy = hold(&pool, 1);
    let mut late = pool.task().expires(S).submit(|| ()).share();
    let (tell, told) = mpsc::channel();
    assert!(poll(&mut late, &Waker::from(Arc::new(Tells(tell)))).is_pending());
    pool.advance(S);
    must_recv(&told);
    busy.release();
    assert!(late.join().is_err());
}

#[test]
fn a_clone_that_is_dropped_drops_its_waker_and_wakes_no_one() {
    let (promise, handle) = promise::<u32>();
    let handle = handle.share();
    let (count, waker) = Count::new();
    let mut clone = handle.clone();
    assert!(poll(&mut clone, &waker).is_pending());
    drop(waker);
    drop(clone);
    assert_eq!(Arc::strong_count(&count), 1);
    promise.complete(7).unwrap();
    assert_eq!(count.wakes(), 0);
    assert!(matches!(block_on(handle).join(), Ok(7)));
}
