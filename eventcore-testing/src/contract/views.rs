//! P3: decisions rest on a view that really existed.

use std::sync::Arc;

use eventcore::{
    CommandError, RetryPolicy, execute,
    store::{EventChunks, ReadFrom},
};

use super::{
    Harness,
    kit::{
        Pace, append, draft, event, fill, join, log, number_of, numbered, stream, version, view,
    },
    purse::{Audit, Move},
};

/// One writer moves value between two streams, one batch per move; readers of both check the sum.
pub async fn one_read_is_one_snapshot(harness: Harness) {
    const MOVES: u64 = 60;
    let store = harness.store();
    let streams = Arc::new(["view:a", "view:b"].map(stream));
    let pace = Arc::new(Pace::with_readers());
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let (store, streams, pace) = (store.clone(), Arc::clone(&streams), Arc::clone(&pace));
        tasks.push(tokio::spawn(async move {
            while pace.goes_on().await {
                let [a, b] = &*streams;
                let seen = view(&store, &[a, b]).await;
                let value = |event: &_| {
                    serde_json::from_slice::<i64>(
                        eventcore::RecordedEvent::encoded(event)
                            .payload()
                            .as_bytes(),
                    )
                    .expect("the payload is a number")
                };
                let sum: i64 = seen.events.iter().map(value).sum();
                assert!(
                    sum == 0 && seen.versions[0] == seen.versions[1],
                    "torn view: value only moves between two streams, both get one event per move, and one read saw \
                     them at versions {:?} with {sum} missing",
                    seen.versions
                );
            }
        }));
    }
    for at in 0..MOVES {
        let [a, b] = &*streams;
        let amount = i64::try_from(at).unwrap() + 1;
        let batch = draft().expect(a, at).expect(b, at);
        let batch = batch.event(a, event("contract.moved", (-amount).to_string()));
        let batch = batch.event(b, event("contract.moved", amount.to_string()));
        append(&store, batch.build()).await;
        pace.let_read().await;
    }
    pace.finish();
    join(tasks).await;
}

/// Reads the first chunk of two long streams, appends to both, and reads the rest.
pub async fn a_long_read_stays_in_its_snapshot(harness: Harness) {
    const LONG: u64 = 5000;
    let store = harness.store();
    let (a, b) = (stream("long:a"), stream("long:b"));
    fill(&store, &a, LONG).await;
    fill(&store, &b, LONG).await;
    let requests = [ReadFrom::start(a.clone()), ReadFrom::start(b.clone())];
    let read = store.read(&requests).await.expect("a read of two streams");
    let mut events: EventChunks = read.events;
    let mut seen = events
        .next_chunk()
        .await
        .expect("a first chunk")
        .unwrap_or_default();
    let batch = draft().expect(&a, LONG).expect(&b, LONG);
    let batch = batch.event(&a, numbered(0)).event(&b, numbered(0));
    append(&store, batch.build()).await;
    while let Some(chunk) = events.next_chunk().await.expect("a further chunk") {
        seen.extend(chunk);
    }
    assert_eq!(
        read.versions,
        [super::kit::version(LONG); 2],
        "both streams had {LONG} events when the read began"
    );
    assert!(
        seen.iter().all(|event| number_of(event) != 0),
        "a read is promised to be one snapshot; it returned an event that was appended after it began"
    );
    assert_eq!(
        seen.len() as u64,
        2 * LONG,
        "a read owes all events of its snapshot, however long it takes"
    );
}

/// Commands move value while others only look; a rejection would mean that value was missing for a moment.
pub async fn a_torn_view_never_rejects(harness: Harness) {
    const MOVERS: u64 = 3;
    const MOVES: u64 = 15;
    let store = harness.store();
    let (one, two) = (stream("purse:1"), stream("purse:2"));
    let pace = Arc::new(Pace::with_readers());
    let mut auditors = Vec::new();
    for _ in 0..3 {
        let (store, one, two) = (store.clone(), one.clone(), two.clone());
        let pace = Arc::clone(&pace);
        auditors.push(tokio::spawn(async move {
            let (mut audits, mut rejected) = (0_u32, Vec::new());
            while pace.goes_on().await {
                let (one, two) = (one.clone(), two.clone());
                audits += 1;
                match execute(Audit { one, two }, &store).await {
                    Ok(_) => {}
                    Err(CommandError::Rejected(reason)) => rejected.push(reason.to_string()),
                    Err(error) => panic!("an audit failed: {error:?}"),
                }
            }
            (audits, rejected)
        }));
    }
    let mut movers = Vec::new();
    for mover in 0..MOVERS {
        let (store, mut from, mut to) = (store.clone(), one.clone(), two.clone());
        let pace = Arc::clone(&pace);
        movers.push(tokio::spawn(async move {
            let mut rejected = Vec::new();
            for step in 0..MOVES {
                std::mem::swap(&mut from, &mut to);
                let by = i64::try_from(mover * MOVES + step).unwrap() + 1;
                let (from, to) = (from.clone(), to.clone());
                let policy = RetryPolicy::exponential().max_attempts(100);
                match execute(Move { from, to, by }, &store).retry(policy).await {
                    Ok(_) => {}
                    Err(CommandError::Rejected(reason)) => rejected.push(reason.to_string()),
                    Err(error) => panic!("a move failed: {error:?}"),
                }
                pace.let_read().await;
            }
            rejected
        }));
    }
    let mut rejected = join(movers).await.concat();
    pace.finish();
    let mut audits = 0;
    for (count, of_one) in join(auditors).await {
        audits += count;
        rejected.extend(of_one);
    }
    assert!(
        rejected.is_empty(),
        "{} of {} moves and {audits} audits were rejected on a view that never existed, such as: {}",
        rejected.len(),
        MOVERS * MOVES,
        rejected[0]
    );
    assert_eq!(log(&store).await.len() as u64, 2 * MOVERS * MOVES);
}

/// From the start, from each version, from the end and from beyond it; and of a stream that does not exist.
pub async fn a_read_tells_the_event_it_begins_at(harness: Harness) {
    let store = harness.store();
    let (a, b) = (stream("witness:a"), stream("witness:b"));
    let receipt = fill(&store, &a, 5).await;
    fill(&store, &b, 3).await;
    let none = stream("witness:none");
    for after in 0..8 {
        let from = [
            ReadFrom::after(none.clone(), version(after)),
            ReadFrom::after(a.clone(), version(after)),
            ReadFrom::start(b.clone()),
            // Once more, from elsewhere: each has its own.
            ReadFrom::after(a.clone(), version(2)),
        ];
        let read = store
            .read(&from)
            .await
            .expect("a read that nothing is in the way of");
        let at = |version: u64| {
            let mut events = receipt.events.iter();
            let event = events.find(|event| event.version.get() == version);
            event.map(|event| event.id)
        };
        let expected = [None, at(after), None, at(2)];
        assert_eq!(
            read.witnesses, expected,
            "a read after version {after} owes the identity of the event there"
        );
    }
}
