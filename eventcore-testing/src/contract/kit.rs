//! The words that clauses are written in.

mod racing;
mod reading;

use std::{sync::Arc, time::Duration};

use eventcore::{
    EncodedEvent, EventStore, EventType, GlobalPosition, IdempotencyKey, Payload, RecordedEvent,
    SchemaVersion, StreamId, StreamVersion,
    store::{
        AppendBatch, AppendError, AppendReceipt, BatchBuilder, Conflict, Idempotency, PageSize,
    },
};
use uuid::Uuid;

pub(super) use self::{
    racing::{Pace, check_witnesses, dropped_after, join, witness},
    reading::{log, page, pages, read, view},
};

pub(super) type Store = Arc<dyn EventStore>;

pub(super) fn stream(name: impl AsRef<str>) -> StreamId {
    StreamId::try_new(name).expect("the suite's stream names are valid")
}

pub(super) fn version(number: u64) -> StreamVersion {
    StreamVersion::try_new(number).expect("the suite's versions are small")
}

pub(super) fn event(name: &str, payload: impl Into<Vec<u8>>) -> EncodedEvent {
    let name = EventType::try_new(name).expect("the suite's type names are valid");
    EncodedEvent::new(name, SchemaVersion::FIRST, Payload::from(payload.into()))
}

pub(super) fn page_size(size: usize) -> PageSize {
    PageSize::try_from(size).expect("the suite's page sizes are allowed")
}

pub(super) fn position(number: u64) -> GlobalPosition {
    GlobalPosition::try_new(number).expect("the suite's positions are small")
}

/// An event that says its number.
pub(super) fn numbered(number: u64) -> EncodedEvent {
    event("contract.numbered", format!("{{\"n\":{number}}}"))
}

/// The number in such an event.
pub(super) fn number_of(event: &RecordedEvent) -> u64 {
    let value: serde_json::Value = serde_json::from_slice(event.encoded().payload().as_bytes())
        .unwrap_or_else(|error| panic!("{event:?} came back with another payload: {error}"));
    value["n"]
        .as_u64()
        .unwrap_or_else(|| panic!("{event:?} came back with another payload"))
}

/// A batch in the making.
pub(super) struct Draft(BatchBuilder);

pub(super) fn draft() -> Draft {
    Draft(AppendBatch::builder())
}

impl Draft {
    pub(super) fn expect(mut self, stream: &StreamId, at: u64) -> Self {
        self.0
            .expect(stream.clone(), version(at))
            .expect("a clause expects each stream once");
        self
    }

    pub(super) fn event(mut self, stream: &StreamId, event: EncodedEvent) -> Self {
        self.0
            .event(stream, event)
            .expect("a clause expects what it writes to");
        self
    }

    pub(super) fn key(mut self, key: &str, fingerprint: u128) -> Self {
        self.0.idempotency(Idempotency {
            key: self::key(key),
            fingerprint: Uuid::from_u128(fingerprint),
        });
        self
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut BatchBuilder)) -> Self {
        change(&mut self.0);
        self
    }

    pub(super) fn build(self) -> AppendBatch {
        self.0
            .build()
            .expect("a clause's batches are within the limits")
    }
}

pub(super) fn key(key: &str) -> IdempotencyKey {
    IdempotencyKey::try_new(key).expect("the suite's keys are valid")
}

/// `count` numbered events from 1 on, appended to a stream that is empty.
pub(super) async fn fill(store: &Store, stream: &StreamId, count: u64) -> AppendReceipt {
    let events = (1..=count).map(numbered);
    let batch = events.fold(draft().expect(stream, 0), |d, e| d.event(stream, e));
    append(store, batch.build()).await
}

/// How long a store may go on to say that it is busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

macro_rules! patiently {
    ($call:expr, $error:pat => $retriable:expr) => {{
        let start = tokio::time::Instant::now();
        loop {
            match $call.await {
                // "Nothing was done, will pass": so it must pass.
                Err($error) if $retriable && start.elapsed() < PATIENCE => {
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                }
                outcome => break outcome,
            }
        }
    }};
}
pub(super) use patiently;

/// Appends, again while the store says that it is busy.
pub(super) async fn try_append(
    store: &Store,
    batch: AppendBatch,
) -> Result<AppendReceipt, AppendError> {
    patiently!(store.append(batch.clone()), AppendError::Store(ref error) => error.is_retriable())
}

pub(super) async fn append(store: &Store, batch: AppendBatch) -> AppendReceipt {
    let told = format!(
        "{} events, expectations {:.400}, key {:?}",
        batch.events().len(),
        format!("{:?}", batch.expectations()),
        batch
            .idempotency()
            .map(|idempotency| idempotency.key.as_str()),
    );
    match try_append(store, batch).await {
        Ok(receipt) => receipt,
        Err(error) => {
            panic!("a batch was refused that is promised to succeed ({told}): {error} ({error:?})")
        }
    }
}

/// The conflict that this batch must meet.
pub(super) async fn conflict(store: &Store, batch: AppendBatch, why: &str) -> Conflict {
    match try_append(store, batch).await {
        Err(AppendError::Conflict(conflict)) => conflict,
        Ok(receipt) => panic!("{why}: promised a conflict, but it was appended as {receipt:?}"),
        Err(error) => panic!("{why}: promised a conflict, got another error: {error} ({error:?})"),
    }
}
