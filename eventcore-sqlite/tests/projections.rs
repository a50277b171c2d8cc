//! What is special about projections in an SQLite file: one writer, one file, SQL of the projection's own.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

mod support;

use std::time::{Duration, Instant};

use eventcore::projection::{DocumentQuery, Lease, ProjectionStore, UnitOfWork};
use eventcore_sqlite::{
    SqliteProjections, SqliteProjectionsOptions, SqliteUnit,
    rusqlite::{Connection, params},
};
use support::{Folder, views::*};

async fn store(folder: &Folder) -> SqliteProjections {
    SqliteProjections::open(folder.file()).await.unwrap()
}

/// One that does not wait long for others.
async fn impatient(folder: &Folder) -> SqliteProjections {
    let options = SqliteProjectionsOptions::new(folder.file());
    let options = options.busy_timeout(Duration::from_millis(100));
    SqliteProjections::open_with(options).await.unwrap()
}

/// A unit in which the projection has made a table of its own.
async fn unit_with_table(store: &SqliteProjections) -> SqliteUnit {
    table_under(store, &lead(store).await).await
}

async fn table_under(store: &SqliteProjections, lease: &Lease) -> SqliteUnit {
    let mut unit = store.begin(lease).await.unwrap();
    let table = "CREATE TABLE totals (name TEXT PRIMARY KEY, total INTEGER NOT NULL) STRICT";
    unit.connection().execute_batch(table).unwrap();
    let row = params!["ann", 5];
    let insert = "INSERT INTO totals VALUES (?1, ?2)";
    unit.connection().execute(insert, row).unwrap();
    unit
}

fn tables(folder: &Folder) -> i64 {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'totals'";
    let connection = Connection::open(folder.file()).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn tables_of_the_projection_move_with_the_checkpoint() {
    let folder = Folder::new();
    let store = store(&folder).await;
    unit_with_table(&store).await.commit(at(7)).await.unwrap();
    assert_eq!((tables(&folder), position(&store).await), (1, 7));
}

#[tokio::test]
async fn a_dropped_unit_takes_the_tables_of_the_projection_back() {
    let folder = Folder::new();
    let store = store(&folder).await;
    drop(unit_with_table(&store).await);
    assert_eq!((tables(&folder), position(&store).await), (0, 0));
}

#[tokio::test]
async fn a_savepoint_takes_one_event_back() {
    let folder = Folder::new();
    let store = store(&folder).await;
    let mut unit = unit_with_table(&store).await;
    let savepoint = unit.connection().savepoint().unwrap();
    savepoint
        .execute("UPDATE totals SET total = 6", [])
        .unwrap();
    drop(savepoint);
    unit.commit(at(1)).await.unwrap();
    let connection = Connection::open(folder.file()).unwrap();
    let total: i64 = connection
        .query_row("SELECT total FROM totals", [], |row| row.get(0))
        .unwrap();
    assert_eq!(total, 5);
}

#[tokio::test]
async fn a_projection_cannot_commit_past_the_checkpoint() {
    let folder = Folder::new();
    let store = store(&folder).await;
    let mut unit = unit_with_table(&store).await;
    unit.connection().execute_batch("COMMIT").unwrap_err();
    assert_eq!(tables(&folder), 0);
    let error = unit.commit(at(7)).await.unwrap_err();
    assert!(error.to_string().contains("rolled back"), "{error}");
    assert_eq!((tables(&folder), position(&store).await), (0, 0));
}

#[tokio::test]
async fn nothing_is_written_after_the_transaction_was_lost() {
    let folder = Folder::new();
    let store = store(&folder).await;
    let lease = lead(&store).await;
    let mut unit = table_under(&store, &lease).await;
    unit.connection().execute_batch("ROLLBACK").unwrap();
    let written = unit
        .connection()
        .execute_batch("CREATE TABLE totals (name TEXT)");
    written.unwrap_err();
    assert!(unit.put(vec![change("a", "1")]).await.is_err());
    assert!(unit.commit(at(7)).await.is_err());
    assert_eq!(tables(&folder), 0);
    // The store is as good as new.
    table_under(&store, &lease)
        .await
        .commit(at(8))
        .await
        .unwrap();
    assert_eq!((tables(&folder), position(&store).await), (1, 8));
}

#[tokio::test]
async fn a_unit_waits_for_the_one_before() {
    let folder = Folder::new();
    let store = store(&folder).await;
    let me = owner("test");
    let first = granted(&store, &claim_of(1, 0, 2, &me)).await;
    let second = granted(&store, &claim_of(1, 1, 2, &me)).await;
    let open = store.begin(&first).await.unwrap();
    let waiting = {
        let store = store.clone();
        tokio::spawn(async move { store.begin(&second).await.map(drop) })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished());
    open.commit(at(1)).await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_unit_that_waits_too_long_is_told_to_try_again() {
    let folder = Folder::new();
    let store = impatient(&folder).await;
    let me = owner("test");
    let first = granted(&store, &claim_of(1, 0, 2, &me)).await;
    let second = granted(&store, &claim_of(1, 1, 2, &me)).await;
    let open = store.begin(&first).await.unwrap();
    let error = store.begin(&second).await.unwrap_err();
    assert!(error.is_retriable(), "{error}");
    drop(open);
    store.begin(&second).await.unwrap();
}

#[tokio::test]
async fn a_writer_of_another_handle_is_waited_for_without_the_runtime() {
    // This runtime has one thread: it is not blocked if its timer goes on.
    let folder = Folder::new();
    let store = impatient(&folder).await;
    let lease = lead(&store).await;
    let other = Connection::open(folder.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let start = Instant::now();
    let (error, ticks) = tokio::join!(store.begin(&lease), async {
        let mut ticks = 0;
        while start.elapsed() < Duration::from_millis(80) {
            tokio::time::sleep(Duration::from_millis(5)).await;
            ticks += 1;
        }
        ticks
    });
    let error = error.unwrap_err();
    assert!(error.is_retriable(), "{error}");
    assert!(ticks > 5, "{ticks}");
    other.execute_batch("ROLLBACK").unwrap();
    store.begin(&lease).await.unwrap();
}

#[tokio::test]
async fn a_begin_that_was_given_up_leaves_the_file_free() {
    let folder = Folder::new();
    let store = store(&folder).await;
    let lease = lead(&store).await;
    for micros in [0, 1, 5, 20, 50, 100, 200, 500, 1000] {
        let limit = Duration::from_micros(micros);
        drop(tokio::time::timeout(limit, store.begin(&lease)).await);
        let other = Connection::open(folder.file()).unwrap();
        other.busy_timeout(Duration::from_secs(1)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE; ROLLBACK").unwrap();
    }
    store
        .begin(&lease)
        .await
        .unwrap()
        .commit(at(1))
        .await
        .unwrap();
}

#[tokio::test]
async fn two_handles_fence_each_other() {
    let folder = Folder::new();
    let (one, other) = (store(&folder).await, store(&folder).await);
    let old = lead(&one).await;
    one.release(&old).await.unwrap();
    let new = lead(&other).await;
    assert!(new.epoch > old.epoch);
    assert!(one.begin(&old).await.unwrap_err().is_fenced());
    assert!(one.renew(&old).await.unwrap_err().is_fenced());
    let mut unit = other.begin(&new).await.unwrap();
    unit.put(vec![change("a", "1")]).await.unwrap();
    unit.commit(at(3)).await.unwrap();
    assert_eq!(body(&one, "a").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_leader_from_before_a_removal_stays_fenced_off() {
    let folder = Folder::new();
    let store = store(&folder).await;
    let old = lead(&store).await;
    store.remove(&id(1)).await.unwrap();
    let new = lead(&store).await;
    assert!(new.epoch > old.epoch, "{} {}", new.epoch, old.epoch);
    assert!(store.begin(&old).await.unwrap_err().is_fenced());
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_keep_others_out() {
    let folder = Folder::new();
    let store = store(&folder).await;
    let old = lead(&store).await;
    // As if it had been granted by a clock one year ahead.
    let ahead = 365_i64 * 24 * 3600 * 1_000_000;
    Connection::open(folder.file())
        .unwrap()
        .execute(
            "UPDATE eventcore_projection_partitions SET expires_at = expires_at + ?1",
            [ahead],
        )
        .unwrap();
    let new = lead(&store).await;
    assert!(new.epoch > old.epoch);
}

#[tokio::test]
async fn a_query_beyond_the_cache_is_still_in_order() {
    let folder = Folder::new();
    let store = store(&folder).await;
    let lease = lead(&store).await;
    let mut unit = store.begin(&lease).await.unwrap();
    let of = |number: u64| {
        let value = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        change(
            &format!("k{number}"),
            &format!(r#"{{"deep":{{"n":{value}}},"odd":{}}}"#, number % 2 == 1),
        )
    };
    unit.put((0..20_000).map(of).collect()).await.unwrap();
    unit.commit(at(1)).await.unwrap();
    let query = DocumentQuery::all().field_is("odd", true).unwrap();
    let query = query
        .sort_descending("deep.n")
        .unwrap()
        .page(9_000, 2_000)
        .unwrap();
    let found = store.query(&name(), &query).await.unwrap();
    assert_eq!(found.len(), 1000);
    let number = |body: &str| {
        let value: serde_json::Value = serde_json::from_str(body).unwrap();
        value["deep"]["n"].as_u64().unwrap()
    };
    assert!(
        found
            .windows(2)
            .all(|pair| number(&pair[0].body) >= number(&pair[1].body))
    );
}
