//! What was committed is there when the store is opened again.
//!
//! These hold a store to it whose harness says how to open the data again; of any other they ask nothing more than of
//! one handle.

use eventcore::projection::{Checkpoint, Claimed, DocumentQuery, Fate, ProjectionStore};

use super::{
    Harness,
    kit::{
        body, checkpoint, claim, commit, lead, letter, letters, must_be_fenced, places, projection,
        query_keys, release, replay, standing, standings, try_commit, wish, wish_part, work,
    },
};

/// Documents, letters, checkpoints, divisions, the active version, and the lease that runs.
pub async fn reopening_keeps_everything<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let (one, two) = (projection("kept", 1), projection("kept", 2));
    let at = [checkpoint(10), checkpoint(20)];
    for (partition, checkpoint) in (0..).zip(at) {
        let lease = lead(&store, &wish_part(&one, partition, 2)).await;
        commit(&store, &lease, &work(0).to(checkpoint)).await;
        release(&store, &lease).await;
    }
    let old = lead(&store, &wish(&one)).await;
    let claimed = wish(&two);
    let lease = lead(&store, &claimed).await;
    let all = work(5)
        .put("a", "{\"v\":1}")
        .bury(&letter(3, 0, Fate::Parked))
        .activate();
    commit(&store, &lease, &all).await;
    drop(store);
    let harness = harness.reopen().await;
    let store = harness.store();
    assert_eq!(
        body(&store, "kept", "a").await.as_deref(),
        Some("{\"v\":1}")
    );
    assert_eq!(
        query_keys(&store, "kept", &DocumentQuery::all()).await,
        ["a"]
    );
    assert_eq!(places(&letters(&store, &two).await), [(3, 0, "parked")]);
    let shown = standing(&store, &two, 0).await;
    assert_eq!(
        (shown.checkpoint, shown.epoch, shown.active),
        (all.progress.checkpoint, lease.epoch, true)
    );
    let held = claim(&store, &wish(&two)).await;
    assert!(
        matches!(&held, Claimed::Held { owner, .. } if *owner == claimed.owner),
        "the lease runs on, whoever opens the store: {held:?}"
    );
    commit(&store, &lease, &work(6)).await;
    release(&store, &old).await;
    let new = lead(&store, &wish(&one)).await;
    assert!(new.epoch > old.epoch, "epochs rise over a restart");
    assert_eq!(
        (new.checkpoint, &new.divisions),
        (at[0], &old.divisions),
        "with its divisions"
    );
    must_be_fenced(
        try_commit(&store, &old, &work(9)).await,
        &old,
        "a leader from before",
    );
}

/// Two handles are two ways to one store, as two processes would have them.
pub async fn two_handles_are_one_store<S: ProjectionStore>(harness: Harness<S>) {
    let (here, there) = (harness.store(), harness.another().await);
    let id = projection("shared", 1);
    let old = lead(&here, &wish(&id)).await;
    commit(
        &here,
        &old,
        &work(1).put("a", "1").bury(&letter(1, 0, Fate::Parked)),
    )
    .await;
    let held = claim(&there, &wish(&id)).await;
    assert!(
        matches!(held, Claimed::Held { .. }),
        "the other handle leads: {held:?}"
    );
    assert_eq!(body(&there, "shared", "a").await.as_deref(), Some("1"));
    assert_eq!(replay(&there, &id).await, 1);
    release(&there, &old).await;
    let new = lead(&there, &wish(&id)).await;
    assert!(new.epoch > old.epoch, "handles draw epochs from one row");
    let outcome = try_commit(&here, &old, &work(2).put("a", "\"late\"")).await;
    must_be_fenced(outcome, &old, "the other handle's leader took over");
    commit(&there, &new, &work(3).put("a", "3").revive(1)).await;
    assert_eq!(body(&here, "shared", "a").await.as_deref(), Some("3"));
    assert_eq!(letters(&here, &id).await, []);
    super::kit::remove(&there, &id).await;
    assert_eq!(standings(&here, &id.name).await, []);
    let again = lead(&here, &wish(&id)).await;
    assert_eq!(again.checkpoint, Checkpoint::default());
}
