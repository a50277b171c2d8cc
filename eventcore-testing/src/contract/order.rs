//! P5: positions are dense, follow the order of commits, and nothing appears below one that was handed out.

use std::{collections::HashMap, sync::Arc};

use eventcore::{EventFilter, GlobalPosition, store::AppendReceipt};

use super::{
    Harness,
    kit::{
        Pace, Store, append, conflict, draft, join, log, number_of, numbered, page, stream, view,
    },
};

/// Batches of several sizes, with refused ones between them.
pub async fn positions_are_dense_from_one(harness: Harness) {
    let store = harness.store();
    let mut total = 0;
    for size in [1, 3, 1, 20, 2] {
        let own = stream(format!("order:{total}"));
        let batch = |expected| {
            let events = (0..size).map(numbered);
            events
                .fold(draft().expect(&own, expected), |d, e| d.event(&own, e))
                .build()
        };
        conflict(&store, batch(5), "the stream is empty, expected at 5").await;
        let receipt = append(&store, batch(0)).await;
        let positions: Vec<u64> = receipt.events.iter().map(|e| e.position.get()).collect();
        let promised: Vec<u64> = (total + 1..=total + size).collect();
        assert_eq!(
            positions, promised,
            "positions are promised to be dense, also after a refused batch"
        );
        total += size;
    }
    assert_eq!(log(&store).await.len() as u64, total);
}

/// Writers that do not get in each other's way: each has a stream of its own and appends two events at a time.
fn writers(
    store: &Store,
    writers: u64,
    batches: u64,
    pace: &Arc<Pace>,
) -> Vec<tokio::task::JoinHandle<Vec<AppendReceipt>>> {
    (0..writers)
        .map(|writer| {
            let (store, pace) = (store.clone(), Arc::clone(pace));
            tokio::spawn(async move {
                let (own, shared) = (
                    stream(format!("order:{writer}")),
                    stream(format!("order:second:{writer}")),
                );
                let mut receipts = Vec::new();
                for at in 0..batches {
                    let batch = draft().expect(&own, 2 * at).expect(&shared, at);
                    let batch = batch
                        .event(&own, numbered(2 * at + 1))
                        .event(&shared, numbered(at + 1))
                        .event(&own, numbered(2 * at + 2));
                    receipts.push(append(&store, batch.build()).await);
                    pace.let_read().await;
                }
                receipts
            })
        })
        .collect()
}

/// The receipts of concurrent writers against the log.
pub async fn receipts_agree_with_the_log(harness: Harness) {
    let store = harness.store();
    let receipts = join(writers(&store, 5, 10, &Arc::default())).await.concat();
    let log = log(&store).await;
    assert_eq!(
        log.len(),
        3 * receipts.len(),
        "each receipt has three events"
    );
    for receipt in receipts {
        for event in &receipt.events {
            let at = usize::try_from(event.position.get()).unwrap() - 1;
            let Some(found) = log.get(at) else {
                panic!(
                    "{event:?} was acknowledged, and the log ends at {}",
                    log.len()
                )
            };
            assert_eq!(
                (found.id(), found.stream(), found.version()),
                (event.id, &event.stream, event.version),
                "the receipt says {event:?}, the log holds {found:?} there"
            );
            assert_eq!(found.correlation_id(), receipt.correlation_id);
        }
        let positions: Vec<u64> = receipt.events.iter().map(|e| e.position.get()).collect();
        assert!(
            positions.windows(2).all(|pair| pair[0] + 1 == pair[1]),
            "the events of one batch are promised to stand together in the order emitted, got {positions:?}"
        );
    }
}

/// Each stream read alone, against the log.
pub async fn stream_order_is_position_order(harness: Harness) {
    let store = harness.store();
    join(writers(&store, 5, 10, &Arc::default())).await;
    let log = log(&store).await;
    let mut by_stream: HashMap<_, Vec<_>> = HashMap::new();
    for event in &log {
        by_stream
            .entry(event.stream())
            .or_default()
            .push(event.clone());
    }
    for (stream, events) in by_stream {
        let numbers: Vec<u64> = events.iter().map(number_of).collect();
        let promised: Vec<u64> = (1..=numbers.len() as u64).collect();
        assert_eq!(
            numbers, promised,
            "the log has the events of `{stream}` in another order than they were appended"
        );
        let seen = view(&store, &[stream]).await.events;
        assert_eq!(
            seen, events,
            "`{stream}` read alone and the log are promised to agree"
        );
    }
}

/// A reader follows the log by position while writers append; it must see every event exactly once, in order.
pub async fn a_follower_sees_every_event_once(harness: Harness) {
    const WRITERS: u64 = 6;
    const BATCHES: u64 = 12;
    let store = harness.store();
    let pace = Arc::new(Pace::with_readers());
    let mut followers = Vec::new();
    for size in [1, 50] {
        let (store, pace) = (store.clone(), Arc::clone(&pace));
        followers.push(tokio::spawn(async move {
            let mut followed = Vec::new();
            let mut after = GlobalPosition::START;
            loop {
                // Looked at before reading, so that the last page is read when all is there.
                let last = !pace.goes_on().await;
                let found = page(&store, after, &EventFilter::all(), size).await;
                for event in &found.events {
                    assert_eq!(
                        event.position(),
                        after.advanced(1),
                        "a reader at position {after} was handed {event:?}: what belongs in the hole would never be \
                         seen"
                    );
                    after = event.position();
                }
                assert_eq!(
                    found.next, after,
                    "without a filter, `next` is the position of the last event"
                );
                followed.extend(found.events);
                if last && found.at_end {
                    return followed;
                }
            }
        }));
    }
    let receipts = join(writers(&store, WRITERS, BATCHES, &pace))
        .await
        .concat();
    pace.finish();
    let log = log(&store).await;
    assert_eq!(log.len(), 3 * receipts.len());
    for followed in join(followers).await {
        let missed = log.iter().find(|event| !followed.contains(event));
        assert!(
            missed.is_none(),
            "a reader that followed by position never saw {missed:?}"
        );
        assert_eq!(
            followed, log,
            "a reader that followed by position saw another log than is there now"
        );
    }
}
