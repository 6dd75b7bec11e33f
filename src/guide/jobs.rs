//! Durable jobs: work that outlives the process, with the features `jobs`, `sqlite` and `redis`.
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
//! let (_, consumer) = report.services().find(|(name, _)| *name == "consumer").unwrap();
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
//! [`Retry`](crate::Retry) they wait less. A job whose time to
//! [expire](crate::jobs::JobBuilder::expires) is over when it gets its turn ends, and the next one
//! begins.
//!
//! # Jobs that follow others
//!
//! [`after`](crate::jobs::JobBuilder::after) is all there is to chains, groups and chords. A job is
//! blocked until all that it follows have succeeded. If one of these does not, it is cancelled, and
//! what follows it as well; [`even_if_failed`](crate::jobs::JobBuilder::even_if_failed) is for the
//! one that cleans up. What a job follows is kept for it until its own end, so its handler finds
//! the outputs. `keep` is needed only for what may have ended before the next job is stored: one
//! whose outcome is forgotten by then counts as one that succeeded, though it was cancelled or has
//! expired.
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
//! # Redis
//!
//! With the feature `redis` jobs are on a server, and workers on any number of machines. All else
//! stays as it is: `Redis` stands where `Sqlite` or `Memory` does.
//!
//! ```no_run
//! # #[cfg(feature = "redis")] {
//! use millhand::jobs::{Jobs, Redis};
//!
//! let storage = Redis::options("redis://user:password@10.0.0.5:6379/0")
//!     .namespace("shop") // other names have jobs of their own
//!     .replicas(1) // an enqueue waits until one replica has it
//!     .open()?;
//! let jobs = Jobs::open(storage)?;
//! for warning in &jobs.facts().warnings {
//!     log::warn!("{warning}");
//! }
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What is promised depends on how the server writes to its disk:
//!
//! | after `enqueue` has returned | `appendonly yes`, `appendfsync always` | `appendonly yes`, `appendfsync everysec` | snapshots only |
//! | --- | --- | --- | --- |
//! | `kill -9` of this process | kept | kept | kept |
//! | `kill -9` of the server | kept | kept, but for the last 2 seconds at most if the disk was slow | back to the last snapshot |
//! | power cut at the server | kept | about the last second is gone | back to the last snapshot |
//! | a replica takes over | what it had not got is gone, unless `replicas(1)` waited for it | the same | the same |
//! | memory full, with `noeviction` | `enqueue` is refused, with an error of the kind `Full`; ends pass | the same | the same |
//! | a job that ran when its process was killed | runs again when the lease has ended: 30 s by default | the same | the same |
//!
//! *What is looked at.* Opening looks at the answer of `INFO`:
//!
//! - A version older than 6.2 is refused, and so is a replica. What a newer version of this library
//!   has written is an error of the kind `NewerSchema`.
//! - A `maxmemory-policy` of `allkeys-..` is refused, since a full server would remove jobs.
//!   `RedisOptions::allow_eviction` accepts it, with a warning. With `volatile-..` no job is
//!   removed, but a batch that is sent again may be stored twice: a warning. `noeviction` is right.
//! - Without `appendonly` there is a warning, since a restart takes what came after the last
//!   snapshot.
//!
//! *Addresses.*
//!
//! | address | means |
//! | --- | --- |
//! | `redis://host`, `redis://host:6380/2` | another port than 6379, and the database 2 |
//! | `redis://user:password@host`, `redis://:password@host` | a user of the server's access list, or the default one. The user needs all commands on `{namespace}:*`, scripts, and `INFO` |
//! | `rediss://host` | TLS, with the feature `redis-tls`. The certificate must be one of a public authority |
//! | `redis+unix:///run/redis.sock?db=2&user=u&pass=p` | a socket of this machine |
//!
//! *Several machines.* Times are those of the server's clock, so the clocks of the workers do not
//! matter. A lost connection is made anew. An enqueue, or the end of a job, that is not known to
//! have arrived is sent again, and counts once. A call waits for a server that is away for 30
//! seconds, or the `RedisOptions::patience`, and a consumer for as long as it takes. A consumer
//! that cannot show a sign of life before its lease has ended asks what it runs to stop.
//!
//! *Several threads.* Calls of `enqueue` that come while another one of this process waits for the
//! server are sent together when it has its answer. So many threads that enqueue cost the server
//! little more than one. While the server is away, such a call may wait for twice the patience, and
//! longer if so many wait that they need several batches, of 1,000 jobs each. A job that the server
//! refuses is an error of its own call alone.
//!
//! *Sentinel.* The client has one address, and does not ask Sentinel for it. After a failover that
//! address must lead to the new primary: by a proxy, by DNS, or by an address that moves with it.
//! Until then calls wait, since a replica refuses to write.
//!
//! *Cluster.* All keys of a namespace are in one hash slot, `{namespace}`, so all scripts are
//! allowed. The client does not follow redirections. It works with the address of the node that has
//! this slot, and the error at another node says so. When the slot moves, the address must, too.
//! Servers that lock by the keys that a call names do not work: scripts name one key only.
//!
//! *Namespaces.* All keys begin with `{millhand}:`, or another name in braces. A program for tests,
//! a second service or a part of a large one has its own. Ids, lanes, unique keys and `after` are
//! of one namespace. To remove one, remove its keys: `redis-cli --scan --pattern '{shop}:*'` lists
//! them.
//!
//! *From a file to a server.* The program `jobs` of `examples/programs` has `move --to`, which
//! takes what waits from one storage to another while workers run at both.
//!
//! # On paper: 10, 100, 1,000 consumers and 10^8 jobs
//!
//! A Redis server runs one script at a time, so that is where the limit is. These are counts, and
//! do not depend on the machine. A plain job is one without a key, a lane or others to follow:
//!
//! | what | costs |
//! | --- | --- |
//! | an enqueue | one request, for one job or a batch. About 13 commands within the script, and 1 more for each further plain job of a batch |
//! | a plain job from its claim to its end | a part of two requests, which carry as many jobs as the consumer has slots. About 3 commands for each |
//! | a consumer that has nothing to do | about 2 requests a second |
//! | a process with a consumer | up to 5 connections, of the 10,000 that a server takes by default |
//! | a job that waits, with 60 bytes of payload | about 340 bytes of memory, or 320 if it waits for its time |
//! | the same, with 200 bytes | about 575 bytes |
//!
//! To measure them, and the time of a script on a machine: `redis-cli config resetstat`, then what
//! is of interest, then `redis-cli info commandstats`. `usec_per_call` of `evalsha` is the time in
//! which the server does nothing else. `redis-cli info memory` has the bytes.
//!
//! On two processors a script took 16 µs for each plain job of a batch that it stored, and 25 µs
//! for each that it gave and ended. A script that stored one job alone took 72 µs. With 50 µs in
//! all for a job:
//!
//! - *10 consumers* ask 20 times a second when idle. A server does 20,000 jobs a second, more than
//!   most handlers do; a few thousand if each is stored and claimed alone.
//! - *100 consumers* are 200 idle requests a second, and 500 connections. More slots for each
//!   consumer are better than more consumers, since a request carries more jobs then.
//! - *1,000 consumers* are 2,000 idle requests a second, a fifth of the server if each takes 0.1
//!   ms, and 5,000 connections. Here it is time for namespaces.
//! - *10^8 jobs that wait* are 34 GB, and while the server rewrites its file up to twice that. To
//!   load them takes a restarted server minutes, in which calls end with `Unreachable`. What waits
//!   for weeks is better in a SQLite file, or in your own tables, until its day has come.
//! - *10^8 jobs a day* are 1,160 a second, a quarter of one server if each comes alone.
//! - What looks at all jobs, as a list without an end or a check, goes on in parts of at most
//!   5,000, between which the server does other work: 20,000 parts. Counts are kept, and cost the
//!   same for any number.
//!
//! Namespaces divide the work over several servers, or nodes of a cluster. Each is a storage of its
//! own: a program opens one [`Jobs`](crate::jobs::Jobs) for each, stores a job in the one that its
//! account or its lane hashes to, and starts a consumer on each, all on one pool. What must not run
//! twice, or in order, or after another one, must be in one namespace.
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
//! Whatever can write a SQLite file can enqueue. As a job that has long been due, it needs no
//! wake-up and no knowledge of other tables:
//!
//! ```sql
//! INSERT INTO mh_job(queue, kind, priority, state, run_at, enqueued_at, payload)
//! VALUES ('mail', 'send-mail', 0, 0, 0, 0, CAST('{"to":"a@example.org"}' AS BLOB));
//! ```
//!
//! On a Redis server a job is in several keys, which only the scripts of this library keep
//! together. So what is written in another language enqueues by a program: by
//! `jobs --store redis://.. enqueue KIND JSON` of `examples/programs`, or by a small one of yours.
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
