//! A lease lasts as long as was said, from the last renewal on.

use std::time::Duration;

use eventcore::projection::{Claim, Claimed, Lease, ProjectionStore};
use tokio::time::Instant;

use super::{
    Harness,
    kit::{
        LONG, claim, commit, lead, must_be_fenced, projection, release, renew, standing, wish, work,
    },
};

/// What clocks of two machines, and the rounding of a store, may differ by.
const SLACK: Duration = Duration::from_millis(60);

/// How long the lease lasts yet, by the store.
async fn left<S: ProjectionStore>(store: &S, lease: &Lease) -> Duration {
    let shown = standing(store, &lease.projection, lease.partition).await;
    let (leader, left) = shown.leader.expect("a lease of ten minutes is running");
    assert_eq!(leader.id, lease.owner.id);
    left
}

/// Checks that it was as good as new at a moment after `renewed`, however slow the machine is.
async fn must_be_renewed<S: ProjectionStore>(store: &S, lease: &Lease, renewed: Instant, by: &str) {
    let left = left(store, lease).await;
    assert!(
        left + renewed.elapsed() + SLACK >= LONG,
        "{by} gives a lease its whole time again; of {LONG:?} there were {left:?} left after {:?}",
        renewed.elapsed()
    );
}

/// Checks that time passes at all.
async fn must_have_passed<S: ProjectionStore>(store: &S, lease: &Lease, passed: Duration) {
    let left = left(store, lease).await;
    assert!(
        left + passed <= LONG + SLACK,
        "a lease of {LONG:?} lasts {left:?} yet, {passed:?} after it was granted"
    );
}

/// The time is counted from the renewal.
pub async fn renewing_gives_the_whole_time_again<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let lease = lead(&store, &wish(&projection("renewed", 1))).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    must_have_passed(&store, &lease, Duration::from_millis(300)).await;
    let start = Instant::now();
    renew(&store, &lease).await.expect("nobody was granted it");
    must_be_renewed(&store, &lease, start, "a renewal").await;
    let shown = standing(&store, &lease.projection, 0).await;
    assert_eq!(shown.epoch, lease.epoch, "a renewal is no new grant");
}

/// A leader that works need not renew.
pub async fn a_commit_gives_the_whole_time_again<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let lease = lead(&store, &wish(&projection("committed", 1))).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    must_have_passed(&store, &lease, Duration::from_millis(300)).await;
    let start = Instant::now();
    commit(&store, &lease, &work(1)).await;
    must_be_renewed(&store, &lease, start, "a commit").await;
}

/// A leader that was not heard of for the time of its lease is replaced, at its place in the log.
pub async fn a_lease_that_ran_out_is_granted_to_another<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("expired", 1);
    let short = Claim {
        ttl: harness.short_ttl(),
        ..wish(&id)
    };
    let first = lead(&store, &short).await;
    commit(&store, &first, &work(7).put("a", "1")).await;
    harness.let_leases_run_out().await;
    let shown = standing(&store, &id, 0).await;
    assert_eq!(shown.leader, None, "a lease that ran out leads nobody");
    let second = lead(&store, &wish(&id)).await;
    assert_eq!(
        second.checkpoint.position.get(),
        7,
        "it goes on where the first one stood"
    );
    assert!(second.epoch > first.epoch);
}

/// A leader that slept too long but was not missed goes on.
pub async fn a_lease_that_ran_out_can_be_renewed<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("late", 1);
    let short = Claim {
        ttl: harness.short_ttl(),
        ..wish(&id)
    };
    let lease = lead(&store, &short).await;
    harness.let_leases_run_out().await;
    // It leads for a long time from here on.
    let lease = Lease { ttl: LONG, ..lease };
    let start = Instant::now();
    renew(&store, &lease)
        .await
        .expect("nobody else was granted it");
    must_be_renewed(&store, &lease, start, "a renewal").await;
    let claimed = claim(&store, &wish(&id)).await;
    assert!(
        matches!(claimed, Claimed::Held { .. }),
        "it holds others off again: {claimed:?}"
    );
}

/// Who was replaced is told so, and the new leader stays.
pub async fn a_replaced_leader_cannot_renew<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("replaced", 1);
    let old = lead(&store, &wish(&id)).await;
    release(&store, &old).await;
    let new = lead(&store, &wish(&id)).await;
    must_be_fenced(
        renew(&store, &old).await,
        &old,
        "renewing a lease that was replaced",
    );
    let shown = standing(&store, &id, 0).await;
    assert_eq!(
        (shown.epoch, shown.leader.map(|(leader, _)| leader.id)),
        (new.epoch, Some(new.owner.id)),
        "the new leader leads on"
    );
    release(&store, &new).await;
    must_be_fenced(
        renew(&store, &old).await,
        &old,
        "the new lease is over, and the old one is not back",
    );
    lead(&store, &wish(&id)).await;
}

/// A leader that stops need not be waited for.
pub async fn a_release_frees_at_once<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("released", 1);
    let first = lead(&store, &wish(&id)).await;
    commit(&store, &first, &work(9)).await;
    release(&store, &first).await;
    let shown = standing(&store, &id, 0).await;
    assert_eq!(
        (shown.leader, shown.epoch),
        (None, first.epoch),
        "nobody leads after a release"
    );
    release(&store, &first).await;
    let second = lead(&store, &wish(&id)).await;
    assert_eq!(second.checkpoint.position.get(), 9);
}

/// It is late, and what it would end is not its own.
pub async fn a_replaced_leader_releases_nothing<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("released-late", 1);
    let wishes = wish(&id);
    let old = lead(&store, &wishes).await;
    release(&store, &old).await;
    let new = lead(&store, &wish(&id)).await;
    release(&store, &old).await;
    let claimed = claim(&store, &wish(&id)).await;
    assert!(
        matches!(&claimed, Claimed::Held { owner, .. } if owner.id == new.owner.id),
        "{new:?} is running, and a claim came to {claimed:?} after its predecessor released once more"
    );
    // The same owner with an older epoch is late too.
    let newer = lead(
        &store,
        &Claim {
            owner: new.owner.clone(),
            ..wishes
        },
    )
    .await;
    release(&store, &new).await;
    let shown = standing(&store, &id, 0).await;
    assert_eq!((shown.epoch, shown.leader.is_some()), (newer.epoch, true));
}
