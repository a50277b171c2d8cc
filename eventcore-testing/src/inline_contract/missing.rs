//! Events that a model lacks are applied first, within a bound.

use std::time::Duration;

use eventcore::{
    EventId, GlobalPosition,
    projection::{Checkpoint, Claimed, Progress, ProjectionStore, UnitOfWork, Witness, project},
};

use super::{
    Place,
    kit::{
        ALL, Counts, append, claim_of, counts, expect_counts, foreign, id, log, open, refused,
        refused_by_store, stream, tally, ticks, try_append, unreadable,
    },
};

/// So many events may be missing.
const BOUND: usize = 1000;

/// Clause: a model that is opened on a log has all of it.
pub async fn what_was_there_before_is_applied<P: Place>(place: P) {
    let plain = open(&place, vec![]).await;
    append(&plain, "a", ticks(&[1, 2, 3])).await;
    append(&plain, "b", vec![foreign()]).await;
    let (store, views) = (open(&place, vec![counts()]).await, place.views().await);
    expect_counts(&views, &store, 1).await;
    append(&store, "b", ticks(&[4])).await;
    expect_counts(&views, &store, 1).await;

    append(&plain, "b", vec![unreadable()]).await;
    let said = refused(
        &place,
        counts(),
        "an event that is there and cannot be decoded",
    )
    .await;
    assert!(
        said.contains("counts v1"),
        "the error names the projection; got `{said}`"
    );
}

/// Clause: events of a handle without the model come first, in order.
pub async fn what_others_append_is_applied_first<P: Place>(place: P) {
    let (store, views) = (open(&place, vec![counts()]).await, place.views().await);
    let plain = open(&place, vec![]).await;
    for round in 0..5 {
        append(&plain, "a", ticks(&[round, 1])).await;
        append(&plain, "b", vec![foreign()]).await;
        append(&store, "a", ticks(&[round])).await;
        expect_counts(&views, &store, 1).await;
    }
}

/// Clause: the bound is 1,000 events.
pub async fn a_thousand_missing_events_are_applied<P: Place>(place: P) {
    let plain = open(&place, vec![]).await;
    append(&plain, "a", ticks(&[1; BOUND])).await;
    let (store, views) = (open(&place, vec![counts()]).await, place.views().await);
    expect_counts(&views, &store, 1).await;
    append(&plain, "a", ticks(&[1; BOUND])).await;
    append(&store, "a", ticks(&[2])).await;
    expect_counts(&views, &store, 1).await;
}

/// Clause: beyond the bound the append fails and says what to do.
pub async fn more_missing_events_refuse_the_append<P: Place>(place: P) {
    let (store, views) = (open(&place, vec![counts()]).await, place.views().await);
    append(&store, "a", ticks(&[1])).await;
    let plain = open(&place, vec![]).await;
    append(&plain, "b", ticks(&[1; BOUND + 1])).await;
    let verdict = try_append(&store, &stream("a"), ticks(&[2])).await;
    let said = refused_by_store(verdict, "1,001 events are missing");
    assert!(
        said.contains("1001") && said.contains("runner"),
        "what is so, and what to do: `{said}`"
    );
    assert_eq!(log(&store).await.len(), BOUND + 2, "nothing was appended");
    let all = tally(&views, ALL).await.map(|tally| tally.count);
    assert_eq!(all, Some(1), "and nothing applied");

    place
        .give_back(&id("counts", 1))
        .await
        .expect("it is run inline");
    let running = project(Counts::<1>, &plain, &views)
        .start()
        .expect("it can be run");
    running
        .wait_until_live(Duration::from_secs(40))
        .await
        .expect("it catches up");
    running.stop().await.expect("it did not fail");
    let store = open(&place, vec![counts()]).await;
    append(&store, "a", ticks(&[3])).await;
    expect_counts(&views, &store, 1).await;
}

/// Clause: a long log is a runner's work, and nothing is claimed meanwhile.
pub async fn more_missing_events_refuse_the_opening<P: Place>(place: P) {
    let (plain, views) = (open(&place, vec![]).await, place.views().await);
    append(&plain, "a", ticks(&[1; BOUND + 1])).await;
    let said = refused(&place, counts(), "a log of 1,001 events").await;
    assert!(
        said.contains("1001") && said.contains("runner"),
        "what is so, and what to do: `{said}`"
    );
    let running = project(Counts::<1>, &plain, &views)
        .start()
        .expect("it can be run");
    let live = running.wait_until_live(Duration::from_secs(40)).await;
    live.expect("the runner is not kept from it");
    running.stop().await.expect("it did not fail");
    let store = open(&place, vec![counts()]).await;
    append(&store, "b", ticks(&[2])).await;
    expect_counts(&views, &store, 1).await;
}

/// Clause: a projection of another log is not gone on with.
pub async fn another_log_is_refused<P: Place>(place: P) {
    let (plain, views) = (open(&place, vec![]).await, place.views().await);
    append(&plain, "a", ticks(&[1, 2])).await;
    for position in [2, 7] {
        let Ok(Claimed::Granted(lease)) = views.claim(&claim_of("counts", 1, "old")).await else {
            panic!("nobody else is here");
        };
        let position = GlobalPosition::try_new(position).expect("a position");
        let witness = Some(Witness {
            position,
            id: EventId::generate(),
        });
        let progress = Progress {
            checkpoint: Checkpoint { position, witness },
            activate: false,
        };
        let unit = views.begin(&lease).await.expect("it is led");
        unit.commit(progress).await.expect("it is led");
        views.release(&lease).await.unwrap();
        let said = refused(&place, counts(), "a projection of another log").await;
        assert!(said.contains("reset"), "it says what to do: `{said}`");
    }
    views
        .reset(&id("counts", 1))
        .await
        .expect("it can be reset");
    let store = open(&place, vec![counts()]).await;
    expect_counts(&views, &store, 1).await;
}
