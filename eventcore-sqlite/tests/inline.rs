//! What is special to inline read models in a file: processes, also such that end suddenly, and ways to open it.
//!
//! The processes are this test program, started again with one test selected and a variable that gives it work.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

mod support;

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use eventcore::{
    EventStore, StreamVersion,
    store::{AppendError, ReadFrom, StoreErrorKind},
};
use eventcore_sqlite::{SqliteEventStore, SqliteOptions, SqliteProjections};
use support::{Folder, batch, log, stream, sums::*};

const WORK: &str = "EVENTCORE_TEST_INLINE_WRITER";

fn options(path: &Path) -> SqliteOptions {
    SqliteOptions::new(path).inline(sums())
}

async fn version(store: &SqliteEventStore, name: &str) -> u64 {
    let read = store.read(&[ReadFrom::start(stream(name))]).await.unwrap();
    read.versions[0].get()
}

/// The writer's work: for ever append to two streams at once, and tell on standard output what is acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer() {
    let Ok(path) = std::env::var(WORK) else {
        return;
    };
    let store = SqliteEventStore::open_with(options(Path::new(&path)))
        .await
        .unwrap();
    let writers = (0..4).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let own = format!("w:{}:{writer}", std::process::id());
            for round in 0..u64::MAX {
                let shared = version(&store, "shared").await;
                let both = batch(&[(&own, round), ("shared", shared)], "x");
                match store.append(both).await {
                    Ok(_) => {
                        let mut out = std::io::stdout().lock();
                        writeln!(out, "acknowledged {own} {}", round + 1).unwrap();
                        out.flush().unwrap();
                    }
                    // The other streams' rounds go on without it.
                    Err(AppendError::Conflict(_)) => {
                        let only = batch(&[(&own, round)], "x");
                        store.append(only).await.unwrap();
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}

fn start(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["writer", "--exact", "--nocapture"])
        .env(WORK, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_are_killed_leave_events_and_documents_in_step() {
    let folder = Folder::new();
    let views = SqliteProjections::open(folder.file()).await.unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..4 {
        let mut writers: Vec<Child> = (0..2).map(|_| start(&folder.file())).collect();
        tokio::time::sleep(Duration::from_millis(700 + 37 * round)).await;
        for writer in &mut writers {
            assert!(writer.try_wait().unwrap().is_none(), "a writer gave up");
            writer.kill().unwrap();
        }
        for mut writer in writers {
            let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
            let lines = lines.map_while(Result::ok);
            acknowledged.extend(lines.filter_map(|line| {
                let (own, version) = line.strip_prefix("acknowledged ")?.split_once(' ')?;
                Some((own.to_owned(), version.parse::<u64>().ok()?))
            }));
            writer.wait().unwrap();
        }
        let store = SqliteEventStore::open(folder.file()).await.unwrap();
        let events = expect_sums(&views, &store, "sums").await;
        assert!(events > 20, "they hardly wrote: {events}");
    }
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    for (own, version) in &acknowledged {
        let there = self::version(&store, own).await;
        assert!(
            there >= *version,
            "{own} was told {version} and has {there}"
        );
    }
}

#[tokio::test]
async fn a_store_that_only_reads_runs_no_models() {
    let folder = Folder::new();
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    store.append(batch(&[("a", 0)], "x")).await.unwrap();
    let reader = options(&folder.file()).read_only();
    let reader = SqliteEventStore::open_with(reader).await.unwrap();
    assert_eq!(log(&reader).await.len(), 1);
    // Nothing was claimed, and no tables were made.
    store.close().await;
    let store = SqliteEventStore::open_with(options(&folder.file()))
        .await
        .unwrap();
    store.append(batch(&[("a", 1)], "x")).await.unwrap();
    let views = SqliteProjections::open(folder.file()).await.unwrap();
    assert_eq!(expect_sums(&views, &store, "sums").await, 2);
}

#[tokio::test]
async fn a_store_that_could_not_be_opened_has_claimed_nothing() {
    let folder = Folder::new();
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    for version in 0..1001 {
        store.append(batch(&[("a", version)], "x")).await.unwrap();
    }
    let error = SqliteEventStore::open_with(options(&folder.file()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Other);
    let views = SqliteProjections::open(folder.file()).await.unwrap();
    let names = eventcore::projection::ProjectionStore::names(&views)
        .await
        .unwrap();
    assert!(names.is_empty(), "{names:?}");
}

#[tokio::test]
async fn a_full_file_refuses_events_and_documents_alike() {
    let folder = Folder::new();
    let small = options(&folder.file()).max_bytes(400 << 10);
    let store = SqliteEventStore::open_with(small).await.unwrap();
    let text = "x".repeat(5000);
    let mut refused = 0;
    for number in 0..200 {
        let name = format!("s:{number}");
        match store
            .append(batch(&[(&name, StreamVersion::EMPTY.get())], &text))
            .await
        {
            Ok(_) => {}
            Err(AppendError::Store(error)) if error.kind() == StoreErrorKind::Full => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(refused > 20, "the file was never full: {refused}");
    let views = SqliteProjections::open(folder.file()).await.unwrap();
    expect_sums(&views, &store, "sums").await;
}
