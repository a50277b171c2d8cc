//! Several processes on one file, and their sudden end.
//!
//! The writers are this test program, started again with one test selected and a variable that gives it work.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

mod support;

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use eventcore::{EventStore, store::ReadFrom};
use eventcore_sqlite::SqliteEventStore;
use support::{Folder, batch, log, stream};

const WORK: &str = "EVENTCORE_TEST_WRITER";

/// The writer's work: forever one event to a stream of its own and one to a shared stream, both or none. Each that is
/// acknowledged is told on standard output.
#[tokio::test]
async fn writer() {
    let Ok(work) = std::env::var(WORK) else {
        return;
    };
    let (path, name) = work.split_once('|').unwrap();
    let store = SqliteEventStore::open(path).await.unwrap();
    let own = format!("own:{name}");
    let version = |read: &eventcore::store::StreamRead, at: usize| read.versions[at].get();
    let mut out = std::io::stdout();
    loop {
        let streams = [
            ReadFrom::start(stream(&own)),
            ReadFrom::start(stream("shared")),
        ];
        let read = store.read(&streams).await.unwrap();
        let (mine, shared) = (version(&read, 0), version(&read, 1));
        let text = format!("{name}-{mine}");
        match store
            .append(batch(&[(&own, mine), ("shared", shared)], &text))
            .await
        {
            Ok(_) => {
                writeln!(out, "acknowledged {text}").unwrap();
                out.flush().unwrap();
            }
            Err(error) => assert!(error.is_retriable(), "{error}"),
        }
    }
}

fn start(path: &Path, name: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["writer", "--exact", "--nocapture"])
        .env(WORK, format!("{}|{name}", path.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Lets some writers run, kills them without warning, and gives what they were told.
async fn run_and_kill(path: &Path, names: &[String], for_how_long: Duration) -> Vec<String> {
    let mut writers: Vec<Child> = names.iter().map(|name| start(path, name)).collect();
    tokio::time::sleep(for_how_long).await;
    for writer in &mut writers {
        writer.kill().unwrap();
    }
    let mut acknowledged = Vec::new();
    for mut writer in writers {
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        for line in lines.map_while(Result::ok) {
            acknowledged.extend(line.strip_prefix("acknowledged ").map(str::to_owned));
        }
        writer.wait().unwrap();
    }
    acknowledged
}

#[tokio::test]
async fn killed_writers_lose_nothing_acknowledged_and_leave_nothing_half_done() {
    let folder = Folder::new();
    let mut acknowledged = Vec::new();
    for round in 0..5_u64 {
        let names: Vec<String> = (0..3).map(|writer| format!("r{round}w{writer}")).collect();
        let pause = Duration::from_millis(250 + 37 * round);
        acknowledged.extend(run_and_kill(&folder.file(), &names, pause).await);
    }
    assert!(
        acknowledged.len() > 10,
        "the writers hardly wrote: {}",
        acknowledged.len()
    );

    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    let events = log(&store).await;
    let mut times: HashMap<String, (u32, u32)> = HashMap::new();
    let mut shared = 0;
    for (index, event) in events.iter().enumerate() {
        assert_eq!(
            event.position().get(),
            index as u64 + 1,
            "positions have no holes"
        );
        let text: serde_json::Value =
            serde_json::from_slice(event.encoded().payload().as_bytes()).unwrap();
        let seen = times
            .entry(text["text"].as_str().unwrap().to_owned())
            .or_default();
        if event.stream().as_str() == "shared" {
            shared += 1;
            assert_eq!(event.version().get(), shared);
            seen.1 += 1;
        } else {
            seen.0 += 1;
        }
    }
    for (text, seen) in &times {
        assert_eq!(
            *seen,
            (1, 1),
            "`{text}` is in its own stream and in the shared one, once"
        );
    }
    for text in &acknowledged {
        assert!(
            times.contains_key(text),
            "`{text}` was acknowledged and is lost"
        );
    }
}

#[tokio::test]
async fn processes_that_open_a_new_file_together_make_it_once() {
    let folder = Folder::new();
    let names: Vec<String> = (0..4).map(|writer| format!("w{writer}")).collect();
    let acknowledged = run_and_kill(&folder.file(), &names, Duration::from_secs(1)).await;
    for name in &names {
        let of_it = acknowledged
            .iter()
            .filter(|text| text.starts_with(name))
            .count();
        assert!(of_it > 0, "{name} wrote nothing of {}", acknowledged.len());
    }
}

#[tokio::test]
async fn who_waits_for_events_is_woken_by_this_store_and_by_others() {
    let folder = Folder::new();
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    let other = SqliteEventStore::open(folder.file()).await.unwrap();
    let mut waiter = store.commons().waiter();
    let long = Duration::from_mins(1);
    for (version, writer) in [(0, &store), (1, &other), (2, &other), (3, &store)] {
        // The one who watches may be late with the event before.
        tokio::time::sleep(Duration::from_millis(100)).await;
        waiter.arm();
        writer.append(batch(&[("a", version)], "x")).await.unwrap();
        let start = std::time::Instant::now();
        waiter.wait(long).await;
        assert!(
            start.elapsed() < long / 6,
            "{version}: {:?}",
            start.elapsed()
        );
    }
    drop(waiter);
    store.close().await;
}
