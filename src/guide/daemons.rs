//! Programs that run until they are asked to end: services, daemons, filters, programs with a
//! window.
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
//! returns.
//!
//! # How it is started, and how it is ended
//!
//! SIGINT, SIGTERM and SIGHUP count alike. What the caller has the program ignore stays ignored,
//! also for the children of the program, and the others still work. The log names them.
//!
//! | started by | ignored | ended by | what to take care of |
//! | --- | --- | --- | --- |
//! | a terminal | | Ctrl-C: SIGINT. The end of the terminal: SIGHUP | each signal goes to the children of the program, too |
//! | `program &` in a script | SIGINT | `kill $!`: SIGTERM | `wait $!` returns when the drain has ended |
//! | `nohup program` | SIGHUP | SIGTERM, or SIGINT | |
//! | systemd | | SIGTERM; SIGKILL after `TimeoutStopSec`, 90 s by default | give up earlier than that |
//! | docker, podman | | SIGTERM to the first process; SIGKILL after 10 s | the same; make the program the first process |
//! | Kubernetes | | the same; SIGKILL after 30 s by default | the same |
//!
//! **A time limit** ends in SIGKILL, which no program can catch: what is queued or running then is
//! lost without a report. So [`give_up_after`](crate::Shutdown::give_up_after) should be a few
//! seconds less. A body that ignores its token is left behind.
//!
//! **systemd.** `Type=exec` or `Type=simple` is right.
//!
//! ```text
//! [Service]
//! Type=exec
//! ExecStart=/usr/bin/program
//! TimeoutStopSec=30
//! KillMode=mixed
//! ```
//!
//! `KillMode=mixed` sends SIGTERM to the program alone. With the default its children get SIGTERM
//! as well, while tasks still wait for them. Leave `SendSIGHUP=` off: SIGHUP would be the second
//! signal, and cancel. The exit code after the first or second signal is what `main` returns; after
//! the third it is 130, which systemd calls a failure.
//!
//! **Containers.** Write `ENTRYPOINT ["program"]`. With `ENTRYPOINT program` a shell is the first
//! process, and it does not pass SIGTERM on. In a script end with `exec program`. The kernel gives
//! the first process no signal that it does not catch, so before `Signals::install` SIGTERM does
//! nothing there: install the signals first. If tasks start children that leave children of their
//! own behind, run the container with `--init`.
//!
//! # SIGHUP to read the configuration again
//!
//! A signal that has a handler before `Signals::install` keeps that alone, on Linux. So a handler
//! of the program for SIGHUP is set first, here by the crate signal-hook. SIGINT and SIGTERM still
//! end the program. On other systems of Unix only SIGTERM does then.
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
//! # Other ends than a signal
//!
//! `run_until` takes a [`CancelToken`](crate::CancelToken), too, also without the feature
//! `signals`: for the Quit of a window, a message of a service manager, or the handler of another
//! signal crate. A child of `Signals::token` is cancelled by the program or by the first signal.
//! With `shutdown_on` in addition, the second signal cancels.
//!
//! ```no_run
//! # #[cfg(feature = "signals")] {
//! use millhand::cancel::CancelReason;
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
//! process, when `main` returns.
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
