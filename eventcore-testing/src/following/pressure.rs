//! Slow readers slow nobody down, and dropped futures lose nothing.

use std::{sync::Arc, time::Duration};

use eventcore::{EventFilter, StartFrom, projection::ProjectionStore, subscribe};
use futures_util::{FutureExt, StreamExt};

use super::{
    Harness,
    kit::{Store, Writers, at, dropped_after, follow, log, page_size, positions, soon, walk},
};
use crate::chaos::{ChaosStore, Operation};

/// While a reader is busy with its first event, one more page is read and no third; and writers go on.
pub async fn a_slow_reader_is_read_ahead_for_one_page<V: ProjectionStore>(harness: Harness<V>) {
    let store = harness.handles().store;
    walk(&store, "walk:1", &[1; 100]).await;
    let counted = ChaosStore::new(store.clone());
    let mut events = subscribe(&counted, StartFrom::Start, EventFilter::all())
        .page_size(page_size(10))
        .poll_every(Duration::from_millis(5));
    for position in 1..=15 {
        let event = soon("the next event", events.next())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(event.position().get(), position);
    }
    for _ in 0..10 {
        walk(&store, "walk:2", &[1; 10]).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        // Being asked and not waited for is no reason to read on.
        assert_eq!(events.position().get(), 15);
    }
    let pages = counted.calls(Operation::ReadAll);
    assert!(pages <= 3, "15 events in pages of 10 took {pages} pages");
    for position in 16..=200 {
        let event = soon("the next event", events.next())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(event.position().get(), position);
    }
}

/// Waits are dropped after one poll, two polls and so on, while writers append.
pub async fn dropped_futures_lose_nothing<V: ProjectionStore>(harness: Harness<V>) {
    let store = harness.handles().store;
    walk(&store, "walk:first", &[1; 100]).await;
    let writers = Writers::start(std::slice::from_ref(&store), 3, Duration::from_millis(3));
    // With awaits also where the store has none.
    let yielding: Store = Arc::new(ChaosStore::new(store.clone()).yielding());
    let mut events = follow(&yielding, StartFrom::Start).page_size(page_size(7));
    let (mut found, mut dropped) = (Vec::new(), 0);
    let start = tokio::time::Instant::now();
    while start.elapsed() < Duration::from_millis(1200) {
        let polls = fastrand::usize(1..4);
        if fastrand::bool() {
            match dropped_after(polls, events.next_page()).await {
                Some(page) => found.extend(positions(&page.unwrap().events)),
                None => dropped += 1,
            }
        } else {
            match events.next().now_or_never() {
                Some(event) => found.push(event.unwrap().unwrap().position().get()),
                None => dropped += 1,
            }
        }
        tokio::time::sleep(Duration::from_micros(fastrand::u64(0..400))).await;
    }
    writers.stop().await;
    let end = log(&store).await.len() as u64;
    while (found.len() as u64) < end {
        let event = soon("the next event", events.next()).await;
        found.push(event.unwrap().unwrap().position().get());
    }
    assert!(dropped > 10, "hardly a wait was dropped: {dropped}");
    let promised: Vec<u64> = (1..=end).collect();
    assert!(
        found == promised,
        "{dropped} dropped waits made a hole or a repeat"
    );
}

/// A reader that writes its place down and comes back, again and again.
pub async fn a_reader_that_comes_back_goes_on_where_it_was<V: ProjectionStore>(
    harness: Harness<V>,
) {
    let store = harness.handles().store;
    walk(&store, "walk:first", &[1; 50]).await;
    let writers = Writers::start(std::slice::from_ref(&store), 4, Duration::from_millis(3));
    let (mut place, mut found) = (at(0), Vec::new());
    for round in 0..60 {
        let mut events = follow(&store, place).page_size(page_size(1 + round % 9));
        for _ in 0..fastrand::usize(0..12) {
            let event = soon("the next event", events.next())
                .await
                .unwrap()
                .unwrap();
            found.push(event.position().get());
        }
        // It does not lead beyond what was handed out, whatever was read ahead.
        place = events.position().max(place);
    }
    writers.stop().await;
    let promised: Vec<u64> = (1..=found.len() as u64).collect();
    assert!(
        found == promised,
        "coming back made a hole or a repeat: {found:?}"
    );
}
