//! How fast documents move. Run by hand, with optimisation:
//! `cargo test -p eventcore-postgres --release --test projections_speed -- --ignored --nocapture --test-threads 1`
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a measurement is printed, and fails loudly"
)]

mod support;
#[path = "projections/views.rs"]
mod views;

use std::time::Instant;

use eventcore::{
    EventStore,
    projection::{DocumentQuery, ProjectionStore, UnitOfWork},
};
use eventcore_postgres::{PostgresEventStore, PostgresOptions, PostgresProjections};
use eventcore_testing::temp_postgres::TempPostgres;
use support::{batch, migrated_on};
use views::{at, change, lead, name};

const UNIT: u64 = 1000;

/// Units of 1,000 documents out of so many; the documents per second.
async fn catch_up(store: &PostgresProjections, units: u64, out_of: u64, load: bool) -> f64 {
    let lease = lead(store).await;
    let start = Instant::now();
    for unit in 0..units {
        let changes: Vec<_> = (0..UNIT)
            .map(|_| {
                let of = format!("account:{}", fastrand::u64(0..out_of));
                let body = format!(
                    r#"{{"owner":"{of}","balance":{},"currency":"EUR","open":true}}"#,
                    unit * 17
                );
                change(&of, &body)
            })
            .collect();
        let mut open = store.begin(&lease).await.unwrap();
        if load {
            let keys: Vec<_> = changes.iter().map(|change| change.key.clone()).collect();
            open.load(&keys).await.unwrap();
        }
        open.put(changes).await.unwrap();
        open.commit(at((unit + 1) * UNIT)).await.unwrap();
    }
    let rate = (units * UNIT) as f64 / start.elapsed().as_secs_f64();
    store.release(&lease).await.unwrap();
    rate
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn documents_per_second() {
    let server = TempPostgres::builder().fsync(true).start().unwrap();
    for out_of in [1_000, 10_000, 100_000, 1_000_000] {
        let database = migrated_on(&server);
        let store = views::views(&database).await;
        let first = catch_up(&store, 100, out_of, true).await;
        let again = catch_up(&store, 100, out_of, true).await;
        let known = catch_up(&store, 100, out_of, false).await;
        println!(
            "{out_of} documents: {first:.0}/s, once more {again:.0}/s, without loading {known:.0}/s"
        );
        let sizes = "SELECT pg_size_pretty(pg_table_size('eventcore.documents')),
            pg_size_pretty(pg_indexes_size('eventcore.documents')),
            (SELECT n_tup_hot_upd || ' of ' || n_tup_upd FROM pg_stat_user_tables WHERE relname = 'documents')";
        println!("  {}", database.sql(sizes).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn small_units_per_second() {
    let server = TempPostgres::builder().fsync(true).start().unwrap();
    let database = migrated_on(&server);
    let store = views::views(&database).await;
    let lease = lead(&store).await;
    for sql in [false, true] {
        let start = Instant::now();
        for number in 0..2000 {
            let mut unit = store.begin(&lease).await.unwrap();
            unit.put(vec![change("a", "1")]).await.unwrap();
            if sql {
                unit.connection().await.unwrap();
            }
            unit.commit(at(number)).await.unwrap();
        }
        println!("own SQL {sql}: {:?} each", start.elapsed() / 2000);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn queries() {
    let server = TempPostgres::builder().start().unwrap();
    let database = migrated_on(&server);
    let store = views::views(&database).await;
    catch_up(&store, 200, 100_000, false).await;
    let all = DocumentQuery::all;
    for (what, query) in [
        ("the first 100", all()),
        (
            "by a field that all have",
            all().field_is("currency", "EUR").unwrap(),
        ),
        (
            "by a field that none has",
            all().field_is("owner", "x").unwrap(),
        ),
        ("sorted", all().sort_descending("balance").unwrap()),
    ] {
        let start = Instant::now();
        let found = store.query(&name(), &query).await.unwrap().len();
        println!("{what}: {found} in {:?}", start.elapsed());
    }
}

/// What telling other processes costs appends.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn appends_with_and_without_wakeups() {
    let server = TempPostgres::builder().fsync(true).start().unwrap();
    for clients in [1, 16] {
        for round in 0..3 {
            for wakeups in [false, true] {
                let database = migrated_on(&server);
                let options = PostgresOptions::new().wakeups(wakeups);
                let store = PostgresEventStore::connect(&database.url(), options)
                    .await
                    .unwrap();
                let start = Instant::now();
                let writing = (0..clients).map(|client| {
                    let store = store.clone();
                    tokio::spawn(async move {
                        let (name, mut version) = (format!("s:{client}"), 0);
                        while start.elapsed().as_secs() < 3 {
                            let batch = batch(&[(&name, version)], "x");
                            store.append(batch).await.unwrap();
                            version += 1;
                        }
                        version
                    })
                });
                let mut appends = 0;
                for writer in writing.collect::<Vec<_>>() {
                    appends += writer.await.unwrap();
                }
                println!(
                    "{clients} clients, round {round}, wakeups {wakeups}: {} appends/s",
                    appends / 3
                );
            }
        }
    }
}
