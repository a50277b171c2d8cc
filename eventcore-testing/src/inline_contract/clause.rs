//! The one list of clauses, from which tests, table and documentation are made.

/// One clause on inline read models.
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
macro_rules! __each_inline_clause {
    ({ $($then:tt)* } $($arguments:tt)*) => {
        $($then)* ! {
            { $($arguments)* }
            together {
                documents_are_there_when_an_append_returns: "no waiting: what was appended is in the documents",
                a_reader_never_sees_one_without_the_other: "no reader, at any moment, sees events without documents or documents without events",
                concurrent_increments_are_all_counted: "the documents are the fold of the log, however many write",
                an_event_is_complete_when_the_model_sees_it: "position, version, id, time and metadata are those of the log",
                a_document_may_go: "a document that a model removes is gone, and may come back",
                a_dropped_append_is_in_both_or_in_neither: "dropping an append leaves events and documents in step",
            }
            refusing {
                a_conflict_changes_nothing: "a batch that comes too late leaves the documents alone",
                a_repeated_batch_changes_nothing: "a key that is known returns its receipt and is not applied again",
                an_event_that_cannot_be_decoded_is_not_appended: "the append fails, and log and documents stay as they were",
                a_panic_of_the_model_is_a_refusal: "a model that panics refuses the append and harms nothing else",
                a_document_that_cannot_be_decoded_is_a_refusal: "a document of another shape is never written over",
                neighbours_are_not_harmed: "of many appends at once only those fail that a model cannot take",
            }
            missing {
                what_was_there_before_is_applied: "a model that is opened on a log has all of it",
                what_others_append_is_applied_first: "events of a handle without the model come first, in order",
                a_thousand_missing_events_are_applied: "the bound is 1,000 events",
                more_missing_events_refuse_the_append: "beyond the bound the append fails and says what to do",
                more_missing_events_refuse_the_opening: "a long log is a runner's work, and nothing is claimed meanwhile",
                another_log_is_refused: "a projection of another log is not gone on with",
            }
            leading {
                no_runner_leads_what_is_inline: "a claim is told that the projection is run inline",
                what_a_runner_leads_is_not_inline: "the opening fails, and says who leads",
                runners_and_inline_take_turns: "from a runner to inline and back nothing is lost or doubled",
                what_was_given_back_refuses_appends: "a store that still runs the model appends nothing",
                what_was_reset_refuses_appends: "the same after a reset, until it is opened again",
                what_is_divided_is_not_inline: "more than one partition is refused",
                what_has_letters_is_not_inline: "letters that wait are refused",
                a_new_version_takes_over: "a version that is opened inline is the one that readers see, complete",
            }
            several {
                two_models_move_together: "of two models both have an append or neither",
                two_models_of_one_name_are_refused: "a name is run once",
                two_handles_run_one_model: "processes that all run the model count each event once",
            }
        }
    };
}

macro_rules! table {
    ({} $($group:ident { $($clause:ident: $says:literal,)* })*) => {
        /// Every clause on inline read models.
        ///
        /// | clause | what it says |
        /// |---|---|
        $($(
            #[doc = concat!(
                "| [`", stringify!($group), "::", stringify!($clause), "`](crate::inline_contract::",
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

crate::__each_inline_clause! { { table } }
