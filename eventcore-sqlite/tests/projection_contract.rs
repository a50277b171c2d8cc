//! The contract of all stores of projections.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

use eventcore_sqlite::{SqliteEventStore, SqliteProjections, SqliteProjectionsOptions};
use eventcore_testing::projection_contract::Harness;

async fn harness(read_in_place: bool) -> Harness<SqliteProjections> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("views.db");
    let options = SqliteProjectionsOptions::new(path).read_in_place(read_in_place);
    let open = move || {
        let options = options.clone();
        async move { SqliteProjections::open_with(options).await.unwrap() }
    };
    Harness::new(open().await).keep(folder).reopen_with(open)
}

eventcore_testing::projection_suite!(sqlite, async || harness(true).await);

eventcore_testing::projection_suite!(sqlite_with_reader_threads_only, async || harness(false)
    .await);

eventcore_testing::projection_suite!(sqlite_in_the_file_of_the_events, async || {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let events = SqliteEventStore::open(&path).await.unwrap();
    let open = move || {
        let path = path.clone();
        async move { SqliteProjections::open(path).await.unwrap() }
    };
    Harness::new(open().await)
        .keep((events, folder))
        .reopen_with(open)
});
