//! How it works: the path of a task, in pictures.
//!
//! For users who want to know what happens between a `submit` and a `join`. Nothing here is needed
//! to use the library: [`guarantees`](super::guarantees) has what you may rely on.
//! `src/README.md` in the repository is the page for maintainers: the same path by files and
//! functions, and the reason for each wake-up.
//!
//! # The path of a task
//!
//! ```text
//!  your thread                   the pool                          a worker
//!
//!                  not due    +-----------+
//!               +------------>|   timer   |<------------------- a further attempt ---+
//!               |             +-----------+                                          |
//!               |                   | due                                            |
//!               |                   v                                                |
//!  submit(f) ---+------------>+-----------+         +-------+  all admit  +------+   |
//!     |            ready      | run queue |-- pop ->| gates |------------>| body |---+
//!     |                       +-----------+         +-------+             +------+   |
//!     v                             ^                   | one refuses                |
//!  handle                           | admitted      +-------+                        |
//!     |                             +---------------| line  |                        |
//!     |                                             +-------+                        |
//!     |                                                                              |
//!     |   join, wait, await, on_finish              +--------+     the outcome       |
//!     +<--------------------------------------------| settle |<----------------------+
//!                                                   +--------+
//!                                                       |
//!                                                       +--> tasks that continue this one
//! ```
//!
//! - **Submit.** The closure, a place for the result and the state of the task become one
//!   allocation. A pointer to it goes into the run queue, and the handle is another pointer to it.
//!   Options or a name take a second allocation.
//! - **Claim.** A worker that pops the task claims it by one atomic step. So does a thread that
//!   cancels it. One of them comes first: the task runs, or it is settled as cancelled.
//! - **Gates.** The worker asks them when it is about to run the body. If one refuses, the *task*
//!   waits in its line, and the worker takes the next task.
//! - **Body.** It runs on the stack of the worker. A panic is caught there.
//! - **End of an attempt.** The permits come back; the key of a [lane](crate::limit::Lanes) does so
//!   after the last attempt. If the policy wants a further attempt, the task goes to the timer, or
//!   at once into the run queue.
//! - **Settle.** The outcome takes the place of the closure, once. The threads that wait wake,
//!   callbacks run, and what continues the task becomes ready.
//! - **Release.** What the task still owns is dropped on that worker, outside of all locks. A scope
//!   waits for that, and a join for the outcome alone.
//!
//! No worker sleeps for the library on this path. It is the task that waits: in the timer, in the
//! line of a gate, or as data beside the tasks that it continues.
//!
//! An [`Observer`](crate::observe::Observer) sees each step:
//!
//! ```
//! use millhand::observe::Event;
//! use millhand::{Retry, ThreadPool, attempt};
//! use std::sync::{Arc, Mutex};
//! use std::time::Duration;
//!
//! let steps = Arc::new(Mutex::new(Vec::new()));
//! let list = steps.clone();
//! let pool = ThreadPool::builder()
//!     .workers(1)
//!     .observer(move |event: &Event| {
//!         if event.task().is_some() {
//!             list.lock().unwrap().push(event.name());
//!         }
//!     })
//!     .build()?;
//! let task = pool.task().retry(Retry::fixed(1, Duration::ZERO));
//! task.submit(|| if attempt() == 1 { Err("once more") } else { Ok(7) }).join()?.unwrap();
//! pool.wait_idle()?;
//! let expected = ["submitted", "started", "retrying", "started", "succeeded"];
//! assert_eq!(*steps.lock().unwrap(), expected);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The states of a task
//!
//! [`state()`](crate::TaskHandle::state) of a handle returns where a task is.
//!
//! ```text
//!    submit -------------------------------------------+
//!    submit with a delay --------+                     |
//!    then, submit_after          |                     |
//!         |                      |                     |
//!         v     has a delay      v         due         v     a gate refuses
//!    +---------+            +---------+           +--------+------------->+-------+
//!    | Waiting |----------->| Delayed |---------->| Queued |              | Gated |
//!    +---------+            +---------+           +--------+<-------------+-------+
//!         |                                        ^  ^  |      admitted
//!         |            all have settled            |  |  |
//!         +----------------------------------------+  |  | claimed
//!                                                     |  v
//!    +----------+                due                  | +---------+
//!    | Retrying |-------------------------------------+ | Running |
//!    +----------+                                       +---------+
//!         ^              a further attempt                |     |
//!         +-----------------------------------------------+     |
//!                                                               v
//!    from any state, by a cancel, a time limit             +----------+
//!    or the end of the pool         ---------------------->| Finished |
//!                                                          +----------+
//! ```
//!
//! A retry without a delay goes from `Running` to `Queued`. A task with several gates is in the
//! line of each gate that refuses it.
//!
//! A task is in one place at a time. Each move is noted under the lock of the task before it is
//! made, so the thread that settles a waiting task knows where its entry is. A cancelled task drops
//! its closure at once. Its entry stays in the queue until a worker meets it, or until more than
//! half of the entries are such, and the queue is swept.
//!
//! # What a worker takes first
//!
//! ```text
//!    mail ............ broadcast: what this worker alone must run
//!    inner queue ..... what bodies of this pool have submitted: the deepest first,
//!                      then by priority, then the oldest
//!    admitted ........ what a gate has admitted, in its original order
//!    above normal .... priorities from 1, the highest first
//!    channel ......... priority 0: most tasks; first in, first out
//!    below normal .... priorities from -1
//! ```
//!
//! The channel is one of [`crossbeam_channel`], and the only queue in a pool without priorities,
//! gates and nested tasks.
//!
//! - **Why inner tasks are first.** A body that waits for its children gives its place to another
//!   body. If that were one more task from outside, each of a thousand queued tasks would begin,
//!   wait, and hold a thread. So a tree of tasks needs threads by its depth, not by its width.
//! - **Why nothing starves.** While any queue beside the channel has a task, a worker counts what
//!   it takes. Of 64 times, it tries the channel first once, the oldest inner task once, and what
//!   is above normal once. Each 4096th time it tries what is below normal.
//! - **Why a permit is not held in a queue.** What a gate has admitted stands before the rest.
//!
//! ```
//! use millhand::{ThreadPool, current};
//!
//! let pool = ThreadPool::new(1)?;
//! let (note, notes) = crossbeam_channel::unbounded();
//! # let (began, begins) = crossbeam_channel::bounded(0);
//! # let (go, went) = crossbeam_channel::bounded::<()>(0);
//! let outer = note.clone();
//! pool.execute(move || {
//!     # began.send(()).unwrap();
//!     // .. until all the others are queued
//!     # let _ = went.recv();
//!     let inner = outer.clone();
//!     current().unwrap().pool().execute(move || inner.send("inner").unwrap());
//! });
//! # begins.recv()?;
//! for priority in [-1, 0, 1] {
//!     let note = note.clone();
//!     let name = ["below", "normal", "above"][(priority + 1) as usize];
//!     pool.task().priority(priority).execute(move || note.send(name).unwrap());
//! }
//! # drop(go);
//! pool.wait_idle()?;
//! let order: Vec<_> = notes.try_iter().collect();
//! assert_eq!(order, ["inner", "above", "normal", "below"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The loop of a worker
//!
//! ```text
//!        +--------------------------------------------------------------+
//!        v                                                              |
//!    are there more threads than run slots?                             |
//!        | no                   | yes                                   |
//!        |                      +--> rest for some milliseconds, exit   |
//!        v                                                              |
//!    take the next item                                                 |
//!        | found                | none                                  |
//!        |                      +--> search for some microseconds,      |
//!        v                           sleep until a push wakes it -------+
//!    gates, attempt, settle, release                                    |
//!        |                                                              |
//!        +--------------------------------------------------------------+
//! ```
//!
//! At most two workers search at a time, and while one does, a push wakes no other. A worker that
//! finds something, and sees that there is more, wakes the next one. A worker that goes from task
//! to task neither searches nor wakes another.
//!
//! # Run slots, and a body that waits
//!
//! A pool of n workers has n run slots. A body that waits in the library releases its slot, and a
//! spare thread takes the slot if there is work and no thread is idle. Here is a pool of two, over
//! time:
//!
//! ```text
//!    worker 0   |== A runs =====|-- A waits: no slot -----|== A goes on =========|
//!    worker 1   |== B runs =======================|== D runs ====================|
//!    spare                      |== C runs ========================|.. rests, exits
//!
//!    bodies
//!    that run           2                    2                3           2
//! ```
//!
//! A goes on as soon as its wait is over. So for a moment three bodies run, until one of the
//! threads has finished its task: that thread finds no slot and rests. It is the next spare, if one
//! is needed soon, and exits otherwise. [`max_threads`](crate::pool::PoolBuilder::max_threads)
//! bounds the threads.
//!
//! Two more things keep waits cheap:
//!
//! - A body that joins a plain task of its pool which is still queued runs it at once, on its own
//!   stack: [`join`](crate::TaskHandle::join) says when.
//! - A wait for a task that would close a circle (A for B, B for A) is found before it begins, and
//!   returns [`WouldDeadlock`](crate::TaskError::WouldDeadlock).
//!
//! A body that runs on after its [`total_timeout`](crate::TaskBuilder::total_timeout) loses its
//! slot in the same way. So a body that hangs does not make the pool smaller, within the bound of
//! threads.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::{ThreadPool, join_all};
//! use std::time::Duration;
//!
//! let (pool, simulation) = ThreadPool::simulated(1); // four workers
//! let second = Duration::from_secs(1);
//! join_all((0..40).map(|_| pool.submit(move || millhand::sleep(second))));
//! assert_eq!(simulation.elapsed(), second); // all forty wait at the same time
//! # }
//! ```
//!
//! # Gates and the timer
//!
//! ```text
//!    a worker is about to run the body
//!        |
//!        v
//!    ask all gates of the task, with all of them locked, in the order of their ids
//!        | all admit                  | one refuses
//!        v                            v
//!    take from all,               take nothing, stand in the line of each that refuses
//!    claim the task, run it
//!        |                            head                              end
//!        v                            +------+--------+------+------+------+
//!    the body has returned:           | task | thread | task | task | task |
//!    permits come back -------------->+------+--------+------+------+------+
//!                                        |
//!    time brings tokens (timer) -------->| the rule admits the head
//!                                        v
//!                                     run queue, in front; or the thread wakes
//! ```
//!
//! Only the head of a line is asked about, and a long line costs no more than a short one. Tokens
//! of a rate limiter are taken at the start of an attempt: a limiter counts starts.
//!
//! The timer is one thread per pool, which begins at its first use. It holds what has an instant:
//! delays, pauses between attempts, time limits, the heads of rate limiters, schedules. It runs no
//! code of the program. What it settles, it passes to a worker to be dropped.
//!
//! # The end of a pool
//!
//! ```text
//!    open --------> draining ------------> cancelling -------------> over
//!
//!          shutdown           cancel_after,               no task is left,
//!          close              Shutdown::cancel()          or give_up_after
//!          drop
//!
//!    takes tasks    takes what its own     queued tasks are          the workers exit;
//!                   tasks submit; runs     cancelled; bodies are     the report counts
//!                   what it has            asked to stop             each kind of end
//! ```
//!
//! In a drain, what is not due yet for the first time is cancelled and named in the report, unless
//! the shutdown is [`including_delayed`](crate::Shutdown::including_delayed).
//! Between draining and cancelling there is one more phase, that of
//! [`finish_running`](crate::Shutdown::finish_running): queued tasks are cancelled, and bodies are
//! left alone. [`shutdown`](super::shutdown) has the rules.
//!
//! # Why nothing is lost
//!
//! **A wake-up.** Each wait is protected in one of two ways. Either both sides take the same lock.
//! Or both first write and then read, as a submitter and a worker that is about to sleep:
//!
//! ```text
//!    submitter                               worker
//!    1. puts the task into the queue         1. puts itself on the list of sleepers
//!    2. reads: does a worker sleep?          2. reads: is there a task?
//! ```
//!
//! Whichever order these four steps have, the submitter sees the sleeper and wakes it, or the
//! worker sees the task and does not sleep.
//!
//! **An outcome.** One atomic word has all states of a task, and each change of it is one step, in
//! which the thread sees what was there before. So of a worker, a canceller and a time limit that
//! meet, one settles the task, and the others know that they did not.
//!
//! **A task.** A shutdown first changes the phase of the pool, and then empties all places where a
//! task may be. A thread that puts a task into such a place looks at the phase after that. So one
//! of the two finds the task. An entry that is dropped anywhere settles its task as cancelled: no
//! handle waits for ever.
//!
//! **The check.** Models of these steps run under [loom](https://docs.rs/loom), which tries the
//! orders of their threads with up to three preemptions. Whole pools run in thousands of orders, in
//! the [simulation](crate::testing) that a program's tests can use, too.
