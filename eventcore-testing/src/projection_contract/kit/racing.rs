//! Tasks at the same time, units that are overtaken, futures that are dropped.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use eventcore::projection::{
    Claim, Claimed, Lease, Progress, ProjectionStore, ProjectionStoreError, UnitOfWork,
};
use tokio::task::JoinHandle;

use super::{PATIENCE, claim, granted, must_be_fenced};

/// The results of tasks; a panic in one is a panic here, at once: others may be waiting for it.
pub(in crate::projection_contract) async fn join<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    match futures_util::future::try_join_all(tasks).await {
        Ok(results) => results,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => panic!("a task of the suite was stopped: {error}"),
        },
    }
}

/// Polls work a number of times, waits a while, and drops it; its result if it was done before.
pub(in crate::projection_contract) async fn dropped_after<T>(
    polls: usize,
    linger: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    let mut left = polls;
    let done = poll_fn(|cx| {
        left = left.saturating_sub(1);
        match work.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    if done.is_none() && !linger.is_zero() {
        tokio::time::sleep(linger).await;
    }
    done
}

/// Somebody takes over while a unit is open, which then tries to commit. The new lease, and whether the unit made it.
///
/// A store may let the claimant wait for the unit. Then the new leader must start from what the unit committed; in any
/// other case the unit is fenced.
pub(in crate::projection_contract) async fn overtaken<S: ProjectionStore>(
    store: &Arc<S>,
    (unit, old): (S::Unit, &Lease),
    progress: Progress,
    wish: Claim,
) -> (Lease, bool) {
    let taking = {
        let store = Arc::clone(store);
        tokio::spawn(async move { lead_at_last(&store, &wish).await })
    };
    let start = tokio::time::Instant::now();
    while !taking.is_finished() && start.elapsed() < Duration::from_secs(1) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let outcome = unit.commit(progress).await;
    let [lease] = join(vec![taking]).await.try_into().expect("one task");
    let (position, committed) = (lease.checkpoint.position, outcome.is_ok());
    if position == progress.checkpoint.position {
        assert!(
            committed,
            "{lease:?} starts from what was refused with {outcome:?}"
        );
        return (lease, true);
    }
    must_be_fenced(
        outcome.map_err(busy_is_fenced(old)),
        old,
        "somebody else was granted the partition while the unit was open, from a checkpoint before it",
    );
    (lease, false)
}

/// Asks until it is granted: who waited for a unit may find that its commit has renewed the lease.
async fn lead_at_last<S: ProjectionStore>(store: &S, wish: &Claim) -> Lease {
    let start = tokio::time::Instant::now();
    loop {
        match claim(store, wish).await {
            Claimed::Held { .. } if start.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            other => return granted(other, wish),
        }
    }
}

/// A store that finds the takeover as a conflict of transactions may say so; what counts is that nothing is written.
fn busy_is_fenced(old: &Lease) -> impl Fn(ProjectionStoreError) -> ProjectionStoreError {
    |error| {
        if error.is_retriable() {
            ProjectionStoreError::fenced(old)
        } else {
            error
        }
    }
}
