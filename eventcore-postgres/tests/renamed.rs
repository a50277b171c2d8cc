//! A schema that is renamed, replaced or swapped: opening names it, and nothing lands in another log.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

mod support;

use eventcore::{
    EventStore,
    store::{AppendError, StoreError, StoreErrorKind},
};
use eventcore_postgres::{PostgresEventStore, PostgresOptions, PostgresProjections, SchemaName};
use eventcore_testing::temp_postgres::{TempDatabase, TempPostgres};
use support::{batch, log};

/// A database with a schema for each tenant.
async fn tenants(names: &[&str]) -> TempDatabase<'static> {
    let database = TempPostgres::shared().unwrap().database().unwrap();
    for name in names {
        migrate(&database, name).await;
    }
    database
}

fn options(name: &str) -> PostgresOptions {
    PostgresOptions::new().schema(SchemaName::try_new(name).unwrap())
}

async fn migrate(database: &TempDatabase<'_>, name: &str) {
    PostgresEventStore::migrate(&database.url(), &options(name))
        .await
        .unwrap();
}

async fn try_open(
    database: &TempDatabase<'_>,
    name: &str,
) -> Result<PostgresEventStore, StoreError> {
    PostgresEventStore::connect(&database.url(), options(name)).await
}

async fn open(database: &TempDatabase<'_>, name: &str) -> PostgresEventStore {
    try_open(database, name).await.unwrap()
}

/// An append of one event, and of two, must be refused; says as what.
async fn refused(store: &PostgresEventStore) -> StoreErrorKind {
    let mut kinds = Vec::new();
    for streams in [&[("x", 0)][..], &[("y", 0), ("z", 0)]] {
        match store.append(batch(streams, "lost")).await.unwrap_err() {
            AppendError::Store(error) => {
                assert!(!error.is_retriable(), "{error}");
                assert!(!error.to_string().contains('\n'), "{error}");
                kinds.push(error.kind());
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(kinds[0], kinds[1]);
    kinds[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_schema_is_named_and_mended_by_migrate() {
    let database = tenants(&["tenant_a"]).await;
    let store = open(&database, "tenant_a").await;
    store.append(batch(&[("a", 0)], "1")).await.unwrap();
    let id = database.sql("SELECT tenant_a.log_id()").unwrap();
    database
        .sql("ALTER SCHEMA tenant_a RENAME TO tenant_b")
        .unwrap();
    // Opened under the old name it has nothing to append to.
    assert_eq!(refused(&store).await, StoreErrorKind::Schema);
    let projections = PostgresProjections::connect(&database.url(), options("tenant_b")).await;
    for error in [
        try_open(&database, "tenant_b").await.unwrap_err(),
        projections.unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Schema);
        let text = error.to_string();
        let told = "renamed from `tenant_a` to `tenant_b`: run `migrate`";
        assert!(text.contains(told), "{text}");
    }
    migrate(&database, "tenant_b").await;
    let store = open(&database, "tenant_b").await;
    store.append(batch(&[("a", 1)], "2")).await.unwrap();
    assert_eq!(log(&store).await.len(), 2);
    assert_eq!(
        database.sql("SELECT tenant_b.log_id()").unwrap(),
        id,
        "it is the same log"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_store_never_appends_to_the_log_that_has_come_to_its_name() {
    let database = tenants(&["tenant_a", "tenant_c"]).await;
    for replace in [
        "ALTER SCHEMA tenant_a RENAME TO tenant_b; ALTER SCHEMA tenant_c RENAME TO tenant_a",
        "DROP SCHEMA tenant_a CASCADE",
    ] {
        let store = open(&database, "tenant_a").await;
        let length = log(&store).await.len() as u64;
        store
            .append(batch(&[("a", length), ("b", length)], "1"))
            .await
            .unwrap();
        store
            .append(batch(&[("a", length + 1)], "1"))
            .await
            .unwrap();
        database.sql(replace).unwrap();
        migrate(&database, "tenant_a").await;
        assert_eq!(refused(&store).await, StoreErrorKind::Replaced);
        let other = open(&database, "tenant_a").await;
        assert!(log(&other).await.is_empty(), "{replace}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_that_change_names_with_each_other_keep_their_own_events() {
    let database = tenants(&["tenant_a", "tenant_b"]).await;
    let stores = [
        open(&database, "tenant_a").await,
        open(&database, "tenant_b").await,
    ];
    for store in &stores {
        store.append(batch(&[("a", 0)], "1")).await.unwrap();
    }
    let swap = "ALTER SCHEMA tenant_a RENAME TO away; ALTER SCHEMA tenant_b RENAME TO tenant_a;
        ALTER SCHEMA away RENAME TO tenant_b";
    database.sql(swap).unwrap();
    for store in &stores {
        assert_eq!(refused(store).await, StoreErrorKind::Replaced);
    }
    // Nor by hand, by functions that were made for another name.
    let call =
        "SELECT tenant_a.append_one('x', 0, 1, 't', 1, gen_random_uuid(), '', NULL, NULL, NULL,
        gen_random_uuid(), NULL, 0, NULL)";
    let error = database.sql(call).unwrap_err().to_string();
    assert!(error.contains("nothing was appended"), "{error}");
    for name in ["tenant_a", "tenant_b"] {
        migrate(&database, name).await;
        let store = open(&database, name).await;
        assert_eq!(log(&store).await.len(), 1);
        store.append(batch(&[("a", 1)], "2")).await.unwrap();
    }
}
