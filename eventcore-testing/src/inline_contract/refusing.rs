//! An append that is refused changes neither events nor documents, and harms no other.

use std::sync::Arc;

use eventcore::{
    EncodedEvent, IdempotencyKey, StreamVersion,
    projection::{Claimed, DocumentChange, Progress, ProjectionStore, UnitOfWork},
    store::{AppendBatch, AppendError, Idempotency},
};
use uuid::Uuid;

use super::{
    Place,
    kit::{
        ALL, PANICS, Store, append, batch, claim_of, counts, documents, each, expect_counts, join,
        key, log, open, refused_by_model, stream, ticks, try_append, unreadable,
    },
};

/// Clause: a batch that comes too late leaves the documents alone.
pub async fn a_conflict_changes_nothing<P: Place>(place: P) {
    let (store, views) = (open(&place, vec![counts()]).await, place.views().await);
    append(&store, "a", ticks(&[1])).await;
    let late = batch(&stream("a"), StreamVersion::EMPTY, ticks(&[2]));
    match store.append(late).await {
        Err(AppendError::Conflict(_)) => {}
        other => panic!("a batch that comes too late is a conflict; got {other:?}"),
    }
    // Also when a model could not take it.
    let late = batch(&stream("a"), StreamVersion::EMPTY, vec![unreadable()]);
    match store.append(late).await {
        Err(AppendError::Conflict(_)) => {}
        other => panic!("a conflict is looked for before a model is asked; got {other:?}"),
    }
    let events = expect_counts(&views, &store, 1).await;
    assert_eq!(events.len(), 1, "nothing was appended");
}

fn keyed(name: &str, fingerprint: u128, event: Vec<EncodedEvent>) -> AppendBatch {
    let mut batch = AppendBatch::builder();
    batch.expect(stream(name), StreamVersion::EMPTY).unwrap();
    for event in event {
        batch.event(&stream(name), event).unwrap();
    }
    batch.idempotency(Idempotency {
        key: IdempotencyKey::try_new("once").expect("a key"),
        fingerprint: Uuid::from_u128(fingerprint),
    });
    batch.build().unwrap()
}

/// Clause: a key that is known returns its receipt and is not applied again.
pub async fn a_repeated_batch_changes_nothing<P: Place>(place: P) {
    let (store, views) = (open(&place, vec![counts()]).await, place.views().await);
    let first = store
        .append(keyed("a", 1, ticks(&[1, 2])))
        .await
        .expect("it is the first");
    append(&store, "a", ticks(&[3])).await;
    let again = store.append(keyed("a", 1, ticks(&[1, 2]))).await;
    let again = again.expect("a repeated batch is answered with its receipt");
    assert!(again.replayed, "and the receipt says so");
    assert_eq!(again.events, first.events);
    match store.append(keyed("a", 2, ticks(&[9]))).await {
        Err(AppendError::IdempotencyConflict { .. }) => {}
        other => panic!("another command's key is refused; got {other:?}"),
    }
    let events = expect_counts(&views, &store, 1).await;
    assert_eq!(events.len(), 3);
}

async fn is_refused_whole<P: Place>(place: P, bad: EncodedEvent, what: &str) -> String {
    let (store, views) = (open(&place, vec![counts()]).await, place.views().await);
    append(&store, "a", ticks(&[1])).await;
    let mut events = ticks(&[2]);
    events.push(bad);
    events.extend(ticks(&[3]));
    let said = refused_by_model(try_append(&store, &stream("a"), events).await, what);
    assert!(
        said.contains("counts v1"),
        "{what}: the error names the projection; got `{said}`"
    );
    let events = expect_counts(&views, &store, 1).await;
    assert_eq!(events.len(), 1, "{what}: nothing of the batch was appended");
    append(&store, "a", ticks(&[4])).await;
    expect_counts(&views, &store, 1).await;
    said
}

/// Clause: the append fails, and log and documents stay as they were.
pub async fn an_event_that_cannot_be_decoded_is_not_appended<P: Place>(place: P) {
    is_refused_whole(place, unreadable(), "an event that the model cannot decode").await;
}

/// Clause: a model that panics refuses the append and harms nothing else.
pub async fn a_panic_of_the_model_is_a_refusal<P: Place>(place: P) {
    let bad = ticks(&[PANICS]).remove(0);
    let said = is_refused_whole(place, bad, "an event at which the model panics").await;
    assert!(
        said.contains("cannot count to -13"),
        "what the panic said; got `{said}`"
    );
}

/// Clause: a document of another shape is never written over.
pub async fn a_document_that_cannot_be_decoded_is_a_refusal<P: Place>(place: P) {
    let views = place.views().await;
    // A runner of another program has left it.
    let Ok(Claimed::Granted(lease)) = views.claim(&claim_of("counts", 1, "another")).await else {
        panic!("nobody else is here");
    };
    let body = Some(r#""no tally""#.to_owned());
    let mut unit = views.begin(&lease).await.expect("it is led");
    unit.put(vec![DocumentChange {
        key: key("a"),
        body: body.clone(),
    }])
    .await
    .unwrap();
    unit.commit(Progress::default()).await.expect("it is led");
    views.release(&lease).await.unwrap();

    let store = open(&place, vec![counts()]).await;
    let what = "a document that the model cannot decode";
    refused_by_model(try_append(&store, &stream("a"), ticks(&[1])).await, what);
    assert_eq!(log(&store).await.len(), 0, "{what}: nothing was appended");
    append(&store, "b", ticks(&[1])).await;
    let found = documents(&views, "counts", &[key("a"), key("b")]).await;
    assert_eq!(found[0], body, "{what}: it stays as it is");
    assert!(found[1].is_some(), "others are not harmed");
}

/// Clause: of many appends at once only those fail that a model cannot take.
pub async fn neighbours_are_not_harmed<P: Place>(place: P) {
    let (store, views) = (open(&place, vec![counts()]).await, place.views().await);
    for round in 0..4 {
        let appends = each(32, |writer| {
            let store: Store = Arc::clone(&store);
            async move {
                let events = match writer % 8 {
                    3 => vec![unreadable()],
                    5 => ticks(&[1, PANICS]),
                    _ => ticks(&[1, 2]),
                };
                let verdict = try_append(&store, &stream(format!("s:{writer}")), events).await;
                (writer, verdict)
            }
        });
        for (writer, verdict) in join(appends).await {
            match (writer % 8, verdict) {
                (3 | 5, Err(AppendError::Inline(_))) => {}
                (3 | 5, other) => panic!("writer {writer}: the model refuses it; got {other:?}"),
                (_, Ok(_)) => {}
                (_, other) => panic!("writer {writer}: it has done nothing wrong; got {other:?}"),
            }
        }
        let events = expect_counts(&views, &store, 1).await;
        assert_eq!(
            events.len(),
            48 * (round + 1),
            "what was refused is not in the log"
        );
    }
    let all = super::kit::tally(&views, ALL)
        .await
        .map(|tally| tally.count);
    assert_eq!(all, Some(192));
}
