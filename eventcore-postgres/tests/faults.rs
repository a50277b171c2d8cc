//! Connections that break, stall and tear, at every moment of a command.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

#[path = "faults/bank.rs"]
mod bank;
#[path = "faults/broken.rs"]
mod broken;
#[path = "faults/in_flight.rs"]
mod in_flight;
#[path = "faults/reading.rs"]
mod reading;
#[path = "faults/stalled.rs"]
mod stalled;
mod support;
#[path = "faults/torture.rs"]
mod torture;
#[path = "faults/world.rs"]
mod world;
