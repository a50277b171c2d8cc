//! Events as stores return them, and the receipt for an append.

use std::{fmt, sync::Arc};

use crate::{
    CausationId, CorrelationId, EncodedEvent, EventId, GlobalPosition, Metadata, MetadataError,
    StreamId, StreamVersion, Timestamp,
};

/// An event in a store: where it stands, what came with it, and its bytes. Cheap to clone.
#[derive(Clone, PartialEq)]
pub struct RecordedEvent(Arc<RecordedFields>);

/// All of a [`RecordedEvent`], for the backend that makes one.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedFields {
    /// The identity of the event.
    pub id: EventId,
    /// Its stream.
    pub stream: StreamId,
    /// Its place in the stream, from 1.
    pub version: StreamVersion,
    /// Its place in the store, from 1.
    pub position: GlobalPosition,
    /// Its type, shape and bytes.
    pub event: EncodedEvent,
    /// The chain that it belongs to.
    pub correlation_id: CorrelationId,
    /// What directly caused it.
    pub causation_id: Option<CausationId>,
    /// The rest of the metadata, as the text that was appended.
    pub metadata: Option<Arc<str>>,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

impl From<RecordedFields> for RecordedEvent {
    fn from(fields: RecordedFields) -> Self {
        Self(Arc::new(fields))
    }
}

impl RecordedEvent {
    /// The identity of the event.
    pub fn id(&self) -> EventId {
        self.0.id
    }

    /// Its stream.
    pub fn stream(&self) -> &StreamId {
        &self.0.stream
    }

    /// Its place in the stream, from 1.
    pub fn version(&self) -> StreamVersion {
        self.0.version
    }

    /// The bytes of its payload and its metadata: what bounds of chunks and pages are about.
    pub fn stored_bytes(&self) -> usize {
        let metadata = self.0.metadata.as_ref().map_or(0, |text| text.len());
        self.0.event.payload().len() + metadata
    }

    /// Its place in the store, from 1.
    pub fn position(&self) -> GlobalPosition {
        self.0.position
    }

    /// Its type, shape and bytes.
    pub fn encoded(&self) -> &EncodedEvent {
        &self.0.event
    }

    /// The chain that it belongs to.
    pub fn correlation_id(&self) -> CorrelationId {
        self.0.correlation_id
    }

    /// What directly caused it.
    pub fn causation_id(&self) -> Option<CausationId> {
        self.0.causation_id
    }

    /// When it was recorded.
    pub fn recorded_at(&self) -> Timestamp {
        self.0.recorded_at
    }

    /// What its command carried, read from the stored text.
    ///
    /// # Errors
    ///
    /// [`MetadataError`] when the stored text is damaged.
    pub fn metadata(&self) -> Result<Metadata, MetadataError> {
        let text = self.0.metadata.as_deref();
        Metadata::from_stored(self.0.correlation_id, self.0.causation_id, text)
    }

    /// The rest of the metadata, as the text that was appended.
    pub fn metadata_text(&self) -> Option<&str> {
        self.0.metadata.as_deref()
    }
}

impl fmt::Debug for RecordedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "#{} {}@{} {} v{} {:?}",
            self.position(),
            self.stream(),
            self.version(),
            self.encoded().event_type(),
            self.encoded().schema(),
            self.encoded().payload(),
        )
    }
}

/// What an append did.
#[derive(Clone, Debug, PartialEq)]
pub struct AppendReceipt {
    /// The events in the order in which they were emitted, which is the order of their positions.
    pub events: Vec<AppendedEvent>,
    /// The chain that they belong to.
    pub correlation_id: CorrelationId,
    /// Whether this is the receipt of an earlier append with the same key, and nothing was appended now.
    pub replayed: bool,
}

/// Where one event of an append went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendedEvent {
    /// The identity of the event.
    pub id: EventId,
    /// Its stream.
    pub stream: StreamId,
    /// Its place in the stream.
    pub version: StreamVersion,
    /// Its place in the store.
    pub position: GlobalPosition,
}

/// The receipt that a store keeps for a key, with the fingerprint of its command.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptReceipt {
    /// What the command amounted to; see [`Idempotency`](crate::store::Idempotency).
    pub fingerprint: uuid::Uuid,
    /// What it appended.
    pub receipt: AppendReceipt,
}
