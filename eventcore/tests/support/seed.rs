//! Streams with a past, and what became of them.
#![allow(dead_code, reason = "each test program uses a part of it")]

use eventcore::{
    EncodedEvent, Event, EventStore, EventType, Payload, RecordedEvent, SchemaVersion, StreamId,
    store::{AppendBatch, ReadFrom},
};

pub(crate) fn stream(name: &str) -> StreamId {
    StreamId::try_new(name).unwrap()
}

/// An event as a store sees it, of the first schema version.
pub(crate) fn stored(event_type: &str, json: &str) -> EncodedEvent {
    stored_as(event_type, 1, json)
}

pub(crate) fn stored_as(event_type: &str, schema: u32, json: &str) -> EncodedEvent {
    EncodedEvent::new(
        EventType::try_new(event_type).unwrap(),
        SchemaVersion::new(schema).unwrap(),
        Payload::from(json.as_bytes()),
    )
}

/// A batch that adds one event to a stream, whatever its version is by now.
pub(crate) async fn one_more<S: EventStore>(
    store: &S,
    name: &str,
    event: EncodedEvent,
) -> AppendBatch {
    let id = stream(name);
    let read = store.read(&[ReadFrom::start(id.clone())]).await.unwrap();
    let mut batch = AppendBatch::builder();
    batch.expect(id.clone(), read.versions[0]).unwrap();
    batch.event(&id, event).unwrap();
    batch.build().unwrap()
}

pub(crate) async fn given_stored<S: EventStore>(store: &S, name: &str, event: EncodedEvent) {
    let batch = one_more(store, name, event).await;
    store.append(batch).await.unwrap();
}

pub(crate) async fn given<S: EventStore, E: Event>(store: &S, name: &str, event: E) {
    given_stored(store, name, event.encode().unwrap()).await;
}

pub(crate) async fn events_of<S: EventStore>(store: &S, name: &str) -> Vec<RecordedEvent> {
    let read = store.read(&[ReadFrom::start(stream(name))]).await.unwrap();
    read.events.collect().await.unwrap()
}

pub(crate) fn json_of(event: &EncodedEvent) -> &str {
    std::str::from_utf8(event.payload().as_bytes()).unwrap()
}

/// The events of a stream as `type json`.
pub(crate) async fn texts<S: EventStore>(store: &S, name: &str) -> Vec<String> {
    let text = |event: &RecordedEvent| {
        let event = event.encoded();
        format!("{} {}", event.event_type(), json_of(event))
    };
    events_of(store, name).await.iter().map(text).collect()
}
