//! Dead letters are kept until they are revived.

use eventcore::{
    StreamId, Timestamp,
    projection::{DeadLetter, Fate, ProjectionStore, UnitOfWork},
};

use super::{
    Harness,
    kit::{
        at, begin, commit, lead, letter, letters, patiently, places, projection, replay, standing,
        wish, wish_part, work,
    },
};

/// Every field, with texts that databases dislike.
pub async fn letters_come_back_as_they_were_buried<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("buried", 1);
    let lease = lead(&store, &wish(&id)).await;
    let largest = u64::try_from(i64::MAX).expect("it is positive");
    let stream = |name: &str| StreamId::try_new(name).expect("the suite's names are valid");
    let written: Vec<DeadLetter> = vec![
        DeadLetter {
            stream: stream("é'\"\\%_😀:1"),
            attempts: u32::try_from(i32::MAX).expect("it is positive"),
            error: "it's \"bad\": \\u0000 \u{1}\r\n\t😀 é e\u{301} \u{feff}".to_owned(),
            at: Timestamp::from_unix_micros(1_234_567_890_123_456).expect("it is in range"),
            ..letter(1, 0, Fate::Parked)
        },
        DeadLetter {
            attempts: 0,
            error: String::new(),
            ..letter(2, 0, Fate::Behind)
        },
        DeadLetter {
            error: "long ".repeat(50_000),
            ..letter(3, 0, Fate::Replaying)
        },
        letter(largest, 0, Fate::Skipped),
    ];
    let all = written.iter().fold(work(4), super::kit::Work::bury);
    commit(&store, &lease, &all).await;
    assert_eq!(letters(&store, &id).await, written);
    let mut unit = begin(&store, &lease).await;
    let waiting = unit.waiting().await.expect("it leads");
    assert_eq!(waiting, written[..3], "within a unit");
}

/// What a panic says is not for the store to choose: a NUL may be shown otherwise, but nothing stops the burial.
pub async fn any_error_can_be_buried<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("any-error", 1);
    let lease = lead(&store, &wish(&id)).await;
    let nul = DeadLetter {
        error: "before\0after".to_owned(),
        ..letter(1, 0, Fate::Parked)
    };
    commit(&store, &lease, &work(1).bury(&nul)).await;
    let found = letters(&store, &id).await;
    let [found] = found.as_slice() else {
        panic!("one letter was buried, {found:?} came back");
    };
    assert!(
        found.error.starts_with("before") && found.error.ends_with("after"),
        "the text around a NUL is kept, got {:?}",
        found.error
    );
    assert_eq!((found.position, found.event), (nul.position, nul.event));
}

/// A letter that is buried again has the new fate and the new error.
pub async fn burying_again_replaces<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("replaced", 1);
    let lease = lead(&store, &wish(&id)).await;
    let other = lead(&store, &wish_part(&projection("replaced", 2), 0, 2)).await;
    let first = letter(1, 0, Fate::Parked);
    commit(
        &store,
        &lease,
        &work(2).bury(&first).bury(&letter(2, 0, Fate::Behind)),
    )
    .await;
    commit(&store, &other, &work(2).bury(&first)).await;
    let again = DeadLetter {
        fate: Fate::Skipped,
        attempts: 9,
        error: "it still does not fit".to_owned(),
        ..first.clone()
    };
    commit(&store, &lease, &work(3).bury(&again)).await;
    let found = letters(&store, &id).await;
    assert_eq!(places(&found), [(1, 0, "skipped"), (2, 0, "behind")]);
    assert_eq!(
        found[0], again,
        "the newer letter stands instead of the older one"
    );
    let twice = work(4).bury(&first).bury(&again).bury(&first);
    commit(&store, &lease, &twice).await;
    assert_eq!(
        letters(&store, &id).await[0],
        first,
        "of several in one unit the last one counts"
    );
    let untouched = letters(&store, &other.projection).await;
    assert_eq!(untouched, [first], "another version's letter stays");
}

/// And only that one.
pub async fn reviving_removes_a_letter<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("revived", 1);
    let left = lead(&store, &wish_part(&id, 0, 2)).await;
    let right = lead(&store, &wish_part(&id, 1, 2)).await;
    let mine = [(1, Fate::Parked), (2, Fate::Behind), (3, Fate::Skipped)];
    let mine = mine.map(|(at, fate)| letter(at, 0, fate));
    commit(
        &store,
        &left,
        &mine.iter().fold(work(3), super::kit::Work::bury),
    )
    .await;
    commit(&store, &right, &work(3).bury(&letter(1, 1, Fate::Parked))).await;
    commit(&store, &left, &work(3).revive(1).revive(3).revive(77)).await;
    let found = letters(&store, &id).await;
    assert_eq!(places(&found), [(1, 1, "parked"), (2, 0, "behind")]);
}

/// By position, then partition, however they were written.
pub async fn letters_are_listed_by_position<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("listed", 1);
    let mut leases = Vec::new();
    for partition in 0..3 {
        leases.push(lead(&store, &wish_part(&id, partition, 3)).await);
    }
    for (position, partition) in [
        (900, 2),
        (10, 2),
        (9, 1),
        (100, 0),
        (10, 0),
        (10, 1),
        (7, 0),
    ] {
        let buried = letter(position, partition, Fate::Parked);
        commit(&store, &leases[partition as usize], &work(1).bury(&buried)).await;
    }
    let all: Vec<_> = places(&letters(&store, &id).await)
        .iter()
        .map(|p| (p.0, p.1))
        .collect();
    assert_eq!(
        all,
        [
            (7, 0),
            (9, 1),
            (10, 0),
            (10, 1),
            (10, 2),
            (100, 0),
            (900, 2)
        ]
    );
    let page = async |after, limit| {
        let page = patiently!(store.dead_letters(&id, at(after), limit));
        let page = page.expect("letters can be listed");
        places(&page).iter().map(|p| (p.0, p.1)).collect::<Vec<_>>()
    };
    assert_eq!(page(0, 2).await, all[..2], "the first page");
    assert_eq!(page(9, 2).await, all[2..6], "after a position");
    assert_eq!(
        page(9, 1).await,
        all[2..5],
        "letters of one position are not parted"
    );
    assert_eq!(
        page(10, 100).await,
        all[5..],
        "after a position that several letters have"
    );
    assert_eq!(
        page(11, 1).await,
        all[5..6],
        "after a position that no letter has"
    );
    assert_eq!(page(900, 5).await, [], "after the last");
    assert_eq!(page(0, usize::MAX).await, all, "without a limit");
}

/// Those of its own partition, and none that was given up.
pub async fn a_unit_sees_its_own_waiting_letters<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("waiting", 1);
    let left = lead(&store, &wish_part(&id, 0, 2)).await;
    let right = lead(&store, &wish_part(&id, 1, 2)).await;
    let other = lead(&store, &wish_part(&projection("waiting", 2), 0, 2)).await;
    let fates = [Fate::Skipped, Fate::Replaying, Fate::Behind, Fate::Parked];
    let all = (1..=4).rev().zip(fates.into_iter().rev());
    let all = all.fold(work(9), |work, (position, fate)| {
        work.bury(&letter(position, 0, fate))
    });
    commit(&store, &left, &all).await;
    commit(&store, &right, &work(9).bury(&letter(2, 1, Fate::Parked))).await;
    commit(&store, &other, &work(9).bury(&letter(3, 0, Fate::Parked))).await;
    let mut unit = begin(&store, &left).await;
    let waiting = unit.waiting().await.expect("it leads");
    assert_eq!(
        places(&waiting),
        [(2, 0, "replaying"), (3, 0, "behind"), (4, 0, "parked")]
    );
    drop(unit);
    let mut unit = begin(&store, &right).await;
    let waiting = unit.waiting().await.expect("it leads");
    assert_eq!(places(&waiting), [(2, 1, "parked")]);
}

/// In all partitions, and none that was given up; the number says how many were marked now.
pub async fn replay_marks_what_is_parked_or_behind<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let (one, two) = (projection("replayed", 1), projection("replayed", 2));
    let left = lead(&store, &wish_part(&one, 0, 2)).await;
    let right = lead(&store, &wish_part(&one, 1, 2)).await;
    let other = lead(&store, &wish(&two)).await;
    let fates = [Fate::Parked, Fate::Behind, Fate::Skipped, Fate::Replaying];
    let all = (1..).zip(fates).fold(work(4), |work, (position, fate)| {
        work.bury(&letter(position, 0, fate))
    });
    commit(&store, &left, &all).await;
    commit(&store, &right, &work(5).bury(&letter(5, 1, Fate::Parked))).await;
    commit(&store, &other, &work(5).bury(&letter(5, 0, Fate::Parked))).await;
    let before = letters(&store, &one).await;
    assert_eq!(
        replay(&store, &one).await,
        3,
        "two were parked and one was behind"
    );
    let after = letters(&store, &one).await;
    let expected = [
        (1, 0, "replaying"),
        (2, 0, "replaying"),
        (3, 0, "skipped"),
        (4, 0, "replaying"),
        (5, 1, "replaying"),
    ];
    assert_eq!(places(&after), expected);
    for (before, after) in before.into_iter().zip(after) {
        let fate = after.fate;
        assert_eq!(
            after,
            DeadLetter { fate, ..before },
            "nothing but its fate changes"
        );
    }
    assert_eq!(replay(&store, &one).await, 0, "all are marked already");
    let mut unit = begin(&store, &right).await;
    let waiting = unit.waiting().await.expect("a replay replaces nobody");
    assert_eq!(
        places(&waiting),
        [(5, 1, "replaying")],
        "the leader sees what it is to try"
    );
    drop(unit);
    assert_eq!(
        places(&letters(&store, &two).await),
        [(5, 0, "parked")],
        "the other version's stays"
    );
    assert_eq!(standing(&store, &one, 0).await.waiting, 3);
}
