//! Documents, letters and checkpoint move together.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use eventcore::projection::{Checkpoint, Fate, ProjectionStore, UnitOfWork, Witness};

use super::{
    Harness,
    kit::{
        at, begin, bodies, body, checkpoint, commit, join, key, lead, letter, letters, places,
        projection, standing, wish, wish_part, work,
    },
};

/// Nothing before the commit, everything after it.
pub async fn a_unit_appears_whole_at_its_commit<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("whole", 1);
    let lease = lead(&store, &wish(&id)).await;
    let all = work(3)
        .put("a", "1")
        .put("b", "2")
        .bury(&letter(2, 0, Fate::Parked));
    let mut unit = begin(&store, &lease).await;
    all.in_unit(&mut unit).await.expect("it leads");
    assert_eq!(
        body(&store, "whole", "a").await,
        None,
        "a document appeared before the commit"
    );
    assert_eq!(
        letters(&store, &id).await,
        [],
        "a letter appeared before the commit"
    );
    assert_eq!(
        standing(&store, &id, 0).await.checkpoint,
        Checkpoint::default()
    );
    unit.commit(all.progress).await.expect("nobody replaced it");
    let found = bodies(&store, &id.name, &[key("a"), key("b")]).await;
    assert_eq!(found, [Some("1".to_owned()), Some("2".to_owned())]);
    assert_eq!(places(&letters(&store, &id).await), [(2, 0, "parked")]);
    let shown = standing(&store, &id, 0).await;
    assert_eq!(
        (shown.checkpoint, shown.waiting),
        (all.progress.checkpoint, 1)
    );
}

/// A reader looks on while units write the same number to two documents and the checkpoint.
pub async fn readers_never_see_part_of_a_unit<S: ProjectionStore>(harness: Harness<S>) {
    const UNITS: u64 = 60;
    let store = harness.store();
    let other = harness.another().await;
    let id = projection("pairs", 1);
    let lease = lead(&store, &wish(&id)).await;
    commit(&store, &lease, &work(1).put("a", "1").put("b", "1")).await;
    let done = Arc::new(AtomicBool::new(false));
    let watching = {
        let (id, done) = (id.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let keys = [key("a"), key("b")];
            while !done.load(SeqCst) {
                let before = standing(&other, &id, 0).await.checkpoint.position.get();
                let seen = numbers(&bodies(&other, &id.name, &keys).await);
                let after = standing(&other, &id, 0).await.checkpoint.position.get();
                assert_eq!(seen[0], seen[1], "one read showed part of a unit");
                assert!(
                    before <= seen[0] && seen[0] <= after,
                    "documents were at {}, between checkpoints {before} and {after}: they do not move together",
                    seen[0]
                );
                tokio::task::yield_now().await;
            }
        })
    };
    for number in 2..=UNITS {
        let text = number.to_string();
        commit(
            &store,
            &lease,
            &work(number).put("a", &text).put("b", &text),
        )
        .await;
        // A store that never waits would be done before the first look.
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
    done.store(true, SeqCst);
    join(vec![watching]).await;
}

fn numbers(bodies: &[Option<String>]) -> Vec<u64> {
    let number = |body: &Option<String>| body.as_ref().and_then(|body| body.parse().ok());
    bodies
        .iter()
        .map(|body| number(body).unwrap_or_else(|| panic!("a number was put, {body:?} is shown")))
        .collect()
}

/// Units that write, and are dropped; more of them than a pool has connections.
pub async fn a_dropped_unit_leaves_nothing<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("dropped", 1);
    let lease = lead(&store, &wish(&id)).await;
    let first = work(1).put("a", "1").bury(&letter(1, 0, Fate::Parked));
    commit(&store, &lease, &first).await;
    for _ in 0..40 {
        let lost = work(2)
            .put("a", "2")
            .put("b", "2")
            .bury(&letter(2, 0, Fate::Skipped));
        let mut unit = begin(&store, &lease).await;
        lost.revive(1).in_unit(&mut unit).await.expect("it leads");
        unit.load(&[key("a")]).await.expect("it leads");
        drop(unit);
    }
    let found = bodies(&store, &id.name, &[key("a"), key("b")]).await;
    assert_eq!(
        found,
        [Some("1".to_owned()), None],
        "a unit that was dropped left a change"
    );
    assert_eq!(places(&letters(&store, &id).await), [(1, 0, "parked")]);
    let shown = standing(&store, &id, 0).await;
    assert_eq!(shown.checkpoint, first.progress.checkpoint);
    commit(&store, &lease, &work(2).put("b", "2")).await;
}

/// What it loads is what it has written itself.
pub async fn a_unit_sees_its_own_changes<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let lease = lead(&store, &wish(&projection("own", 1))).await;
    let before = work(1)
        .put("kept", "0")
        .put("changed", "0")
        .put("gone", "0");
    commit(&store, &lease, &before.bury(&letter(1, 0, Fate::Parked))).await;
    let mut unit = begin(&store, &lease).await;
    let changes = work(2).put("changed", "1").put("new", "1").delete("gone");
    changes.in_unit(&mut unit).await.expect("it leads");
    let keys = ["kept", "changed", "gone", "new", "never"].map(key);
    let seen = unit.load(&keys).await.expect("it leads");
    let expected = [Some("0"), Some("1"), None, Some("1"), None];
    assert_eq!(seen, expected.map(|body| body.map(str::to_owned)));
    let seen = unit.waiting().await.expect("it leads");
    assert_eq!(places(&seen), [(1, 0, "parked")]);
    let changes = work(2).revive(1).bury(&letter(2, 0, Fate::Behind));
    changes.in_unit(&mut unit).await.expect("it leads");
    let seen = unit.waiting().await.expect("it leads");
    assert_eq!(
        places(&seen),
        [(2, 0, "behind")],
        "what was revived and buried in the same unit"
    );
}

/// Also when a unit of another partition wrote it.
pub async fn a_unit_sees_what_was_committed<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("others", 1);
    let one = lead(&store, &wish_part(&id, 0, 2)).await;
    let two = lead(&store, &wish_part(&id, 1, 2)).await;
    commit(&store, &one, &work(1).put("a", "1")).await;
    commit(&store, &two, &work(2).put("b", "2")).await;
    let mut unit = begin(&store, &one).await;
    let seen = unit.load(&[key("b"), key("a")]).await.expect("it leads");
    assert_eq!(seen, [Some("2".to_owned()), Some("1".to_owned())]);
}

/// Within one call, and over several.
pub async fn the_last_change_of_a_key_counts<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("last", 1);
    let lease = lead(&store, &wish(&id)).await;
    commit(&store, &lease, &work(1).put("dp", "0").put("dpd", "0")).await;
    let mut unit = begin(&store, &lease).await;
    let one_call = work(2)
        .put("pp", "1")
        .put("pp", "2")
        .put("pd", "1")
        .delete("pd");
    let one_call = one_call
        .delete("dp")
        .put("dp", "2")
        .delete("dpd")
        .put("dpd", "1")
        .delete("dpd");
    one_call.in_unit(&mut unit).await.expect("it leads");
    for body in ["1", "2", "3"] {
        work(2)
            .put("calls", body)
            .in_unit(&mut unit)
            .await
            .expect("it leads");
    }
    work(2)
        .put("went", "1")
        .in_unit(&mut unit)
        .await
        .expect("it leads");
    work(2)
        .delete("went")
        .in_unit(&mut unit)
        .await
        .expect("it leads");
    let keys = ["pp", "pd", "dp", "dpd", "calls", "went"].map(key);
    let expected = [Some("2"), None, Some("2"), None, Some("3"), None];
    let expected = expected.map(|body| body.map(str::to_owned));
    assert_eq!(
        unit.load(&keys).await.expect("it leads"),
        expected,
        "within the unit"
    );
    unit.commit(work(2).progress)
        .await
        .expect("nobody replaced it");
    assert_eq!(
        bodies(&store, &id.name, &keys).await,
        expected,
        "after the commit"
    );
}

/// Deleting is as good as never having been, and deleting nothing is no error.
pub async fn a_deleted_document_is_gone<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let lease = lead(&store, &wish(&projection("deleted", 1))).await;
    commit(&store, &lease, &work(1).put("a", "1").put("b", "1")).await;
    commit(&store, &lease, &work(2).delete("a").delete("never")).await;
    assert_eq!(body(&store, "deleted", "a").await, None);
    assert_eq!(body(&store, "deleted", "b").await.as_deref(), Some("1"));
    commit(&store, &lease, &work(3).put("a", "2")).await;
    assert_eq!(body(&store, "deleted", "a").await.as_deref(), Some("2"));
}

/// Position and witness, with and without, small and as large as they get; also in a unit that does nothing else.
pub async fn a_checkpoint_comes_back<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let wish = wish(&projection("marked", 1));
    let largest = u64::try_from(i64::MAX).expect("it is positive");
    let behind = Checkpoint {
        position: at(90),
        witness: Some(Witness {
            position: at(17),
            ..checkpoint(17).witness.expect("it has one")
        }),
    };
    let bare = Checkpoint {
        position: at(100),
        witness: None,
    };
    let mut lease = lead(&store, &wish).await;
    for written in [checkpoint(1), behind, bare, checkpoint(largest)] {
        commit(&store, &lease, &work(1).to(written)).await;
        let shown = standing(&store, &lease.projection, 0).await;
        assert_eq!(shown.checkpoint, written, "in the standings");
        lease = lead(&store, &wish).await;
        assert_eq!(lease.checkpoint, written, "in the next lease");
    }
}

/// Two leaders work at the same time; nobody's units are refused or lost.
pub async fn two_partitions_commit_at_the_same_time<S: ProjectionStore>(harness: Harness<S>) {
    const UNITS: u64 = 15;
    let store = harness.store();
    let id = projection("together", 1);
    let mut tasks = Vec::new();
    for partition in 0..2 {
        let lease = lead(&store, &wish_part(&id, partition, 2)).await;
        let store = harness.another().await;
        tasks.push(tokio::spawn(async move {
            for number in 1..=UNITS {
                let own = format!("{partition}:{number}");
                let shared = format!("shared:{number}");
                commit(&store, &lease, &work(number).put(own, "1").put(shared, "1")).await;
            }
        }));
    }
    join(tasks).await;
    let keys: Vec<_> = (0..2)
        .flat_map(|partition| (1..=UNITS).map(move |number| key(format!("{partition}:{number}"))))
        .collect();
    let found = bodies(&store, &id.name, &keys).await;
    let lost: HashMap<_, _> = keys
        .iter()
        .zip(&found)
        .filter(|(_, body)| body.is_none())
        .collect();
    assert!(
        lost.is_empty(),
        "units were committed, and these documents are missing: {lost:?}"
    );
    for partition in 0..2 {
        let shown = standing(&store, &id, partition).await;
        assert_eq!(
            shown.checkpoint.position.get(),
            UNITS,
            "of partition {partition}"
        );
    }
}
