//! Daemons: programs that run until they are asked to end, by a signal, systemd, a container, a
//! script, a window, or the end of their input.
//!
//! # A service
//!
//! The main thread installs the signals before it builds its pools. Then it waits in
//! [`run_until`](crate::ThreadPool::run_until).
//!
//! ```no_run
//! # #[cfg(feature = "signals")] {
//! use millhand::{Shutdown, Signals, ThreadPool};
//! use std::time::Duration;
//!
//! let signals = Signals::install();
//! let pool = ThreadPool::new(4)?;
//! // ... threads and tasks that take requests submit to `pool.handle()` ...
//! let how = Shutdown::drain()
//!     .cancel_after(Duration::from_secs(20)) // asks what still runs to stop
//!     .give_up_after(Duration::from_secs(25)); // and then leaves without it
//! let report = pool.run_until(&signals, how)?;
//! log::info!("{report}");
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | signal | what happens |
//! | --- | --- |
//! | the first | the pool takes no more tasks, and ends as the given [`Shutdown`](crate::Shutdown) says |
//! | the second | queued tasks are cancelled, and running tasks are asked to stop |
//! | the third | the process ends at once, with exit code 130 |
//!
//! After a shutdown that gave up, some tasks still run. They end with the process, when `main`
//! returns. [`shutdown`](super::shutdown) says what becomes of each task before.
//!
//! # How it is started, and how it is ended
//!
//! SIGINT, SIGTERM and SIGHUP count alike. A signal that the caller of the program has ignored
//! stays ignored, also for the children of the program. The other signals still work. The log names
//! both.
//!
//! | started by | ignored | ended by | what to take care of |
//! | --- | --- | --- | --- |
//! | a terminal | | Ctrl-C: SIGINT. The end of the terminal: SIGHUP | each signal goes to the children of the program, too |
//! | `program &` in a script | SIGINT | `kill $!`: SIGTERM | `wait $!` returns when the drain has ended |
//! | `nohup program` | SIGHUP | SIGTERM, or SIGINT | |
//! | systemd | | SIGTERM; SIGKILL after `TimeoutStopSec`, 90 s by default | [give up](crate::Shutdown::give_up_after) earlier than that |
//! | docker, podman | | SIGTERM to the first process; SIGKILL after 10 s | the same; make the program the first process |
//! | Kubernetes | | the same; SIGKILL after 30 s by default | the same |
//!
//! # Exit codes
//!
//! | the end | exit code |
//! | --- | --- |
//! | the first or second signal, a token, the end of the work | what `main` returns: 0 for `Ok`, 1 for `Err` |
//! | the third signal | 130 (`Signals::EXIT_CODE`), at once |
//! | a panic of `main` | 101 |
//! | a panic in a task | none: it is in the handle or in the log, and the program goes on; with `panic = "abort"` SIGABRT, 134 in a shell |
//! | a signal before `Signals::install`, SIGKILL | the signal itself: 143 for SIGTERM, 137 for SIGKILL in a shell |
//!
//! A service that was asked to end has not failed, so 0 is right after a clean drain. If work was
//! lost, say so:
//!
//! ```
//! use millhand::{CancelToken, Shutdown, ThreadPool};
//! use std::process::ExitCode;
//!
//! fn main() -> ExitCode {
//!     let pool = ThreadPool::new(2).expect("a pool");
//!     pool.execute(|| println!("served"));
//!     let stop = CancelToken::new(); // in a service, `Signals::install()`
//!     # stop.cancel();
//!     match pool.run_until(&stop, Shutdown::drain()) {
//!         Ok(report) if report.is_clean() => ExitCode::SUCCESS,
//!         Ok(report) => {
//!             eprintln!("not all work was done: {report}");
//!             ExitCode::FAILURE
//!         }
//!         Err(error) => {
//!             eprintln!("{error}");
//!             ExitCode::FAILURE
//!         }
//!     }
//! }
//! ```
//!
//! # systemd
//!
//! ```text
//! # /etc/systemd/system/mill.service
//! [Unit]
//! Description=The mill
//! Wants=network-online.target
//! After=network-online.target
//!
//! [Service]
//! Type=exec
//! ExecStart=/usr/bin/mill
//! ExecReload=/bin/kill -HUP $MAINPID
//! Restart=on-failure
//! RestartSec=5
//! KillMode=mixed
//! TimeoutStopSec=30
//! Environment=RUST_LOG=info
//!
//! [Install]
//! WantedBy=multi-user.target
//! ```
//!
//! - **`Type=exec`**, or `simple`: the program stays in the foreground.
//! - **`TimeoutStopSec`** counts from SIGTERM, and ends in SIGKILL, which no program can catch:
//!   what is queued or running then is lost without a report. So order the times:
//!   [`cancel_after`](crate::Shutdown::cancel_after) 20 s,
//!   [`give_up_after`](crate::Shutdown::give_up_after) 25 s, `TimeoutStopSec` 30 s. A body that
//!   ignores its token is left behind after 25 seconds, and `main` still has five to log and to
//!   end.
//! - **`KillMode=mixed`** sends SIGTERM to the program alone, and SIGKILL to the processes that are
//!   left when it has ended. With the default, `control-group`, its children get SIGTERM as well,
//!   while tasks still wait for them. A body that waits by `child::wait`, with the feature `child`,
//!   ends its child when it is asked to stop.
//! - **`SendSIGHUP`** stays off: SIGHUP would be the second signal, and cancel.
//! - **`Restart=on-failure`** starts the program again after an exit code other than 0, and after
//!   SIGKILL or a crash. It starts nothing again after `systemctl stop`.
//! - **`ExecReload`** is for a program that [takes SIGHUP](#sighup-to-read-the-configuration-again)
//!   so. To others, SIGHUP is a request to end.
//!
//! # Containers
//!
//! Write `ENTRYPOINT ["program"]`. With `ENTRYPOINT program` a shell is the first process, and it
//! does not pass SIGTERM on. In a script end with `exec program`. The kernel gives the first
//! process no signal that it does not catch, so before `Signals::install` SIGTERM does nothing
//! there: install the signals first. If tasks start children that leave children of their own
//! behind, run the container with `--init`.
//!
//! `docker stop` waits for 10 seconds before SIGKILL (`--stop-timeout`), Kubernetes for 30
//! (`terminationGracePeriodSeconds`): give up earlier than that. On Linux the default number of
//! workers follows a CPU limit of the container.
//!
//! # SIGHUP to read the configuration again
//!
//! To `Signals`, SIGHUP is an end like SIGINT: the crate ctrlc takes all three. A signal that has a
//! handler *before* `Signals::install` keeps that alone, on Linux. So set a handler for SIGHUP
//! first, here by the crate signal-hook. SIGINT and SIGTERM still end the program. On other systems
//! of Unix only SIGTERM does then.
//!
//! ```no_run
//! # #[cfg(all(unix, feature = "signals"))] {
//! use millhand::{Shutdown, Signals, ThreadPool};
//! use signal_hook::{consts::SIGHUP, iterator};
//!
//! # fn read_configuration() {}
//! let mut reloads = iterator::Signals::new([SIGHUP])?; // before `Signals::install`
//! let signals = Signals::install();
//! let pool = ThreadPool::new(4)?;
//! std::thread::spawn(move || {
//!     for _ in reloads.forever() {
//!         read_configuration();
//!     }
//! });
//! pool.run_until(&signals, Shutdown::drain())?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Where it has to work on each Unix, take all signals by signal-hook, and end by a token, as the
//! [program](super#programs) `scheduler` does. signal-hook takes a signal also if the caller of the
//! program has it ignored: under `nohup`, SIGHUP then reads the configuration, too. Limits
//! [can change](super::limits#while-the-program-runs) while tasks use them:
//!
//! ```
//! # #[cfg(all(unix, feature = "signals"))] {
//! use millhand::{CancelToken, Semaphore, Shutdown, ThreadPool};
//! use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
//! use signal_hook::iterator::Signals;
//!
//! /// Reads the file again. If it is wrong, the old values stay.
//! fn read_configuration() -> Result<u32, String> {
//!     Ok(20)
//! }
//!
//! let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?; // before the first pool
//! let pool = ThreadPool::new(4)?;
//! let connections = Semaphore::new(10)?;
//! let quit = CancelToken::new();
//! let (limit, end) = (connections.clone(), quit.clone());
//! std::thread::spawn(move || {
//!     for signal in signals.forever() {
//!         match signal {
//!             SIGHUP => match read_configuration().map(|n| limit.set_permits(n)) {
//!                 Ok(()) => log::info!("read the configuration again"),
//!                 Err(error) => log::error!("{error}"),
//!             },
//!             _ if end.cancel() => log::info!("draining"), // the first: `main` goes on
//!             _ => std::process::exit(130),                // the second
//!         }
//!     }
//! });
//! # signal_hook::low_level::raise(SIGHUP)?;
//! # while connections.available() != 20 { std::thread::yield_now() }
//! # signal_hook::low_level::raise(SIGTERM)?;
//! pool.run_until(&quit, Shutdown::drain())?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! One thread takes all signals here. While it reads the configuration or runs a hook of the token,
//! the next signal waits. If the file may be on a disk that hangs, read it in a task.
//!
//! # The log
//!
//! The library logs by the crate `log`, and never to a file or a stream of its own: with no logger
//! installed, nothing is seen. `env_logger` writes to standard error, which systemd and containers
//! collect. The [front page](crate#logging) says what is logged at which level;
//! `RUST_LOG=info,millhand=warn` leaves the rest out. Log the report of the shutdown yourself:
//! `run_until` and `shutdown` return it, and do not log it. A shutdown that runs out of time logs
//! what each thread did then. [`observability`](super::observability) has the rest: statistics for
//! Prometheus, a watchdog, a page.
//!
//! # Other ends than a signal
//!
//! `run_until` takes a [`CancelToken`](crate::CancelToken), too, also without the feature
//! `signals`: for the Quit of a window, a message of a service manager, or the handler of another
//! signal crate. A child of `Signals::token` is cancelled by the program or by the first signal.
//! With `shutdown_on` in addition, the second signal cancels.
//!
//! ```no_run
//! # #[cfg(feature = "signals")] {
//! use millhand::{Shutdown, Signals, ThreadPool};
//!
//! let signals = Signals::install();
//! let pool = ThreadPool::new(4)?;
//! let quit = signals.token().child();
//! let button = quit.clone(); // cancelled when the user chooses Quit
//! # button.cancel();
//! pool.shutdown_on(&signals, Shutdown::drain());
//! pool.run_until(&quit, Shutdown::drain())?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Reading standard input, so that one Ctrl-C is enough
//!
//! A thread that waits for input is not woken by a signal. If it is the main thread, or a task of
//! the pool, then the first signal closes the pool, and the program still waits for a line: only
//! the third Ctrl-C ends it. So read on a thread of its own that nothing joins. It ends with the
//! process, when `main` returns. A line that cannot be read, since it is not UTF-8, ends the input,
//! too.
//!
//! ```no_run
//! # #[cfg(feature = "signals")] {
//! use millhand::{CancelToken, Shutdown, Signals, ThreadPool};
//! use std::time::Duration;
//!
//! let signals = Signals::install();
//! let pool = ThreadPool::builder().queue_capacity(1000).build()?;
//! let end_of_input = CancelToken::new();
//! let (input, end) = (pool.handle(), end_of_input.clone());
//! std::thread::spawn(move || {
//!     for line in std::io::stdin().lines().map_while(Result::ok) {
//!         let shout = move || println!("{}", line.to_uppercase());
//!         if input.submit_timeout(Duration::MAX, shout).is_err() {
//!             break; // the pool is closed
//!         }
//!     }
//!     end.cancel();
//! });
//! pool.shutdown_on(&signals, Shutdown::drain());
//! pool.run_until(&end_of_input, Shutdown::drain())?; // returns after a signal, too
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! If the output keeps the order of the input, the main thread waits for lines from a channel. The
//! first signal sends the end of the lines.
//!
//! ```no_run
//! # #[cfg(feature = "signals")] {
//! use millhand::{Signals, ThreadPool};
//! use std::sync::mpsc;
//!
//! let signals = Signals::install();
//! let pool = ThreadPool::new(4)?;
//! let (send, lines) = mpsc::sync_channel(64);
//! let stop = send.clone();
//! std::thread::spawn(move || {
//!     for line in std::io::stdin().lines().map_while(Result::ok) {
//!         if send.send(Some(line)).is_err() {
//!             return;
//!         }
//!     }
//!     let _ = send.send(None);
//! });
//! let _hook = signals.token().on_cancel(move |_| {
//!     let _ = stop.send(None);
//! });
//! let lines = lines.into_iter().map_while(|line| line);
//! for line in pool.map_iter(lines, |line| line.to_uppercase()) {
//!     println!("{line}");
//! }
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Sockets and children: see [`cancelling`](super::cancelling).
