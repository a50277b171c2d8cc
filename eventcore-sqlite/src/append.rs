//! One batch inside the writer's transaction: checked, then inserted.

use eventcore::{
    CorrelationId, EventId, GlobalPosition, RecordedEvent, StreamId, StreamVersion,
    store::{
        AppendBatch, AppendError, AppendReceipt, AppendedEvent, Conflict, Idempotency, KeptReceipt,
        NewEvent, ReadError, RecordedFields, StoreError, StoreErrorKind, StreamConflict,
    },
};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use crate::{
    errors::{corrupt, read_error},
    projections::{
        Trouble,
        inline::{Pass, Refused},
    },
};

/// What an append comes to once the transaction is committed.
pub(crate) type Verdict = Result<AppendReceipt, AppendError>;

/// Judges a batch and, if it may, inserts it. The outer error means that the transaction is of no use any more.
///
/// `known_end` is the end of the log, where the transaction has asked for it before; nothing else appends meanwhile.
pub(crate) fn apply(
    connection: &Connection,
    batch: &AppendBatch,
    pass: &mut Pass<'_>,
    known_end: &mut Option<GlobalPosition>,
) -> Result<Verdict, Trouble> {
    if let Some(idempotency) = batch.idempotency()
        && let Some(verdict) = earlier(connection, idempotency)
    {
        return Ok(verdict);
    }
    let mut versions = Vec::with_capacity(batch.expectations().len());
    let mut moved = Vec::new();
    for expected in batch.expectations() {
        let actual = version(connection, &expected.stream)?;
        if actual != expected.version {
            moved.push(StreamConflict {
                stream: expected.stream.clone(),
                expected: expected.version,
                actual,
            });
        }
        versions.push(actual);
    }
    if let Some(conflict) = Conflict::new(moved) {
        return Ok(Err(conflict.into()));
    }
    let end = match *known_end {
        Some(end) => end,
        None => last_position(connection)?,
    };
    match pass.take(connection, end, || recorded(batch, &versions, end)) {
        Ok(()) => {}
        Err(Refused::Append(error)) => return Ok(Err(error)),
        Err(Refused::Transaction(trouble)) => return Err(trouble),
    }
    let events = insert(connection, batch, versions, end)?;
    *known_end = Some(events.last().map_or(end, |event| event.position));
    if let Some(Idempotency { key, fingerprint }) = batch.idempotency() {
        let mut remember = connection.prepare_cached(
            "INSERT INTO eventcore_commands (key, fingerprint, correlation_id, first_position, events)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        exactly_one(remember.execute(params![
            key.as_str(),
            fingerprint.as_bytes(),
            batch.correlation_id().as_uuid().as_bytes(),
            end.advanced(1).to_i64(),
            i64::try_from(events.len()).unwrap_or(i64::MAX),
        ])?)?;
    }
    Ok(Ok(AppendReceipt {
        events,
        correlation_id: batch.correlation_id(),
        replayed: false,
    }))
}

/// The events of a batch as they will stand in the log.
fn recorded(
    batch: &AppendBatch,
    versions: &[StreamVersion],
    end: GlobalPosition,
) -> Vec<RecordedEvent> {
    let (mut versions, mut position) = (versions.to_vec(), end);
    let record = |event: &NewEvent| {
        position = position.advanced(1);
        versions[event.stream] = versions[event.stream].advanced(1);
        RecordedEvent::from(RecordedFields {
            id: event.id,
            stream: batch.stream_of(event).clone(),
            version: versions[event.stream],
            position,
            event: event.event.clone(),
            correlation_id: batch.correlation_id(),
            causation_id: batch.causation_id(),
            metadata: batch.metadata().cloned(),
            recorded_at: batch.recorded_at(),
        })
    };
    batch.events().iter().map(record).collect()
}

fn insert(
    connection: &Connection,
    batch: &AppendBatch,
    mut versions: Vec<StreamVersion>,
    end: GlobalPosition,
) -> Result<Vec<AppendedEvent>, rusqlite::Error> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO eventcore_events (position, stream, version, type, schema, id, correlation_id,
             causation_id, recorded_at, metadata, payload)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    let causation_id = batch.causation_id();
    let mut appended = Vec::with_capacity(batch.events().len());
    let mut position = end;
    for event in batch.events() {
        let stream = batch.stream_of(event);
        position = position.advanced(1);
        let version = versions[event.stream].advanced(1);
        versions[event.stream] = version;
        // A trigger of the application's could leave the row out without an error.
        exactly_one(insert.execute(params![
            position.to_i64(),
            stream.as_str(),
            version.to_i64(),
            event.event.event_type().as_str(),
            event.event.schema().get(),
            event.id.as_uuid().as_bytes(),
            batch.correlation_id().as_uuid().as_bytes(),
            causation_id.as_ref().map(|id| id.as_uuid().as_bytes()),
            batch.recorded_at().unix_micros(),
            batch.metadata().map(|text| &**text),
            event.event.payload().as_bytes(),
        ])?)?;
        appended.push(AppendedEvent {
            id: event.id,
            stream: stream.clone(),
            version,
            position,
        });
    }
    Ok(appended)
}

fn exactly_one(rows: usize) -> Result<(), rusqlite::Error> {
    match rows {
        1 => Ok(()),
        other => Err(rusqlite::Error::StatementChangedRows(other)),
    }
}

/// The verdict on a batch whose key is known already.
fn earlier(connection: &Connection, idempotency: &Idempotency) -> Option<Verdict> {
    let Idempotency { key, fingerprint } = idempotency;
    match find_receipt(connection, key.as_str()) {
        Ok(None) => None,
        Ok(Some(kept)) if kept.fingerprint == *fingerprint => Some(Ok(kept.receipt)),
        Ok(Some(_)) => Some(Err(AppendError::IdempotencyConflict { key: key.clone() })),
        Err(ReadError::Store(error)) => Some(Err(error.into())),
        Err(damaged) => {
            let kind = StoreErrorKind::Corrupt;
            let text = format!("the receipt of key `{key}` cannot be read");
            Some(Err(StoreError::new("append", kind, text)
                .with_source(damaged)
                .into()))
        }
    }
}

/// The number of events of a stream, from the end of its index.
pub(crate) fn version(
    connection: &Connection,
    stream: &StreamId,
) -> Result<StreamVersion, rusqlite::Error> {
    let mut select = connection.prepare_cached(
        "SELECT version FROM eventcore_events WHERE stream = ?1 ORDER BY version DESC LIMIT 1",
    )?;
    let version: Option<i64> = select
        .query_row([stream.as_str()], |row| row.get(0))
        .optional()?;
    Ok(StreamVersion::try_from(version.unwrap_or(0)).unwrap_or_default())
}

/// The end of the log.
pub(crate) fn last_position(connection: &Connection) -> Result<GlobalPosition, rusqlite::Error> {
    let mut select = connection.prepare_cached("SELECT max(position) FROM eventcore_events")?;
    let position: Option<i64> = select.query_row([], |row| row.get(0))?;
    Ok(GlobalPosition::try_from(position.unwrap_or(0)).unwrap_or_default())
}

/// What a key appended, put together again from the events: they are never changed.
pub(crate) fn find_receipt(
    connection: &Connection,
    key: &str,
) -> Result<Option<KeptReceipt>, ReadError> {
    const FIND: &str = "find a receipt";
    let failed = |error| read_error(FIND, error);
    let mut select = connection
        .prepare_cached(
            "SELECT fingerprint, correlation_id, first_position, events FROM eventcore_commands WHERE key = ?1",
        )
        .map_err(failed)?;
    let kept = select
        .query_row([key], |row| {
            Ok((
                row.get::<_, [u8; 16]>(0)?,
                row.get::<_, [u8; 16]>(1)?,
                row.get::<_, i64>(2)?,
                row.get::<_, i64>(3)?,
            ))
        })
        .optional()
        .map_err(failed)?;
    let Some((fingerprint, correlation_id, first, count)) = kept else {
        return Ok(None);
    };
    let mut select = connection
        .prepare_cached(
            "SELECT position, id, stream, version FROM eventcore_events
             WHERE position >= ?1 AND position < ?1 + ?2 ORDER BY position",
        )
        .map_err(failed)?;
    let mut rows = select.query([first, count]).map_err(failed)?;
    let mut events = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        events.push(appended(row)?);
    }
    if i64::try_from(events.len()) != Ok(count) {
        let position = GlobalPosition::try_from(first).unwrap_or_default();
        let reason = format!(
            "{count} events from here on belong to key `{key}`, {} are there",
            events.len()
        );
        return Err(corrupt(position, reason, None));
    }
    Ok(Some(KeptReceipt {
        fingerprint: Uuid::from_bytes(fingerprint),
        receipt: AppendReceipt {
            events,
            correlation_id: CorrelationId::from(Uuid::from_bytes(correlation_id)),
            replayed: true,
        },
    }))
}

fn appended(row: &rusqlite::Row<'_>) -> Result<AppendedEvent, ReadError> {
    let failed = |error| read_error("find a receipt", error);
    let number: i64 = row.get(0).map_err(failed)?;
    let position = GlobalPosition::try_from(number).unwrap_or_default();
    let damaged = |reason: String| corrupt(position, reason, None);
    let id: [u8; 16] = row.get(1).map_err(failed)?;
    let stream: String = row.get(2).map_err(failed)?;
    let version: i64 = row.get(3).map_err(failed)?;
    Ok(AppendedEvent {
        id: EventId::try_from(Uuid::from_bytes(id)).map_err(|e| damaged(e.to_string()))?,
        stream: StreamId::try_new(&stream).map_err(|e| damaged(e.to_string()))?,
        version: StreamVersion::try_from(version).map_err(|e| damaged(e.to_string()))?,
        position,
    })
}
