//! Several runners, of which one leads.

use std::time::Duration;

use eventcore::projection::{
    Partitions, ProjectionState, ProjectionStore, RunningProjection, project, run_projection,
};
use eventcore_memory::InMemoryProjections;

use crate::{
    counters::{count, store},
    models::{Diary, SOON, Sums, sum, views},
};

const TTL: Duration = Duration::from_millis(200);

fn leads(running: &RunningProjection<InMemoryProjections>) -> bool {
    running.status().is_live()
}

async fn until(what: impl Fn() -> bool) {
    for _ in 0..2000 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never happened");
}

#[tokio::test]
async fn one_leads_the_other_takes_over_when_it_stops() {
    let (store, views) = (store(), views());
    let start = || {
        let run = project(Sums::<1>, &store, &views).lease(TTL);
        run.start().unwrap()
    };
    let (one, two) = (start(), start());
    until(|| leads(&one) != leads(&two)).await;
    let last = count(&store, "counter:1", &[1]).await;
    // Also the one that stands by knows when it is applied.
    one.wait_until(last, SOON).await.unwrap();
    two.wait_until(last, SOON).await.unwrap();
    let (leader, other) = if leads(&one) { (one, two) } else { (two, one) };
    assert_eq!(
        other.status().partitions[0].state,
        ProjectionState::StandingBy
    );
    leader.stop().await.unwrap();
    until(|| leads(&other)).await;
    let last = count(&store, "counter:1", &[1]).await;
    other.wait_until(last, SOON).await.unwrap();
    assert_eq!(sum(&views, "counter:1").await.unwrap().versions, [1, 2]);
    assert!(other.status().partitions[0].epoch > 1);
}

#[tokio::test]
async fn a_leader_that_was_replaced_stands_back_and_nothing_is_applied_twice() {
    let (store, views) = (store(), views());
    let running = project(Sums::<1>, &store, &views)
        .lease(TTL)
        .start()
        .unwrap();
    let last = count(&store, "counter:1", &[1]).await;
    running.wait_until(last, SOON).await.unwrap();
    // Somebody resets it: the leader's epoch is over, and it begins again from the start.
    views.reset(running.projection()).await.unwrap();
    let last = count(&store, "counter:1", &[1]).await;
    for _ in 0..2000 {
        if sum(&views, "counter:1")
            .await
            .is_some_and(|sum| sum.versions == [1, 2])
        {
            running.wait_until(last, SOON).await.unwrap();
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{:?}", sum(&views, "counter:1").await);
}

#[tokio::test]
async fn partitions_share_the_work_and_keep_the_order_of_each_stream() {
    let (store, views) = (store(), views());
    let four = Partitions::try_new(4).unwrap();
    let diary = Diary::default();
    let start = || {
        let run = run_projection(diary.clone(), &store, &views)
            .partitions(four)
            .at_most(2);
        run.lease(TTL).start().unwrap()
    };
    let (one, two) = (start(), start());
    let led = |running: &RunningProjection<InMemoryProjections>| {
        let partitions = running.status().partitions;
        let leading = partitions
            .iter()
            .filter(|p| p.state != ProjectionState::StandingBy);
        leading.count()
    };
    until(|| led(&one) == 2 && led(&two) == 2).await;
    let mut last = None;
    for number in 0..200 {
        last = Some(count(&store, &format!("counter:{}", number % 10), &[1]).await);
    }
    one.wait_until(last.unwrap(), SOON).await.unwrap();
    let seen = diary.applied.lock().unwrap().clone();
    assert_eq!(seen.len(), 200);
    for number in 0..10 {
        let counter = format!("counter:{number}");
        let versions = seen
            .iter()
            .filter(|(name, _)| *name == counter)
            .map(|(_, v)| *v);
        assert_eq!(
            versions.collect::<Vec<u64>>(),
            (1..=20).collect::<Vec<u64>>()
        );
    }
}

#[tokio::test]
async fn changing_the_number_of_partitions_applies_everything_once() {
    let (store, views) = (store(), views());
    let mut expected = 0;
    for partitions in [3, 5, 1, 2] {
        let partitions = Partitions::try_new(partitions).unwrap();
        // Some partitions get further than others, since one process leads only one of them at a time.
        let running = project(Sums::<1>, &store, &views)
            .partitions(partitions)
            .at_most(1)
            .lease(TTL)
            .start()
            .unwrap();
        for number in 0..30 {
            count(&store, &format!("counter:{number}"), &[1]).await;
        }
        expected += 1;
        until(|| running.status().is_live()).await;
        running.stop().await.unwrap();
    }
    let running = project(Sums::<1>, &store, &views)
        .lease(TTL)
        .start()
        .unwrap();
    running.wait_until_live(SOON).await.unwrap();
    for number in 0..30 {
        let found = sum(&views, &format!("counter:{number}")).await.unwrap();
        assert_eq!(
            found.versions,
            (1..=expected).collect::<Vec<u64>>(),
            "counter:{number}"
        );
    }
}
