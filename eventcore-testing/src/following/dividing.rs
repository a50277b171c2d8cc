//! Partitions share the work, and come to the same in any number.

use std::time::Duration;

use eventcore::projection::{
    Partitions, ProjectionStore, RunningProjection, project, run_projection,
};

use super::{
    Harness,
    kit::{
        Ledger, Running, TICK, Tallies, Writers, expect_ledger, expect_tallies, is_live,
        ledger_fold, log, page_size, until, walk,
    },
    once::finish,
};

fn parts(number: u32) -> Partitions {
    Partitions::try_new(number).expect("the suite's numbers of partitions are allowed")
}

/// Numbers of partitions, one after the other. In all but the last each process leads one only, so that the others stay
/// behind and the next division finds them at different places.
const ROUNDS: [(u32, u32); 7] = [(1, 1), (3, 1), (2, 1), (5, 1), (3, 2), (2, 1), (3, 3)];

/// Runs in another division each time, with more events each time.
async fn divide_anew<V: ProjectionStore>(
    harness: &Harness<V>,
    start: impl Fn(u32, u32) -> RunningProjection<std::sync::Arc<V>>,
) {
    let store = harness.handles().store;
    for (round, (number, at_most)) in (1..).zip(ROUNDS) {
        for name in 0..20 {
            walk(&store, &format!("walk:{name}"), &[round, name]).await;
        }
        let running = start(number, at_most);
        let led = usize::try_from(at_most.min(number)).unwrap();
        until(
            "as many partitions are live as one process leads",
            async || {
                let standing_by = eventcore::projection::ProjectionState::StandingBy;
                let partitions = running.status().partitions;
                let leading = partitions
                    .iter()
                    .filter(|one| one.state != standing_by)
                    .count();
                leading == led && is_live(&running)
            },
        )
        .await;
        if round == 7 {
            finish(running, &store).await;
        } else {
            running
                .stop()
                .await
                .unwrap_or_else(|error| panic!("it stops: {error:?}"));
        }
    }
}

/// A read model is divided by the keys of its documents, some of which take events of all streams.
pub async fn other_numbers_of_partitions_come_to_the_same_by_key<V: ProjectionStore>(
    harness: Harness<V>,
) {
    let here = harness.handles();
    let (store, views) = (here.store.clone(), here.views.clone());
    divide_anew(&harness, |number, at_most| {
        project(Tallies::<1>, &store, &views)
            .partitions(parts(number))
            .at_most(at_most)
            .lease(harness.lease())
            .poll_every(TICK)
            .page_size(page_size(37))
            .start()
            .unwrap()
    })
    .await;
    expect_tallies(&here.store, &*here.views, "divided anew six times").await;
}

/// A projection that writes for itself is divided by stream.
pub async fn other_numbers_of_partitions_come_to_the_same_by_stream<V: ProjectionStore>(
    harness: Harness<V>,
) {
    let here = harness.handles();
    let (store, views) = (here.store.clone(), here.views.clone());
    divide_anew(&harness, |number, at_most| {
        run_projection(Ledger::default(), &store, &views)
            .partitions(parts(number))
            .at_most(at_most)
            .lease(harness.lease())
            .poll_every(TICK)
            .page_size(page_size(37))
            .start()
            .unwrap()
    })
    .await;
    let promised = ledger_fold(&log(&here.store).await);
    expect_ledger(&*here.views, &promised, "divided anew six times").await;
}

/// Three processes lead one partition each under writers; one of them goes, and another takes its part too.
pub async fn partitions_are_shared_between_processes<V: ProjectionStore>(harness: Harness<V>) {
    let here = harness.handles();
    let writers = Writers::start(
        std::slice::from_ref(&here.store),
        4,
        Duration::from_millis(10),
    );
    let mut runners: Vec<Running<V>> = Vec::new();
    for _ in 0..3 {
        let handles = harness.another().await;
        let running = project(Tallies::<1>, &handles.store, &handles.views)
            .partitions(parts(3))
            .at_most(if runners.is_empty() { 2 } else { 1 })
            .lease(harness.lease())
            .poll_every(TICK)
            .page_size(page_size(37))
            .start();
        runners.push(running.unwrap());
        // The first would lead two of them.
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(runners.remove(1));
    let more = harness.another().await;
    let last = project(Tallies::<1>, &more.store, &more.views)
        .partitions(parts(3))
        .lease(harness.lease())
        .poll_every(TICK)
        .start()
        .unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    writers.stop().await;
    for running in runners {
        running
            .stop()
            .await
            .unwrap_or_else(|error| panic!("it stops: {error:?}"));
    }
    finish(last, &here.store).await;
    expect_tallies(&here.store, &*here.views, "shared by four processes").await;
}
