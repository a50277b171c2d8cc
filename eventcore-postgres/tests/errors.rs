//! What is in the way of a store, told by kind, cause and remedy.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

mod support;

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use eventcore::{
    EventStore,
    store::{AppendError, StoreError, StoreErrorKind},
};
use eventcore_postgres::{PostgresEventStore, PostgresOptions};
use eventcore_testing::temp_postgres::{TempDatabase, TempPostgres};
use support::{batch, log, migrated_on, open};

/// A server of this file's own, with people whom it does not trust.
fn server() -> &'static TempPostgres {
    static SERVER: OnceLock<TempPostgres> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = TempPostgres::builder()
            .tcp()
            .access_rule("host all alice 127.0.0.1/32 scram-sha-256")
            .start()
            .unwrap();
        let people = "CREATE ROLE alice LOGIN PASSWORD 'right'; CREATE ROLE bob LOGIN";
        server.sql("postgres", people).unwrap();
        server
    })
}

fn quick() -> PostgresOptions {
    PostgresOptions::new().acquire_timeout(Duration::from_millis(500))
}

/// A store that cannot be opened, nor migrated, for this reason; told in time.
async fn neither(url: &str, kind: StoreErrorKind, words: &[&str]) {
    let start = Instant::now();
    let opened = PostgresEventStore::connect(url, quick()).await.unwrap_err();
    let migrated = PostgresEventStore::migrate(url, &quick())
        .await
        .unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(10));
    for error in [opened, migrated] {
        check(&error, kind, words);
    }
}

fn check(error: &StoreError, kind: StoreErrorKind, words: &[&str]) {
    let told = error.to_string();
    assert_eq!(error.kind(), kind, "{told}");
    assert!(std::error::Error::source(error).is_some(), "{told}");
    for word in words {
        assert!(told.contains(word), "{word:?} is not in: {told}");
    }
}

fn store_error(error: AppendError) -> StoreError {
    match error {
        AppendError::Store(error) => error,
        other => panic!("{other:?}"),
    }
}

fn as_user(database: &TempDatabase<'_>, user: &str) -> String {
    database
        .tcp_url()
        .unwrap()
        .replace("postgres@", &format!("{user}@"))
}

#[tokio::test]
async fn a_wrong_url() {
    for url in [
        "",
        "here",
        "postgres://localhost:port/db",
        "postgres://u@h/db?sslmode=maybe",
    ] {
        neither(url, StoreErrorKind::Access, &["URL"]).await;
    }
}

#[tokio::test]
async fn a_wrong_password() {
    let database = migrated_on(server());
    let url = as_user(&database, "alice:wrong");
    neither(
        &url,
        StoreErrorKind::Access,
        &["alice", "check user and password"],
    )
    .await;
    let right = as_user(&database, "alice:right");
    let error = PostgresEventStore::connect(&right, quick())
        .await
        .unwrap_err();
    check(&error, StoreErrorKind::Access, &["permission denied"]);
}

#[tokio::test]
async fn a_missing_user() {
    let url = as_user(&migrated_on(server()), "carol");
    neither(
        &url,
        StoreErrorKind::Access,
        &["carol", "check user and password"],
    )
    .await;
}

#[tokio::test]
async fn a_missing_database() {
    let url = server().url("nowhere");
    neither(
        &url,
        StoreErrorKind::Access,
        &["nowhere", "create the database"],
    )
    .await;
}

#[tokio::test]
async fn missing_rights() {
    let database = migrated_on(server());
    let url = as_user(&database, "bob");
    let error = PostgresEventStore::connect(&url, quick())
        .await
        .unwrap_err();
    check(
        &error,
        StoreErrorKind::Access,
        &["permission denied", "needs rights"],
    );
    // Enough to look, not to append.
    let grant = "GRANT USAGE ON SCHEMA eventcore TO bob;
        GRANT SELECT ON ALL TABLES IN SCHEMA eventcore TO bob";
    database.sql(grant).unwrap();
    let store = PostgresEventStore::connect(&url, quick()).await.unwrap();
    assert!(log(&store).await.is_empty());
    let error = store_error(store.append(batch(&[("a", 0)], "1")).await.unwrap_err());
    check(
        &error,
        StoreErrorKind::Access,
        &["append_one", "needs rights"],
    );
}

#[tokio::test]
async fn nobody_listens() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let url = format!("postgres://postgres@127.0.0.1:{port}/db");
    neither(&url, StoreErrorKind::Unavailable, &["refused"]).await;
    let url = "postgres://postgres@localhost/db?host=/nowhere/at/all";
    neither(url, StoreErrorKind::Unavailable, &["No such file"]).await;
}

#[tokio::test]
async fn somebody_listens_and_never_answers() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://postgres@{}/db", listener.local_addr().unwrap());
    let error = PostgresEventStore::connect(&url, quick())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("does not answer"), "{error}");
}

#[tokio::test]
async fn a_server_that_only_reads() {
    let database = migrated_on(server());
    let read_only = "ALTER DATABASE {} SET default_transaction_read_only = on";
    database
        .sql(&read_only.replace("{}", database.name()))
        .unwrap();
    let store = open(&database).await;
    assert!(log(&store).await.is_empty());
    let error = store_error(store.append(batch(&[("a", 0)], "1")).await.unwrap_err());
    check(
        &error,
        StoreErrorKind::ReadOnly,
        &["connect to the primary"],
    );
    assert!(!error.is_retriable());
}

#[tokio::test]
async fn no_connection_is_free() {
    let database = migrated_on(server());
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_millis(200))
        .connect(&database.url())
        .await
        .unwrap();
    let options = PostgresOptions::new();
    let store = PostgresEventStore::from_pool(pool.clone(), options.clone())
        .await
        .unwrap();
    let taken = pool.acquire().await.unwrap();
    let error = store_error(store.append(batch(&[("a", 0)], "1")).await.unwrap_err());
    check(
        &error,
        StoreErrorKind::Timeout,
        &["all connections of the pool are in use"],
    );
    assert!(error.is_retriable());
    let error = PostgresEventStore::from_pool(pool.clone(), options)
        .await
        .unwrap_err();
    check(&error, StoreErrorKind::Timeout, &["in use"]);
    drop(taken);
    store.append(batch(&[("a", 0)], "1")).await.unwrap();
}

#[tokio::test]
async fn a_statement_that_takes_too_long() {
    let database = migrated_on(server());
    let options = PostgresOptions::new().statement_timeout(Duration::from_millis(200));
    let store = PostgresEventStore::connect(&database.url(), options)
        .await
        .unwrap();
    let pool = support::pool(&database.url(), 1).await;
    let mut slow = pool.begin().await.unwrap();
    let lock = "LOCK TABLE eventcore.events IN ACCESS EXCLUSIVE MODE";
    sqlx::query(lock).execute(&mut *slow).await.unwrap();
    let error = store_error(store.append(batch(&[("a", 0)], "1")).await.unwrap_err());
    check(&error, StoreErrorKind::Timeout, &["statement_timeout"]);
    assert!(error.is_retriable());
    slow.rollback().await.unwrap();
    store.append(batch(&[("a", 0)], "1")).await.unwrap();
    assert_eq!(log(&store).await.len(), 1);
}

/// A trigger of the application's that refuses events of one stream in its own way.
async fn with_trigger(database: &TempDatabase<'_>, raise: &str) -> PostgresEventStore {
    let sql = format!(
        "CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.stream = 'bad' THEN {raise}; END IF; RETURN NEW; END $$;
        CREATE TRIGGER mine BEFORE INSERT ON eventcore.events FOR EACH ROW EXECUTE FUNCTION mine()"
    );
    database.sql(&sql).unwrap();
    open(database).await
}

#[tokio::test]
async fn an_error_of_the_applications_trigger_is_its_own_and_hurts_no_neighbour() {
    let database = migrated_on(server());
    let store = with_trigger(&database, "RAISE EXCEPTION 'not on a Sunday'").await;
    let appending = (0..50).map(|number| {
        let store = store.clone();
        let name = if number == 25 {
            "bad".to_owned()
        } else {
            format!("good:{number}")
        };
        tokio::spawn(async move { store.append(batch(&[(&name, 0)], "1")).await })
    });
    let mut refused = Vec::new();
    for appended in appending.collect::<Vec<_>>() {
        refused.extend(appended.await.unwrap().err());
    }
    assert_eq!(refused.len(), 1, "{refused:?}");
    let error = store_error(refused.remove(0));
    check(&error, StoreErrorKind::Other, &["not on a Sunday"]);
    assert!(!error.is_retriable());
    assert_eq!(log(&store).await.len(), 49);
}

#[tokio::test]
async fn serialization_failures_and_deadlocks_are_worth_another_try() {
    for code in ["40001", "40P01"] {
        let database = migrated_on(server());
        let raise = format!("RAISE EXCEPTION 'in the way' USING ERRCODE = '{code}'");
        let store = with_trigger(&database, &raise).await;
        let error = store_error(store.append(batch(&[("bad", 0)], "1")).await.unwrap_err());
        check(&error, StoreErrorKind::Busy, &["in the way"]);
        assert!(error.is_retriable());
        store.append(batch(&[("good", 0)], "1")).await.unwrap();
    }
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let database = migrated_on(server());
    let app = support::pool(&database.url(), 3).await;
    let options = PostgresOptions::new();
    let over_pool = PostgresEventStore::from_pool(app.clone(), options)
        .await
        .unwrap();
    for store in [open(&database).await, over_pool] {
        store
            .append(batch(&[("a", log(&store).await.len() as u64)], "1"))
            .await
            .unwrap();
        let clone = store.clone();
        store.close().await;
        store.close().await;
        let batch = batch(&[("a", 9)], "1");
        let key = batch.idempotency().unwrap().key.clone();
        let append = store_error(clone.append(batch).await.unwrap_err());
        assert_eq!(append.kind(), StoreErrorKind::Closed, "{append}");
        let told = [
            clone.find_receipt(&key).await.unwrap_err().to_string(),
            clone
                .read(&[eventcore::store::ReadFrom::start(support::stream("a"))])
                .await
                .unwrap_err()
                .to_string(),
        ];
        for told in told {
            assert!(told.contains("the store is closed"), "{told}");
        }
    }
    assert!(
        app.acquire().await.is_ok(),
        "the application's pool stays open"
    );
}
