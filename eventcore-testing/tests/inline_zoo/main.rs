//! The suite of inline read models bites: each of these stores is broken in one way, and the clause named for that way
//! fails on it.
//!
//! The same clauses pass on the same store without the defect, so that it is the defect that is found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests may panic as tests do"
)]

mod handle;
mod made;

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use eventcore_testing::inline_contract::CLAUSES;
use futures_util::FutureExt;

use self::made::{Defect, Made};

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

macro_rules! zoo {
    ($($name:ident: $defect:ident fails $group:ident::$clause:ident;)*) => {
        mod zoo {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    use eventcore_testing::inline_contract::$group::$clause;
                    let found = fault($clause(Made::with(Defect::$defect))).await;
                    assert!(found.is_some(), "{} went unnoticed", stringify!($defect));
                    let healthy = fault($clause(Made::with(Defect::None))).await;
                    assert_eq!(healthy, None, "the healthy store is accused");
                }
            )*
        }
        /// What the zoo has a specimen for.
        const SHOWN: &[&str] = &[$(stringify!($clause)),*];
    };
}

zoo! {
    documents_that_come_later_are_caught: ComesLater
        fails together::documents_are_there_when_an_append_returns;
    events_before_documents_are_caught: EventsFirst
        fails together::a_reader_never_sees_one_without_the_other;
    documents_before_events_are_caught: DocumentsFirst
        fails together::a_reader_never_sees_one_without_the_other;
    documents_of_a_batch_one_by_one_are_caught: EventByEvent
        fails together::a_reader_never_sees_one_without_the_other;
    losing_updates_is_caught: LosesUpdates
        fails together::concurrent_increments_are_all_counted;
    forgetting_metadata_is_caught: ForgetsMetadata
        fails together::an_event_is_complete_when_the_model_sees_it;
    keeping_what_was_removed_is_caught: KeepsRemoved
        fails together::a_document_may_go;
    leaving_dropped_appends_half_done_is_caught: LeavesHalf
        fails together::a_dropped_append_is_in_both_or_in_neither;

    applying_conflicts_is_caught: AppliesConflicts
        fails refusing::a_conflict_changes_nothing;
    applying_repeats_is_caught: AppliesRepeats
        fails refusing::a_repeated_batch_changes_nothing;
    appending_what_no_model_takes_is_caught: AppendsAnyway
        fails refusing::an_event_that_cannot_be_decoded_is_not_appended;
    passing_over_panics_is_caught: AppendsAnyway
        fails refusing::a_panic_of_the_model_is_a_refusal;
    writing_over_strange_documents_is_caught: AppendsAnyway
        fails refusing::a_document_that_cannot_be_decoded_is_a_refusal;
    harming_neighbours_is_caught: HarmsNeighbours
        fails refusing::neighbours_are_not_harmed;

    beginning_with_the_next_event_is_caught: OpensAtTheEnd
        fails missing::what_was_there_before_is_applied;
    passing_over_what_others_append_is_caught: PassesOverOthers
        fails missing::what_others_append_is_applied_first;
    a_lower_bound_is_caught: LowBound
        fails missing::a_thousand_missing_events_are_applied;
    no_bound_for_appends_is_caught: NoBound
        fails missing::more_missing_events_refuse_the_append;
    no_bound_at_the_opening_is_caught: NoBound
        fails missing::more_missing_events_refuse_the_opening;
    going_on_with_another_log_is_caught: TakesAnyLog
        fails missing::another_log_is_refused;

    claiming_nothing_is_caught: ClaimsNothing
        fails leading::no_runner_leads_what_is_inline;
    pushing_runners_aside_is_caught: PushesRunnersAside
        fails leading::what_a_runner_leads_is_not_inline;
    beginning_anew_after_runners_is_caught: BeginsAnew
        fails leading::runners_and_inline_take_turns;
    appending_without_what_was_given_back_is_caught: AppendsWithoutIt
        fails leading::what_was_given_back_refuses_appends;
    appending_without_what_was_reset_is_caught: AppendsWithoutIt
        fails leading::what_was_reset_refuses_appends;
    joining_partitions_is_caught: JoinsPartitions
        fails leading::what_is_divided_is_not_inline;
    forgetting_letters_is_caught: ForgetsLetters
        fails leading::what_has_letters_is_not_inline;
    leaving_the_old_version_to_readers_is_caught: LeavesTheOldVersion
        fails leading::a_new_version_takes_over;

    moving_models_one_by_one_is_caught: ModelByModel
        fails several::two_models_move_together;
    running_a_name_twice_is_caught: RunsANameTwice
        fails several::two_models_of_one_name_are_refused;
    counting_for_every_handle_is_caught: CountsTwice
        fails several::two_handles_run_one_model;
}

#[test]
fn every_clause_has_caught_something() {
    let idle = CLAUSES
        .iter()
        .filter(|clause| !SHOWN.contains(&clause.name));
    let idle: Vec<_> = idle.map(|clause| clause.name).collect();
    assert!(idle.is_empty(), "no specimen fails {idle:?}");
}
