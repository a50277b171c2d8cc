//! Where projections live when they live in memory.

mod books;
mod inline;
mod query;
mod unit;
mod version;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use eventcore::{
    GlobalPosition,
    projection::{
        Claim, Claimed, DeadLetter, DocumentKey, DocumentQuery, Lease, ProjectionId,
        ProjectionName, ProjectionStore, ProjectionStoreError, RawDocument, Standing,
    },
};
use tokio::time::Instant;

pub(crate) use self::inline::Inlines;
pub use self::unit::InMemoryUnit;
use self::{books::Books, query::select};

/// Projections in memory: their leases, checkpoints, documents and dead letters. Clones share all of it.
///
/// The reference for the other stores of projections. Leases run by Tokio's clock, so a test that pauses time decides
/// when they end. Isolation: what a unit reads was committed; every commit and every query sees one state. A document
/// that `serde_json` cannot read is kept like any other, and has no fields to a query.
///
/// A read model that is no documents may be a value of any type `M`. It belongs to **one** version of one projection:
/// the first whose unit asks for it with [`InMemoryUnit::model`]. Documents of other projections can be kept beside it.
///
/// ```
/// use std::time::Duration;
///
/// use eventcore::projection::{
///     Claim, Claimed, DocumentChange, DocumentKey, Owner, Partitions, Progress, ProjectionId, ProjectionName,
///     ProjectionStore, UnitOfWork,
/// };
/// use eventcore_memory::InMemoryProjections;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store: InMemoryProjections = InMemoryProjections::new();
/// let name = ProjectionName::try_new("balances")?;
/// let claim = Claim {
///     projection: ProjectionId { name: name.clone(), version: 1 },
///     partition: 0,
///     partitions: Partitions::ONE,
///     owner: Owner { id: uuid::Uuid::now_v7(), label: "doctest".into() },
///     ttl: Duration::from_secs(10),
/// };
/// let Claimed::Granted(lease) = store.claim(&claim).await? else { unreachable!("nobody else is here") };
///
/// let mut unit = store.begin(&lease).await?;
/// let key = DocumentKey::try_new("account:1")?;
/// unit.put(vec![DocumentChange { key: key.clone(), body: Some(r#"{"balance":5}"#.into()) }]).await?;
/// unit.commit(Progress::default()).await?;
/// assert_eq!(store.documents(&name, &[key]).await?, [Some(r#"{"balance":5}"#.to_owned())]);
/// # Ok(()) }
/// ```
pub struct InMemoryProjections<M = ()> {
    shared: Arc<Shared<M>>,
}

#[derive(Default)]
struct Shared<M> {
    /// Shared with the event stores that run a read model inline.
    books: Arc<Mutex<Books>>,
    /// As the last commit left it. Locked while the books are, or alone.
    model: Mutex<Arc<M>>,
}

impl<M> Shared<M> {
    fn books(&self) -> MutexGuard<'_, Books> {
        locked(&self.books)
    }

    fn model(&self) -> Arc<M> {
        Arc::clone(&self.model.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_model(&self, model: M) {
        *self.model.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(model);
    }
}

// Every change of the books is checked before it begins and cannot panic half way, so a poisoned lock is sound.
fn locked(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<M> Clone for InMemoryProjections<M> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<M: Default> Default for InMemoryProjections<M> {
    fn default() -> Self {
        Self {
            shared: Arc::default(),
        }
    }
}

impl<M> fmt::Debug for InMemoryProjections<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemoryProjections")
            .field("projections", &self.shared.books().names())
            .finish_non_exhaustive()
    }
}

impl InMemoryProjections {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store with a model of this type.
    pub fn holding<M: Default>() -> InMemoryProjections<M> {
        InMemoryProjections::default()
    }
}

impl<M> InMemoryProjections<M> {
    /// The model, as the last unit that was committed left it. It stays so, whatever is committed later.
    ///
    /// ```
    /// use eventcore_memory::InMemoryProjections;
    ///
    /// let store = InMemoryProjections::holding::<Vec<String>>();
    /// assert!(store.model().is_empty());
    /// ```
    pub fn model(&self) -> Arc<M> {
        self.shared.model()
    }

    /// Lets runners lead a projection again that was run inline. A store that still runs it refuses its appends from
    /// now on, so give it back when no such store is in use any more. Nothing happens when it is not run inline.
    ///
    /// ```
    /// use eventcore::projection::{Inline, ProjectionId};
    /// use eventcore_memory::{InMemoryEventStore, InMemoryProjections};
    ///
    /// let views = InMemoryProjections::new();
    /// # type Example = Result<(), eventcore::projection::ProjectionStoreError>;
    /// # fn example(model: Inline, views: &InMemoryProjections) -> Example {
    /// let balances: ProjectionId = model.id().clone();
    /// let store = InMemoryEventStore::new().inline(model, views)?;
    /// drop(store);
    /// views.give_back(&balances);
    /// # Ok(()) }
    /// ```
    pub fn give_back(&self, projection: &ProjectionId) {
        inline::give_back(&mut self.shared.books(), projection);
    }
}

#[async_trait]
impl<M: Clone + Default + Send + Sync + 'static> ProjectionStore for InMemoryProjections<M> {
    type Unit = InMemoryUnit<M>;

    async fn claim(&self, claim: &Claim) -> Result<Claimed, ProjectionStoreError> {
        self.shared.books().claim(claim, Instant::now())
    }

    async fn renew(&self, lease: &Lease) -> Result<(), ProjectionStoreError> {
        self.shared.books().renew(lease, Instant::now())
    }

    async fn release(&self, lease: &Lease) -> Result<(), ProjectionStoreError> {
        self.shared.books().release(lease);
        Ok(())
    }

    async fn begin(&self, lease: &Lease) -> Result<Self::Unit, ProjectionStoreError> {
        self.shared.books().led(lease)?;
        Ok(InMemoryUnit::new(Arc::clone(&self.shared), lease.clone()))
    }

    async fn standings(
        &self,
        name: &ProjectionName,
    ) -> Result<Vec<Standing>, ProjectionStoreError> {
        Ok(self.shared.books().standings(name, Instant::now()))
    }

    async fn names(&self) -> Result<Vec<ProjectionName>, ProjectionStoreError> {
        Ok(self.shared.books().names())
    }

    async fn dead_letters(
        &self,
        projection: &ProjectionId,
        after: GlobalPosition,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, ProjectionStoreError> {
        Ok(self.shared.books().dead_letters(projection, after, limit))
    }

    async fn replay(&self, projection: &ProjectionId) -> Result<u64, ProjectionStoreError> {
        Ok(self.shared.books().replay(projection))
    }

    async fn reset(&self, projection: &ProjectionId) -> Result<(), ProjectionStoreError> {
        let mut books = self.shared.books();
        books.reset(projection);
        if books.has_model(projection) {
            self.shared.set_model(M::default());
        }
        Ok(())
    }

    async fn remove(&self, projection: &ProjectionId) -> Result<(), ProjectionStoreError> {
        let mut books = self.shared.books();
        let had_model = books.has_model(projection);
        books.remove(projection)?;
        if had_model {
            self.shared.set_model(M::default());
        }
        Ok(())
    }

    async fn documents(
        &self,
        name: &ProjectionName,
        keys: &[DocumentKey],
    ) -> Result<Vec<Option<String>>, ProjectionStoreError> {
        let books = self.shared.books();
        let documents = books.visible(name);
        let body = |key| documents.and_then(|documents| documents.get(key).cloned());
        Ok(keys.iter().map(body).collect())
    }

    async fn query(
        &self,
        name: &ProjectionName,
        query: &DocumentQuery,
    ) -> Result<Vec<RawDocument>, ProjectionStoreError> {
        // Copied, so that a long look through the documents holds no leader up.
        let documents = self.shared.books().visible(name).cloned();
        Ok(documents.map_or_else(Vec::new, |documents| select(documents, query)))
    }
}
