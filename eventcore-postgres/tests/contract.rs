//! The store contract and the comparison with a plain model, on a server of this machine.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by a panic"
)]

mod support;

use eventcore::store::Capabilities;
use eventcore_testing::{contract::Harness, model, temp_postgres::TempPostgres};
use support::{connect, migrated, migrated_on, open};

const CAPABILITIES: Capabilities = Capabilities::none()
    .durable()
    .multi_process()
    .outcome_can_be_unknown();

async fn harness() -> Harness {
    let database = migrated();
    let url = database.url();
    let open = move || {
        let url = url.clone();
        async move { connect(&url).await }
    };
    Harness::new(open().await).keep(database).reopen_with(open)
}

eventcore_testing::contract_suite!(postgres, harness, CAPABILITIES);

#[test]
fn the_store_answers_as_the_model() {
    model::check_reopening(24, migrated, |database| {
        let url = database.url();
        async move { connect(&url).await }
    });
}

#[test]
fn postgresql_18_answers_as_the_model() {
    let server = match TempPostgres::builder().version(18).start() {
        Ok(server) => server,
        Err(error) => return println!("skipped: {error}"),
    };
    assert_eq!(server.version(), Some(18));
    model::check_reopening(
        12,
        || migrated_on(&server),
        |database| {
            let url = database.url();
            async move { connect(&url).await }
        },
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_of_one_database_share_nothing_but_the_database() {
    let database = migrated();
    let (first, second) = (open(&database).await, open(&database).await);
    let batch = support::batch(&[("a", 0)], "1");
    eventcore::EventStore::append(&first, batch).await.unwrap();
    assert_eq!(support::log(&second).await.len(), 1);
}
