//! The contract of all stores, and the comparison with a plain model.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

use eventcore::store::Capabilities;
use eventcore_sqlite::{SqliteEventStore, SqliteOptions};
use eventcore_testing::{contract::Harness, model};

async fn harness(read_in_place: bool) -> Harness {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(folder.path().join("events.db")).read_in_place(read_in_place);
    let open = move || {
        let options = options.clone();
        async move { SqliteEventStore::open_with(options).await.unwrap() }
    };
    Harness::new(open().await).keep(folder).reopen_with(open)
}

eventcore_testing::contract_suite!(
    sqlite,
    async || harness(true).await,
    Capabilities::none().durable().multi_process(),
);

eventcore_testing::contract_suite!(
    sqlite_with_reader_threads_only,
    async || harness(false).await,
    Capabilities::none().durable().multi_process(),
);

#[test]
fn it_answers_as_the_model_does() {
    model::check_reopening(
        48,
        || tempfile::tempdir().unwrap(),
        |folder| {
            let path = folder.path().join("events.db");
            async move { SqliteEventStore::open(path).await.unwrap() }
        },
    );
}
