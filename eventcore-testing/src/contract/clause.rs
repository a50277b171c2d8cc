//! The one list of clauses, from which tests, table and documentation are made.

use std::{fmt, pin::Pin};

use super::Harness;

/// A promise of EventCore that a store has to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Promise {
    /// P1: all events of a command become visible together or not at all.
    Atomic,
    /// P2: a commit succeeds only if every stream that was read is where it was.
    Guarded,
    /// P3: decisions rest on a view that really existed.
    Consistent,
    /// P4: a command takes effect once.
    ExactlyOnce,
    /// P5: positions are dense and follow the order of commits.
    TotalOrder,
    /// P7: nothing is dropped in silence.
    NothingSilent,
    /// P8: dropped futures and panics harm nobody.
    CancelSafe,
    /// P9: any length is handled in bounded pieces, and limits are clear.
    Bounded,
    /// P10: the same history gives the same answers on every store.
    SameAnswer,
    /// What the store claims in its capabilities.
    Claimed,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Atomic => "P1 atomic",
            Self::Guarded => "P2 guarded",
            Self::Consistent => "P3 consistent decisions",
            Self::ExactlyOnce => "P4 exactly once",
            Self::TotalOrder => "P5 total order, no holes",
            Self::NothingSilent => "P7 nothing silent",
            Self::CancelSafe => "P8 cancel-safe",
            Self::Bounded => "P9 bounded",
            Self::SameAnswer => "P10 same answer everywhere",
            Self::Claimed => "as claimed",
        })
    }
}

/// One clause of the contract.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Clause {
    /// Its name, which is that of the function and of the test.
    pub name: &'static str,
    /// The module that it is in.
    pub group: &'static str,
    /// The promise that it is about.
    pub promise: Promise,
    /// What it holds the store to, in one line.
    pub says: &'static str,
    /// Runs it; panics when the store breaks it.
    pub run: fn(Harness) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

#[doc(hidden)]
#[macro_export]
macro_rules! __each_clause {
    ({ $($then:tt)* } $($arguments:tt)*) => {
        $($then)* ! {
            { $($arguments)* }
            Atomic atomic {
                a_batch_appears_whole_in_all_its_streams: "an acknowledged batch is in every one of its streams",
                an_acknowledged_batch_is_visible_at_once: "what was acknowledged is in the next read",
                readers_never_see_part_of_a_batch: "no reader ever sees some events of a batch without the others",
            }
            Guarded guarded {
                an_expectation_on_a_written_stream_is_checked: "a stream that is written must be at the version expected",
                an_expectation_on_a_read_only_stream_is_checked: "a stream that is only read is guarded as well",
                an_expectation_on_an_empty_stream_is_checked: "a stream that was empty when read must still be empty",
                a_conflict_names_every_stream_that_moved: "a conflict gives stream, expected and actual version of all",
                a_conflicting_batch_leaves_nothing_behind: "a refused batch leaves no event, no version and no key",
            }
            Guarded races {
                no_write_skew_through_read_only_streams: "two commands that read both streams never both write the other",
                no_phantom_first_event: "of those that saw all streams empty one writes the first event",
                no_lost_updates: "every event was decided on exactly what stood before it",
            }
            Consistent views {
                one_read_is_one_snapshot: "all streams of one read are read at one moment",
                a_long_read_stays_in_its_snapshot: "what is appended during a long read is not in it",
                a_torn_view_never_rejects: "no command is rejected because of a view that never existed",
                a_read_tells_the_event_it_begins_at: "a read gives the identity of the event at the version it is asked from",
            }
            ExactlyOnce once {
                a_key_seen_before_returns_the_first_receipt: "a repeated batch appends nothing and returns the first receipt",
                a_key_of_another_command_is_refused: "a key that comes back with another fingerprint is refused",
                a_key_is_looked_at_before_the_expectations: "a retry that meets its own events succeeds",
                one_key_at_the_same_time_has_one_effect: "concurrent batches with one key append once and agree",
                an_empty_batch_with_a_key_is_remembered: "deciding to append nothing is remembered too",
                a_kept_receipt_can_be_asked_for: "the receipt of a key can be found, and of no other",
                keys_are_compared_byte_for_byte: "keys that differ in case, space or accent are different keys",
                a_repeated_command_does_not_decide_again: "a command with a known key does not run `handle`",
                a_batch_without_a_key_may_be_sent_again: "a batch without a key is known by its first event and appended once",
                an_absent_receipt_may_be_believed: "no append takes effect that `find_receipt` did not know of, once it was under way",
            }
            TotalOrder order {
                positions_are_dense_from_one: "positions start at 1 and have no holes, also after refused batches",
                receipts_agree_with_the_log: "ids, versions and positions of a receipt are those in the log",
                stream_order_is_position_order: "under concurrent writers streams and log are in the same order",
                a_follower_sees_every_event_once: "no event ever appears below a position that was handed out",
            }
            NothingSilent loud {
                nothing_is_dropped_from_a_read: "an event that nobody can decode comes back like any other",
                an_unknown_type_stops_command_and_fold: "an unknown type is an error with stream, version and type",
                an_undecodable_payload_stops_command_and_fold: "a damaged payload is an error with stream, version and type",
            }
            CancelSafe cancel {
                a_dropped_append_is_whole_or_nothing: "dropping `append` at any await appends all or nothing",
                a_dropped_read_changes_nothing: "dropping reads at any await leaves a usable store",
                a_dropped_command_is_whole_or_nothing: "dropping `execute` at any await appends all or nothing",
                a_panicking_command_fails_alone: "a panic in `apply` or `handle` is an error and the store goes on",
            }
            Bounded paging {
                a_long_stream_is_read_whole_and_in_order: "a stream longer than any page arrives complete",
                reading_after_a_version_gives_the_rest: "a read after a version starts with the next event",
                several_long_streams_are_merged_by_position: "events of several streams come in global order",
                the_log_is_read_whole_by_any_page_size: "pages of 1, 7 and 10,000 events give the same log",
                the_end_of_the_log_is_said_truly: "`at_end` and `next` are right on empty, full and filtered pages",
                chunks_and_pages_are_bounded_in_bytes: "chunks and pages of large events end in time, and leave nothing out",
            }
            Bounded filters {
                filters_select_exactly_what_matches: "types, prefixes and streams, alone and combined, select exactly",
                a_long_span_without_a_match_is_crossed: "a filter that matches rarely still finds everything",
            }
            Bounded limits {
                the_largest_batch_is_taken: "100,000 events go in at once, one more is refused by the builder",
                the_widest_batch_is_guarded: "10,000 expectations are all checked, and as many streams read at once",
                a_large_payload_is_taken: "a payload of 8 MiB comes back",
                a_hot_stream_does_not_storm: "64 commands at once on one stream all succeed with few attempts",
            }
            SameAnswer values {
                payloads_come_back_byte_for_byte: "JSON in any spelling, and bytes that are no JSON, are not touched",
                types_and_schemas_come_back: "any type name and any schema version comes back",
                metadata_comes_back_byte_for_byte: "metadata text, correlation and causation come back",
                times_come_back_to_the_microsecond: "times from year 1 to 9999 come back exactly",
            }
            SameAnswer names {
                stream_names_are_told_apart_byte_for_byte: "names that differ in case, accent or form are different streams",
                prefixes_are_literal: "`_`, `%`, `\\`, `*` and letters of a prefix mean themselves",
                types_are_told_apart_byte_for_byte: "a filter by type is exact",
            }
            SameAnswer answers {
                the_same_history_gives_the_same_answers: "a fixed script gives the answers it gives on every store",
                a_stream_asked_for_twice_comes_once: "asking twice for a stream gives its events once, from the lower version",
                reading_nothing_gives_nothing: "a read of no streams is empty, as are streams that do not exist",
                a_store_behind_a_pointer_is_a_store: "references, boxes and `Arc<dyn EventStore>` do the same",
            }
            Claimed claims {
                capabilities_are_as_declared: "the store claims what its tests declare",
                reopening_keeps_everything: "a durable store has events, keys and order when it is opened again",
                two_handles_guard_each_other: "a store for several processes keeps its promises between two of them",
            }
        }
    };
}

macro_rules! table {
    ({} $($promise:ident $group:ident { $($clause:ident: $says:literal,)* })*) => {
        /// Every clause of the contract.
        ///
        /// | clause | what it says |
        /// |---|---|
        $($(
            #[doc = concat!(
                "| [`", stringify!($group), "::", stringify!($clause), "`](crate::contract::",
                stringify!($group), "::", stringify!($clause), ") | ", $says, " |"
            )]
        )*)*
        pub const CLAUSES: &[Clause] = &[$($(
            Clause {
                name: stringify!($clause),
                group: stringify!($group),
                promise: Promise::$promise,
                says: $says,
                run: |harness| Box::pin(super::$group::$clause(harness)),
            },
        )*)*];
    };
}

crate::__each_clause! { { table } }
