//! Projections: what the log amounts to, each event applied once, whatever happens on the way.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

#[path = "support/counters.rs"]
mod counters;
#[path = "projections/failures.rs"]
mod failures;
#[path = "projections/leadership.rs"]
mod leadership;
#[path = "projections/models.rs"]
mod models;
#[path = "projections/rebuilds.rs"]
mod rebuilds;
#[path = "projections/running.rs"]
mod running;
#[path = "support/seed.rs"]
mod seed;
