//! How fast documents move. Run by hand, with optimisation:
//! `cargo test -p eventcore-sqlite --release --test projection_speed -- --ignored --nocapture`
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement is printed, and fails loudly"
)]

mod support;

use std::time::{Duration, Instant};

use eventcore::{
    EventStore,
    projection::{DocumentKey, DocumentQuery, ProjectionStore, UnitOfWork},
};
use eventcore_sqlite::{Durability, SqliteEventStore, SqliteProjections, SqliteProjectionsOptions};
use support::{Folder, batch, views::*};

const UNIT: u64 = 1000;

/// Seconds that all processors together gave to this process.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks
        .map(|ticks| ticks.parse::<f64>().unwrap())
        .sum::<f64>()
        / 100.0
}

/// Units that each load and put 1,000 documents out of so many; the documents per second.
async fn catch_up(store: &SqliteProjections, units: u64, out_of: u64) -> f64 {
    let lease = lead(store).await;
    let mut random = 88_172_645_463_325_252_u64;
    let start = Instant::now();
    for unit in 0..units {
        let keys: Vec<DocumentKey> = (0..UNIT)
            .map(|_| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                key(&format!("account:{}", random % out_of))
            })
            .collect();
        let mut open = store.begin(&lease).await.unwrap();
        let loaded = open.load(&keys).await.unwrap();
        assert_eq!(loaded.len(), keys.len());
        let changes = keys.iter().map(|key| {
            let body = format!(
                r#"{{"owner":"{key}","balance":{},"currency":"EUR","open":true,"changes":[1,2,3]}}"#,
                unit * 17
            );
            change(key.as_str(), &body)
        });
        open.put(changes.collect()).await.unwrap();
        open.commit(at((unit + 1) * UNIT)).await.unwrap();
    }
    let rate = (units * UNIT) as f64 / start.elapsed().as_secs_f64();
    store.release(&lease).await.unwrap();
    rate
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn documents_per_second() {
    for durability in [Durability::PowerCut, Durability::ProcessCrash] {
        for out_of in [1_000, 10_000, 100_000, 1_000_000] {
            let folder = Folder::new();
            let options = SqliteProjectionsOptions::new(folder.file()).durability(durability);
            let store = SqliteProjections::open_with(options).await.unwrap();
            let first = catch_up(&store, 200, out_of).await;
            let before = cpu();
            let again = catch_up(&store, 200, out_of).await;
            let cpu = (cpu() - before) / 200_000.0 * 1e6;
            println!(
                "{durability:?}, {out_of} documents: {first:.0}/s, once more {again:.0}/s ({cpu:.1} µs of CPU each)"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn queries_per_second() {
    let folder = Folder::new();
    let store = SqliteProjections::open(folder.file()).await.unwrap();
    catch_up(&store, 200, 100_000).await;
    let by_field = DocumentQuery::all().field_is("currency", "EUR").unwrap();
    let sorted = DocumentQuery::all().sort_descending("balance").unwrap();
    for (what, query) in [
        ("the first 100", DocumentQuery::all()),
        ("by a field that all have", by_field),
        (
            "by a field that none has",
            DocumentQuery::all().field_is("owner", "x").unwrap(),
        ),
        ("sorted", sorted),
    ] {
        let start = Instant::now();
        let found = store.query(&name(), &query).await.unwrap().len();
        println!("{what}: {found} in {:?}", start.elapsed());
    }
    let start = Instant::now();
    for number in 0..20_000 {
        body(&store, &format!("account:{number}")).await;
    }
    println!("one document: {:?}", start.elapsed() / 20_000);
}

/// Appends while a projection catches up in the same file, and the other way round.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn sharing_a_file() {
    for shared in [true, false] {
        let (one, two) = (Folder::new(), Folder::new());
        let events = SqliteEventStore::open(one.file()).await.unwrap();
        let views = if shared { one.file() } else { two.file() };
        let views = SqliteProjections::open(views).await.unwrap();
        let appending = tokio::spawn(async move {
            let start = Instant::now();
            let (mut version, mut worst) = (0, Duration::ZERO);
            while start.elapsed() < Duration::from_secs(4) {
                let begin = Instant::now();
                events.append(batch(&[("a", version)], "x")).await.unwrap();
                worst = worst.max(begin.elapsed());
                version += 1;
            }
            (version / 4, worst)
        });
        let projecting = tokio::spawn(async move {
            let start = Instant::now();
            let mut rates = Vec::new();
            while start.elapsed() < Duration::from_millis(3900) {
                rates.push(catch_up(&views, 20, 10_000).await);
            }
            rates.iter().sum::<f64>() / rates.len() as f64
        });
        let (appends, worst) = appending.await.unwrap();
        let rate = projecting.await.unwrap();
        println!(
            "shared file {shared}: {appends} appends/s (worst {worst:?}), {rate:.0} documents/s"
        );
    }
}

/// What looking for appends of other processes costs.
#[test]
#[ignore = "a measurement"]
fn glances_per_second() {
    let folder = Folder::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let events = runtime
        .block_on(SqliteEventStore::open(folder.file()))
        .unwrap();
    runtime
        .block_on(events.append(batch(&[("a", 0)], "x")))
        .unwrap();
    let connection = eventcore_sqlite::rusqlite::Connection::open(folder.file()).unwrap();
    let start = Instant::now();
    for _ in 0..100_000 {
        let mut pragma = connection.prepare_cached("PRAGMA data_version").unwrap();
        let _: i64 = pragma.query_row([], |row| row.get(0)).unwrap();
    }
    println!("one glance: {:?}", start.elapsed() / 100_000);
}
