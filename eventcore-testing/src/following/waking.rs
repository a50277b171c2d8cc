//! Prompt where the store can call, and never lost where it cannot.

use std::time::Duration;

use eventcore::{EventFilter, StartFrom, projection::ProjectionStore, subscribe};
use futures_util::StreamExt;
use tokio::time::Instant;

use super::{
    Harness,
    kit::{HOUR, SOON, join, soon, walk},
};
use crate::chaos::ChaosStore;

/// Several readers wait for an hour, and are called when there is something.
pub async fn an_append_wakes_who_waits<V: ProjectionStore>(harness: Harness<V>) {
    let store = harness.handles().store;
    walk(&store, "walk:1", &[1]).await;
    let readers = (0..4).map(|_| {
        let mut events =
            subscribe(store.clone(), StartFrom::Start, EventFilter::all()).poll_every(HOUR);
        tokio::spawn(async move {
            for position in 1..=12 {
                let event = soon("an event without waiting for the poll", events.next()).await;
                assert_eq!(event.unwrap().unwrap().position().get(), position);
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    for round in 0..10 {
        // Now they wait, or are about to: both must go well.
        tokio::time::sleep(Duration::from_millis(4 * (10 - round))).await;
        walk(&store, "walk:1", &[2]).await;
    }
    walk(&store, "walk:2", &[3]).await;
    join(readers).await;
}

/// A reader that nobody calls finds out by itself, about when it said.
pub async fn an_append_by_another_handle_is_found<V: ProjectionStore>(harness: Harness<V>) {
    let (here, there) = (harness.handles().store, harness.another().await.store);
    // Whatever the store does to call readers in other processes does not reach this one.
    let deaf = ChaosStore::new(here).apart();
    let poll = Duration::from_millis(100);
    let mut events = subscribe(&deaf, StartFrom::Start, EventFilter::all()).poll_every(poll);
    for position in 1..=5 {
        let append = async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            walk(&there, "walk:1", &[1]).await;
            Instant::now()
        };
        let (appended, event) = tokio::join!(append, soon("the event", events.next()));
        assert_eq!(event.unwrap().unwrap().position().get(), position);
        let late = appended.elapsed();
        assert!(
            late < poll + SOON / 10,
            "found {late:?} later, with a poll each {poll:?}"
        );
    }
}
