//! An event read back from a store, decoded.

use super::{DecodeFailure, Event, EventType, SchemaVersion};
use crate::{
    CausationId, CorrelationId, EventId, GlobalPosition, Metadata, MetadataError, RecordedEvent,
    StreamId, StreamVersion, Timestamp,
};

/// An event with its place in the store.
#[derive(Clone, Debug)]
pub struct StoredEvent<E> {
    record: RecordedEvent,
    data: E,
}

impl<E: Event> StoredEvent<E> {
    /// Decodes a recorded event.
    ///
    /// # Errors
    ///
    /// [`DecodeError`], which names stream, version, position and type. An unknown type is an error too.
    pub fn decode(record: RecordedEvent) -> Result<Self, DecodeError> {
        let failure = match E::decode(record.encoded()) {
            Ok(Some(data)) => return Ok(Self { record, data }),
            Ok(None) => DecodeFailure::UnknownType {
                event: std::any::type_name::<E>(),
            },
            Err(failure) => failure,
        };
        Err(DecodeError::new(&record, failure))
    }
}

impl<E> StoredEvent<E> {
    /// What happened.
    pub fn data(&self) -> &E {
        &self.data
    }

    /// What happened, without its place.
    pub fn into_data(self) -> E {
        self.data
    }

    /// The identity of the event.
    pub fn id(&self) -> EventId {
        self.record.id()
    }

    /// The stream that it belongs to.
    pub fn stream(&self) -> &StreamId {
        self.record.stream()
    }

    /// Its place in the stream, from 1.
    pub fn version(&self) -> StreamVersion {
        self.record.version()
    }

    /// Its place in the whole store, from 1.
    pub fn position(&self) -> GlobalPosition {
        self.record.position()
    }

    /// When it was recorded, by the clock of the program that did.
    pub fn recorded_at(&self) -> Timestamp {
        self.record.recorded_at()
    }

    /// The stored name of its type.
    pub fn event_type(&self) -> &EventType {
        self.record.encoded().event_type()
    }

    /// The chain that it belongs to.
    pub fn correlation_id(&self) -> CorrelationId {
        self.record.correlation_id()
    }

    /// What directly caused it, if that was said.
    pub fn causation_id(&self) -> Option<CausationId> {
        self.record.causation_id()
    }

    /// What else its command carried.
    ///
    /// # Errors
    ///
    /// [`MetadataError`] when the stored text is damaged.
    pub fn metadata(&self) -> Result<Metadata, MetadataError> {
        self.record.metadata()
    }

    /// The event as it is stored.
    pub fn record(&self) -> &RecordedEvent {
        &self.record
    }
}

/// A recorded event that the application's types cannot read.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot decode event {version} of stream `{stream}` (position {position}, type `{event_type}` version {schema})"
)]
pub struct DecodeError {
    stream: StreamId,
    version: StreamVersion,
    position: GlobalPosition,
    event_type: EventType,
    schema: SchemaVersion,
    #[source]
    failure: Box<DecodeFailure>,
}

impl DecodeError {
    pub(crate) fn new(record: &RecordedEvent, failure: DecodeFailure) -> Self {
        Self {
            stream: record.stream().clone(),
            version: record.version(),
            position: record.position(),
            event_type: record.encoded().event_type().clone(),
            schema: record.encoded().schema(),
            failure: Box::new(failure),
        }
    }

    /// The stream of the event.
    pub fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// Its place in the stream.
    pub fn version(&self) -> StreamVersion {
        self.version
    }

    /// Its place in the store.
    pub fn position(&self) -> GlobalPosition {
        self.position
    }

    /// Its stored type.
    pub fn event_type(&self) -> &EventType {
        &self.event_type
    }

    /// What is wrong with it.
    pub fn failure(&self) -> &DecodeFailure {
        &self.failure
    }
}
