//! Choosing: which verb, which limit, which time limit, which wait.
//!
//! # Which verb gives a task to the pool?
//!
//! | you want | write |
//! | --- | --- |
//! | its result | [`submit`](crate::Pool::submit) |
//! | no result, and it cannot fail | [`execute`](crate::Pool::execute) |
//! | no result, and it may fail | [`execute_ok`](crate::Pool::execute_ok): an error is logged and counted, and a hook is called |
//! | never to wait for a full queue | `try_submit`, `try_execute`, `try_execute_ok`: the closure comes back |
//! | to wait for a full queue, but not for long | [`submit_timeout`](crate::Pool::submit_timeout) |
//! | it to borrow local variables | [`scope`](crate::Pool::scope), and [`scope_with`](crate::Pool::scope_with) to get the failures as one error |
//! | one closure over a collection in memory | [`map`](crate::Pool::map), [`map_ok`](crate::Pool::map_ok), [`for_each`](crate::Pool::for_each): in chunks, and it may borrow |
//! | one closure over items that come slowly, or without end | [`map_iter`](crate::Pool::map_iter) |
//! | each item named, gated, retried, with its own outcome | [`TaskBuilder::map_iter`](crate::TaskBuilder#method.map_iter), `map`, `for_each` |
//! | several steps, each with its own width | [`pipeline`](crate::Pool::pipeline) |
//! | a step after another task | [`then`, `map`, `and_then`, `or_else`](crate::TaskHandle::then); after several [`when_all`](crate::when_all) |
//! | a run every so often | [`every`](crate::TaskBuilder::every), and `cron` with that feature |
//! | something on every worker | [`broadcast`](crate::ThreadPool::broadcast) |
//! | a result that comes from a callback | [`promise`](crate::promise()), [`Pool::promise`](crate::Pool::promise) |
//!
//! # Which limit?
//!
//! | limit | use | not for |
//! | --- | --- | --- |
//! | so many bodies at once in all | the number of workers | bodies that wait: they do not count |
//! | so many at once of one kind, or in several pools | [`Semaphore`](crate::Semaphore) as a gate | order by key |
//! | so many starts per second, with bursts | [`RateLimiter::token_bucket`](crate::RateLimiter::token_bucket) | a server that counts each interval exactly |
//! | never more than n in any interval, or several such rates | [`RateLimiter::sliding_window`](crate::RateLimiter::sliding_window) | very large n: it remembers each taking |
//! | one after the other per key, in order | [`Lanes`](crate::limit::Lanes) | more than one at a time |
//! | a limit per host, user or name | [`RateLimiter::keyed`](crate::RateLimiter::keyed), [`Semaphore::keyed`](crate::Semaphore::keyed) | |
//! | so many tasks that wait in the queue | [`queue_capacity`](crate::pool::PoolBuilder::queue_capacity), [`on_full`](crate::pool::PoolBuilder::on_full) | |
//! | so many threads | [`max_threads`](crate::pool::PoolBuilder::max_threads) | |
//!
//! A task that waits at a gate needs no thread. By hand, on any thread, there are `acquire`,
//! `try_acquire`, `acquire_timeout` and `run(f)`.
//!
//! # Which time limit?
//!
//! | option | counts from | to | then |
//! | --- | --- | --- | --- |
//! | [`expires`](crate::TaskBuilder::expires) | when the task is due | the start of the first attempt | it does not run: `Expired` |
//! | [`deadline`](crate::TaskBuilder::deadline) | when the task is due | the end of the task | `Expired` if it had not begun, else `TimedOut`; a body that still runs loses its run slot |
//! | [`total_timeout`](crate::TaskBuilder::total_timeout) | the start of the first attempt | the end of the task, over all attempts | `TimedOut`; a body that still runs loses its run slot |
//! | [`attempt_timeout`](crate::TaskBuilder::attempt_timeout) | the start of an attempt | its end | the body is asked to stop; a failure is `TimedOut`, and may be retried |
//! | [`Retry::max_elapsed`](crate::Retry::max_elapsed) | the start of the first attempt | when the next one would be due | there is no next attempt |
//! | [`CancelToken::with_timeout`](crate::CancelToken::with_timeout), `token` | when the token is made | | the tasks of the token are cancelled |
//! | [`ScopeOptions::timeout`](crate::ScopeOptions::timeout) | the begin of the scope | its end | its tasks are cancelled |
//! | [`join_timeout`](crate::TaskHandle::join_timeout) | the call | | the wait ends, and the task goes on |
//!
//! A task is due at its submission, after its `delay`, or when the tasks that it continues have
//! settled. For a request that must be answered within a second, use `deadline`. For work that may
//! wait for its turn as long as it takes, but not run for ever, use `total_timeout`.
//!
//! # Which wait?
//!
//! | you want | write | of a failure |
//! | --- | --- | --- |
//! | one outcome | [`join`](crate::TaskHandle::join), `join_ok`, `join_flat` | you get it |
//! | one outcome, if it is there soon | `try_join`, `join_timeout` | the handle comes back |
//! | only that it has ended | `wait`, `wait_timeout` | stays in the handle |
//! | all outcomes | [`join_all`](crate::join_all), in the shape of a tuple [`join_each`](crate::compose::join_each) | each in its place |
//! | all values, or the first failure | [`join_all_ok`](crate::join_all_ok) | cancels the others |
//! | the first success | [`race`](crate::race) | the others go on, until all have failed |
//! | each as it comes | [`as_completed`](crate::as_completed), with [`with_key`](crate::compose::WithKey) | you get it |
//! | to know which has ended | [`wait_any`](crate::wait_any), [`wait_until`](crate::compose::wait_until) | stays in the handles |
//! | the same outcome in several threads | [`share`](crate::TaskHandle::share) | by reference |
//! | to be called | [`on_finish`](crate::TaskHandle::on_finish) | in the summary |
//! | to await it in async code | the handle is a `Future` | you get it |
//! | the whole pool to have nothing to do | [`wait_idle`](crate::ThreadPool::wait_idle) | |
//!
//! [`cancelling`](super::cancelling) says how each of them ends when the task that waits is asked
//! to stop.
//!
//! # Which scope, which group?
//!
//! | | a failure | you get |
//! | --- | --- | --- |
//! | [`scope`](crate::Pool::scope) | stays in its handle; an unread panic goes on in your thread | what your closure returns |
//! | [`ScopeOptions::fail_fast`](crate::ScopeOptions::fail_fast) | cancels the other tasks | the value, or all failures |
//! | [`ScopeOptions::collect_all`](crate::ScopeOptions::collect_all) | cancels nothing | the value, or all failures |
//! | [`join_all_ok`](crate::join_all_ok) | cancels the other tasks | the values, or the first failure |
//! | a [`Pipeline`](crate::compose::Pipeline) | ends it, unless it collects all | each result in turn |
