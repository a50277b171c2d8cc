//! Versions of the tables: older files are brought up with everything in them, half-gone and foreign ones are refused.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

mod support;

use eventcore::{
    EventStore, IdempotencyKey,
    projection::ProjectionStore,
    store::{StoreError, StoreErrorKind},
};
use eventcore_sqlite::{SqliteEventStore, SqliteOptions, SqliteProjections, rusqlite::Connection};
use support::{Folder, batch, log, views};

/// A file as the first version made it, with two events and a command.
const VERSION_1: &str = "
PRAGMA journal_mode = WAL;
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

INSERT INTO eventcore_schema (version) VALUES (1);
INSERT INTO eventcore_events (position, stream, version, type, schema, id, correlation_id, recorded_at, payload)
VALUES (1, 'a', 1, 'test.happened', 1, x'0192f0c1d2e37f40a1b2c3d4e5f60718', x'0192f0c1d2e37f40a1b2c3d4e5f60719', 0,
        CAST('{}' AS BLOB)),
       (2, 'a', 2, 'test.happened', 1, x'0192f0c1d2e37f40a1b2c3d4e5f60728', x'0192f0c1d2e37f40a1b2c3d4e5f60729', 0,
        CAST('{}' AS BLOB));
INSERT INTO eventcore_commands VALUES ('k', zeroblob(16), x'0192f0c1d2e37f40a1b2c3d4e5f60729', 2, 1);
";

fn version_1(folder: &Folder) -> Connection {
    let connection = Connection::open(folder.file()).unwrap();
    connection.execute_batch(VERSION_1).unwrap();
    connection
}

fn version(connection: &Connection) -> i64 {
    let sql = "SELECT version FROM eventcore_schema";
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

async fn refused(folder: &Folder) -> String {
    let error = SqliteEventStore::open(folder.file()).await.unwrap_err();
    let reading = SqliteOptions::new(folder.file()).read_only();
    let error_of_reading = SqliteEventStore::open_with(reading).await.unwrap_err();
    assert_eq!(
        error_of_reading.kind(),
        StoreErrorKind::Schema,
        "{error_of_reading}"
    );
    told(&error)
}

fn told(error: &StoreError) -> String {
    assert_eq!(error.kind(), StoreErrorKind::Schema, "{error}");
    let text = error.to_string();
    assert!(
        !text.contains("CREATE"),
        "the error is no list of SQL: {text}"
    );
    text
}

#[tokio::test]
async fn a_file_of_the_first_version_is_brought_up_with_everything_in_it() {
    let folder = Folder::new();
    let connection = version_1(&folder);
    let reader = SqliteOptions::new(folder.file()).read_only();
    let reader = SqliteEventStore::open_with(reader).await.unwrap();
    assert_eq!(log(&reader).await.len(), 2);
    assert_eq!(version(&connection), 1, "reading changes nothing");

    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    assert_eq!(version(&connection), 2);
    let key = IdempotencyKey::try_new("k").unwrap();
    let kept = store.find_receipt(&key).await.unwrap().unwrap();
    assert_eq!(kept.receipt.events[0].position.get(), 2);
    store.append(batch(&[("a", 2)], "x")).await.unwrap();
    assert_eq!(log(&store).await.len(), 3);
    assert_eq!(log(&reader).await.len(), 3, "a reader of before goes on");
    let forged = connection.execute(
        "REPLACE INTO eventcore_commands VALUES ('k', '', '', 1, 1)",
        [],
    );
    forged.unwrap_err();
    let sql = "SELECT id FROM eventcore_log WHERE position = 1";
    let id: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(id, "0192f0c1-d2e3-7f40-a1b2-c3d4e5f60718");
    store.close().await;
    reader.close().await;
    SqliteEventStore::open(folder.file()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_bring_a_file_up_at_once() {
    let folder = Folder::new();
    drop(version_1(&folder));
    let opened: Vec<_> = (0..8)
        .map(|_| tokio::spawn(SqliteEventStore::open(folder.file())))
        .collect();
    for store in opened {
        assert_eq!(log(&store.await.unwrap().unwrap()).await.len(), 2);
    }
}

#[tokio::test]
async fn a_writer_of_the_first_version_goes_on_beside_a_newer_one() {
    let folder = Folder::new();
    let old = version_1(&folder);
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    // What the first version's appends are.
    let append =
        "INSERT INTO eventcore_events (position, stream, version, type, schema, id, correlation_id,
                      recorded_at, payload)
                  VALUES (3, 'a', 3, 'test.happened', 1, x'0192f0c1d2e37f40a1b2c3d4e5f60738',
                      x'0192f0c1d2e37f40a1b2c3d4e5f60739', 0, CAST('{}' AS BLOB))";
    old.execute(append, []).unwrap();
    store.append(batch(&[("a", 3)], "x")).await.unwrap();
    assert_eq!(log(&store).await.len(), 4);
}

#[tokio::test]
async fn a_file_that_lost_a_part_is_refused_and_the_part_is_named() {
    for (drop, name) in [
        ("TRIGGER", "eventcore_events_no_update"),
        ("TRIGGER", "eventcore_events_no_delete"),
        ("TRIGGER", "eventcore_events_follow"),
        ("TRIGGER", "eventcore_commands_once"),
        ("INDEX", "eventcore_events_by_stream"),
        ("INDEX", "eventcore_events_by_kind"),
        ("VIEW", "eventcore_log"),
        ("TABLE", "eventcore_commands"),
        ("TABLE", "eventcore_events"),
    ] {
        let folder = Folder::new();
        let store = SqliteEventStore::open(folder.file()).await.unwrap();
        store.close().await;
        let connection = Connection::open(folder.file()).unwrap();
        connection
            .execute_batch(&format!("DROP {drop} {name}"))
            .unwrap();
        let text = refused(&folder).await;
        let missing = format!("{} `{name}` is missing", drop.to_lowercase());
        assert!(text.contains(&missing), "{text}");
    }
}

#[tokio::test]
async fn every_part_that_is_gone_or_changed_is_named_at_once() {
    let folder = Folder::new();
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    store.close().await;
    let connection = Connection::open(folder.file()).unwrap();
    connection
        .execute_batch(
            "DROP TRIGGER eventcore_events_no_update; DROP INDEX eventcore_events_by_kind;
             DROP TRIGGER eventcore_events_no_delete;
             CREATE TRIGGER eventcore_events_no_delete BEFORE DELETE ON eventcore_events BEGIN SELECT 1; END;
             ALTER TABLE eventcore_commands ADD COLUMN mine TEXT",
        )
        .unwrap();
    let text = refused(&folder).await;
    for part in [
        "trigger `eventcore_events_no_update` is missing",
        "index `eventcore_events_by_kind` is missing",
        "trigger `eventcore_events_no_delete` has another definition",
        "table `eventcore_commands` has another definition",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn tables_of_another_application_with_these_names_are_refused_and_left_alone() {
    for sql in [
        "CREATE TABLE eventcore_events (mine TEXT)",
        "CREATE TABLE EventCore_Events (mine TEXT)",
        "CREATE VIEW eventcore_log AS SELECT 1",
        "CREATE TABLE mine (x); CREATE INDEX eventcore_events_by_kind ON mine (x)",
        "CREATE TABLE eventcore_schema (mine TEXT)",
        "CREATE TABLE eventcore_schema (version TEXT); INSERT INTO eventcore_schema VALUES ('1.0')",
        "CREATE TABLE eventcore_schema (version INTEGER)",
        "CREATE TABLE eventcore_schema (version INTEGER); INSERT INTO eventcore_schema VALUES (2)",
        "CREATE TABLE eventcore_schema (version INTEGER); INSERT INTO eventcore_schema VALUES (0)",
    ] {
        let folder = Folder::new();
        let connection = Connection::open(folder.file()).unwrap();
        connection.execute_batch(sql).unwrap();
        let before = objects(&connection);
        let text = refused(&folder).await;
        assert!(
            text.contains("eventcore_") || text.contains("never existed"),
            "{sql}: {text}"
        );
        assert_eq!(objects(&connection), before, "{sql}");
        let mode: String = connection
            .query_row("PRAGMA journal_mode", [], |row| row.get(0))
            .unwrap();
        assert_eq!(mode, "delete", "{sql}");
    }
}

#[tokio::test]
async fn a_name_that_a_newer_version_needs_is_refused_when_it_is_taken() {
    let folder = Folder::new();
    let connection = version_1(&folder);
    connection
        .execute_batch("CREATE TABLE eventcore_commands_once (mine TEXT)")
        .unwrap();
    let error = SqliteEventStore::open(folder.file()).await.unwrap_err();
    let text = told(&error);
    assert!(text.contains("eventcore_commands_once"), "{text}");
    assert_eq!(version(&connection), 1);
}

fn objects(connection: &Connection) -> Vec<String> {
    let sql = "SELECT name FROM sqlite_schema ORDER BY name";
    let mut select = connection.prepare(sql).unwrap();
    let names = select.query_map([], |row| row.get(0)).unwrap();
    names.map(Result::unwrap).collect()
}

#[tokio::test]
async fn tables_of_projections_are_checked_like_those_of_events() {
    let folder = Folder::new();
    SqliteProjections::open(folder.file())
        .await
        .unwrap()
        .close()
        .await;
    let connection = Connection::open(folder.file()).unwrap();
    connection
        .execute_batch("DROP INDEX eventcore_projections_active")
        .unwrap();
    let error = SqliteProjections::open(folder.file()).await.unwrap_err();
    let text = told(&error);
    assert!(
        text.contains("index `eventcore_projections_active` is missing"),
        "{text}"
    );

    let folder = Folder::new();
    let connection = Connection::open(folder.file()).unwrap();
    connection
        .execute_batch("CREATE TABLE eventcore_documents (mine TEXT)")
        .unwrap();
    let error = SqliteProjections::open(folder.file()).await.unwrap_err();
    assert!(told(&error).contains("eventcore_documents"), "{error}");
}

#[tokio::test]
async fn whitespace_in_a_definition_makes_no_difference() {
    let folder = Folder::new();
    let store = SqliteProjections::open(folder.file()).await.unwrap();
    store.close().await;
    let connection = Connection::open(folder.file()).unwrap();
    connection
        .execute_batch(
            "DROP INDEX eventcore_projections_active;
             CREATE UNIQUE INDEX eventcore_projections_active   ON eventcore_projections (name)
                 WHERE active = 1",
        )
        .unwrap();
    let store = SqliteProjections::open(folder.file()).await.unwrap();
    assert_eq!(store.standings(&views::name()).await.unwrap().len(), 0);
}
