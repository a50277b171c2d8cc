//! P4: a command takes effect once, however often it is sent.

use std::{sync::Arc, time::Duration};

use eventcore::{
    CommandError, execute,
    store::{AppendBatch, AppendError, AppendReceipt},
};
use tokio::sync::Barrier;
use uuid::Uuid;

use super::{
    Harness,
    kit::{
        PATIENCE, Store, append, conflict, draft, dropped_after, fill, join, key, log, numbered,
        patiently, stream, try_append, view,
    },
    purse::{Add, Decided},
};

fn assert_replayed(first: &AppendReceipt, again: &AppendReceipt, when: &str) {
    assert!(
        again.replayed,
        "{when}: promised the first receipt, marked as replayed; got {again:?}"
    );
    assert_eq!(
        (&again.events, again.correlation_id),
        (&first.events, first.correlation_id),
        "{when}: promised the first receipt, got another one"
    );
}

fn one_event(name: &str, at: u64, key: &str, fingerprint: u128) -> AppendBatch {
    let stream = stream(name);
    let batch = draft()
        .expect(&stream, at)
        .event(&stream, numbered(at))
        .event(&stream, numbered(at));
    batch.key(key, fingerprint).build()
}

/// The same batch again, and one made anew with other event ids.
pub async fn a_key_seen_before_returns_the_first_receipt(harness: Harness) {
    let store = harness.store();
    let batch = one_event("once:a", 0, "key-1", 1);
    let first = append(&store, batch.clone()).await;
    assert!(
        !first.replayed,
        "the first append with a key is no repetition"
    );
    let again = append(&store, batch).await;
    assert_replayed(&first, &again, "the same batch again");
    let again = append(&store, one_event("once:a", 0, "key-1", 1)).await;
    assert_replayed(
        &first,
        &again,
        "a new batch with the same key and fingerprint",
    );
    assert_eq!(
        log(&store).await.len(),
        2,
        "a repeated batch is promised to append nothing"
    );
}

/// The key comes back with another fingerprint.
pub async fn a_key_of_another_command_is_refused(harness: Harness) {
    let store = harness.store();
    append(&store, one_event("once:a", 0, "key-1", 1)).await;
    let other = try_append(&store, one_event("once:b", 0, "key-1", 2)).await;
    match other {
        Err(AppendError::IdempotencyConflict { key }) => assert_eq!(key.as_str(), "key-1"),
        other => panic!(
            "a key that was used with another fingerprint is promised to be an `IdempotencyConflict`, got {other:?}"
        ),
    }
    assert_eq!(
        log(&store).await.len(),
        2,
        "a refused batch appends nothing"
    );
}

/// Everything has moved since: by the command's own events, and by others.
pub async fn a_key_is_looked_at_before_the_expectations(harness: Harness) {
    let store = harness.store();
    let batch = one_event("once:a", 0, "key-1", 1);
    let first = append(&store, batch.clone()).await;
    let again = append(&store, batch.clone()).await;
    assert_replayed(&first, &again, "a retry that meets its own events");
    let a = stream("once:a");
    append(&store, draft().expect(&a, 2).event(&a, numbered(2)).build()).await;
    let again = append(&store, batch).await;
    assert_replayed(&first, &again, "a retry after others have written");
    let other = try_append(&store, one_event("once:a", 0, "key-1", 2)).await;
    assert!(
        matches!(other, Err(AppendError::IdempotencyConflict { .. })),
        "the key is promised to be looked at before the expectations, got {other:?}"
    );
}

/// Eight tasks append the same command at the same moment, several times.
pub async fn one_key_at_the_same_time_has_one_effect(harness: Harness) {
    const TASKS: usize = 8;
    const ROUNDS: usize = 8;
    let store = harness.store();
    let barrier = Arc::new(Barrier::new(TASKS));
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let (store, barrier) = (store.clone(), Arc::clone(&barrier));
        tasks.push(tokio::spawn(async move {
            let mut receipts = Vec::new();
            for round in 0..ROUNDS {
                let name = format!("once:{round}");
                let batch = one_event(&name, 0, &format!("key-{round}"), 1);
                barrier.wait().await;
                match try_append(&store, batch).await {
                    Ok(receipt) => receipts.push(receipt),
                    Err(error) => panic!(
                        "task {task} of {TASKS} that append one command under one key met {error:?}"
                    ),
                }
            }
            receipts
        }));
    }
    let receipts = join(tasks).await;
    for round in 0..ROUNDS {
        let of_round: Vec<_> = receipts.iter().map(|task| &task[round]).collect();
        let first: Vec<_> = of_round.iter().filter(|r| !r.replayed).collect();
        assert_eq!(
            first.len(),
            1,
            "of {TASKS} concurrent appends with one key exactly one is promised to take effect"
        );
        for receipt in &of_round {
            assert_eq!(
                receipt.events, first[0].events,
                "concurrent appends with one key are promised the same receipt"
            );
        }
    }
    assert_eq!(
        log(&store).await.len(),
        2 * ROUNDS,
        "{ROUNDS} keys of two events each"
    );
}

/// A decision that nothing is to do, under a key.
pub async fn an_empty_batch_with_a_key_is_remembered(harness: Harness) {
    let store = harness.store();
    let a = stream("once:a");
    let nothing = || draft().expect(&a, 0).key("key-nothing", 1).build();
    let first = append(&store, nothing()).await;
    assert!(first.events.is_empty() && !first.replayed, "got {first:?}");
    fill(&store, &a, 1).await;
    let again = append(&store, nothing()).await;
    assert_replayed(
        &first,
        &again,
        "an empty batch again, after its stream has moved",
    );
    let other = try_append(&store, one_event("once:b", 0, "key-nothing", 2)).await;
    assert!(
        matches!(other, Err(AppendError::IdempotencyConflict { .. })),
        "the key of an empty batch is used up as well, got {other:?}"
    );
    let moved = draft().expect(&a, 0).key("key-moved", 1).build();
    super::kit::conflict(&store, moved, "an empty batch is guarded like any other").await;
}

/// Before, after, and for a key that nobody used.
pub async fn a_kept_receipt_can_be_asked_for(harness: Harness) {
    let store = harness.store();
    let find = async |name: &str| {
        let found = store.find_receipt(&key(name)).await;
        found.unwrap_or_else(|error| panic!("asking for the receipt of `{name}` failed: {error:?}"))
    };
    assert_eq!(find("key-1").await, None, "nobody has used the key");
    let first = append(&store, one_event("once:a", 0, "key-1", 77)).await;
    let Some(kept) = find("key-1").await else {
        panic!("the receipt of an acknowledged append with a key is promised to be kept")
    };
    assert_eq!(
        kept.fingerprint,
        Uuid::from_u128(77),
        "the fingerprint is kept with the receipt"
    );
    assert_replayed(&first, &kept.receipt, "the kept receipt");
    assert_eq!(find("key-2").await, None, "nobody has used that key");
}

/// Keys that a collation, a trim or a pattern would take for the same.
pub async fn keys_are_compared_byte_for_byte(harness: Harness) {
    let store = harness.store();
    let long = "k".repeat(255);
    let wide = "\u{1F511}".repeat(255);
    // Digests of other keys, which a store may keep instead of their texts.
    let digests = [
        Uuid::NAMESPACE_OID,
        Uuid::NAMESPACE_URL,
        Uuid::NAMESPACE_DNS,
    ]
    .map(|space| Uuid::new_v5(&space, b"key").to_string());
    let upper = digests[0].to_uppercase();
    let keys = [
        &digests[0],
        &digests[1],
        &digests[2],
        &upper,
        "key",
        "KEY",
        "Key",
        "key ",
        " key",
        "k_y",
        "k%y",
        "k\\y",
        "k'y",
        "caf\u{e9}",
        "cafe\u{301}",
        "1",
        "01",
        "1.0",
        "1e0",
        &long,
        &wide,
    ];
    for (number, name) in keys.iter().enumerate() {
        let batch = one_event(&format!("once:{number}"), 0, name, number as u128);
        let receipt = append(&store, batch).await;
        assert!(
            !receipt.replayed,
            "key {name:?} was not used before and is taken for one of {:?}",
            &keys[..number]
        );
    }
    for (number, name) in keys.iter().enumerate() {
        let kept = store.find_receipt(&key(name)).await;
        let kept = kept.expect("a receipt can be asked for");
        assert_eq!(
            kept.map(|kept| kept.fingerprint),
            Some(Uuid::from_u128(number as u128)),
            "key {name:?} has a receipt of its own"
        );
    }
}

/// Whole commands under one key, one after the other and at the same time.
pub async fn a_repeated_command_does_not_decide_again(harness: Harness) {
    let store = harness.store();
    let purse = stream("once:purse");
    let decided = Arc::new(Decided::default());
    let run = || {
        let add = Add::counted(&purse, &decided);
        let store = store.clone();
        tokio::spawn(async move {
            let running = execute(add, &store).idempotency_key(key("request-1"));
            running.await.expect("a command under a key")
        })
    };
    let first = run().await.unwrap();
    assert_eq!(decided.times(), 1);
    let again = run().await.unwrap();
    assert!(
        again.replayed,
        "a command whose key has taken effect is promised its first receipt, got {again:?}"
    );
    assert_eq!(again.events, first.events, "the first receipt is promised");
    assert_eq!(
        decided.times(),
        1,
        "`handle` is promised not to run again for a key that has taken effect"
    );
    join((0..8).map(|_| run()).collect()).await;
    assert_eq!(decided.times(), 1);
    let other = Add::to(&stream("once:other"));
    let other = execute(other, &store)
        .idempotency_key(key("request-1"))
        .await;
    assert!(
        matches!(other, Err(CommandError::IdempotencyConflict { .. })),
        "another command under the key is promised to be refused, got {other:?}"
    );
    assert_eq!(log(&store).await.len(), 1, "ten runs have one effect");
}

/// Sent again as it is, after other events came behind it and a stream that it only reads has moved; and a batch of the
/// same content that is not the same one.
pub async fn a_batch_without_a_key_may_be_sent_again(harness: Harness) {
    let store = harness.store();
    let (a, b, read_only) = (stream("again:a"), stream("again:b"), stream("again:read"));
    let make = || {
        let batch = draft().expect(&read_only, 0).expect(&a, 0).expect(&b, 0);
        let batch = batch.event(&b, numbered(1)).event(&a, numbered(2));
        batch.event(&b, numbered(3)).build()
    };
    let batch = make();
    let first = append(&store, batch.clone()).await;
    assert!(!first.replayed, "the first append is no repetition");
    let again = append(&store, batch.clone()).await;
    assert_replayed(&first, &again, "the same batch again");
    fill(&store, &read_only, 2).await;
    append(&store, draft().expect(&a, 1).event(&a, numbered(4)).build()).await;
    let again = append(&store, batch.clone()).await;
    assert_replayed(&first, &again, "after all its streams have moved");
    let sent = (0..8).map(|_| {
        let (store, batch) = (store.clone(), batch.clone());
        tokio::spawn(async move { append(&store, batch).await })
    });
    for again in join(sent.collect()).await {
        assert_replayed(&first, &again, "eight times at the same moment");
    }
    let other = conflict(
        &store,
        make(),
        "a batch of the same content that is not the same one",
    )
    .await;
    assert_eq!(other.streams().len(), 3, "all streams have moved: {other}");
    assert_eq!(log(&store).await.len(), 6, "each batch was appended once");
}

/// Appends that were dropped on their way, and what is said of them then.
pub async fn an_absent_receipt_may_be_believed(harness: Harness) {
    const POLLS: usize = 40;
    let store = harness.store();
    let mut told = Vec::new();
    for polls in 1..POLLS {
        let name = format!("believed:{polls}");
        let batch = one_event(&name, 0, &name, 1);
        dropped_after(polls % 8 + 1, Duration::ZERO, store.append(batch)).await;
        let found = find_receipt(&store, &name).await;
        told.push((name, found));
    }
    // Time for what is still under way, against what was said.
    tokio::time::sleep(Duration::from_millis(100)).await;
    for (name, found) in told {
        let there = view(&store, &[&stream(&name)]).await.versions[0] > 0;
        assert_eq!(
            found, there,
            "`find_receipt` said {found} of key {name:?}, and its events are there: {there}"
        );
        let committed = store.committed_receipt(&key(&name)).await;
        let committed = committed.expect("a receipt can be asked for");
        assert_eq!(
            committed.is_some(),
            there,
            "of key {name:?}, long afterwards"
        );
    }
}

async fn find_receipt(store: &Store, name: &str) -> bool {
    let found = patiently!(store.find_receipt(&key(name)), ref error => error.is_retriable());
    found.expect("a receipt can be asked for").is_some()
}
