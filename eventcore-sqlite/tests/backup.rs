//! Copies of an open file: complete, of one moment, and never half made under their name.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

mod support;

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use eventcore::{
    EventStore,
    store::{StoreError, StoreErrorKind},
};
use eventcore_sqlite::{SqliteEventStore, SqliteOptions};
use support::{Folder, batch, log};

async fn append(store: &SqliteEventStore, stream: &str, version: u64) {
    let text = "x".repeat(2000);
    store
        .append(batch(&[(stream, version)], &text))
        .await
        .unwrap();
}

async fn refused(store: &SqliteEventStore, path: &Path) -> StoreError {
    let error = store.backup_to(path).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Access, "{error}");
    assert_eq!(error.operation(), "back the store up");
    let name = path.file_name().unwrap().to_string_lossy();
    assert!(error.to_string().contains(&*name), "{error}");
    error
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_backup_says_how_far_it_goes_and_holds_just_that() {
    let (folder, target) = (Folder::new(), Folder::new());
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    let empty = target.path().join("empty.db");
    assert_eq!(store.backup_to(&empty).await.unwrap().get(), 0);
    for version in 0..50 {
        append(&store, "a", version).await;
    }
    // Nothing of this is in the database file yet: it is in the write-ahead log.
    assert_eq!(store.backup_to(target.file()).await.unwrap().get(), 50);
    append(&store, "a", 50).await;
    assert_eq!(names(target.path()), ["empty.db", "store.db"]);

    let copy = SqliteEventStore::open(target.file()).await.unwrap();
    assert_eq!(log(&copy).await, log(&store).await[..50]);
    append(&copy, "b", 0).await;
    let copy = SqliteEventStore::open(&empty).await.unwrap();
    assert_eq!(log(&copy).await.len(), 0);
    assert_eq!(log(&store).await.len(), 51);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_appends_is_one_moment_and_does_not_stop_them() {
    let (folder, target) = (Folder::new(), Folder::new());
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    for version in 0..300 {
        append(&store, "a", version).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let appending = {
        let (store, stop) = (store.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut version = 0;
            while !stop.load(Ordering::Relaxed) {
                append(&store, "b", version).await;
                version += 1;
            }
        })
    };
    for number in 0..5 {
        let path = target.path().join(format!("{number}.db"));
        let end = store.backup_to(&path).await.unwrap();
        let copy = SqliteEventStore::open(&path).await.unwrap();
        let events = log(&copy).await;
        assert_eq!(events.len() as u64, end.get());
        assert_eq!(events.last().unwrap().position(), end);
    }
    stop.store(true, Ordering::Relaxed);
    appending.await.unwrap();
}

#[tokio::test]
async fn nothing_that_exists_is_overwritten() {
    let (folder, target) = (Folder::new(), Folder::new());
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    append(&store, "a", 0).await;
    refused(&store, &folder.file()).await;
    fs::write(target.file(), "a letter").unwrap();
    refused(&store, &target.file()).await;
    assert_eq!(fs::read_to_string(target.file()).unwrap(), "a letter");
    // An old log beside a new file would be applied to it.
    for ending in ["-wal", "-shm", "-journal"] {
        let beside = target.path().join(format!("new.db{ending}"));
        fs::write(&beside, "").unwrap();
        let error = refused(&store, &target.path().join("new.db")).await;
        assert!(error.to_string().contains(ending), "{error}");
        fs::remove_file(beside).unwrap();
    }
    assert_eq!(names(target.path()), ["store.db"]);
    assert_eq!(log(&store).await.len(), 1);
}

#[tokio::test]
async fn a_backup_that_cannot_be_written_leaves_nothing() {
    let folder = Folder::new();
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    append(&store, "a", 0).await;
    let error = refused(&store, &folder.path().join("no/backup.db")).await;
    assert!(error.to_string().contains("no folder"), "{error}");
    refused(&store, Path::new("file:backup.db")).await;
    let before = names(folder.path());
    refused(&store, &folder.path().join("b".repeat(600))).await;
    assert_eq!(names(folder.path()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_given_up_leaves_nothing_half_made() {
    let (folder, target) = (Folder::new(), Folder::new());
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    for version in 0..20 {
        let text = "x".repeat(1 << 20);
        store.append(batch(&[("a", version)], &text)).await.unwrap();
    }
    for number in 0..20 {
        let path = target.path().join(format!("{number}.db"));
        let backup = tokio::spawn({
            let (store, path) = (store.clone(), path.clone());
            async move { store.backup_to(path).await }
        });
        tokio::time::sleep(Duration::from_millis(number)).await;
        backup.abort();
    }
    // Those that were just done are whole, of the others nothing is left.
    let start = Instant::now();
    while names(target.path())
        .iter()
        .any(|name| name.contains("partial"))
    {
        assert!(start.elapsed() < Duration::from_mins(1));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for name in names(target.path()) {
        let copy = SqliteOptions::new(target.path().join(name)).create(false);
        let copy = SqliteEventStore::open_with(copy).await.unwrap();
        assert_eq!(log(&copy).await.len(), 20);
        copy.close().await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_backup_is_as_private_as_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, target) = (Folder::new(), Folder::new());
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(folder.file(), private).unwrap();
    store.backup_to(target.file()).await.unwrap();
    let mode = fs::metadata(target.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_replaced_or_closed_store_makes_no_backup() {
    let (folder, target) = (Folder::new(), Folder::new());
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    append(&store, "a", 0).await;
    fs::rename(folder.file(), folder.path().join("away")).unwrap();
    let error = store.backup_to(target.file()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Replaced, "{error}");
    store.close().await;
    let error = store.backup_to(target.file()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Closed, "{error}");
    assert_eq!(names(target.path()), [""; 0]);
}
