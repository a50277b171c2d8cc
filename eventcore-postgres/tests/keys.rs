//! Idempotency keys: each text has its own row, and a row is used only for its own text.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

mod support;

use eventcore::{
    EventStore, IdempotencyKey, StreamVersion,
    store::{AppendBatch, AppendError, Idempotency},
};
use eventcore_postgres::PostgresEventStore;
use eventcore_testing::temp_postgres::TempDatabase;
use support::{event, log, migrated, open, stream};
use uuid::Uuid;

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::try_new(text).unwrap()
}

/// What the crate makes of a text that is no UUID.
fn digest(text: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).to_string()
}

/// One or two events under a key; the same whatever the key.
fn keyed(text: &str, streams: &[&str]) -> AppendBatch {
    let mut batch = AppendBatch::builder();
    for name in streams {
        batch.expect(stream(name), StreamVersion::EMPTY).unwrap();
        batch.event(&stream(name), event("x")).unwrap();
    }
    batch.idempotency(Idempotency {
        key: key(text),
        fingerprint: Uuid::nil(),
    });
    batch.build().unwrap()
}

async fn append(store: &PostgresEventStore, text: &str, streams: &[&str]) -> bool {
    store.append(keyed(text, streams)).await.unwrap().replayed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_and_the_text_of_its_digest_are_two_keys() {
    // Alone, and in a group of its own with two streams, which goes another way.
    for streams in [&["a", "b", "c"][..], &["a 1,a 2", "b 1,b 2", "c 1,c 2"]] {
        let database = migrated();
        let store = open(&database).await;
        let twice = digest("request-7");
        let texts = ["request-7", &twice, &digest(&twice)];
        for (text, streams) in texts.iter().zip(streams) {
            let streams: Vec<_> = streams
                .split(',')
                .map(|name| name.replace(' ', ":"))
                .collect();
            let streams: Vec<_> = streams.iter().map(String::as_str).collect();
            assert!(
                store.find_receipt(&key(text)).await.unwrap().is_none(),
                "{text}"
            );
            assert!(!append(&store, text, &streams).await, "{text}");
            assert!(append(&store, text, &streams).await, "{text}");
            let kept = store.find_receipt(&key(text)).await.unwrap().unwrap();
            assert_eq!(kept.receipt.events[0].stream, stream(streams[0]));
        }
    }
}

/// A row as programs of schema version 3 wrote it, for the last event.
fn old_row(database: &TempDatabase<'_>, key: &str, text: &str) {
    let sql = format!(
        "ALTER TABLE eventcore.commands DISABLE TRIGGER ALL;
         INSERT INTO eventcore.commands SELECT '{key}', {text}, '{}', gen_random_uuid(), max(position), 1
         FROM eventcore.events;
         ALTER TABLE eventcore.commands ENABLE TRIGGER ALL",
        Uuid::nil()
    );
    database.sql(&sql).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_written_before_are_found() {
    let database = migrated();
    let store = open(&database).await;
    append(&store, "first", &["a"]).await;
    let of_version_5 = digest("some request");
    old_row(&database, &of_version_5, "NULL");
    old_row(&database, &digest("plain"), "'plain'");
    for text in [of_version_5.as_str(), "plain"] {
        let kept = store.find_receipt(&key(text)).await.unwrap().unwrap();
        assert_eq!(kept.receipt.events[0].stream, stream("a"));
        assert!(append(&store, text, &["b"]).await, "{text}");
        assert!(append(&store, text, &["b", "c"]).await, "{text}");
    }
    assert_eq!(log(&store).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_another_text_is_a_conflict_and_never_a_replay() {
    let database = migrated();
    let store = open(&database).await;
    append(&store, "first", &["a"]).await;
    // As if two texts had one digest.
    old_row(&database, &digest("one"), "'another'");
    for streams in [&["b"][..], &["b", "c"]] {
        let error = store.append(keyed("one", streams)).await.unwrap_err();
        assert!(
            matches!(error, AppendError::IdempotencyConflict { .. }),
            "{error}"
        );
    }
    assert!(store.find_receipt(&key("one")).await.unwrap().is_none());
    // A row without a text belongs to the UUID itself.
    old_row(&database, &digest("two"), "NULL");
    assert!(store.find_receipt(&key("two")).await.unwrap().is_none());
    let error = store.append(keyed("two", &["b"])).await.unwrap_err();
    assert!(
        matches!(error, AppendError::IdempotencyConflict { .. }),
        "{error}"
    );
    assert!(append(&store, &digest("two"), &["b"]).await);
    assert_eq!(log(&store).await.len(), 1);
}
