//! P2: a commit succeeds only if every stream that was read is where it was, one writer at a time.

use super::{
    Harness,
    kit::{Store, append, conflict, draft, fill, key, log, numbered, stream, version},
};

async fn two_events(store: &Store, name: &str) -> eventcore::StreamId {
    let stream = stream(name);
    fill(store, &stream, 2).await;
    stream
}

/// Too low, too high, and for a stream that does not exist.
pub async fn an_expectation_on_a_written_stream_is_checked(harness: Harness) {
    let store = harness.store();
    let a = two_events(&store, "guarded:a").await;
    for wrong in [0, 1, 3, 1_000_000] {
        let batch = draft().expect(&a, wrong).event(&a, numbered(3)).build();
        conflict(
            &store,
            batch,
            &format!("`{a}` is at 2, expected at {wrong}"),
        )
        .await;
    }
    let missing = stream("guarded:missing");
    let batch = draft().expect(&missing, 1).event(&missing, numbered(1));
    conflict(
        &store,
        batch.build(),
        "a stream without events, expected at 1",
    )
    .await;
    append(&store, draft().expect(&a, 2).event(&a, numbered(3)).build()).await;
}

/// The stream that moved is not written to.
pub async fn an_expectation_on_a_read_only_stream_is_checked(harness: Harness) {
    let store = harness.store();
    let read_only = two_events(&store, "guarded:limits").await;
    let written = stream("guarded:written");
    for wrong in [0, 1, 3] {
        let batch = draft().expect(&written, 0).expect(&read_only, wrong);
        let batch = batch.event(&written, numbered(1)).build();
        let why = format!("`{read_only}` is only read, is at 2, and was expected at {wrong}");
        conflict(&store, batch, &why).await;
    }
    let batch = draft().expect(&written, 0).expect(&read_only, 2);
    append(&store, batch.event(&written, numbered(1)).build()).await;
}

/// The streams were empty when read, and one has been created since.
pub async fn an_expectation_on_an_empty_stream_is_checked(harness: Harness) {
    let store = harness.store();
    let created = two_events(&store, "guarded:created").await;
    let (written, empty) = (stream("guarded:written"), stream("guarded:empty"));
    let batch = draft().expect(&written, 0).expect(&created, 0);
    let batch = batch.event(&written, numbered(1)).build();
    conflict(
        &store,
        batch,
        "a stream that is only read was empty and has events now",
    )
    .await;
    let batch = draft().expect(&created, 0).event(&created, numbered(1));
    conflict(
        &store,
        batch.build(),
        "a stream was empty and has events now",
    )
    .await;
    let batch = draft().expect(&written, 0).expect(&empty, 1);
    let batch = batch.event(&written, numbered(1)).build();
    conflict(
        &store,
        batch,
        "a stream was expected to have an event and has none",
    )
    .await;
    let batch = draft().expect(&written, 0).expect(&empty, 0);
    append(&store, batch.event(&written, numbered(1)).build()).await;
}

/// Three of five streams moved, one of them read-only and one empty.
pub async fn a_conflict_names_every_stream_that_moved(harness: Harness) {
    let store = harness.store();
    let moved = two_events(&store, "guarded:moved").await;
    let unmoved = two_events(&store, "guarded:unmoved").await;
    let created = two_events(&store, "guarded:created").await;
    let [missing, empty] = ["guarded:missing", "guarded:empty"].map(stream);
    let batch = draft().expect(&missing, 7).expect(&unmoved, 2);
    let batch = batch
        .expect(&moved, 1)
        .expect(&empty, 0)
        .expect(&created, 0);
    let batch = batch.event(&moved, numbered(1)).build();
    let found = conflict(&store, batch, "three streams have moved").await;
    let found: Vec<_> = found
        .streams()
        .iter()
        .map(|of| (of.stream.clone(), of.expected, of.actual))
        .collect();
    let promised = [
        (missing, version(7), version(0)),
        (moved, version(1), version(2)),
        (created, version(0), version(2)),
    ];
    assert_eq!(
        found, promised,
        "a conflict is promised to give stream, expected and actual version of each stream that moved, in the \
         order of the batch"
    );
}

/// Only the last expectation fails, after events for other streams.
pub async fn a_conflicting_batch_leaves_nothing_behind(harness: Harness) {
    let store = harness.store();
    let moved = two_events(&store, "guarded:moved").await;
    let fresh = stream("guarded:fresh");
    let before = log(&store).await;
    let attempt = |expected| {
        let batch = draft().expect(&fresh, 0).expect(&moved, expected);
        let batch = batch.event(&fresh, numbered(1)).event(&moved, numbered(3));
        batch.key("guarded-key", 1).build()
    };
    conflict(&store, attempt(1), "the last stream of the batch has moved").await;
    assert_eq!(
        log(&store).await,
        before,
        "a refused batch is promised to leave no event behind"
    );
    let kept = store.find_receipt(&key("guarded-key")).await;
    assert!(
        matches!(kept, Ok(None)),
        "a refused batch is promised not to use up its key, found {kept:?}"
    );
    let receipt = append(&store, attempt(2)).await;
    assert!(
        !receipt.replayed,
        "the second batch with the key is the first to succeed, and was called a repetition"
    );
    let positions: Vec<u64> = receipt.events.iter().map(|e| e.position.get()).collect();
    assert_eq!(
        positions,
        [3, 4],
        "a refused batch is promised to leave no hole"
    );
}
