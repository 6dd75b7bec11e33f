//! The black-box tests: one binary, a module a subject.

mod allocations;
mod alone;
mod around_task;
mod attempt_timeout;
mod bounded;
mod bounded_course;
mod broadcast;
mod builder;
mod cancel;
mod chains;
#[cfg(feature = "signals")]
mod checksum;
#[cfg(unix)]
#[cfg(feature = "signals")]
mod checksum_check;
#[cfg(unix)]
#[cfg(feature = "child")]
mod child;
mod clock_everywhere;
mod combinators;
mod combinators_kinds;
#[cfg(feature = "signals")]
mod consumer;
mod context;
mod context_vars;
mod continuations;
mod continuations_ends;
mod continuations_options;
#[cfg(feature = "cron")]
mod cron;
#[cfg(feature = "cron")]
mod cron_changes;
#[cfg(unix)]
#[cfg(feature = "signals")]
mod daemons;
mod deadline;
mod delay;
mod delay_many;
mod delay_shutdown;
mod errors;
mod events;
mod every;
mod example;
mod expires;
#[cfg(unix)]
mod finish_running;
mod fork;
mod found;
mod found_composition;
mod found_core;
mod found_edges;
#[cfg(feature = "simulation")]
mod found_gates;
mod found_outside;
mod found_time;
mod future;
mod gate_crowd;
mod gate_kit;
mod gate_matrix;
mod gates;
mod gather;
mod handle;
mod house;
mod inline_joins;
mod inner;
mod interrupted;
mod jobs;
mod keyed;
mod lanes;
mod lanes_order;
mod large;
mod lifecycle;
mod live_tasks;
mod manual;
mod map;
mod map_iter;
mod pipeline;
mod priority;
mod promise;
mod rate_limiter;
mod rate_limiter_in_tasks;
mod rate_limiter_starts;
mod recv;
mod retry;
mod retry_attempts;
mod retry_drops;
mod retry_ends;
mod run_until;
#[cfg(feature = "signals")]
mod running;
mod schedule_end;
mod schedule_rules;
mod scope;
mod scope_options;
mod semaphore;
mod services;
mod shared;
mod shutdown;
mod side_lanes;
#[cfg(unix)]
#[cfg(feature = "signals")]
mod signals;
#[cfg(feature = "simulation")]
mod simulation;
#[cfg(feature = "simulation")]
mod simulation_seeds;
mod sizes;
mod stats;
mod stress;
mod submit;
mod support;
mod time_limits;
mod total_timeout;
mod total_timeout_ends;
mod unread;
mod wait_for;
mod waits;
mod waits_behind;
mod watchdog;
mod work_conserving;
mod worker_local;
