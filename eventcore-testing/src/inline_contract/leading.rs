//! A projection is led by a runner or run inline, never both.

use std::time::Duration;

use eventcore::{
    EventId, GlobalPosition, Timestamp,
    projection::{
        Claim, Claimed, DeadLetter, Fate, Inline, Partitions, Progress, ProjectionStore,
        UnitOfWork, project,
    },
};

use super::{
    Place,
    kit::{
        ALL, Counts, append, claim_of, counts, expect_counts, id, log, open, refused,
        refused_by_store, stream, tally, ticks, try_append,
    },
};

const SOON: Duration = Duration::from_secs(40);

/// Clause: a claim is told that the projection is run inline.
pub async fn no_runner_leads_what_is_inline<P: Place>(place: P) {
    let (store, views) = (open(&place, vec![counts()]).await, place.views().await);
    append(&store, "a", ticks(&[1])).await;
    match views.claim(&claim_of("counts", 1, "a runner")).await {
        Ok(Claimed::Held { owner, expires_in }) => {
            assert_eq!(owner, Inline::owner(), "it is told who leads");
            assert!(
                expires_in > Duration::from_hours(24 * 365),
                "not for soon: {expires_in:?}"
            );
        }
        other => panic!("no runner leads what is run inline; got {other:?}"),
    }
    // Nor when it would divide it otherwise.
    let divided = Claim {
        partitions: Partitions::try_new(2).expect("two are allowed"),
        ..claim_of("counts", 1, "a runner")
    };
    match views.claim(&divided).await {
        Ok(Claimed::Divided { .. }) => {}
        other => panic!("nobody divides what is run inline; got {other:?}"),
    }
    let standing = views
        .standings(&id("counts", 1).name)
        .await
        .expect("it can be looked at");
    let leader = standing[0].leader.as_ref().map(|(owner, _)| owner.clone());
    assert_eq!(leader, Some(Inline::owner()), "and everybody can see it");
    assert_eq!(
        standing[0].checkpoint.position.get(),
        1,
        "and how far it is"
    );
    append(&store, "a", ticks(&[2])).await;
    expect_counts(&views, &store, 1).await;
}

/// Clause: the opening fails, and says who leads.
pub async fn what_a_runner_leads_is_not_inline<P: Place>(place: P) {
    let (plain, views) = (open(&place, vec![]).await, place.views().await);
    append(&plain, "a", ticks(&[1])).await;
    let running = project(Counts::<1>, &plain, &views).label("the runner on host 7");
    let running = running.start().expect("it can be run");
    running.wait_until_live(SOON).await.expect("it catches up");
    let said = refused(&place, counts(), "a projection that a runner leads").await;
    assert!(
        said.contains("the runner on host 7"),
        "it says who leads: `{said}`"
    );
    assert!(said.contains("stop"), "and what to do: `{said}`");
    running.stop().await.expect("the runner was not disturbed");
    let store = open(&place, vec![counts()]).await;
    append(&store, "a", ticks(&[2])).await;
    expect_counts(&views, &store, 1).await;
}

/// Clause: from a runner to inline and back nothing is lost or doubled.
pub async fn runners_and_inline_take_turns<P: Place>(place: P) {
    let (plain, views) = (open(&place, vec![]).await, place.views().await);
    for round in 0..3 {
        append(&plain, "a", ticks(&[round, 1])).await;
        let running = project(Counts::<1>, &plain, &views)
            .start()
            .expect("it can be run");
        let receipt = append(&plain, "b", ticks(&[round])).await;
        let position = receipt.events[0].position;
        running
            .wait_until(position, SOON)
            .await
            .expect("the runner applies it");
        running.stop().await.expect("it did not fail");
        expect_counts(&views, &plain, 1).await;

        let store = open(&place, vec![counts()]).await;
        append(&store, "a", ticks(&[round, 2, 3])).await;
        append(&plain, "b", ticks(&[round])).await;
        append(&store, "b", ticks(&[round])).await;
        expect_counts(&views, &store, 1).await;
        drop(store);
        place
            .give_back(&id("counts", 1))
            .await
            .expect("it is run inline");
    }
}

/// Clause: a store that still runs the model appends nothing.
pub async fn what_was_given_back_refuses_appends<P: Place>(place: P) {
    let (store, views) = (open(&place, vec![counts()]).await, place.views().await);
    append(&store, "a", ticks(&[1])).await;
    place
        .give_back(&id("counts", 1))
        .await
        .expect("it is run inline");
    let verdict = try_append(&store, &stream("a"), ticks(&[2])).await;
    let said = refused_by_store(verdict, "a projection that was given back");
    assert!(
        said.contains("counts v1"),
        "the error names the projection; got `{said}`"
    );
    let claimed = views.claim(&claim_of("counts", 1, "a runner")).await;
    let Ok(Claimed::Granted(lease)) = claimed else {
        panic!("a runner may lead it again; got {claimed:?}");
    };
    let verdict = try_append(&store, &stream("a"), ticks(&[2])).await;
    refused_by_store(verdict, "a projection that a runner leads");
    assert_eq!(log(&store).await.len(), 1, "nothing was appended");
    views.release(&lease).await.expect("it is led");
    let store = open(&place, vec![counts()]).await;
    append(&store, "a", ticks(&[3])).await;
    expect_counts(&views, &store, 1).await;
    // Giving back what is not run inline takes nothing from anybody.
    place
        .give_back(&id("counts", 7))
        .await
        .expect("there is nothing to do");
    append(&store, "a", ticks(&[4])).await;
}

/// Clause: the same after a reset, until it is opened again.
pub async fn what_was_reset_refuses_appends<P: Place>(place: P) {
    let (store, views) = (open(&place, vec![counts()]).await, place.views().await);
    append(&store, "a", ticks(&[1])).await;
    views
        .reset(&id("counts", 1))
        .await
        .expect("it can be reset");
    let verdict = try_append(&store, &stream("a"), ticks(&[2])).await;
    refused_by_store(verdict, "a projection that was reset");
    assert_eq!(
        tally(&views, ALL).await,
        None,
        "a reset leaves no documents"
    );
    let store = open(&place, vec![counts()]).await;
    expect_counts(&views, &store, 1).await;
    append(&store, "a", ticks(&[3])).await;
    expect_counts(&views, &store, 1).await;

    views
        .remove(&id("counts", 1))
        .await
        .expect("it can be removed");
    let verdict = try_append(&store, &stream("a"), ticks(&[2])).await;
    refused_by_store(verdict, "a projection that was removed");
}

/// Clause: more than one partition is refused.
pub async fn what_is_divided_is_not_inline<P: Place>(place: P) {
    let (plain, views) = (open(&place, vec![]).await, place.views().await);
    append(&plain, "a", ticks(&[1])).await;
    let partitions = Partitions::try_new(3).expect("three are allowed");
    let divided = project(Counts::<1>, &plain, &views).partitions(partitions);
    let divided = divided.start().expect("it can be run");
    divided.wait_until_live(SOON).await.expect("it catches up");
    divided.stop().await.expect("it did not fail");
    let said = refused(&place, counts(), "a projection with 3 partitions").await;
    assert!(
        said.contains("3 partitions"),
        "it says what is so: `{said}`"
    );
    let whole = project(Counts::<1>, &plain, &views)
        .start()
        .expect("it can be run");
    whole.wait_until_live(SOON).await.expect("it catches up");
    whole.stop().await.expect("it did not fail");
    let store = open(&place, vec![counts()]).await;
    append(&store, "a", ticks(&[2])).await;
    expect_counts(&views, &store, 1).await;
}

/// Clause: letters that wait are refused.
pub async fn what_has_letters_is_not_inline<P: Place>(place: P) {
    let views = place.views().await;
    let Ok(Claimed::Granted(lease)) = views.claim(&claim_of("counts", 1, "a runner")).await else {
        panic!("nobody else is here");
    };
    let letter = DeadLetter {
        position: GlobalPosition::START.advanced(1),
        partition: 0,
        stream: stream("a"),
        event: EventId::generate(),
        fate: Fate::Parked,
        attempts: 1,
        error: "none".into(),
        at: Timestamp::now(),
    };
    let mut unit = views.begin(&lease).await.expect("it is led");
    unit.bury(vec![letter]).await.unwrap();
    unit.commit(Progress::default()).await.expect("it is led");
    views.release(&lease).await.unwrap();
    let said = refused(&place, counts(), "a projection with a letter that waits").await;
    assert!(
        said.contains("letter") && said.contains("replay"),
        "it says what to do: `{said}`"
    );
}

/// Clause: a version that is opened inline is the one that readers see, complete.
pub async fn a_new_version_takes_over<P: Place>(place: P) {
    let (old, views) = (open(&place, vec![counts()]).await, place.views().await);
    append(&old, "a", ticks(&[1, 2])).await;
    append(&old, "b", ticks(&[3])).await;
    expect_counts(&views, &old, 1).await;
    let second = Inline::new(Counts::<2>).expect("the suite's names are valid");
    let new = open(&place, vec![second]).await;
    expect_counts(&views, &new, 2).await;
    // Both are kept as long as there are processes of both.
    append(&old, "a", ticks(&[4])).await;
    append(&new, "a", ticks(&[5])).await;
    expect_counts(&views, &new, 2).await;
    let standings = views
        .standings(&id("counts", 1).name)
        .await
        .expect("it can be looked at");
    let seen: Vec<bool> = standings.iter().map(|standing| standing.active).collect();
    assert_eq!(seen, [false, true], "readers see the new version");
}
