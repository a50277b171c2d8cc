//! The tables, and who may open them.

use eventcore::store::{StoreError, StoreErrorKind};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::errors::store_error;

/// Tables that are made together, and the record of their version.
#[derive(Debug)]
pub(crate) struct Tables {
    /// The table with the record: one row, with a column `version`.
    pub(crate) record: &'static str,
    /// The version that this crate writes and reads.
    pub(crate) version: i64,
    /// What makes them, the record included.
    pub(crate) sql: &'static str,
}

/// The log of events.
pub(crate) const EVENTS: Tables = Tables {
    record: "eventcore_schema",
    version: 1,
    sql: EVENTS_SQL,
};

/// Every name begins with `eventcore_`, so that an application may keep its own tables in the same file.
///
/// `position` is the row id, so reading the log is reading the table, and every index ends in it. One index by
/// category and type serves filters by either: there are few pairs of both, and their ranges are merged. Text is
/// compared byte for byte (`BINARY`).
const EVENTS_SQL: &str = "
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

impl Tables {
    /// Makes the tables where there are none; safe when several processes do it at once.
    pub(crate) fn prepare(&self, connection: &mut Connection) -> Result<(), StoreError> {
        if self.check(connection)? {
            return Ok(());
        }
        let failed = |error| store_error(OPERATION, error);
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        // Another process may have been faster.
        self.make(&transaction)?;
        transaction.commit().map_err(failed)
    }

    /// The same inside of a transaction that may write.
    pub(crate) fn make(&self, transaction: &Connection) -> Result<(), StoreError> {
        if self.check(transaction)? {
            return Ok(());
        }
        let failed = |error| store_error(OPERATION, error);
        transaction.execute_batch(self.sql).map_err(failed)?;
        let remember = format!("INSERT INTO {} (version) VALUES (?1)", self.record);
        transaction
            .execute(&remember, [self.version])
            .map_err(failed)?;
        Ok(())
    }

    /// Whether the tables are there, and of a version that this crate can use.
    pub(crate) fn check(&self, connection: &Connection) -> Result<bool, StoreError> {
        let failed = |error| store_error(OPERATION, error);
        let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
        let there: Option<i64> = connection
            .query_row(table, [self.record], |row| row.get(0))
            .optional()
            .map_err(failed)?;
        if there.is_none() {
            return Ok(false);
        }
        let recorded = format!("SELECT max(version) FROM {}", self.record);
        let version: Option<i64> = connection
            .query_row(&recorded, [], |row| row.get(0))
            .map_err(failed)?;
        match version {
            Some(version) if version == self.version => Ok(true),
            Some(newer) if newer > self.version => Err(StoreError::new(
                OPERATION,
                StoreErrorKind::Schema,
                format!(
                    "the file has schema version {newer}, this program knows {}: use a newer eventcore-sqlite",
                    self.version
                ),
            )),
            other => Err(StoreError::new(
                OPERATION,
                StoreErrorKind::Schema,
                format!("the file has schema version {other:?}, which never existed"),
            )),
        }
    }
}
