//! Events to append, and the log that they come to.

use eventcore::{
    EncodedEvent, EventFilter, EventStore, EventType, GlobalPosition, Payload, RecordedEvent,
    SchemaVersion, StreamId, StreamVersion,
    store::{AppendBatch, AppendError, ReadFrom},
};

use super::{page_size, stream};

/// A handle on a log.
pub(in crate::following) type Store = std::sync::Arc<dyn EventStore>;

/// Calls again while the store says "nothing was done, will pass": so it must pass.
macro_rules! patiently {
    ($call:expr) => {{
        let start = tokio::time::Instant::now();
        loop {
            match $call.await {
                Err(error)
                    if error.is_retriable() && start.elapsed() < $crate::following::kit::SOON =>
                {
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                }
                outcome => break outcome,
            }
        }
    }};
}
pub(in crate::following) use patiently;

pub(in crate::following) fn raw(event_type: &str, payload: impl Into<String>) -> EncodedEvent {
    let event_type = EventType::try_new(event_type).expect("the suite's type names are valid");
    let payload = Payload::from(payload.into().into_bytes());
    EncodedEvent::new(event_type, SchemaVersion::FIRST, payload)
}

/// The stored form of steps this wide, every third one to the side.
pub(in crate::following) fn steps(widths: &[i64]) -> Vec<EncodedEvent> {
    let encode = |by: &i64| {
        let kind = if by % 3 == 0 {
            "walk.aside"
        } else {
            "walk.ahead"
        };
        raw(kind, format!("{{\"by\":{by}}}"))
    };
    widths.iter().map(encode).collect()
}

/// Events for one stream at a version.
pub(in crate::following) fn batch(
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

/// Appends to a stream wherever it is, and gives the position of the last event.
pub(in crate::following) async fn append(
    store: &Store,
    to: &StreamId,
    events: Vec<EncodedEvent>,
) -> GlobalPosition {
    loop {
        let read = patiently!(store.read(&[ReadFrom::start(to.clone())]))
            .unwrap_or_else(|error| panic!("`{to}` cannot be read: {error} ({error:?})"));
        match store
            .append(batch(to, read.versions[0], events.clone()))
            .await
        {
            Ok(receipt) => {
                return receipt
                    .events
                    .last()
                    .expect("events were appended")
                    .position;
            }
            Err(AppendError::Conflict(_)) => {}
            Err(error) if error.is_retriable() => {}
            Err(error) => panic!("appending to `{to}` failed: {error} ({error:?})"),
        }
    }
}

/// Appends steps to a stream by its name, in one batch.
pub(in crate::following) async fn walk(store: &Store, to: &str, widths: &[i64]) -> GlobalPosition {
    append(store, &stream(to), steps(widths)).await
}

/// The whole log, which must be dense.
pub(in crate::following) async fn log(store: &Store) -> Vec<RecordedEvent> {
    let (mut events, mut after) = (Vec::new(), GlobalPosition::START);
    loop {
        let page = patiently!(store.read_all(after, &EventFilter::all(), page_size(5_000)));
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

pub(in crate::following) fn positions(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.position().get()).collect()
}
