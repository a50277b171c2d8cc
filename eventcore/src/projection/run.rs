//! Starting a projection.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

use super::{
    FailurePolicy, Owner, Partitions, Projection, ProjectionError, ProjectionStore, ReadModel,
    RunningProjection,
    leader::{Leader, Settings},
    status::PartitionStatus,
    work::{ByKey, Custom, Work},
};
use crate::{EventStore, store::PageSize};

/// Keeps a read model up to date: events from `store`, documents into `views`.
///
/// Set what should differ from the default, then [`start`](ProjectionRun::start) it. Any number of processes may; they agree on who leads. See
/// [`ReadModel`] for an example.
pub fn project<M, S, V>(model: M, store: &S, views: &V) -> ProjectionRun<ByKey<M>, S, V>
where
    M: ReadModel,
    S: EventStore + Clone + 'static,
    V: ProjectionStore + Clone,
{
    ProjectionRun::new(ByKey::new(Arc::new(model)), store, views)
}

/// Runs a projection that writes for itself; `views` keeps its checkpoint. As [`project`] otherwise.
pub fn run_projection<P, S, V>(
    projection: P,
    store: &S,
    views: &V,
) -> ProjectionRun<Custom<P>, S, V>
where
    P: Projection,
    S: EventStore + Clone + 'static,
    V: ProjectionStore<Unit = P::Unit> + Clone,
{
    ProjectionRun::new(Custom(Arc::new(projection)), store, views)
}

/// A projection that is about to be started; see [`project`].
#[derive(Debug)]
#[must_use = "nothing happens before `start`"]
pub struct ProjectionRun<W, S, V> {
    work: W,
    store: S,
    views: V,
    partitions: Partitions,
    at_most: u32,
    settings: Settings,
}

impl<W, S, V> ProjectionRun<W, S, V>
where
    W: Work<V::Unit>,
    S: EventStore + Clone + 'static,
    V: ProjectionStore + Clone,
{
    fn new(work: W, store: &S, views: &V) -> Self {
        Self {
            work,
            store: store.clone(),
            views: views.clone(),
            partitions: Partitions::ONE,
            at_most: u32::MAX,
            settings: Settings::default(),
        }
    }

    /// Divides the projection, so that several processes can share it: by key for a [`ReadModel`], by stream
    /// for a [`Projection`]. Within each the order is kept. Not divided if not set.
    ///
    /// Another number than before is safe: what was applied is known, per part. It takes effect when nobody leads a
    /// partition any more and no dead letters wait, so replay those and stop the runners with the old number; until then
    /// those with the new one stand by.
    pub fn partitions(mut self, partitions: Partitions) -> Self {
        self.partitions = partitions;
        self
    }

    /// How many partitions this process leads at most; all if not set, at least 1.
    pub fn at_most(mut self, partitions: u32) -> Self {
        self.at_most = partitions.max(1);
        self
    }

    /// What happens to events that cannot be applied; [`FailurePolicy::stop`] if not set.
    pub fn on_failure(mut self, policy: FailurePolicy) -> Self {
        self.settings.policy = policy;
        self
    }

    /// How many events share a transaction at most; 1,000 if not set.
    pub fn page_size(mut self, events: PageSize) -> Self {
        self.settings.page_size = events;
        self
    }

    /// How long a call that applies events may take, before it counts as a failure; 10 seconds if not set.
    pub fn apply_timeout(mut self, timeout: Duration) -> Self {
        self.settings.apply_timeout = timeout;
        self
    }

    /// How long leadership lasts when the process dies; 15 seconds if not set, at least 50 ms. It is renewed between
    /// transactions, so it should be longer than [`apply_timeout`](ProjectionRun::apply_timeout).
    pub fn lease(mut self, ttl: Duration) -> Self {
        self.settings.ttl = ttl.max(Duration::from_millis(50));
        self
    }

    /// How often to look for events when the store does not call; 100 ms if not set.
    pub fn poll_every(mut self, wait: Duration) -> Self {
        self.settings.poll_every = wait;
        self
    }

    /// How long a live projection gathers events after a transaction before it begins the next; 4 ms if not set. The first
    /// event after a pause never waits. Less is sooner, and costs the store more transactions while many events come.
    pub fn gather(mut self, time: Duration) -> Self {
        self.settings.gather = time.min(Duration::from_secs(1));
        self
    }

    /// What to call this process in leases and logs; host and process number if not set.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.settings.label = label.into();
        self
    }

    /// Starts it, in tasks of its own. It runs until it is stopped, or until the returned handle is dropped.
    ///
    /// # Errors
    ///
    /// [`ProjectionError::Name`]. All else shows in the [status](RunningProjection::status).
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime, as `tokio::spawn` does.
    pub fn start(self) -> Result<RunningProjection<V>, ProjectionError> {
        let projection = self.work.id()?;
        let owner = Owner {
            id: Uuid::now_v7(),
            label: self
                .settings
                .label
                .chars()
                .filter(|c| !c.is_control())
                .take(50)
                .collect(),
        };
        let places = usize::try_from(self.at_most.min(self.partitions.get())).unwrap_or(1);
        let places = Arc::new(Semaphore::new(places));
        let (stop, stopping) = watch::channel(false);
        let mut tasks = Vec::new();
        for partition in 0..self.partitions.get() {
            let (status, watched) = watch::channel(PartitionStatus::new(partition));
            let leader = Leader {
                work: self.work.another(),
                store: self.store.clone(),
                views: self.views.clone(),
                projection: projection.clone(),
                partition,
                partitions: self.partitions,
                owner: owner.clone(),
                settings: self.settings.clone(),
                places: Arc::clone(&places),
                status,
                stopping: stopping.clone(),
            };
            tasks.push((watched, tokio::spawn(leader.run())));
        }
        Ok(RunningProjection::new(projection, self.views, stop, tasks))
    }
}
