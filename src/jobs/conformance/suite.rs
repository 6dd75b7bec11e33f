//! Runs a case, and the macro that writes the tests.
//!
//! Layer: jobs.

use crate::jobs::conformance::env::{Env, Make};

/// Runs a case on a storage of its own.
pub fn run(name: &str, seeds: u64, make: Make, case: impl FnOnce(&mut Env)) {
    let mut env = Env::new(name, seeds, make);
    case(&mut env);
    env.finish();
}

/// Writes the tests that every storage must pass. Each is a `#[test]` whose name says what holds.
/// The macro stands in a module of its own.
///
/// ```
/// mod memory {
///     use millhand::jobs::Memory;
///     use std::sync::Arc;
///
///     millhand::storage_conformance!(at_rest: false, shared: false, seeds: 20, |case| {
///         Arc::new(Memory::options().clock(&case.clock).build())
///     });
/// }
/// ```
///
/// The closure captures nothing. It opens an empty storage, whose time is that of the clock of the
/// [`Case`](crate::jobs::conformance::Case), and whose files lie in the folder of the case. The
/// tests set this clock, and depend on no real time.
///
/// What comes before the closure says what there is to test:
/// - `at_rest`: whether the storage is still there after it was closed. Then the tests drop it and
///   call the closure again with the same case, which opens it again.
/// - `shared`: whether it may be open twice at a time. Then the tests call the closure again with
///   the same case while the first one is open.
/// - `seeds`: how often 300 random operations are compared with a model. Of those in memory, 20
///   take less than a second.
///
/// What is left out by a `false` is there as a test that is ignored. Payloads have the largest size
/// that is the default, [`MAX_PAYLOAD`](crate::jobs::MAX_PAYLOAD).
///
/// What the trait does not show needs tests of its own: that a storage of a newer version is
/// refused and one of an older version is read, that a forked process gets
/// [`Forked`](crate::jobs::JobsErrorKind::Forked), and what a crash leaves behind.
///
/// Guide: [jobs](crate::guide::jobs).
#[macro_export]
macro_rules! storage_conformance {
    (at_rest: $at_rest:tt, shared: $shared:tt, seeds: $seeds:expr, $make:expr $(,)?) => {
        fn make_storage(
            case: &$crate::jobs::conformance::Case,
        ) -> ::std::sync::Arc<dyn $crate::jobs::Storage> {
            let make: $crate::jobs::conformance::Make = $make;
            make(case)
        }

        fn seed_count() -> u64 {
            $seeds
        }

        $crate::storage_conformance! { @chapter true, "", order,
            first_in_first_out
            a_higher_priority_goes_before_an_older_job
            all_priorities_of_an_i32_have_their_order
            kinds_of_a_queue_share_one_order
            every_32nd_claim_takes_the_oldest_of_the_lowest_priority
            a_retried_job_stands_by_its_old_id
            queues_are_independent
            an_exchange_gives_at_most_what_each_queue_is_asked_for
        }
        $crate::storage_conformance! { @chapter true, "", time,
            a_delayed_job_begins_when_it_is_due_and_not_before
            a_time_that_has_passed_is_at_once
            ten_thousand_due_at_once_come_by_their_times
            the_next_due_time_is_right_after_each_change
            a_clock_that_is_set_back_delays_and_loses_nothing
            a_clock_that_is_set_ahead_ends_leases_and_stale_ends_are_gone
            a_job_that_has_expired_is_not_begun
            a_pause_that_never_ends_is_no_error
        }
        $crate::storage_conformance! { @chapter true, "", kinds,
            kinds_that_are_not_asked_for_stay_as_they_are
            an_alias_is_claimed_under_its_stored_kind
            a_consumer_of_no_kind_gets_nothing
        }
        $crate::storage_conformance! { @chapter true, "", ends,
            a_job_that_is_done_leaves_nothing_behind
            a_retry_counts_a_failure_and_keeps_its_text
            a_postponed_job_counts_nothing
            a_job_that_comes_back_takes_its_old_place_and_counts_nothing
            an_end_with_an_old_claim_number_is_gone
            the_second_of_two_ends_is_gone
            an_end_releases_a_job_that_came_while_the_other_ran
            an_end_of_a_job_that_never_was_is_gone
            a_late_end_counts_if_no_other_consumer_has_the_job
            an_end_comes_before_the_end_of_the_lease
            a_late_end_is_gone_if_another_consumer_has_the_job
            a_late_end_is_gone_if_the_job_came_back_otherwise
            a_dead_job_keeps_payload_and_text_and_meta
            the_text_of_an_error_is_cut_at_8_kib_on_a_border
        }
        $crate::storage_conformance! { @chapter true, "", sessions,
            the_jobs_of_a_lease_that_has_ended_come_back
            an_exchange_ends_the_leases_that_are_over
            a_job_whose_worker_was_lost_too_often_is_dead
            a_job_may_say_how_often_its_worker_may_be_lost
            a_job_at_most_once_is_dead_if_its_worker_is_lost
            heartbeats_keep_a_job_for_a_hundred_leases
            a_heartbeat_extends_a_lease_that_is_over_but_was_not_swept
            what_a_consumer_does_not_know_of_is_given_back
            a_heartbeat_says_which_jobs_to_cancel_and_which_are_lost
            a_session_that_is_closed_gives_its_jobs_back
            who_watches_a_session_is_notified_of_a_cancel
            what_was_to_be_cancelled_does_not_wait_again
            a_session_that_is_gone_gets_no_jobs_and_its_ends_count
            a_stale_exchange_is_refused_and_changes_nothing
            a_session_says_who_it_is
            the_numbers_of_sessions_never_repeat
        }
        $crate::storage_conformance! { @chapter true, "", unique,
            the_second_job_with_a_key_is_not_stored
            every_end_frees_the_key
            what_is_no_end_does_not_free_the_key
            a_key_until_started_is_free_at_the_first_claim
            a_key_until_started_is_free_if_the_job_ends_before
            a_key_for_a_time_outlasts_the_job
            a_key_for_a_time_is_free_though_the_job_still_waits
            a_retry_does_not_meet_its_own_key
            a_dead_job_gets_its_key_again_or_stays_dead
            of_sixteen_threads_with_one_key_one_stores_its_job
            two_kinds_may_have_the_same_key
        }
        $crate::storage_conformance! { @chapter true, "", replace,
            a_job_that_has_not_begun_is_replaced
            the_one_with_the_key_stays_without_replace
            one_that_is_replaced_is_due_as_of_now
            the_expiry_of_one_that_is_replaced_begins_anew
            one_that_has_begun_is_not_replaced
            a_key_until_started_is_that_of_the_next_one_after_the_begin
            one_that_has_ended_is_not_replaced
            one_that_is_blocked_is_replaced
            the_lane_of_one_that_is_due_later_now_is_handed_on
            one_that_waits_for_others_is_replaced_and_waits_on
            a_batch_that_is_sent_again_replaces_nothing_twice
            of_sixteen_threads_with_one_key_all_but_one_replace_its_job
            a_time_whose_job_replaces_another_counts
            who_listens_is_woken_when_one_is_due_earlier
        }
        $crate::storage_conformance! { @chapter true, "", lanes,
            the_jobs_of_a_lane_begin_one_at_a_time_in_their_order
            an_end_and_the_claim_of_the_next_are_one_exchange
            a_lane_crosses_queues_and_kinds
            other_lanes_and_jobs_without_one_run_beside_it
            a_lane_is_kept_until_the_job_has_ended
            every_end_hands_the_lane_on
            a_delayed_job_joins_its_lane_when_it_is_due
            of_two_that_are_due_at_once_the_earlier_one_has_the_lane
            many_that_are_due_at_once_join_their_lanes
            a_blocked_job_ends_without_a_turn
            a_dead_job_joins_its_lane_anew
            a_queue_that_is_paused_keeps_the_lane
            who_listens_is_woken_when_a_lane_is_handed_on
            eight_consumers_never_run_two_jobs_of_a_lane
        }
        $crate::storage_conformance! { @chapter true, "", late,
            a_job_that_gets_its_lane_too_late_passes_it_on
            every_end_passes_over_a_job_that_is_too_late
            a_sweep_counts_those_that_got_their_lane_too_late
            the_end_of_a_job_that_got_its_lane_too_late_is_like_any_other
            a_job_that_is_due_too_late_does_not_keep_its_lane
            a_job_whose_parents_end_too_late_does_not_keep_its_lane
            a_job_that_expires_while_it_has_its_lane_ends_when_it_is_next
            a_lane_of_very_many_that_are_too_late_needs_no_sweep
        }
        $crate::storage_conformance! { @chapter true, "", follow,
            a_job_begins_when_all_that_it_follows_are_done
            what_is_no_end_releases_nothing
            what_had_ended_before_counts
            a_job_that_follows_nothing_begins_at_once
            a_job_that_is_named_twice_counts_once
            outcomes_are_there_until_the_job_that_follows_has_ended
            an_outcome_that_is_removed_is_forgotten
            a_thousand_that_eight_threads_end_release_a_job_once
            a_job_cannot_follow_one_that_never_was
            a_job_follows_ten_thousand_others_at_most
            what_is_released_waits_for_its_time_and_for_its_lane
            a_job_may_follow_one_of_its_own_lane
            of_those_that_are_released_at_once_the_first_has_the_lane
            who_listens_is_woken_when_a_job_is_released
        }
        $crate::storage_conformance! { @chapter true, "", failures,
            a_failure_cancels_all_that_follow
            a_job_that_follows_even_if_failed_begins
            what_follows_jobs_that_end_meanwhile_begins_or_is_cancelled
            a_job_that_waits_for_others_may_end_before_them
            a_job_and_what_follows_it_are_removed_together
            a_job_that_begins_anew_releases_nothing_twice
            a_dead_job_that_begins_anew_follows_nothing
            a_chain_of_two_thousand_is_cancelled_in_one_step
            a_job_that_is_cancelled_at_once_takes_no_key
            who_waits_for_a_job_that_follows_sees_its_end
        }
        $crate::storage_conformance! { @chapter true, "", results,
            an_outcome_is_kept_and_then_forgotten
            a_live_job_has_its_state_and_no_outcome
            who_waits_before_the_end_gets_an_outcome_that_is_not_kept
            who_waits_sees_every_other_end
            who_comes_after_the_end_sees_at_once_that_it_is_forgotten
            two_may_wait_for_one_job
            who_gives_up_leaves_nothing_behind
            who_listens_to_a_queue_is_woken_when_a_job_is_ready
        }
        $crate::storage_conformance! { @chapter true, "", hand,
            a_list_has_what_the_filter_applies_to
            the_pages_of_a_list_are_complete
            dead_jobs_begin_anew
            a_job_that_begins_anew_is_not_to_be_cancelled
            jobs_are_removed_in_slices
            outcomes_are_removed_by_their_age
            dead_jobs_are_forgotten_after_thirty_days
            a_hundred_thousand_dead_jobs_are_kept_and_no_more
            a_storage_says_what_it_is
            the_counts_are_those_of_the_list
            a_queue_that_is_paused_gives_no_jobs
            no_more_of_a_queue_run_than_it_allows
            no_more_of_a_queue_begin_than_its_rate_allows
            a_rate_of_nothing_is_refused
            a_cancel_does_what_the_state_of_the_job_allows
        }
        $crate::storage_conformance! { @chapter true, "", schedules,
            each_time_of_a_schedule_stores_one_job
            a_new_schedule_begins_now
            times_that_were_missed_are_stored_in_their_order
            no_time_is_stored_before_it_has_come
            a_schedule_that_is_paused_stores_nothing
            a_schedule_that_is_forgotten_begins_anew
            another_rule_stores_no_time_twice
            a_time_counts_though_the_key_of_its_job_is_taken
            schedules_are_listed_by_their_names
        }
        $crate::storage_conformance! { @chapter true, "", limits,
            a_payload_is_stored_up_to_the_largest_and_not_beyond
            names_have_the_characters_that_are_allowed
            a_key_has_256_bytes_at_most
            a_lane_has_1_to_256_bytes
            a_job_without_a_key_takes_no_place
            options_of_no_time_are_refused
            an_empty_batch_is_no_error
            a_batch_may_have_ten_thousand_jobs
        }
        $crate::storage_conformance! { @chapter true, "", batches,
            a_batch_that_is_sent_again_gets_the_same_answer
            a_batch_with_a_smaller_number_is_refused
            a_batch_with_a_bad_job_stores_nothing
        }
        $crate::storage_conformance! { @chapter true, "", many,
            twenty_thousand_jobs_end_once_each
            twenty_thousand_jobs_with_failures_and_cancels_end_once_each
            what_is_swept_and_purged_and_listed_meanwhile_disturbs_nothing
        }
        $crate::storage_conformance! { @chapter true, "", random,
            random_operations_have_the_same_answers_as_the_model
        }
        $crate::storage_conformance! { @chapter $shared, "the storage is not shared", shared,
            what_one_stores_the_other_claims
            one_ends_the_leases_of_the_other
            a_key_counts_for_both
            what_one_changes_wakes_the_other
            an_end_in_one_releases_what_the_other_stored
            a_cancel_in_one_notifies_who_watches_the_session_of_the_other
        }
        $crate::storage_conformance! { @chapter $at_rest, "the storage is not at rest", at_rest,
            everything_is_there_after_the_storage_was_opened_again
            what_waits_for_others_is_there_after_the_storage_was_opened_again
            numbers_are_not_given_again_after_the_storage_was_opened_again
            time_goes_on_while_the_storage_is_closed
            random_operations_go_on_after_the_storage_was_opened_again
        }
    };
    (@chapter true, $why:literal, $chapter:ident, $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                let case = |env: &mut _| $crate::jobs::conformance::$chapter::$name(env);
                let name = stringify!($name);
                $crate::jobs::conformance::run(name, seed_count(), make_storage, case);
            }
        )*
    };
    (@chapter false, $why:literal, $chapter:ident, $($name:ident)*) => {
        $(
            #[test]
            #[ignore = $why]
            fn $name() {}
        )*
    };
}
