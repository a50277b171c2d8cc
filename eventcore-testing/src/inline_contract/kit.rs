//! The words that clauses are written in.

mod models;

use std::{future::Future, sync::Arc, time::Duration};

use eventcore::{
    EncodedEvent, EventFilter, EventStore, EventType, GlobalPosition, Payload, RecordedEvent,
    SchemaVersion, StreamId, StreamVersion,
    projection::{Claim, DocumentKey, Inline, Owner, Partitions, ProjectionId, ProjectionStore},
    store::{AppendBatch, AppendError, AppendReceipt, PageSize, ReadFrom},
};
use tokio::task::JoinHandle;
use uuid::Uuid;

pub(super) use self::models::{
    ALL, Counts, Highest, Sighted, Sightings, Tally, Ticked, expect_counts, expect_highest,
};
use super::Place;

pub(super) type Store = Arc<dyn EventStore>;

pub(super) fn stream(name: impl AsRef<str>) -> StreamId {
    StreamId::try_new(name).expect("the suite's stream names are valid")
}

pub(super) fn key(name: impl AsRef<str>) -> DocumentKey {
    DocumentKey::try_new(name).expect("the suite's keys are valid")
}

pub(super) fn counts() -> Inline {
    Inline::new(Counts::<1>).expect("the suite's names are valid")
}

pub(super) fn id(name: &str, version: u32) -> ProjectionId {
    let name = name.parse().expect("the suite's names are valid");
    ProjectionId { name, version }
}

/// The wish of a runner to lead a projection.
pub(super) fn claim_of(name: &str, version: u32, label: &str) -> Claim {
    Claim {
        projection: id(name, version),
        partition: 0,
        partitions: Partitions::ONE,
        owner: Owner {
            id: Uuid::now_v7(),
            label: label.to_owned(),
        },
        ttl: Duration::from_mins(1),
    }
}

pub(super) fn highest() -> Inline {
    Inline::new(Highest).expect("the suite's names are valid")
}

/// The events with these models inline; clauses use it where nothing is in the way.
pub(super) async fn open<P: Place>(place: &P, models: Vec<Inline>) -> Store {
    place
        .open(models)
        .await
        .unwrap_or_else(|error| panic!("nothing stands against these models: {error} ({error:?})"))
}

fn raw(event_type: &str, payload: impl Into<String>) -> EncodedEvent {
    let event_type = EventType::try_new(event_type).expect("the suite's type names are valid");
    let payload = Payload::from(payload.into().into_bytes());
    EncodedEvent::new(event_type, SchemaVersion::FIRST, payload)
}

/// The stored form of what models see as `Tick`.
pub(super) fn ticks(by: &[i64]) -> Vec<EncodedEvent> {
    let tick = |by: &i64| raw("inline.tick", format!("{{\"by\":{by}}}"));
    by.iter().map(tick).collect()
}

/// At this one the models panic.
pub(super) const PANICS: i64 = -13;

pub(super) fn cleared() -> EncodedEvent {
    raw("inline.cleared", "{}")
}

/// Of a type that models know, and not of its shape.
pub(super) fn unreadable() -> EncodedEvent {
    raw("inline.tick", "{\"by\":\"far\"}")
}

/// What no model asks for.
pub(super) fn foreign() -> EncodedEvent {
    raw("foreign.thing", "{}")
}

/// Events for one stream at a version.
pub(super) fn batch(
    to: &StreamId,
    version: StreamVersion,
    events: Vec<EncodedEvent>,
) -> AppendBatch {
    let mut batch = AppendBatch::builder();
    batch.expect(to.clone(), version).unwrap();
    for event in events {
        batch.event(to, event).unwrap();
    }
    batch
        .build()
        .expect("a clause's batches are within the limits")
}

/// Where a stream is.
pub(super) async fn version(store: &Store, of: &StreamId) -> StreamVersion {
    let read = store.read(&[ReadFrom::start(of.clone())]).await;
    read.unwrap_or_else(|error| panic!("`{of}` cannot be read: {error} ({error:?})"))
        .versions[0]
}

/// Appends to a stream wherever it is.
pub(super) async fn try_append(
    store: &Store,
    to: &StreamId,
    events: Vec<EncodedEvent>,
) -> Result<AppendReceipt, AppendError> {
    loop {
        let version = version(store, to).await;
        match store.append(batch(to, version, events.clone())).await {
            Err(error) if error.is_retriable() => tokio::task::yield_now().await,
            verdict => return verdict,
        }
    }
}

/// The same, where nothing stands against it.
pub(super) async fn append(store: &Store, to: &str, events: Vec<EncodedEvent>) -> AppendReceipt {
    let verdict = try_append(store, &stream(to), events).await;
    verdict.unwrap_or_else(|error| panic!("appending to `{to}` failed: {error} ({error:?})"))
}

/// That nothing was appended since a model, or where it stands, is in the way; what the store says, in full.
pub(super) fn refused_by_model(verdict: Result<AppendReceipt, AppendError>, what: &str) -> String {
    match verdict {
        Err(error @ AppendError::Inline(_)) => said(&error),
        other => panic!("{what}: the append fails with `AppendError::Inline`; got {other:?}"),
    }
}

/// That the store refused to append for a reason that lasts; what it says, in full.
pub(super) fn refused_by_store(verdict: Result<AppendReceipt, AppendError>, what: &str) -> String {
    match verdict {
        Err(error @ AppendError::Store(_)) if !error.is_retriable() => said(&error),
        other => panic!("{what}: the append fails for a reason that lasts; got {other:?}"),
    }
}

/// That a model was not opened inline; what the store says, in full.
pub(super) async fn refused<P: Place>(place: &P, model: Inline, what: &str) -> String {
    match place.open(vec![model]).await {
        Err(error) => said(&error),
        Ok(_) => panic!("{what}: the store does not open; it did"),
    }
}

/// An error with all that is underneath.
pub(super) fn said(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// The whole log, which must be dense.
pub(super) async fn log(store: &Store) -> Vec<RecordedEvent> {
    let (mut events, mut after) = (Vec::new(), GlobalPosition::START);
    let size = PageSize::try_from(5_000).expect("the suite's page sizes are allowed");
    loop {
        let page = store.read_all(after, &EventFilter::all(), size).await;
        let page = page.unwrap_or_else(|error| panic!("the log cannot be read: {error:?}"));
        events.extend(page.events);
        after = page.next;
        if page.at_end {
            let dense = (1..)
                .zip(&events)
                .all(|(n, event)| event.position().get() == n);
            assert!(dense, "the log has a hole, or an event twice");
            return events;
        }
    }
}

/// Documents of the active version, in one look.
pub(super) async fn documents<V: ProjectionStore>(
    views: &V,
    name: &str,
    keys: &[DocumentKey],
) -> Vec<Option<String>> {
    let name = name.parse().expect("the suite's names are valid");
    let found = views.documents(&name, keys).await;
    found.unwrap_or_else(|error| panic!("the documents cannot be read: {error} ({error:?})"))
}

/// The tally under a key, if there is one.
pub(super) async fn tally<V: ProjectionStore>(views: &V, of: &str) -> Option<Tally> {
    let body = documents(views, "counts", &[key(of)]).await.remove(0);
    body.map(|body| serde_json::from_str(&body).expect("a tally is stored as it was made"))
}

/// The results of tasks; a panic in one is a panic here.
pub(super) async fn join<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    match futures_util::future::try_join_all(tasks).await {
        Ok(results) => results,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => panic!("a task of the suite was stopped: {error}"),
        },
    }
}

/// Starts a task for each number below this one.
pub(super) fn each<T: Send + 'static, Fut: Future<Output = T> + Send + 'static>(
    number: usize,
    work: impl Fn(usize) -> Fut,
) -> Vec<JoinHandle<T>> {
    (0..number).map(|n| tokio::spawn(work(n))).collect()
}
