//! What backend authors and application authors test with.
//!
//! | you want to | look at |
//! |---|---|
//! | hold a store to EventCore's promises | [`contract_suite!`], [`contract`] |
//! | see what a command does: given events, when it runs, then what | [`scenario`] |
//! | make a store fail, on purpose and at a chosen moment | [`chaos`] |
//! | generate values of every public type for property tests | [`strategies`] |
//! | drive a store against a plain model | [`model`] |
//! | have a PostgreSQL server for the time of a test | [`temp_postgres`] |
//!
//! That the contract suite bites is tested too: this crate's own tests keep a zoo of stores that are broken in one way
//! each, and every one is caught by a clause named for that way.

pub mod chaos;
pub mod contract;
pub mod model;
pub mod scenario;
pub mod strategies;
#[cfg(unix)]
pub mod temp_postgres;
