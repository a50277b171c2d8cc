//! Sizes and waits have bounds that hold.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

mod support;

use std::{sync::Arc, time::Duration};

use eventcore::{
    EventFilter, EventStore, GlobalPosition, IdempotencyKey, StreamVersion,
    store::{AppendBatch, AppendError, Idempotency, PageSize, ReadError, ReadFrom, StoreErrorKind},
};
use eventcore_sqlite::{SqliteEventStore, SqliteOptions};
use rusqlite::Connection;
use support::{Folder, batch, event, stream};

#[tokio::test]
async fn a_busy_file_fails_all_that_wait_together_and_not_one_after_the_other() {
    let folder = Folder::new();
    let options = SqliteOptions::new(folder.file()).busy_timeout(Duration::from_millis(200));
    let store = SqliteEventStore::open_with(options).await.unwrap();
    let other = Connection::open(folder.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let append = |number: u32| {
        let store = store.clone();
        tokio::spawn(async move {
            store
                .append(batch(&[(&format!("s{number}"), 0)], "x"))
                .await
        })
    };
    let waiting: Vec<_> = (0..50).map(append).collect();
    let all = async {
        for task in waiting {
            let Err(AppendError::Store(error)) = task.await.unwrap() else {
                panic!("the file is busy");
            };
            assert_eq!(error.kind(), StoreErrorKind::Busy);
        }
    };
    // One after the other it would be ten seconds.
    tokio::time::timeout(Duration::from_secs(5), all)
        .await
        .unwrap();
    other.execute_batch("ROLLBACK").unwrap();
    store.append(batch(&[("a", 0)], "x")).await.unwrap();
}

#[tokio::test]
async fn a_limit_in_bytes_holds_for_any_page_size() {
    let folder = Folder::new();
    let mine = Connection::open(folder.file()).unwrap();
    mine.execute_batch("PRAGMA page_size = 65536; CREATE TABLE mine (x)")
        .unwrap();
    drop(mine);
    let options = SqliteOptions::new(folder.file()).max_bytes(1 << 20);
    let store = SqliteEventStore::open_with(options).await.unwrap();
    let mut number = 0;
    while store
        .append(batch(&[("a", number)], &"x".repeat(20_000)))
        .await
        .is_ok()
    {
        number += 1;
        assert!(number < 200, "the limit was not noticed");
    }
    store.close().await;
    let length = std::fs::metadata(folder.file()).unwrap().len();
    assert!(length <= (1 << 20) + 65_536, "{length}");
}

#[tokio::test]
async fn a_page_is_bounded_in_bytes_metadata_included() {
    let folder = Folder::new();
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    let mut big = AppendBatch::builder();
    big.expect(stream("a"), StreamVersion::EMPTY).unwrap();
    for _ in 0..40 {
        big.event(&stream("a"), event("x")).unwrap();
    }
    big.metadata(Some(Arc::from(format!(
        "{{\"actor\":\"{}\"}}",
        "x".repeat(1 << 20)
    ))));
    store.append(big.build().unwrap()).await.unwrap();
    let (mut next, mut seen) = (GlobalPosition::START, 0);
    loop {
        let most = PageSize::try_new(10_000).unwrap();
        let page = store
            .read_all(next, &EventFilter::all(), most)
            .await
            .unwrap();
        assert!(
            page.events.len() <= 8,
            "{} MiB in one page",
            page.events.len()
        );
        (next, seen) = (page.next, seen + page.events.len());
        if page.at_end {
            break;
        }
    }
    assert_eq!(seen, 40);
}

/// The bytes of payload in each chunk of a read.
async fn chunks(store: &SqliteEventStore, names: &[&str]) -> Vec<usize> {
    let from: Vec<_> = names.iter().map(|n| ReadFrom::start(stream(n))).collect();
    let mut chunks = store.read(&from).await.unwrap().events;
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next_chunk().await.unwrap() {
        let payload = |event: &eventcore::RecordedEvent| event.encoded().payload().len();
        bytes.push(chunk.iter().map(payload).sum());
    }
    bytes
}

#[tokio::test]
async fn a_chunk_of_a_stream_is_bounded_in_bytes() {
    let folder = Folder::new();
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    for version in 0..20 {
        let text = "x".repeat(700 << 10);
        store.append(batch(&[("a", version)], &text)).await.unwrap();
    }
    let chunks = chunks(&store, &["a"]).await;
    assert!(chunks.iter().all(|bytes| *bytes <= 2 << 20), "{chunks:?}");
    assert_eq!(chunks.iter().sum::<usize>() / (700 << 10), 20);
}

#[tokio::test]
async fn an_event_that_is_larger_than_a_chunk_and_a_page_goes_alone() {
    let folder = Folder::new();
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    let (small, large) = ("x".repeat(1000), "x".repeat(9 << 20));
    for (version, text) in [&small, &large, &small, &large].into_iter().enumerate() {
        let one = batch(&[("a", version as u64)], text);
        store.append(one).await.unwrap();
    }
    let chunks = chunks(&store, &["a"]).await;
    let large_ones = chunks.iter().filter(|bytes| **bytes > 2 << 20).count();
    assert_eq!((chunks.len(), large_ones), (4, 2), "{chunks:?}");
    let (all, most) = (EventFilter::all(), PageSize::try_new(100).unwrap());
    let (mut next, mut pages) = (GlobalPosition::START, Vec::new());
    loop {
        let page = store.read_all(next, &all, most).await.unwrap();
        pages.push(page.events.len());
        next = page.next;
        if page.at_end {
            break;
        }
    }
    assert_eq!(pages, [1, 1, 1, 1]);
}

#[tokio::test]
async fn chunks_of_many_streams_are_bounded_in_bytes_and_in_order() {
    let folder = Folder::new();
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    let names: Vec<String> = (0..20).map(|number| format!("s{number}")).collect();
    let text = "x".repeat(300 << 10);
    for version in 0..2 {
        for name in &names {
            store
                .append(batch(&[(name, version)], &text))
                .await
                .unwrap();
        }
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let chunks = chunks(&store, &names).await;
    assert!(chunks.iter().all(|bytes| *bytes <= 2 << 20), "{chunks:?}");
    let from: Vec<_> = names.iter().map(|n| ReadFrom::start(stream(n))).collect();
    let events = store.read(&from).await.unwrap().events.collect();
    let positions = events.await.unwrap();
    let positions: Vec<u64> = positions.iter().map(|e| e.position().get()).collect();
    assert_eq!(positions, (1..=40).collect::<Vec<_>>());
}

#[tokio::test]
async fn thousands_of_streams_are_one_read() {
    let folder = Folder::new();
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    let names: Vec<String> = (0..3000).map(|number| format!("s{number}")).collect();
    for _ in 0..2 {
        let reads: Vec<ReadFrom> = names.iter().map(|n| ReadFrom::start(stream(n))).collect();
        let read = store.read(&reads).await.unwrap();
        let versions: Vec<u64> = read.versions.iter().map(|version| version.get()).collect();
        let streams: Vec<(&str, u64)> = names
            .iter()
            .map(String::as_str)
            .zip(versions.iter().copied())
            .collect();
        let events = read.events.collect().await.unwrap();
        assert_eq!(events.len() as u64, versions.iter().sum::<u64>());
        assert!(events.is_sorted_by_key(eventcore::RecordedEvent::position));
        store.append(batch(&streams, "x")).await.unwrap();
    }
}

#[tokio::test]
async fn a_receipt_whose_events_are_gone_is_an_error() {
    let folder = Folder::new();
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    let key = IdempotencyKey::try_new("k").unwrap();
    let mut keyed = AppendBatch::builder();
    keyed.expect(stream("a"), StreamVersion::EMPTY).unwrap();
    for _ in 0..8 {
        keyed.event(&stream("a"), event("x")).unwrap();
    }
    let fingerprint = uuid::Uuid::nil();
    keyed.idempotency(Idempotency {
        key: key.clone(),
        fingerprint,
    });
    store.append(keyed.build().unwrap()).await.unwrap();
    let connection = Connection::open(folder.file()).unwrap();
    connection
        .execute_batch(
            "DROP TRIGGER eventcore_events_no_delete; DELETE FROM eventcore_events WHERE position = 4",
        )
        .unwrap();
    let error = store.find_receipt(&key).await.unwrap_err();
    assert!(matches!(error, ReadError::CorruptRecord { .. }), "{error}");
}
