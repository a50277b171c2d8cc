//! What is under test: a store of events and the store of documents that it changes.

use std::sync::Arc;

use async_trait::async_trait;
use eventcore::{
    EventStore,
    projection::{Inline, ProjectionId, ProjectionStore},
    store::StoreError,
};

/// Where events live, and with them the documents of their inline read models; both fresh and empty, and gone when this
/// is dropped.
///
/// ```
/// use std::sync::Arc;
///
/// use async_trait::async_trait;
/// use eventcore::{EventStore, projection::{Inline, ProjectionId, ProjectionStoreError}, store::StoreError};
/// use eventcore_memory::{InMemoryEventStore, InMemoryProjections};
/// use eventcore_testing::inline_contract::{Place, together};
///
/// #[derive(Default)]
/// struct InMemory { events: InMemoryEventStore, views: InMemoryProjections }
///
/// #[async_trait]
/// impl Place for InMemory {
///     type Views = InMemoryProjections;
///
///     async fn open(&self, models: Vec<Inline>) -> Result<Arc<dyn EventStore>, StoreError> {
///         let mut store = self.events.clone();
///         for model in models {
///             store = store.inline(model, &self.views).map_err(|error| match error {
///                 ProjectionStoreError::Store(error) => error,
///                 other => unreachable!("{other}"),
///             })?;
///         }
///         Ok(Arc::new(store))
///     }
///
///     async fn views(&self) -> InMemoryProjections {
///         self.views.clone()
///     }
///
///     async fn give_back(&self, projection: &ProjectionId) -> Result<(), StoreError> {
///         self.views.give_back(projection);
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "multi_thread")] async fn main() {
/// together::documents_are_there_when_an_append_returns(InMemory::default()).await;
/// # }
/// ```
#[async_trait]
pub trait Place: Send + Sync + 'static {
    /// The store of documents.
    type Views: ProjectionStore + Clone;

    /// The events through a handle of their own, as another process would have them, with these models inline.
    ///
    /// # Errors
    ///
    /// What the store says when they cannot be run inline.
    async fn open(&self, models: Vec<Inline>) -> Result<Arc<dyn EventStore>, StoreError>;

    /// The documents.
    async fn views(&self) -> Self::Views;

    /// Lets runners lead a projection again.
    ///
    /// # Errors
    ///
    /// What the store says.
    async fn give_back(&self, projection: &ProjectionId) -> Result<(), StoreError>;
}
