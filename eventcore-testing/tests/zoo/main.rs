//! The suite bites: each of these stores is broken in one way, and the clause named for that way fails on it.
//!
//! The same clauses pass on the healthy store in the same cage, so that it is the defect that is found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the helpers of tests may panic as tests do"
)]

mod atomicity;
mod cage;
mod guards;
mod keys;
mod reading;
mod values;

use std::{future::Future, time::Duration};

use eventcore::{EventStore, store::Capabilities};
use eventcore_memory::InMemoryEventStore;
use eventcore_testing::contract::{CLAUSES, Harness, claims};

use self::cage::{Caged, Healthy, Specimen};

/// What a clause finds wrong with a store. A clause must say so in time: one that hangs has found nothing.
async fn fault(clause: impl Future<Output = ()> + Send + 'static) -> Option<String> {
    let verdict = tokio::time::timeout(Duration::from_mins(1), tokio::spawn(clause));
    let error = verdict
        .await
        .expect("a clause ends, also on a broken store")
        .err()?;
    let panic = error.into_panic();
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
    Some(text.expect("a clause says what it found"))
}

fn caged<S: Specimen>() -> Harness {
    Harness::new(Caged::<S>::default()).declare(Capabilities::none())
}

macro_rules! zoo {
    ($($name:ident: $group:ident::$specimen:ident fails $promise:ident::$clause:ident;)*) => {
        mod zoo {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    use eventcore_testing::contract::$promise::$clause;
                    let found = fault($clause(caged::<$group::$specimen>())).await;
                    assert!(found.is_some(), "{} went unnoticed", stringify!($specimen));
                    let healthy = fault($clause(caged::<Healthy>())).await;
                    assert_eq!(healthy, None, "the healthy store is accused");
                }
            )*
        }
    };
}

zoo! {
    skipping_read_only_streams_is_caught: guards::SkipsReadOnlyStreams
        fails guarded::an_expectation_on_a_read_only_stream_is_checked;
    write_skew_is_caught: guards::SkipsReadOnlyStreams
        fails races::no_write_skew_through_read_only_streams;
    ignoring_empty_expectations_is_caught: guards::IgnoresEmptyExpectations
        fails guarded::an_expectation_on_an_empty_stream_is_checked;
    a_phantom_is_caught: guards::IgnoresEmptyExpectations
        fails races::no_phantom_first_event;
    ignoring_written_streams_is_caught: guards::IgnoresWrittenStreams
        fails guarded::an_expectation_on_a_written_stream_is_checked;
    accepting_lower_expectations_is_caught: guards::AcceptsLowerExpectations
        fails guarded::an_expectation_on_a_written_stream_is_checked;
    checking_outside_the_transaction_loses_updates: guards::ChecksOutsideTheTransaction
        fails races::no_lost_updates;
    checking_outside_the_transaction_lets_phantoms_through: guards::ChecksOutsideTheTransaction
        fails races::no_phantom_first_event;
    checking_outside_the_transaction_lets_skew_through: guards::ChecksOutsideTheTransaction
        fails races::no_write_skew_through_read_only_streams;
    checking_read_only_streams_too_early_lets_skew_through: guards::ChecksReadOnlyStreamsTooEarly
        fails races::no_write_skew_through_read_only_streams;
    naming_one_conflict_only_is_caught: guards::NamesOneConflictOnly
        fails guarded::a_conflict_names_every_stream_that_moved;

    sharing_no_commons_is_caught: guards::SharesNoCommons
        fails limits::a_hot_stream_does_not_storm;

    appending_event_by_event_is_caught: atomicity::AppendsEventByEvent
        fails atomic::readers_never_see_part_of_a_batch;
    leaving_half_when_dropped_is_caught: atomicity::LeavesHalfWhenDropped
        fails cancel::a_dropped_append_is_whole_or_nothing;
    leaving_half_of_a_dropped_command_is_caught: atomicity::LeavesHalfWhenDropped
        fails cancel::a_dropped_command_is_whole_or_nothing;
    staying_busy_when_dropped_is_caught: atomicity::StaysBusyWhenDropped
        fails cancel::a_dropped_append_is_whole_or_nothing;
    losing_a_permit_per_dropped_read_is_caught: atomicity::LosesAPermitPerDroppedRead
        fails cancel::a_dropped_read_changes_nothing;
    losing_a_permit_per_unfinished_read_is_caught: atomicity::LosesAPermitPerUnfinishedRead
        fails cancel::a_dropped_read_changes_nothing;
    reading_stream_by_stream_is_caught: atomicity::ReadsStreamByStream
        fails views::one_read_is_one_snapshot;
    a_torn_view_that_rejects_is_caught: atomicity::ReadsStreamByStream
        fails views::a_torn_view_never_rejects;
    reading_versions_first_is_caught: atomicity::ReadsVersionsFirst
        fails views::one_read_is_one_snapshot;
    leaving_the_snapshot_is_caught: atomicity::LeavesItsSnapshot
        fails views::a_long_read_stays_in_its_snapshot;
    acknowledging_too_early_is_caught: atomicity::AcknowledgesBeforeItIsVisible
        fails atomic::an_acknowledged_batch_is_visible_at_once;
    keeping_the_key_of_a_refused_batch_is_caught: atomicity::KeepsTheKeyOfARefusedBatch
        fails guarded::a_conflicting_batch_leaves_nothing_behind;
    keeping_events_of_a_refused_batch_is_caught: atomicity::KeepsEventsOfARefusedBatch
        fails guarded::a_conflicting_batch_leaves_nothing_behind;

    forgetting_keys_is_caught: keys::ForgetsKeys
        fails once::a_key_seen_before_returns_the_first_receipt;
    deciding_again_is_caught: keys::ForgetsKeys
        fails once::a_repeated_command_does_not_decide_again;
    ignoring_fingerprints_is_caught: keys::IgnoresFingerprints
        fails once::a_key_of_another_command_is_refused;
    checking_the_key_last_is_caught: keys::ChecksTheKeyLast
        fails once::a_key_is_looked_at_before_the_expectations;
    looking_the_key_up_too_early_is_caught: keys::LooksTheKeyUpTooEarly
        fails once::one_key_at_the_same_time_has_one_effect;
    forgetting_empty_decisions_is_caught: keys::ForgetsEmptyDecisions
        fails once::an_empty_batch_with_a_key_is_remembered;
    finding_no_receipts_is_caught: keys::FindsNoReceipts
        fails once::a_kept_receipt_can_be_asked_for;
    not_saying_replayed_is_caught: keys::DoesNotSayReplayed
        fails once::a_key_seen_before_returns_the_first_receipt;
    not_knowing_its_own_batch_is_caught: keys::DoesNotKnowItsOwnBatches
        fails once::a_batch_without_a_key_may_be_sent_again;
    answering_before_it_knows_is_caught: keys::AnswersBeforeItKnows
        fails once::an_absent_receipt_may_be_believed;
    folding_keys_is_caught: keys::FoldsKeys
        fails once::keys_are_compared_byte_for_byte;

    telling_the_last_event_is_caught: reading::TellsTheLastEvent
        fails views::a_read_tells_the_event_it_begins_at;
    telling_no_event_is_caught: reading::TellsNoEvent
        fails views::a_read_tells_the_event_it_begins_at;
    bounding_chunks_by_rows_is_caught: reading::BoundsChunksByRows
        fails paging::chunks_and_pages_are_bounded_in_bytes;
    bounding_pages_by_rows_is_caught: reading::BoundsPagesByRows
        fails paging::chunks_and_pages_are_bounded_in_bytes;
    numbering_before_commit_is_caught: reading::NumbersBeforeCommit
        fails order::a_follower_sees_every_event_once;
    ordering_by_event_id_is_caught: reading::OrdersByEventId
        fails order::a_follower_sees_every_event_once;
    leaving_holes_is_caught: reading::LeavesHoles
        fails order::positions_are_dense_from_one;
    losing_positions_of_refused_batches_is_caught: reading::LosesPositionsOfRefusedBatches
        fails order::positions_are_dense_from_one;
    guessing_receipts_is_caught: reading::GuessesItsReceipts
        fails order::receipts_agree_with_the_log;
    returning_stream_after_stream_is_caught: reading::ReturnsStreamAfterStream
        fails paging::several_long_streams_are_merged_by_position;
    dropping_what_does_not_parse_is_caught: reading::DropsWhatItCannotParse
        fails loud::nothing_is_dropped_from_a_read;
    hiding_unknown_types_is_caught: reading::HidesPoisonFromCommands
        fails loud::an_unknown_type_stops_command_and_fold;
    hiding_damaged_payloads_is_caught: reading::HidesPoisonFromCommands
        fails loud::an_undecodable_payload_stops_command_and_fold;
    stopping_after_one_page_is_caught: reading::StopsAfterOnePage
        fails paging::a_long_stream_is_read_whole_and_in_order;
    reading_from_instead_of_after_is_caught: reading::ReadsFromInsteadOfAfter
        fails paging::reading_after_a_version_gives_the_rest;
    repeating_streams_asked_for_twice_is_caught: reading::RepeatsStreamsAskedForTwice
        fails answers::a_stream_asked_for_twice_comes_once;
    failing_on_nothing_is_caught: reading::FailsOnNothing
        fails answers::reading_nothing_gives_nothing;
    repeating_the_last_event_is_caught: reading::RepeatsTheLastEvent
        fails paging::the_log_is_read_whole_by_any_page_size;
    calling_a_filtered_page_the_end_is_caught: reading::CallsAFilteredPageTheEnd
        fails filters::a_long_span_without_a_match_is_crossed;
    standing_still_without_a_match_is_caught: reading::StandsStillWithoutAMatch
        fails filters::a_long_span_without_a_match_is_crossed;
    a_wrong_next_at_the_end_is_caught: reading::StandsStillWithoutAMatch
        fails paging::the_end_of_the_log_is_said_truly;

    passing_prefixes_to_like_is_caught: values::PassesPrefixesToLike
        fails names::prefixes_are_literal;
    folding_prefixes_is_caught: values::FoldsPrefixes
        fails names::prefixes_are_literal;
    raising_the_last_character_is_caught: values::RaisesTheLastCharacter
        fails names::prefixes_are_literal;
    comparing_one_character_is_caught: values::ComparesOneCharacterOnly
        fails filters::filters_select_exactly_what_matches;
    applying_half_of_a_filter_is_caught: values::AppliesHalfOfAFilter
        fails filters::filters_select_exactly_what_matches;
    parsing_payloads_is_caught: values::ParsesPayloads
        fails values::payloads_come_back_byte_for_byte;
    keeping_payloads_as_text_is_caught: values::KeepsPayloadsAsText
        fails values::payloads_come_back_byte_for_byte;
    wrapping_schema_versions_is_caught: values::WrapsSchemaVersions
        fails values::types_and_schemas_come_back;
    folding_types_is_caught: values::FoldsTypes
        fails values::types_and_schemas_come_back;
    folding_types_in_filters_is_caught: values::FoldsTypesInFilters
        fails names::types_are_told_apart_byte_for_byte;
    cutting_times_is_caught: values::CutsTimesToMilliseconds
        fails values::times_come_back_to_the_microsecond;
    parsing_metadata_is_caught: values::ParsesMetadata
        fails values::metadata_comes_back_byte_for_byte;
    folding_stream_names_is_caught: values::FoldsStreamNames
        fails names::stream_names_are_told_apart_byte_for_byte;
    refusing_large_batches_is_caught: values::RefusesLargeBatches
        fails limits::the_largest_batch_is_taken;
    guarding_a_thousand_streams_is_caught: values::GuardsTheFirstThousandStreams
        fails limits::the_widest_batch_is_guarded;
    cutting_large_payloads_is_caught: values::CutsLargePayloads
        fails limits::a_large_payload_is_taken;
    claiming_too_much_is_caught: values::ClaimsTooMuch
        fails claims::capabilities_are_as_declared;
}

/// Durable by its own account, with nothing left when it is opened again.
#[tokio::test(flavor = "multi_thread")]
async fn forgetting_everything_when_reopened_is_caught() {
    let forgetful = || {
        Harness::new(InMemoryEventStore::new())
            .declare(Capabilities::none().durable())
            .reopen_with(|| async { InMemoryEventStore::new() })
    };
    let found = fault(claims::reopening_keeps_everything(forgetful())).await;
    assert!(found.is_some(), "everything was forgotten, unnoticed");
}

/// Claims to serve several processes, and each handle has a log of its own.
#[tokio::test(flavor = "multi_thread")]
async fn two_handles_with_two_logs_are_caught() {
    let apart = Harness::new(InMemoryEventStore::new())
        .declare(Capabilities::none().multi_process())
        .reopen_with(|| async { InMemoryEventStore::new() });
    let found = fault(claims::two_handles_guard_each_other(apart)).await;
    assert!(found.is_some(), "two logs were taken for one");
}

/// The clauses about claims pass where the claim is true: clones of a memory store share their events.
#[tokio::test(flavor = "multi_thread")]
async fn true_claims_pass() {
    let harness = || {
        let data = InMemoryEventStore::new();
        let again = data.clone();
        Harness::new(data)
            .declare(Capabilities::none().durable().multi_process())
            .reopen_with(move || {
                let again = again.clone();
                async move { again }
            })
    };
    assert_eq!(
        fault(claims::reopening_keeps_everything(harness())).await,
        None
    );
    assert_eq!(
        fault(claims::two_handles_guard_each_other(harness())).await,
        None
    );
}

/// A durable store whose tests cannot reopen it is told what is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_cannot_be_tested_is_an_error() {
    let harness = Harness::new(InMemoryEventStore::new()).declare(Capabilities::none().durable());
    let found = fault(claims::reopening_keeps_everything(harness)).await;
    assert!(found.is_some_and(|text| text.contains("reopen_with")));
}

/// The list holds every clause once, and each has a line to say.
#[test]
fn the_list_of_clauses_is_whole() {
    let mut names: Vec<_> = CLAUSES.iter().map(|clause| clause.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "two clauses have one name");
    assert!(CLAUSES.iter().all(|clause| clause.says.len() > 20));
}

/// The list can be run, not only read.
#[tokio::test(flavor = "multi_thread")]
async fn clauses_run_from_the_list() {
    let store = InMemoryEventStore::new();
    let clause = CLAUSES
        .iter()
        .find(|c| c.name == "reading_nothing_gives_nothing")
        .unwrap();
    (clause.run)(store.clone().into()).await;
    let from = [eventcore::store::ReadFrom::start(
        "nothing:else".try_into().unwrap(),
    )];
    let read = store.read(&from).await.unwrap();
    assert_eq!(read.versions[0].get(), 3, "the clause ran on this store");
}
