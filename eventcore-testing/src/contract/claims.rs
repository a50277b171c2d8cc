//! What a store claims in its capabilities is so. Clauses about what it does not claim pass.

use std::sync::Arc;

use eventcore::store::{AppendError, Capabilities};
use tokio::sync::Barrier;

use super::{
    Harness,
    kit::{
        append, check_witnesses, conflict, draft, fill, join, key, log, numbered, stream,
        try_append, view, witness,
    },
};

/// Whether a power cut is survived depends on how the server or file was set up, not on the store alone.
fn of_the_store(claimed: Capabilities) -> Capabilities {
    let mut claims = claimed;
    claims.survives_power_cut = false;
    claims
}

/// The store against its tests.
pub async fn capabilities_are_as_declared(harness: Harness) {
    let store = harness.store();
    assert_eq!(
        of_the_store(store.capabilities()),
        of_the_store(harness.capabilities()),
        "the store claims (left) what its tests do not declare (right), or the other way round"
    );
    let again = store.capabilities();
    assert!(
        again.durable || !again.survives_power_cut,
        "what survives a power cut survives the end of the process too"
    );
    fill(&store, &stream("claims:a"), 1).await;
    assert_eq!(again, store.capabilities(), "claims do not change with use");
}

/// For stores that claim to be durable: everything is there when they are opened again, and order goes on.
pub async fn reopening_keeps_everything(harness: Harness) {
    if !harness.capabilities().durable {
        return;
    }
    let (a, b) = (stream("durable:a"), stream("durable:b"));
    let keyed = || {
        let batch = draft().expect(&b, 0).event(&b, numbered(1));
        batch.key("durable-key", 1).build()
    };
    let (before, first) = {
        let store = harness.store();
        fill(&store, &a, 1500).await;
        let first = append(&store, keyed()).await;
        (log(&store).await, first)
    };
    let harness = harness.reopen().await;
    let store = harness.store();
    assert!(
        log(&store).await == before,
        "acknowledged events are promised to be there, unchanged, when the store is opened again"
    );
    assert_eq!(view(&store, &[&a, &b]).await.versions, [1500, 1]);
    let kept = store
        .find_receipt(&key("durable-key"))
        .await
        .expect("asking for a receipt");
    assert_eq!(
        kept.map(|kept| kept.receipt.events),
        Some(first.events),
        "the receipt of a key is promised to be kept"
    );
    let again = append(&store, keyed()).await;
    assert!(
        again.replayed,
        "the key was used before the store was opened again"
    );
    let stale = draft().expect(&a, 0).event(&a, numbered(0)).build();
    conflict(&store, stale, "the stream has 1500 events from before").await;
    let next = append(
        &store,
        draft().expect(&a, 1500).event(&a, numbered(0)).build(),
    )
    .await;
    assert_eq!(
        next.events[0].position.get(),
        1502,
        "positions go on where they were"
    );
}

/// For stores that claim to serve several processes: two handles on the same data race for one stream.
pub async fn two_handles_guard_each_other(harness: Harness) {
    const INCREMENTS: usize = 10;
    if !harness.capabilities().multi_process {
        return;
    }
    let handles = [harness.store(), harness.second().await];
    let counter = stream("handles:counter");
    let barrier = Arc::new(Barrier::new(4));
    let mut tasks = Vec::new();
    for task in 0..4 {
        let (store, counter) = (handles[task % 2].clone(), counter.clone());
        let barrier = Arc::clone(&barrier);
        tasks.push(tokio::spawn(async move {
            barrier.wait().await;
            let mut done = 0;
            while done < INCREMENTS {
                let at = view(&store, &[&counter]).await.versions[0];
                let event = witness(&[(&counter, at)]);
                let batch = draft().expect(&counter, at).event(&counter, event);
                match try_append(&store, batch.build()).await {
                    Ok(_) => done += 1,
                    Err(AppendError::Conflict(_)) => tokio::task::yield_now().await,
                    Err(error) => panic!("a race between two handles met {error:?}"),
                }
            }
        }));
    }
    join(tasks).await;
    let logs = [log(&handles[0]).await, log(&handles[1]).await];
    assert!(
        logs[0] == logs[1],
        "two handles on the same data show two logs"
    );
    check_witnesses(&logs[0]);
    assert_eq!(logs[0].len(), 4 * INCREMENTS);
    let batch = || {
        let other = stream("handles:other");
        let batch = draft().expect(&other, 0).event(&other, numbered(1));
        batch.key("handles-key", 1).build()
    };
    append(&handles[0], batch()).await;
    let again = append(&handles[1], batch()).await;
    assert!(
        again.replayed,
        "a key used through one handle is known to the other"
    );
}
