//! Read models equal the fold of the log, whenever runners are stopped, dropped or killed.

use std::{sync::Arc, time::Duration};

use eventcore::{
    GlobalPosition,
    projection::{ProjectionId, ProjectionStore, RunningProjection},
};

use super::{
    Harness,
    harness::Door,
    kit::{
        HOUR, Running, SOON, Store, Watch, Watched, Writers, expect_ledger, expect_tallies, ledger,
        ledger_fold, ledger_id, log, standing, tallies_id, tally, walk,
    },
};

/// Waits until everything that is in the log is applied, and stops.
pub(super) async fn finish<V: ProjectionStore>(running: RunningProjection<V>, store: &Store) {
    let end = GlobalPosition::try_new(log(store).await.len() as u64).unwrap();
    if let Err(error) = running.wait_until(end, SOON).await {
        panic!("a projection that nothing stands against comes to the end: {error} ({error:?})");
    }
    running
        .stop()
        .await
        .unwrap_or_else(|error| panic!("it stops without an error: {error:?}"));
}

/// Runs for random times under writers, is stopped or dropped, and starts again through other handles.
async fn come_and_go<V: ProjectionStore>(
    harness: &Harness<V>,
    start: impl Fn(&Store, &Arc<V>) -> Running<V>,
) {
    let here = harness.handles();
    walk(&here.store, "walk:first", &[1; 150]).await;
    let writers = Writers::start(
        std::slice::from_ref(&here.store),
        6,
        Duration::from_millis(30),
    );
    for round in 0..14 {
        let handles = if round % 2 == 0 {
            here.clone()
        } else {
            harness.another().await
        };
        let running = start(&handles.store, &handles.views);
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..120))).await;
        if round % 3 == 0 {
            drop(running);
        } else {
            running
                .stop()
                .await
                .unwrap_or_else(|error| panic!("it stops: {error:?}"));
        }
    }
    writers.stop().await;
    finish(start(&here.store, &here.views), &here.store).await;
}

/// Documents keyed by stream, across streams and by nothing, in any order of comings and goings.
pub async fn a_read_model_equals_the_fold_of_the_log<V: ProjectionStore>(harness: Harness<V>) {
    let ttl = harness.lease();
    come_and_go(&harness, |store, views| tally::<1, V>(store, views, ttl)).await;
    let here = harness.handles();
    expect_tallies(&here.store, &*here.views, "after stops and drops").await;
    let there = harness.another().await;
    expect_tallies(&there.store, &*there.views, "through another handle").await;
}

/// A projection that reads and writes through its unit, event by event.
pub async fn a_custom_projection_equals_the_fold_of_the_log<V: ProjectionStore>(
    harness: Harness<V>,
) {
    let ttl = harness.lease();
    come_and_go(&harness, |store, views| ledger(store, views, ttl)).await;
    let here = harness.handles();
    let promised = ledger_fold(&log(&here.store).await);
    expect_ledger(&*here.views, &promised, "after stops and drops").await;
}

type Start<V> = fn(&Store, &Arc<Watched<V>>, Duration) -> Running<Watched<V>>;

/// As short as a runner takes it.
const SHORT: Duration = Duration::from_millis(50);

/// A process of its own: a runtime in a thread, with handles of its own, that ends when the runner has drawn its last
/// breath, or has come to the end of the log. Whether it died.
async fn live<V: ProjectionStore>(
    door: Door<V>,
    breaths: usize,
    end: GlobalPosition,
    start: Start<V>,
) -> bool {
    let life = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let died = runtime.block_on(async {
            let handles = door.open().await;
            let watch = Watch::dying_after(i64::try_from(breaths).unwrap());
            let running = start(&handles.store, &Watched::new(&handles.views, &watch), SHORT);
            let finished = async {
                running.wait_until(end, SOON).await.unwrap_or_else(|error| {
                    panic!("a runner after {breaths} breaths neither dies nor gets on: {error:?}")
                });
            };
            tokio::select! {
                biased;
                () = watch.died() => true,
                () = finished => false,
            }
        });
        // Takes along whatever still runs, at whichever await it is.
        runtime.shutdown_timeout(Duration::from_secs(5));
        died
    };
    tokio::task::spawn_blocking(life)
        .await
        .unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => panic!("{error}"),
        })
}

/// Kills runners at their first breath, at their second, and so on, each with something left to do.
async fn die_everywhere<V: ProjectionStore>(
    harness: &Harness<V>,
    of: &ProjectionId,
    start: Start<V>,
) {
    let here = harness.handles();
    let (mut breaths, mut killed, mut end) = (1, 0, GlobalPosition::START);
    while killed < harness.kills() {
        let stands = standing(&*here.views, of, 0).await;
        let reached = stands.map(|standing| standing.checkpoint.position);
        // Not before everything is applied: what is left would grow faster than runners live.
        if reached.unwrap_or_default() >= end {
            walk(&here.store, &format!("walk:{}", breaths % 5), &[1, 2]).await;
            end = walk(&here.store, "walk:x", &[3]).await;
        }
        if !live(harness.door(), breaths, end, start).await {
            break;
        }
        killed += 1;
        // Densely where a runner begins, and then further and further apart.
        breaths += 1 + breaths / 40;
    }
    assert!(killed >= 10, "a runner has more than {killed} breaths");
}

/// Stopped for ever before, in and after every operation on the store of projections.
pub async fn a_runner_killed_at_any_await_applies_everything_once<V: ProjectionStore>(
    harness: Harness<V>,
) {
    die_everywhere(&harness, &tallies_id(1), |store, views, ttl| {
        tally::<1, Watched<V>>(store, views, ttl)
    })
    .await;
    let here = harness.handles();
    finish(tally::<1, V>(&here.store, &here.views, HOUR), &here.store).await;
    expect_tallies(
        &here.store,
        &*here.views,
        "after runners were killed at their awaits",
    )
    .await;
}

/// The same for a projection that is prepared first, and that writes for itself.
pub async fn a_custom_projection_killed_at_any_await_applies_everything_once<V: ProjectionStore>(
    harness: Harness<V>,
) {
    die_everywhere(&harness, &ledger_id(), |store, views, ttl| {
        ledger(store, views, ttl)
    })
    .await;
    let here = harness.handles();
    finish(ledger(&here.store, &here.views, HOUR), &here.store).await;
    let promised = ledger_fold(&log(&here.store).await);
    expect_ledger(
        &*here.views,
        &promised,
        "after runners were killed at their awaits",
    )
    .await;
}
