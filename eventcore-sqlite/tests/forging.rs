//! The log cannot be rewritten or forged by SQL, whatever statement is tried.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

mod support;

use eventcore::{
    EventStore, IdempotencyKey, StreamVersion,
    store::{AppendBatch, Idempotency},
};
use eventcore_sqlite::{
    SqliteEventStore,
    rusqlite::{self, Connection},
};
use support::{Folder, batch, event, log, stream};

/// A store with four events in two streams, and one of a command with a key.
async fn store(folder: &Folder) -> SqliteEventStore {
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    for version in 0..2 {
        let batch = batch(&[("a", version), ("b", version)], "x");
        store.append(batch).await.unwrap();
    }
    store.append(keyed("k", "c", 0)).await.unwrap();
    store
}

fn keyed(key: &str, name: &str, version: u64) -> AppendBatch {
    let mut batch = AppendBatch::builder();
    let version = StreamVersion::try_new(version).unwrap();
    batch.expect(stream(name), version).unwrap();
    batch.event(&stream(name), event("keyed")).unwrap();
    batch.idempotency(Idempotency {
        key: IdempotencyKey::try_new(key).unwrap(),
        fingerprint: uuid::Uuid::nil(),
    });
    batch.build().unwrap()
}

const EVERY_WAY: [&str; 6] = [
    "INSERT",
    "INSERT OR REPLACE",
    "REPLACE",
    "INSERT OR IGNORE",
    "INSERT OR FAIL",
    "INSERT OR ROLLBACK",
];

#[tokio::test]
async fn an_event_goes_nowhere_but_behind_the_last_one() {
    let folder = Folder::new();
    let store = store(&folder).await;
    let before = log(&store).await;
    let connection = Connection::open(folder.file()).unwrap();
    // Positions 1 to 5 are taken; `a` and `b` are at version 2.
    let forged = [
        ("3", "'a'", "3"),
        ("3", "'b'", "1"),
        ("6", "'a'", "1"),
        ("6", "'a'", "2"),
        ("6", "'a'", "4"),
        ("6", "'a'", "0"),
        ("6", "'new'", "2"),
        ("6", "'new'", "-1"),
        ("5", "'a'", "3"),
        ("7", "'a'", "3"),
        ("5000", "'a'", "3"),
        ("0", "'a'", "3"),
        ("-5", "'a'", "3"),
        ("9223372036854775807", "'a'", "3"),
        ("NULL", "'a'", "3"),
        ("6", "'a'", "9223372036854775807"),
    ];
    for way in EVERY_WAY {
        for upsert in [
            "",
            " ON CONFLICT DO NOTHING",
            " ON CONFLICT DO UPDATE SET payload = x'00'",
        ] {
            for (position, stream, version) in forged {
                let sql = format!(
                    "{way} INTO eventcore_events (position, stream, version, type, schema, id, correlation_id,
                         recorded_at, payload)
                     SELECT {position}, {stream}, {version}, 'forged', 1, x'00', x'00', 0, x'00' WHERE true{upsert}"
                );
                let Err(error) = connection.execute(&sql, []) else {
                    panic!("{sql}");
                };
                assert!(
                    error.to_string().contains("follow on the last one"),
                    "{sql}: {error}"
                );
            }
        }
    }
    assert_eq!(log(&store).await, before);
    store
        .append(batch(&[("a", 2), ("new", 0)], "x"))
        .await
        .unwrap();
    assert_eq!(log(&store).await.len(), before.len() + 2);
}

#[tokio::test]
async fn several_rows_of_one_statement_follow_on_each_other_or_none_is_taken() {
    let folder = Folder::new();
    let store = store(&folder).await;
    let connection = Connection::open(folder.file()).unwrap();
    let insert = |rows: &str| {
        connection.execute(
            &format!(
                "INSERT OR REPLACE INTO eventcore_events (position, stream, version, type, schema, id,
                     correlation_id, recorded_at, payload)
                 SELECT column1, 'a', column2, 'x.y', 1, randomblob(16), randomblob(16), 0, CAST('{{}}' AS BLOB) FROM (VALUES {rows})"
            ),
            [],
        )
    };
    insert("(6, 3), (7, 4), (9, 5)").unwrap_err();
    insert("(6, 3), (7, 3)").unwrap_err();
    let versions =
        "SELECT count(*), max(position), max(version) FROM eventcore_events WHERE stream = 'a'";
    let found = |connection: &Connection| -> (i64, i64, i64) {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        connection.query_row(versions, [], row).unwrap()
    };
    assert_eq!(found(&connection), (2, 3, 2));
    assert_eq!(insert("(6, 3), (7, 4)").unwrap(), 2);
    assert_eq!(found(&connection), (4, 7, 4));
    store.append(batch(&[("a", 4)], "x")).await.unwrap();
}

#[tokio::test]
async fn events_and_commands_are_not_changed_or_deleted() {
    let folder = Folder::new();
    let store = store(&folder).await;
    let connection = Connection::open(folder.file()).unwrap();
    for (sql, says) in [
        ("UPDATE eventcore_events SET version = 9", "never changed"),
        (
            "UPDATE OR REPLACE eventcore_events SET position = 1 WHERE position = 2",
            "never changed",
        ),
        (
            "UPDATE OR IGNORE eventcore_events SET payload = x'00'",
            "never changed",
        ),
        ("DELETE FROM eventcore_events", "never deleted"),
        (
            "DELETE FROM eventcore_events WHERE position = 5",
            "never deleted",
        ),
        ("UPDATE eventcore_commands SET key = 'l'", "never changed"),
        (
            "UPDATE OR REPLACE eventcore_commands SET fingerprint = x'00'",
            "never changed",
        ),
        ("DELETE FROM eventcore_commands", "never deleted"),
        (
            "DELETE FROM eventcore_commands WHERE key = 'k'",
            "never deleted",
        ),
    ] {
        let error = connection.execute(sql, []).unwrap_err().to_string();
        assert!(error.contains(says), "{sql}: {error}");
    }
    for way in EVERY_WAY {
        for upsert in [
            "",
            " ON CONFLICT DO NOTHING",
            " ON CONFLICT DO UPDATE SET events = 0",
        ] {
            let sql = format!(
                "{way} INTO eventcore_commands (key, fingerprint, correlation_id, first_position, events)
                 SELECT 'k', x'00', x'00', 1, 4 WHERE true{upsert}"
            );
            let error = connection.execute(&sql, []).unwrap_err().to_string();
            assert!(error.contains("used once"), "{sql}: {error}");
        }
    }
    let again = store.append(keyed("k", "c", 0)).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.events[0].position.get(), 5);
}

#[tokio::test]
async fn a_trigger_that_leaves_rows_out_makes_appends_fail_and_not_vanish() {
    let folder = Folder::new();
    let store = store(&folder).await;
    let connection = Connection::open(folder.file()).unwrap();
    for table in ["eventcore_events", "eventcore_commands"] {
        connection
            .execute_batch(&format!(
                "CREATE TRIGGER mine BEFORE INSERT ON {table} BEGIN SELECT RAISE(IGNORE); END"
            ))
            .unwrap();
        store.append(keyed("l", "d", 0)).await.unwrap_err();
        connection.execute_batch("DROP TRIGGER mine").unwrap();
        assert_eq!(log(&store).await.len(), 5);
    }
    store.append(keyed("l", "d", 0)).await.unwrap();
}

#[tokio::test]
async fn the_view_shows_every_event_whatever_its_payload_is() {
    let folder = Folder::new();
    let store = store(&folder).await;
    let first = log(&store).await.remove(0);
    let connection = Connection::open(folder.file()).unwrap();
    let odd: [&[u8]; 6] = [
        b"",
        b"\xff\xfe",
        b"no JSON",
        b"{\"text\":",
        b"\x82\xa1\x00",
        b"\"\xc3",
    ];
    for (index, payload) in (0_i64..).zip(odd) {
        connection
            .execute(
                "INSERT INTO eventcore_events (position, stream, version, type, schema, id, correlation_id,
                     causation_id, recorded_at, payload)
                 VALUES (?1, 'odd', ?2, 'x.y', 1, x'0192f0c1d2e37f40a1b2c3d4e5f60718', x'00', ?3, ?4, ?5)",
                (6 + index, 1 + index, b"\xff", i64::MAX, payload),
            )
            .unwrap();
    }
    let mut select = connection
        .prepare(
            "SELECT payload ->> 'text', payload, payload_hex, id, correlation_id, causation_id, recorded_at
             FROM eventcore_log ORDER BY position",
        )
        .unwrap();
    let rows: Vec<[Option<String>; 4]> = select
        .query_map([], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
        })
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(rows.len(), 5 + odd.len());
    let [text, payload, hex, id] = &rows[0];
    assert_eq!(text.as_deref(), Some("x"));
    assert_eq!(payload.as_deref(), Some("{\"text\":\"x\"}"));
    assert_eq!(*hex, None);
    assert_eq!(id.as_deref(), Some(&*first.id().to_string()));
    let [_, payload, hex, id] = &rows[6];
    assert_eq!((payload.as_deref(), hex.as_deref()), (None, Some("FFFE")));
    assert_eq!(id.as_deref(), Some("0192f0c1-d2e3-7f40-a1b2-c3d4e5f60718"));
    let found: (String, Option<String>) = connection
        .query_row(
            "SELECT correlation_id, causation_id FROM eventcore_log WHERE position = 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!(found, (first.correlation_id().to_string(), None));
}
