//! Bridges: async code, windows with a main loop, callbacks, tracing, and other threads.
//!
//! | from | to | by |
//! | --- | --- | --- |
//! | async code | a task | [await its handle](#await-a-handle) |
//! | a task | async code | [a promise that the async code completes](#wait-for-async-code) |
//! | a task | the main loop of a window | [a message, or a callback that wakes the loop](#a-window-with-a-main-loop) |
//! | a library with callbacks | a handle | [a promise](#callbacks) |
//! | a task | a thread of the program's own | [a `Context`](#threads-of-the-programs-own) |
//! | a task | channels | [`recv`](crate::recv), or [`blocking`](crate::blocking) with a `select!`](#channels) |
//! | the span of a request | the span of its tasks | [the feature `tracing`](#tracing) |
//! | a task | rayon | [`blocking`](#rayon) |
//! | tasks | a library that is bound to threads | [a `WorkerLocal`, a pool of one, or hooks](#libraries-that-are-bound-to-threads) |
//!
//! # Await a handle
//!
//! A [`TaskHandle`](crate::TaskHandle) and a [`SharedHandle`](crate::SharedHandle) are futures of
//! std, for any executor. millhand has no executor, and needs none: the pool runs the task, and
//! wakes the future when it has settled. This `block_on` stands for the executor of the program:
//!
//! ```
//! use millhand::{TaskError, ThreadPool};
//! use std::pin::pin;
//! use std::sync::Arc;
//! use std::task::{Context, Poll, Wake, Waker};
//! use std::thread::{self, Thread};
//!
//! struct Unpark(Thread);
//!
//! impl Wake for Unpark {
//!     fn wake(self: Arc<Self>) {
//!         self.0.unpark();
//!     }
//! }
//!
//! fn block_on<F: Future>(future: F) -> F::Output {
//!     let waker = Waker::from(Arc::new(Unpark(thread::current())));
//!     let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
//!     loop {
//!         if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
//!             return output;
//!         }
//!         thread::park();
//!     }
//! }
//!
//! async fn digits(pool: &ThreadPool) -> Result<usize, TaskError> {
//!     let text = pool.submit(|| (0..1000).map(|n| n.to_string()).collect::<String>());
//!     Ok(text.await?.len())
//! }
//!
//! let pool = ThreadPool::new(2)?;
//! assert_eq!(block_on(digits(&pool))?, 2890);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - **To cancel.** The drop of a future detaches its task, which runs on. If the drop is to cancel
//!   it, as where a `select!` has taken another branch or a time limit has passed, await
//!   `handle.`[`cancel_on_drop()`](crate::TaskHandle::cancel_on_drop).
//! - **Without a wait.** `join`, `wait`, and `submit` to a full queue block the thread of the
//!   executor. In async code use `.await` and [`try_submit`](crate::Pool::try_submit), or a pool
//!   whose queue is unbounded or [rejects](crate::OnFull::Reject).
//! - **Which thread.** The rest of the async code runs where its executor runs it, not on the pool.
//!
//! # Wait for async code
//!
//! The async code completes a promise, and the body joins its handle. So the wait releases the run
//! slot, and ends when the body is asked to stop. With `cancel_on_drop` the async code can see that
//! the value is of no use any more. The threads here stand for the runtime of the program, as
//! `runtime.spawn(async move { .. })`.
//!
//! ```
//! use millhand::{TaskError, ThreadPool, promise};
//! # use std::sync::mpsc::channel;
//!
//! let pool = ThreadPool::new(1)?;
//! let task = pool.submit(|| {
//!     let (promise, value) = promise::<u32>();
//!     std::thread::spawn(move || {
//!         let _ = promise.complete(7); // an `Err` if the value is of no use any more
//!     });
//!     value.cancel_on_drop().join()
//! });
//! assert_eq!(task.join()??, 7);
//!
//! // The body is asked to stop while it waits.
//! # let (began, begins) = channel();
//! # let (seen, sees) = channel();
//! let task = pool.submit(move || {
//!     let (promise, value) = promise::<u32>();
//!     std::thread::spawn(move || {
//!         # began.send(()).unwrap();
//!         while !promise.is_cancelled() {
//!             std::thread::yield_now(); // the async code awaits something, for ever
//!         }
//!         # seen.send(()).unwrap();
//!     });
//!     value.cancel_on_drop().join()
//! });
//! # begins.recv()?;
//! task.cancel();
//! assert!(matches!(task.join()?, Err(TaskError::Interrupted(_))));
//! # sees.recv()?; // the promise has seen it
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Where async code is short, `blocking(|| runtime.block_on(..))` in the body does as well. A
//! request to stop does not reach that: give the async code
//! [`current().remaining()`](crate::pool::Current::remaining) as its time limit, or cancel it in a
//! hook of [`on_cancel`](crate::CancelToken::on_cancel).
//!
//! # A window with a main loop
//!
//! The thread of the loop must not wait, so it never joins a task that has not settled. There are
//! two ways. In the first, the task sends its outcome to the loop:
//! [`then`](crate::TaskHandle::then) runs for a panic, too.
//!
//! ```
//! use millhand::{TaskError, ThreadPool};
//! use std::sync::mpsc;
//!
//! enum Message {
//!     Loaded(Result<String, TaskError>),
//!     // .. keys, the mouse
//! }
//!
//! let pool = ThreadPool::new(2)?;
//! let (to_loop, main_loop) = mpsc::channel();
//! // Behind a button:
//! let load = move |name: &'static str| {
//!     let to_loop = to_loop.clone();
//!     let loaded = pool.submit(move || name.to_uppercase());
//!     let shown = loaded.then(move |text| {
//!         let _ = to_loop.send(Message::Loaded(text));
//!         // and then wake the loop, as by
//!         // egui: context.request_repaint()
//!         // winit: proxy.send_event(..), in place of the channel
//!     });
//!     drop(shown); // the loop waits for no handle; the task runs on without it
//! };
//! load("readme");
//! for Message::Loaded(text) in main_loop.iter().take(1) {
//!     assert_eq!(text?, "README");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In the second, the loop keeps the handle and looks at it in each frame, for windows that are
//! drawn anew each time. [`on_finish`](crate::TaskHandle::on_finish) wakes the loop for that frame.
//! The outcome is there by then.
//!
//! ```
//! use millhand::{TaskHandle, ThreadPool};
//!
//! #[derive(Default)]
//! struct Window {
//!     loading: Option<TaskHandle<String>>,
//!     text: String,
//! }
//!
//! impl Window {
//!     fn load(&mut self, pool: &ThreadPool, wake: impl FnOnce() + Send + 'static) {
//!         let handle = pool.submit(|| "loaded".to_owned()).cancel_on_drop();
//!         handle.on_finish(move |_| wake()); // context.request_repaint()
//!         self.loading = Some(handle); // cancels what was being loaded before
//!     }
//!
//!     fn draw(&mut self) {
//!         let finished = self.loading.take_if(|handle| handle.is_finished());
//!         if let Some(handle) = finished {
//!             self.text = handle.join().unwrap_or_else(|error| error.to_string()); // at once
//!         }
//!     }
//! }
//!
//! let pool = ThreadPool::new(2)?;
//! let mut window = Window::default();
//! let (wake, frames) = std::sync::mpsc::channel();
//! window.load(&pool, move || wake.send(()).unwrap());
//! frames.recv()?;
//! window.draw();
//! assert_eq!(window.text, "loaded");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - A callback runs on a worker, or on the thread that cancels the task. If the task has finished
//!   before, it runs at once on the thread that registers it. It should only wake.
//! - A full queue would hold the loop up. Leave the queue of such a pool unbounded, or use
//!   [`try_submit`](crate::Pool::try_submit).
//! - At its end, the loop returns, and `main` [shuts the pool down](crate::ThreadPool::shutdown).
//!   [`daemons`](super::daemons#other-ends-than-a-signal) has it with signals.
//! - Parts of the window belong to its thread. A task gets copies of what it needs, and returns
//!   plain values.
//! - The [programs](super#programs) `crawler` and `dashboard` have such a loop for a terminal.
//!
//! # Callbacks
//!
//! A library that calls back once becomes a handle by a [promise](crate::promise()). If it drops
//! the callback without a call, the handle settles as cancelled, so no code waits for ever.
//! [`Pool::promise`] makes one that can be continued on that pool.
//!
//! ```
//! use millhand::{TaskError, TaskHandle, ThreadPool};
//!
//! // That of the library: it calls back on a thread of its own, or not at all.
//! fn resolve(host: &str, callback: impl FnOnce(u32) + Send + 'static) {
//!     if host == "localhost" {
//!         std::thread::spawn(|| callback(0x7f00_0001));
//!     }
//! }
//!
//! fn address(pool: &ThreadPool, host: &str) -> TaskHandle<u32> {
//!     let (promise, handle) = pool.promise();
//!     resolve(host, |address| {
//!         let _ = promise.complete(address); // an `Err` if the handle was cancelled before
//!     });
//!     handle
//! }
//!
//! let pool = ThreadPool::new(1)?;
//! let first = address(&pool, "localhost").map(|address| address >> 24);
//! assert_eq!(first.join()?, 127);
//! assert!(matches!(address(&pool, "nowhere").join(), Err(TaskError::Cancelled(_))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A library that calls back many times sends to a channel, from which a body receives.
//!
//! # Channels
//!
//! In a body, [`recv`](crate::recv) receives from a channel of [`crossbeam_channel`], releases the
//! run slot, and ends when the body is asked to stop. For several channels, let a `select!` wait
//! for one more, whose sender is dropped by a hook of [`on_cancel`](crate::CancelToken::on_cancel):
//!
//! ```
//! use crossbeam_channel::{bounded, select};
//! use millhand::{ThreadPool, blocking, current};
//!
//! let pool = ThreadPool::new(1)?;
//! let (to_orders, orders) = bounded::<u32>(0);
//! let (_to_changes, changes) = bounded::<u32>(0);
//! let total = pool.submit(move || {
//!     let (stop, stopped) = bounded::<()>(0);
//!     let _hook = current().unwrap().token().on_cancel(move |_| drop(stop));
//!     let next = || blocking(|| select! {
//!         recv(orders) -> order => order.ok(),
//!         recv(changes) -> change => change.ok(),
//!         recv(stopped) -> _ => None,
//!     });
//!     std::iter::from_fn(next).sum::<u32>()
//! });
//! to_orders.send(7)?; // returns when the body has it
//! total.cancel();
//! assert_eq!(total.join()?, 7); // it has left the loop
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A channel of std has no `select`: receive with `recv_timeout` in a loop with
//! [`check`](crate::check), in `blocking`.
//!
//! # Threads of the program's own
//!
//! Any thread submits through `&ThreadPool` or a [`PoolHandle`](crate::PoolHandle), which can be
//! cloned and sent, and waits for handles as any other. What a thread does not inherit are
//! [context variables](crate::ContextVar): a [`Context`](crate::task::Context) carries them.
//!
//! ```
//! use millhand::task::Context;
//! use millhand::{ContextVar, ThreadPool};
//! use std::thread;
//!
//! static USER: ContextVar<&str> = ContextVar::new("guest");
//!
//! let pool = ThreadPool::new(1)?;
//! let task = USER.with("ann", || pool.submit(|| {
//!     let context = Context::capture();
//!     let thread = thread::spawn(move || context.run(|| USER.get()));
//!     millhand::blocking(|| thread.join().unwrap())
//! }));
//! assert_eq!(task.join()?, "ann");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Tracing
//!
//! With the feature `tracing`, the observer `observe::Tracing` makes a span for each attempt, below
//! the span in which the task was submitted. So what a task traces belongs to its request, also
//! after a delay, after a gate, and in each attempt of a retry.
//!
//! ```
//! # #[cfg(feature = "tracing")] {
//! use millhand::ThreadPool;
//! use millhand::observe::Tracing;
//!
//! let pool = ThreadPool::builder().workers(2).observer(Tracing::new()).build()?;
//! let request = tracing::info_span!("request", id = 7);
//! let resize = request.in_scope(|| {
//!     pool.task().name("resize").submit(|| tracing::info!("in request:task"))
//! });
//! resize.join()?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Other things that belong to a thread while it works for a request, such as the context of
//! another tracing library, are entered by the hook
//! [`around_task`](crate::pool::PoolBuilder::around_task), with what a
//! [context variable](crate::ContextVar) has brought.
//!
//! # rayon
//!
//! A body may call rayon's `par_iter` and `join`. It waits there for rayon's threads, so put
//! [`blocking`](crate::blocking) around the call, and its worker runs something else meanwhile.
//! The other way round, a closure of rayon may submit to a pool, and should not join: it would
//! hold a thread of rayon.
//!
//! ```text
//! pool.submit(move || millhand::blocking(|| pixels.par_iter().map(brighter).collect::<Vec<_>>()))
//! ```
//!
//! # Libraries that are bound to threads
//!
//! - **One value per thread**, neither `Send` nor `Sync`: a [`WorkerLocal`](crate::WorkerLocal)
//!   makes it on each thread that uses it, and drops it there.
//! - **One thread for all calls**: a pool of one worker, with
//!   [`max_threads(1)`](crate::pool::PoolBuilder::max_threads), so that no other thread takes its
//!   place while a body waits. Its bodies must not wait for tasks of the same pool, since the bound
//!   does not hold for these.
//! - **A call on each thread**, as COM, the JVM and others want it: the hooks
//!   [`on_worker_start`](crate::pool::PoolBuilder::on_worker_start) and
//!   [`on_worker_stop`](crate::pool::PoolBuilder::on_worker_stop).
//! - **The main thread**, as for most windows: send to [its loop](#a-window-with-a-main-loop).
//!
//! ```
//! use millhand::ThreadPool;
//! use std::cell::Cell;
//! use std::rc::Rc;
//!
//! let device = ThreadPool::builder().workers(1).max_threads(1).name_prefix("device").build()?;
//! let port = device.worker_local(|| Rc::new(Cell::new(0))); // opened once; it is not `Send`
//! let ask = || {
//!     let port = port.clone();
//!     device.submit(move || port.with(|port| port.replace(port.get() + 1)))
//! };
//! assert_eq!((ask().join()?, ask().join()?), (0, 1)); // the same port
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Pool::promise`]: crate::Pool::promise
