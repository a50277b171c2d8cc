//! One batch inside the writer's transaction: checked, then inserted.

use eventcore::{
    CorrelationId, EventId, GlobalPosition, StreamId, StreamVersion,
    store::{
        AppendBatch, AppendError, AppendReceipt, AppendedEvent, Conflict, Idempotency, KeptReceipt,
        ReadError, StoreError, StoreErrorKind, StreamConflict,
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
    }
    if let Some(conflict) = Conflict::new(moved) {
        return Ok(match appended_before(connection, batch)? {
            Some(receipt) => Ok(receipt),
            None => Err(conflict.into()),
        });
    }
    let end = match *known_end {
        Some(end) => end,
        None => last_position(connection)?,
    };
    match pass.take(connection, end, || batch.recorded(end)) {
        Ok(()) => {}
        Err(Refused::Append(error)) => return Ok(Err(error)),
        Err(Refused::Transaction(trouble)) => return Err(trouble),
    }
    insert(connection, batch, end)?;
    *known_end = Some(end.advanced(batch.events().len() as u64));
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
            i64::try_from(batch.events().len()).unwrap_or(i64::MAX),
        ])?)?;
    }
    Ok(Ok(batch.receipt(end)))
}

fn insert(
    connection: &Connection,
    batch: &AppendBatch,
    end: GlobalPosition,
) -> Result<(), rusqlite::Error> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO eventcore_events (position, stream, version, type, schema, id, correlation_id,
             causation_id, recorded_at, metadata, payload)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    let causation_id = batch.causation_id();
    for (event, version, position) in batch.places(end) {
        // A trigger of the application's could leave the row out without an error.
        exactly_one(insert.execute(params![
            position.to_i64(),
            batch.stream_of(event).as_str(),
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
    }
    Ok(())
}

/// The receipt of a batch without a key that is in the log already.
fn appended_before(
    connection: &Connection,
    batch: &AppendBatch,
) -> Result<Option<AppendReceipt>, rusqlite::Error> {
    let Some((stream, version, id)) = batch.trace() else {
        return Ok(None);
    };
    let found = event_at(connection, stream, version)?.filter(|(_, found)| *found == id);
    Ok(found.map(|(position, _)| batch.replayed(position)))
}

/// Where the event of a stream at a version stands, and which it is.
pub(crate) fn event_at(
    connection: &Connection,
    stream: &StreamId,
    version: StreamVersion,
) -> Result<Option<(GlobalPosition, EventId)>, rusqlite::Error> {
    if version.is_empty() {
        return Ok(None);
    }
    let mut select = connection.prepare_cached(
        "SELECT position, id FROM eventcore_events WHERE stream = ?1 AND version = ?2",
    )?;
    let found: Option<(i64, [u8; 16])> = select
        .query_row(params![stream.as_str(), version.to_i64()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    Ok(found.and_then(|(position, id)| {
        let position = GlobalPosition::try_from(position).ok()?;
        Some((position, EventId::try_from(Uuid::from_bytes(id)).ok()?))
    }))
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

/// The last event of a stream: its version and which it is.
pub(crate) fn last_event(
    connection: &Connection,
    stream: &StreamId,
) -> Result<Option<(StreamVersion, EventId)>, rusqlite::Error> {
    let mut select = connection.prepare_cached(
        "SELECT version, id FROM eventcore_events WHERE stream = ?1 ORDER BY version DESC LIMIT 1",
    )?;
    let found: Option<(i64, [u8; 16])> = select
        .query_row([stream.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found.and_then(|(version, id)| {
        let version = StreamVersion::try_from(version).ok()?;
        Some((version, EventId::try_from(Uuid::from_bytes(id)).ok()?))
    }))
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
