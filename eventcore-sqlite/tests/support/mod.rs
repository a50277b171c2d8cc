//! What several tests need: a folder with a store in it, and batches.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly; each test file uses a part"
)]

pub mod sums;
pub mod views;

use std::path::PathBuf;

use eventcore::{
    EncodedEvent, EventStore, EventType, GlobalPosition, Payload, RecordedEvent, SchemaVersion,
    StreamId, StreamVersion,
    store::{AppendBatch, EventFilter, PageSize},
};
use tempfile::TempDir;

pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn file(&self) -> PathBuf {
        self.0.path().join("store.db")
    }

    pub fn path(&self) -> &std::path::Path {
        self.0.path()
    }
}

pub fn stream(name: &str) -> StreamId {
    StreamId::try_new(name).unwrap()
}

pub fn event(text: &str) -> EncodedEvent {
    let event_type = EventType::try_new("test.happened").unwrap();
    let payload = Payload::from(format!("{{\"text\":{text:?}}}").into_bytes());
    EncodedEvent::new(event_type, SchemaVersion::FIRST, payload)
}

/// One event for each stream, at the versions given.
pub fn batch(streams: &[(&str, u64)], text: &str) -> AppendBatch {
    let mut batch = AppendBatch::builder();
    for (name, version) in streams {
        let version = StreamVersion::try_new(*version).unwrap();
        batch.expect(stream(name), version).unwrap();
        batch.event(&stream(name), event(text)).unwrap();
    }
    batch.build().unwrap()
}

/// The whole log.
pub async fn log(store: &impl EventStore) -> Vec<RecordedEvent> {
    let (mut events, mut next) = (Vec::new(), GlobalPosition::START);
    loop {
        let size = PageSize::try_new(1000).unwrap();
        let page = store
            .read_all(next, &EventFilter::all(), size)
            .await
            .unwrap();
        events.extend(page.events);
        next = page.next;
        if page.at_end {
            return events;
        }
    }
}
