//! New versions, resets, and logs that are not what they were.

use std::{sync::Arc, time::Duration};

use eventcore::projection::{ProjectionError, ProjectionId, ProjectionStore, project};
use eventcore_memory::InMemoryEventStore;

use crate::{
    counters::{count, store},
    models::{SOON, Sums, sum, views},
};

#[tokio::test]
async fn a_new_version_is_built_beside_the_old_one_and_takes_over_when_it_has_caught_up() {
    let (store, views) = (store(), views());
    let last = count(&store, "counter:1", &[1, 2]).await;
    let old = project(Sums::<1>, &store, &views).start().unwrap();
    old.wait_until(last, SOON).await.unwrap();
    assert_eq!(sum(&views, "counter:1").await.unwrap().sum, 3);

    let new = project(Sums::<2>, &store, &views).start().unwrap();
    new.wait_until_live(SOON).await.unwrap();
    let active = async || {
        let standings = views.standings(&"sums".parse().unwrap()).await.unwrap();
        let active = standings.iter().filter(|standing| standing.active);
        active
            .map(|standing| standing.projection.version)
            .collect::<Vec<_>>()
    };
    while active().await != [2] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(sum(&views, "counter:1").await.unwrap().sum, 6);

    // Both stay up to date until the old one is removed.
    let last = count(&store, "counter:1", &[1]).await;
    old.wait_until(last, SOON).await.unwrap();
    new.wait_until(last, SOON).await.unwrap();
    assert_eq!(sum(&views, "counter:1").await.unwrap().sum, 8);
    old.stop().await.unwrap();
    let name = "sums".parse().unwrap();
    views
        .remove(&ProjectionId { name, version: 1 })
        .await
        .unwrap();
    assert_eq!(sum(&views, "counter:1").await.unwrap().sum, 8);
}

#[tokio::test]
async fn an_old_version_that_is_started_late_does_not_take_over() {
    let (store, views) = (store(), views());
    count(&store, "counter:1", &[1]).await;
    for running in [
        project(Sums::<2>, &store, &views).start().unwrap(),
        project(Sums::<1>, &store, &views).start().unwrap(),
    ] {
        running.wait_until_live(SOON).await.unwrap();
        running.stop().await.unwrap();
    }
    assert_eq!(sum(&views, "counter:1").await.unwrap().sum, 2);
}

/// The error with which a projection over this log ends.
async fn refusal(
    store: &Arc<InMemoryEventStore>,
    views: &eventcore_memory::InMemoryProjections,
) -> ProjectionError {
    let running = project(Sums::<1>, store, views).start().unwrap();
    running.wait_until_live(SOON).await.unwrap_err();
    running.stop().await.unwrap_err()
}

#[tokio::test]
async fn a_log_that_is_older_than_the_checkpoint_is_refused_until_a_reset() {
    let (before, views) = (store(), views());
    let last = count(&before, "counter:1", &[1, 1, 1]).await;
    let running = project(Sums::<1>, &before, &views).start().unwrap();
    running.wait_until(last, SOON).await.unwrap();
    let id = running.projection().clone();
    running.stop().await.unwrap();

    let restored = store();
    count(&restored, "counter:1", &[7]).await;
    let error = refusal(&restored, &views).await.to_string();
    assert!(error.contains("ends at position 1, before 3"), "{error}");

    views.reset(&id).await.unwrap();
    let running = project(Sums::<1>, &restored, &views).start().unwrap();
    running.wait_until_live(SOON).await.unwrap();
    assert_eq!(sum(&views, "counter:1").await.unwrap().sum, 7);
}

#[tokio::test]
async fn another_log_that_is_long_enough_is_refused_too() {
    let (before, views) = (store(), views());
    let last = count(&before, "counter:1", &[1]).await;
    let running = project(Sums::<1>, &before, &views).start().unwrap();
    running.wait_until(last, SOON).await.unwrap();
    running.stop().await.unwrap();

    let restored = store();
    count(&restored, "counter:1", &[7, 7, 7]).await;
    let error = refusal(&restored, &views).await;
    assert!(
        matches!(error, ProjectionError::AnotherLog { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("reset"), "{error}");
}
