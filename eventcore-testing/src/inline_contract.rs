//! What every store owes that changes read models in the transaction of each append, as tests that a backend runs in
//! its own continuous integration.
//!
//! [`inline_suite!`](crate::inline_suite) expands to one named test per clause. Each clause is a public function here
//! too, so that one can be run alone; [`CLAUSES`] lists them all. A clause takes a [`Place`] with fresh and empty
//! stores of events and of documents, and panics with what was promised and what it saw when they break the promise.
//! It runs in a Tokio runtime with several threads and time enabled.
//!
//! | group | promise |
//! |---|---|
//! | [`together`] | whoever sees the events sees the documents, and the other way round |
//! | [`refusing`] | an append that is refused changes neither, and harms no other |
//! | [`missing`] | events that a model lacks are applied first, within a bound |
//! | [`leading`] | a projection is led by a runner or run inline, never both |
//! | [`several`] | several models, and several processes |
//!
//! What they cost is measured by [`cost`].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a clause panics when the store breaks it: that is what it is for"
)]

mod clause;
pub mod cost;
mod kit;
pub mod leading;
pub mod missing;
mod place;
pub mod refusing;
pub mod several;
mod suite;
pub mod together;

#[doc(hidden)]
pub use self::suite::check;
pub use self::{
    clause::{CLAUSES, Clause},
    place::Place,
};
