//! What backend authors and application authors test with.
//!
//! | you want to | look at |
//! |---|---|
//! | hold a store to EventCore's promises | [`contract_suite!`], [`contract`] |
//! | hold a store of projections to them | [`projection_suite!`], [`projection_contract`] |
//! | hold subscriptions and running projections on a store to them | [`following_suite!`], [`following`] |
//! | hold read models that a store changes with each append to them | [`inline_suite!`], [`inline_contract`] |
//! | see what a command does: given events, when it runs, then what | [`scenario`] |
//! | make a store fail, on purpose and at a chosen moment | [`chaos`] |
//! | break, stall and tear the connections to a server | [`fault_proxy`] |
//! | check what concurrent commands saw and were told against the log | [`history`] |
//! | generate values of every public type for property tests | [`strategies`] |
//! | drive a store against a plain model | [`model`] |
//! | have a PostgreSQL server for the time of a test | [`temp_postgres`] |
//!
//! That the contract suite bites is tested too: this crate's own tests keep a zoo of stores that are broken in one way
//! each, and every one is caught by a clause named for that way.

pub mod chaos;
pub mod contract;
pub mod fault_proxy;
pub mod following;
pub mod history;
pub mod inline_contract;
pub mod model;
pub mod projection_contract;
pub mod scenario;
pub mod strategies;
#[cfg(unix)]
pub mod temp_postgres;
