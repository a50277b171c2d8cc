//! The suite bites: each of these stores is broken in one way, and the clause named for that way fails on it.
//!
//! The same clauses pass on the healthy store in the same cage, so that it is the defect that is found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the helpers of tests may panic as tests do"
)]

mod asking;
mod cage;
mod dividing;
mod dropping;
mod keeping;
mod leading;
mod sorting;
mod working;

use std::{future::Future, time::Duration};

use eventcore_memory::InMemoryProjections;
use eventcore_testing::projection_contract::{CLAUSES, Harness, handles};

use self::cage::{Caged, Healthy, Slow, Specimen};

// Nothing is wrong with it: the awaits of a database, before every operation and after it, change no answer.
eventcore_testing::projection_suite!(waiting, async || Caged::<Slow>::default());

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

fn caged<S: Specimen>() -> Harness<Caged<S>> {
    let caged = Caged::<S>::default();
    let again = caged.clone();
    Harness::new(caged).reopen_with(move || {
        let again = again.clone();
        async move { again }
    })
}

macro_rules! zoo {
    ($($name:ident: $group:ident::$specimen:ident fails $promise:ident::$clause:ident;)*) => {
        mod zoo {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    use eventcore_testing::projection_contract::$promise::$clause;
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
    starting_late_is_caught: leading::StartsAfterTheFirstEvent
        fails leases::a_first_claim_starts_at_the_beginning;
    counting_epochs_by_partition_is_caught: leading::CountsEpochsByPartition
        fails leases::epochs_rise_with_every_grant;
    forgetting_epochs_with_the_lease_is_caught: leading::ForgetsEpochsWithTheLease
        fails leases::epochs_rise_with_every_grant;
    forgetting_epochs_of_the_removed_is_caught: leading::ForgetsEpochsOfTheRemoved
        fails leases::epochs_rise_with_every_grant;
    fencing_no_leader_of_the_removed_is_caught: leading::ForgetsEpochsOfTheRemoved
        fails upkeep::a_removal_fences_the_leader;
    granting_anybody_is_caught: leading::GrantsAnybody
        fails leases::a_running_lease_holds_others_off;
    granting_after_a_look_is_caught: leading::GrantsAfterALook
        fails leases::of_many_claimants_one_is_granted;
    holding_the_owner_off_is_caught: leading::HoldsTheOwnerOff
        fails leases::an_owner_may_claim_again;
    leading_versions_together_is_caught: leading::LeadsVersionsTogether
        fails leases::each_partition_is_led_for_itself;
    keeping_whole_labels_is_caught: leading::KeepsWholeLabels
        fails leases::labels_are_kept_up_to_200_bytes;
    wrapping_partitions_is_caught: leading::WrapsPartitions
        fails leases::a_partition_that_is_not_there_is_refused;

    renewing_nothing_is_caught: leading::RenewsNothing
        fails terms::renewing_gives_the_whole_time_again;
    commits_that_renew_nothing_are_caught: leading::CommitsRenewNothing
        fails terms::a_commit_gives_the_whole_time_again;
    never_running_out_is_caught: leading::NeverRunsOut
        fails terms::a_lease_that_ran_out_is_granted_to_another;
    refusing_late_renewals_is_caught: leading::RefusesLateRenewals
        fails terms::a_lease_that_ran_out_can_be_renewed;
    renewing_replaced_leases_is_caught: leading::RenewsReplacedLeases
        fails terms::a_replaced_leader_cannot_renew;
    releasing_nothing_is_caught: leading::ReleasesNothing
        fails terms::a_release_frees_at_once;
    releasing_whoever_leads_is_caught: leading::ReleasesWhoeverLeads
        fails terms::a_replaced_leader_releases_nothing;
    failing_late_releases_is_caught: leading::FailsLateReleases
        fails terms::a_replaced_leader_releases_nothing;

    fencing_nobody_is_caught: leading::FencesNobody
        fails fencing::a_replaced_leader_commits_nothing;
    fencing_at_the_beginning_only_is_caught: leading::FencesAtTheBeginningOnly
        fails fencing::a_unit_that_is_overtaken_commits_nothing;
    fencing_the_checkpoint_only_is_caught: leading::FencesTheCheckpointOnly
        fails fencing::a_unit_that_is_overtaken_commits_nothing;
    fencing_by_time_is_caught: leading::FencesByTime
        fails fencing::a_lease_that_ran_out_still_commits;
    fencing_while_somebody_leads_is_caught: leading::FencesWhileSomebodyLeads
        fails fencing::who_was_replaced_stays_fenced;
    fencing_low_epochs_only_is_caught: leading::FencesLowEpochsOnly
        fails fencing::a_grant_fences_its_own_partition_only;
    fencing_the_other_partitions_is_caught: leading::FencesTheOtherPartitions
        fails fencing::a_grant_fences_its_own_partition_only;
    fencing_units_of_the_other_partition_is_caught: leading::FencesTheOtherPartitions
        fails units::two_partitions_commit_at_the_same_time;

    committing_documents_first_is_caught: working::CommitsDocumentsFirst
        fails units::readers_never_see_part_of_a_unit;
    committing_the_checkpoint_first_is_caught: working::CommitsTheCheckpointFirst
        fails units::readers_never_see_part_of_a_unit;
    leaving_half_of_a_dropped_commit_is_caught: working::CommitsDocumentsFirst
        fails cancel::a_dropped_commit_is_whole_or_nothing;
    writing_through_is_caught: working::WritesThrough
        fails units::a_unit_appears_whole_at_its_commit;
    keeping_what_was_dropped_is_caught: working::WritesThrough
        fails units::a_dropped_unit_leaves_nothing;
    committing_when_dropped_is_caught: working::CommitsWhenDropped
        fails units::a_dropped_unit_leaves_nothing;
    committing_what_a_dropped_call_left_is_caught: working::CommitsWhenDropped
        fails cancel::a_dropped_unit_leaves_the_store_usable;
    committing_after_a_panic_is_caught: working::CommitsWhenDropped
        fails cancel::a_panicking_projection_fails_alone;
    loading_what_is_committed_only_is_caught: working::LoadsWhatIsCommittedOnly
        fails units::a_unit_sees_its_own_changes;
    loading_its_own_partition_only_is_caught: working::LoadsItsOwnPartitionOnly
        fails units::a_unit_sees_what_was_committed;
    the_first_change_that_counts_is_caught: working::TheFirstChangeCounts
        fails units::the_last_change_of_a_key_counts;
    deleting_nothing_is_caught: working::DeletesNothing
        fails units::a_deleted_document_is_gone;
    losing_the_witness_is_caught: working::LosesTheWitness
        fails units::a_checkpoint_comes_back;

    folding_keys_is_caught: working::FoldsKeys
        fails documents::keys_are_told_apart_byte_for_byte;
    sorting_folded_keys_is_caught: working::FoldsKeys
        fails documents::all_documents_come_by_the_bytes_of_their_keys;
    cutting_keys_is_caught: working::CutsKeys
        fails documents::keys_are_told_apart_byte_for_byte;
    returning_what_it_finds_is_caught: working::ReturnsWhatItFinds
        fails documents::documents_come_in_the_order_of_the_keys;
    answering_in_the_order_of_the_index_is_caught: working::AnswersInTheOrderOfTheIndex
        fails documents::documents_come_in_the_order_of_the_keys;
    taking_too_few_keys_is_caught: working::TakesTooFewKeys
        fails documents::thousands_of_keys_go_at_once;
    loading_from_the_active_version_is_caught: working::LoadsFromTheActiveVersion
        fails documents::versions_do_not_see_each_others_documents;
    parsing_documents_is_caught: working::ParsesDocuments
        fails values::documents_come_back_byte_for_byte;
    cutting_large_documents_is_caught: working::CutsLargeDocuments
        fails values::large_documents_are_taken;

    activating_with_the_claim_is_caught: working::ActivatesWithTheClaim
        fails versions::the_first_version_claimed_is_active;
    activating_nothing_is_caught: working::ActivatesNothing
        fails versions::activation_comes_with_the_commit;
    activating_unasked_is_caught: working::ActivatesUnasked
        fails versions::activation_comes_with_the_commit;
    activating_before_the_commit_is_caught: working::ActivatesBeforeTheCommit
        fails versions::readers_are_switched_in_one_step;
    activating_for_anybody_is_caught: working::ActivatesForAnybody
        fails versions::who_was_replaced_activates_nothing;
    activating_one_partition_is_caught: working::ActivatesOnePartition
        fails versions::one_partition_activates_for_all;

    resets_that_leave_documents_are_caught: keeping::ResetsLeaveDocuments
        fails upkeep::a_reset_clears_everything;
    resets_that_leave_letters_are_caught: keeping::ResetsLeaveLetters
        fails upkeep::a_reset_clears_everything;
    resets_that_leave_divisions_are_caught: keeping::ResetsLeaveDivisions
        fails upkeep::a_reset_clears_everything;
    resets_that_fence_nobody_are_caught: keeping::ResetsFenceNobody
        fails upkeep::a_reset_fences_the_leader;
    removing_the_active_version_is_caught: keeping::RemovesTheActiveVersion
        fails upkeep::the_active_version_is_not_removed;
    keeping_the_only_version_is_caught: keeping::KeepsTheOnlyVersion
        fails upkeep::the_only_version_is_removed;
    removals_that_leave_documents_are_caught: keeping::RemovalsLeaveDocuments
        fails upkeep::a_removed_version_leaves_nothing;
    removals_that_leave_letters_are_caught: keeping::RemovalsLeaveLetters
        fails upkeep::a_removed_version_leaves_nothing;
    resetting_into_being_is_caught: keeping::ResetsIntoBeing
        fails upkeep::what_is_unknown_is_left_alone;
    showing_claimed_partitions_only_is_caught: keeping::ShowsClaimedPartitionsOnly
        fails upkeep::standings_tell_all;
    counting_skipped_as_waiting_is_caught: keeping::CountsSkippedAsWaiting
        fails upkeep::standings_tell_all;
    repeating_names_is_caught: keeping::RepeatsNames
        fails upkeep::names_are_listed_in_order;

    cutting_errors_is_caught: dividing::CutsErrors
        fails letters::letters_come_back_as_they_were_buried;
    refusing_nul_is_caught: dividing::RefusesNul
        fails letters::any_error_can_be_buried;
    keeping_the_first_letter_is_caught: dividing::KeepsTheFirstLetter
        fails letters::burying_again_replaces;
    reviving_nothing_is_caught: dividing::RevivesNothing
        fails letters::reviving_removes_a_letter;
    listing_by_partition_is_caught: dividing::ListsByPartition
        fails letters::letters_are_listed_by_position;
    repeating_the_last_letter_is_caught: dividing::RepeatsTheLastLetter
        fails letters::letters_are_listed_by_position;
    seeing_letters_of_all_partitions_is_caught: dividing::SeesLettersOfAllPartitions
        fails letters::a_unit_sees_its_own_waiting_letters;
    forgetting_what_is_behind_is_caught: dividing::ForgetsWhatIsBehind
        fails letters::a_unit_sees_its_own_waiting_letters;
    replaying_what_was_skipped_is_caught: dividing::ReplaysWhatWasSkipped
        fails letters::replay_marks_what_is_parked_or_behind;
    replaying_nothing_is_caught: dividing::ReplaysNothing
        fails letters::replay_marks_what_is_parked_or_behind;

    dividing_at_the_highest_is_caught: dividing::DividesAtTheHighest
        fails division::a_new_division_starts_at_the_lowest_checkpoint;
    forgetting_divisions_is_caught: dividing::ForgetsDivisions
        fails division::a_new_division_starts_at_the_lowest_checkpoint;
    losing_the_witness_in_a_division_is_caught: dividing::LosesTheWitnessInADivision
        fails division::a_new_division_starts_at_the_lowest_checkpoint;
    forgetting_older_divisions_is_caught: dividing::ForgetsOlderDivisions
        fails division::divisions_are_remembered_over_divisions;
    dividing_while_somebody_leads_is_caught: dividing::DividesWhileSomebodyLeads
        fails division::it_is_not_divided_while_somebody_leads;
    leading_two_divisions_is_caught: dividing::DividesWhileSomebodyLeads
        fails division::of_two_divisions_one_is_led;
    dividing_while_letters_wait_is_caught: dividing::DividesWhileLettersWait
        fails division::it_is_not_divided_while_letters_wait;
    divisions_that_fence_nobody_are_caught: dividing::DivisionsFenceNobody
        fails division::leaders_of_the_old_division_are_fenced;

    comparing_numbers_by_value_is_caught: asking::ComparesNumbersByValue
        fails queries::conditions_compare_what_is_written;
    comparing_without_quotes_is_caught: asking::ComparesWithoutQuotes
        fails queries::conditions_compare_what_is_written;
    folding_texts_is_caught: asking::FoldsTexts
        fails queries::texts_are_compared_byte_for_byte;
    ending_texts_at_nul_is_caught: asking::EndsTextsAtNul
        fails queries::texts_are_compared_byte_for_byte;
    any_condition_that_will_do_is_caught: asking::AnyConditionWillDo
        fails queries::several_conditions_hold_together;
    paths_that_lead_through_lists_are_caught: asking::PathsLeadThroughLists
        fails queries::paths_lead_through_objects;
    paths_of_one_name_are_caught: asking::PathsHaveOneName
        fails queries::paths_lead_through_objects;
    wrapping_the_window_is_caught: asking::WrapsTheWindow
        fails queries::pages_are_windows_of_the_whole;
    paging_before_it_looks_is_caught: asking::PagesBeforeItLooks
        fails queries::pages_are_windows_of_the_whole;
    returning_what_it_parsed_is_caught: asking::ReturnsWhatItParsed
        fails queries::queries_return_documents_as_they_were_put;
    taking_missing_for_null_is_caught: sorting::TakesMissingForNull
        fails sorting::kinds_of_values_come_one_after_the_other;
    having_the_missing_last_is_caught: sorting::HasTheMissingLast
        fails sorting::kinds_of_values_come_one_after_the_other;
    reversing_ties_is_caught: sorting::ReversesTies
        fails sorting::kinds_of_values_come_one_after_the_other;
    shuffling_ties_is_caught: sorting::ShufflesTies
        fails sorting::pages_of_equal_values_overlap_nowhere;
    sorting_numbers_as_text_is_caught: sorting::SortsNumbersAsText
        fails sorting::numbers_are_sorted_by_value;
    sorting_integers_exactly_is_caught: sorting::SortsIntegersExactly
        fails sorting::numbers_are_sorted_by_value;
    collating_texts_is_caught: sorting::CollatesTexts
        fails sorting::texts_are_sorted_by_bytes;
    sorting_plain_texts_is_caught: sorting::SortsPlainTexts
        fails sorting::texts_are_sorted_by_bytes;
    sorting_what_has_the_field_is_caught: sorting::SortsWhatHasTheField
        fails sorting::a_field_that_is_nowhere_sorts_nothing;

    staying_busy_when_dropped_is_caught: dropping::StaysBusyWhenDropped
        fails cancel::a_dropped_claim_leaves_the_store_usable;
    losing_a_connection_per_dropped_unit_is_caught: dropping::LosesAConnectionPerDroppedUnit
        fails cancel::a_dropped_unit_leaves_the_store_usable;
    losing_a_connection_per_dropped_question_is_caught: dropping::LosesAConnectionPerDroppedQuestion
        fails cancel::a_dropped_question_changes_nothing;
    resetting_in_two_steps_is_caught: dropping::ResetsInTwoSteps
        fails cancel::dropped_upkeep_is_whole_or_nothing;
}

/// Opened again with nothing in it.
#[tokio::test(flavor = "multi_thread")]
async fn forgetting_everything_when_reopened_is_caught() {
    let fresh = || async { InMemoryProjections::<()>::new() };
    let forgetful = Harness::new(InMemoryProjections::<()>::new()).reopen_with(fresh);
    let found = fault(handles::reopening_keeps_everything(forgetful)).await;
    assert!(found.is_some(), "everything was forgotten, unnoticed");
}

/// Each handle has data of its own.
#[tokio::test(flavor = "multi_thread")]
async fn two_handles_with_two_stores_are_caught() {
    let fresh = || async { InMemoryProjections::<()>::new() };
    let apart = Harness::new(InMemoryProjections::<()>::new()).reopen_with(fresh);
    let found = fault(handles::two_handles_are_one_store(apart)).await;
    assert!(found.is_some(), "two stores were taken for one");
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
