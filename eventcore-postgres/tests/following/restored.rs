//! Dumps: restored into another server, events and projections go on as if nothing had been.

use std::process::Command;

use eventcore::{
    projection::{ProjectionError, ProjectionState},
    store::ReadError,
};
use eventcore_testing::temp_postgres::{TempDatabase, TempPostgres};
use tokio::{task::block_in_place, time::Duration};

use crate::{
    support::{self, log, migrated_on},
    walks::{SOON, check, run_on, step},
};

/// The programs of the server's version.
fn program(server: &TempPostgres, name: &str) -> Command {
    let folder = server
        .sql(
            "postgres",
            "SELECT setting FROM pg_config WHERE name = 'BINDIR'",
        )
        .unwrap();
    Command::new(std::path::Path::new(folder.trim()).join(name))
}

/// A whole database as SQL.
fn dump(server: &TempPostgres, database: &TempDatabase<'_>) -> tempfile_path::Kept {
    let file = tempfile_path::Kept::new();
    let done = program(server, "pg_dump")
        .arg("--file")
        .arg(file.path())
        .arg(database.url())
        .output();
    let done = done.unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    file
}

fn restore(server: &TempPostgres, database: &TempDatabase<'_>, from: &tempfile_path::Kept) {
    let arguments = ["--quiet", "--set", "ON_ERROR_STOP=1", "--file"];
    let done = program(server, "psql")
        .args(arguments)
        .arg(from.path())
        .arg(database.url())
        .output();
    let done = done.unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// A file that goes with the test.
mod tempfile_path {
    use std::path::{Path, PathBuf};

    pub(super) struct Kept(PathBuf);

    impl Kept {
        pub(super) fn new() -> Self {
            let name = format!("eventcore-dump-{}.sql", uuid::Uuid::now_v7());
            Self(std::env::temp_dir().join(name))
        }

        pub(super) fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Kept {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

/// The dump is made under a writer and a runner that is behind: log, table and checkpoint are of one moment, and in a
/// cluster whose transaction numbers begin anew the projection goes on from there.
#[tokio::test(flavor = "multi_thread")]
async fn a_dump_restored_into_a_fresh_cluster_is_projected_on() {
    let (old, new) = (
        TempPostgres::builder().start().unwrap(),
        TempPostgres::builder().start().unwrap(),
    );
    let database = migrated_on(&old);
    let store = support::open(&database).await;
    for walk in 0..5 {
        step(&store, walk, 400).await;
    }
    let running = run_on(&store, "old");
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            loop {
                step(&store, fastrand::u64(0..5), 3).await;
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(150)).await;
    let dumped = block_in_place(|| dump(&old, &database));
    writer.abort();
    drop(running);

    let restored = new.database().unwrap();
    block_in_place(|| restore(&new, &restored, &dumped));
    let store = support::open(&restored).await;
    let there = log(&store).await.len() as u64;
    let running = run_on(&store, "new");
    let end = step(&store, 1, 5).await;
    assert_eq!(end.get(), there + 5, "the next position follows the last");
    running.wait_until(end, SOON).await.unwrap();
    running.stop().await.unwrap();
    check(&restored.url()).await;
}

/// The log comes back from an older backup while the projections are those of today: refused, and built anew after a
/// reset.
#[tokio::test(flavor = "multi_thread")]
async fn projections_ahead_of_a_restored_log_are_refused() {
    use eventcore::projection::{ProjectionStore, run_projection};

    let server = TempPostgres::builder().start().unwrap();
    let (database, views) = (migrated_on(&server), migrated_on(&server));
    let store = support::open(&database).await;
    let views_url = views.url();
    let options = eventcore_postgres::PostgresOptions::new();
    let views = eventcore_postgres::PostgresProjections::connect(&views_url, options)
        .await
        .unwrap();
    step(&store, 1, 10).await;
    let backup = block_in_place(|| dump(&server, &database));
    let end = step(&store, 1, 5).await;
    let running = run_projection(crate::walks::Walks, &store, &views)
        .start()
        .unwrap();
    let id = running.projection().clone();
    running.wait_until(end, SOON).await.unwrap();
    running.stop().await.unwrap();

    let restored = server.database().unwrap();
    block_in_place(|| restore(&server, &restored, &backup));
    let store = support::open(&restored).await;
    for more in [0, 9] {
        // Behind the checkpoint at first, and then beyond it with other events.
        if more > 0 {
            step(&store, 2, more).await;
        }
        let running = run_projection(crate::walks::Walks, &store, &views)
            .start()
            .unwrap();
        while running.status().partitions[0].state != ProjectionState::Failed {
            assert!(
                !running.status().is_live(),
                "another log is projected as if it were the same"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let error = running.stop().await.unwrap_err();
        let named = if more == 0 {
            matches!(error, ProjectionError::Read(ReadError::LogBehind { .. }))
        } else {
            matches!(error, ProjectionError::AnotherLog { .. })
        };
        assert!(named, "{error:?}");
    }
    views.reset(&id).await.unwrap();
    let running = run_projection(crate::walks::Walks, &store, &views)
        .start()
        .unwrap();
    let end = log(&store).await.last().unwrap().position();
    running.wait_until(end, SOON).await.unwrap();
    running.stop().await.unwrap();
}
