//! Several processes lead one projection by turns, in the file of the events, and end suddenly.
//!
//! The leaders are this test program, started again with one test selected and a variable that gives it work.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

mod support;

use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use eventcore::{
    EventStore,
    projection::{Claim, Claimed, DeadLetter, Fate, ProjectionStore, UnitOfWork},
};
use eventcore_sqlite::{SqliteEventStore, SqliteProjections};
use support::{Folder, batch, log, stream, views::*};

const WORK: &str = "EVENTCORE_TEST_LEADER";

/// The leader's work: for ever count one further, in a document and in the checkpoint, and tell it on standard output.
#[tokio::test]
async fn leader() {
    let Ok(path) = std::env::var(WORK) else {
        return;
    };
    let store = SqliteProjections::open(path).await.unwrap();
    let claim = Claim {
        ttl: Duration::from_millis(60),
        ..claim_of(1, 0, 1, &owner("leader"))
    };
    let mut out = std::io::stdout();
    loop {
        let lease = match store.claim(&claim).await {
            Ok(Claimed::Granted(lease)) => lease,
            Ok(Claimed::Held { expires_in, .. }) => {
                tokio::time::sleep(expires_in).await;
                continue;
            }
            other => panic!("{other:?}"),
        };
        let mut number = lease.checkpoint.position.get();
        for round in 0..30 {
            if round == 20 {
                // Long enough to be replaced.
                tokio::time::sleep(Duration::from_millis(80)).await;
            }
            number += 1;
            match count(&store, &lease, number).await {
                Ok(()) => writeln!(out, "counted {number}").unwrap(),
                Err(error) if error.is_fenced() => break,
                Err(error) => panic!("{error}"),
            }
            out.flush().unwrap();
        }
    }
}

async fn count(
    store: &SqliteProjections,
    lease: &eventcore::projection::Lease,
    number: u64,
) -> Result<(), eventcore::projection::ProjectionStoreError> {
    let mut unit = store.begin(lease).await?;
    let before = unit.load(&[key("count")]).await?.remove(0);
    let before: u64 = before.map_or(0, |text| text.parse().unwrap());
    unit.put(vec![change("count", &(before + 1).to_string())])
        .await?;
    let progress = at(number);
    let witness = progress.checkpoint.witness.unwrap();
    let letter = DeadLetter {
        position: witness.position,
        partition: 0,
        stream: stream("a"),
        event: witness.id,
        fate: Fate::Skipped,
        attempts: 1,
        error: "none".into(),
        at: eventcore::Timestamp::now(),
    };
    unit.bury(vec![letter]).await?;
    unit.commit(progress).await
}

fn start(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["leader", "--exact", "--nocapture"])
        .env(WORK, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_replaced_leaders_count_everything_once() {
    let folder = Folder::new();
    let events = SqliteEventStore::open(folder.file()).await.unwrap();
    let mut counted = Vec::new();
    let mut appended = 0;
    for round in 0..4_u64 {
        let mut leaders: Vec<Child> = (0..3).map(|_| start(&folder.file())).collect();
        let until = tokio::time::Instant::now() + Duration::from_millis(600 + 41 * round);
        while tokio::time::Instant::now() < until {
            events.append(batch(&[("a", appended)], "x")).await.unwrap();
            appended += 1;
        }
        for leader in &mut leaders {
            assert!(leader.try_wait().unwrap().is_none(), "a leader gave up");
            leader.kill().unwrap();
        }
        for mut leader in leaders {
            let lines = BufReader::new(leader.stdout.take().unwrap()).lines();
            for line in lines.map_while(Result::ok) {
                let number = line.strip_prefix("counted ");
                counted.extend(number.and_then(|number| number.parse::<u64>().ok()));
            }
            leader.wait().unwrap();
        }
    }
    let store = SqliteProjections::open(folder.file()).await.unwrap();
    let position = position(&store).await;
    assert!(position > 50, "they hardly counted: {position}");
    assert_eq!(body(&store, "count").await, Some(position.to_string()));
    let skipped = store.standings(&name()).await.unwrap()[0].skipped;
    assert_eq!(skipped, position, "each count has its letter");
    let distinct: HashSet<u64> = counted.iter().copied().collect();
    assert_eq!(
        distinct.len(),
        counted.len(),
        "two leaders counted the same"
    );
    assert!(counted.iter().all(|number| *number <= position));
    assert_eq!(log(&events).await.len() as u64, appended);
}
