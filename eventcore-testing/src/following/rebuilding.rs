//! New versions, resets, and logs that are not what they were.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use eventcore::{
    projection::{ProjectionError, ProjectionState, ProjectionStore},
    store::ReadError,
};

use super::{
    Harness,
    kit::{
        Expected, HOUR, Running, SOON, Store, Watch, Watched, Writers, append, expect_ledger,
        expect_tallies, fold, is_live, leads, ledger, ledger_fold, ledger_id, log, patiently, soon,
        standing, tallies, tallies_id, tally, until, walk,
    },
    once::finish,
};

/// What readers see, again and again, until they are told to stop; each picture once.
async fn look<V: ProjectionStore>(views: Arc<V>, stop: Arc<AtomicBool>) -> Vec<Expected> {
    let mut seen: Vec<Expected> = Vec::new();
    while !stop.load(Relaxed) {
        let picture = tallies(&*views).await;
        if seen.last() != Some(&picture) {
            seen.push(picture);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    seen
}

/// Every picture that readers have while a second version is built under writers is the fold of the log up to some
/// position, of one version; and the second one is first seen when it has come as far as the log was.
pub async fn readers_see_a_whole_version_at_all_times<V: ProjectionStore>(harness: Harness<V>) {
    let (here, there) = (harness.handles(), harness.another().await);
    let store = &here.store;
    for number in 0..10 {
        walk(store, &format!("walk:{number}"), &[1; 150]).await;
    }
    let old = tally::<1, V>(store, &here.views, HOUR);
    old.wait_until_live(SOON).await.unwrap();
    let stop = Arc::<AtomicBool>::default();
    let reader = tokio::spawn(look(harness.another().await.views, Arc::clone(&stop)));
    let writers = Writers::start(std::slice::from_ref(store), 3, Duration::from_millis(10));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = log(store).await.len() as u64;
    let new = tally::<2, V>(&there.store, &there.views, HOUR);
    new.wait_until_live(SOON).await.unwrap();
    until("readers see the version that is live", async || {
        tallies(&*here.views).await["all"].version == 2
    })
    .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    writers.stop().await;
    finish(new, store).await;
    finish(old, store).await;
    patiently!(here.views.remove(&tallies_id(1))).unwrap();
    tokio::time::sleep(Duration::from_millis(30)).await;
    stop.store(true, Relaxed);
    let pictures = reader.await.unwrap();
    expect_tallies(store, &*here.views, "after the old version is gone").await;
    check_pictures(&pictures, before, &log(store).await);
}

fn check_pictures(pictures: &[Expected], before: u64, log: &[eventcore::RecordedEvent]) {
    let mut last = (0, 0);
    for picture in pictures {
        let Some(all) = picture.get("all") else {
            panic!("readers see nothing, or a part: {picture:?}");
        };
        assert!(
            picture.values().all(|tally| tally.version == all.version),
            "readers see two versions at once: {picture:?}"
        );
        assert!(
            all.version >= last.0,
            "readers see version {} again",
            all.version
        );
        if (last.0, all.version) == (1, 2) {
            assert!(
                all.last >= before,
                "readers see version 2 when it has come to {}, and the log was at {before} before",
                all.last
            );
        }
        if last.0 == all.version {
            assert!(all.last >= last.1, "readers see what was before");
        }
        last = (all.version, all.last);
        let part = &log[..usize::try_from(all.last).unwrap()];
        assert!(
            *picture == fold(part, all.version),
            "what readers see of version {} is no fold of the log up to {}",
            all.version,
            all.last
        );
    }
    assert_eq!(last.0, 2, "readers came to see version 2");
}

/// Resets through another handle, under writers, of a read model and of a projection that prepares.
pub async fn a_reset_is_built_anew_while_it_runs<V: ProjectionStore>(harness: Harness<V>) {
    let (here, there) = (harness.handles(), harness.another().await);
    let store = &here.store;
    walk(store, "walk:first", &[1; 200]).await;
    let writers = Writers::start(std::slice::from_ref(store), 3, Duration::from_millis(10));
    let model = tally::<1, V>(store, &here.views, harness.lease());
    let custom = ledger(store, &here.views, harness.lease());
    for _ in 0..3 {
        until("both lead", async || leads(&model) && leads(&custom)).await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..250))).await;
        for id in [tallies_id(1), ledger_id()] {
            patiently!(there.views.reset(&id)).unwrap();
        }
    }
    writers.stop().await;
    let end = log(store).await.len() as u64;
    // The runners may not have heard of the last reset yet; the store has.
    for id in [tallies_id(1), ledger_id()] {
        until("what was reset is built anew", async || {
            let stands = standing(&*there.views, &id, 0)
                .await
                .expect("it was claimed");
            stands.checkpoint.position.get() == end
        })
        .await;
    }
    finish(model, store).await;
    finish(custom, store).await;
    expect_tallies(store, &*here.views, "after three resets").await;
    let promised = ledger_fold(&log(store).await);
    expect_ledger(&*here.views, &promised, "after three resets").await;
}

/// A build that dies half way does not begin at the beginning again.
pub async fn a_build_that_is_killed_goes_on<V: ProjectionStore>(harness: Harness<V>) {
    let handles = harness.handles();
    let (store, views) = (&handles.store, &handles.views);
    for number in 0..8 {
        walk(store, &format!("walk:{number}"), &[1; 500]).await;
    }
    let old = tally::<1, V>(store, views, HOUR);
    finish(old, store).await;
    let watch = Watch::over();
    let build = tally::<2, _>(store, &Watched::new(views, &watch), harness.lease());
    let position = async || {
        let standing = standing(&**views, &tallies_id(2), 0).await;
        standing.map_or(0, |standing| standing.checkpoint.position.get())
    };
    until("the build has come to a third", async || {
        position().await > 1_300
    })
    .await;
    watch.put_to_sleep_at(super::kit::Moment::Begin);
    // It may be done by now, if the store is fast.
    let _ = tokio::time::timeout(Duration::from_millis(300), watch.asleep()).await;
    let reached = position().await;
    let again = tally::<2, V>(store, views, harness.lease());
    until("the build goes on, from where it was", async || {
        let now = position().await;
        assert!(now >= reached, "it was at {reached} and is at {now}");
        now == 4_000
    })
    .await;
    drop(build);
    watch.wake();
    finish(again, store).await;
    expect_tallies(store, &**views, "built in two parts").await;
    assert_eq!(tallies(&**views).await["all"].version, 2);
}

/// The error that a runner over this log stops with.
async fn refusal<V: ProjectionStore>(store: &Store, views: &Arc<V>) -> ProjectionError {
    let running: Running<V> = tally::<1, V>(store, views, HOUR);
    until(
        "a log that is not the one that was projected is refused",
        async || {
            assert!(
                !is_live(&running),
                "another log is projected as if it were the same"
            );
            running.status().partitions[0].state == ProjectionState::Failed
        },
    )
    .await;
    soon("the runner to stop", running.stop())
        .await
        .expect_err("it has failed")
}

/// A copy of the first events of a log. Their identities are new, as they are not in a backup.
async fn copy(from: &Store, to: &Store, events: usize) {
    for event in &log(from).await[..events] {
        append(to, event.stream(), vec![event.encoded().clone()]).await;
    }
}

/// An older backup of the log was restored, and the read models are those of today.
pub async fn an_older_log_is_refused<V: ProjectionStore>(harness: Harness<V>) {
    let Some(restored) = harness.fresh_log().await else {
        return;
    };
    let handles = harness.handles();
    let (store, views) = (&handles.store, &handles.views);
    walk(store, "walk:1", &[1, 2, 3]).await;
    walk(store, "walk:2", &[4, 5, 6]).await;
    finish(tally::<1, V>(store, views, HOUR), store).await;
    let before = tallies(&**views).await;
    copy(store, &restored, 4).await;
    let error = refusal(&restored, views).await;
    assert!(
        matches!(&error, ProjectionError::Read(ReadError::LogBehind { after, end })
            if (after.get(), end.get()) == (6, 4)),
        "the log ends at 4, before 6: {error:?}"
    );
    assert_eq!(tallies(&**views).await, before, "nothing was changed");
    // It refuses also when the log has grown beyond that: the events are others.
    walk(&restored, "walk:3", &[7, 8, 9]).await;
    let error = refusal(&restored, views).await;
    assert!(
        matches!(error, ProjectionError::AnotherLog { .. }),
        "{error:?}"
    );
    patiently!(views.reset(&tallies_id(1))).unwrap();
    finish(tally::<1, V>(&restored, views, HOUR), &restored).await;
    expect_tallies(
        &restored,
        &**views,
        "reset and built from the log that is there",
    )
    .await;
}

/// A log of the same length with other events.
pub async fn another_log_is_refused<V: ProjectionStore>(harness: Harness<V>) {
    let Some(other) = harness.fresh_log().await else {
        return;
    };
    let handles = harness.handles();
    let (store, views) = (&handles.store, &handles.views);
    walk(store, "walk:1", &[1, 2, 3]).await;
    walk(&other, "walk:1", &[1, 2, 3]).await;
    finish(tally::<1, V>(store, views, HOUR), store).await;
    let expected = log(store).await[2].id();
    let error = refusal(&other, views).await;
    assert!(
        matches!(&error, ProjectionError::AnotherLog { position, expected: named, found: Some(_), .. }
            if position.get() == 3 && *named == expected),
        "another event stands at position 3: {error:?}"
    );
    finish(tally::<1, V>(store, views, HOUR), store).await;
    expect_tallies(
        store,
        &**views,
        "the log that it was built from is still good",
    )
    .await;
}
