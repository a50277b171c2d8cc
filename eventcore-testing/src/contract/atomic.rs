//! P1: all events of a batch become visible together, over all its streams, or not at all.

use std::sync::Arc;

use eventcore::{EventFilter, GlobalPosition};

use super::{
    Harness,
    kit::{Pace, append, draft, join, log, number_of, numbered, page, stream, view},
};

/// One batch into three streams, their events mixed.
pub async fn a_batch_appears_whole_in_all_its_streams(harness: Harness) {
    let store = harness.store();
    let streams = ["atomic:a", "atomic:b", "atomic:c"].map(stream);
    let mut batch = streams.iter().fold(draft(), |d, s| d.expect(s, 0));
    for number in 0..9 {
        batch = batch.event(&streams[number % 3], numbered(number as u64));
    }
    append(&store, batch.build()).await;
    let seen = view(&store, &streams.each_ref()).await;
    assert_eq!(
        seen.versions,
        [3, 3, 3],
        "three events went into each of three streams"
    );
    let numbers: Vec<u64> = seen.events.iter().map(number_of).collect();
    assert_eq!(
        numbers,
        [0, 1, 2, 3, 4, 5, 6, 7, 8],
        "the events of a batch are promised in the order in which they were emitted"
    );
    assert_eq!(
        log(&store).await,
        seen.events,
        "the log holds what the streams hold"
    );
}

/// Appends and reads at once, many times, on one stream and on many.
pub async fn an_acknowledged_batch_is_visible_at_once(harness: Harness) {
    let store = harness.store();
    let one = stream("atomic:one");
    for number in 0..30 {
        let other = stream(format!("atomic:{number}"));
        let batch = draft().expect(&one, number).expect(&other, 0);
        let batch = batch
            .event(&one, numbered(number))
            .event(&other, numbered(number));
        let receipt = append(&store, batch.build()).await;
        let seen = view(&store, &[&one, &other]).await;
        assert_eq!(
            seen.versions,
            [number + 1, 1],
            "append {number} was acknowledged as {receipt:?}, and a read right after it does not see it"
        );
        let before = receipt.events[0].position.get() - 1;
        let after = super::kit::position(before);
        let found = page(&store, after, &EventFilter::all(), 10).await.events;
        assert_eq!(
            found.len(),
            2,
            "the log after position {before} does not show the acknowledged append {number}"
        );
    }
}

/// One writer appends six events at a time over three streams; readers of the streams and of the log count.
pub async fn readers_never_see_part_of_a_batch(harness: Harness) {
    const BATCHES: u64 = 50;
    let store = harness.store();
    let streams = Arc::new(["atomic:x", "atomic:y", "atomic:z"].map(stream));
    let pace = Arc::new(Pace::with_readers());
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let (store, streams, pace) = (store.clone(), Arc::clone(&streams), Arc::clone(&pace));
        tasks.push(tokio::spawn(async move {
            while pace.goes_on().await {
                let seen = view(&store, &streams.each_ref()).await;
                let [x, y, z] = seen.versions[..] else {
                    panic!("a read owes three versions, got {:?}", seen.versions)
                };
                assert!(
                    x == y && y == z && x % 2 == 0,
                    "every batch adds two events to each of three streams; a reader saw them at {x}, {y}, {z}"
                );
            }
        }));
    }
    {
        let (store, pace) = (store.clone(), Arc::clone(&pace));
        tasks.push(tokio::spawn(async move {
            let mut after = GlobalPosition::START;
            while pace.goes_on().await {
                let found = page(&store, after, &EventFilter::all(), 100).await;
                after = found.next;
                assert!(
                    !found.at_end || after.get().is_multiple_of(6),
                    "every batch has six events; a reader of the log found its end at {after}, inside a batch"
                );
            }
        }));
    }
    for number in 0..BATCHES {
        let mut batch = draft();
        for stream in streams.iter() {
            batch = batch.expect(stream, 2 * number);
        }
        for at in 0..6 {
            batch = batch.event(&streams[at % 3], numbered(number));
        }
        append(&store, batch.build()).await;
        pace.let_read().await;
    }
    pace.finish();
    join(tasks).await;
    let events = log(&store).await.len() as u64;
    assert_eq!(
        events,
        6 * BATCHES,
        "{BATCHES} batches of six were acknowledged"
    );
}
