//! A log and a store of projections under test, with what must live as long as they.

use std::{any::Any, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use eventcore::{EventStore, projection::ProjectionStore};

type Opening<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Opener<T> = Arc<dyn Fn() -> Opening<T> + Send + Sync>;

/// One process's way to the data: a handle on the log and one on the projections.
pub struct Handles<V> {
    /// The log.
    pub store: Arc<dyn EventStore>,
    /// The projections.
    pub views: Arc<V>,
}

impl<V> Clone for Handles<V> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            views: Arc::clone(&self.views),
        }
    }
}

impl<V> fmt::Debug for Handles<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handles").finish_non_exhaustive()
    }
}

/// A fresh, empty log and a store of projections under test, what must live as long as they, and the way to open them
/// again, as another process would.
///
/// ```
/// use eventcore_memory::{InMemoryEventStore, InMemoryProjections};
/// use eventcore_testing::following::{Harness, places};
///
/// # #[tokio::main(flavor = "multi_thread")] async fn main() {
/// let (events, views) = (InMemoryEventStore::new(), InMemoryProjections::<()>::new());
/// let again = (events.clone(), views.clone());
/// let harness = Harness::new(events, views)
///     .reopen_with(move || { let again = again.clone(); async move { again } })
///     .fresh_log_with(async || InMemoryEventStore::new())
///     .with_events(1_000);
/// places::it_begins_where_it_is_told_to(harness).await;
/// # }
/// ```
pub struct Harness<V> {
    handles: Handles<V>,
    opener: Option<Opener<Handles<V>>>,
    fresh_log: Option<Opener<Arc<dyn EventStore>>>,
    events: usize,
    kills: usize,
    ttl: Duration,
    // Last, so that it is dropped after the stores.
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl<V: ProjectionStore> Harness<V> {
    /// A log and a store of projections that are fresh and empty.
    pub fn new(store: impl EventStore + 'static, views: V) -> Self {
        Self {
            handles: Handles {
                store: Arc::new(store),
                views: Arc::new(views),
            },
            opener: None,
            fresh_log: None,
            events: 100_000,
            kills: 60,
            ttl: Duration::from_millis(250),
            kept: Vec::new(),
        }
    }

    /// Keeps something alive until the clause is over: a temporary folder, a server.
    #[must_use]
    pub fn keep(mut self, guard: impl Any + Send + Sync) -> Self {
        self.kept.push(Box::new(guard));
        self
    }

    /// How to open the same data again. With it every runner and every writer gets handles of its own, as in a process
    /// of its own, and those that are killed are killed with their handles. Called in several runtimes.
    #[must_use]
    pub fn reopen_with<F, Fut, E>(mut self, open: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = (E, V)> + Send + 'static,
        E: EventStore + 'static,
    {
        self.opener = Some(Arc::new(move || {
            let opening = open();
            Box::pin(async move {
                let (store, views) = opening.await;
                Handles {
                    store: Arc::new(store),
                    views: Arc::new(views),
                }
            })
        }));
        self
    }

    /// How to get another log that is fresh and empty, for the clauses on logs that were replaced. Without it these ask
    /// for nothing.
    #[must_use]
    pub fn fresh_log_with<F, Fut, E>(mut self, open: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = E> + Send + 'static,
        E: EventStore + 'static,
    {
        self.fresh_log = Some(Arc::new(move || {
            let opening = open();
            Box::pin(async move { Arc::new(opening.await) as Arc<dyn EventStore> })
        }));
        self
    }

    /// How many events the longest clause appends; 100,000 unless it is said. The others take a share of it.
    #[must_use]
    pub fn with_events(mut self, events: usize) -> Self {
        self.events = events.max(1_000);
        self
    }

    /// How often a runner is killed at most in the clauses that kill it at every await; 60 unless it is said.
    #[must_use]
    pub fn with_kills(mut self, kills: usize) -> Self {
        self.kills = kills.max(10);
        self
    }

    /// How long leases last where one is to run out; 250 milliseconds unless it is said.
    #[must_use]
    pub fn with_lease(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How many events the longest clause appends.
    pub fn events(&self) -> usize {
        self.events
    }

    /// How often a runner is killed at most.
    pub fn kills(&self) -> usize {
        self.kills
    }

    /// How long leases last.
    pub fn lease(&self) -> Duration {
        self.ttl
    }

    /// The handles that came first.
    pub fn handles(&self) -> Handles<V> {
        self.handles.clone()
    }

    /// Handles as another process has them, if there is a way to open the data again; the first ones otherwise.
    pub async fn another(&self) -> Handles<V> {
        self.door().open().await
    }

    /// The way to handles, to be taken along to other threads.
    pub(super) fn door(&self) -> Door<V> {
        Door {
            handles: self.handles.clone(),
            opener: self.opener.clone(),
        }
    }

    /// A log that has nothing to do with the first one, if there is a way to get one.
    pub async fn fresh_log(&self) -> Option<Arc<dyn EventStore>> {
        match &self.fresh_log {
            Some(open) => Some(open().await),
            None => None,
        }
    }
}

/// The way to handles.
pub(super) struct Door<V> {
    handles: Handles<V>,
    opener: Option<Opener<Handles<V>>>,
}

impl<V> Door<V> {
    pub(super) async fn open(&self) -> Handles<V> {
        match &self.opener {
            Some(open) => open().await,
            None => self.handles.clone(),
        }
    }
}

impl<V> fmt::Debug for Harness<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness")
            .field("can_reopen", &self.opener.is_some())
            .field("events", &self.events)
            .field("kills", &self.kills)
            .field("lease", &self.ttl)
            .finish_non_exhaustive()
    }
}
