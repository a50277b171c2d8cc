//! What one caller asks for and cannot have fails that caller, and none of those who travel in the same statement.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

mod support;

use eventcore::{
    EventStore,
    store::{ReadError, ReadFrom, StoreErrorKind},
};
use support::{batch, migrated, open, stream};

/// A row of the stream `bad` that cannot be read, as one on a damaged page.
const DAMAGE: &str = "
    CREATE FUNCTION eventcore.damaged() RETURNS bytea LANGUAGE plpgsql VOLATILE AS $$
    BEGIN RAISE EXCEPTION 'missing chunk number 0' USING ERRCODE = 'data_corrupted'; END $$;
    ALTER TABLE eventcore.events RENAME TO healthy;
    CREATE VIEW eventcore.events AS SELECT position, stream, version, type, schema, id, correlation_id, causation_id,
        recorded_at, metadata, CASE WHEN stream = 'bad' THEN eventcore.damaged() ELSE payload END AS payload
    FROM eventcore.healthy";

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_healthy_streams_do_not_fail_with_the_reader_of_a_damaged_one() {
    let database = migrated();
    let store = open(&database).await;
    let names: Vec<String> = (0..15).map(|n| format!("s-{n}")).collect();
    for name in names.iter().map(String::as_str).chain(["bad"]) {
        store.append(batch(&[(name, 0)], "1")).await.unwrap();
    }
    database.sql(DAMAGE).unwrap();
    let mut damaged = 0;
    for _ in 0..20 {
        let reads = names.iter().map(String::as_str).chain(["bad"]).map(|name| {
            let (store, from) = (store.clone(), ReadFrom::start(stream(name)));
            tokio::spawn(async move { (from.stream.clone(), store.read(&[from]).await) })
        });
        for read in reads.collect::<Vec<_>>() {
            let (stream, read) = read.await.unwrap();
            if stream.as_str() == "bad" {
                let Err(ReadError::Store(error)) = read else {
                    panic!("{read:?}");
                };
                assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
                damaged += 1;
            } else {
                let read = read.unwrap_or_else(|error| panic!("{stream}: {error}"));
                assert_eq!(read.versions[0].get(), 1);
            }
        }
    }
    assert_eq!(damaged, 20);
}
