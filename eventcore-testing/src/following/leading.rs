//! Of many runners one applies, and a late one applies nothing.

use std::time::Duration;

use eventcore::projection::{ProjectionState, ProjectionStore};

use super::{
    Harness,
    kit::{
        HOUR, Moment, Running, SOON, Watch, Watched, Writers, expect_tallies, is_live, leads, log,
        soon, tally, until, walk,
    },
    once::finish,
};

/// A leader that stops lets the next one lead at once, though its lease would last for an hour.
pub async fn a_stopped_leader_is_followed_at_once<V: ProjectionStore>(harness: Harness<V>) {
    let (here, there) = (harness.handles(), harness.another().await);
    // Who stands by asks again ten times in each lease.
    let ttl = Duration::from_secs(10);
    let mut first = tally::<1, V>(&here.store, &here.views, ttl);
    until("the only runner leads", async || is_live(&first)).await;
    for round in 0..3 {
        let handles = if round % 2 == 0 { &there } else { &here };
        let second = tally::<1, V>(&handles.store, &handles.views, ttl);
        let end = walk(&here.store, "walk:1", &[1, 2]).await;
        first.wait_until(end, SOON).await.unwrap();
        assert!(!leads(&second), "two lead");
        first.stop().await.unwrap();
        let end = walk(&here.store, "walk:2", &[3]).await;
        let start = tokio::time::Instant::now();
        second.wait_until(end, SOON).await.unwrap_or_else(|error| {
            panic!("the next one leads when the first has stopped: {error:?}")
        });
        assert!(
            start.elapsed() < ttl / 2,
            "it waited for the lease to run out"
        );
        first = second;
    }
    first.stop().await.unwrap();
    expect_tallies(&here.store, &*here.views, "after three stops").await;
}

/// A leader that never says anything again is replaced, and what it had begun counts for nothing.
pub async fn a_killed_leader_is_followed_when_its_lease_runs_out<V: ProjectionStore>(
    harness: Harness<V>,
) {
    let (here, there) = (harness.handles(), harness.another().await);
    let watch = Watch::over();
    let first = tally::<1, _>(
        &here.store,
        &Watched::new(&here.views, &watch),
        harness.lease(),
    );
    let end = walk(&here.store, "walk:1", &[1, 2]).await;
    first.wait_until(end, SOON).await.unwrap();
    let second = tally::<1, V>(&there.store, &there.views, harness.lease());
    // It never wakes; asleep before it begins, so that it holds nothing of the store's.
    watch.put_to_sleep_at(Moment::Begin);
    let end = walk(&here.store, "walk:1", &[3, 4]).await;
    soon("the leader to begin a transaction", watch.asleep()).await;
    second
        .wait_until(end, SOON)
        .await
        .unwrap_or_else(|error| panic!("a leader that was not heard of is replaced: {error:?}"));
    finish(second, &here.store).await;
    expect_tallies(&here.store, &*here.views, "after a takeover").await;
    drop(first);
}

/// Puts the leader to sleep at a moment, for longer than its lease, and wakes it when another has led meanwhile, if the
/// store lets another lead. Whether it does.
async fn sleep_through<V: ProjectionStore>(harness: &Harness<V>, moment: Moment) -> bool {
    let (here, there) = (harness.handles(), harness.another().await);
    let watch = Watch::over();
    let sleeper = tally::<1, _>(
        &here.store,
        &Watched::new(&here.views, &watch),
        harness.lease(),
    );
    let end = walk(&here.store, "walk:1", &[1, 2]).await;
    sleeper.wait_until(end, SOON).await.unwrap();
    let other = tally::<1, V>(&there.store, &there.views, harness.lease());
    watch.put_to_sleep_at(moment);
    let end = walk(&here.store, "walk:1", &[3, 4, 5]).await;
    // From here on a store may let writers wait as well.
    soon("the leader to come there", watch.asleep()).await;
    // Twice, since it may have renewed its lease just before.
    let mut taken = false;
    let patience = tokio::time::Instant::now() + harness.lease() * 2 + Duration::from_secs(1);
    while !taken && (moment == Moment::Begin || tokio::time::Instant::now() < patience) {
        taken = other.wait_until(end, harness.lease()).await.is_ok();
        assert!(
            tokio::time::Instant::now() < patience + SOON,
            "a leader that sleeps is replaced"
        );
    }
    if taken {
        // So that what the sleeper has ready is old.
        let end = walk(&here.store, "walk:1", &[6]).await;
        other.wait_until(end, SOON).await.unwrap();
    }
    watch.wake();
    let end = walk(&here.store, "walk:3", &[7]).await;
    other.wait_until(end, SOON).await.unwrap();
    sleeper.wait_until(end, SOON).await.unwrap();
    expect_tallies(
        &here.store,
        &*here.views,
        &format!("the leader slept at {moment:?}"),
    )
    .await;
    // And it is good for the next term.
    other.stop().await.unwrap();
    let end = walk(&here.store, "walk:1", &[8]).await;
    sleeper.wait_until(end, SOON).await.unwrap();
    finish(sleeper, &here.store).await;
    expect_tallies(&here.store, &*here.views, "the sleeper leads again").await;
    taken
}

/// The process is stopped between reading events and its transaction, longer than its lease, and goes on.
pub async fn a_leader_that_sleeps_before_its_transaction_is_fenced<V: ProjectionStore>(
    harness: Harness<V>,
) {
    assert!(sleep_through(&harness, Moment::Begin).await);
}

/// The process is stopped when all is ready to be committed. A store may let the others wait until then; what counts is
/// that everything is applied once.
pub async fn a_leader_that_sleeps_in_its_transaction_applies_nothing_twice<V: ProjectionStore>(
    harness: Harness<V>,
) {
    for moment in [Moment::Put, Moment::Commit] {
        sleep_through(&harness, moment).await;
    }
}

/// Eight processes want to lead, under writers, with leases that run out quickly; the leaders stop or die one by one.
pub async fn of_eight_runners_one_applies<V: ProjectionStore>(harness: Harness<V>) {
    let here = harness.handles();
    let writers = Writers::start(
        std::slice::from_ref(&here.store),
        4,
        Duration::from_millis(10),
    );
    let mut runners: Vec<Running<V>> = Vec::new();
    for _ in 0..8 {
        let handles = harness.another().await;
        runners.push(tally::<1, V>(
            &handles.store,
            &handles.views,
            harness.lease(),
        ));
    }
    let mut epochs = Vec::new();
    while runners.len() > 1 {
        let mut leader = 0;
        until("somebody leads", async || {
            leader = runners.iter().position(leads).unwrap_or(usize::MAX);
            leader != usize::MAX
        })
        .await;
        let leader = runners.swap_remove(leader);
        epochs.push(leader.status().partitions[0].epoch);
        if runners.len().is_multiple_of(2) {
            drop(leader);
        } else {
            leader
                .stop()
                .await
                .unwrap_or_else(|error| panic!("it stops: {error:?}"));
        }
    }
    writers.stop().await;
    assert!(
        epochs.is_sorted_by(|a, b| a < b),
        "epochs rise from leader to leader: {epochs:?}"
    );
    let last = runners.pop().expect("one is left");
    finish(last, &here.store).await;
    expect_tallies(&here.store, &*here.views, "after eight leaders").await;
    assert!(
        log(&here.store).await.len() > 20,
        "the writers hardly wrote"
    );
    let rest = tally::<1, V>(&here.store, &here.views, HOUR);
    until("nobody holds the lease any more", async || is_live(&rest)).await;
    assert!(rest.status().partitions[0].state == ProjectionState::Live);
    rest.stop().await.unwrap();
}
