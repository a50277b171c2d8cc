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
