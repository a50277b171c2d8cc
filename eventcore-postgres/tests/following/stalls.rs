//! What other sessions leave open stalls nobody who follows the log.

use std::time::Duration;

use eventcore::{EventFilter, StartFrom, subscribe};
use eventcore_testing::temp_postgres::TempPostgres;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout};

use crate::{
    support::{self, migrated_on},
    walks::{check, run_on, step},
};

/// A foreign transaction with a snapshot and writes of its own that is busy for long, one that is idle, and a prepared
/// one: events are read and applied as if there were none.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_transactions_stall_nobody() {
    let server = TempPostgres::builder()
        .setting("max_prepared_transactions", "5")
        .start()
        .unwrap();
    let database = migrated_on(&server);
    let store = support::open(&database).await;
    step(&store, 1, 3).await;
    let foreign = support::pool(&database.url(), 5).await;
    sqlx::raw_sql("CREATE TABLE foreigners (n int)")
        .execute(&foreign)
        .await
        .unwrap();

    let mut idle = foreign.acquire().await.unwrap();
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO foreigners VALUES (1); SELECT txid_current()")
        .execute(&mut *idle)
        .await
        .unwrap();
    let mut prepared = foreign.acquire().await.unwrap();
    sqlx::raw_sql("BEGIN; INSERT INTO foreigners VALUES (2); PREPARE TRANSACTION 'foreign'")
        .execute(&mut *prepared)
        .await
        .unwrap();
    let mut busy = foreign.acquire().await.unwrap();
    let sleeping = tokio::spawn(async move {
        let long = "BEGIN; INSERT INTO foreigners VALUES (3); SELECT pg_sleep(60)";
        let _ = sqlx::raw_sql(long).execute(&mut *busy).await;
    });

    let mut events = subscribe(store.clone(), StartFrom::Start, EventFilter::all())
        .poll_every(Duration::from_millis(20));
    let running = run_on(&store, "here");
    let start = Instant::now();
    let mut reached = 0;
    for round in 0..20 {
        let end = step(&store, round % 3, 3).await;
        while reached < end.get() {
            let event = timeout(Duration::from_secs(10), events.next()).await;
            let event = event
                .expect("an event that is committed is seen")
                .unwrap()
                .unwrap();
            reached += 1;
            assert_eq!(event.position().get(), reached);
        }
        running
            .wait_until(end, Duration::from_secs(10))
            .await
            .unwrap();
    }
    let took = start.elapsed();
    assert!(
        took < Duration::from_secs(30),
        "they are all still open, and it took {took:?}"
    );
    running.stop().await.unwrap();
    sleeping.abort();
    check(&database.url()).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut *idle).await.unwrap();
    sqlx::raw_sql("ROLLBACK PREPARED 'foreign'")
        .execute(&mut *prepared)
        .await
        .unwrap();
}
