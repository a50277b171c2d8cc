//! A file that is deleted, moved or replaced under an open store: nothing is acknowledged any more, and the error says
//! why and what to do.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

mod support;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use eventcore::{
    EventFilter, EventStore, GlobalPosition,
    projection::{ProjectionStore, ProjectionStoreError, UnitOfWork},
    store::{AppendError, PageSize, ReadError, ReadFrom, StoreError, StoreErrorKind},
};
use eventcore_sqlite::{SqliteEventStore, SqliteOptions, SqliteProjections};
use support::{Folder, batch, log, stream, views};

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

async fn append(store: &SqliteEventStore, version: u64) -> Result<(), AppendError> {
    store.append(batch(&[("a", version)], "x")).await.map(drop)
}

/// Appends are refused from now on, for good, in words that name the path and the remedy.
async fn appends_are_refused(store: &SqliteEventStore, path: &Path) -> String {
    let mut told = String::new();
    for version in [5, 5, 6] {
        let error = append(store, version).await.unwrap_err();
        let AppendError::Store(error) = error else {
            panic!("{error}");
        };
        told = replaced(&error, path);
    }
    told
}

fn replaced(error: &StoreError, path: &Path) -> String {
    assert_eq!(error.kind(), StoreErrorKind::Replaced, "{error}");
    assert!(!error.is_retriable());
    let text = error.to_string();
    assert!(text.contains("the store was replaced"), "{text}");
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    assert!(
        text.contains("close it") && text.contains("open it again"),
        "{text}"
    );
    text
}

/// Reads notice it by themselves, soon.
async fn reads_are_refused(store: &SqliteEventStore, path: &Path) {
    let start = Instant::now();
    loop {
        let from = [ReadFrom::start(stream("a"))];
        match store.read(&from).await {
            Err(ReadError::Store(error)) => return drop(replaced(&error, path)),
            Err(error) => panic!("{error}"),
            Ok(_) => assert!(
                start.elapsed() < Duration::from_secs(30),
                "it goes on reading"
            ),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn five_events(path: &Path) -> SqliteEventStore {
    let store = SqliteEventStore::open(path).await.unwrap();
    for version in 0..5 {
        append(&store, version).await.unwrap();
    }
    store
}

#[tokio::test]
async fn nothing_is_acknowledged_into_a_deleted_file() {
    let folder = Folder::new();
    let store = five_events(&folder.file()).await;
    for ending in ["", "-wal", "-shm"] {
        fs::remove_file(beside(&folder.file(), ending)).unwrap();
    }
    let text = appends_are_refused(&store, &folder.file()).await;
    assert!(text.contains("deleted or moved"), "{text}");
    reads_are_refused(&store, &folder.file()).await;
    store.close().await;
    let files = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 0, "closing makes nothing");
}

#[tokio::test]
async fn readers_notice_a_deleted_file_without_an_append() {
    let folder = Folder::new();
    let store = five_events(&folder.file()).await;
    fs::remove_file(folder.file()).unwrap();
    reads_are_refused(&store, &folder.file()).await;
    let (all, most) = (EventFilter::all(), PageSize::try_new(10).unwrap());
    let page = store.read_all(GlobalPosition::START, &all, most).await;
    let Err(ReadError::Store(error)) = page else {
        panic!("a page of a deleted file");
    };
    replaced(&error, &folder.file());
}

#[tokio::test]
async fn an_older_file_moved_over_the_open_one_is_noticed_and_left_whole() {
    let folder = Folder::new();
    let store = five_events(&folder.file()).await;
    let older = folder.path().join("older.db");
    let other = SqliteEventStore::open(&older).await.unwrap();
    append(&other, 0).await.unwrap();
    other.close().await;
    fs::rename(&older, folder.file()).unwrap();
    appends_are_refused(&store, &folder.file()).await;
    reads_are_refused(&store, &folder.file()).await;
    store.close().await;
    // What the operator should have removed together with the old file.
    for ending in ["-wal", "-shm"] {
        let _ = fs::remove_file(beside(&folder.file(), ending));
    }
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    assert_eq!(log(&store).await.len(), 1);
    append(&store, 1).await.unwrap();
}

#[tokio::test]
async fn a_moved_file_is_noticed_and_found_whole_under_its_new_name() {
    let folder = Folder::new();
    let store = five_events(&folder.file()).await;
    let moved = folder.path().join("moved.db");
    for ending in ["", "-wal", "-shm"] {
        fs::rename(beside(&folder.file(), ending), beside(&moved, ending)).unwrap();
    }
    appends_are_refused(&store, &folder.file()).await;
    store.close().await;
    let store = SqliteEventStore::open(&moved).await.unwrap();
    assert_eq!(log(&store).await.len(), 5);
}

#[tokio::test]
async fn a_link_that_is_turned_to_another_file_is_noticed() {
    let folder = Folder::new();
    let (first, second) = (folder.path().join("1.db"), folder.path().join("2.db"));
    five_events(&first).await.close().await;
    five_events(&second).await.close().await;
    let link = folder.path().join("current.db");
    symlink(&first, &link).unwrap();
    let store = SqliteEventStore::open(&link).await.unwrap();
    append(&store, 5).await.unwrap();
    fs::remove_file(&link).unwrap();
    symlink(&second, &link).unwrap();
    appends_are_refused(&store, &link).await;
    reads_are_refused(&store, &link).await;
}

#[tokio::test]
async fn a_folder_that_is_exchanged_is_noticed() {
    let folder = Folder::new();
    let (live, spare) = (folder.path().join("live"), folder.path().join("spare"));
    for folder in [&live, &spare] {
        fs::create_dir(folder).unwrap();
    }
    let path = live.join("store.db");
    let store = five_events(&path).await;
    five_events(&spare.join("store.db")).await.close().await;
    fs::rename(&live, folder.path().join("old")).unwrap();
    fs::rename(&spare, &live).unwrap();
    appends_are_refused(&store, &path).await;
}

#[tokio::test]
async fn an_unlinked_or_replaced_write_ahead_log_is_noticed() {
    for ending in ["-wal", "-shm"] {
        for replace in [false, true] {
            let folder = Folder::new();
            let store = five_events(&folder.file()).await;
            let path = beside(&folder.file(), ending);
            let bytes = fs::read(&path).unwrap();
            // Moved away and not unlinked, so that its number is not given to the next file.
            fs::rename(&path, folder.path().join("away")).unwrap();
            if replace {
                fs::write(&path, bytes).unwrap();
            }
            appends_are_refused(&store, &path).await;
            reads_are_refused(&store, &path).await;
            store.close().await;
            assert_eq!(path.exists(), replace, "closing leaves the files of others");
        }
    }
}

#[tokio::test]
async fn it_stays_refused_when_the_file_comes_back_until_it_is_opened_again() {
    let folder = Folder::new();
    let store = five_events(&folder.file()).await;
    let away = folder.path().join("away");
    fs::rename(folder.file(), &away).unwrap();
    appends_are_refused(&store, &folder.file()).await;
    fs::rename(&away, folder.file()).unwrap();
    appends_are_refused(&store, &folder.file()).await;
    reads_are_refused(&store, &folder.file()).await;
    store.close().await;
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    assert_eq!(log(&store).await.len(), 5);
    append(&store, 5).await.unwrap();
}

#[tokio::test]
async fn a_file_of_two_names_is_not_opened() {
    let folder = Folder::new();
    five_events(&folder.file()).await.close().await;
    let second = folder.path().join("second.db");
    fs::hard_link(folder.file(), &second).unwrap();
    for path in [&folder.file(), &second] {
        for options in [
            SqliteOptions::new(path),
            SqliteOptions::new(path).read_only(),
        ] {
            let error = SqliteEventStore::open_with(options).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Access, "{error}");
            assert!(error.to_string().contains("2 names"), "{error}");
        }
        SqliteProjections::open(path).await.unwrap_err();
    }
    fs::remove_file(second).unwrap();
    SqliteEventStore::open(folder.file()).await.unwrap();
}

#[tokio::test]
async fn a_second_name_that_comes_later_is_noticed() {
    let folder = Folder::new();
    let store = five_events(&folder.file()).await;
    fs::hard_link(folder.file(), folder.path().join("second.db")).unwrap();
    let text = appends_are_refused(&store, &folder.file()).await;
    assert!(text.contains("hard link"), "{text}");
}

fn told(error: ProjectionStoreError, path: &Path) {
    let ProjectionStoreError::Store(error) = error else {
        panic!("{error}");
    };
    replaced(&error, path);
}

#[tokio::test]
async fn a_unit_is_not_committed_into_a_deleted_file() {
    let folder = Folder::new();
    let store = SqliteProjections::open(folder.file()).await.unwrap();
    let lease = views::lead(&store).await;
    let mut unit = store.begin(&lease).await.unwrap();
    unit.put(vec![views::change("a", "1")]).await.unwrap();
    fs::remove_file(folder.file()).unwrap();
    told(unit.commit(views::at(1)).await.unwrap_err(), &folder.file());
    told(store.begin(&lease).await.unwrap_err(), &folder.file());
    told(store.renew(&lease).await.unwrap_err(), &folder.file());
    let start = Instant::now();
    let error = loop {
        if let Err(error) = store.documents(&views::name(), &[views::key("a")]).await {
            break error;
        }
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "it goes on reading"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    told(error, &folder.file());
}
