//! What every store owes, as tests that a backend runs in its own continuous integration.
//!
//! [`contract_suite!`](crate::contract_suite) expands to one named test per clause. Each clause is a public function
//! here too, so that one can be run alone; [`CLAUSES`] lists them all. A clause takes a [`Harness`] with a fresh and
//! empty store, and panics with what was promised and what it saw when the store breaks the promise. It runs in a
//! Tokio runtime with several threads and time enabled. Dropping a clause half way is safe: it leaves events behind in
//! its store and nothing else.
//!
//! | group | promise |
//! |---|---|
//! | [`atomic`] | all events of a batch become visible together or not at all |
//! | [`guarded`], [`races`] | a commit needs every stream to be where it was read |
//! | [`views`] | one read is one snapshot |
//! | [`once`] | a key takes effect once |
//! | [`order`] | positions are dense and in the order of commits |
//! | [`loud`] | nothing is dropped in silence |
//! | [`cancel`] | dropped futures and panics harm nobody |
//! | [`paging`], [`filters`], [`limits`] | any length is read whole, in bounded pieces |
//! | [`values`], [`names`], [`answers`] | the same answer from every store |
//! | [`claims`] | what [`Capabilities`](eventcore::store::Capabilities) claims is so |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a clause panics when the store breaks it: that is what it is for"
)]

pub mod answers;
pub mod atomic;
pub mod cancel;
pub mod claims;
mod clause;
pub mod filters;
pub mod guarded;
mod harness;
mod kit;
pub mod limits;
pub mod loud;
pub mod names;
pub mod once;
pub mod order;
pub mod paging;
mod purse;
pub mod races;
mod suite;
pub mod values;
pub mod views;

#[doc(hidden)]
pub use self::suite::{check, harness};
pub use self::{
    clause::{CLAUSES, Clause, Promise},
    harness::Harness,
};
