//! Dropped futures harm nobody.

use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use eventcore::projection::{
    Checkpoint, Claim, Claimed, DocumentQuery, Fate, Lease, ProjectionId, ProjectionStore,
    UnitOfWork,
};

use super::{
    Harness,
    kit::{
        Work, at, begin, bodies, body, claim, commit, dropped_after, key, lead, letter, letters,
        patiently, places, projection, standings, try_commit, wish, work,
    },
};

/// More awaits than any operation has; waking up for nothing counts as one too.
const MANY: usize = 100;

/// How long a future that was polled lies about before it is dropped: its work may be done and unclaimed by then.
const LINGER: [Duration; 2] = [Duration::ZERO, Duration::from_millis(3)];

/// More than the connections of a pool: if each dropped future took one with it, none would be left.
const POOLFUL: usize = 40;

/// Every way to drop a piece of work: after each number of polls, until it is done before it is dropped.
async fn dropped_everywhere<F: Future<Output = bool>>(mut work: impl FnMut(usize, Duration) -> F) {
    for linger in LINGER {
        for polls in 1..MANY {
            if work(polls, linger).await {
                break;
            }
        }
    }
    for _ in 0..POOLFUL {
        work(1, Duration::ZERO).await;
    }
}

/// A new leader, whatever was left behind: the lease of a claim that was dropped may be running.
async fn taken<S: ProjectionStore>(store: &S, wish: &Claim) -> Lease {
    match claim(store, wish).await {
        Claimed::Granted(lease) => lease,
        other => panic!("the same owner may claim at any time, and {wish:?} came to {other:?}"),
    }
}

/// Claims, renewals and releases; the owner gets through afterwards.
pub async fn a_dropped_claim_leaves_the_store_usable<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let wish = wish(&projection("claims", 1));
    let lease = lead(&store, &wish).await;
    commit(&store, &lease, &work(4).put("a", "1")).await;
    dropped_everywhere(async |polls, linger| {
        let lease = taken(&store, &wish).await;
        let renewed = dropped_after(polls, linger, store.renew(&lease)).await;
        let claimed = dropped_after(polls, linger, store.claim(&wish)).await;
        let released = dropped_after(polls, linger, store.release(&lease)).await;
        renewed.is_some() && claimed.is_some() && released.is_some()
    })
    .await;
    let lease = committed(&store, &wish, &work(5)).await;
    assert_eq!(
        lease.checkpoint.position,
        at(4),
        "dropped claims move nothing"
    );
}

/// Commits under a new lease. What was dropped may be on its way still and fence it, so that it takes more than one.
async fn committed<S: ProjectionStore>(store: &S, wish: &Claim, work: &Work) -> Lease {
    for _ in 0..2 * POOLFUL {
        let lease = taken(store, wish).await;
        match try_commit(store, &lease, work).await {
            Ok(()) => return lease,
            Err(error) => assert!(
                error.is_fenced(),
                "nothing stands against it, and it met {error:?}"
            ),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("futures that were dropped long ago fence every new leader of {wish:?}");
}

/// The beginning of a unit, and each of its calls, dropped with the unit.
pub async fn a_dropped_unit_leaves_the_store_usable<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("units", 1);
    let lease = lead(&store, &wish(&id)).await;
    commit(
        &store,
        &lease,
        &work(1).put("a", "1").bury(&letter(1, 0, Fate::Parked)),
    )
    .await;
    let lost = work(2)
        .put("a", "2")
        .bury(&letter(2, 0, Fate::Parked))
        .revive(1);
    dropped_everywhere(async |polls, linger| {
        // One unit at a time: a store may let the next one wait.
        let begun = dropped_after(polls, linger, store.begin(&lease)).await;
        let begun = begun.map(drop);
        let mut unit = begin(&store, &lease).await;
        let keys = [key("a")];
        let loaded = dropped_after(polls, linger, unit.load(&keys)).await;
        drop(unit);
        let mut unit = begin(&store, &lease).await;
        let wrote = dropped_after(polls, linger, lost.in_unit(&mut unit)).await;
        drop(unit);
        let mut unit = begin(&store, &lease).await;
        let waited = dropped_after(polls, linger, unit.waiting()).await;
        begun.is_some() && loaded.is_some() && wrote.is_some() && waited.is_some()
    })
    .await;
    assert_eq!(
        body(&store, "units", "a").await.as_deref(),
        Some("1"),
        "a dropped unit was committed"
    );
    assert_eq!(places(&letters(&store, &id).await), [(1, 0, "parked")]);
    commit(&store, &lease, &work(2)).await;
}

/// Document, letter and checkpoint of every commit, looked at by the next leader.
pub async fn a_dropped_commit_is_whole_or_nothing<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let wish = wish(&projection("commits", 1));
    let number = AtomicU64::new(0);
    dropped_everywhere(async |polls, linger| {
        let next = number.load(SeqCst) + 1;
        let lease = taken(&store, &wish).await;
        let text = next.to_string();
        let all = work(next)
            .put("a", &text)
            .put("b", &text)
            .bury(&letter(next, 0, Fate::Parked));
        let mut unit = begin(&store, &lease).await;
        all.in_unit(&mut unit).await.expect("it leads");
        let done = dropped_after(polls, linger, unit.commit(all.progress)).await;
        // The next grant settles it: what has not been committed by now never is.
        let lease = taken(&store, &wish).await;
        let is_there = lease.checkpoint.position == at(next);
        must_agree(
            &store,
            &lease,
            if is_there { next } else { number.load(SeqCst) },
        )
        .await;
        if let Some(outcome) = &done {
            assert!(
                is_there || outcome.is_err(),
                "the commit came to {outcome:?}, and the next leader starts from {:?}",
                lease.checkpoint
            );
        }
        number.store(lease.checkpoint.position.get(), SeqCst);
        done.is_some()
    })
    .await;
    let lease = taken(&store, &wish).await;
    commit(&store, &lease, &work(100_000)).await;
}

async fn must_agree<S: ProjectionStore>(store: &S, lease: &Lease, number: u64) {
    let found = bodies(store, &lease.projection.name, &[key("a"), key("b")]).await;
    let expected = (number > 0).then(|| number.to_string());
    assert_eq!(
        found,
        [expected.clone(), expected],
        "documents beside the checkpoint {number}"
    );
    assert_eq!(lease.checkpoint.position, at(number));
    let last = letters(store, &lease.projection)
        .await
        .last()
        .map(|l| l.position.get());
    assert_eq!(
        last.unwrap_or_default(),
        number,
        "letters beside the checkpoint {number}"
    );
}

/// Everything that is asked without a lease.
pub async fn a_dropped_question_changes_nothing<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("questions", 1);
    let lease = lead(&store, &wish(&id)).await;
    let many = (0..500).fold(work(1), |work, n| work.put(format!("k{n}"), "{\"v\":1}"));
    commit(&store, &lease, &many.bury(&letter(1, 0, Fate::Parked))).await;
    let all = DocumentQuery::all();
    let keys: Vec<_> = (0..500).map(|n| key(format!("k{n}"))).collect();
    dropped_everywhere(async |polls, linger| {
        let shown = dropped_after(polls, linger, store.standings(&id.name)).await;
        let names = dropped_after(polls, linger, store.names()).await;
        let letters = dropped_after(polls, linger, store.dead_letters(&id, at(0), 9)).await;
        let bodies = dropped_after(polls, linger, store.documents(&id.name, &keys)).await;
        let found = dropped_after(polls, linger, store.query(&id.name, &all)).await;
        shown.is_some()
            && names.is_some()
            && letters.is_some()
            && bodies.is_some()
            && found.is_some()
    })
    .await;
    let found = bodies(&store, &id.name, &keys).await;
    assert!(found.iter().all(Option::is_some));
    commit(&store, &lease, &work(2)).await;
}

/// Replays, resets and removals: all or nothing of each.
pub async fn dropped_upkeep_is_whole_or_nothing<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("upkeep", 1);
    dropped_everywhere(async |polls, linger| {
        let all = work(5).put("a", "1").put("b", "1");
        let all = [1, 2, 3].into_iter().fold(all, |work: Work, position| {
            work.bury(&letter(position, 0, Fate::Parked))
        });
        committed(&store, &wish_of_one_owner(&id), &all).await;
        let replayed = dropped_after(polls, linger, store.replay(&id)).await;
        let fates = places(&letters(&store, &id).await);
        let marked = fates
            .iter()
            .filter(|(_, _, fate)| *fate == "replaying")
            .count();
        assert!(
            marked == 0 || marked == 3,
            "a replay that was dropped marked {marked} of 3"
        );
        let reset = dropped_after(polls, linger, store.reset(&id)).await;
        must_be_all_or_nothing(&store, &id, "reset").await;
        let removed = dropped_after(polls, linger, store.remove(&id)).await;
        taken(&store, &wish_of_one_owner(&id)).await;
        must_be_all_or_nothing(&store, &id, "removal").await;
        replayed.is_some() && reset.is_some() && removed.is_some()
    })
    .await;
    patiently!(store.remove(&id)).expect("it can be removed");
    lead(&store, &wish(&id)).await;
}

fn wish_of_one_owner(id: &ProjectionId) -> Claim {
    let mut claim = wish(id);
    claim.owner.id = uuid::Uuid::from_u128(7);
    claim
}

/// Looks again while the pieces do not fit: what was dropped may take effect between two looks, but not stay half done.
async fn must_be_all_or_nothing<S: ProjectionStore>(store: &S, id: &ProjectionId, what: &str) {
    let keys = [key("a"), key("b")];
    let mut seen = (0, 0, 0);
    for _ in 0..10 {
        let there = bodies(store, &id.name, &keys).await;
        let standings = standings(store, &id.name).await;
        let moved = standings
            .iter()
            .filter(|s| s.checkpoint != Checkpoint::default());
        let buried = letters(store, id).await.len();
        seen = (there.iter().flatten().count(), buried, moved.count());
        if [(2, 3, 1), (0, 0, 0)].contains(&seen) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (there, buried, moved) = seen;
    panic!(
        "a {what} that was dropped left {there} of 2 documents, {buried} of 3 letters, {moved} of 1 checkpoint"
    );
}

/// A panic between two calls of a unit, in a task of its own.
pub async fn a_panicking_projection_fails_alone<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("panics", 1);
    let lease = lead(&store, &wish(&id)).await;
    for _ in 0..10 {
        let (store, lease) = (store.clone(), lease.clone());
        let task = tokio::spawn(async move {
            let mut unit = begin(&store, &lease).await;
            work(1)
                .put("a", "1")
                .in_unit(&mut unit)
                .await
                .expect("it leads");
            panic!("the suite panics here on purpose, with a unit open");
        });
        assert!(task.await.is_err(), "the task was to panic");
    }
    assert_eq!(
        body(&store, "panics", "a").await,
        None,
        "a unit whose task panicked was committed"
    );
    commit(&store, &lease, &work(1).put("a", "2")).await;
}
