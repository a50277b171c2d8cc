//! One leader for each partition, under an epoch that only rises.

use std::{sync::Arc, time::Duration};

use eventcore::projection::{
    Checkpoint, Claim, Claimed, Divisions, Owner, ProjectionStore, ProjectionStoreError,
};
use tokio::sync::Barrier;

use super::{
    Harness,
    kit::{
        LONG, claim, commit, join, lead, must_be_fenced, owner, patiently, projection, release,
        remove, reset, standing, standings, try_commit, wish, wish_part, work,
    },
};

/// What a lease says of a projection that nobody has led.
pub async fn a_first_claim_starts_at_the_beginning<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let wish = wish_part(&projection("fresh", 3), 1, 4);
    let lease = lead(&store, &wish).await;
    assert_eq!(
        lease.checkpoint,
        Checkpoint::default(),
        "nothing was applied yet"
    );
    assert_eq!(
        lease.divisions,
        Divisions::none(),
        "it was never divided otherwise"
    );
    assert_eq!(
        (&lease.projection, lease.partition, lease.partitions),
        (&wish.projection, wish.partition, wish.partitions),
        "the lease is for what was claimed"
    );
    assert_eq!((lease.owner.id, lease.ttl), (wish.owner.id, wish.ttl));
    assert!(lease.epoch > 0, "epoch 0 says that none was granted");
}

/// Grants of every kind, one after the other.
pub async fn epochs_rise_with_every_grant<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("rising", 1);
    let mut last = 0;
    let mut rises = |epoch: u64, after: &str| {
        assert!(
            epoch > last,
            "after {after} epoch {epoch} was granted, and {last} before it"
        );
        last = epoch;
    };
    let first = wish_part(&id, 0, 2);
    let lease = lead(&store, &first).await;
    rises(lease.epoch, "nothing");
    let other = lead(&store, &wish_part(&id, 1, 2)).await;
    rises(other.epoch, "a grant of another partition");
    let again = lead(&store, &first).await;
    rises(again.epoch, "a claim of the owner itself");
    release(&store, &again).await;
    let short = Claim {
        ttl: harness.short_ttl(),
        ..wish_part(&id, 0, 2)
    };
    rises(lead(&store, &short).await.epoch, "a release");
    harness.let_leases_run_out().await;
    let late = lead(&store, &wish_part(&id, 0, 2)).await;
    rises(late.epoch, "a lease that ran out");
    release(&store, &late).await;
    release(&store, &other).await;
    let divided = lead(&store, &wish_part(&id, 2, 3)).await;
    rises(divided.epoch, "a division");
    let whole = lead(&store, &wish_part(&id, 0, 3)).await;
    rises(
        whole.epoch,
        "a grant of a partition that was there before a division",
    );
    reset(&store, &id).await;
    let begun = lead(&store, &wish_part(&id, 1, 3)).await;
    rises(begun.epoch, "a reset");
    remove(&store, &id).await;
    let back = lead(&store, &wish_part(&id, 1, 3)).await;
    rises(back.epoch, "a removal");
    let shown = standing(&store, &id, 1).await;
    assert_eq!(
        shown.epoch, back.epoch,
        "standings show the epoch that was granted last"
    );
}

/// Others are told who leads, and how long yet.
pub async fn a_running_lease_holds_others_off<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("held", 1);
    let ours = Claim {
        owner: owner("host \"7\" %_é😀'\\"),
        ..wish(&id)
    };
    let lease = lead(&store, &ours).await;
    for _ in 0..3 {
        let (holder, left) = held(&store, &wish(&id)).await;
        assert_eq!(holder, ours.owner, "others are told who leads");
        assert!(
            left <= LONG && left > LONG / 2,
            "a lease of {LONG:?} that was just granted lasts {left:?} yet"
        );
    }
    let shown = standing(&store, &id, 0).await;
    assert_eq!(
        shown.epoch, lease.epoch,
        "who is held off takes no epoch from the leader"
    );
    commit(&store, &lease, &work(1)).await;
}

async fn held<S: ProjectionStore>(store: &S, wish: &Claim) -> (Owner, Duration) {
    match claim(store, wish).await {
        Claimed::Held { owner, expires_in } => (owner, expires_in),
        other => panic!("somebody leads, so {wish:?} is held off; it came to {other:?}"),
    }
}

/// A runner that lost sight of its own lease gets a new one, and the old one is worth nothing.
pub async fn an_owner_may_claim_again<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let wish = wish(&projection("again", 1));
    let first = lead(&store, &wish).await;
    commit(&store, &first, &work(5).put("a", "1")).await;
    let second = lead(&store, &wish).await;
    assert_eq!(
        second.checkpoint.position.get(),
        5,
        "it goes on where it stood"
    );
    let outcome = try_commit(&store, &first, &work(6)).await;
    must_be_fenced(outcome, &first, "the same owner was granted a newer epoch");
    commit(&store, &second, &work(6)).await;
    held(
        &store,
        &Claim {
            owner: owner("another"),
            ..wish
        },
    )
    .await;
}

/// Names, versions and partitions do not stand in each other's way.
pub async fn each_partition_is_led_for_itself<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let wishes = [
        wish_part(&projection("one", 1), 0, 2),
        wish_part(&projection("one", 1), 1, 2),
        wish_part(&projection("one", 2), 0, 2),
        wish_part(&projection("two", 1), 0, 2),
    ];
    let mut leases = Vec::new();
    for wish in &wishes {
        leases.push(lead(&store, wish).await);
    }
    for (position, lease) in (10..).zip(&leases) {
        commit(&store, lease, &work(position)).await;
    }
    for ((position, lease), wish) in (10..).zip(&leases).zip(&wishes) {
        let shown = standing(&store, &lease.projection, lease.partition).await;
        assert_eq!(shown.checkpoint.position.get(), position, "of {lease:?}");
        let (leader, _) = shown.leader.expect("it is led");
        assert_eq!(leader.id, wish.owner.id, "of {lease:?}");
    }
}

/// Sixteen claim at the same moment, through handles of their own where there are any, in several rounds.
pub async fn of_many_claimants_one_is_granted<S: ProjectionStore>(harness: Harness<S>) {
    const CLAIMANTS: usize = 16;
    const ROUNDS: u32 = 4;
    let barrier = Arc::new(Barrier::new(CLAIMANTS));
    let mut handles = Vec::new();
    for _ in 0..4 {
        handles.push(harness.another().await);
    }
    let mut tasks = Vec::new();
    for number in 0..CLAIMANTS {
        let (store, barrier) = (Arc::clone(&handles[number % 4]), Arc::clone(&barrier));
        tasks.push(tokio::spawn(async move {
            let mut outcomes = Vec::new();
            for round in 0..ROUNDS {
                // The even rounds begin with nothing; the odd ones with something that nobody leads.
                let wish = wish(&projection("raced", round / 2));
                barrier.wait().await;
                let claimed = claim(&store, &wish).await;
                barrier.wait().await;
                if let Claimed::Granted(lease) = &claimed {
                    release(&store, lease).await;
                }
                outcomes.push((wish.owner.id, claimed));
            }
            outcomes
        }));
    }
    let outcomes = join(tasks).await;
    for round in 0..ROUNDS as usize {
        let of_round: Vec<_> = outcomes.iter().map(|of_task| &of_task[round]).collect();
        let granted = of_round
            .iter()
            .filter(|(_, c)| matches!(c, Claimed::Granted(_)));
        let winners: Vec<_> = granted.map(|(id, _)| *id).collect();
        assert_eq!(
            winners.len(),
            1,
            "in round {round} one of {CLAIMANTS} is granted, not {winners:?}"
        );
        for (_, claimed) in of_round {
            match claimed {
                Claimed::Granted(_) => (),
                Claimed::Held { owner, .. } => assert_eq!(owner.id, winners[0], "in round {round}"),
                other => panic!("in round {round} the others are held off, and got {other:?}"),
            }
        }
    }
}

/// A long label is cut at 200 bytes, between two characters; the owner is known by its id.
pub async fn labels_are_kept_up_to_200_bytes<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("labelled", 1);
    let label = format!("a{}", "😀".repeat(200));
    let ours = Claim {
        owner: owner(&label),
        ..wish(&id)
    };
    lead(&store, &ours).await;
    let (holder, _) = held(&store, &wish(&id)).await;
    assert_eq!(holder.id, ours.owner.id);
    assert!(
        label.starts_with(&holder.label) && (197..=200).contains(&holder.label.len()),
        "at most 200 bytes of a label are kept, and whole characters; got {:?}",
        holder.label
    );
    lead(&store, &ours).await;
}

/// Partitions count from 0, so a partition 2 of 2 is a mistake of the claimant, and an error.
pub async fn a_partition_that_is_not_there_is_refused<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("beyond", 1);
    for partition in [2, 3, u32::MAX] {
        let outcome: Result<Claimed, ProjectionStoreError> =
            patiently!(store.claim(&wish_part(&id, partition, 2)));
        assert!(
            outcome.is_err(),
            "partition {partition} of 2 was claimed: {outcome:?}"
        );
    }
    let left = standings(&store, &id.name).await;
    assert!(
        left.is_empty(),
        "a claim that was refused leaves nothing, and left {left:?}"
    );
    lead(&store, &wish_part(&id, 1, 2)).await;
}
