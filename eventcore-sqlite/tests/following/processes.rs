//! Runners that are processes: stopped past their lease and woken, killed under load.
//!
//! The runners are this test program, started again with one test selected and a variable that gives it work.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use eventcore::projection::{ProjectionStore, Standing};
use eventcore_sqlite::{SqliteEventStore, SqliteProjections};
use tokio::time::{Instant, sleep};

use crate::walks::{LEASE, check, run, step};

const WORK: &str = "EVENTCORE_TEST_FOLLOWER";
const SOON: Duration = Duration::from_mins(1);

/// The runner's work: to run, for ever.
#[tokio::test]
async fn follower() {
    let Ok(work) = std::env::var(WORK) else {
        return;
    };
    let (folder, label) = work.split_once('|').unwrap();
    let _running = run(Path::new(folder), label).await;
    std::future::pending::<()>().await;
}

/// A process that runs the projection; gone with the test, however that ends.
struct Follower(Child);

impl Follower {
    fn start(folder: &Path, label: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["processes::follower", "--exact", "--nocapture"])
            .env(WORK, format!("{}|{label}", folder.display()))
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    fn signal(&self, signal: &str) {
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn standing(views: &SqliteProjections) -> Option<Standing> {
    let name = "walks".parse().unwrap();
    views.standings(&name).await.unwrap().pop()
}

async fn leader(views: &SqliteProjections) -> Option<String> {
    let standing = standing(views).await?;
    standing.leader.map(|(owner, _)| owner.label)
}

/// Waits until everything is applied, or for so long; whether it is.
async fn reached(
    views: &SqliteProjections,
    end: eventcore::GlobalPosition,
    patience: Duration,
) -> bool {
    let start = Instant::now();
    while start.elapsed() < patience {
        if standing(views)
            .await
            .is_some_and(|standing| standing.checkpoint.position >= end)
        {
            return true;
        }
        sleep(Duration::from_millis(5)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_stopped_past_its_lease_and_woken_applies_everything_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteEventStore::open(folder.path().join("events.db"))
        .await
        .unwrap();
    let views = SqliteProjections::open(folder.path().join("views.db"))
        .await
        .unwrap();
    let sleeper = Follower::start(folder.path(), "sleeper");
    let mut takeovers = 0;
    for round in 0..6 {
        let end = step(&store, 1, 3).await;
        assert!(reached(&views, end, SOON).await, "the runner runs");
        // Under load in every other round, so that it is stopped within its work too.
        for _ in 0..if round % 2 == 0 { 0 } else { 30 } {
            step(&store, 2, 20).await;
        }
        sleeper.signal("-STOP");
        step(&store, 1, 2).await;
        let other = run(folder.path(), "other").await;
        let taken = async {
            while leader(&views).await.as_deref() != Some("other") {
                sleep(Duration::from_millis(10)).await;
            }
        };
        // A process that is stopped within a transaction keeps the file locked; then all wait until it goes on.
        if tokio::time::timeout(LEASE * 4, taken).await.is_ok() {
            takeovers += 1;
            let end = step(&store, 1, 1).await;
            assert!(reached(&views, end, SOON).await, "the other one goes on");
        }
        sleeper.signal("-CONT");
        let end = step(&store, 3, 4).await;
        other.wait_until(end, SOON).await.unwrap();
        // Both are awake: time for the late one to do harm.
        sleep(LEASE).await;
        other.stop().await.unwrap();
    }
    let end = step(&store, 4, 4).await;
    assert!(reached(&views, end, SOON).await, "the sleeper leads again");
    assert!(
        takeovers > 0,
        "nobody ever took over from a process that was stopped"
    );
    check(folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runners_killed_under_load_apply_everything_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteEventStore::open(folder.path().join("events.db"))
        .await
        .unwrap();
    let views = SqliteProjections::open(folder.path().join("views.db"))
        .await
        .unwrap();
    let mut followers: Vec<Follower> = ["a", "b"]
        .map(|label| Follower::start(folder.path(), label))
        .into();
    let mut killed_at = Vec::new();
    for round in 0..8_u64 {
        let until = Instant::now() + Duration::from_millis(300 + 61 * round);
        while Instant::now() < until {
            step(&store, round % 3, 10).await;
        }
        let leads = leader(&views).await.unwrap_or_default();
        let leads = usize::from(leads == "b");
        followers[leads].kill();
        killed_at.extend(
            standing(&views)
                .await
                .map(|standing| standing.checkpoint.position.get()),
        );
        followers[leads] = Follower::start(folder.path(), ["a", "b"][leads]);
    }
    let end = step(&store, 9, 1).await;
    assert!(
        reached(&views, end, SOON).await,
        "those that are left come to the end"
    );
    drop(followers);
    assert!(
        killed_at.last() > killed_at.first(),
        "nobody got on: {killed_at:?}"
    );
    check(folder.path()).await;
}
