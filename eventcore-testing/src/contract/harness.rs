//! A store under test, with what must live as long as it.

use std::{any::Any, fmt, future::Future, pin::Pin, sync::Arc};

use eventcore::{EventStore, store::Capabilities};

type Opening = Pin<Box<dyn Future<Output = Arc<dyn EventStore>> + Send>>;
type Opener = Arc<dyn Fn() -> Opening + Send + Sync>;

/// A fresh, empty store under test, what must live as long as it, and the way to open it again.
///
/// A store alone is a harness too (`From`), so a factory may just return the store.
///
/// ```
/// use eventcore_memory::InMemoryEventStore;
/// use eventcore_testing::contract::{Harness, guarded};
///
/// # #[tokio::main(flavor = "multi_thread")] async fn main() {
/// # struct Folder;
/// # let folder = Folder;
/// # let data = InMemoryEventStore::new();
/// // With a database: `Harness::new(open(&path).await).keep(folder).reopen_with(move || open(&path))`.
/// let again = data.clone();
/// let harness = Harness::new(data)
///     .keep(folder)
///     .reopen_with(move || { let again = again.clone(); async move { again } });
/// guarded::an_expectation_on_a_read_only_stream_is_checked(harness).await;
/// # }
/// ```
pub struct Harness {
    store: Arc<dyn EventStore>,
    opener: Option<Opener>,
    declared: Option<Capabilities>,
    // Last, so that it is dropped after the store.
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl Harness {
    /// A store that is fresh and empty.
    pub fn new(store: impl EventStore + 'static) -> Self {
        Self {
            store: Arc::new(store),
            opener: None,
            declared: None,
            kept: Vec::new(),
        }
    }

    /// Keeps something alive until the clause is over: a temporary folder, a container.
    #[must_use]
    pub fn keep(mut self, guard: impl Any + Send + Sync) -> Self {
        self.kept.push(Box::new(guard));
        self
    }

    /// How to open the same data again, needed by stores that claim to be durable or to serve several processes.
    ///
    /// Called when the first store was dropped, to see that everything was kept, and while the first is open, in the
    /// place of a second process.
    #[must_use]
    pub fn reopen_with<F, Fut, S>(mut self, open: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = S> + Send + 'static,
        S: EventStore + 'static,
    {
        self.opener = Some(Arc::new(move || {
            let opening = open();
            Box::pin(async move { Arc::new(opening.await) as Arc<dyn EventStore> })
        }));
        self
    }

    /// What the store is expected to claim; without it, whatever it claims.
    #[must_use]
    pub fn declare(mut self, capabilities: Capabilities) -> Self {
        self.declared = Some(capabilities);
        self
    }

    /// The store.
    pub fn store(&self) -> Arc<dyn EventStore> {
        Arc::clone(&self.store)
    }

    /// What was declared, or else what the store claims.
    pub fn capabilities(&self) -> Capabilities {
        self.declared.unwrap_or_else(|| self.store.capabilities())
    }

    /// Drops the store and opens its data again.
    ///
    /// # Panics
    ///
    /// Without [`Harness::reopen_with`].
    pub async fn reopen(self) -> Self {
        let Self {
            store,
            opener,
            declared,
            kept,
        } = self;
        drop(store);
        let open = opener.expect(NO_OPENER);
        Self {
            store: open().await,
            opener: Some(open),
            declared,
            kept,
        }
    }

    /// Opens the same data a second time, beside the first.
    ///
    /// # Panics
    ///
    /// Without [`Harness::reopen_with`].
    pub async fn second(&self) -> Arc<dyn EventStore> {
        let open = self.opener.as_ref().expect(NO_OPENER);
        open().await
    }
}

const NO_OPENER: &str = "the store claims to be durable or to serve several processes: \
     say how to open its data again with `Harness::reopen_with`";

impl<S: EventStore + 'static> From<S> for Harness {
    fn from(store: S) -> Self {
        Self::new(store)
    }
}

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness")
            .field("capabilities", &self.capabilities())
            .field("can_reopen", &self.opener.is_some())
            .finish_non_exhaustive()
    }
}
