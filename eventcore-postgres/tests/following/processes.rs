//! Runners that are processes: stopped past their lease and woken, killed under load.
//!
//! The runners are this test program, started again with one test selected and a variable that gives it work.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use eventcore_postgres::PostgresProjections;
use tokio::time::{Instant, sleep};

use crate::{
    support,
    walks::{LEASE, SOON, check, reached, run, standing, step},
};

const WORK: &str = "EVENTCORE_TEST_FOLLOWER";

/// The runner's work: to run, for ever.
#[tokio::test]
async fn follower() {
    let Ok(work) = std::env::var(WORK) else {
        return;
    };
    let (url, label) = work.split_once('|').unwrap();
    let _running = run(url, label).await;
    std::future::pending::<()>().await;
}

/// A process that runs the projection; gone with the test, however that ends.
struct Follower(Child);

impl Follower {
    fn start(url: &str, label: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["processes::follower", "--exact", "--nocapture"])
            .env(WORK, format!("{url}|{label}"))
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

async fn leader(views: &PostgresProjections) -> Option<String> {
    let standing = standing(views).await?;
    standing.leader.map(|(owner, _)| owner.label)
}

/// Wherever it is stopped, also within a transaction: another takes over, and what it had begun counts for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_runner_stopped_past_its_lease_and_woken_applies_everything_once() {
    let database = support::migrated();
    let url = database.url();
    let store = crate::open(url.clone()).await;
    let views = store.projections();
    let sleeper = Follower::start(&url, "sleeper");
    for round in 0..6 {
        let end = step(&store, 1, 3).await;
        assert!(reached(&views, end, SOON).await, "the runner runs");
        // Under load in every other round, so that it is stopped within its work too.
        for _ in 0..if round % 2 == 0 { 0 } else { 20 } {
            step(&store, 2, 30).await;
        }
        sleeper.signal("-STOP");
        step(&store, 1, 2).await;
        let other = run(&url, "other").await;
        let taken = async {
            while leader(&views).await.as_deref() != Some("other") {
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(SOON, taken)
            .await
            .expect("the other one takes over");
        let end = step(&store, 1, 1).await;
        assert!(reached(&views, end, SOON).await, "and goes on");
        sleeper.signal("-CONT");
        let end = step(&store, 3, 4).await;
        other.wait_until(end, SOON).await.unwrap();
        // Both are awake: time for the late one to do harm.
        sleep(LEASE).await;
        other.stop().await.unwrap();
    }
    let end = step(&store, 4, 4).await;
    assert!(reached(&views, end, SOON).await, "the sleeper leads again");
    check(&url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runners_killed_under_load_apply_everything_once() {
    let database = support::migrated();
    let url = database.url();
    let store = crate::open(url.clone()).await;
    let views = store.projections();
    let mut followers = ["a", "b"].map(|label| Follower::start(&url, label));
    let mut killed_at = Vec::new();
    for round in 0..8_u64 {
        let until = Instant::now() + Duration::from_millis(400 + 61 * round);
        while Instant::now() < until {
            step(&store, round % 3, 10).await;
        }
        let leads = usize::from(leader(&views).await.unwrap_or_default() == "b");
        followers[leads].kill();
        killed_at.extend(
            standing(&views)
                .await
                .map(|standing| standing.checkpoint.position),
        );
        followers[leads] = Follower::start(&url, ["a", "b"][leads]);
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
    check(&url).await;
}
