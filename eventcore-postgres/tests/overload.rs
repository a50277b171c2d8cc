//! More work than the server takes.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

mod support;

use std::time::Duration;

use eventcore::{
    EventStore,
    store::{AppendError, StoreErrorKind},
};
use eventcore_postgres::{PostgresEventStore, PostgresOptions};
use sqlx::Connection;
use support::{batch, log, migrated};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_an_error_that_names_the_limit_and_passes() {
    let database = migrated();
    let options = PostgresOptions::new()
        .queue(2)
        .queue_timeout(Duration::from_millis(200));
    let store = PostgresEventStore::connect(&database.url(), options)
        .await
        .unwrap();
    let mut other = sqlx::PgConnection::connect(&database.url()).await.unwrap();
    let mut other = other.begin().await.unwrap();
    sqlx::query(support::LOCK_ORDER)
        .execute(&mut *other)
        .await
        .unwrap();
    let stuck = |number: usize| {
        let (store, name) = (store.clone(), format!("stuck:{number}"));
        tokio::spawn(async move { store.append(batch(&[(&name, 0)], "late")).await })
    };
    let first = stuck(0);
    while sqlx::query_scalar::<_, i64>(support::WAIT_FOR_ORDER)
        .fetch_one(&mut *other)
        .await
        .unwrap()
        == 0
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The first is under way, two have room in the queue, and two have not.
    let later: Vec<_> = (1..=4).map(stuck).collect();
    tokio::time::sleep(Duration::from_millis(600)).await;
    other.rollback().await.unwrap();

    first.await.unwrap().unwrap();
    let mut refused = 0;
    for append in later {
        let Err(error) = append.await.unwrap() else {
            continue;
        };
        refused += 1;
        assert!(error.is_retriable(), "{error}");
        let AppendError::Store(error) = error else {
            panic!("{error}");
        };
        assert_eq!(error.kind(), StoreErrorKind::Overloaded);
        let text = error.to_string();
        assert!(
            text.contains("2 operations (`queue`)") && text.contains("200ms"),
            "{text}"
        );
    }
    assert_eq!(refused, 2);
    assert_eq!(
        log(&store).await.len(),
        3,
        "what was refused was not appended"
    );
    store
        .append(batch(&[("afterwards", 0)], "soon"))
        .await
        .unwrap();
}
