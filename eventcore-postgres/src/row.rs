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

/// The columns that [`Rows::found`] reads, in its order; the stream goes before them, or is known.
pub(crate) const COLUMNS: [&str; 10] = [
    "position",
    "version",
    "id",
    "type",
    "schema",
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

/// The bytes of an event, without reading those that are stored out of line.
pub(crate) fn size_of(name: &str) -> String {
    format!("octet_length({name}.payload)::bigint + coalesce(octet_length({name}.metadata), 0)")
}

/// The same, with metadata and payload only where a condition holds, and else the event's `size`.
pub(crate) fn columns_within(name: &str, condition: &str) -> String {
    let plain = COLUMNS[..8].iter().map(|column| format!("{name}.{column}"));
    let plain: Vec<String> = plain.collect();
    format!(
        "{}, CASE WHEN {condition} THEN {name}.metadata END, CASE WHEN {condition} THEN {name}.payload END, \
         CASE WHEN {condition} THEN NULL ELSE {name}.size END",
        plain.join(", ")
    )
}

/// An event that was found.
#[derive(Debug)]
pub(crate) enum Found {
    Event(RecordedEvent),
    /// Its payload is too large to have come with the row.
    Large {
        position: GlobalPosition,
        version: StreamVersion,
        bytes: usize,
    },
}

impl Found {
    pub(crate) fn position(&self) -> GlobalPosition {
        match self {
            Self::Event(event) => event.position(),
            Self::Large { position, .. } => *position,
        }
    }

    pub(crate) fn version(&self) -> StreamVersion {
        match self {
            Self::Event(event) => event.version(),
            Self::Large { version, .. } => *version,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Event(event) => event.stored_bytes(),
            Self::Large { bytes, .. } => *bytes,
        }
    }

    /// Its position, if its payload is still to be read.
    pub(crate) fn large(&self) -> Option<i64> {
        match self {
            Self::Event(_) => None,
            Self::Large { position, .. } => Some(position.to_i64()),
        }
    }

    pub(crate) fn into_event(self) -> Option<RecordedEvent> {
        match self {
            Self::Event(event) => Some(event),
            Self::Large { .. } => None,
        }
    }
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

/// Where the event of a row stands, and its identity; `None` for a row without an event.
pub(crate) fn place(
    row: &PgRow,
    first: usize,
) -> Result<Option<(GlobalPosition, StreamVersion, EventId)>, ReadError> {
    let Some(position) = value::<Option<i64>>(row, first)? else {
        return Ok(None);
    };
    let position = GlobalPosition::try_from(position).unwrap_or_default();
    let version = StreamVersion::try_from(value::<i64>(row, first + 1)?)
        .map_err(|e| corrupt(position, "its version", e.into()))?;
    let id = EventId::try_from(value::<Uuid>(row, first + 2)?)
        .map_err(|e| corrupt(position, "its id", e.into()))?;
    Ok(Some((position, version, id)))
}

impl Rows {
    /// Reads [`columns_within`] from `first` on.
    pub(crate) fn found(
        &mut self,
        row: &PgRow,
        first: usize,
        stream: StreamId,
    ) -> Result<Found, ReadError> {
        if let Some(bytes) = value::<Option<i64>>(row, first + COLUMNS.len())?
            && let Some((position, version, _)) = place(row, first)?
        {
            return Ok(Found::Large {
                position,
                version,
                bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            });
        }
        self.event(row, first, stream).map(Found::Event)
    }

    /// Reads [`columns_of`] from `first` on.
    pub(crate) fn event(
        &mut self,
        row: &PgRow,
        first: usize,
        stream: StreamId,
    ) -> Result<RecordedEvent, ReadError> {
        let Some((position, version, id)) = place(row, first)? else {
            return Err(corrupt(
                GlobalPosition::START,
                "its position",
                "no event".into(),
            ));
        };
        let event_type = self
            .event_type(value(row, first + 3)?)
            .map_err(|e| corrupt(position, "its type", e.into()))?;
        let schema: i64 = value(row, first + 4)?;
        let schema = u32::try_from(schema)
            .ok()
            .and_then(SchemaVersion::new)
            .ok_or_else(|| corrupt(position, "its schema version", format!("{schema}").into()))?;
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

    /// Reads the stream's name and [`columns_of`] behind it.
    pub(crate) fn event_with_stream(
        &mut self,
        row: &PgRow,
        first: usize,
    ) -> Result<RecordedEvent, ReadError> {
        let stream = self.stream_of(row, first)?;
        self.event(row, first + 1, stream)
    }

    /// Reads the stream's name and [`columns_within`] behind it.
    pub(crate) fn found_with_stream(
        &mut self,
        row: &PgRow,
        first: usize,
    ) -> Result<Found, ReadError> {
        let stream = self.stream_of(row, first)?;
        self.found(row, first + 1, stream)
    }

    fn stream_of(&mut self, row: &PgRow, first: usize) -> Result<StreamId, ReadError> {
        self.stream(value(row, first)?).or_else(|error| {
            let position = value::<i64>(row, first + 1)?;
            let position = GlobalPosition::try_from(position).unwrap_or_default();
            Err(corrupt(position, "its stream id", error.into()))
        })
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
