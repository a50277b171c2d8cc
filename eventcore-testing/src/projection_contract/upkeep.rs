//! Reset, remove, standings, names.

use std::sync::Arc;

use eventcore::projection::{
    Checkpoint, Claimed, Divisions, DocumentQuery, Fate, Lease, ProjectionId, ProjectionStore,
    ProjectionStoreError, Standing, UnitOfWork,
};

use super::{
    Harness,
    kit::{
        LONG, begin, body, claim, commit, join, lead, letter, letters, must_be_fenced, name, parts,
        patiently, projection, query_keys, release, remove, replay, reset, standing, standings,
        try_commit, wish, wish_part, work,
    },
};

/// A leader with a document, a letter that waits and one that was skipped.
async fn furnished<S: ProjectionStore>(store: &S, id: &ProjectionId) -> Lease {
    let lease = lead(store, &wish(id)).await;
    let all = work(9).put("a", &*id.version.to_string());
    let all = all
        .bury(&letter(3, 0, Fate::Parked))
        .bury(&letter(4, 0, Fate::Skipped));
    commit(store, &lease, &all).await;
    lease
}

/// Documents, letters and checkpoint of a version are as [`furnished`] left them.
async fn must_be_furnished<S: ProjectionStore>(store: &S, lease: &Lease) {
    let shown = standing(store, &lease.projection, 0).await;
    assert_eq!(
        (
            shown.checkpoint.position.get(),
            shown.waiting,
            shown.skipped,
            shown.epoch
        ),
        (9, 1, 1, lease.epoch)
    );
    assert_eq!(letters(store, &lease.projection).await.len(), 2);
    commit(store, lease, &work(9).activate()).await;
    let expected = lease.projection.version.to_string();
    assert_eq!(
        body(store, lease.projection.name.as_str(), "a").await,
        Some(expected)
    );
}

/// The start of the log, and nothing else.
pub async fn a_reset_clears_everything<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let (one, two) = (projection("reset", 1), projection("reset", 2));
    // It has been divided otherwise, so it has divisions to lose.
    let left = lead(&store, &wish_part(&one, 0, 2)).await;
    commit(&store, &left, &work(5)).await;
    release(&store, &left).await;
    let first = furnished(&store, &one).await;
    let second = furnished(&store, &two).await;
    reset(&store, &one).await;
    let shown = standing(&store, &one, 0).await;
    assert_eq!(
        (
            shown.checkpoint,
            shown.leader,
            shown.waiting,
            shown.skipped,
            shown.active
        ),
        (Checkpoint::default(), None, 0, 0, true),
        "after a reset a projection is at the start, without letters, led by nobody, and active as before"
    );
    assert_eq!(letters(&store, &one).await, [], "letters outlived a reset");
    assert_eq!(
        body(&store, "reset", "a").await,
        None,
        "documents outlived a reset"
    );
    let again = lead(&store, &wish(&one)).await;
    assert_eq!(
        (again.checkpoint, &again.divisions),
        (Checkpoint::default(), &Divisions::none())
    );
    assert!(
        again.epoch > first.epoch,
        "whoever led before must be told from the new leader"
    );
    let mut unit = begin(&store, &again).await;
    assert_eq!(unit.waiting().await.expect("it leads"), []);
    drop(unit);
    must_be_furnished(&store, &second).await;
}

/// Who led before the reset writes nothing after it; also not in a unit that was open.
pub async fn a_reset_fences_the_leader<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("reset-led", 1);
    let lease = furnished(&store, &id).await;
    let mut unit = begin(&store, &lease).await;
    let late = work(10)
        .put("b", "\"late\"")
        .bury(&letter(10, 0, Fate::Parked));
    late.in_unit(&mut unit).await.expect("it leads");
    let resetting = {
        let (store, id) = (Arc::clone(&store), id.clone());
        tokio::spawn(async move { reset(&store, &id).await })
    };
    // A store may let the reset wait for the unit; then the unit is undone with the rest.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let _ = unit.commit(late.progress).await;
    join(vec![resetting]).await;
    let outcome = try_commit(&store, &lease, &late).await;
    must_be_fenced(outcome, &lease, "a commit after a reset");
    let shown = standing(&store, &id, 0).await;
    assert_eq!(
        (shown.checkpoint, shown.waiting),
        (Checkpoint::default(), 0)
    );
    assert_eq!(
        body(&store, "reset-led", "b").await,
        None,
        "a leader wrote after the reset"
    );
}

/// What readers see does not go while there is something else that they could see.
pub async fn the_active_version_is_not_removed<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let (one, two) = (projection("needed", 1), projection("needed", 2));
    let first = furnished(&store, &one).await;
    let second = furnished(&store, &two).await;
    let refused = patiently!(store.remove(&one));
    assert!(
        matches!(&refused, Err(ProjectionStoreError::Active { projection }) if *projection == one),
        "the active version of two was to be removed, which came to {refused:?}"
    );
    must_be_furnished(&store, &first).await;
    commit(&store, &second, &work(9).activate()).await;
    remove(&store, &one).await;
    let left: Vec<_> = standings(&store, &one.name).await;
    assert!(
        left.iter().all(|s| s.projection == two),
        "version 1 was removed: {left:?}"
    );
    must_be_furnished(&store, &second).await;
}

/// The last one goes, and its name with it.
pub async fn the_only_version_is_removed<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let (one, two) = (projection("only", 1), projection("only", 2));
    furnished(&store, &one).await;
    remove(&store, &one).await;
    assert_eq!(standings(&store, &one.name).await, []);
    assert_eq!(patiently!(store.names()).expect("names can be had"), []);
    assert_eq!(body(&store, "only", "a").await, None);
    furnished(&store, &two).await;
    assert_eq!(
        body(&store, "only", "a").await.as_deref(),
        Some("2"),
        "the first version since is active"
    );
}

/// Claimed again, it is as if it had never been.
pub async fn a_removed_version_leaves_nothing<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("removed", 1);
    furnished(&store, &id).await;
    remove(&store, &id).await;
    assert_eq!(letters(&store, &id).await, []);
    let lease = lead(&store, &wish(&id)).await;
    assert_eq!(
        (lease.checkpoint, &lease.divisions),
        (Checkpoint::default(), &Divisions::none())
    );
    let shown = standing(&store, &id, 0).await;
    assert_eq!(
        (shown.checkpoint, shown.waiting, shown.skipped),
        (Checkpoint::default(), 0, 0)
    );
    assert_eq!(letters(&store, &id).await, [], "letters outlived a removal");
    let found = query_keys(&store, "removed", &DocumentQuery::all()).await;
    assert!(found.is_empty(), "documents outlived a removal: {found:?}");
}

/// Also when the version has been claimed again since: the old epoch must not be granted twice.
pub async fn a_removal_fences_the_leader<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("removed-led", 1);
    let old = furnished(&store, &id).await;
    remove(&store, &id).await;
    let outcome = try_commit(&store, &old, &work(10).put("a", "\"late\"")).await;
    must_be_fenced(outcome, &old, "a commit to a version that was removed");
    assert_eq!(
        standings(&store, &id.name).await,
        [],
        "a fenced leader brought it back"
    );
    lead(&store, &wish(&id)).await;
    let outcome = try_commit(&store, &old, &work(10).put("a", "\"late\"")).await;
    must_be_fenced(
        outcome,
        &old,
        "a commit to a version that was removed and claimed again",
    );
    assert_eq!(body(&store, "removed-led", "a").await, None);
}

/// No error, and nothing comes into being by it.
pub async fn what_is_unknown_is_left_alone<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let known = furnished(&store, &projection("known", 1)).await;
    for id in [projection("unknown", 1), projection("known", 2)] {
        reset(&store, &id).await;
        must_know_one(&store).await;
        assert_eq!(replay(&store, &id).await, 0);
        assert_eq!(letters(&store, &id).await, []);
        must_know_one(&store).await;
        remove(&store, &id).await;
        must_know_one(&store).await;
    }
    must_be_furnished(&store, &known).await;
}

async fn must_know_one<S: ProjectionStore>(store: &S) {
    assert_eq!(standings(store, &name("unknown")).await, []);
    assert_eq!(standings(store, &name("known")).await.len(), 1);
    assert_eq!(
        patiently!(store.names()).expect("names can be had"),
        [name("known")]
    );
}

/// Every field, of a partition that is led and of one that nobody has claimed yet.
pub async fn standings_tell_all<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let (one, two) = (projection("told", 1), projection("told", 2));
    let claimed = wish_part(&one, 1, 3);
    let lease = lead(&store, &claimed).await;
    let [parked, behind] =
        [(4, Fate::Parked), (5, Fate::Behind)].map(|(at, fate)| letter(at, 1, fate));
    let all = work(8)
        .bury(&parked)
        .bury(&behind)
        .bury(&letter(6, 1, Fate::Skipped));
    commit(&store, &lease, &all).await;
    lead(&store, &wish(&two)).await;
    let mut shown = standings(&store, &one.name).await;
    assert_eq!(
        shown.len(),
        4,
        "three partitions of one version and one of the other: {shown:?}"
    );
    let (leader, left) = shown[1].leader.take().expect("partition 1 is led");
    assert_eq!(leader, claimed.owner);
    assert!(
        left <= LONG && left > LONG / 2,
        "{left:?} of {LONG:?} are left"
    );
    let nobody = |partition| Standing {
        projection: one.clone(),
        partition,
        partitions: parts(3),
        active: true,
        checkpoint: Checkpoint::default(),
        epoch: 0,
        leader: None,
        waiting: 0,
        skipped: 0,
    };
    let led = Standing {
        checkpoint: all.progress.checkpoint,
        epoch: lease.epoch,
        waiting: 2,
        skipped: 1,
        ..nobody(1)
    };
    assert_eq!(shown[..3], [nobody(0), led, nobody(2)]);
    assert_eq!((&shown[3].projection, shown[3].active), (&two, false));
    let held = claim(&store, &wish_part(&one, 0, 2)).await;
    assert!(
        matches!(held, Claimed::Divided { .. }),
        "it has three partitions, one led: {held:?}"
    );
}

/// All that were claimed, each once, in order.
pub async fn names_are_listed_in_order<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let names = async || patiently!(store.names()).expect("names can be had");
    assert_eq!(names().await, []);
    let texts = ["b", "a_b", "a.b", "a-b", "a", "ab", "a1", "b.c", "z"];
    for text in texts {
        lead(&store, &wish(&projection(text, 1))).await;
        lead(&store, &wish(&projection(text, 2))).await;
    }
    let mut expected = texts.map(name);
    expected.sort_unstable();
    assert_eq!(names().await, expected, "by bytes");
}
