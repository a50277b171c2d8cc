//! Files that are not what they should be: a typed error that names the file and, where there is one, the remedy.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

mod support;

use std::{error::Error, fs, path::Path};

use eventcore::{
    EventStore, IdempotencyKey, StreamVersion,
    store::{AppendBatch, AppendError, Idempotency, ReadError, ReadFrom, StoreErrorKind},
};
use eventcore_sqlite::{SqliteEventStore, SqliteOptions};
use rusqlite::Connection;
use support::{Folder, batch, event, log, stream};

async fn refused(path: &Path, kind: StoreErrorKind) -> String {
    let error = SqliteEventStore::open(path).await.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!(error.operation(), "open the store");
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[tokio::test]
async fn a_path_in_a_missing_folder_is_named() {
    let folder = Folder::new();
    let text = refused(&folder.path().join("no/store.db"), StoreErrorKind::Access).await;
    assert!(
        text.contains("there is no folder") && text.contains("no/store.db"),
        "{text}"
    );
}

#[tokio::test]
async fn a_folder_is_no_file() {
    let folder = Folder::new();
    let text = refused(folder.path(), StoreErrorKind::Access).await;
    assert!(text.contains("is a folder"), "{text}");
}

#[tokio::test]
async fn memory_is_another_store() {
    for path in ["", ":memory:"] {
        let text = refused(Path::new(path), StoreErrorKind::Access).await;
        assert!(text.contains("eventcore-memory"), "{text}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let folder = Folder::new();
    let letter = "Dear reader, this is a letter and no database. ".repeat(100);
    fs::write(folder.file(), &letter).unwrap();
    let text = refused(&folder.file(), StoreErrorKind::Corrupt).await;
    assert!(
        text.contains("store.db") && text.contains("not a database"),
        "{text}"
    );
    assert_eq!(fs::read_to_string(folder.file()).unwrap(), letter);
}

#[tokio::test]
async fn odd_characters_in_a_path_are_taken_literally() {
    let folder = Folder::new();
    let path = folder.path().join("file:a?mode=memory&x=%41 é.db");
    let store = SqliteEventStore::open(&path).await.unwrap();
    store.append(batch(&[("a", 0)], "x")).await.unwrap();
    store.close().await;
    assert!(path.exists());
}

#[tokio::test]
async fn a_newer_schema_is_refused_politely_and_left_alone() {
    let folder = Folder::new();
    SqliteEventStore::open(folder.file())
        .await
        .unwrap()
        .close()
        .await;
    let connection = Connection::open(folder.file()).unwrap();
    connection
        .execute("INSERT INTO eventcore_schema (version) VALUES (99)", [])
        .unwrap();
    let text = refused(&folder.file(), StoreErrorKind::Schema).await;
    assert!(
        text.contains("version 99") && text.contains("newer eventcore-sqlite"),
        "{text}"
    );
}

#[tokio::test]
async fn an_applications_own_tables_may_share_the_file() {
    let folder = Folder::new();
    let connection = Connection::open(folder.file()).unwrap();
    connection
        .execute_batch("CREATE TABLE events (mine TEXT); INSERT INTO events VALUES ('x')")
        .unwrap();
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    store.append(batch(&[("a", 0)], "x")).await.unwrap();
    let mine: String = connection
        .query_row("SELECT mine FROM events", [], |row| row.get(0))
        .unwrap();
    assert_eq!(mine, "x");
}

#[tokio::test]
async fn a_file_without_its_end_is_refused() {
    let folder = Folder::new();
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    for number in 0..200 {
        store
            .append(batch(&[("a", number)], &"x".repeat(500)))
            .await
            .unwrap();
    }
    store.close().await;
    assert!(
        !folder.path().join("store.db-wal").exists(),
        "closing leaves one file"
    );
    let length = fs::metadata(folder.file()).unwrap().len();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(folder.file())
        .unwrap();
    file.set_len(length / 2).unwrap();
    let text = refused(&folder.file(), StoreErrorKind::Corrupt).await;
    assert!(
        text.contains("malformed") && text.contains("backup"),
        "{text}"
    );
}

#[tokio::test]
async fn a_damaged_page_is_an_error_and_no_panic() {
    let folder = Folder::new();
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    for number in 0..100 {
        store
            .append(batch(&[("a", number)], &"x".repeat(500)))
            .await
            .unwrap();
    }
    store.close().await;
    assert!(
        !folder.path().join("store.db-wal").exists(),
        "closing leaves one file"
    );
    let mut bytes = fs::read(folder.file()).unwrap();
    for byte in bytes.iter_mut().skip(3 * 4096) {
        *byte = 0xA5;
    }
    fs::write(folder.file(), bytes).unwrap();
    let error = match SqliteEventStore::open(folder.file()).await {
        Err(error) => error,
        Ok(store) => match store.read(&[ReadFrom::start(stream("a"))]).await {
            Err(ReadError::Store(error)) => error,
            other => panic!("expected an error, got {other:?}"),
        },
    };
    assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
    assert!(!error.is_retriable());
}

#[tokio::test]
async fn read_only_reads_and_refuses_to_write() {
    let folder = Folder::new();
    let missing = SqliteOptions::new(folder.file()).read_only();
    let error = SqliteEventStore::open_with(missing.clone())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Access, "{error}");

    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    store.append(batch(&[("a", 0)], "x")).await.unwrap();
    let reader = SqliteEventStore::open_with(missing).await.unwrap();
    assert_eq!(log(&reader).await.len(), 1);
    let error = reader.append(batch(&[("a", 1)], "x")).await.unwrap_err();
    let AppendError::Store(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.kind(), StoreErrorKind::ReadOnly);
    assert_eq!(log(&store).await.len(), 1);
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_what_was_there_stays() {
    let folder = Folder::new();
    let options = SqliteOptions::new(folder.file()).max_bytes(256 << 10);
    let store = SqliteEventStore::open_with(options).await.unwrap();
    let mut written = 0;
    let error = loop {
        match store
            .append(batch(&[("a", written), ("b", written)], &"x".repeat(2000)))
            .await
        {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 1000, "the limit was not noticed");
    };
    let AppendError::Store(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
    assert!(
        !error.is_retriable() && error.to_string().contains("nothing was written"),
        "{error}"
    );
    let events = log(&store).await;
    assert_eq!(events.len() as u64, 2 * written, "whole batches only");

    store.close().await;
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    store
        .append(batch(&[("a", written)], "there is room again"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_big_batch_that_does_not_fit_does_not_fail_its_neighbours() {
    let folder = Folder::new();
    let options = SqliteOptions::new(folder.file()).max_bytes(512 << 10);
    let store = SqliteEventStore::open_with(options).await.unwrap();
    let small = |number: u32| {
        let store = store.clone();
        async move {
            store
                .append(batch(&[(&format!("s{number}"), 0)], "x"))
                .await
        }
    };
    let big = store.append(batch(&[("big", 0)], &"x".repeat(1 << 20)));
    let (one, big, two) = tokio::join!(small(1), big, small(2));
    assert!(big.is_err());
    one.unwrap();
    two.unwrap();
}

#[tokio::test]
async fn a_damaged_row_is_named_by_its_position() {
    let folder = Folder::new();
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    store.append(batch(&[("a", 0)], "x")).await.unwrap();
    let connection = Connection::open(folder.file()).unwrap();
    connection
        .execute_batch(
            "DROP TRIGGER eventcore_events_no_update;
             UPDATE eventcore_events SET id = x'00' WHERE position = 1",
        )
        .unwrap();
    let error = store
        .read(&[ReadFrom::start(stream("a"))])
        .await
        .unwrap_err();
    assert!(
        matches!(error, ReadError::CorruptRecord { position, .. } if position.get() == 1),
        "{error}"
    );
    assert!(error.to_string().contains("position 1"), "{error}");
}

#[tokio::test]
async fn events_cannot_be_changed_or_deleted_by_sql() {
    let folder = Folder::new();
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    store.append(batch(&[("a", 0)], "x")).await.unwrap();
    let connection = Connection::open(folder.file()).unwrap();
    for (sql, says) in [
        ("UPDATE eventcore_events SET version = 9", "never changed"),
        ("DELETE FROM eventcore_events", "never deleted"),
    ] {
        let error = connection.execute(sql, []).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    assert_eq!(log(&store).await.len(), 1);
}

#[tokio::test]
async fn the_log_can_be_looked_at_by_hand() {
    let folder = Folder::new();
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    store.append(batch(&[("a", 0)], "hello")).await.unwrap();
    let connection = Connection::open(folder.file()).unwrap();
    let found: (String, String) = connection
        .query_row(
            "SELECT stream, payload ->> 'text' FROM eventcore_log",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!(found, ("a".into(), "hello".into()));
}

#[tokio::test]
async fn closing_finishes_what_waits_and_then_refuses() {
    let folder = Folder::new();
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    let waiting: Vec<_> = (0..50)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                store
                    .append(batch(&[(&format!("s{number}"), 0)], "x"))
                    .await
            })
        })
        .collect();
    tokio::task::yield_now().await;
    store.close().await;
    let mut appended = 0;
    for task in waiting {
        match task.await.unwrap() {
            Ok(_) => appended += 1,
            Err(AppendError::Store(error)) => assert_eq!(error.kind(), StoreErrorKind::Closed),
            Err(error) => panic!("{error}"),
        }
    }
    let error = store.append(batch(&[("late", 0)], "x")).await.unwrap_err();
    assert!(error.to_string().contains("closed"), "{error}");
    assert!(store.read(&[ReadFrom::start(stream("a"))]).await.is_err());
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    assert_eq!(log(&store).await.len(), appended);
}

#[tokio::test]
async fn a_remembered_command_is_found_after_opening_again() {
    let folder = Folder::new();
    let key = IdempotencyKey::try_new("request-7").unwrap();
    let mut keyed = AppendBatch::builder();
    keyed.expect(stream("a"), StreamVersion::EMPTY).unwrap();
    keyed.event(&stream("a"), event("x")).unwrap();
    keyed.idempotency(Idempotency {
        key: key.clone(),
        fingerprint: uuid::Uuid::nil(),
    });
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    let first = store.append(keyed.build().unwrap()).await.unwrap();
    store.close().await;
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    let kept = store.find_receipt(&key).await.unwrap().unwrap();
    assert_eq!(kept.receipt.events, first.events);
}
