//! What a store of projections owes: leases, checkpoints, documents and dead letters.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{
    Checkpoint, Claim, Claimed, DeadLetter, DocumentKey, DocumentQuery, Lease, Owner, Partitions,
    ProjectionId, ProjectionName, RawDocument, UnitOfWork,
};
use crate::{GlobalPosition, store::StoreError};

/// Where read models live, with the checkpoints of the projections that make them.
///
/// What a store owes, each promise with a test of that name in the `eventcore-testing` projection suite:
///
/// * A [`Unit`](ProjectionStore::Unit) is one transaction: documents, dead letters, whatever the projection wrote itself,
///   and the checkpoint become visible together or not at all.
/// * A unit commits only if its lease is the last one that was granted for its partition (**fencing**): a leader that was
///   paused and replaced cannot write, however late it wakes.
/// * Epochs rise with every grant over all partitions of a projection, also after it was released, expired or divided anew.
/// * Time is the store's own clock, so leases do not depend on the clocks of the runners.
///
/// Control data is kept per [`ProjectionId`], so two versions of a projection do not touch each other. One version of each name
/// is **active**: the first that was ever claimed, until another is committed with [`Progress::activate`](super::Progress::activate). Readers
/// see the documents of the active version.
#[async_trait]
pub trait ProjectionStore: Send + Sync + 'static {
    /// A transaction.
    type Unit: UnitOfWork;

    /// Asks to lead a partition.
    ///
    /// Granted when nobody's lease is running, and to the owner itself at any time (with a new epoch). If the projection
    /// has another number of partitions, nobody leads any of them and no letters wait, it is divided anew first: all
    /// partitions start where [`Divisions::and`](super::Divisions::and) says, with the witness of a partition that was
    /// there. A version that was never claimed begins with [`Checkpoint::default`] in all its partitions.
    ///
    /// # Errors
    ///
    /// [`ProjectionStoreError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the claim granted; it runs out by itself.
    async fn claim(&self, claim: &Claim) -> Result<Claimed, ProjectionStoreError>;

    /// Makes a lease last for its whole time again, counted from now.
    ///
    /// # Errors
    ///
    /// [`ProjectionStoreError::Fenced`] when somebody else was granted it.
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    async fn renew(&self, lease: &Lease) -> Result<(), ProjectionStoreError>;

    /// Ends a lease at once, if it is still the last one; no error if it is not.
    ///
    /// # Errors
    ///
    /// [`ProjectionStoreError`].
    ///
    /// # Cancel safety
    ///
    /// Safe at any point; the lease runs out by itself.
    async fn release(&self, lease: &Lease) -> Result<(), ProjectionStoreError>;

    /// Begins a transaction. Dropping the unit without a commit rolls it back.
    ///
    /// # Errors
    ///
    /// [`ProjectionStoreError::Fenced`] when the store can tell already; a commit will in any case.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind, and the connection clean.
    async fn begin(&self, lease: &Lease) -> Result<Self::Unit, ProjectionStoreError>;

    /// Where all versions and partitions of a projection stand, by version and partition; nothing for an unknown name.
    ///
    /// # Errors
    ///
    /// [`ProjectionStoreError`].
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    async fn standings(&self, name: &ProjectionName)
    -> Result<Vec<Standing>, ProjectionStoreError>;

    /// The names of all projections that were ever claimed and not removed, in order.
    ///
    /// # Errors
    ///
    /// [`ProjectionStoreError`].
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    async fn names(&self) -> Result<Vec<ProjectionName>, ProjectionStoreError>;

    /// Dead letters of the next `limit` positions that have any, after a position; by position and partition. Those of one
    /// position are never parted, so the last position is where to go on.
    ///
    /// # Errors
    ///
    /// [`ProjectionStoreError`].
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    async fn dead_letters(
        &self,
        projection: &ProjectionId,
        after: GlobalPosition,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, ProjectionStoreError>;

    /// Marks all parked letters, and those behind them, as [`Replaying`](super::Fate::Replaying); the leaders will try them. The number
    /// marked.
    ///
    /// # Errors
    ///
    /// [`ProjectionStoreError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future marks all or none.
    async fn replay(&self, projection: &ProjectionId) -> Result<u64, ProjectionStoreError>;

    /// Puts a projection back to the start of the log: its documents and dead letters go, its checkpoints are
    /// [`Checkpoint::default`], its divisions none, and whoever leads it is fenced off.
    ///
    /// # Errors
    ///
    /// [`ProjectionStoreError`].
    ///
    /// # Cancel safety
    ///
    /// All or nothing.
    async fn reset(&self, projection: &ProjectionId) -> Result<(), ProjectionStoreError>;

    /// Forgets a version of a projection with all that belongs to it. Whoever leads it is fenced off.
    ///
    /// # Errors
    ///
    /// [`ProjectionStoreError::Active`] for the active version, unless it is the only one.
    ///
    /// # Cancel safety
    ///
    /// All or nothing.
    async fn remove(&self, projection: &ProjectionId) -> Result<(), ProjectionStoreError>;

    /// Documents of the active version by key, in the order of the keys asked for.
    ///
    /// # Errors
    ///
    /// [`ProjectionStoreError`].
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    async fn documents(
        &self,
        name: &ProjectionName,
        keys: &[DocumentKey],
    ) -> Result<Vec<Option<String>>, ProjectionStoreError>;

    /// Documents of the active version that a query asks for.
    ///
    /// # Errors
    ///
    /// [`ProjectionStoreError`].
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    async fn query(
        &self,
        name: &ProjectionName,
        query: &DocumentQuery,
    ) -> Result<Vec<RawDocument>, ProjectionStoreError>;
}

/// Where one partition of one version stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The version.
    pub projection: ProjectionId,
    /// The partition, from 0.
    pub partition: u32,
    /// How many there are.
    pub partitions: Partitions,
    /// Whether readers see this version.
    pub active: bool,
    /// How far it has come.
    pub checkpoint: Checkpoint,
    /// The last epoch that was granted; 0 if none ever was.
    pub epoch: u64,
    /// Who leads, and how long yet; nobody when no lease is running.
    pub leader: Option<(Owner, Duration)>,
    /// How many letters wait.
    pub waiting: u64,
    /// How many were skipped.
    pub skipped: u64,
}

/// Why a store of projections failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectionStoreError {
    /// The store could not be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody else leads the partition now; nothing was written.
    #[error(
        "projection {projection}, partition {partition}: epoch {epoch} was replaced by a newer one"
    )]
    Fenced {
        /// The projection.
        projection: ProjectionId,
        /// The partition.
        partition: u32,
        /// The epoch that is over.
        epoch: u64,
    },
    /// The active version is not removed while there are others.
    #[error("projection {projection} is the one that readers see; activate another one first")]
    Active {
        /// The version that was to go.
        projection: ProjectionId,
    },
}

impl ProjectionStoreError {
    /// That this lease was replaced.
    pub fn fenced(lease: &Lease) -> Self {
        Self::Fenced {
            projection: lease.projection.clone(),
            partition: lease.partition,
            epoch: lease.epoch,
        }
    }

    /// Whether somebody else leads now.
    pub fn is_fenced(&self) -> bool {
        matches!(self, Self::Fenced { .. })
    }

    /// Whether the same call may succeed later.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_retriable())
    }
}

#[async_trait]
impl<S: ProjectionStore> ProjectionStore for Arc<S> {
    type Unit = S::Unit;
    async fn claim(&self, claim: &Claim) -> Result<Claimed, ProjectionStoreError> {
        (**self).claim(claim).await
    }
    async fn renew(&self, lease: &Lease) -> Result<(), ProjectionStoreError> {
        (**self).renew(lease).await
    }
    async fn release(&self, lease: &Lease) -> Result<(), ProjectionStoreError> {
        (**self).release(lease).await
    }
    async fn begin(&self, lease: &Lease) -> Result<Self::Unit, ProjectionStoreError> {
        (**self).begin(lease).await
    }
    async fn standings(
        &self,
        name: &ProjectionName,
    ) -> Result<Vec<Standing>, ProjectionStoreError> {
        (**self).standings(name).await
    }
    async fn names(&self) -> Result<Vec<ProjectionName>, ProjectionStoreError> {
        (**self).names().await
    }
    async fn dead_letters(
        &self,
        projection: &ProjectionId,
        after: GlobalPosition,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, ProjectionStoreError> {
        (**self).dead_letters(projection, after, limit).await
    }
    async fn replay(&self, projection: &ProjectionId) -> Result<u64, ProjectionStoreError> {
        (**self).replay(projection).await
    }
    async fn reset(&self, projection: &ProjectionId) -> Result<(), ProjectionStoreError> {
        (**self).reset(projection).await
    }
    async fn remove(&self, projection: &ProjectionId) -> Result<(), ProjectionStoreError> {
        (**self).remove(projection).await
    }
    async fn documents(
        &self,
        name: &ProjectionName,
        keys: &[DocumentKey],
    ) -> Result<Vec<Option<String>>, ProjectionStoreError> {
        (**self).documents(name, keys).await
    }
    async fn query(
        &self,
        name: &ProjectionName,
        query: &DocumentQuery,
    ) -> Result<Vec<RawDocument>, ProjectionStoreError> {
        (**self).query(name, query).await
    }
}
