//! A row of `events` as a recorded event.

use std::collections::HashMap;

use eventcore::{
    CausationId, CorrelationId, EncodedEvent, EventId, EventType, GlobalPosition, Payload,
    RecordedEvent, SchemaVersion, StreamId, StreamVersion, Timestamp,
    store::{ReadError, RecordedFields},
};
use sqlx::{Row, postgres::PgRow};
use uuid::Uuid;

use crate::errors::{corrupt, read_error};

/// The columns that [`Rows::event`] reads, in its order.
pub(crate) const COLUMNS: &str = "position, stream, version, type, schema, id, correlation_id, causation_id, \
                                  recorded_at, metadata, payload";

/// Turns rows into events, and shares what repeats between them.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    types: HashMap<Box<str>, EventType>,
    last_stream: Option<StreamId>,
}

/// There are few types; a log that has more than this is not worth sharing for.
const MAX_TYPES: usize = 10_000;

impl Rows {
    /// Reads the columns from `first` on.
    pub(crate) fn event(&mut self, row: &PgRow, first: usize) -> Result<RecordedEvent, ReadError> {
        let failed = |error| read_error("read an event", error);
        let integer = |column: usize| row.try_get::<i64, _>(first + column).map_err(failed);
        let text = |column: usize| row.try_get::<&str, _>(first + column).map_err(failed);
        let uuid = |column: usize| row.try_get::<Uuid, _>(first + column).map_err(failed);

        let position = GlobalPosition::try_from(integer(0)?).unwrap_or_default();
        let stream = self
            .stream(text(1)?)
            .map_err(|e| corrupt(position, "its stream id", e.into()))?;
        let version = StreamVersion::try_from(integer(2)?)
            .map_err(|e| corrupt(position, "its version", e.into()))?;
        let event_type = self
            .event_type(text(3)?)
            .map_err(|e| corrupt(position, "its type", e.into()))?;
        let schema = integer(4)?;
        let schema = u32::try_from(schema)
            .ok()
            .and_then(SchemaVersion::new)
            .ok_or_else(|| corrupt(position, "its schema version", format!("{schema}").into()))?;
        let id = EventId::try_from(uuid(5)?).map_err(|e| corrupt(position, "its id", e.into()))?;
        let causation: Option<Uuid> = row.try_get(first + 7).map_err(failed)?;
        let recorded_at = Timestamp::from_unix_micros(integer(8)?)
            .map_err(|e| corrupt(position, "its time", e.into()))?;
        let metadata: Option<&str> = row.try_get(first + 9).map_err(failed)?;
        let payload: &[u8] = row.try_get(first + 10).map_err(failed)?;
        Ok(RecordedEvent::from(RecordedFields {
            id,
            stream,
            version,
            position,
            event: EncodedEvent::new(event_type, schema, Payload::from(payload)),
            correlation_id: CorrelationId::from(uuid(6)?),
            causation_id: causation.map(CausationId::from),
            metadata: metadata.map(Into::into),
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
