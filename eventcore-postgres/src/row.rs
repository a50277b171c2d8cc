//! A row of `events` as a recorded event.

use std::collections::HashMap;

use eventcore::{
    CausationId, CorrelationId, EncodedEvent, EventId, EventType, GlobalPosition, Payload,
    RecordedEvent, SchemaVersion, StreamId, StreamVersion, Timestamp,
    store::{ReadError, RecordedFields},
};
use sqlx::{Decode, Postgres, Row, postgres::PgRow};
use uuid::Uuid;

use crate::errors::{corrupt, read_error};

/// The columns that [`Rows::event`] reads, in its order; the stream goes before them, or is known.
pub(crate) const COLUMNS: [&str; 10] = [
    "position",
    "version",
    "type",
    "schema",
    "id",
    "correlation_id",
    "causation_id",
    "recorded_at",
    "metadata",
    "payload",
];

/// The columns of a table or subquery of this name.
pub(crate) fn columns_of(name: &str) -> String {
    let columns = COLUMNS.map(|column| format!("{name}.{column}"));
    columns.join(", ")
}

/// Turns rows into events, and shares what repeats between them.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    types: HashMap<Box<str>, EventType>,
    last_type: Option<EventType>,
    last_stream: Option<StreamId>,
}

/// There are few types; a log that has more than this is not worth sharing for.
const MAX_TYPES: usize = 10_000;

/// A value of a type that the statement fixes, so that it is not asked for with every value.
fn value<'r, T: Decode<'r, Postgres>>(row: &'r PgRow, column: usize) -> Result<T, ReadError> {
    row.try_get_unchecked(column)
        .map_err(|error| read_error("read an event", error))
}

impl Rows {
    /// Reads the columns from `first` on.
    pub(crate) fn event(
        &mut self,
        row: &PgRow,
        first: usize,
        stream: StreamId,
    ) -> Result<RecordedEvent, ReadError> {
        let position = GlobalPosition::try_from(value::<i64>(row, first)?).unwrap_or_default();
        let version = StreamVersion::try_from(value::<i64>(row, first + 1)?)
            .map_err(|e| corrupt(position, "its version", e.into()))?;
        let event_type = self
            .event_type(value(row, first + 2)?)
            .map_err(|e| corrupt(position, "its type", e.into()))?;
        let schema: i64 = value(row, first + 3)?;
        let schema = u32::try_from(schema)
            .ok()
            .and_then(SchemaVersion::new)
            .ok_or_else(|| corrupt(position, "its schema version", format!("{schema}").into()))?;
        let id = EventId::try_from(value::<Uuid>(row, first + 4)?)
            .map_err(|e| corrupt(position, "its id", e.into()))?;
        let correlation: Uuid = value(row, first + 5)?;
        let causation: Option<Uuid> = value(row, first + 6)?;
        let recorded_at = Timestamp::from_unix_micros(value(row, first + 7)?)
            .map_err(|e| corrupt(position, "its time", e.into()))?;
        let metadata: Option<&str> = value(row, first + 8)?;
        let payload: &[u8] = value(row, first + 9)?;
        Ok(RecordedEvent::from(RecordedFields {
            id,
            stream,
            version,
            position,
            event: EncodedEvent::new(event_type, schema, Payload::from(payload)),
            correlation_id: CorrelationId::from(correlation),
            causation_id: causation.map(CausationId::from),
            metadata: metadata.map(Into::into),
            recorded_at,
        }))
    }

    /// Reads the stream's name and the columns behind it.
    pub(crate) fn event_with_stream(
        &mut self,
        row: &PgRow,
        first: usize,
    ) -> Result<RecordedEvent, ReadError> {
        let stream = match self.stream(value(row, first)?) {
            Ok(stream) => stream,
            Err(error) => {
                let position = value::<i64>(row, first + 1)?;
                let position = GlobalPosition::try_from(position).unwrap_or_default();
                return Err(corrupt(position, "its stream id", error.into()));
            }
        };
        self.event(row, first + 1, stream)
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
        if let Some(last) = self.last_type.as_ref().filter(|last| last.as_str() == name) {
            return Ok(last.clone());
        }
        let event_type = if let Some(known) = self.types.get(name) {
            known.clone()
        } else {
            let event_type = EventType::try_new(name)?;
            if self.types.len() < MAX_TYPES {
                self.types.insert(name.into(), event_type.clone());
            }
            event_type
        };
        self.last_type = Some(event_type.clone());
        Ok(event_type)
    }
}
