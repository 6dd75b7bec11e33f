//! Durable jobs: work that outlives the process, with the features `jobs` and `sqlite`.
//!
//! A task of a pool is a closure, and is gone when its process ends. A job is a value that is
//! stored: it is there after a crash, another process can run it, and it can wait for days. Use
//! jobs for what a user was promised: a mail, an invoice, an import. Use tasks for the rest.
//!
//! | you want | write |
//! | --- | --- |
//! | to say what there is to do | [`impl Job`](crate::jobs::Job) for a type that serde knows |
//! | to store it | [`jobs.enqueue(&job)`](crate::jobs::Jobs::enqueue), or with options [`jobs.job()`](crate::jobs::Jobs::job)` .. .enqueue(&job)` |
//! | to store it together with your own rows | `jobs.job().enqueue_in(&tx, &job)`, in your transaction |
//! | to run jobs | [`jobs.consumer(&pool)`](crate::jobs::Jobs::consumer), with a handler for each kind |
//! | retries, gates, time limits | [`Handler`](crate::jobs::Handler) |
//! | to wait for a result | [`keep`](crate::jobs::JobBuilder::keep) it, and [`JobHandle`](crate::jobs::JobHandle), in any process |
//! | one job of an account at a time | [`lane(key)`](crate::jobs::JobBuilder::lane) |
//! | to begin a job when others have ended | [`after(&jobs)`](crate::jobs::JobBuilder::after) |
//! | one job for many changes in a row | [`unique(key).delay(d).replace()`](crate::jobs::JobBuilder::replace) |
//! | to store a job each hour | [`every`](crate::jobs::JobBuilder::every), `cron` |
//! | to see and change what is there | [`counts`](crate::jobs::Jobs::counts), [`list`](crate::jobs::Jobs::list), [`retry_dead`](crate::jobs::Jobs::retry_dead), [`purge`](crate::jobs::Jobs::purge), [`set_queue`](crate::jobs::Jobs::set_queue) |
//!
//! ```
//! # #[cfg(feature = "sqlite")] {
//! use millhand::jobs::{Handler, Job, JobContext, Jobs, Sqlite};
//! use millhand::{Retry, Shutdown, ThreadPool};
//! use serde::{Deserialize, Serialize};
//! use std::time::Duration;
//!
//! // Shared by the programs that store and those that run.
//! #[derive(Serialize, Deserialize)]
//! struct SendMail {
//!     to: String,
//! }
//!
//! impl Job for SendMail {
//!     const NAME: &'static str = "send-mail"; // as it is stored: the type can be renamed
//!     const QUEUE: &'static str = "mail";
//!     type Output = ();
//! }
//! # let directory = std::env::temp_dir().join(format!("millhand-guide-{}", std::process::id()));
//! # std::fs::create_dir_all(&directory)?;
//! # let path = directory.join("app.db");
//!
//! let jobs = Jobs::open(Sqlite::open(path)?)?;
//! // Stored, and on the disk, when this returns. The outcome is kept for the wait below.
//! let kept = jobs.job().keep(Duration::from_secs(3600));
//! let mail = kept.enqueue(&SendMail { to: "a@example.org".into() })?;
//!
//! // In this process or another, now or tomorrow:
//! let pool = ThreadPool::new(4)?;
//! jobs.consumer(&pool)
//!     .queue("mail", 4)
//!     .handler(
//!         Handler::new(|mail: SendMail, job: &JobContext| {
//!             println!("{} (failed {} times before)", mail.to, job.failures());
//!             Ok::<_, std::io::Error>(())
//!         })
//!         .retry(Retry::exponential(10, Duration::from_secs(5)))
//!         .attempt_timeout(Duration::from_secs(60)),
//!     )
//!     .start()?;
//! mail.handle().join()?;
//! let report = pool.shutdown(Shutdown::drain())?;
//! let (_, consumer) = report.services().next().unwrap();
//! assert_eq!(consumer.text(), "1 done, 0 dead, 0 retried");
//! # drop(jobs);
//! # std::fs::remove_dir_all(directory)?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is promised
//!
//! **At least once.** A job that was stored runs until it has ended. If its process is killed in
//! the middle, it runs again, so a handler must bear a second run: see below. It runs twice at the
//! same time only if a consumer was cut off for longer than its lease, or a clock jumped ahead;
//! then the consumer asks the first run to stop, and one end counts.
//!
//! | after `enqueue` has returned | memory | SQLite, `Durability::Full` (the default) | SQLite, `Durability::Normal` |
//! | --- | --- | --- | --- |
//! | `kill -9` of this process | gone | kept | kept |
//! | power cut, crash of the system | gone | kept | the last moments may be gone; the file is whole |
//! | disk full | | `enqueue` is refused, with an error of the kind `Full`; ends wait until there is room | the same |
//! | a job that ran when its process was killed | gone | runs again when the lease has ended: 30 s by default | the same |
//!
//! Three counts are kept apart. [`failures`](crate::jobs::JobContext::failures): the handler
//! returned an error, panicked, or ran out of time. The [`Retry`](crate::Retry) of the handler
//! judges these. [`crashes`](crate::jobs::JobContext::crashes): the worker was lost. A job that
//! kills its process is dead after the fourth. Claims number the runs: an end counts only if it
//! names the latest claim. A shutdown counts as nothing.
//!
//! A consumer shows a sign of life each third of its lease, from a thread of its own, so a handler
//! may take a week. When its lease may have ended, by its own clock and though the storage does not
//! answer, it asks what runs to stop, with the reason
//! [`Lease`](crate::cancel::CancelReason::Lease): another consumer may run it by then. A body that
//! may hang is given up by [`abandon_after`](crate::jobs::Handler::abandon_after).
//!
//! Nothing is read ahead: a consumer claims what it has free slots for. A claim names the kinds
//! that the consumer has handlers for. A job of a kind that no running version of the program
//! knows stays where it is.
//!
//! # A second run
//!
//! A handler may have done its work, and its process may die before the storage knows. Then the
//! job runs again. Three ways to bear that:
//!
//! - Do something that may be done twice: set a state, write a file under the same name.
//! - Ask before: "is the invoice of this number sent?" The id of the job is a good key for that,
//!   and for services that take a key for idempotency.
//! - If what it does is rows in the same SQLite file: end the job in the same transaction, by
//!   `JobContext::complete_in`. Both happen, or neither.
//!
//! [`at_most_once`](crate::jobs::JobBuilder::at_most_once) is for the opposite: rather not at all
//! than twice.
//!
//! # A job that does not run
//!
//! [`counts`](crate::jobs::Jobs::counts) and [`list`](crate::jobs::Jobs::list) say where it is:
//!
//! - *ready*, and stays so: no consumer takes jobs of its queue, none has a handler for its kind,
//!   the queue is paused, or its limits are reached. A job waits in the queue of its
//!   [`QUEUE`](crate::jobs::Job::QUEUE), and a consumer takes those of the queues that it names.
//!   [`sessions`](crate::jobs::Jobs::sessions) lists the consumers with their queues and kinds.
//! - *scheduled*: its time has not come, or it has failed, and waits for its next attempt. Then its
//!   `error` says why it failed.
//! - *blocked*: another job of its lane has not ended, or a job that it follows. `lane` and
//!   `waits_for` of the list say which of the two.
//! - *running*, though its process was killed: until its lease has ended.
//! - *dead*: `error` says why.
//!
//! # Unique jobs
//!
//! [`unique(key)`](crate::jobs::JobBuilder::unique) stores a job only if none of its kind with this
//! key is stored. The key is free in the same step in which the job ends, in whatever way: no lock
//! is left behind. [`unique_until_started`](crate::jobs::JobBuilder::unique_until_started) allows
//! one to run and one to wait. [`unique_for`](crate::jobs::JobBuilder::unique_for) holds the key
//! for a time: a client may repeat its request.
//!
//! # One after the other
//!
//! Two consumers, or two slots of one, begin jobs in the order of the queue, and run them side by
//! side. Jobs with one [`lane`](crate::jobs::JobBuilder::lane) run one at a time, in all processes,
//! in the order in which they were stored: the changes of one account, the commands for one device.
//! There may be a million lanes. A job that fails keeps its lane through its pauses, so the others
//! of its lane wait until it has succeeded or is dead. With fewer attempts in its
//! [`Retry`](crate::Retry) they wait less.
//!
//! # Jobs that follow others
//!
//! [`after`](crate::jobs::JobBuilder::after) is all there is to chains, groups and chords. A job is
//! blocked until all that it follows have succeeded. If one of these does not, it is cancelled, and
//! what follows it as well; [`even_if_failed`](crate::jobs::JobBuilder::even_if_failed) is for the
//! one that cleans up. What a job follows is kept for it until its own end, so its handler finds
//! the outputs. `keep` is needed only for what may have ended before the next job is stored:
//!
//! ```
//! use millhand::jobs::{Job, JobContext, JobState, Jobs, Memory};
//! use millhand::{Shutdown, ThreadPool};
//! use serde::{Deserialize, Serialize};
//! use std::error::Error;
//! use std::time::Duration;
//!
//! #[derive(Serialize, Deserialize)]
//! enum Step {
//!     Fetch,
//!     Resize { width: u32 },
//!     Publish,
//! }
//!
//! impl Job for Step {
//!     const NAME: &'static str = "step";
//!     type Output = u32; // the bytes of it
//! }
//!
//! fn step(step: Step, job: &JobContext) -> Result<u32, Box<dyn Error + Send + Sync>> {
//!     let before: Vec<u32> = job.parents()?.into_iter().collect::<Result<_, _>>()?;
//!     Ok(match step {
//!         Step::Fetch => 1000,
//!         Step::Resize { width } => before[0] * width / 100,
//!         Step::Publish => before.iter().sum(),
//!     })
//! }
//!
//! let jobs = Jobs::open(Memory::new())?;
//! let kept = jobs.job().keep(Duration::from_secs(3600));
//! let fetch = kept.enqueue(&Step::Fetch)?;
//! // Two that follow one, and one that follows two.
//! let sizes = [10, 25].map(|width| Step::Resize { width });
//! let resized = kept.clone().after([&fetch]).enqueue_all(sizes)?;
//! let publish = kept.after(&resized).enqueue(&Step::Publish)?;
//! assert_eq!(publish.handle().state()?, Some(JobState::Blocked));
//!
//! let pool = ThreadPool::new(2)?;
//! jobs.consumer(&pool).queue("default", 2).handle(step).start()?;
//! assert_eq!(publish.handle().join()?, 100 + 250);
//! # pool.shutdown(Shutdown::drain())?;
//! # Ok::<(), Box<dyn Error>>(())
//! ```
//!
//! A job of a chain may be in a lane. It joins that when what it follows has ended.
//!
//! # The last of many changes
//!
//! A page is saved ten times in a minute, and is to be indexed once. A job with a unique key that
//! [replaces](crate::jobs::JobBuilder::replace) the one before, and is due a while later, begins
//! when it has been calm for so long. What has begun is not replaced. So the key is to be free from
//! then on, and a change while the job runs makes another one:
//!
//! ```
//! use millhand::jobs::{Job, Jobs, Memory};
//! use serde::{Deserialize, Serialize};
//! use std::time::Duration;
//!
//! #[derive(Serialize, Deserialize)]
//! struct Index {
//!     revision: u32,
//! }
//!
//! impl Job for Index {
//!     const NAME: &'static str = "index";
//!     type Output = ();
//! }
//!
//! let jobs = Jobs::open(Memory::new())?;
//! let page = jobs.job().unique_until_started("page-7").replace();
//! let calm = page.delay(Duration::from_secs(10));
//! let first = calm.enqueue(&Index { revision: 1 })?;
//! let tenth = calm.enqueue(&Index { revision: 10 })?; // ten seconds from now
//! assert!(first.is_new() && tenth.is_replaced());
//! assert_eq!(first.id(), tenth.id());
//! assert_eq!(jobs.get(first.id())?.unwrap().payload, br#"{"revision":10}"#);
//! # Ok::<(), millhand::jobs::JobsError>(())
//! ```
//!
//! # Deploys
//!
//! - A shutdown by `drain` stops claiming, finishes what runs, and gives back what has not begun.
//!   With `cancel_after` running handlers are asked to stop, and what they leave goes back, too. In
//!   each case nothing stays leased. See [`shutdown`](super::shutdown).
//! - New kinds: old consumers leave them alone. Start the new version before or after.
//! - Renamed kinds: name the old one in [`ALIASES`](crate::jobs::Job::ALIASES).
//! - Changed fields: jobs of the old version are still stored. Give new fields `#[serde(default)]`.
//!   A payload that cannot be read makes the job dead at once, with its payload kept, and
//!   [`retry_dead`](crate::jobs::Jobs::retry_dead) runs it in the next version.
//! - A new version of this library may add to the tables of a SQLite file. It does so when it opens
//!   the file, and older versions then refuse to. End the old programs before: one that has the
//!   file open goes on, and knows nothing of lanes and of jobs that follow others. `Jobs::check`
//!   finds and mends what such a program has left behind.
//!
//! # Clocks
//!
//! All times are those of the storage. With SQLite that is the clock of the machine. If it is set
//! forward, delays and leases end early. Then a job may run twice at worst, and one end counts. If
//! it is set back, they end late.
//!
//! # SQLite
//!
//! - One file, with `-wal` and `-shm` beside it, on a disk of this machine: not on a network file
//!   system. Copy the three together, or use the backup of SQLite.
//! - Any number of threads and processes may use it. Your own tables may be in the same file.
//! - In each process one thread writes, and stores what several threads enqueue at the same time in
//!   one commit. So many threads that enqueue cost little more than one. A commit costs an fsync.
//! - Do not call `enqueue` while this thread has a transaction open in the same file: it waits for
//!   itself, and is an error of the kind `Busy` after a while. Use `enqueue_in`.
//! - Another process is woken by a datagram on the loopback, or looks within 100 ms.
//!
//! # How fast
//!
//! With `Durability::Full` an enqueue costs one flush of the disk, and whatever else is enqueued in
//! this process at the same time is in the same flush. With `Durability::Normal` it costs none.
//! What waits for its time, and what has ended, is not in the way of what is ready.
//! `benches/peers/durable/results/table.md` has figures beside Huey, honker, effectum, apalis and
//! plainjob, each with its durability.
//!
//! # Other languages
//!
//! Whatever can write the file can enqueue. As a job that has long been due, it needs no wake-up
//! and no knowledge of other tables:
//!
//! ```sql
//! INSERT INTO mh_job(queue, kind, priority, state, run_at, enqueued_at, payload)
//! VALUES ('mail', 'send-mail', 0, 0, 0, 0, CAST('{"to":"a@example.org"}' AS BLOB));
//! ```
//!
//! # Tests
//!
//! The storage in memory, a pool and a clock of a [simulation](crate::testing) make a world in
//! which a day of schedules and retries takes a moment, and every run of a seed is the same:
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::ThreadPool;
//! use millhand::jobs::{Job, JobContext, Jobs, Memory};
//! use serde::{Deserialize, Serialize};
//! use std::time::Duration;
//!
//! #[derive(Serialize, Deserialize)]
//! struct Ping;
//!
//! impl Job for Ping {
//!     const NAME: &'static str = "ping";
//!     type Output = u32;
//! }
//!
//! let (pool, simulation) = ThreadPool::simulated(1);
//! let jobs = Jobs::open(Memory::options().clock(simulation.clock()).build())?;
//! jobs.consumer(&pool)
//!     .queue("default", 1)
//!     .handle(|_: Ping, job: &JobContext| match job.failures() {
//!         0..3 => Err("no answer"),
//!         failures => Ok(failures),
//!     })
//!     .start()?;
//! let ping = jobs.enqueue(&Ping)?;
//! assert_eq!(ping.handle().join()?, 3); // after three pauses
//! assert!(simulation.elapsed() > Duration::from_secs(15));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # From other queues
//!
//! | there | here |
//! | --- | --- |
//! | Huey `@huey.task()`, RQ a function, Celery `@app.task`, Sidekiq `perform` | a type with [`impl Job`](crate::jobs::Job), and a [`Handler`](crate::jobs::Handler) in the consumer |
//! | `add(1, 2)`, `queue.enqueue(add, 1, 2)`, `add.delay(1, 2)`, `Add.perform_async(1, 2)` | [`jobs.enqueue(&Add(1, 2))`](crate::jobs::Jobs::enqueue) |
//! | `.schedule(delay=60)`, `enqueue_in`, `apply_async(countdown=60)`, `perform_in` | [`jobs.job().delay(d)`](crate::jobs::JobBuilder::delay) |
//! | `eta=`, `enqueue_at`, `perform_at` | [`at(time)`](crate::jobs::JobBuilder::at) |
//! | Huey `retries=`, `retry_delay=`; Celery `autoretry_for`, `retry_backoff` | [`Handler::retry`](crate::jobs::Handler::retry), [`retry_if`](crate::jobs::Handler::retry_if) |
//! | Huey `RetryTask(delay=)`, Oban `snooze` | [`postpone`](crate::jobs::JobContext::postpone), which counts as nothing |
//! | `result.get(blocking=True)`, `job.return_value()`, `AsyncResult.get()` | [`handle.join()`](crate::jobs::JobHandle::join) |
//! | `result.revoke()`, `AsyncResult.revoke()` | [`handle.cancel()`](crate::jobs::JobHandle::cancel), which also asks one that runs |
//! | `@huey.periodic_task(crontab(..))`, RQ scheduler, the scheduler of Celery, sidekiq-cron | [`every`](crate::jobs::JobBuilder::every), `cron`; no process is the leader |
//! | Huey `lock_task`, sidekiq-unique-jobs | [`unique`](crate::jobs::JobBuilder::unique) |
//! | Huey pipelines `.then`, Celery `chain`, `group`, `chord`; RQ `depends_on`; Sidekiq batches; BullMQ flows | [`after`](crate::jobs::JobBuilder::after), [`even_if_failed`](crate::jobs::JobBuilder::even_if_failed), [`parents`](crate::jobs::JobContext::parents) |
//! | `queue_name` of graphile-worker, concurrency keys of Solid Queue | [`lane`](crate::jobs::JobBuilder::lane) |
//! | `job_key` of graphile-worker, debounce of BullMQ | [`unique`](crate::jobs::JobBuilder::unique) with [`replace`](crate::jobs::JobBuilder::replace) |
//! | Huey `expires=`, Celery `expires=` | [`expires`](crate::jobs::JobBuilder::expires) |
//! | RQ failed registry, Sidekiq dead set | [`Filter`](crate::jobs::Filter) with the state `Dead`, [`retry_dead`](crate::jobs::Jobs::retry_dead) |
//! | Celery `acks_late`, `visibility_timeout`; super_fetch | always so; the [`lease`](crate::jobs::ConsumerBuilder::lease) is of the process, so a job may run for a week |
//! | Celery `worker_prefetch_multiplier` | nothing is read ahead |
//! | Sidekiq `concurrency`, queues with weights | [`queue(name, slots)`](crate::jobs::ConsumerBuilder::queue): each has its own |
