//! A disk that fails: here a limit for the size of files, which the system sets for a process and may lift again.
//!
//! The writers are this test program, started again with one test selected, under a shell that sets the limit.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

mod support;

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use eventcore::{EventStore, store::AppendError};
use eventcore_sqlite::{SqliteEventStore, SqliteOptions};
use support::{Folder, batch, log};

const FILE: &str = "EVENTCORE_TEST_FILE";
/// Whether the disk works again after a while.
const MENDED: &str = "EVENTCORE_TEST_MENDED";
/// More than the limit has room for.
const APPENDS: u64 = 20;

/// The writer's work: append until the outcome of one is unknown, or all are done, and tell how many were acknowledged.
#[tokio::test]
async fn writer() {
    let Ok(path) = std::env::var(FILE) else {
        return;
    };
    let mended = std::env::var_os(MENDED).is_some();
    let patience = if mended { 60_000 } else { 300 };
    let options = SqliteOptions::new(path).busy_timeout(Duration::from_millis(patience));
    let store = SqliteEventStore::open_with(options).await.unwrap();
    if mended {
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_millis(700));
            let process = std::process::id().to_string();
            let lift = ["--pid", &process, "--fsize=unlimited"];
            assert!(
                Command::new("prlimit")
                    .args(lift)
                    .status()
                    .unwrap()
                    .success()
            );
        });
    }
    let mut acknowledged = 0;
    while acknowledged < APPENDS {
        let text = "x".repeat(40_000);
        match store.append(batch(&[("a", acknowledged)], &text)).await {
            Ok(_) => acknowledged += 1,
            Err(AppendError::OutcomeUnknown(cause)) => {
                println!("unknown: {cause}");
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    println!("acknowledged {acknowledged}");
}

/// Runs the writer with room for files of 400 kB at most.
fn run(path: &Path, mended: bool) -> (u64, String) {
    let mut shell = Command::new("sh");
    // Without the signal, writing beyond the limit is an I/O error.
    let script = r#"trap "" XFSZ; ulimit -S -f 400; exec "$0" writer --exact --nocapture"#;
    shell
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap());
    shell.env(FILE, path);
    if mended {
        shell.env(MENDED, "1");
    }
    let Output {
        status,
        stdout,
        stderr,
    } = shell.output().unwrap();
    let text = String::from_utf8(stdout).unwrap();
    let errors = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{text}{errors}");
    let (_, number) = text.split_once("acknowledged ").unwrap();
    let number = number.lines().next().unwrap().parse().unwrap();
    (number, text)
}

#[tokio::test]
async fn appends_outlast_a_disk_that_fails_for_a_moment() {
    let folder = Folder::new();
    let (acknowledged, text) = run(&folder.file(), true);
    assert_eq!(acknowledged, APPENDS, "{text}");
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    assert_eq!(log(&store).await.len() as u64, APPENDS);
}

#[tokio::test]
async fn a_disk_that_goes_on_failing_leaves_the_outcome_of_one_append_unknown_and_the_rest_whole() {
    let folder = Folder::new();
    let (acknowledged, text) = run(&folder.file(), false);
    assert!(
        text.contains("unknown: ") && text.contains("disk I/O error"),
        "{text}"
    );
    assert!((1..APPENDS).contains(&acknowledged), "{text}");
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    let events = log(&store).await.len() as u64;
    assert!(
        events == acknowledged || events == acknowledged + 1,
        "{events}, {text}"
    );
    store.append(batch(&[("a", events)], "x")).await.unwrap();
}
