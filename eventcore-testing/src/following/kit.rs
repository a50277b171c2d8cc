//! The words that clauses are written in.

mod log;
mod models;
mod runners;
mod watched;
mod writers;

use std::{future::Future, time::Duration};

use eventcore::{EventFilter, GlobalPosition, StartFrom, StreamId, Subscription, store::PageSize};
use tokio::task::JoinHandle;

pub(super) use self::{
    log::{Store, append, batch, log, patiently, positions, raw, steps, walk},
    models::{
        Expected, Fails, Ledger, Tallies, expect_ledger, expect_sums, expect_tallies, fold,
        ledger_fold, ledger_id, tallies, tallies_id,
    },
    runners::{Running, TICK, is_live, leads, ledger, standing, tally, unlucky},
    watched::{Moment, Watch, Watched},
    writers::{Writers, dropped_after},
};

/// Longer than anything takes that a clause waits for.
pub(super) const SOON: Duration = Duration::from_secs(30);

/// Longer than any clause.
pub(super) const HOUR: Duration = Duration::from_hours(1);

pub(super) fn stream(name: impl AsRef<str>) -> StreamId {
    StreamId::try_new(name).expect("the suite's stream names are valid")
}

pub(super) fn at(position: u64) -> GlobalPosition {
    GlobalPosition::try_new(position).expect("the suite's positions are allowed")
}

pub(super) fn page_size(events: usize) -> PageSize {
    PageSize::try_from(events).expect("the suite's page sizes are allowed")
}

/// A reader of everything that polls often.
pub(super) fn follow(store: &Store, from: impl Into<StartFrom>) -> Subscription<'static> {
    eventcore::subscribe(store.clone(), from, EventFilter::all()).poll_every(TICK)
}

/// What work comes to, which must be soon.
pub(super) async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    let Ok(result) = tokio::time::timeout(SOON, work).await else {
        panic!("{what}: promised, and not so after {SOON:?}");
    };
    result
}

/// Waits until something is so, which must be soon.
pub(super) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    soon(what, async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    })
    .await;
}

/// The results of tasks; a panic in one is a panic here, at once: others may be waiting for it.
pub(super) async fn join<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    match futures_util::future::try_join_all(tasks).await {
        Ok(results) => results,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => panic!("a task of the suite was stopped: {error}"),
        },
    }
}
