//! Making the tables, finding them fit or not, and what the database itself refuses.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by a panic"
)]

mod support;

use eventcore::{
    EventStore,
    store::{StoreError, StoreErrorKind},
};
use eventcore_postgres::{PostgresEventStore, PostgresOptions, SchemaName};
use eventcore_testing::temp_postgres::{TempDatabase, TempPostgres};
use support::{batch, log, migrated, open, pool};

fn empty() -> TempDatabase<'static> {
    TempPostgres::shared().unwrap().database().unwrap()
}

async fn opening(database: &TempDatabase<'_>) -> Result<PostgresEventStore, StoreError> {
    PostgresEventStore::connect(&database.url(), PostgresOptions::new()).await
}

/// The store must be refused for its schema, with words that help.
async fn refused(database: &TempDatabase<'_>, words: &[&str]) {
    let error = opening(database).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Schema, "{error}");
    let told = error.to_string();
    for word in words {
        assert!(told.contains(word), "{word:?} is not in: {told}");
    }
    assert!(!error.is_retriable());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_migrate_at_once_and_again() {
    let database = empty();
    // The worst default: whoever waits would see the tables as they were before it waited.
    let serializable = "ALTER DATABASE {} SET default_transaction_isolation = 'serializable'";
    database
        .sql(&serializable.replace("{}", database.name()))
        .unwrap();
    let app = pool(&database.url(), 8).await;
    for _ in 0..2 {
        let migrating = (0..8).map(|number| {
            let (url, app) = (database.url(), app.clone());
            tokio::spawn(async move {
                let options = PostgresOptions::new();
                if number % 2 == 0 {
                    PostgresEventStore::migrate(&url, &options).await
                } else {
                    PostgresEventStore::migrate_pool(&app, &options).await
                }
            })
        });
        for migrated in migrating.collect::<Vec<_>>() {
            migrated.await.unwrap().unwrap();
        }
    }
    let steps = "SELECT count(*), count(DISTINCT version), max(version) FROM eventcore.migrations";
    assert_eq!(database.sql(steps).unwrap(), "4|4|4");
    assert!(opening(&database).await.is_ok());
}

#[tokio::test]
async fn a_missing_schema_is_named_with_the_remedy() {
    refused(&empty(), &["migrate"]).await;
}

#[tokio::test]
async fn an_older_schema_is_named_with_the_remedy() {
    let database = migrated();
    database
        .sql("DELETE FROM eventcore.migrations WHERE version > 1")
        .unwrap();
    refused(&database, &["version 1", "needs 4", "run `migrate`"]).await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_also_by_migrate() {
    let database = migrated();
    database
        .sql("INSERT INTO eventcore.migrations VALUES (5)")
        .unwrap();
    refused(
        &database,
        &["version 5", "knows 4", "newer eventcore-postgres"],
    )
    .await;
    let options = PostgresOptions::new();
    let error = PostgresEventStore::migrate(&database.url(), &options)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Schema, "{error}");
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing() {
    let database = empty();
    // In the way of the third step.
    let mine = "CREATE SCHEMA eventcore; CREATE TYPE eventcore.dead_letters AS (mine int)";
    database.sql(mine).unwrap();
    let options = PostgresOptions::new();
    PostgresEventStore::migrate(&database.url(), &options)
        .await
        .unwrap_err();
    let there = "SELECT to_regclass('eventcore.events'), to_regclass('eventcore.migrations')";
    assert_eq!(database.sql(there).unwrap(), "|");
    database.sql("DROP TYPE eventcore.dead_letters").unwrap();
    PostgresEventStore::migrate(&database.url(), &options)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_schema_can_have_another_name_even_a_key_word() {
    let database = empty();
    for (name, events) in [("billing", 1), ("select", 2)] {
        let options = PostgresOptions::new().schema(SchemaName::try_new(name).unwrap());
        PostgresEventStore::migrate(&database.url(), &options)
            .await
            .unwrap();
        let store = PostgresEventStore::connect(&database.url(), options)
            .await
            .unwrap();
        for number in 0..events {
            store.append(batch(&[("a", number)], "1")).await.unwrap();
        }
        assert_eq!(log(&store).await.len() as u64, events);
    }
    assert_eq!(
        database
            .sql("SELECT to_regnamespace('eventcore') IS NULL")
            .unwrap(),
        "t"
    );
}

#[tokio::test]
async fn the_migrations_of_the_application_are_not_touched() {
    let database = empty();
    let own = "CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY, note text);
        INSERT INTO _sqlx_migrations VALUES (1, 'mine')";
    database.sql(own).unwrap();
    PostgresEventStore::migrate(&database.url(), &PostgresOptions::new())
        .await
        .unwrap();
    assert_eq!(
        database.sql("SELECT * FROM _sqlx_migrations").unwrap(),
        "1|mine"
    );
    let elsewhere = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE relkind IN ('r', 'v') AND relname <> '_sqlx_migrations'
        AND nspname NOT IN ('eventcore', 'pg_catalog', 'information_schema', 'pg_toast')";
    assert_eq!(database.sql(elsewhere).unwrap(), "0");
}

#[tokio::test]
async fn events_are_never_changed_whoever_asks() {
    let database = migrated();
    let store = open(&database).await;
    store
        .append(batch(&[("a", 0), ("b", 0)], "1"))
        .await
        .unwrap();
    for change in [
        "UPDATE eventcore.events SET type = 'x'",
        "UPDATE eventcore.events SET type = 'x' WHERE position = 99",
        "DELETE FROM eventcore.events WHERE position = 2",
        "TRUNCATE eventcore.events",
        "TRUNCATE eventcore.events CASCADE",
        "DELETE FROM eventcore.commands",
        "UPDATE eventcore.commands SET events = 0",
    ] {
        let error = database.sql(change).unwrap_err().to_string();
        assert!(error.contains("events are never changed"), "{error}");
    }
    assert_eq!(log(&store).await.len(), 2);
}

#[tokio::test]
async fn the_log_can_be_read_by_people() {
    let database = migrated();
    open(&database)
        .await
        .append(batch(&[("a", 0)], "é \\u0000"))
        .await
        .unwrap();
    let view = "SELECT position, stream, version, type, payload::json ->> 'text',
        recorded_at > now() - interval '1 minute' FROM eventcore.log";
    let row = database.sql(view).unwrap();
    assert!(row.starts_with("1|a|1|test.happened|é "), "{row}");
    assert!(row.ends_with("|t"), "{row}");
}

#[tokio::test]
async fn a_payload_that_is_no_text_hides_no_other() {
    use eventcore::{EncodedEvent, EventType, Payload, SchemaVersion, StreamVersion};
    let database = migrated();
    let store = open(&database).await;
    let stream = support::stream("a");
    let mut append = eventcore::store::AppendBatch::builder();
    append.expect(stream.clone(), StreamVersion::EMPTY).unwrap();
    for payload in [&b"{\"text\":\"1\"}"[..], b"\xff\xfe", b"", b"\0"] {
        let payload = Payload::from(payload.to_vec());
        let event_type = EventType::try_new("test.happened").unwrap();
        let event = EncodedEvent::new(event_type, SchemaVersion::FIRST, payload);
        append.event(&stream, event).unwrap();
    }
    store.append(append.build().unwrap()).await.unwrap();
    let view =
        "SELECT payload, payload IS NULL, payload_bytes FROM eventcore.log ORDER BY position";
    let rows = database.sql(view).unwrap();
    let rows: Vec<_> = rows.lines().collect();
    assert_eq!(rows[0], "{\"text\":\"1\"}|f|\\x7b2274657874223a2231227d");
    assert_eq!(rows[1..], ["|t|\\xfffe", "|f|\\x", "|t|\\x00"]);
}

#[tokio::test]
async fn tables_of_another_application_are_named_in_one_line() {
    for foreign in [
        "CREATE TABLE eventcore.events (id int)",
        "CREATE VIEW eventcore.documents AS SELECT 1",
        "CREATE TABLE eventcore.migrations (id int, name text)",
        "CREATE TABLE eventcore.migrations (version text)",
    ] {
        let database = empty();
        database
            .sql(&format!("CREATE SCHEMA eventcore; {foreign}"))
            .unwrap();
        let options = PostgresOptions::new();
        let migrated = PostgresEventStore::migrate(&database.url(), &options).await;
        let migrated = migrated.unwrap_err();
        let told = migrated.to_string();
        assert!(
            told.contains("another application") && told.contains("schema `eventcore`"),
            "{told}"
        );
        for error in [migrated, opening(&database).await.unwrap_err()] {
            let told = error.to_string();
            assert_eq!(error.kind(), StoreErrorKind::Schema, "{told}");
            assert!(!told.contains('\n') && told.len() < 300, "{told}");
        }
    }
}

#[tokio::test]
async fn opening_looks_whether_everything_is_there_and_migrate_makes_what_it_can() {
    for (gone, named, made_again) in [
        (
            "DROP FUNCTION eventcore.append_one",
            "function append_one/15",
            true,
        ),
        ("DROP FUNCTION eventcore.schema_name", "schema_name", true),
        (
            "DROP FUNCTION eventcore.commit_unit",
            "function commit_unit/22",
            true,
        ),
        (
            "DROP TRIGGER append_only ON eventcore.events",
            "trigger append_only on events",
            true,
        ),
        (
            "DROP TRIGGER append_by_function ON eventcore.commands",
            "append_by_function on commands",
            true,
        ),
        ("DROP VIEW eventcore.log", "relation log", true),
        (
            "ALTER TABLE eventcore.commands RENAME COLUMN key_text TO words",
            "column commands.key_text",
            false,
        ),
        (
            "ALTER TABLE eventcore.documents ALTER body TYPE varchar",
            "column documents.body",
            false,
        ),
        (
            "DROP TABLE eventcore.append_order",
            "relation append_order",
            false,
        ),
        (
            "DROP TABLE eventcore.events CASCADE",
            "relation events",
            false,
        ),
    ] {
        let database = migrated();
        let drop = gone.replace(
            "ALTER TABLE eventcore.documents",
            "DROP VIEW eventcore.views; ALTER TABLE eventcore.documents",
        );
        database.sql(&drop).unwrap();
        refused(&database, &[named, "run `migrate`"]).await;
        let options = PostgresOptions::new();
        let migrated = PostgresEventStore::migrate(&database.url(), &options).await;
        if !made_again {
            assert_eq!(
                migrated.unwrap_err().kind(),
                StoreErrorKind::Schema,
                "{gone}"
            );
            continue;
        }
        migrated.unwrap();
        let store = opening(&database).await.unwrap();
        store.append(batch(&[("a", 0)], "1")).await.unwrap();
        let error = database.sql("DELETE FROM eventcore.events").unwrap_err();
        assert!(error.to_string().contains("never changed"), "{error}");
    }
}

#[tokio::test]
async fn row_security_that_hides_events_is_refused() {
    let database = migrated();
    let role = format!("role_of_{}", database.name());
    let secure = "ALTER TABLE eventcore.events ENABLE ROW LEVEL SECURITY; CREATE ROLE {} LOGIN;
        SELECT eventcore.grant_access('{}', 'append')";
    database.sql(&secure.replace("{}", &role)).unwrap();
    let session = format!("SET SESSION AUTHORIZATION {role}");
    let as_role = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .after_connect(move |connection, _| {
            let sql = sqlx::AssertSqlSafe(session.clone());
            Box::pin(async move {
                sqlx::Executor::execute(connection, sqlx::raw_sql(sql))
                    .await
                    .map(drop)
            })
        });
    let limited = as_role.connect(&database.url()).await.unwrap();
    let opened = PostgresEventStore::from_pool(limited, PostgresOptions::new()).await;
    let error = opened.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Schema, "{error}");
    assert!(error.to_string().contains("row security"), "{error}");
    database
        .sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"))
        .unwrap();
}
