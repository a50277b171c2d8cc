//! Versions keep apart, and readers are switched in one step.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use eventcore::projection::{DocumentQuery, ProjectionId, ProjectionStore, UnitOfWork};

use super::{
    Harness,
    kit::{
        begin, bodies, body, commit, join, key, lead, must_be_fenced, projection, query_keys,
        release, standings, try_commit, wish, wish_part, work,
    },
};

/// The version that readers see, by the standings.
async fn active<S: ProjectionStore>(store: &S, of: &ProjectionId) -> Vec<u32> {
    let standings = standings(store, &of.name).await;
    let active = standings.iter().filter(|standing| standing.active);
    let mut versions: Vec<_> = active.map(|standing| standing.projection.version).collect();
    versions.dedup();
    versions
}

/// Whatever its number is.
pub async fn the_first_version_claimed_is_active<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let (seven, two) = (projection("first", 7), projection("first", 2));
    let first = lead(&store, &wish(&seven)).await;
    let second = lead(&store, &wish(&two)).await;
    commit(&store, &second, &work(1).put("a", "2")).await;
    assert_eq!(
        body(&store, "first", "a").await,
        None,
        "readers see version 7, which has no document"
    );
    let third = lead(&store, &wish(&projection("first", 9))).await;
    commit(&store, &third, &work(1).put("a", "9")).await;
    commit(&store, &first, &work(1).put("a", "7")).await;
    assert_eq!(body(&store, "first", "a").await.as_deref(), Some("7"));
    assert_eq!(active(&store, &seven).await, [7]);
}

/// Not before the commit, and never without the flag.
pub async fn activation_comes_with_the_commit<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let (one, two) = (projection("switched", 1), projection("switched", 2));
    let first = lead(&store, &wish(&one)).await;
    let second = lead(&store, &wish(&two)).await;
    commit(&store, &first, &work(1).put("a", "1").put("old", "1")).await;
    commit(&store, &second, &work(1).put("a", "2")).await;
    assert_eq!(body(&store, "switched", "a").await.as_deref(), Some("1"));
    let switch = work(2).put("new", "2").activate();
    let mut unit = begin(&store, &second).await;
    switch.in_unit(&mut unit).await.expect("it leads");
    assert_eq!(active(&store, &one).await, [1], "not committed yet");
    unit.commit(switch.progress)
        .await
        .expect("nobody replaced it");
    assert_eq!(active(&store, &one).await, [2]);
    let keys = ["a", "old", "new"].map(key);
    let found = bodies(&store, &one.name, &keys).await;
    assert_eq!(found, [Some("2".to_owned()), None, Some("2".to_owned())]);
    let all = query_keys(&store, "switched", &DocumentQuery::all()).await;
    assert_eq!(all, ["a", "new"], "queries are switched too");
    commit(&store, &first, &work(2).put("a", "\"late\"")).await;
    assert_eq!(body(&store, "switched", "a").await.as_deref(), Some("2"));
    commit(&store, &second, &work(3)).await;
    assert_eq!(
        active(&store, &one).await,
        [2],
        "a commit without the flag changes nothing"
    );
    commit(&store, &first, &work(3).activate()).await;
    assert_eq!(
        active(&store, &one).await,
        [2],
        "a version that was slower than its successor does not take readers back"
    );
}

/// A reader looks on while versions take over from each other, each with the last document that it needs.
pub async fn readers_are_switched_in_one_step<S: ProjectionStore>(harness: Harness<S>) {
    const VERSIONS: u32 = 25;
    let store = harness.store();
    let other = harness.another().await;
    let first = lead(&store, &wish(&projection("stepwise", 0))).await;
    commit(&store, &first, &work(1).put("a", "0").put("b", "0")).await;
    let done = Arc::new(AtomicBool::new(false));
    let watching = {
        let (done, name) = (Arc::clone(&done), first.projection.name.clone());
        tokio::spawn(async move {
            let keys = [key("a"), key("b")];
            while !done.load(SeqCst) {
                let seen = bodies(&other, &name, &keys).await;
                assert!(
                    seen[0].is_some() && seen[0] == seen[1],
                    "a reader saw {seen:?}, which no version ever showed"
                );
                tokio::task::yield_now().await;
            }
        })
    };
    for version in 1..=VERSIONS {
        let lease = lead(&store, &wish(&projection("stepwise", version))).await;
        let text = version.to_string();
        commit(&store, &lease, &work(1).put("a", &text)).await;
        commit(&store, &lease, &work(2).put("b", &text).activate()).await;
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    done.store(true, SeqCst);
    join(vec![watching]).await;
}

/// A switch is part of the unit like everything else.
pub async fn who_was_replaced_activates_nothing<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let (one, two) = (projection("kept", 1), projection("kept", 2));
    lead(&store, &wish(&one)).await;
    let old = lead(&store, &wish(&two)).await;
    release(&store, &old).await;
    lead(&store, &wish(&two)).await;
    let outcome = try_commit(&store, &old, &work(1).activate()).await;
    must_be_fenced(outcome, &old, "activation by a leader that was replaced");
    assert_eq!(active(&store, &one).await, [1]);
}

/// The active version is one for all partitions.
pub async fn one_partition_activates_for_all<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let (one, two) = (projection("parts", 1), projection("parts", 2));
    lead(&store, &wish(&one)).await;
    let left = lead(&store, &wish_part(&two, 0, 2)).await;
    let right = lead(&store, &wish_part(&two, 1, 2)).await;
    commit(&store, &left, &work(1).put("l", "1")).await;
    commit(&store, &right, &work(1).put("r", "1").activate()).await;
    let found = bodies(&store, &one.name, &[key("l"), key("r")]).await;
    assert_eq!(found, [Some("1".to_owned()), Some("1".to_owned())]);
    let shown = standings(&store, &one.name).await;
    let flags: Vec<_> = shown
        .iter()
        .map(|s| (s.projection.version, s.partition, s.active))
        .collect();
    assert_eq!(flags, [(1, 0, false), (2, 0, true), (2, 1, true)]);
}
