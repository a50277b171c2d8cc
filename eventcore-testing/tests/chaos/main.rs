//! The executor on a store in which things go wrong.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

mod bank;
mod cancelled;
mod contention;
mod discovery;
mod lost;
mod panics;
mod retries;
mod wrapper;
