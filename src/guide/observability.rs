//! Looking into a running pool: what it does, what it did, and why it is slow.
//!
//! | question | ask | cost |
//! | --- | --- | --- |
//! | how much was done, how much waits, are workers free | [`pool.stats()`](crate::Pool::stats) | nothing until it is called |
//! | what runs now, and for how long; what waits, and for what | [`pool.tasks()`](crate::Pool::tasks), [`dump`](crate::Pool::dump) | an entry in a list for each task with a name or options |
//! | how long do tasks wait and run | the option `histograms` of the builder (feature `histograms`), and names or [`timed`](crate::TaskBuilder::timed) | two readings of the clock for each such task |
//! | which task is stuck, does the queue stand still | [`slow_task`](crate::pool::PoolBuilder::slow_task), [`stalled`](crate::pool::PoolBuilder::stalled) | a thread that looks from 4 to 50 times a second |
//! | what happened, one thing after the other | an [`Observer`](crate::observe::Observer) | some calls for each task |
//! | the same in the tools that the program has already | the features `tracing`, `metrics`; [`to_prometheus`](crate::observe::Stats::to_prometheus) | as an observer; nothing |
//! | all of it, in a browser | the feature `dashboard` | the sampler, and one thread that accepts |
//!
//! [`performance`](crate::guide::performance) has the costs as figures.
//!
//! # Give tasks names
//!
//! A name is the word by which an operator finds a task: in the log, in a panic, in the list of
//! live tasks, as the row of a histogram. It also makes the task a timed one. All tasks of a
//! template share the name.
//!
//! ```
//! use millhand::ThreadPool;
//!
//! let pool = ThreadPool::builder().workers(2).name_prefix("thumbnails").build()?;
//! let resize = pool.task().name("resize");
//! let done: Vec<_> = (0..10).map(|n| resize.submit(move || n)).collect();
//! for handle in done {
//!     handle.join()?;
//! }
//! let stats = pool.stats();
//! assert_eq!((stats.submitted, stats.succeeded, stats.pending()), (10, 10, 0));
//! println!("{stats}"); // a table
//! println!("{}", pool.tasks()); // what each worker and each task does
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A task that runs for long can say how far it has come:
//! [`current().set_progress(done, total)`](crate::pool::Current::set_progress).
//!
//! # What the numbers mean
//!
//! The totals of [`Stats`](crate::observe::Stats) only grow. A task counts as submitted before it
//! can start, and its outcome counts before any code can see it. So after a join the statistics
//! include the task, and the outcomes together never exceed what was submitted. The numbers of the
//! present are read one after the other. At rest they are exact.
//!
//! What waits, waits in one of four places: `queued` (for a worker), `delayed` (for time), `gated`
//! (at a gate) or `waiting` (for the tasks that it continues). Many queued tasks and no idle worker
//! ask for more workers, or for less work. Many gated tasks are what their gates are for. Workers
//! that are `blocked` wait in the library, and others take their place.
//!
//! # A watchdog
//!
//! ```
//! use millhand::ThreadPool;
//! use millhand::observe::Event;
//! use std::time::Duration;
//!
//! let pool = ThreadPool::builder()
//!     .workers(4)
//!     .slow_task(Duration::from_secs(60)) // logs each task that runs for longer, once
//!     .stalled(Duration::from_secs(10)) // logs when nothing leaves the queue for so long
//!     .observer(|event: &Event| {
//!         if let Event::Slow { task, running, .. } = event {
//!             eprintln!("{task} has run for {running}"); // or a message to the operator
//!         }
//!     })
//!     .build()?;
//! # assert!(pool.stats().rates.is_some());
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! A plain task reads no clock when it starts. The watchdog counts its age from when it first saw
//! the task run, and shows it as `>= 1m01s`. A shutdown that runs out of time logs the
//! [`dump`](crate::Pool::dump): what each thread did then.
//!
//! # Events
//!
//! An observer gets every step of every task; [`Event`](crate::observe::Event) has the order. It is
//! called on the thread where the thing happens, with no lock held, and slows that thread alone.
//! Put a [`Buffered`](crate::observe::Buffered) between if it writes to a disk or a socket: that
//! drops what does not fit, and counts it. One that panics is switched off.
//!
//! For the end of one task there is [`TaskHandle::on_finish`](crate::TaskHandle::on_finish), and
//! for all tasks of a template [`TaskBuilder::on_finish`](crate::TaskBuilder::on_finish). Both get
//! a [`Summary`](crate::task::Summary): how long the task waited and ran, how many attempts it
//! made, and why it failed.
//!
//! ```
//! use millhand::task::OutcomeKind;
//!
//! let pool = millhand::ThreadPool::new(2)?;
//! let (send, failures) = std::sync::mpsc::channel();
//! let upload = pool.task().name("upload").on_finish(move |summary| {
//!     if summary.outcome != OutcomeKind::Succeeded {
//!         let _ = send.send(format!("{} attempts: {:?}", summary.attempts, summary.error));
//!     }
//! });
//! upload.submit(|| "done").join()?;
//! upload.execute(|| panic!("the disk is full"));
//! drop(pool); // all callbacks have run
//! let failures: Vec<_> = failures.try_iter().collect();
//! assert_eq!(failures.len(), 1);
//! assert!(failures[0].starts_with("1 attempts") && failures[0].contains("the disk is full"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Prometheus
//!
//! The text that Prometheus reads comes from
//! [`Stats::to_prometheus`](crate::observe::Stats::to_prometheus). A program with a web server
//! returns it at `/metrics`. One without has the few lines that the README shows, or the feature
//! `dashboard`, which serves it as well.
//!
//! # A page
//!
//! ```
//! # #[cfg(feature = "dashboard")] {
//! use millhand::ThreadPool;
//! use millhand::dashboard::Dashboard;
//!
//! let pool = ThreadPool::builder().workers(4).name_prefix("mail").build()?;
//! let page = Dashboard::builder().pool(&pool).serve("127.0.0.1:0")?;
//! println!("http://{}/", page.local_addr());
//! # assert!(page.local_addr().ip().is_loopback());
//! // It is served until `page` is dropped.
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `examples/programs/` has it over a made-up load, and the same in the terminal.
//!
//! # Bodies that the pool cannot see into
//!
//! A pool knows that a body runs, and since when. It does not know what the body does. If a body
//! waits in [`blocking`](crate::blocking) or in a wait of the library, its worker shows as blocked;
//! a read from a socket shows as busy.
