//! Who was replaced writes nothing, however late.

use eventcore::projection::{Claim, Fate, Lease, ProjectionId, ProjectionStore};

use super::{
    Harness,
    kit::{
        begin, body_of, commit, lead, letter, letters, must_be_fenced, overtaken, projection,
        release, standing, try_commit, wish, wish_part, work,
    },
};

/// Checks that only the first commit is there.
async fn must_be_untouched<S: ProjectionStore>(store: &S, id: &ProjectionId) {
    assert_eq!(
        body_of(store, &id.name, "a").await.as_deref(),
        Some("\"first\""),
        "a replaced leader changed a document"
    );
    assert_eq!(
        body_of(store, &id.name, "b").await,
        None,
        "a replaced leader left a document"
    );
    assert_eq!(
        letters(store, id).await,
        [],
        "a replaced leader left a letter"
    );
    let checkpoint = standing(store, id, 0).await.checkpoint;
    assert_eq!(
        checkpoint.position.get(),
        1,
        "a replaced leader moved the checkpoint"
    );
}

/// What a leader tries that does not know yet.
fn late_work() -> super::kit::Work {
    let work = work(2).put("a", "\"late\"").put("b", "\"late\"");
    work.bury(&letter(2, 0, Fate::Parked)).activate()
}

async fn begun<S: ProjectionStore>(store: &S, wish: &Claim) -> Lease {
    let lease = lead(store, wish).await;
    commit(store, &lease, &work(1).put("a", "\"first\"")).await;
    lease
}

/// A lease that ran out and was granted to another.
pub async fn a_replaced_leader_commits_nothing<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("fenced", 1);
    let short = Claim {
        ttl: harness.short_ttl(),
        ..wish(&id)
    };
    let old = begun(&store, &short).await;
    harness.let_leases_run_out().await;
    let new = lead(&store, &wish(&id)).await;
    let outcome = try_commit(&store, &old, &late_work()).await;
    must_be_fenced(outcome, &old, "the commit of a leader that was replaced");
    must_be_untouched(&store, &id).await;
    commit(&store, &new, &work(2)).await;
}

/// The unit was begun and filled while its leader led.
pub async fn a_unit_that_is_overtaken_commits_nothing<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("overtaken", 1);
    let short = Claim {
        ttl: harness.short_ttl(),
        ..wish(&id)
    };
    let old = begun(&store, &short).await;
    let mut unit = begin(&store, &old).await;
    late_work()
        .in_unit(&mut unit)
        .await
        .expect("it leads still");
    harness.let_leases_run_out().await;
    let progress = late_work().progress;
    let (new, made_it) = overtaken(&store, (unit, &old), progress, wish(&id)).await;
    if !made_it {
        must_be_untouched(&store, &id).await;
    }
    commit(&store, &new, &work(3)).await;
}

/// The epoch counts, not whether somebody leads just now.
pub async fn who_was_replaced_stays_fenced<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("for-good", 1);
    let old = begun(&store, &wish(&id)).await;
    release(&store, &old).await;
    let short = Claim {
        ttl: harness.short_ttl(),
        ..wish(&id)
    };
    let new = lead(&store, &short).await;
    release(&store, &new).await;
    let outcome = try_commit(&store, &old, &late_work()).await;
    must_be_fenced(
        outcome,
        &old,
        "the new leader has released, and the old one is not back",
    );
    let new = lead(&store, &short).await;
    harness.let_leases_run_out().await;
    let outcome = try_commit(&store, &old, &late_work()).await;
    must_be_fenced(
        outcome,
        &old,
        "the new lease ran out, and the old one is not back",
    );
    must_be_untouched(&store, &id).await;
    commit(&store, &new, &work(2)).await;
}

/// Nobody took over, so nothing speaks against it.
pub async fn a_lease_that_ran_out_still_commits<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("in-peace", 1);
    let short = Claim {
        ttl: harness.short_ttl(),
        ..wish(&id)
    };
    let lease = begun(&store, &short).await;
    harness.let_leases_run_out().await;
    commit(&store, &lease, &work(2).put("b", "2")).await;
    assert_eq!(body_of(&store, &id.name, "b").await.as_deref(), Some("2"));
    harness.let_leases_run_out().await;
    let mut unit = begin(&store, &lease).await;
    work(3)
        .put("b", "3")
        .in_unit(&mut unit)
        .await
        .expect("it leads still");
    drop(unit);
    commit(&store, &lease, &work(3).put("b", "3")).await;
    assert_eq!(standing(&store, &id, 0).await.checkpoint.position.get(), 3);
}

/// A grant replaces the leader of its own partition only.
pub async fn a_grant_fences_its_own_partition_only<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("beside", 1);
    let mut leases = Vec::new();
    for partition in 0..3 {
        leases.push(lead(&store, &wish_part(&id, partition, 3)).await);
    }
    let replaced = Claim {
        owner: leases[1].owner.clone(),
        ..wish_part(&id, 1, 3)
    };
    let new = lead(&store, &replaced).await;
    commit(&store, &leases[0], &work(4)).await;
    commit(&store, &leases[2], &work(5)).await;
    commit(&store, &new, &work(6)).await;
    let outcome = try_commit(&store, &leases[1], &work(7)).await;
    must_be_fenced(
        outcome,
        &leases[1],
        "the same owner was granted a newer epoch",
    );
    // An epoch of another partition is no way in, however new it is.
    let forged = Lease {
        partition: 0,
        ..new.clone()
    };
    let outcome = try_commit(&store, &forged, &work(8)).await;
    must_be_fenced(
        outcome,
        &forged,
        "the epoch was granted for another partition",
    );
    let forged = Lease {
        epoch: new.epoch + 1,
        ..new
    };
    let outcome = try_commit(&store, &forged, &work(8)).await;
    must_be_fenced(outcome, &forged, "the epoch was never granted");
}
