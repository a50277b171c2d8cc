//! The contract of inline read models, and what is special to them here.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use eventcore::{
    EventStore,
    projection::{Inline, ProjectionId, ProjectionStoreError},
    store::StoreError,
};
use eventcore_postgres::{PostgresEventStore, PostgresOptions, PostgresProjections};
use eventcore_testing::{inline_contract::Place, temp_postgres::TempDatabase};
use support::{migrated, pool};

struct OneSchema {
    views: PostgresProjections,
    prepared: bool,
    pooled: bool,
    database: TempDatabase<'static>,
}

impl OneSchema {
    async fn new(prepared: bool, pooled: bool) -> Self {
        let database = migrated();
        let options = PostgresOptions::new().max_connections(2);
        Self {
            views: PostgresProjections::connect(&database.url(), options)
                .await
                .unwrap(),
            prepared,
            pooled,
            database,
        }
    }
}

#[async_trait]
impl Place for OneSchema {
    type Views = PostgresProjections;

    async fn open(&self, models: Vec<Inline>) -> Result<Arc<dyn EventStore>, StoreError> {
        let options = PostgresOptions::new()
            .max_connections(3)
            .prepared_statements(self.prepared);
        let options = models.into_iter().fold(options, PostgresOptions::inline);
        let url = self.database.url();
        let store = if self.pooled {
            PostgresEventStore::from_pool(pool(&url, 1).await, options).await?
        } else {
            PostgresEventStore::connect(&url, options).await?
        };
        Ok(Arc::new(store))
    }

    async fn views(&self) -> PostgresProjections {
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

eventcore_testing::inline_suite!(postgres, async || OneSchema::new(true, false).await);

eventcore_testing::inline_suite!(postgres_with_a_pool_of_one_unprepared, async || {
    OneSchema::new(false, true).await
});

/// `cargo test -p eventcore-postgres --release --test inline -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, to be run by hand with optimisation"]
async fn what_inline_models_cost() {
    let time = std::time::Duration::from_secs(1);
    eventcore_testing::inline_contract::cost::print(
        async || OneSchema::new(true, false).await,
        3,
        time,
    )
    .await;
}
