//! The tables of events.

use crate::ledger::Tables;

/// The log of events.
pub(crate) const EVENTS: Tables = Tables {
    what: "events",
    record: "eventcore_schema",
    steps: &[MADE, GUARDED],
};

/// Every name begins with `eventcore_`, so that an application may keep its own tables in the same file.
///
/// `position` is the row id, so reading the log is reading the table, and every index ends in it. One index by
/// category and type serves filters by either: there are few pairs of both, and their ranges are merged. Text is
/// compared byte for byte (`BINARY`).
const MADE: &str = "
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

/// Whatever inserts, events follow on the last one and a key is used once. This also stops `INSERT OR REPLACE`: what it
/// deletes fires no trigger, but it inserts first.
///
/// The view gives the payload as text where it is JSON and otherwise null, since SQL that looks into it would fail as a
/// whole for one payload of another kind.
const GUARDED: &str = "
CREATE TRIGGER eventcore_events_follow BEFORE INSERT ON eventcore_events
WHEN NEW.position IS NOT (SELECT coalesce(max(position), 0) + 1 FROM eventcore_events)
    OR NEW.version IS NOT (SELECT coalesce(max(version), 0) + 1 FROM eventcore_events WHERE stream = NEW.stream)
BEGIN SELECT RAISE(ABORT, 'events follow on the last one of the log and of their stream'); END;

CREATE TRIGGER eventcore_commands_no_update BEFORE UPDATE ON eventcore_commands
BEGIN SELECT RAISE(ABORT, 'commands are never changed'); END;
CREATE TRIGGER eventcore_commands_no_delete BEFORE DELETE ON eventcore_commands
BEGIN SELECT RAISE(ABORT, 'commands are never deleted'); END;
CREATE TRIGGER eventcore_commands_once BEFORE INSERT ON eventcore_commands
WHEN EXISTS (SELECT 1 FROM eventcore_commands WHERE key = NEW.key)
BEGIN SELECT RAISE(ABORT, 'a key is used once'); END;

DROP VIEW eventcore_log;
CREATE VIEW eventcore_log AS
SELECT position, stream, version, type, schema,
    iif(json_valid(CAST(payload AS TEXT)), CAST(payload AS TEXT), NULL) AS payload,
    iif(json_valid(CAST(payload AS TEXT)), NULL, hex(payload)) AS payload_hex,
    metadata,
    strftime('%Y-%m-%dT%H:%M:%fZ', recorded_at / 1000000.0, 'unixepoch') AS recorded_at,
    lower(printf('%s-%s-%s-%s-%s', substr(hex(id), 1, 8), substr(hex(id), 9, 4), substr(hex(id), 13, 4),
        substr(hex(id), 17, 4), substr(hex(id), 21))) AS id,
    lower(printf('%s-%s-%s-%s-%s', substr(hex(correlation_id), 1, 8), substr(hex(correlation_id), 9, 4),
        substr(hex(correlation_id), 13, 4), substr(hex(correlation_id), 17, 4), substr(hex(correlation_id), 21)))
        AS correlation_id,
    iif(causation_id IS NULL, NULL, lower(printf('%s-%s-%s-%s-%s', substr(hex(causation_id), 1, 8),
        substr(hex(causation_id), 9, 4), substr(hex(causation_id), 13, 4), substr(hex(causation_id), 17, 4),
        substr(hex(causation_id), 21)))) AS causation_id
FROM eventcore_events;
";
