//! Subscriptions and running projections on SQLite: the suite of all stores, and what only real processes show.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

use std::{path::PathBuf, time::Duration};

use eventcore_sqlite::{SqliteEventStore, SqliteProjections};
use eventcore_testing::following::Harness;

#[cfg(unix)]
#[path = "following/processes.rs"]
mod processes;
mod support;
#[path = "following/walks.rs"]
mod walks;

async fn harness(events: &'static str, views: &'static str) -> Harness<SqliteProjections> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let open = move || {
        let path = path.clone();
        async move {
            let store = SqliteEventStore::open(path.join(events)).await.unwrap();
            let views = SqliteProjections::open(path.join(views)).await.unwrap();
            (store, views)
        }
    };
    let (store, views) = open().await;
    let fresh = folder.path().join("fresh.db");
    Harness::new(store, views)
        .keep(folder)
        .reopen_with(open)
        .fresh_log_with(move || open_log(fresh.clone()))
        .with_events(40_000)
        .with_kills(40)
        .with_lease(Duration::from_millis(400))
}

async fn open_log(path: PathBuf) -> SqliteEventStore {
    SqliteEventStore::open(path).await.unwrap()
}

eventcore_testing::following_suite!(two_files, async || harness("events.db", "views.db").await);

eventcore_testing::following_suite!(one_file, async || harness("all.db", "all.db").await);
