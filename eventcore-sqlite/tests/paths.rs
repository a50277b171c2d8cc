//! A path is a path: what is checked, what is opened and what was asked for are one file, or opening fails.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

mod support;

use std::{ffi::OsStr, fs, path::Path, time::Duration};

use eventcore::{
    EventStore,
    store::{StoreError, StoreErrorKind},
};
use eventcore_sqlite::{
    SqliteEventStore, SqliteOptions, SqliteProjections, SqliteProjectionsOptions,
    rusqlite::Connection,
};
use support::{Folder, batch, log};

/// Both stores refuse a path, in the same words.
async fn refused(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    let error = SqliteEventStore::open(path).await.unwrap_err();
    let views = SqliteProjections::open(path).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Access, "{error}");
    assert_eq!(error.to_string(), views.to_string());
    error.to_string()
}

/// Every file under the current folder whose name may come from these tests.
fn strays() -> Vec<String> {
    let names = fs::read_dir(".")
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.contains(':') || name.contains("stray"))
        .collect()
}

#[tokio::test]
async fn forms_of_other_libraries_are_refused_and_make_no_file() {
    for path in [
        "",
        ":memory:",
        ":memory:?cache=shared",
        "file:stray.db",
        "file:stray.db?mode=memory&cache=shared",
        "file:///tmp/stray.db?nolock=1",
        "FILE:stray.db?vfs=unix-none",
        "file::memory:",
        "sqlite:stray.db",
        "sqlite::memory:",
        "sqlite://stray.db",
        "sqlite3:///stray.db",
        "postgres://localhost/stray",
    ] {
        let text = refused(path).await;
        assert!(text.contains("eventcore-memory"), "{path}: {text}");
        assert!(path.is_empty() || text.contains(path), "{path}: {text}");
        assert!(
            path.is_empty() || text.contains(&format!("`./{path}`")),
            "{path}: {text}"
        );
    }
    assert_eq!(strays(), [""; 0]);
}

#[tokio::test]
async fn a_file_of_such_a_name_can_be_had_by_its_path() {
    let folder = Folder::new();
    for name in [
        "file:a.db?mode=memory&cache=shared",
        ":memory:",
        "sqlite:b.db",
        "a?b#c%41.db",
    ] {
        let path = folder.path().join(name);
        let store = SqliteEventStore::open(&path).await.unwrap();
        store.append(batch(&[("a", 0)], "x")).await.unwrap();
        store.close().await;
        assert!(path.exists(), "{name}");
        let store = SqliteEventStore::open(&path).await.unwrap();
        assert_eq!(log(&store).await.len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_path_that_is_too_long_says_how_long_it_is_and_may_be() {
    let folder = Folder::new();
    let long = folder.path().join("d".repeat(240)).join("e".repeat(240));
    fs::create_dir_all(&long).unwrap();
    let text = refused(long.join("f".repeat(100))).await;
    assert!(text.contains("at most 504"), "{text}");
    let length = fs::canonicalize(&long).unwrap().as_os_str().len() + 1;
    assert!(length < 504, "the folder of the tests has a long name");
    let fits = long.join("f".repeat(504 - length));
    let store = SqliteEventStore::open(&fits).await.unwrap();
    store.append(batch(&[("a", 0)], "x")).await.unwrap();
    let text = refused(long.join("f".repeat(505 - length))).await;
    assert!(text.contains("has 505 bytes"), "{text}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_short_name_for_a_long_path_is_no_way_around_the_limit() {
    let folder = Folder::new();
    let long = folder.path().join("d".repeat(240)).join("e".repeat(240));
    fs::create_dir_all(&long).unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&long, &link).unwrap();
    let text = refused(link.join("f".repeat(100))).await;
    assert!(text.contains("at most 504"), "{text}");
}

#[tokio::test]
async fn paths_that_no_file_can_have_are_refused_by_name() {
    let folder = Folder::new();
    let text = refused(folder.path().join("a\0b.db")).await;
    assert!(text.contains("NUL"), "{text}");
    let mut slash = folder.file().into_os_string();
    slash.push("/");
    let text = refused(OsStr::new(&slash)).await;
    assert!(text.contains("a file is needed"), "{text}");
    let text = refused(folder.path().join("no/../store.db")).await;
    assert!(text.contains("there is no folder"), "{text}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_leads_to_the_file_that_is_opened_checked_and_logged_beside() {
    let folder = Folder::new();
    let real = folder.path().join("real");
    fs::create_dir(&real).unwrap();
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(real.join("store.db"), &link).unwrap();
    let missing = SqliteOptions::new(&link).create(false);
    let error = SqliteEventStore::open_with(missing.clone())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Access, "{error}");
    let store = SqliteEventStore::open(&link).await.unwrap();
    store.append(batch(&[("a", 0)], "x")).await.unwrap();
    assert!(real.join("store.db-wal").exists());
    let other = SqliteEventStore::open_with(missing).await.unwrap();
    assert_eq!(log(&other).await.len(), 1);
}

fn all(text: &StoreError) -> String {
    let cause = std::error::Error::source(text).map(ToString::to_string);
    format!("{text} {}", cause.unwrap_or_default())
}

#[tokio::test]
async fn a_file_that_cannot_be_put_into_wal_mode_is_refused() {
    let folder = Folder::new();
    let mine = Connection::open(folder.file()).unwrap();
    mine.execute_batch("PRAGMA locking_mode = EXCLUSIVE; CREATE TABLE mine (x)")
        .unwrap();
    let options = SqliteOptions::new(folder.file()).busy_timeout(Duration::from_millis(50));
    let error = SqliteEventStore::open_with(options).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Busy, "{}", all(&error));
}

#[tokio::test]
async fn a_file_in_another_journal_mode_can_be_read() {
    let folder = Folder::new();
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    store.append(batch(&[("a", 0)], "x")).await.unwrap();
    store.close().await;
    Connection::open(folder.file())
        .unwrap()
        .execute_batch("PRAGMA journal_mode = DELETE")
        .unwrap();
    let options = SqliteOptions::new(folder.file()).read_only();
    let store = SqliteEventStore::open_with(options).await.unwrap();
    assert_eq!(log(&store).await.len(), 1);
    store.close().await;
}

#[tokio::test]
async fn the_longest_times_and_sizes_are_taken() {
    let folder = Folder::new();
    let options = SqliteOptions::new(folder.file())
        .busy_timeout(Duration::MAX)
        .queue_timeout(Duration::MAX)
        .stall_timeout(Duration::MAX)
        .max_bytes(u64::MAX)
        .queue(usize::MAX)
        .queue_bytes(usize::MAX)
        .readers(usize::MAX);
    let store = SqliteEventStore::open_with(options).await.unwrap();
    store.append(batch(&[("a", 0)], "x")).await.unwrap();
    assert_eq!(log(&store).await.len(), 1);
    store.close().await;
    let options = SqliteProjectionsOptions::new(folder.file())
        .busy_timeout(Duration::MAX)
        .max_bytes(u64::MAX);
    SqliteProjections::open_with(options)
        .await
        .unwrap()
        .close()
        .await;
}

#[tokio::test]
async fn the_shortest_times_and_sizes_are_taken() {
    let folder = Folder::new();
    let options = SqliteOptions::new(folder.file())
        .busy_timeout(Duration::ZERO)
        .queue(0)
        .queue_bytes(0)
        .readers(0)
        .read_in_place(false);
    let store = SqliteEventStore::open_with(options).await.unwrap();
    let big = "x".repeat(100_000);
    store.append(batch(&[("a", 0)], &big)).await.unwrap();
    assert_eq!(log(&store).await.len(), 1);
    store.close().await;
}
