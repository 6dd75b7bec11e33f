//! The suite finds what is wrong with a storage.

use millhand::jobs::conformance::{
    Case, batches, ends, failures, follow, lanes, late, limits, order, random, replace, run,
    sessions, time, unique,
};
use millhand::jobs::{
    Batch, Counts, Exchange, Exchanged, Facts, Fate, Fault, Filter, Heartbeat, JobId, JobInfo,
    JobsError, Memory, Notifier, Page, Placed, Pulse, QueueChange, QueueSettings, ScheduleChange,
    Session, SessionId, SessionInfo, Storage, StoredSchedule, StoredTime, Swept, Tick, Verdict,
    Watching,
};
use millhand::task::CancelOutcome;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrong {
    Order,
    ClaimNumbers,
    UniqueKeys,
    Heartbeats,
    Clock,
    PartOfABatch,
    PostponesForBack,
    LeavesSomethingBehind,
    Lanes,
    ExpiryInLanes,
    Parents,
    Failures,
    OutcomesOfParents,
    Replacing,
}

/// A storage in memory with one thing that is wrong.
#[derive(Debug)]
struct WrongStorage(Memory, Wrong);

fn open(case: &Case, wrong: Wrong) -> Arc<dyn Storage> {
    let memory = Memory::options().clock(&case.clock).build();
    Arc::new(WrongStorage(memory, wrong))
}

/// Methods that are right.
macro_rules! right {
    ($($name:ident($($argument:ident: $type:ty),*) -> $output:ty;)*) => {
        $(
            fn $name(&self, $($argument: $type),*) -> Result<$output, JobsError> {
                self.0.$name($($argument),*)
            }
        )*
    };
}

impl Storage for WrongStorage {
    right! {
        facts() -> Facts;
        open_session(info: &SessionInfo, lease: Duration) -> SessionId;
        close_session(session: SessionId) -> u64;
        sweep(most: usize) -> Swept;
        register_schedule(name: &str, rule: &str) -> StoredSchedule;
        tick(tick: &Tick<'_>) -> bool;
        cancel(id: JobId) -> CancelOutcome;
        outcome(id: JobId) -> Fate;
        watch(id: JobId, notifier: &Notifier, patience: Duration) -> Watching;
        subscribe(queues: &[&str], notifier: &Notifier) -> Watching;
        watch_session(session: SessionId, notifier: &Notifier) -> Watching;
        queue(name: &str) -> QueueSettings;
        set_queue(name: &str, change: QueueChange) -> ();
        counts() -> Counts;
        list(filter: &Filter, page: Page) -> Vec<JobInfo>;
        retry_dead(filter: &Filter, most: usize) -> u64;
        purge(filter: &Filter, most: usize) -> u64;
        schedules() -> Vec<StoredSchedule>;
        set_schedule(name: &str, change: ScheduleChange) -> bool;
        sessions() -> Vec<Session>;
    }

    fn now(&self) -> Result<StoredTime, JobsError> {
        let late = Duration::from_millis(u64::from(self.1 == Wrong::Clock));
        Ok(self.0.now()? + late)
    }

    fn enqueue(&self, batch: &Batch<'_>) -> Result<Vec<Placed>, JobsError> {
        let one_by_one = |job| {
            let jobs = std::slice::from_ref(job);
            let placed = self.0.enqueue(&Batch { number: None, jobs })?;
            Ok(placed[0])
        };
        let mut jobs = batch.jobs.to_vec();
        match self.1 {
            Wrong::PartOfABatch => return jobs.iter().map(one_by_one).collect(),
            Wrong::UniqueKeys => jobs.iter_mut().for_each(|job| {
                (job.unique, job.replace) = (None, false);
            }),
            Wrong::Lanes => jobs.iter_mut().for_each(|job| job.lane = None),
            Wrong::ExpiryInLanes => jobs.iter_mut().for_each(|job| {
                job.expires = job.expires.filter(|_| job.lane.is_none());
            }),
            Wrong::Parents => jobs.iter_mut().for_each(|job| job.after.clear()),
            Wrong::Failures => jobs.iter_mut().for_each(|job| job.even_if_failed = true),
            Wrong::Replacing => jobs.iter_mut().for_each(|job| job.replace = false),
            _ => {}
        }
        let jobs = jobs.as_slice();
        self.0.enqueue(&Batch { jobs, ..*batch })
    }

    fn heartbeat(&self, sign: &Heartbeat<'_>) -> Result<Pulse, JobsError> {
        let settled = match self.1 {
            Wrong::Heartbeats => u64::MAX,
            _ => sign.settled,
        };
        self.0.heartbeat(&Heartbeat { settled, ..*sign })
    }

    fn exchange(&self, exchange: &Exchange<'_>) -> Result<Exchanged, JobsError> {
        let mut ended = exchange.ended.to_vec();
        for end in &mut ended {
            match self.1 {
                Wrong::ClaimNumbers => end.claim = self.claims(end.id)?,
                Wrong::PostponesForBack if end.verdict == Verdict::Back => {
                    let after = Duration::ZERO;
                    end.verdict = Verdict::Postponed { after };
                }
                _ => {}
            }
        }
        let ended = ended.as_slice();
        let mut exchanged = self.0.exchange(&Exchange { ended, ..*exchange })?;
        if self.1 == Wrong::Order {
            exchanged.claimed.reverse();
        }
        Ok(exchanged)
    }

    fn parents(&self, id: JobId) -> Result<Vec<(JobId, Fate)>, JobsError> {
        let mut parents = self.0.parents(id)?;
        if self.1 == Wrong::OutcomesOfParents {
            for (parent, fate) in &mut parents {
                *fate = self.0.outcome(*parent)?;
            }
        }
        Ok(parents)
    }

    fn check(&self, mends: bool) -> Result<Vec<Fault>, JobsError> {
        let mut faults = self.0.check(mends)?;
        if self.1 == Wrong::LeavesSomethingBehind {
            faults.push(Fault {
                job: None,
                text: "a key without a job".to_owned(),
                is_mended: false,
            });
        }
        Ok(faults)
    }
}

impl WrongStorage {
    /// The latest claim of a job.
    fn claims(&self, id: JobId) -> Result<u64, JobsError> {
        let filter = Filter {
            ids: Some(vec![id]),
            ..Filter::default()
        };
        let after = JobId(0);
        let found = self.0.list(&filter, Page { after, most: 1 })?;
        Ok(found.first().map_or(0, |info| info.claims))
    }
}

/// A test that passes if the case fails on the storage.
macro_rules! is_found {
    ($($name:ident: $wrong:ident by $chapter:ident::$case:ident, $text:literal;)*) => {
        $(
            #[test]
            #[should_panic(expected = $text)]
            fn $name() {
                let open = |case: &Case| open(case, Wrong::$wrong);
                run(stringify!($name), 20, open, |env| $chapter::$case(env));
            }
        )*
    };
}

is_found! {
    a_wrong_order: Order by order::first_in_first_out, "left == right";
    a_stale_end_that_counts: ClaimNumbers by ends::an_end_with_an_old_claim_number_is_gone, "Gone";
    a_key_that_is_taken_twice: UniqueKeys by unique::the_second_job_with_a_key_is_not_stored,
        "Existing";
    a_claim_that_is_given_back_too_early: Heartbeats
        by sessions::what_a_consumer_does_not_know_of_is_given_back, "left == right";
    a_clock_of_its_own: Clock by time::a_delayed_job_begins_when_it_is_due_and_not_before,
        "the clock of the case";
    a_batch_in_parts: PartOfABatch by batches::a_batch_with_a_bad_job_stores_nothing,
        "jobs of a refused batch";
    a_difference_to_the_model: PostponesForBack
        by random::random_operations_have_the_same_answers_as_the_model, "the model";
    a_lane_that_is_forgotten: Lanes
        by lanes::the_jobs_of_a_lane_begin_one_at_a_time_in_their_order, "left == right";
    a_lane_that_stands_behind_an_expired_job: ExpiryInLanes
        by late::a_job_that_gets_its_lane_too_late_passes_it_on, "left == right";
    a_parent_that_is_forgotten: Parents by follow::a_job_begins_when_all_that_it_follows_are_done,
        "left == right";
    a_failure_that_cancels_nothing: Failures by failures::a_failure_cancels_all_that_follow,
        "left == right";
    an_outcome_that_is_forgotten_too_early: OutcomesOfParents
        by follow::outcomes_are_there_until_the_job_that_follows_has_ended, "left == right";
    a_job_that_does_not_take_the_place: Replacing
        by replace::a_job_that_has_not_begun_is_replaced, "Replaced";
    a_lane_that_the_model_has: Lanes
        by random::random_operations_have_the_same_answers_as_the_model, "the model";
    a_parent_that_the_model_has: Parents
        by random::random_operations_have_the_same_answers_as_the_model, "the model";
    a_place_that_the_model_gives: Replacing
        by random::random_operations_have_the_same_answers_as_the_model, "the model";
    what_is_left_behind: LeavesSomethingBehind by limits::an_empty_batch_is_no_error,
        "a key without a job";
}
