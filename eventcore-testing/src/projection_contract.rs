//! What every store of projections owes, as tests that a backend runs in its own continuous integration.
//!
//! [`projection_suite!`](crate::projection_suite) expands to one named test per clause. Each clause is a public
//! function here too, so that one can be run alone; [`CLAUSES`] lists them all. A clause takes a [`Harness`] with a
//! fresh and empty [`ProjectionStore`](eventcore::projection::ProjectionStore), and panics with what was promised and
//! what it saw when the store breaks the promise. It runs in a Tokio runtime with several threads and time enabled.
//! Leases run by the store's own clock, so some clauses let a short one pass.
//!
//! Where two units are open at once, a store may let one of them wait for the other; what counts is the outcome.
//!
//! | group | promise |
//! |---|---|
//! | [`leases`] | one leader for each partition, under an epoch that only rises |
//! | [`terms`] | a lease lasts as long as was said, from the last renewal on |
//! | [`fencing`] | who was replaced writes nothing, however late |
//! | [`units`] | documents, letters and checkpoint move together |
//! | [`documents`], [`values`] | documents come back by key, byte for byte |
//! | [`versions`] | versions keep apart, and readers are switched in one step |
//! | [`upkeep`] | reset, remove, standings, names |
//! | [`letters`] | dead letters are kept until they are revived |
//! | [`division`] | a projection divided anew misses nothing and repeats nothing |
//! | [`queries`], [`sorting`] | the same answer from every store |
//! | [`cancel`] | dropped futures harm nobody |
//! | [`handles`] | what was committed is there when the store is opened again |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a clause panics when the store breaks it: that is what it is for"
)]

pub mod cancel;
mod clause;
pub mod division;
pub mod documents;
pub mod fencing;
pub mod handles;
mod harness;
mod kit;
pub mod leases;
pub mod letters;
pub mod queries;
pub mod sorting;
mod suite;
pub mod terms;
pub mod units;
pub mod upkeep;
pub mod values;
pub mod versions;

#[doc(hidden)]
pub use self::suite::check;
pub use self::{
    clause::{CLAUSES, Clause},
    harness::{Harness, IntoHarness},
};
