//! Whoever sees the events sees the documents, and the other way round.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    task::{Context, Waker},
    time::Duration,
};

use eventcore::{
    CausationId, EventFilter, EventId, GlobalPosition, StreamVersion, Timestamp,
    projection::Inline,
    store::{AppendBatch, PageSize},
};

use super::{
    Place,
    kit::{
        ALL, Sighted, Sightings, Store, append, batch, cleared, counts, documents, each,
        expect_counts, foreign, join, key, log, open, stream, tally, ticks, try_append, version,
    },
};

/// Clause: no waiting: what was appended is in the documents.
pub async fn documents_are_there_when_an_append_returns<P: Place>(place: P) {
    let (store, views) = (open(&place, vec![counts()]).await, place.views().await);
    for round in 1..=20 {
        append(&store, "a", ticks(&[round])).await;
        let found = tally(&views, "a").await;
        let sum = found.map(|tally| tally.sum);
        assert_eq!(
            sum,
            Some((1..=round).sum()),
            "after the append of round {round}"
        );
    }
    append(&store, "a", vec![foreign()]).await;
    append(&store, "b", ticks(&[5, 6, 7])).await;
    expect_counts(&views, &store, 1).await;
}

/// The end of the log.
async fn end(store: &Store) -> u64 {
    let nothing = EventFilter::all().types([]);
    let (mut after, size) = (
        GlobalPosition::START,
        PageSize::try_from(1).expect("one is allowed"),
    );
    loop {
        let page = store
            .read_all(after, &nothing, size)
            .await
            .expect("the log can be read");
        after = page.next;
        if page.at_end {
            return after.get();
        }
    }
}

/// Clause: no reader, at any moment, sees events without documents or documents without events.
pub async fn a_reader_never_sees_one_without_the_other<P: Place>(place: P) {
    const WRITERS: usize = 6;
    let (store, views) = (open(&place, vec![counts()]).await, place.views().await);
    let done = Arc::new(AtomicBool::new(false));
    let names: Vec<String> = (0..WRITERS).map(|n| format!("w:{n}")).collect();
    let keys: Vec<_> = names.iter().map(key).chain([key(ALL)]).collect();
    let reading = tokio::spawn({
        let (store, views, done) = (Arc::clone(&store), views.clone(), Arc::clone(&done));
        async move {
            let mut looks = 0_u32;
            while !done.load(Relaxed) || looks == 0 {
                let before = end(&store).await;
                let bodies = documents(&views, "counts", &keys).await;
                let after = end(&store).await;
                let count = |body: &Option<String>| {
                    let tally = body.as_ref().map(|body| serde_json::from_str(body));
                    tally.map_or(0, |tally: Result<super::kit::Tally, _>| {
                        tally.unwrap().count
                    })
                };
                let all = count(bodies.last().expect("a body for each key"));
                let sum: u64 = bodies[..WRITERS].iter().map(count).sum();
                assert_eq!(sum, all, "documents of one append become visible together");
                assert!(
                    before <= all,
                    "{before} events were seen, and then documents of {all}"
                );
                assert!(
                    all <= after,
                    "documents of {all} events were seen, and then {after}"
                );
                assert_eq!(all % 3, 0, "a part of a batch was seen");
                looks += 1;
                tokio::task::yield_now().await;
            }
        }
    });
    let writing = each(WRITERS, |writer| {
        let (store, name) = (Arc::clone(&store), names[writer].clone());
        async move {
            for round in 0..40 {
                append(&store, &name, ticks(&[round, 1, 2])).await;
            }
        }
    });
    join(writing).await;
    done.store(true, Relaxed);
    join(vec![reading]).await;
    expect_counts(&views, &store, 1).await;
}

/// Clause: the documents are the fold of the log, however many write.
pub async fn concurrent_increments_are_all_counted<P: Place>(place: P) {
    const WRITERS: usize = 8;
    const ROUNDS: usize = 25;
    let (store, views) = (open(&place, vec![counts()]).await, place.views().await);
    let writing = each(WRITERS, |writer| {
        let store = Arc::clone(&store);
        async move {
            for round in 0..ROUNDS {
                let to = format!("s:{}", (writer + round) % 3);
                append(&store, &to, ticks(&[1])).await;
            }
        }
    });
    join(writing).await;
    let all = tally(&views, ALL).await.map(|tally| tally.sum);
    assert_eq!(
        all,
        i64::try_from(WRITERS * ROUNDS).ok(),
        "each increment counts once"
    );
    expect_counts(&views, &store, 1).await;
}

/// Clause: position, version, id, time and metadata are those of the log.
pub async fn an_event_is_complete_when_the_model_sees_it<P: Place>(place: P) {
    let model = Inline::new(Sightings).expect("the suite's names are valid");
    let (store, views) = (open(&place, vec![model]).await, place.views().await);
    append(&store, "a", ticks(&[1, 2])).await;
    append(&store, "b", vec![foreign()]).await;
    let mut builder = AppendBatch::builder();
    builder
        .expect(stream("b"), version(&store, &stream("b")).await)
        .unwrap();
    builder
        .expect(stream("a"), version(&store, &stream("a")).await)
        .unwrap();
    for event in ticks(&[3, 4]) {
        builder.event(&stream("a"), event.clone()).unwrap();
        builder.event(&stream("b"), event).unwrap();
    }
    builder
        .causation_id(Some(CausationId::from(EventId::generate())))
        .metadata(Some(r#"{"actor":"alice","n":1}"#.into()))
        .recorded_at(Timestamp::from_unix_micros(1_234_567_890_123_457).expect("a time"));
    store
        .append(builder.build().unwrap())
        .await
        .expect("nothing stands against it");
    for event in log(&store).await {
        if event.encoded().event_type().as_str() == "foreign.thing" {
            continue;
        }
        let at = [key(event.position().to_string())];
        let seen = documents(&views, "sightings", &at).await.remove(0);
        let seen: Option<Sighted> = seen.map(|body| serde_json::from_str(&body).unwrap());
        assert_eq!(
            seen,
            Some(Sighted::of(&event)),
            "what the model saw, and what the log has"
        );
    }
}

/// Clause: a document that a model removes is gone, and may come back.
pub async fn a_document_may_go<P: Place>(place: P) {
    let (store, views) = (open(&place, vec![counts()]).await, place.views().await);
    append(&store, "a", ticks(&[1])).await;
    append(&store, "a", vec![cleared()]).await;
    assert_eq!(tally(&views, "a").await, None, "the model has removed it");
    expect_counts(&views, &store, 1).await;
    let comes_and_goes = [ticks(&[2]), vec![cleared()], ticks(&[3]), vec![cleared()]].concat();
    append(&store, "a", comes_and_goes).await;
    assert_eq!(tally(&views, "a").await, None, "it went at last");
    append(&store, "a", ticks(&[4])).await;
    expect_counts(&views, &store, 1).await;
}

/// Clause: dropping an append leaves events and documents in step.
pub async fn a_dropped_append_is_in_both_or_in_neither<P: Place>(place: P) {
    let (store, views) = (open(&place, vec![counts()]).await, place.views().await);
    for round in 0..60_usize {
        let to = stream(format!("d:{}", round % 7));
        let late = batch(&to, version(&store, &to).await, ticks(&[1, 2, 3]));
        {
            let mut appending = pin!(store.append(late));
            for _ in 0..=round % 6 {
                let mut unheard = Context::from_waker(Waker::noop());
                if appending.as_mut().poll(&mut unheard).is_ready() {
                    break;
                }
                tokio::time::sleep(Duration::from_micros(40 * (round as u64 % 5))).await;
            }
        }
        let other = stream("others");
        try_append(&store, &other, ticks(&[1]))
            .await
            .expect("the store is as good as before");
    }
    // The store may still be finishing what was dropped.
    append(&store, "last", ticks(&[1])).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let events = expect_counts(&views, &store, 1).await;
    let dropped = events
        .iter()
        .filter(|event| event.stream().as_str().starts_with("d:"));
    assert_eq!(dropped.count() % 3, 0, "a batch is whole");
    let first = events
        .iter()
        .filter(|event| event.version() == StreamVersion::EMPTY.advanced(1));
    assert!(first.count() >= 2, "some appends came to their end");
}
