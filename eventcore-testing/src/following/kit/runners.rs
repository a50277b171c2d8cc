//! Projections that run, with the settings of the suite.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use eventcore::{
    RetryPolicy,
    projection::{
        FailurePolicy, ProjectionId, ProjectionState, ProjectionStore, RunningProjection, Standing,
        project, run_projection,
    },
    store::PageSize,
};

use super::{
    Store,
    log::patiently,
    models::{Fails, Ledger, Tallies, Unlucky},
    page_size,
};

/// How often runners and readers poll.
pub(in crate::following) const TICK: Duration = Duration::from_millis(15);

pub(in crate::following) type Running<V> = RunningProjection<Arc<V>>;

/// The size of pages: several to most logs of the suite.
fn pages() -> PageSize {
    page_size(100)
}

/// Runs the read model.
pub(in crate::following) fn tally<const VERSION: u32, V: ProjectionStore>(
    store: &Store,
    views: &Arc<V>,
    ttl: Duration,
) -> Running<V> {
    project(Tallies::<VERSION>, store, views)
        .lease(ttl)
        .poll_every(TICK)
        .page_size(pages())
        .start()
        .expect("the suite's names are valid")
}

/// Runs the ledger.
pub(in crate::following) fn ledger<V: ProjectionStore>(
    store: &Store,
    views: &Arc<V>,
    ttl: Duration,
) -> Running<V> {
    run_projection(Ledger::default(), store, views)
        .lease(ttl)
        .poll_every(TICK)
        .page_size(pages())
        .start()
        .expect("the suite's names are valid")
}

/// Runs the ledger that has bad luck, trying each event twice.
pub(in crate::following) fn unlucky<V: ProjectionStore>(
    (store, views): (&Store, &Arc<V>),
    fails: Fails,
    healed: &Arc<AtomicBool>,
    policy: FailurePolicy,
) -> Running<V> {
    let twice = RetryPolicy::fixed(Duration::from_millis(2)).max_attempts(2);
    run_projection(Unlucky::new(fails, healed), store, views)
        .on_failure(policy.retry(twice))
        .poll_every(TICK)
        .page_size(pages())
        .start()
        .expect("the suite's names are valid")
}

/// Whether it leads, as far as it knows.
pub(in crate::following) fn leads<V: ProjectionStore>(running: &Running<V>) -> bool {
    let led = |state| matches!(state, ProjectionState::Live | ProjectionState::CatchingUp);
    running
        .status()
        .partitions
        .iter()
        .any(|partition| led(partition.state))
}

pub(in crate::following) fn is_live<V: ProjectionStore>(running: &Running<V>) -> bool {
    running.status().is_live()
}

/// Where a partition stands.
pub(in crate::following) async fn standing<V: ProjectionStore>(
    views: &V,
    of: &ProjectionId,
    partition: u32,
) -> Option<Standing> {
    let standings = patiently!(views.standings(&of.name))
        .unwrap_or_else(|error| panic!("the standings of {of} cannot be had: {error:?}"));
    let mut mine = standings
        .into_iter()
        .filter(|standing| standing.projection == *of);
    mine.find(|standing| standing.partition == partition)
}
