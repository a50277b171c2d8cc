//! A projection divided anew misses nothing and repeats nothing.

use std::{collections::BTreeSet, sync::Arc};

use eventcore::projection::{
    Checkpoint, Claim, Claimed, Divisions, Fate, Lease, ProjectionId, ProjectionStore,
};
use tokio::sync::Barrier;

use super::{
    Harness,
    kit::{
        at, body, checkpoint, claim, commit, join, lead, letter, letters, must_be_fenced, parts,
        places, projection, release, standings, try_commit, wish_part, work,
    },
};

/// Leads all partitions to the checkpoints given, and releases them.
async fn divided<S: ProjectionStore>(
    store: &S,
    id: &ProjectionId,
    at: &[Checkpoint],
) -> Vec<Lease> {
    let of = u32::try_from(at.len()).expect("a few");
    let mut leases = Vec::new();
    for (partition, checkpoint) in (0..).zip(at) {
        let lease = lead(store, &wish_part(id, partition, of)).await;
        let own = format!("of:{partition}");
        commit(store, &lease, &work(0).put(own, "1").to(*checkpoint)).await;
        release(store, &lease).await;
        leases.push(lease);
    }
    leases
}

/// The new partitions start where the last of the old ones was, and know what the others had done.
pub async fn a_new_division_starts_at_the_lowest_checkpoint<S: ProjectionStore>(
    harness: Harness<S>,
) {
    let store = harness.store();
    let id = projection("lowest", 1);
    let before = [checkpoint(30), checkpoint(10), checkpoint(20)];
    divided(&store, &id, &before).await;
    let lease = lead(&store, &wish_part(&id, 1, 2)).await;
    assert_eq!(
        lease.checkpoint, before[1],
        "a new division starts at the lowest checkpoint, with the witness that was there"
    );
    let (expected, _) = Divisions::none().and(before.map(|c| c.position).into());
    assert_eq!(
        lease.divisions, expected,
        "the division remembers how far each old partition was"
    );
    for number in 0..60 {
        let text = format!("account:{number}");
        let done = [30, 10, 20][parts(3).of(&text) as usize];
        assert!(
            !lease.owns(&text, at(done)),
            "`{text}` was applied up to {done}"
        );
        let mine = parts(2).of(&text) == 1;
        assert_eq!(
            lease.owns(&text, at(done + 1)),
            mine,
            "`{text}` comes next at {}",
            done + 1
        );
    }
    let other = lead(&store, &wish_part(&id, 0, 2)).await;
    assert_eq!(
        (other.checkpoint, &other.divisions),
        (lease.checkpoint, &lease.divisions)
    );
    assert_eq!(
        body(&store, "lowest", "of:2").await.as_deref(),
        Some("1"),
        "documents stay"
    );
    let shown = standings(&store, &id.name).await;
    assert_eq!(shown.len(), 2);
    assert!(
        shown
            .iter()
            .all(|s| s.partitions == parts(2) && s.checkpoint == before[1]),
        "{shown:?}"
    );
}

/// Twice divided, with checkpoints that lie apart: what both divisions know is remembered.
pub async fn divisions_are_remembered_over_divisions<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("twice", 1);
    divided(&store, &id, &[checkpoint(50), checkpoint(10)]).await;
    let second = [checkpoint(40), checkpoint(20), checkpoint(30)];
    divided(&store, &id, &second).await;
    let lease = lead(&store, &wish_part(&id, 0, 2)).await;
    let (first, _) = Divisions::none().and(vec![at(50), at(10)]);
    let (both, _) = first.and(vec![at(40), at(20), at(30)]);
    assert_eq!((lease.checkpoint, &lease.divisions), (second[1], &both));
    release(&store, &lease).await;
    divided(&store, &id, &[checkpoint(60), checkpoint(60)]).await;
    let lease = lead(&store, &wish_part(&id, 0, 1)).await;
    assert_eq!(lease.checkpoint.position, at(60));
    assert_eq!(
        lease.divisions,
        Divisions::none(),
        "all have passed them, so they are forgotten"
    );
}

/// Whoever leads any partition would be taken by surprise; also the claimant itself.
pub async fn it_is_not_divided_while_somebody_leads<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("led", 1);
    divided(&store, &id, &[checkpoint(10), checkpoint(20)]).await;
    let short = Claim {
        ttl: harness.short_ttl(),
        ..wish_part(&id, 1, 2)
    };
    let long = wish_part(&id, 0, 2);
    let lease = lead(&store, &long).await;
    let own = Claim {
        owner: long.owner.clone(),
        ..wish_part(&id, 1, 3)
    };
    for wish in [wish_part(&id, 2, 3), own, wish_part(&id, 0, 1)] {
        let claimed = claim(&store, &wish).await;
        assert!(
            matches!(claimed, Claimed::Divided { partitions } if partitions == parts(2)),
            "partition 0 of 2 is led, and {wish:?} came to {claimed:?}"
        );
    }
    commit(&store, &lease, &work(15)).await;
    release(&store, &lease).await;
    let late = lead(&store, &short).await;
    let claimed = claim(&store, &wish_part(&id, 0, 3)).await;
    // On a slow machine the short lease may be over already.
    if let Claimed::Granted(lease) = claimed {
        release(&store, &lease).await;
    }
    harness.let_leases_run_out().await;
    let lease = lead(&store, &wish_part(&id, 2, 3)).await;
    assert_eq!(
        lease.checkpoint.position,
        at(15),
        "nobody leads, also who ran out of time"
    );
    let outcome = try_commit(&store, &late, &work(30)).await;
    must_be_fenced(outcome, &late, "a leader of the old division");
}

/// Nobody would know who is to apply them.
pub async fn it_is_not_divided_while_letters_wait<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("lettered", 1);
    let wish = wish_part(&id, 1, 2);
    let lease = lead(&store, &wish).await;
    let fates = [Fate::Parked, Fate::Behind, Fate::Replaying, Fate::Skipped];
    let all = (1..).zip(fates).fold(work(9), |work, (position, fate)| {
        work.bury(&letter(position, 1, fate))
    });
    commit(&store, &lease, &all).await;
    let mut left = 3;
    for (position, fate) in (1..).zip(&fates[..3]) {
        release(&store, &lease).await;
        let claimed = claim(&store, &wish_part(&id, 0, 3)).await;
        assert!(
            matches!(
                claimed,
                Claimed::LettersWait { partitions, waiting } if (partitions, waiting) == (parts(2), left)
            ),
            "{left} letters wait, one of them {fate:?}, and the claim came to {claimed:?}"
        );
        let again = lead(&store, &wish).await;
        commit(&store, &again, &work(9).revive(position)).await;
        release(&store, &again).await;
        left -= 1;
    }
    let lease = lead(&store, &wish_part(&id, 0, 3)).await;
    assert_eq!(
        lease.checkpoint,
        Checkpoint::default(),
        "partition 0 had done nothing"
    );
    let kept = letters(&store, &id).await;
    assert_eq!(
        places(&kept),
        [(4, 1, "skipped")],
        "what was given up holds nothing up, and stays"
    );
}

/// The numbers of the partitions are the same, and the leaders are not.
pub async fn leaders_of_the_old_division_are_fenced<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("old", 1);
    let old = divided(&store, &id, &[checkpoint(10), checkpoint(10)]).await;
    let new = lead(&store, &wish_part(&id, 2, 3)).await;
    for lease in &old {
        assert!(new.epoch > lease.epoch, "epochs rise over divisions");
        let outcome = try_commit(&store, lease, &work(30).put("late", "1")).await;
        must_be_fenced(outcome, lease, "a leader of the old division");
    }
    assert_eq!(body(&store, "old", "\"late\"").await, None);
    release(&store, &new).await;
    let back = lead(&store, &wish_part(&id, 1, 2)).await;
    for lease in &old {
        let outcome = try_commit(&store, lease, &work(30).put("late", "1")).await;
        must_be_fenced(
            outcome,
            lease,
            "the old number of partitions is back, its leaders are not",
        );
    }
    commit(&store, &back, &work(11)).await;
}

/// Claimants who see different numbers of partitions at the same moment.
pub async fn of_two_divisions_one_is_led<S: ProjectionStore>(harness: Harness<S>) {
    const CLAIMANTS: u32 = 10;
    let store = harness.store();
    for round in 0..4 {
        let id = projection("contested", round);
        divided(&store, &id, &[checkpoint(10), checkpoint(20)]).await;
        let barrier = Arc::new(Barrier::new(CLAIMANTS as usize));
        let mut tasks = Vec::new();
        for number in 0..CLAIMANTS {
            let (store, barrier, id) = (harness.another().await, Arc::clone(&barrier), id.clone());
            tasks.push(tokio::spawn(async move {
                let wish = wish_part(&id, number % 3, 3 + number % 2);
                barrier.wait().await;
                claim(&store, &wish).await
            }));
        }
        let mut leases = Vec::new();
        for claimed in join(tasks).await {
            if let Claimed::Granted(lease) = claimed {
                leases.push(lease);
            }
        }
        let numbers: BTreeSet<_> = leases.iter().map(|lease| lease.partitions.get()).collect();
        assert_eq!(
            numbers.len(),
            1,
            "leaders of two divisions at once: {leases:?}"
        );
        assert_eq!(
            leases.len(),
            3,
            "all three partitions that were claimed are led: {leases:?}"
        );
        for lease in &leases {
            assert_eq!(lease.checkpoint.position, at(10));
            commit(&store, lease, &work(21)).await;
        }
    }
}
