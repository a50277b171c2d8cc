//! The one list of clauses, from which tests, table and documentation are made.

/// One clause of the contract of stores of projections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Clause {
    /// Its name, which is that of the function and of the test.
    pub name: &'static str,
    /// The module that it is in.
    pub group: &'static str,
    /// What it holds the store to, in one line.
    pub says: &'static str,
}

#[doc(hidden)]
#[macro_export]
macro_rules! __each_projection_clause {
    ({ $($then:tt)* } $($arguments:tt)*) => {
        $($then)* ! {
            { $($arguments)* }
            leases {
                a_first_claim_starts_at_the_beginning: "a version that was never claimed starts before the first event",
                epochs_rise_with_every_grant: "whatever comes between two grants, the later has the higher epoch",
                a_running_lease_holds_others_off: "while a lease runs others are told who leads, and how long yet",
                an_owner_may_claim_again: "the owner is granted its partition at any time, with a new epoch",
                each_partition_is_led_for_itself: "names, versions and partitions have leaders each",
                of_many_claimants_one_is_granted: "of claims at the same moment exactly one is granted",
                labels_are_kept_up_to_200_bytes: "a label is cut between two characters, at 200 bytes at most",
                a_partition_that_is_not_there_is_refused: "partition 2 of 2 cannot be claimed",
            }
            terms {
                renewing_gives_the_whole_time_again: "a renewed lease lasts its whole time, counted from the renewal",
                a_commit_gives_the_whole_time_again: "a commit renews the lease",
                a_lease_that_ran_out_is_granted_to_another: "a leader that was not heard of is replaced",
                a_lease_that_ran_out_can_be_renewed: "as long as nobody took over, a late renewal is good",
                a_replaced_leader_cannot_renew: "a renewal does not bring a replaced lease back",
                a_release_frees_at_once: "what was released can be claimed in the same moment",
                a_replaced_leader_releases_nothing: "a late release leaves the new leader alone, and is no error",
            }
            fencing {
                a_replaced_leader_commits_nothing: "after a takeover nothing of the old leader appears",
                a_unit_that_is_overtaken_commits_nothing: "a unit that was open during a takeover is fenced as well",
                who_was_replaced_stays_fenced: "the old leader is fenced also when the new one is gone again",
                a_lease_that_ran_out_still_commits: "time alone fences nobody",
                a_grant_fences_its_own_partition_only: "an epoch is good for its own partition only",
            }
            units {
                a_unit_appears_whole_at_its_commit: "all of a unit appears at its commit, not before",
                readers_never_see_part_of_a_unit: "no reader sees documents beside another checkpoint",
                a_dropped_unit_leaves_nothing: "a unit that is dropped is rolled back, as often as it happens",
                a_unit_sees_its_own_changes: "what a unit has put, deleted, buried and revived is what it reads",
                a_unit_sees_what_was_committed: "documents of the other partitions can be loaded",
                the_last_change_of_a_key_counts: "of several changes of a key the last one counts",
                a_deleted_document_is_gone: "a deleted document is not found, and can be put again",
                a_checkpoint_comes_back: "position and witness come back exactly",
                two_partitions_commit_at_the_same_time: "units of two partitions do not spoil each other",
            }
            documents {
                keys_are_told_apart_byte_for_byte: "keys that differ in any byte are different keys",
                all_documents_come_by_the_bytes_of_their_keys: "without a sort, documents come by key bytes",
                documents_come_in_the_order_of_the_keys: "one answer for each key, repeated and unknown ones too",
                thousands_of_keys_go_at_once: "70,000 keys can be asked for at once",
                versions_do_not_see_each_others_documents: "a unit sees documents of its own version only",
            }
            values {
                documents_come_back_byte_for_byte: "JSON in any spelling is not touched",
                large_documents_are_taken: "a document of 4 MiB and a unit of 1000 documents are committed",
            }
            versions {
                the_first_version_claimed_is_active: "readers see the first version that was claimed",
                activation_comes_with_the_commit: "readers see another version from the commit on that activates it",
                readers_are_switched_in_one_step: "no reader sees neither, both, or half of two versions",
                who_was_replaced_activates_nothing: "a fenced leader does not switch readers",
                one_partition_activates_for_all: "all partitions of a version are active together",
            }
            upkeep {
                a_reset_clears_everything: "a reset leaves a projection at the start of the log, and others alone",
                a_reset_fences_the_leader: "nothing of a leader from before a reset appears after it",
                the_active_version_is_not_removed: "the version that readers see stays while there are others",
                the_only_version_is_removed: "a version without others goes, with its name",
                a_removed_version_leaves_nothing: "claimed again, a removed version is new",
                a_removal_fences_the_leader: "nothing of a leader from before a removal appears after it",
                what_is_unknown_is_left_alone: "upkeep of a version that nobody claimed does nothing",
                standings_tell_all: "standings show every partition of every version, claimed or not",
                names_are_listed_in_order: "all names, each once, by bytes",
            }
            letters {
                letters_come_back_as_they_were_buried: "every field of a letter comes back",
                any_error_can_be_buried: "no error text keeps a letter from being buried",
                burying_again_replaces: "one letter for a position and partition, the last one",
                reviving_removes_a_letter: "a revived letter is gone, and no other",
                letters_are_listed_by_position: "letters come by position and partition, in pages",
                a_unit_sees_its_own_waiting_letters: "a leader sees what waits in its partition",
                replay_marks_what_is_parked_or_behind: "a replay marks what waits, and says how many",
            }
            division {
                a_new_division_starts_at_the_lowest_checkpoint: "nothing is missed or repeated after it",
                divisions_are_remembered_over_divisions: "what older divisions know is kept as long as it matters",
                it_is_not_divided_while_somebody_leads: "a projection that is led stays divided as it is",
                it_is_not_divided_while_letters_wait: "a projection with letters that wait stays divided as it is",
                leaders_of_the_old_division_are_fenced: "epochs of an old division are worth nothing, in any later one",
                of_two_divisions_one_is_led: "of claimants who disagree, one number wins",
            }
            queries {
                conditions_compare_what_is_written: "1, 1.0, \"1\" and true are four values",
                texts_are_compared_byte_for_byte: "texts with quotes, NUL, patterns and any script are found exactly",
                several_conditions_hold_together: "all conditions hold, and no field is no match",
                paths_lead_through_objects: "a path names fields of objects, not places of lists",
                pages_are_windows_of_the_whole: "skip and take, within and far beyond the end",
                queries_return_documents_as_they_were_put: "documents come as they were put, of the active version",
            }
            sorting {
                kinds_of_values_come_one_after_the_other: "missing, null, booleans, numbers, texts, all else; then by key",
                numbers_are_sorted_by_value: "numbers of any spelling are sorted as f64",
                texts_are_sorted_by_bytes: "texts are sorted as JSON writes them, by bytes",
                a_field_that_is_nowhere_sorts_nothing: "without values all come by key, both ways",
                pages_of_equal_values_overlap_nowhere: "pages put together are the whole, also among equals",
            }
            cancel {
                a_dropped_claim_leaves_the_store_usable: "dropping `claim`, `renew` and `release` at any await is safe",
                a_dropped_unit_leaves_the_store_usable: "dropping `begin` and every call of a unit at any await is safe",
                a_dropped_commit_is_whole_or_nothing: "dropping `commit` at any await commits all or nothing",
                a_dropped_question_changes_nothing: "dropping reads at any await leaves a usable store",
                dropped_upkeep_is_whole_or_nothing: "dropping `replay`, `reset` and `remove` does all or nothing",
                a_panicking_projection_fails_alone: "a panic with an open unit rolls it back and harms nobody",
            }
            handles {
                reopening_keeps_everything: "a store that is opened again has all that was committed",
                two_handles_are_one_store: "what one handle does another one sees, and is fenced by",
            }
        }
    };
}

macro_rules! table {
    ({} $($group:ident { $($clause:ident: $says:literal,)* })*) => {
        /// Every clause of the contract of stores of projections.
        ///
        /// | clause | what it says |
        /// |---|---|
        $($(
            #[doc = concat!(
                "| [`", stringify!($group), "::", stringify!($clause), "`](crate::projection_contract::",
                stringify!($group), "::", stringify!($clause), ") | ", $says, " |"
            )]
        )*)*
        pub const CLAUSES: &[Clause] = &[$($(
            Clause {
                name: stringify!($clause),
                group: stringify!($group),
                says: $says,
            },
        )*)*];
    };
}

crate::__each_projection_clause! { { table } }
