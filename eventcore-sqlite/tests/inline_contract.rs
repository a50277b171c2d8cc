//! The contract of inline read models, in the file of the events.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

use std::sync::Arc;

use async_trait::async_trait;
use eventcore::{
    EventStore,
    projection::{Inline, ProjectionId, ProjectionStoreError},
    store::StoreError,
};
use eventcore_sqlite::{SqliteEventStore, SqliteOptions, SqliteProjections};
use eventcore_testing::inline_contract::Place;
use tempfile::TempDir;

struct OneFile {
    folder: TempDir,
    views: SqliteProjections,
}

impl OneFile {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let views = SqliteProjections::open(folder.path().join("events.db")).await;
        Self {
            views: views.unwrap(),
            folder,
        }
    }
}

#[async_trait]
impl Place for OneFile {
    type Views = SqliteProjections;

    async fn open(&self, models: Vec<Inline>) -> Result<Arc<dyn EventStore>, StoreError> {
        let options = SqliteOptions::new(self.folder.path().join("events.db"));
        let options = models.into_iter().fold(options, SqliteOptions::inline);
        Ok(Arc::new(SqliteEventStore::open_with(options).await?))
    }

    async fn views(&self) -> SqliteProjections {
        self.views.clone()
    }

    async fn give_back(&self, projection: &ProjectionId) -> Result<(), StoreError> {
        let given = self.views.give_back(projection).await;
        given.map_err(|error| match error {
            ProjectionStoreError::Store(error) => error,
            other => panic!("nobody was fenced: {other}"),
        })
    }
}

eventcore_testing::inline_suite!(sqlite, async || OneFile::new().await);

/// `cargo test -p eventcore-sqlite --release --test inline_contract -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, to be run by hand with optimisation"]
async fn what_inline_models_cost() {
    let time = std::time::Duration::from_secs(1);
    eventcore_testing::inline_contract::cost::print(async || OneFile::new().await, 3, time).await;
}
