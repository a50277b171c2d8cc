//! What a server, a database, a role or a URL is set to neither weakens nor breaks what a store promises; or it is said
//! when the store is opened.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

mod support;
#[path = "projections/views.rs"]
mod views;

use std::{sync::OnceLock, time::Duration};

use eventcore::{
    EventStore,
    projection::{ProjectionStore, UnitOfWork},
    store::{ReadFrom, StoreError, StoreErrorKind},
};
use eventcore_postgres::{PostgresEventStore, PostgresOptions, PostgresProjections};
use eventcore_testing::temp_postgres::{TempDatabase, TempPostgres};
use support::{batch, log, migrated, migrated_on, open, pool, stream};
use views::{at, body, change, lead};

/// A server of its own, which writes its log to the disk when a commit waits for that, and otherwise after ages.
fn lazy() -> TempPostgres {
    TempPostgres::builder()
        .setting("wal_writer_delay", "10s")
        .setting("wal_writer_flush_after", "0")
        .setting("autovacuum", "off")
        .setting("bgwriter_lru_maxpages", "0")
        .start()
        .unwrap()
}

/// How much was acknowledged, and how much is there after a sudden end of the server.
async fn lost(server: &TempPostgres, database: &TempDatabase<'_>, store: PostgresEventStore) {
    let projections = store.projections();
    let lease = lead(&projections).await;
    for number in 0..20 {
        store.append(batch(&[("a", number)], "1")).await.unwrap();
        store
            .append(batch(&[("b", number), ("c", number)], "1"))
            .await
            .unwrap();
    }
    tokio::task::block_in_place(|| server.kill()).unwrap();
    tokio::task::block_in_place(|| server.start()).unwrap();
    assert_eq!(log(&open(database).await).await.len(), 60);
    // The same for what a projection commits, with nothing behind it that is written to the disk.
    let projections = after(server, database, projections, &lease).await;
    assert_eq!(body(&projections, "k").await.as_deref(), Some("last"));
}

/// Commits a unit as the last thing before another sudden end.
async fn after(
    server: &TempPostgres,
    database: &TempDatabase<'_>,
    projections: PostgresProjections,
    lease: &eventcore::projection::Lease,
) -> PostgresProjections {
    loop {
        let mut unit = projections.begin(lease).await.unwrap();
        unit.put(vec![change("k", "last")]).await.unwrap();
        match unit.commit(at(1)).await {
            Ok(()) => break,
            // Connections from before.
            Err(error) => assert!(error.is_retriable(), "{error}"),
        }
    }
    tokio::task::block_in_place(|| server.kill()).unwrap();
    tokio::task::block_in_place(|| server.start()).unwrap();
    views::views(database).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_on_the_disk_whatever_the_database_prefers() {
    let server = lazy();
    let prefer = "ALTER DATABASE {} SET synchronous_commit = off";
    for pooled in [false, true] {
        let database = migrated_on(&server);
        database
            .sql(&prefer.replace("{}", database.name()))
            .unwrap();
        let store = if pooled {
            let pool = pool(&database.url(), 2).await;
            PostgresEventStore::from_pool(pool, PostgresOptions::new())
                .await
                .unwrap()
        } else {
            let url = format!("{}&options=-c%20synchronous_commit%3Doff", database.url());
            support::connect(&url).await
        };
        lost(&server, &database, store).await;
    }
}

/// Everything that a store does.
async fn works(database: &TempDatabase<'_>) {
    let pool = pool(&database.url(), 3).await;
    PostgresEventStore::migrate_pool(&pool, &PostgresOptions::new())
        .await
        .unwrap();
    let over = PostgresEventStore::from_pool(pool, PostgresOptions::new())
        .await
        .unwrap();
    for (number, store) in [open(database).await, over].iter().enumerate() {
        let (a, b) = (format!("a:{number}"), format!("b:{number}"));
        let first = batch(&[(&a, 0)], "1");
        let key = first.idempotency().unwrap().key.clone();
        store.append(first.clone()).await.unwrap();
        assert!(store.append(first).await.unwrap().replayed);
        store.append(batch(&[(&a, 1), (&b, 0)], "é")).await.unwrap();
        assert!(
            store
                .append(batch(&[(&a, 1)], "3"))
                .await
                .unwrap_err()
                .is_conflict()
        );
        assert!(store.find_receipt(&key).await.unwrap().is_some());
        assert_eq!(log(store).await.len(), (number + 1) * 3);
        let read = store.read(&[ReadFrom::start(stream(&a))]).await.unwrap();
        assert_eq!(read.events.collect().await.unwrap().len(), 2);
        let projections = store.projections();
        let lease = lead(&projections).await;
        let mut unit = projections.begin(&lease).await.unwrap();
        unit.put(vec![change("k", "1")]).await.unwrap();
        unit.commit(at(1)).await.unwrap();
        assert_eq!(body(&projections, "k").await.as_deref(), Some("1"));
        projections.remove(&lease.projection).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_a_database_break_nothing() {
    for settings in [
        "search_path = evil, public",
        "search_path = ''",
        "search_path = nowhere",
        "default_transaction_isolation = 'serializable'",
        "default_transaction_deferrable = on",
        "row_security = off",
        "bytea_output = 'escape'",
        "DateStyle = 'German'",
        "IntervalStyle = 'sql_standard'",
        "TimeZone = 'Asia/Kathmandu'",
        "standard_conforming_strings = off",
        "backslash_quote = off",
        "escape_string_warning = on",
        "array_nulls = off",
        "transform_null_equals = on",
        "client_encoding = 'LATIN1'",
        "extra_float_digits = -15",
        "session_replication_role = 'replica'",
        "check_function_bodies = off",
        "plpgsql.variable_conflict = 'use_variable'",
        "enable_indexscan = off",
        "enable_indexonlyscan = off",
        "plan_cache_mode = 'force_custom_plan'",
        "jit_above_cost = 0",
        "constraint_exclusion = on",
        "quote_all_identifiers = on",
        "default_tablespace = ''",
        "synchronous_commit = 'local'",
        "commit_delay = 10",
    ] {
        let database = TempPostgres::shared().unwrap().database().unwrap();
        let sql = format!(
            "{EVIL}; ALTER DATABASE \"{}\" SET {settings}",
            database.name()
        );
        database.sql(&sql).unwrap();
        works(&database).await;
    }
}

/// Tables, functions and operators that must never be meant.
const EVIL: &str = "CREATE SCHEMA evil;
    CREATE TABLE evil.events (position bigint); CREATE TABLE evil.commands (key uuid);
    CREATE FUNCTION evil.current_setting(text) RETURNS text LANGUAGE sql AS 'SELECT ''evil''';
    CREATE FUNCTION evil.no(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT false';
    CREATE FUNCTION evil.no(uuid, uuid) RETURNS boolean LANGUAGE sql AS 'SELECT false';
    CREATE OPERATOR evil.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.no);
    CREATE OPERATOR evil.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = evil.no);
    CREATE OPERATOR evil.> (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.no);
    CREATE OPERATOR evil.<> (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.no)";

/// One that is a better match than the server's own, wherever it stands in the path.
const UNNEST: &str = "CREATE FUNCTION public.unnest(bigint[]) RETURNS SETOF bigint LANGUAGE sql AS 'SELECT 7::bigint'";

#[tokio::test(flavor = "multi_thread")]
async fn temporary_tables_of_our_names_and_shadowed_operators_do_not_touch_an_append() {
    let database = migrated();
    database.sql(EVIL).unwrap();
    let pool = pool(&database.url(), 1).await;
    let store = PostgresEventStore::from_pool(pool.clone(), PostgresOptions::new())
        .await
        .unwrap();
    let later = "CREATE TEMPORARY TABLE events (position bigint); CREATE TEMPORARY TABLE commands (key uuid);
        CREATE TEMPORARY TABLE append_order (); SET search_path = evil, public, pg_temp, pg_catalog";
    database.sql(UNNEST).unwrap();
    sqlx::raw_sql(later).execute(&pool).await.unwrap();
    store.append(batch(&[("a", 0)], "1")).await.unwrap();
    store
        .append(batch(&[("a", 1), ("b", 0)], "1"))
        .await
        .unwrap();
    assert!(
        store
            .append(batch(&[("a", 1)], "1"))
            .await
            .unwrap_err()
            .is_conflict()
    );
    database.sql("DROP FUNCTION public.unnest").unwrap();
    assert_eq!(log(&open(&database).await).await.len(), 3);
}

async fn refused(database: &TempDatabase<'_>, words: &[&str]) {
    let error = PostgresEventStore::connect(&database.url(), PostgresOptions::new()).await;
    check(&error.unwrap_err(), words);
}

fn check(error: &StoreError, words: &[&str]) {
    let told = error.to_string();
    assert_eq!(error.kind(), StoreErrorKind::Schema, "{told}");
    for word in words {
        assert!(told.contains(word), "{word:?} is not in: {told}");
    }
    assert!(!told.contains('\n') && told.len() < 500, "{told}");
}

#[tokio::test]
async fn a_search_path_that_shadows_the_servers_own_names_is_refused() {
    let database = migrated();
    let path = "ALTER DATABASE \"{}\" SET search_path = evil, pg_catalog";
    database
        .sql(&format!("{EVIL}; {}", path.replace("{}", database.name())))
        .unwrap();
    refused(&database, &["evil", "behind pg_catalog"]).await;
    // Without such names it does no harm.
    database
        .sql("DROP SCHEMA evil CASCADE; CREATE SCHEMA evil")
        .unwrap();
    open(&database).await;
    let path = "ALTER DATABASE \"{}\" RESET search_path";
    database
        .sql(&format!(
            "{UNNEST}; {}",
            path.replace("{}", database.name())
        ))
        .unwrap();
    refused(&database, &["public", "unnest"]).await;
}

#[tokio::test]
async fn tables_that_a_crash_empties_are_refused() {
    for table in ["events", "commands"] {
        let database = migrated();
        database
            .sql(&format!("ALTER TABLE eventcore.{table} SET UNLOGGED"))
            .unwrap();
        refused(&database, &[table, "unlogged", "SET LOGGED"]).await;
    }
}

#[tokio::test]
async fn a_database_of_another_encoding_is_refused_also_by_migrate() {
    let server = TempPostgres::shared().unwrap();
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = format!("encoded_{}", encoding.to_lowercase());
        let make = format!(
            "CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        );
        server
            .sql(
                "postgres",
                &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            )
            .unwrap();
        server.sql("postgres", &make).unwrap();
        let (url, options) = (server.url(&name), PostgresOptions::new());
        let migrated = PostgresEventStore::migrate(&url, &options).await;
        let opened = PostgresEventStore::connect(&url, options).await;
        for error in [migrated.unwrap_err(), opened.unwrap_err()] {
            check(&error, &[encoding, "ENCODING 'UTF8'"]);
        }
        server
            .sql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"))
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_a_power_cut_is_survived_is_in_the_capabilities() {
    static SAFE: OnceLock<TempPostgres> = OnceLock::new();
    let safe = SAFE.get_or_init(|| TempPostgres::builder().fsync(true).start().unwrap());
    let torn = TempPostgres::builder()
        .fsync(true)
        .setting("full_page_writes", "off");
    let (torn, unsafe_) = (
        torn.start().unwrap(),
        TempPostgres::builder().start().unwrap(),
    );
    for (server, expected) in [(safe, true), (&torn, false), (&unsafe_, false)] {
        let database = migrated_on(server);
        let claimed = open(&database).await.capabilities();
        assert!(claimed.durable);
        let says = database
            .sql("SELECT current_setting('fsync'), current_setting('full_page_writes')")
            .unwrap();
        assert_eq!(claimed.survives_power_cut, expected, "{says}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_very_short_statement_timeout_is_an_error_that_may_pass() {
    let database = migrated();
    let short = "ALTER DATABASE \"{}\" SET statement_timeout = '1ms'";
    database.sql(&short.replace("{}", database.name())).unwrap();
    let pool = pool(&database.url(), 2).await;
    let store = PostgresEventStore::from_pool(pool, PostgresOptions::new()).await;
    let Ok(store) = store else {
        return assert!(store.unwrap_err().is_retriable());
    };
    for number in 0..20 {
        let append = store.append(batch(&[(&format!("s:{number}"), 0)], "1"));
        if let Err(error) = tokio::time::timeout(Duration::from_secs(20), append)
            .await
            .unwrap()
        {
            assert!(error.is_retriable(), "{error:?}");
        }
    }
}
