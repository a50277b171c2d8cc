//! The contract of stores of projections, on servers of this machine.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by a panic"
)]

mod support;

use eventcore_postgres::{PostgresOptions, PostgresProjections};
use eventcore_testing::projection_contract::Harness;
use support::migrated;

async fn views(url: &str) -> PostgresProjections {
    PostgresProjections::connect(url, PostgresOptions::new())
        .await
        .unwrap()
}

eventcore_testing::projection_suite!(postgres, async || {
    let database = migrated();
    let url = database.url();
    let open = move || {
        let url = url.clone();
        async move { views(&url).await }
    };
    Harness::new(open().await).keep(database).reopen_with(open)
});
