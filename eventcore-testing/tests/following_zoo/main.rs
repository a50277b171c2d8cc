//! The suite bites: each of these logs and stores of projections is broken in one way, and the clause named for that
//! way fails on it.
//!
//! The same clauses pass on the healthy stores in the same cages, so that it is the defect that is found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    unused_imports,
    reason = "the helpers of tests may panic as tests do, and of the zoo of stores of projections a part is used"
)]

#[path = "../projection_zoo/cage.rs"]
mod cage;
#[path = "../projection_zoo/dividing.rs"]
mod dividing;
#[path = "../projection_zoo/keeping.rs"]
mod keeping;
#[path = "../projection_zoo/leading.rs"]
mod leading;
mod logs;
mod views;
#[path = "../projection_zoo/working.rs"]
mod working;

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use eventcore_memory::{InMemoryEventStore, InMemoryProjections};
use eventcore_testing::following::{CLAUSES, Harness};
use futures_util::FutureExt;

use self::{
    cage::{Caged, Slow, Specimen},
    logs::{Broken, Read},
};

// Nothing is wrong with it: the awaits of a database, before every operation and after it, change no answer.
eventcore_testing::following_suite!(waiting, async || {
    let (events, views) = (InMemoryEventStore::new(), Caged::<Slow>::default());
    let again = (events.clone(), views.clone());
    Harness::new(events, views)
        .reopen_with(move || {
            let again = again.clone();
            async move { again }
        })
        .fresh_log_with(async || InMemoryEventStore::new())
        .with_events(10_000)
});

/// What a clause finds wrong with a store. A clause must say so in time: one that hangs has found nothing.
async fn fault(clause: impl Future<Output = ()>) -> Option<String> {
    let verdict = AssertUnwindSafe(clause).catch_unwind();
    let panic = tokio::time::timeout(Duration::from_mins(1), verdict)
        .await
        .expect("a clause ends, also on a broken store")
        .err()?;
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
    Some(text.expect("a clause says what it found"))
}

/// A broken log, with healthy projections.
fn log<B: Broken>() -> Harness<InMemoryProjections> {
    let (events, views) = (Read::<B>::default(), InMemoryProjections::<()>::new());
    let again = (events.clone(), views.clone());
    let open = move || {
        let again = again.clone();
        async move { again }
    };
    Harness::new(events, views)
        .reopen_with(open)
        .with_events(10_000)
}

/// Broken projections, with a healthy log.
fn projections<S: Specimen>() -> Harness<Caged<S>> {
    let (events, views) = (InMemoryEventStore::new(), Caged::<S>::default());
    let again = (events.clone(), views.clone());
    let open = move || {
        let again = again.clone();
        async move { again }
    };
    Harness::new(events, views)
        .reopen_with(open)
        .fresh_log_with(async || InMemoryEventStore::new())
        .with_events(10_000)
}

macro_rules! zoo {
    ($module:ident of $harness:ident, healthy $healthy:ty:
        $($name:ident: $specimen:ty, fails $promise:ident::$clause:ident;)*) => {
        mod $module {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    use eventcore_testing::following::$promise::$clause;
                    let found = fault($clause($harness::<$specimen>())).await;
                    let found = found.expect(concat!(stringify!($specimen), " went unnoticed"));
                    println!("{}: {found:.300}", stringify!($specimen));
                    let healthy = fault($clause($harness::<$healthy>())).await;
                    assert_eq!(healthy, None, "the healthy store is accused");
                }
            )*
        }
    };
}

zoo! {
    of_logs of log, healthy logs::Healthy:
    filling_in_behind_readers_is_caught: logs::FillsInBehindReaders,
        fails order::nothing_appears_below_a_place_already_read;
    filling_in_behind_followers_is_caught: logs::FillsInBehindReaders,
        fails seam::a_reader_follows_through_a_flood_of_appends;
    repeating_at_the_seam_is_caught: logs::RepeatsAtTheSeam,
        fails seam::catching_up_and_living_meet_without_a_seam;
    repeating_behind_the_end_is_caught: logs::RepeatsAtTheSeam,
        fails places::from_the_end_nothing_old_and_everything_new;
    hiding_the_last_event_is_caught: logs::HidesTheLast,
        fails seam::the_last_event_is_seen_without_another;
    looking_beyond_the_end_is_caught: logs::LooksBeyondTheEnd,
        fails order::nothing_appears_below_a_place_already_read;
    skipping_behind_the_end_is_caught: logs::LooksBeyondTheEnd,
        fails seam::catching_up_and_living_meet_without_a_seam;
    filtering_after_the_limit_is_caught: logs::FiltersAfterTheLimit,
        fails filters::a_long_span_that_does_not_match_takes_few_pages;
    staying_at_the_last_match_is_caught: logs::StaysAtTheLastMatch,
        fails filters::a_filtered_reader_reaches_the_end_and_goes_live;
    taking_prefixes_for_patterns_is_caught: logs::PrefixesArePatterns,
        fails filters::prefixes_are_literal;
    forgetting_the_types_is_caught: logs::ForgetsTheTypes,
        fails filters::filters_agree_with_the_rule;
    sending_once_is_caught: logs::SendsOnce,
        fails pressure::a_reader_that_comes_back_goes_on_where_it_was;
    calling_nobody_is_caught: logs::CallsNobody,
        fails waking::an_append_wakes_who_waits;
}

zoo! {
    of_projections of projections, healthy cage::Healthy:
    committing_the_effect_first_is_caught: working::CommitsDocumentsFirst,
        fails once::a_custom_projection_killed_at_any_await_applies_everything_once;
    committing_the_checkpoint_first_is_caught: working::CommitsTheCheckpointFirst,
        fails once::a_runner_killed_at_any_await_applies_everything_once;
    writing_through_is_caught: working::WritesThrough,
        fails once::a_runner_killed_at_any_await_applies_everything_once;
    committing_when_dropped_is_caught: working::CommitsWhenDropped,
        fails failing::an_event_that_fails_stops_it_there;
    keeping_what_a_panic_left_is_caught: working::CommitsWhenDropped,
        fails failing::a_panic_is_a_failure_like_another;

    fencing_nobody_is_caught: leading::FencesNobody,
        fails leading::a_leader_that_sleeps_before_its_transaction_is_fenced;
    fencing_at_the_beginning_only_is_caught: leading::FencesAtTheBeginningOnly,
        fails leading::a_leader_that_sleeps_in_its_transaction_applies_nothing_twice;
    fencing_the_checkpoint_only_is_caught: leading::FencesTheCheckpointOnly,
        fails leading::a_leader_that_sleeps_in_its_transaction_applies_nothing_twice;
    granting_anybody_is_caught: leading::GrantsAnybody,
        fails leading::a_stopped_leader_is_followed_at_once;
    releasing_nothing_is_caught: leading::ReleasesNothing,
        fails leading::a_stopped_leader_is_followed_at_once;
    never_running_out_is_caught: leading::NeverRunsOut,
        fails leading::a_killed_leader_is_followed_when_its_lease_runs_out;

    forgetting_divisions_is_caught: dividing::ForgetsDivisions,
        fails dividing::other_numbers_of_partitions_come_to_the_same_by_key;
    forgetting_older_divisions_is_caught: dividing::ForgetsOlderDivisions,
        fails dividing::other_numbers_of_partitions_come_to_the_same_by_stream;
    dividing_at_the_highest_is_caught: dividing::DividesAtTheHighest,
        fails dividing::other_numbers_of_partitions_come_to_the_same_by_stream;

    keeping_the_first_letter_is_caught: dividing::KeepsTheFirstLetter,
        fails failing::what_is_replayed_is_applied_once_and_in_order;
    replaying_nothing_is_caught: dividing::ReplaysNothing,
        fails failing::an_event_parked_alone_holds_back_nothing;

    activating_with_the_claim_is_caught: working::ActivatesWithTheClaim,
        fails rebuilding::readers_see_a_whole_version_at_all_times;
    activating_unasked_is_caught: working::ActivatesUnasked,
        fails rebuilding::readers_see_a_whole_version_at_all_times;
    resets_that_leave_documents_are_caught: keeping::ResetsLeaveDocuments,
        fails rebuilding::a_reset_is_built_anew_while_it_runs;
    losing_the_witness_is_caught: working::LosesTheWitness,
        fails rebuilding::another_log_is_refused;

    answering_late_is_caught: views::AnswersLate,
        fails waiting::a_caller_reads_its_own_write;
    standing_ahead_is_caught: views::StandsAhead,
        fails waiting::who_waits_too_long_is_told_where_it_is;
    burying_nothing_is_caught: views::BuriesNothing,
        fails failing::a_skipped_event_is_written_down;
    dropping_what_cannot_be_decoded_is_caught: views::BuriesNothing,
        fails failing::what_cannot_be_decoded_is_never_dropped;
}

/// The list holds every clause once, and each has a line to say.
#[test]
fn the_list_of_clauses_is_whole() {
    let mut names: Vec<_> = CLAUSES
        .iter()
        .map(|clause| (clause.group, clause.name))
        .collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "two clauses have one name");
    assert!(CLAUSES.iter().all(|clause| clause.says.len() > 20));
}
