//! The tables, and who may open them.

use eventcore::store::{StoreError, StoreErrorKind};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::errors::store_error;

/// The version that this crate writes and reads.
const VERSION: i64 = 1;

/// Every name begins with `eventcore_`, so that an application may keep its own tables in the same file.
///
/// `position` is the row id, so reading the log is reading the table, and every index ends in it. One index by
/// category and type serves filters by either: there are few pairs of both, and their ranges are merged. Text is
/// compared byte for byte (`BINARY`).
const TABLES: &str = "
CREATE TABLE eventcore_schema (
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE eventcore_events (
    position INTEGER PRIMARY KEY CHECK (position > 0),
    stream TEXT NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    type TEXT NOT NULL,
    schema INTEGER NOT NULL,
    id BLOB NOT NULL,
    correlation_id BLOB NOT NULL,
    causation_id BLOB,
    recorded_at INTEGER NOT NULL,
    metadata TEXT,
    payload BLOB NOT NULL,
    category TEXT NOT NULL GENERATED ALWAYS AS (substr(stream, 1, instr(stream || ':', ':') - 1)) VIRTUAL
) STRICT;

CREATE UNIQUE INDEX eventcore_events_by_stream ON eventcore_events (stream, version);
CREATE INDEX eventcore_events_by_kind ON eventcore_events (category, type);

CREATE TABLE eventcore_commands (
    key TEXT PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    correlation_id BLOB NOT NULL,
    first_position INTEGER NOT NULL,
    events INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER eventcore_events_no_update BEFORE UPDATE ON eventcore_events
BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;
CREATE TRIGGER eventcore_events_no_delete BEFORE DELETE ON eventcore_events
BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;

CREATE VIEW eventcore_log AS
SELECT position, stream, version, type, schema, CAST(payload AS TEXT) AS payload, metadata,
    strftime('%Y-%m-%dT%H:%M:%fZ', recorded_at / 1000000.0, 'unixepoch') AS recorded_at
FROM eventcore_events;
";

const OPERATION: &str = "open the store";

/// Makes the tables where there are none; safe when several processes do it at once.
pub(crate) fn prepare(connection: &mut Connection) -> Result<(), StoreError> {
    if check(connection)? {
        return Ok(());
    }
    let failed = |error| store_error(OPERATION, error);
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    // Another process may have been faster.
    if !check(&transaction)? {
        transaction.execute_batch(TABLES).map_err(failed)?;
        transaction
            .execute(
                "INSERT INTO eventcore_schema (version) VALUES (?1)",
                [VERSION],
            )
            .map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

/// Whether the tables are there, and of a version that this crate can use.
pub(crate) fn check(connection: &Connection) -> Result<bool, StoreError> {
    let failed = |error| store_error(OPERATION, error);
    let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'eventcore_schema'";
    let there: Option<i64> = connection
        .query_row(table, [], |row| row.get(0))
        .optional()
        .map_err(failed)?;
    if there.is_none() {
        return Ok(false);
    }
    let version: Option<i64> = connection
        .query_row("SELECT max(version) FROM eventcore_schema", [], |row| {
            row.get(0)
        })
        .map_err(failed)?;
    match version {
        Some(VERSION) => Ok(true),
        Some(newer) if newer > VERSION => Err(StoreError::new(
            OPERATION,
            StoreErrorKind::Schema,
            format!(
                "the file has schema version {newer}, this program knows {VERSION}: use a newer eventcore-sqlite"
            ),
        )),
        other => Err(StoreError::new(
            OPERATION,
            StoreErrorKind::Schema,
            format!("the file has schema version {other:?}, which never existed"),
        )),
    }
}
