//! An event that cannot be applied is never lost silently.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use eventcore::{
    RecordedEvent,
    projection::{
        DeadLetter, FailurePolicy, ProjectionError, ProjectionId, ProjectionState, ProjectionStore,
        project,
    },
};

use super::{
    Harness,
    kit::{
        Fails, HOUR, Running, SOON, Store, TICK, Tallies, Watch, Watched, append, at,
        expect_ledger, expect_sums, expect_tallies, ledger_fold, ledger_id, log, patiently, raw,
        standing, stream, tallies_id, tally, unlucky, until, walk,
    },
    once::finish,
};

/// Two streams; the event at position 3, of the first one, brings bad luck.
async fn bad_luck(store: &Store) -> Vec<RecordedEvent> {
    for (to, widths) in [
        ("a", &[1][..]),
        ("b", &[2]),
        ("a", &[13]),
        ("b", &[4]),
        ("a", &[5, 6]),
    ] {
        walk(store, &format!("walk:{to}"), widths).await;
    }
    walk(store, "walk:b", &[7]).await;
    log(store).await
}

async fn letters<V: ProjectionStore>(views: &V, of: &ProjectionId) -> Vec<DeadLetter> {
    patiently!(views.dead_letters(of, at(0), 1000))
        .unwrap_or_else(|error| panic!("letters of {of} cannot be listed: {error:?}"))
}

async fn places<V: ProjectionStore>(views: &V) -> Vec<(u64, &'static str)> {
    let place = |letter: &DeadLetter| (letter.position.get(), letter.fate.as_str());
    letters(views, &ledger_id())
        .await
        .iter()
        .map(place)
        .collect()
}

/// The error that a runner has stopped with.
async fn failure<V: ProjectionStore>(running: Running<V>) -> ProjectionError {
    until("the runner has stopped", async || {
        running.status().partitions[0].state == ProjectionState::Failed
    })
    .await;
    match running.stop().await {
        Err(error) => error,
        Ok(()) => panic!("a runner that has failed says so when it is stopped"),
    }
}

fn all_but<'e>(
    log: &'e [RecordedEvent],
    left_out: impl Fn(&RecordedEvent) -> bool + 'e,
) -> impl Iterator<Item = &'e RecordedEvent> {
    log.iter().filter(move |event| !left_out(event))
}

/// It stops before the event, and goes on from there when it is healed.
pub async fn an_event_that_fails_stops_it_there<V: ProjectionStore>(harness: Harness<V>) {
    let handles = harness.handles();
    let (store, views) = (&handles.store, &handles.views);
    let log = bad_luck(store).await;
    let healed = Arc::<AtomicBool>::default();
    let stop = FailurePolicy::stop();
    let error = failure(unlucky((store, views), Fails::Error, &healed, stop.clone())).await;
    assert!(
        matches!(&error, ProjectionError::Apply { position, event, attempts: 2, .. }
            if position.get() == 3 && *event == log[2].id()),
        "the error names the event at position 3, tried twice: {error:?}"
    );
    expect_ledger(
        &**views,
        &ledger_fold(&log[..2]),
        "stopped before position 3",
    )
    .await;
    let stands = standing(&**views, &ledger_id(), 0)
        .await
        .expect("it was claimed");
    assert_eq!(stands.checkpoint.position.get(), 2);
    assert!(
        stands.leader.is_none(),
        "what has stopped does not lead: {stands:?}"
    );
    healed.store(true, Relaxed);
    finish(unlucky((store, views), Fails::Error, &healed, stop), store).await;
    expect_ledger(&**views, &ledger_fold(&log), "healed").await;
}

/// Given up, and written down.
pub async fn a_skipped_event_is_written_down<V: ProjectionStore>(harness: Harness<V>) {
    let handles = harness.handles();
    let (store, views) = (&handles.store, &handles.views);
    let log = bad_luck(store).await;
    let never = Arc::<AtomicBool>::default();
    for _ in 0..2 {
        let policy = FailurePolicy::skip();
        finish(unlucky((store, views), Fails::Error, &never, policy), store).await;
        assert_eq!(places(&**views).await, [(3, "skipped")]);
    }
    let promised = ledger_fold(all_but(&log, |event| event.position().get() == 3));
    expect_ledger(&**views, &promised, "all but the event that was skipped").await;
    let stands = standing(&**views, &ledger_id(), 0)
        .await
        .expect("it was claimed");
    assert_eq!((stands.skipped, stands.waiting), (1, 0));
}

/// Also those that are appended later, and with another leader.
pub async fn a_parked_event_holds_back_its_stream<V: ProjectionStore>(harness: Harness<V>) {
    let handles = harness.handles();
    let store = &handles.store;
    bad_luck(store).await;
    let never = Arc::<AtomicBool>::default();
    for round in 0..2 {
        let views = harness.another().await.views;
        let policy = FailurePolicy::park();
        let running = unlucky((store, &views), Fails::Error, &never, policy);
        walk(store, "walk:a", &[8]).await;
        walk(store, "walk:b", &[9]).await;
        finish(running, store).await;
        let log = log(store).await;
        let behind = |event: &RecordedEvent| {
            event.stream().as_str() == "walk:a" && event.position().get() >= 3
        };
        let promised = ledger_fold(all_but(&log, behind));
        expect_ledger(
            &*views,
            &promised,
            "all but what is behind position 3 in its stream",
        )
        .await;
        let waiting = log.iter().filter(|event| behind(event));
        let promised: Vec<_> = waiting
            .map(|event| event.position().get())
            .map(|position| (position, if position == 3 { "parked" } else { "behind" }))
            .collect();
        assert_eq!(places(&*views).await, promised, "in round {round}");
    }
}

/// Order does not matter to the projection, so nothing else waits.
pub async fn an_event_parked_alone_holds_back_nothing<V: ProjectionStore>(harness: Harness<V>) {
    let handles = harness.handles();
    let (store, views) = (&handles.store, &handles.views);
    let log = bad_luck(store).await;
    let healed = Arc::<AtomicBool>::default();
    let policy = FailurePolicy::park_alone();
    finish(
        unlucky((store, views), Fails::Error, &healed, policy.clone()),
        store,
    )
    .await;
    assert_eq!(places(&**views).await, [(3, "parked")]);
    let promised = ledger_fold(all_but(&log, |event| event.position().get() == 3));
    expect_ledger(&**views, &promised, "all but the event that is parked").await;
    healed.store(true, Relaxed);
    assert_eq!(patiently!(views.replay(&ledger_id())).unwrap(), 1);
    let running = unlucky((store, views), Fails::Error, &healed, policy);
    until("nothing waits any more", async || {
        places(&**views).await.is_empty()
    })
    .await;
    finish(running, store).await;
    expect_sums(&**views, ledger_fold(&log), "after the replay").await;
}

/// What waits comes back in its order: tried in vain first, then healed, while events go on to come.
pub async fn what_is_replayed_is_applied_once_and_in_order<V: ProjectionStore>(
    harness: Harness<V>,
) {
    let handles = harness.handles();
    let (store, views) = (&handles.store, &handles.views);
    bad_luck(store).await;
    let healed = Arc::<AtomicBool>::default();
    let policy = FailurePolicy::park();
    finish(
        unlucky((store, views), Fails::Error, &healed, policy.clone()),
        store,
    )
    .await;
    assert_eq!(patiently!(views.replay(&ledger_id())).unwrap(), 3);
    let there = harness.another().await;
    let running = unlucky(
        (&there.store, &there.views),
        Fails::Error,
        &healed,
        policy.clone(),
    );
    until("the replay came to nothing", async || {
        letters(&**views, &ledger_id()).await[0].attempts > 2
            && places(&**views).await[..] == [(3, "parked"), (5, "behind"), (6, "behind")]
    })
    .await;
    walk(store, "walk:a", &[8]).await;
    healed.store(true, Relaxed);
    patiently!(views.replay(&ledger_id())).unwrap();
    walk(store, "walk:a", &[9, 10]).await;
    finish(running, store).await;
    // Whatever came while the replay was under way may need another.
    let running = unlucky((store, views), Fails::Error, &healed, policy);
    until("nothing waits any more", async || {
        patiently!(views.replay(&ledger_id())).unwrap();
        places(&**views).await.is_empty()
    })
    .await;
    finish(running, store).await;
    expect_ledger(
        &**views,
        &ledger_fold(&log(store).await),
        "after the replay",
    )
    .await;
}

/// A payload that is none, under a type that is known.
pub async fn what_cannot_be_decoded_is_never_dropped<V: ProjectionStore>(harness: Harness<V>) {
    let handles = harness.handles();
    let (store, views) = (&handles.store, &handles.views);
    walk(store, "walk:a", &[1, 2]).await;
    append(
        store,
        &stream("walk:a"),
        vec![raw("walk.ahead", "{\"by\":\"far\"}")],
    )
    .await;
    walk(store, "walk:a", &[3]).await;
    let run = |policy: FailurePolicy| {
        let run = project(Tallies::<1>, store, views)
            .on_failure(policy)
            .poll_every(TICK);
        run.start().expect("the suite's names are valid")
    };
    let error = failure(run(FailurePolicy::stop())).await;
    assert!(
        matches!(&error, ProjectionError::Apply { position, attempts: 1, .. } if position.get() == 3),
        "it stops at position 3, and does not try again what cannot get better: {error:?}"
    );
    finish(run(FailurePolicy::park_alone()), store).await;
    let found = letters(&**views, &tallies_id(1)).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].position.get(), found[0].fate.as_str()),
        (3, "parked")
    );
    expect_tallies(store, &**views, "all that can be decoded").await;
}

/// The transaction is rolled back, the event follows the policy, and the process and its other projections live.
pub async fn a_panic_is_a_failure_like_another<V: ProjectionStore>(harness: Harness<V>) {
    let handles = harness.handles();
    let (store, views) = (&handles.store, &handles.views);
    let log = bad_luck(store).await;
    let never = Arc::<AtomicBool>::default();
    let other = tally::<1, V>(store, views, HOUR);
    let policy = FailurePolicy::park_alone();
    finish(unlucky((store, views), Fails::Panic, &never, policy), store).await;
    let found = letters(&**views, &ledger_id()).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].error.contains("13 brings bad luck"),
        "{}",
        found[0].error
    );
    let promised = ledger_fold(all_but(&log, |event| event.position().get() == 3));
    expect_ledger(&**views, &promised, "all but the event that panics").await;
    walk(store, "walk:a", &[1]).await;
    finish(other, store).await;
    expect_tallies(store, &**views, "the other projection").await;
}

/// The store cannot be reached while the projection works, from its preparation on, for longer than the policy is
/// patient: no event is given up for it, and the projection does not stop.
pub async fn an_outage_is_no_fault_of_an_event<V: ProjectionStore>(harness: Harness<V>) {
    let handles = harness.handles();
    let (store, views) = (&handles.store, &handles.views);
    walk(store, "walk:a", &[1, 2, 3]).await;
    let (watch, healed) = (Watch::over(), Arc::new(AtomicBool::new(true)));
    let watched = Watched::new(views, &watch);
    watch.cut_off(4);
    let policy = FailurePolicy::skip();
    let running = unlucky((store, &watched), Fails::Error, &healed, policy);
    for cut in [3, 4, 5] {
        let end = walk(store, "walk:b", &[4, 5]).await;
        running.wait_until(end, SOON).await.unwrap_or_else(|error| {
            panic!("a projection goes on when the store can be reached again: {error:?}")
        });
        watch.cut_off(cut);
    }
    watch.cut_off(0);
    let end = walk(store, "walk:a", &[6]).await;
    running.wait_until(end, SOON).await.unwrap();
    running.stop().await.unwrap();
    assert_eq!(
        places(&**views).await,
        [],
        "no event is written down as skipped"
    );
    expect_ledger(
        &**views,
        &ledger_fold(&log(store).await),
        "after four outages",
    )
    .await;
}
