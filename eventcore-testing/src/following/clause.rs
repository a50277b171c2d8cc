//! The one list of clauses, from which tests, table and documentation are made.

/// One clause on subscriptions and running projections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Clause {
    /// Its name, which is that of the function and of the test.
    pub name: &'static str,
    /// The module that it is in.
    pub group: &'static str,
    /// What it holds the stores to, in one line.
    pub says: &'static str,
}

#[doc(hidden)]
#[macro_export]
macro_rules! __each_following_clause {
    ({ $($then:tt)* } $($arguments:tt)*) => {
        $($then)* ! {
            { $($arguments)* }
            seam {
                catching_up_and_living_meet_without_a_seam: "readers that start while writers append see each event once, in order",
                a_reader_follows_through_a_flood_of_appends: "a reader follows writers that never rest and misses nothing",
                the_last_event_is_seen_without_another: "an event is seen also when none follows it",
            }
            places {
                it_begins_where_it_is_told_to: "from the start, from the end, or after a position",
                from_the_end_nothing_old_and_everything_new: "from the end, while writers append, is one place and has no hole behind it",
                a_place_beyond_the_end_is_refused: "a log that ends before the place is not waited for",
            }
            order {
                nothing_appears_below_a_place_already_read: "slow, refused and abandoned appends never fill in behind a reader",
                every_handle_reads_the_same_log: "the pages of all handles come to one and the same log",
            }
            filters {
                filters_agree_with_the_rule: "types, prefixes, exact streams and both let through what `EventFilter::matches` says",
                prefixes_are_literal: "`%`, `_`, `*` and the like in a prefix mean themselves",
                a_long_span_that_does_not_match_takes_few_pages: "a reader comes on over events that do not concern it",
                a_filtered_reader_reaches_the_end_and_goes_live: "the end is known also when the last events do not match",
            }
            waking {
                an_append_wakes_who_waits: "an append through the same store wakes a reader that would poll in an hour",
                an_append_by_another_handle_is_found: "without a call, the poll finds what another process appended",
            }
            pressure {
                a_slow_reader_is_read_ahead_for_one_page: "at most one page is on its way to a reader that is busy",
                dropped_futures_lose_nothing: "a wait dropped at any await is taken up again without hole or repeat",
                a_reader_that_comes_back_goes_on_where_it_was: "dropping a subscription and going on at its position loses nothing",
            }
            once {
                a_read_model_equals_the_fold_of_the_log: "runners stopped and dropped at random, under writers, apply each event once",
                a_custom_projection_equals_the_fold_of_the_log: "what a projection writes through its unit is there once",
                a_runner_killed_at_any_await_applies_everything_once: "effect and checkpoint are one, wherever the process dies",
                a_custom_projection_killed_at_any_await_applies_everything_once: "also with one unit for each event and a preparation",
            }
            leading {
                a_stopped_leader_is_followed_at_once: "who stops hands over, without waiting for the lease",
                a_killed_leader_is_followed_when_its_lease_runs_out: "who dies is replaced, and nothing is lost or doubled",
                a_leader_that_sleeps_before_its_transaction_is_fenced: "who wakes after a takeover applies nothing",
                a_leader_that_sleeps_in_its_transaction_applies_nothing_twice: "also when it sleeps with everything ready to commit",
                of_eight_runners_one_applies: "a storm of claims, and leaders that go, apply each event once",
            }
            dividing {
                other_numbers_of_partitions_come_to_the_same_by_key: "1, 3, 2 and 5 partitions at different places lose and repeat nothing",
                other_numbers_of_partitions_come_to_the_same_by_stream: "the same for a projection that is divided by stream",
                partitions_are_shared_between_processes: "each leads some, all are led, and together they are the fold",
            }
            failing {
                an_event_that_fails_stops_it_there: "everything before it is applied, nothing behind it, and the error names it",
                a_skipped_event_is_written_down: "a skipped event leaves a letter, and the rest is applied",
                a_parked_event_holds_back_its_stream: "later events of the stream wait, those of others are applied",
                an_event_parked_alone_holds_back_nothing: "only the event itself waits",
                what_is_replayed_is_applied_once_and_in_order: "a replay brings all that waits, also with another leader",
                what_cannot_be_decoded_is_never_dropped: "an event that cannot be decoded stops it, or leaves a letter",
                an_outage_is_no_fault_of_an_event: "a store that cannot be reached for a while stops and skips nothing",
                a_panic_is_a_failure_like_another: "a panic rolls back, follows the policy and harms no other projection",
            }
            rebuilding {
                readers_see_a_whole_version_at_all_times: "a new version takes over in one step, when it has caught up",
                a_reset_is_built_anew_while_it_runs: "a reset under a running projection comes to the fold again",
                a_build_that_is_killed_goes_on: "a build resumes where it was",
                an_older_log_is_refused: "a log that ends before the checkpoint is refused until a reset",
                another_log_is_refused: "a log with other events is refused until a reset",
            }
            waiting {
                a_caller_reads_its_own_write: "through any handle, whoever leads",
                who_waits_too_long_is_told_where_it_is: "a wait has an end, and says how far it is",
            }
        }
    };
}

macro_rules! table {
    ({} $($group:ident { $($clause:ident: $says:literal,)* })*) => {
        /// Every clause on subscriptions and running projections.
        ///
        /// | clause | what it says |
        /// |---|---|
        $($(
            #[doc = concat!(
                "| [`", stringify!($group), "::", stringify!($clause), "`](crate::following::",
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

crate::__each_following_clause! { { table } }
