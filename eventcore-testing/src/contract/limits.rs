//! P9: the limits of one batch are those that are documented, and a hot stream stays usable.

use std::sync::Arc;

use eventcore::{
    execute,
    store::{AppendBatch, BatchError, ReadFrom},
};
use tokio::sync::Barrier;

use super::{
    Harness,
    kit::{append, conflict, draft, event, join, log, numbered, read, stream, view},
    purse::Add,
};

/// As many events as a batch may hold.
pub async fn the_largest_batch_is_taken(harness: Harness) {
    let store = harness.store();
    let a = stream("limits:a");
    let full = |events: usize| {
        let mut batch = AppendBatch::builder();
        batch
            .expect(a.clone(), eventcore::StreamVersion::EMPTY)
            .expect("one expectation");
        let small = event("contract.small", "0");
        for _ in 0..events {
            batch.event(&a, small.clone()).expect("a guarded stream");
        }
        batch.build()
    };
    let above = full(AppendBatch::MAX_EVENTS + 1);
    assert!(
        matches!(above, Err(BatchError::TooLarge { .. })),
        "the builder refuses one event more than the limit"
    );
    let receipt = append(
        &store,
        full(AppendBatch::MAX_EVENTS).expect("the limit itself"),
    )
    .await;
    assert_eq!(receipt.events.len(), AppendBatch::MAX_EVENTS);
    assert_eq!(
        log(&store).await.len(),
        AppendBatch::MAX_EVENTS,
        "the largest batch is promised to be appended whole"
    );
}

/// As many expectations as a batch may hold; all hold, then only the last one does not.
pub async fn the_widest_batch_is_guarded(harness: Harness) {
    let store = harness.store();
    let streams: Vec<_> = (0..AppendBatch::MAX_STREAMS)
        .map(|n| stream(format!("wide:{n}")))
        .collect();
    let (first, last) = (&streams[0], &streams[AppendBatch::MAX_STREAMS - 1]);
    let batch = |of_first, of_last| {
        let wide = streams.iter().fold(draft(), |d, s| {
            let at = if s == first { of_first } else { 0 };
            d.expect(s, if s == last { of_last } else { at })
        });
        wide.event(first, numbered(1))
            .event(last, numbered(1))
            .build()
    };
    append(&store, batch(0, 0)).await;
    let found = conflict(&store, batch(1, 0), "the last of 10,000 streams has moved").await;
    assert_eq!(found.streams().len(), 1);
    assert_eq!(found.streams()[0].stream, *last);
    let from: Vec<_> = streams.iter().cloned().map(ReadFrom::start).collect();
    let seen = read(&store, &from).await;
    assert_eq!(
        seen.events.len(),
        2,
        "10,000 streams can be read at once, since so many can be guarded"
    );
}

/// One event of 8 MiB.
pub async fn a_large_payload_is_taken(harness: Harness) {
    let store = harness.store();
    let a = stream("limits:large");
    let payload: Vec<u8> = (0..8_u32 << 20).map(|n| (n % 251) as u8).collect();
    let batch = draft()
        .expect(&a, 0)
        .event(&a, event("contract.large", payload.clone()));
    append(&store, batch.build()).await;
    let seen = view(&store, &[&a]).await;
    let found = seen.events[0].encoded().payload();
    assert_eq!(
        found.len(),
        payload.len(),
        "the payload came back with another length"
    );
    assert!(
        found.as_bytes() == payload,
        "the payload came back with other bytes"
    );
}

/// 64 tasks, one stream, the default retry policy.
pub async fn a_hot_stream_does_not_storm(harness: Harness) {
    const TASKS: usize = 64;
    const COMMANDS: usize = 3;
    let store = harness.store();
    let hot = stream("hot:stream");
    let barrier = Arc::new(Barrier::new(TASKS));
    let mut tasks = Vec::new();
    for _ in 0..TASKS {
        let (store, hot, barrier) = (store.clone(), hot.clone(), Arc::clone(&barrier));
        tasks.push(tokio::spawn(async move {
            barrier.wait().await;
            let mut attempts = 0;
            for _ in 0..COMMANDS {
                match execute(Add::to(&hot), &store).await {
                    Ok(receipt) => attempts += receipt.attempts,
                    Err(error) => panic!(
                        "one of {TASKS} tasks that write to one stream gave up with the default policy: {error:?}"
                    ),
                }
            }
            attempts
        }));
    }
    let attempts: u32 = join(tasks).await.into_iter().sum();
    let commands = TASKS * COMMANDS;
    let per_command = f64::from(attempts) / f64::from(u32::try_from(commands).unwrap());
    assert_eq!(
        view(&store, &[&hot]).await.versions,
        [commands as u64],
        "every command that was acknowledged is one event"
    );
    assert!(
        per_command < 2.0,
        "{commands} commands of {TASKS} tasks on one stream needed {per_command:.2} attempts each: do all clones of \
         the store share one `Commons`?"
    );
}
