//! A row of `eventcore_events` as a recorded event.

use std::collections::HashMap;

use eventcore::{
    CausationId, CorrelationId, EncodedEvent, EventId, EventType, GlobalPosition, Payload,
    RecordedEvent, SchemaVersion, StreamId, StreamVersion, Timestamp,
    store::{ReadError, RecordedFields},
};
use rusqlite::{Row, types::ValueRef};
use uuid::Uuid;

use crate::errors::{corrupt, read_error};

/// The columns that [`Rows::event`] reads, in its order.
pub(crate) const COLUMNS: &str = "position, stream, version, type, schema, id, correlation_id, causation_id, \
                                  recorded_at, metadata, payload";

/// The places of two of them.
pub(crate) const METADATA: usize = 9;
pub(crate) const PAYLOAD: usize = 10;

/// Turns rows into events, and shares what repeats between them.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    types: HashMap<Box<str>, EventType>,
    last_stream: Option<StreamId>,
}

/// There are few types; a log that has more than this is not worth sharing for.
const MAX_TYPES: usize = 10_000;

impl Rows {
    pub(crate) fn event(&mut self, row: &Row<'_>) -> Result<RecordedEvent, ReadError> {
        let failed = |error| read_error("read an event", error);
        let number: i64 = row.get(0).map_err(failed)?;
        let position = GlobalPosition::try_from(number).unwrap_or_default();
        let damaged = |reason: &str, source: Box<dyn std::error::Error + Send + Sync>| {
            corrupt(position, reason, Some(source))
        };
        let integer = |column: usize| {
            row.get::<_, i64>(column)
                .map_err(|e| damaged("a number", e.into()))
        };
        let text = |column: usize| {
            let value = row.get_ref(column).map_err(failed)?;
            value
                .as_str()
                .map_err(|e| damaged("a text is no text", e.into()))
        };
        let uuid = |column: usize| {
            let bytes: [u8; 16] = row
                .get(column)
                .map_err(|e| damaged("an id is no UUID", e.into()))?;
            Ok::<_, ReadError>(Uuid::from_bytes(bytes))
        };

        let stream = self
            .stream(text(1)?)
            .map_err(|e| damaged("its stream id", e.into()))?;
        let version =
            StreamVersion::try_from(integer(2)?).map_err(|e| damaged("its version", e.into()))?;
        let event_type = self
            .event_type(text(3)?)
            .map_err(|e| damaged("its type", e.into()))?;
        let schema = u32::try_from(integer(4)?).ok().and_then(SchemaVersion::new);
        let schema = schema.ok_or_else(|| corrupt(position, "its schema version", None))?;
        let id = EventId::try_from(uuid(5)?).map_err(|e| damaged("its id", e.into()))?;
        let causation_id = match row.get_ref(7).map_err(failed)? {
            ValueRef::Null => None,
            _ => Some(CausationId::from(uuid(7)?)),
        };
        let recorded_at =
            Timestamp::from_unix_micros(integer(8)?).map_err(|e| damaged("its time", e.into()))?;
        let metadata = match row.get_ref(METADATA).map_err(failed)? {
            ValueRef::Null => None,
            _ => Some(text(METADATA)?.into()),
        };
        let payload = match row.get_ref(PAYLOAD).map_err(failed)? {
            ValueRef::Blob(bytes) | ValueRef::Text(bytes) => Payload::from(bytes),
            _ => return Err(corrupt(position, "its payload is no bytes", None)),
        };
        Ok(RecordedEvent::from(RecordedFields {
            id,
            stream,
            version,
            position,
            event: EncodedEvent::new(event_type, schema, payload),
            correlation_id: CorrelationId::from(uuid(6)?),
            causation_id,
            metadata,
            recorded_at,
        }))
    }

    fn stream(&mut self, name: &str) -> Result<StreamId, eventcore::StreamIdError> {
        if let Some(last) = self
            .last_stream
            .as_ref()
            .filter(|last| last.as_str() == name)
        {
            return Ok(last.clone());
        }
        let stream = StreamId::try_new(name)?;
        self.last_stream = Some(stream.clone());
        Ok(stream)
    }

    fn event_type(&mut self, name: &str) -> Result<EventType, eventcore::EventTypeError> {
        if let Some(event_type) = self.types.get(name) {
            return Ok(event_type.clone());
        }
        let event_type = EventType::try_new(name)?;
        if self.types.len() < MAX_TYPES {
            self.types.insert(name.into(), event_type.clone());
        }
        Ok(event_type)
    }
}
