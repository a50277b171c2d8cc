//! What subscriptions and running projections owe on every store, as tests that a backend runs in its own continuous
//! integration.
//!
//! [`contract`](crate::contract) and [`projection_contract`](crate::projection_contract) look at a store's calls one by
//! one. Here the whole runs: writers that conflict, are slow and give up, readers that follow them, runners that die
//! and replace each other. [`following_suite!`](crate::following_suite) expands to one named test per clause. Each
//! clause is a public function here too, so that one can be run alone; [`CLAUSES`] lists them all. A clause takes a
//! [`Harness`] with a fresh and empty event store and a store of projections, and panics with what was promised and
//! what it saw when a promise is broken. It runs in a Tokio runtime with several threads and time enabled.
//!
//! | group | promise |
//! |---|---|
//! | [`seam`] | what was there, then what comes: each event once, in order, under any concurrency |
//! | [`places`] | from the start, the end, or a position; never beyond the end |
//! | [`order`] | nothing ever appears below a position that was handed out |
//! | [`filters`] | a filtered reader sees what the filter's rule lets through, and comes on where nothing is let through |
//! | [`waking`] | prompt where the store can call, and never lost where it cannot |
//! | [`pressure`] | slow readers slow nobody down, and dropped futures lose nothing |
//! | [`once`] | read models equal the fold of the log, whenever runners are stopped, dropped or killed |
//! | [`leading`] | of many runners one applies, and a late one applies nothing |
//! | [`dividing`] | partitions share the work, and come to the same in any number |
//! | [`failing`] | an event that cannot be applied is never lost silently |
//! | [`rebuilding`] | new versions, resets, and logs that are not what they were |
//! | [`waiting`] | a caller can wait for its own write |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a clause panics when the store breaks it: that is what it is for"
)]

mod clause;
pub mod dividing;
pub mod failing;
pub mod filters;
mod harness;
mod kit;
pub mod leading;
pub mod once;
pub mod order;
pub mod places;
pub mod pressure;
pub mod rebuilding;
pub mod seam;
mod suite;
pub mod waiting;
pub mod waking;

#[doc(hidden)]
pub use eventcore::projection::ProjectionStore as __ProjectionStore;

#[doc(hidden)]
pub use self::suite::check;
pub use self::{
    clause::{CLAUSES, Clause},
    harness::{Handles, Harness},
};
