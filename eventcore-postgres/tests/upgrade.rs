//! A database of schema version 3, as programs left it, under this version; and dumps.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

mod support;

use std::{
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use eventcore::{
    EventStore, IdempotencyKey,
    store::{ReadFrom, StoreErrorKind},
};
use eventcore_postgres::{PostgresEventStore, PostgresOptions};
use eventcore_testing::temp_postgres::{TempDatabase, TempPostgres};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use support::{batch, log, migrated, open, stream};

/// The steps up to version 3.
const OLD: [&str; 3] = [
    include_str!("../src/sql/001_events.sql"),
    include_str!("../src/sql/002_append.sql"),
    include_str!("../src/sql/003_projections.sql"),
];

/// As `migrate` of version 3 left it.
fn of_version_3(schema: &str) -> TempDatabase<'static> {
    let database = TempPostgres::shared().unwrap().database().unwrap();
    let mut sql = format!(
        "CREATE SCHEMA {schema}; CREATE TABLE {schema}.migrations (
            version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now()
        );"
    );
    for (step, number) in OLD.iter().zip(1..) {
        sql.push_str(
            &step
                .replace("{schema_text}", schema)
                .replace("{schema}", schema),
        );
        let note = format!("INSERT INTO {schema}.migrations (version) VALUES ({number});");
        sql.push_str(&note);
    }
    database.sql(&sql).unwrap();
    database
}

/// A call as programs of version 3 make it: one event, under a key if there is one.
fn old_append(stream: &str, version: u64, key: &str) -> String {
    format!(
        "SELECT eventcore.append_one('{stream}', {version}, {version} + 1, 'test.happened', 1,
            '{}', '{{\"text\":\"old\"}}', {key}, NULL, '{}', gen_random_uuid(), NULL, 0, NULL)",
        uuid::Uuid::from(eventcore::EventId::generate()),
        uuid::Uuid::nil(),
    )
}

async fn migrate(database: &TempDatabase<'_>) {
    PostgresEventStore::migrate(&database.url(), &PostgresOptions::new())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_of_version_3_is_kept_and_goes_on() {
    let database = of_version_3("eventcore");
    let key = "3f2a9a1c-5b0e-4d5e-8f53-2a62f9f1a3b7";
    database
        .sql(&old_append("a", 0, &format!("'{key}'")))
        .unwrap();
    database.sql(&old_append("a", 1, "NULL")).unwrap();
    let opened = PostgresEventStore::connect(&database.url(), PostgresOptions::new()).await;
    let error = opened.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Schema);
    assert!(error.to_string().contains("version 3"), "{error}");
    migrate(&database).await;
    migrate(&database).await;
    let store = open(&database).await;
    let kept = store
        .find_receipt(&IdempotencyKey::try_new(key).unwrap())
        .await
        .unwrap();
    assert_eq!(kept.unwrap().receipt.events[0].position.get(), 1);
    store
        .append(batch(&[("a", 2), ("b", 0)], "new"))
        .await
        .unwrap();
    let texts: Vec<_> = log(&store).await.iter().map(support::text).collect();
    assert_eq!(texts, ["old", "old", "new", "new"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_of_version_3_goes_on_beside_the_new_one() {
    let database = of_version_3("eventcore");
    let mut old = PgConnection::connect(&database.url()).await.unwrap();
    // A statement that it has prepared already.
    let prepared = "SELECT eventcore.append_one($1, $2, $2 + 1, 'test.happened', 1, $3,
        '{\"text\":\"old\"}', NULL, NULL, NULL, gen_random_uuid(), NULL, 0, NULL)";
    let append = |version: i64| {
        let id = uuid::Uuid::from(eventcore::EventId::generate());
        sqlx::query(prepared).bind("old").bind(version).bind(id)
    };
    append(0).execute(&mut old).await.unwrap();
    migrate(&database).await;
    let store = open(&database).await;
    // It takes the new lock: while it has not committed, the new program waits.
    let mut transaction = old.begin().await.unwrap();
    append(1).execute(&mut *transaction).await.unwrap();
    let appending = tokio::spawn({
        let store = store.clone();
        async move { store.append(batch(&[("new", 0)], "new")).await }
    });
    until(&database, support::WAIT_FOR_ORDER, "1").await;
    transaction.commit().await.unwrap();
    assert_eq!(
        appending.await.unwrap().unwrap().events[0].position.get(),
        3
    );
    assert_eq!(log(&store).await.len(), 3);
}

/// Waits until a statement gives this.
async fn until(database: &TempDatabase<'_>, sql: &str, wanted: &str) {
    while tokio::task::block_in_place(|| database.sql(sql)).unwrap() != wanted {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_waits_while_the_functions_are_replaced_is_refused_and_may_be_repeated() {
    let database = of_version_3("eventcore");
    let mut holder = PgConnection::connect(&database.url()).await.unwrap();
    let mut holding = holder.begin().await.unwrap();
    // Within the old function, in front of its lock.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('eventcore.order.eventcore', 0))")
        .execute(&mut *holding)
        .await
        .unwrap();
    let mut waiting = Vec::new();
    let url = database.url();
    let migrating =
        tokio::spawn(
            async move { PostgresEventStore::migrate(&url, &PostgresOptions::new()).await },
        );
    let blocked = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    until(&database, blocked, "1").await;
    for number in 0..2 {
        let mut old = PgConnection::connect(&database.url()).await.unwrap();
        let call = old_append(&format!("s:{number}"), 0, "NULL");
        waiting.push(tokio::spawn(async move {
            sqlx::query(AssertSqlSafe(call)).execute(&mut old).await
        }));
        until(&database, blocked, &(number + 2).to_string()).await;
    }
    // The migration is first in the line.
    holding.commit().await.unwrap();
    migrating.await.unwrap().unwrap();
    for append in waiting {
        let error = append.await.unwrap().unwrap_err();
        let error = error.as_database_error().unwrap();
        assert_eq!(error.code().as_deref(), Some("40001"), "{error}");
        assert!(error.message().contains("replaced"), "{error}");
    }
    assert!(log(&open(&database).await).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_of_version_3_keep_what_they_could_do_and_lose_the_right_to_insert() {
    let database = of_version_3("eventcore");
    let role = format!("role_of_{}", database.name());
    let grant = "CREATE ROLE {} LOGIN;
        GRANT USAGE ON SCHEMA eventcore TO {};
        GRANT SELECT, INSERT ON eventcore.events, eventcore.commands TO {};
        GRANT SELECT ON eventcore.migrations TO {}";
    database.sql(&grant.replace("{}", &role)).unwrap();
    migrate(&database).await;
    let session = role.clone();
    // From a superuser's session, since the server may not let that role in.
    let as_role = sqlx::postgres::PgPoolOptions::new()
        .max_connections(3)
        .after_connect(move |connection, _| {
            let sql = format!("SET SESSION AUTHORIZATION {session}");
            Box::pin(async move {
                sqlx::Executor::execute(connection, sqlx::raw_sql(AssertSqlSafe(sql))).await?;
                Ok(())
            })
        });
    let limited = as_role.connect(&database.url()).await.unwrap();
    let options = PostgresOptions::new();
    // Nothing to do, so no rights are needed.
    PostgresEventStore::migrate_pool(&limited, &options)
        .await
        .unwrap();
    let store = PostgresEventStore::from_pool(limited.clone(), options)
        .await
        .unwrap();
    store.append(batch(&[("a", 0)], "1")).await.unwrap();
    assert_eq!(log(&store).await.len(), 1);
    let insert = "INSERT INTO eventcore.events SELECT * FROM eventcore.events";
    let error = sqlx::query(insert).execute(&limited).await.unwrap_err();
    assert!(error.to_string().contains("permission denied"), "{error}");
    let other = eventcore_postgres::SchemaName::try_new("other").unwrap();
    let other = PostgresOptions::new().schema(other);
    let error = PostgresEventStore::migrate_pool(&limited, &other)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Access, "{error}");
    // Roles are the server's, and this may be one that stays.
    database
        .sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"))
        .unwrap();
}

/// Nothing where the server's programs are not in the path.
fn dump(database: &TempDatabase<'_>, options: &[&str]) -> Option<String> {
    Command::new("psql").arg("--version").output().ok()?;
    Command::new("pg_dump").arg("--version").output().ok()?;
    let output = Command::new("pg_dump")
        .args(options)
        .args(["--schema=eventcore", "-d", &database.url()])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_of_all_and_one_of_the_rows_can_be_restored() {
    let source = migrated();
    let store = open(&source).await;
    for number in 0..3 {
        store.append(batch(&[("a", number)], "1")).await.unwrap();
    }
    let before = log(&store).await;
    let Some(whole) = dump(&source, &[]) else {
        return println!("skipped: no `pg_dump`");
    };
    let target = TempPostgres::shared().unwrap().database().unwrap();
    restore(&target, &whole);

    let rows = dump(
        &source,
        &[
            "--data-only",
            "--disable-triggers",
            "--exclude-table=eventcore.migrations",
        ],
    );
    let second = migrated();
    restore(&second, &rows.unwrap());
    for restored in [target, second] {
        let store = open(&restored).await;
        assert_eq!(log(&store).await, before);
        let streams = [ReadFrom::start(stream("a"))];
        assert_eq!(store.read(&streams).await.unwrap().versions[0].get(), 3);
        store.append(batch(&[("a", 3)], "2")).await.unwrap();
        // What guards it was restored too.
        let error = restored.sql("DELETE FROM eventcore.events").unwrap_err();
        assert!(error.to_string().contains("never changed"), "{error}");
        let insert = "INSERT INTO eventcore.commands SELECT * FROM eventcore.commands";
        let error = restored.sql(insert).unwrap_err();
        assert!(error.to_string().contains("append_one only"), "{error}");
    }
}

/// By `psql`, since dumps hold some of its own commands.
fn restore(database: &TempDatabase<'_>, dump: &str) {
    let mut psql = Command::new("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &database.url()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    psql.stdin
        .take()
        .unwrap()
        .write_all(dump.as_bytes())
        .unwrap();
    assert!(psql.wait().unwrap().success());
}
