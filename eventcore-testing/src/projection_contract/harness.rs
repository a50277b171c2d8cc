//! A store of projections under test, with what must live as long as it.

use std::{any::Any, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use eventcore::projection::ProjectionStore;

type Opening<S> = Pin<Box<dyn Future<Output = S> + Send>>;
type Opener<S> = Arc<dyn Fn() -> Opening<S> + Send + Sync>;

/// A fresh, empty store under test, what must live as long as it, and the way to open it again.
///
/// A store alone is a harness too ([`IntoHarness`]), so a factory may just return the store.
///
/// ```
/// use std::time::Duration;
///
/// use eventcore_memory::InMemoryProjections;
/// use eventcore_testing::projection_contract::{Harness, leases};
///
/// # #[tokio::main(flavor = "multi_thread")] async fn main() {
/// let data: InMemoryProjections = InMemoryProjections::new();
/// let again = data.clone();
/// let harness = Harness::new(data)
///     .with_short_ttl(Duration::from_millis(100))
///     .reopen_with(move || { let again = again.clone(); async move { again } });
/// leases::a_first_claim_starts_at_the_beginning(harness).await;
/// # }
/// ```
pub struct Harness<S> {
    store: Arc<S>,
    opener: Option<Opener<S>>,
    short_ttl: Duration,
    // Last, so that it is dropped after the store.
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl<S: ProjectionStore> Harness<S> {
    /// A store that is fresh and empty.
    pub fn new(store: S) -> Self {
        Self {
            store: Arc::new(store),
            opener: None,
            short_ttl: Duration::from_millis(300),
            kept: Vec::new(),
        }
    }

    /// Keeps something alive until the clause is over: a temporary folder, a server.
    #[must_use]
    pub fn keep(mut self, guard: impl Any + Send + Sync) -> Self {
        self.kept.push(Box::new(guard));
        self
    }

    /// How to open the same data again. With it, the clauses on [`handles`](super::handles) hold the store to keep what
    /// was committed, and those in which many compete give each competitor a handle of its own.
    #[must_use]
    pub fn reopen_with<F, Fut>(mut self, open: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = S> + Send + 'static,
    {
        self.opener = Some(Arc::new(move || Box::pin(open())));
        self
    }

    /// How long a lease lasts that a clause waits for to run out; 300 milliseconds unless it is said. Long enough for a
    /// few calls of the store, since some clauses use such a lease before it runs out.
    #[must_use]
    pub fn with_short_ttl(mut self, ttl: Duration) -> Self {
        self.short_ttl = ttl;
        self
    }

    /// The time that a short lease lasts.
    pub fn short_ttl(&self) -> Duration {
        self.short_ttl
    }

    /// Waits until every short lease has run out that was granted or renewed before.
    pub async fn let_leases_run_out(&self) {
        tokio::time::sleep(self.short_ttl + self.short_ttl / 4 + Duration::from_millis(20)).await;
    }

    /// The store.
    pub fn store(&self) -> Arc<S> {
        Arc::clone(&self.store)
    }

    /// Whether the data can be opened again.
    pub fn can_reopen(&self) -> bool {
        self.opener.is_some()
    }

    /// The same data through another handle, if there is a way to open it; through the same one otherwise.
    pub async fn another(&self) -> Arc<S> {
        match &self.opener {
            Some(open) => Arc::new(open().await),
            None => self.store(),
        }
    }

    /// Drops the store and opens its data again, if there is a way to.
    #[must_use]
    pub async fn reopen(self) -> Self {
        let Some(open) = self.opener else {
            return self;
        };
        drop(self.store);
        Self {
            store: Arc::new(open().await),
            opener: Some(open),
            short_ttl: self.short_ttl,
            kept: self.kept,
        }
    }
}

impl<S> fmt::Debug for Harness<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness")
            .field("short_ttl", &self.short_ttl)
            .field("can_reopen", &self.opener.is_some())
            .finish_non_exhaustive()
    }
}

/// What a factory may give to [`projection_suite!`](crate::projection_suite): a store, or a [`Harness`] with one.
pub trait IntoHarness {
    /// The store.
    type Store: ProjectionStore;
    /// The harness with it.
    fn into_harness(self) -> Harness<Self::Store>;
}

impl<S: ProjectionStore> IntoHarness for S {
    type Store = S;
    fn into_harness(self) -> Harness<S> {
        Harness::new(self)
    }
}

impl<S: ProjectionStore> IntoHarness for Harness<S> {
    type Store = S;
    fn into_harness(self) -> Self {
        self
    }
}
