//! One atomic append: what must hold, and what is then added.

use std::{collections::HashMap, sync::Arc};

use uuid::Uuid;

use super::{AppendReceipt, AppendedEvent, RecordedEvent, RecordedFields};
use crate::{
    CausationId, CorrelationId, EncodedEvent, EventId, GlobalPosition, IdempotencyKey, StreamId,
    StreamVersion, Timestamp,
};

/// A version that a stream must have at the moment of commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The stream.
    pub stream: StreamId,
    /// Its number of events.
    pub version: StreamVersion,
}

/// The name under which a batch takes effect at most once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The name.
    pub key: IdempotencyKey,
    /// A digest of the command; a key that comes back with another one is a mistake and refused.
    pub fingerprint: Uuid,
}

/// An event on its way into a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Its identity.
    pub id: EventId,
    /// Its stream, as an index into [`AppendBatch::expectations`].
    pub stream: usize,
    /// Its type, shape and bytes.
    pub event: EncodedEvent,
}

/// Expectations and events that are appended together or not at all. Cheap to clone, always valid.
///
/// ```
/// use eventcore::{StreamId, StreamVersion, store::{AppendBatch, BatchError}};
///
/// let stream = StreamId::try_new("account:1")?;
/// let mut batch = AppendBatch::builder();
/// batch.expect(stream.clone(), StreamVersion::EMPTY)?;
/// assert!(matches!(batch.build(), Err(BatchError::Empty)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct AppendBatch(Arc<Parts>);

#[derive(Clone, Debug, PartialEq)]
struct Parts {
    expectations: Vec<Expectation>,
    events: Vec<NewEvent>,
    idempotency: Option<Idempotency>,
    correlation_id: CorrelationId,
    causation_id: Option<CausationId>,
    metadata: Option<Arc<str>>,
    recorded_at: Timestamp,
    bytes: usize,
}

impl AppendBatch {
    /// The most events that one batch may hold.
    pub const MAX_EVENTS: usize = 100_000;
    /// The most streams that one batch may guard.
    pub const MAX_STREAMS: usize = 10_000;
    /// The most bytes of payload and metadata together, 64 MiB.
    pub const MAX_BYTES: usize = 64 << 20;

    /// Starts a batch.
    pub fn builder() -> BatchBuilder {
        BatchBuilder {
            parts: Parts {
                expectations: Vec::new(),
                events: Vec::new(),
                idempotency: None,
                correlation_id: CorrelationId::generate(),
                causation_id: None,
                metadata: None,
                recorded_at: Timestamp::now(),
                bytes: 0,
            },
            index: HashMap::new(),
        }
    }

    /// Each stream that the command read, once.
    pub fn expectations(&self) -> &[Expectation] {
        &self.0.expectations
    }

    /// The events, in the order in which they get their positions.
    pub fn events(&self) -> &[NewEvent] {
        &self.0.events
    }

    /// The stream that an event of this batch goes to.
    pub fn stream_of(&self, event: &NewEvent) -> &StreamId {
        // The builder has checked the index.
        &self.0.expectations[event.stream].stream
    }

    /// The name under which this takes effect at most once, if it has one.
    pub fn idempotency(&self) -> Option<&Idempotency> {
        self.0.idempotency.as_ref()
    }

    /// The chain that all events belong to.
    pub fn correlation_id(&self) -> CorrelationId {
        self.0.correlation_id
    }

    /// What directly caused them.
    pub fn causation_id(&self) -> Option<CausationId> {
        self.0.causation_id
    }

    /// The rest of the metadata, as text.
    pub fn metadata(&self) -> Option<&Arc<str>> {
        self.0.metadata.as_ref()
    }

    /// The bytes of payload and metadata together, as [`AppendBatch::MAX_BYTES`] bounds them.
    pub fn stored_bytes(&self) -> usize {
        self.0.bytes
    }

    /// The time to record.
    pub fn recorded_at(&self) -> Timestamp {
        self.0.recorded_at
    }

    /// Each event with the version and the position that it gets when the batch is appended behind this end of the
    /// log: positions are dense, and versions follow the expectations.
    pub fn places(
        &self,
        end: GlobalPosition,
    ) -> impl Iterator<Item = (&NewEvent, StreamVersion, GlobalPosition)> {
        let expected = self.0.expectations.iter();
        let mut versions: Vec<StreamVersion> = expected.map(|expected| expected.version).collect();
        let mut position = end;
        self.0.events.iter().map(move |event| {
            position = position.advanced(1);
            versions[event.stream] = versions[event.stream].advanced(1);
            (event, versions[event.stream], position)
        })
    }

    /// The events as they stand in the log once they are appended behind this end of it.
    pub fn recorded(&self, end: GlobalPosition) -> Vec<RecordedEvent> {
        let record = |(event, version, position): (&NewEvent, _, _)| {
            RecordedEvent::from(RecordedFields {
                id: event.id,
                stream: self.stream_of(event).clone(),
                version,
                position,
                event: event.event.clone(),
                correlation_id: self.0.correlation_id,
                causation_id: self.0.causation_id,
                metadata: self.0.metadata.clone(),
                recorded_at: self.0.recorded_at,
            })
        };
        self.places(end).map(record).collect()
    }

    /// The receipt of this batch when it was appended behind this end of the log.
    pub fn receipt(&self, end: GlobalPosition) -> AppendReceipt {
        let appended = |(event, version, position): (&NewEvent, _, _)| AppendedEvent {
            id: event.id,
            stream: self.stream_of(event).clone(),
            version,
            position,
        };
        AppendReceipt {
            events: self.places(end).map(appended).collect(),
            correlation_id: self.0.correlation_id,
            replayed: false,
        }
    }

    /// Where to look for this batch in a log that may hold it already: the stream, version and identity of its first
    /// event. A batch with a key is found by that instead.
    ///
    /// A store that finds the batch's own event there answers with [`AppendBatch::replayed`] instead of a conflict, so
    /// that a batch whose outcome is unknown can be sent again, whether it has a key or not.
    pub fn trace(&self) -> Option<(&StreamId, StreamVersion, EventId)> {
        if self.0.idempotency.is_some() {
            return None;
        }
        let (event, version, _) = self.places(GlobalPosition::START).next()?;
        Some((self.stream_of(event), version, event.id))
    }

    /// The receipt of this batch when its first event was found at this position.
    pub fn replayed(&self, first: GlobalPosition) -> AppendReceipt {
        let end = GlobalPosition::try_from(first.get().saturating_sub(1)).unwrap_or_default();
        AppendReceipt {
            replayed: true,
            ..self.receipt(end)
        }
    }
}

/// Collects a batch and checks it.
#[derive(Debug)]
pub struct BatchBuilder {
    parts: Parts,
    index: HashMap<StreamId, usize>,
}

impl BatchBuilder {
    /// Demands a version of a stream, and gives its index.
    ///
    /// # Errors
    ///
    /// [`BatchError::DuplicateExpectation`] when something is demanded of this stream already.
    pub fn expect(
        &mut self,
        stream: StreamId,
        version: StreamVersion,
    ) -> Result<usize, BatchError> {
        let index = self.parts.expectations.len();
        if self.index.insert(stream.clone(), index).is_some() {
            return Err(BatchError::DuplicateExpectation { stream });
        }
        self.parts
            .expectations
            .push(Expectation { stream, version });
        Ok(index)
    }

    /// Adds an event to a stream of which a version is demanded, and gives the event's identity.
    ///
    /// # Errors
    ///
    /// [`BatchError::UnguardedStream`] when nothing is demanded of the stream.
    pub fn event(&mut self, stream: &StreamId, event: EncodedEvent) -> Result<EventId, BatchError> {
        let Some(&stream) = self.index.get(stream) else {
            return Err(BatchError::UnguardedStream {
                stream: stream.clone(),
            });
        };
        let id = EventId::generate();
        self.parts.events.push(NewEvent { id, stream, event });
        Ok(id)
    }

    /// Events whose stream index was made together with the expectations.
    pub(crate) fn events(&mut self, events: Vec<NewEvent>) -> &mut Self {
        self.parts.events = events;
        self
    }

    /// Lets the batch take effect at most once.
    pub fn idempotency(&mut self, idempotency: Idempotency) -> &mut Self {
        self.parts.idempotency = Some(idempotency);
        self
    }

    /// The chain that the events belong to; without it they start one.
    pub fn correlation_id(&mut self, id: CorrelationId) -> &mut Self {
        self.parts.correlation_id = id;
        self
    }

    /// What directly caused the events.
    pub fn causation_id(&mut self, id: Option<CausationId>) -> &mut Self {
        self.parts.causation_id = id;
        self
    }

    /// The rest of the metadata, as JSON text.
    pub fn metadata(&mut self, text: Option<Arc<str>>) -> &mut Self {
        self.parts.metadata = text;
        self
    }

    /// The time to record instead of now.
    pub fn recorded_at(&mut self, time: Timestamp) -> &mut Self {
        self.parts.recorded_at = time;
        self
    }

    /// Checks the whole.
    ///
    /// # Errors
    ///
    /// [`BatchError::Empty`] when there is no event and no key whose use is to be recorded, and a variant for each
    /// limit.
    pub fn build(self) -> Result<AppendBatch, BatchError> {
        let mut parts = self.parts;
        if parts.events.is_empty() && parts.idempotency.is_none() {
            return Err(BatchError::Empty);
        }
        at_most("events", parts.events.len(), AppendBatch::MAX_EVENTS)?;
        at_most(
            "streams",
            parts.expectations.len(),
            AppendBatch::MAX_STREAMS,
        )?;
        let metadata = parts.metadata.as_ref().map_or(0, |text| text.len());
        let payloads: usize = parts.events.iter().map(|e| e.event.payload().len()).sum();
        // The metadata is stored with every event.
        let bytes = payloads.saturating_add(metadata.saturating_mul(parts.events.len()));
        at_most("bytes", bytes, AppendBatch::MAX_BYTES)?;
        parts.bytes = bytes;
        Ok(AppendBatch(Arc::new(parts)))
    }
}

fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), BatchError> {
    if found > limit {
        return Err(BatchError::TooLarge { what, found, limit });
    }
    Ok(())
}

/// Why a batch was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// No events, and no key to record.
    #[error("a batch needs at least one event, or an idempotency key to record")]
    Empty,
    /// Two demands on one stream.
    #[error("the batch expects two versions of stream `{stream}`")]
    DuplicateExpectation {
        /// The stream.
        stream: StreamId,
    },
    /// An event for a stream of which no version is demanded.
    #[error("the batch has an event for stream `{stream}` and no expected version of it")]
    UnguardedStream {
        /// The stream.
        stream: StreamId,
    },
    /// More than a limit.
    #[error("the batch has {found} {what}, the limit is {limit}")]
    TooLarge {
        /// What there is too much of: `events`, `streams` or `bytes`.
        what: &'static str,
        /// How much there is.
        found: usize,
        /// How much there may be.
        limit: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventType, Payload, SchemaVersion};

    fn event(bytes: usize) -> EncodedEvent {
        let event_type = EventType::from_checked("t");
        EncodedEvent::new(
            event_type,
            SchemaVersion::FIRST,
            Payload::from(vec![b'0'; bytes]),
        )
    }

    fn stream(name: &str) -> StreamId {
        StreamId::try_new(name).unwrap()
    }

    #[test]
    fn a_stream_is_expected_once_and_guarded_before_it_is_written() {
        let mut batch = AppendBatch::builder();
        batch.expect(stream("a"), StreamVersion::EMPTY).unwrap();
        let twice = batch.expect(stream("a"), StreamVersion::EMPTY).unwrap_err();
        assert_eq!(
            twice,
            BatchError::DuplicateExpectation {
                stream: stream("a")
            }
        );
        let unguarded = batch.event(&stream("b"), event(1)).unwrap_err();
        assert_eq!(
            unguarded,
            BatchError::UnguardedStream {
                stream: stream("b")
            }
        );
    }

    #[test]
    fn bytes_are_bounded_and_the_error_says_by_how_much() {
        let mut batch = AppendBatch::builder();
        batch.expect(stream("a"), StreamVersion::EMPTY).unwrap();
        batch
            .event(&stream("a"), event(AppendBatch::MAX_BYTES))
            .unwrap();
        batch.event(&stream("a"), event(1)).unwrap();
        let error = batch.build().unwrap_err().to_string();
        assert_eq!(error, "the batch has 67108865 bytes, the limit is 67108864");
    }
}
