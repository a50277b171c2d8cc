//! The model: a list of events, and a loop for every question.

use std::collections::BTreeMap;

use eventcore::{
    EventFilter, GlobalPosition, IdempotencyKey, RecordedEvent, StreamId, StreamVersion,
    store::{
        AppendBatch, AppendReceipt, AppendedEvent, Conflict, KeptReceipt, ReadFrom, RecordedFields,
        StreamConflict,
    },
};

use super::steps::Step;

/// What a store with this history answers. Slow and plain on purpose.
#[derive(Clone, Debug, Default)]
pub struct Model {
    log: Vec<RecordedEvent>,
    kept: BTreeMap<IdempotencyKey, KeptReceipt>,
}

/// Why the model does not take a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Streams are not where the batch expects them: exactly these.
    Conflict(Conflict),
    /// The key belongs to a batch with another fingerprint.
    IdempotencyConflict(IdempotencyKey),
}

impl Model {
    /// All events, in order.
    pub fn log(&self) -> &[RecordedEvent] {
        &self.log
    }

    /// The number of events in a stream.
    pub fn version(&self, stream: &StreamId) -> StreamVersion {
        let events = self.log.iter().filter(|event| event.stream() == stream);
        StreamVersion::EMPTY.advanced(events.count() as u64)
    }

    /// The position of the last event.
    pub fn end(&self) -> GlobalPosition {
        GlobalPosition::START.advanced(self.log.len() as u64)
    }

    /// Appends a batch as [`EventStore::append`](eventcore::EventStore::append) has to.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; nothing is appended then.
    pub fn append(&mut self, batch: &AppendBatch) -> Result<AppendReceipt, Refusal> {
        if let Some(named) = batch.idempotency()
            && let Some(kept) = self.kept.get(&named.key)
        {
            if kept.fingerprint == named.fingerprint {
                return Ok(kept.receipt.clone());
            }
            return Err(Refusal::IdempotencyConflict(named.key.clone()));
        }
        let mut moved = Vec::new();
        for expected in batch.expectations() {
            let actual = self.version(&expected.stream);
            if actual != expected.version {
                moved.push(StreamConflict {
                    stream: expected.stream.clone(),
                    expected: expected.version,
                    actual,
                });
            }
        }
        if let Some(conflict) = Conflict::new(moved) {
            return Err(Refusal::Conflict(conflict));
        }
        let mut appended = Vec::new();
        for new in batch.events() {
            let stream = batch.stream_of(new);
            let event = RecordedFields {
                id: new.id,
                stream: stream.clone(),
                version: self.version(stream).advanced(1),
                position: self.end().advanced(1),
                event: new.event.clone(),
                correlation_id: batch.correlation_id(),
                causation_id: batch.causation_id(),
                metadata: batch.metadata().cloned(),
                recorded_at: batch.recorded_at(),
            };
            appended.push(AppendedEvent {
                id: event.id,
                stream: event.stream.clone(),
                version: event.version,
                position: event.position,
            });
            self.log.push(event.into());
        }
        let receipt = |replayed| AppendReceipt {
            events: appended.clone(),
            correlation_id: batch.correlation_id(),
            replayed,
        };
        if let Some(named) = batch.idempotency() {
            let kept = KeptReceipt {
                fingerprint: named.fingerprint,
                receipt: receipt(true),
            };
            self.kept.insert(named.key.clone(), kept);
        }
        Ok(receipt(false))
    }

    /// The versions of the streams asked for, and their events in order of position, each once.
    pub fn read(&self, streams: &[ReadFrom]) -> (Vec<StreamVersion>, Vec<RecordedEvent>) {
        let wanted = |event: &&RecordedEvent| {
            streams
                .iter()
                .any(|from| from.stream == *event.stream() && event.version() > from.after)
        };
        (
            streams
                .iter()
                .map(|from| self.version(&from.stream))
                .collect(),
            self.log.iter().filter(wanted).cloned().collect(),
        )
    }

    /// The events after one position up to another, the latter included, that pass the filter.
    pub fn between(
        &self,
        after: GlobalPosition,
        up_to: GlobalPosition,
        filter: &EventFilter,
    ) -> Vec<RecordedEvent> {
        let wanted = |event: &&RecordedEvent| {
            event.position() > after && event.position() <= up_to && filter.matches(event)
        };
        self.log.iter().filter(wanted).cloned().collect()
    }

    /// What the batch with this key appended.
    pub fn find_receipt(&self, key: &IdempotencyKey) -> Option<KeptReceipt> {
        self.kept.get(key).cloned()
    }

    /// The model after a step: where the next step of a story starts from.
    pub(super) fn after(mut self, step: &Step) -> Self {
        if let Step::Append(plan) = step
            && let Ok(batch) = plan.batch(&self)
        {
            // A refusal is a step as good as any.
            let _ = self.append(&batch);
        }
        self
    }
}
