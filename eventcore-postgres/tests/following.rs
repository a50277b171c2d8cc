//! Subscriptions and running projections on PostgreSQL: the suite of all stores, and what only real processes and
//! servers show.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by a panic"
)]

#[path = "following/processes.rs"]
mod processes;
#[path = "following/restored.rs"]
mod restored;
#[path = "following/servers.rs"]
mod servers;
#[path = "following/stalls.rs"]
mod stalls;
mod support;
#[path = "following/walks.rs"]
mod walks;

use std::time::Duration;

use eventcore_postgres::{PostgresEventStore, PostgresOptions, PostgresProjections};
use eventcore_testing::{following::Harness, temp_postgres::TempDatabase};

fn few_connections() -> PostgresOptions {
    // Many handles are open at once.
    PostgresOptions::new().max_connections(4)
}

async fn open(url: String) -> PostgresEventStore {
    PostgresEventStore::connect(&url, few_connections())
        .await
        .unwrap()
}

async fn harness(apart: bool) -> Harness<PostgresProjections> {
    let (events, fresh) = (support::migrated(), support::migrated());
    let views = if apart {
        Some(support::migrated())
    } else {
        None
    };
    let (url, views_url) = (events.url(), views.as_ref().map(TempDatabase::url));
    let handles = move || {
        let (url, views_url) = (url.clone(), views_url.clone());
        async move {
            let store = open(url).await;
            let views = match views_url {
                Some(url) => PostgresProjections::connect(&url, few_connections())
                    .await
                    .unwrap(),
                None => store.projections(),
            };
            (store, views)
        }
    };
    let (store, projections) = handles().await;
    let fresh_url = fresh.url();
    Harness::new(store, projections)
        .keep((events, fresh, views))
        .reopen_with(handles)
        .fresh_log_with(move || open(fresh_url.clone()))
        .with_events(40_000)
        .with_kills(40)
        .with_lease(Duration::from_millis(500))
}

eventcore_testing::following_suite!(one_database, async || harness(false).await);

eventcore_testing::following_suite!(two_databases, async || harness(true).await);
