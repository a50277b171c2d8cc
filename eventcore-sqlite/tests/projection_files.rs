//! Projections and their file: shared, new, missing, full, of a newer program, opened again.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

mod support;

use std::time::Duration;

use eventcore::{
    EventStore,
    projection::{ProjectionStore, UnitOfWork},
    store::StoreErrorKind,
};
use eventcore_sqlite::{
    SqliteEventStore, SqliteProjections, SqliteProjectionsOptions, rusqlite::Connection,
};
use support::{Folder, batch, log, views::*};

async fn store(folder: &Folder) -> SqliteProjections {
    SqliteProjections::open(folder.file()).await.unwrap()
}

#[tokio::test]
async fn it_shares_a_file_with_the_events_and_an_application() {
    let folder = Folder::new();
    Connection::open(folder.file())
        .unwrap()
        .execute_batch("CREATE TABLE customers (name TEXT)")
        .unwrap();
    let events = SqliteEventStore::open(folder.file()).await.unwrap();
    let views = store(&folder).await;
    let lease = lead(&views).await;
    let (appended, committed) = tokio::join!(
        async {
            for version in 0..200 {
                events.append(batch(&[("a", version)], "x")).await.unwrap();
            }
        },
        async {
            for position in 1..=200_u64 {
                let mut unit = views.begin(&lease).await.unwrap();
                let text = position.to_string();
                unit.put(vec![change("last", &text)]).await.unwrap();
                unit.commit(at(position)).await.unwrap();
            }
        }
    );
    let ((), ()) = (appended, committed);
    assert_eq!(log(&events).await.len(), 200);
    assert_eq!(body(&views, "last").await.as_deref(), Some("200"));
    events.close().await;
    views.close().await;
}

#[tokio::test]
async fn a_file_of_a_newer_program_is_refused() {
    let folder = Folder::new();
    store(&folder).await.close().await;
    Connection::open(folder.file())
        .unwrap()
        .execute("UPDATE eventcore_projection_schema SET version = 99", [])
        .unwrap();
    let error = SqliteProjections::open(folder.file()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Schema, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_open_a_new_file_at_once() {
    let folder = Folder::new();
    let opened: Vec<_> = (0..8)
        .map(|_| tokio::spawn(SqliteProjections::open(folder.file())))
        .collect();
    for store in opened {
        store.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_not_made_against_the_will() {
    let folder = Folder::new();
    let options = SqliteProjectionsOptions::new(folder.file()).create(false);
    let error = SqliteProjections::open_with(options).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Access, "{error}");
    assert!(!folder.file().exists());
}

#[tokio::test]
async fn a_full_file_refuses_the_unit_and_stays_whole() {
    let folder = Folder::new();
    let options = SqliteProjectionsOptions::new(folder.file()).max_bytes(200_000);
    let store = SqliteProjections::open_with(options).await.unwrap();
    let lease = lead(&store).await;
    let mut unit = store.begin(&lease).await.unwrap();
    let big = format!("\"{}\"", "x".repeat(400_000));
    let put = unit.put(vec![change("a", "1"), change("b", &big)]).await;
    // Also when the projection does not look at it.
    let committed = unit.commit(at(1)).await;
    let error = put.and(committed).unwrap_err();
    assert!(error.to_string().contains("no space is left"), "{error}");
    assert_eq!(body(&store, "a").await, None);
    let mut unit = store.begin(&lease).await.unwrap();
    unit.put(vec![change("a", "2")]).await.unwrap();
    unit.commit(at(1)).await.unwrap();
    assert_eq!(body(&store, "a").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn everything_is_there_after_opening_again() {
    let folder = Folder::new();
    let first = store(&folder).await;
    let lease = lead(&first).await;
    let mut unit = first.begin(&lease).await.unwrap();
    unit.put(vec![change("a", r#"{"n":1}"#)]).await.unwrap();
    let progress = at(9);
    unit.commit(progress).await.unwrap();
    first.close().await;
    let second = store(&folder).await;
    let standing = second.standings(&name()).await.unwrap().remove(0);
    assert_eq!(standing.checkpoint, progress.checkpoint);
    assert_eq!(standing.leader.unwrap().0, lease.owner);
    assert_eq!(body(&second, "a").await.as_deref(), Some(r#"{"n":1}"#));
}

#[tokio::test]
async fn a_closed_store_says_so_and_leaves_one_file() {
    let folder = Folder::new();
    let store = store(&folder).await;
    let lease = lead(&store).await;
    let unit = store.begin(&lease).await.unwrap();
    let closing = {
        let store = store.clone();
        tokio::spawn(async move { store.close().await })
    };
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!closing.is_finished(), "it waits for the unit");
    unit.commit(at(1)).await.unwrap();
    closing.await.unwrap();
    let error = store.begin(&lease).await.unwrap_err();
    assert!(error.to_string().contains("closed"), "{error}");
    assert!(
        store
            .names()
            .await
            .unwrap_err()
            .to_string()
            .contains("closed")
    );
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 1, "the write-ahead log is in the file");
}
