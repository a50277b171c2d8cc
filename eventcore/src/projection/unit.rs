//! One transaction of a leader.

use async_trait::async_trait;

use super::{Checkpoint, DeadLetter, DocumentChange, DocumentKey, ProjectionStoreError};
use crate::GlobalPosition;

/// One transaction of a leader. Dropping it rolls it back.
///
/// What it reads is what it has written itself and what was committed before.
#[async_trait]
pub trait UnitOfWork: Send + 'static {
    /// Documents of this version of the projection by key, in the order of the keys.
    ///
    /// # Errors
    ///
    /// [`ProjectionStoreError`].
    ///
    /// # Cancel safety
    ///
    /// After dropping the future the unit may only be dropped too.
    async fn load(
        &mut self,
        keys: &[DocumentKey],
    ) -> Result<Vec<Option<String>>, ProjectionStoreError>;

    /// Changes documents of this version; of two changes of one key the last counts.
    ///
    /// # Errors
    ///
    /// [`ProjectionStoreError`].
    ///
    /// # Cancel safety
    ///
    /// As [`UnitOfWork::load`].
    async fn put(&mut self, changes: Vec<DocumentChange>) -> Result<(), ProjectionStoreError>;

    /// The letters of this partition that wait, by position: those that are to be replayed, and the others.
    ///
    /// # Errors
    ///
    /// [`ProjectionStoreError`].
    ///
    /// # Cancel safety
    ///
    /// As [`UnitOfWork::load`].
    async fn waiting(&mut self) -> Result<Vec<DeadLetter>, ProjectionStoreError>;

    /// Writes letters down, each instead of the one for the same position and partition, if there is one.
    ///
    /// # Errors
    ///
    /// [`ProjectionStoreError`].
    ///
    /// # Cancel safety
    ///
    /// As [`UnitOfWork::load`].
    async fn bury(&mut self, letters: Vec<DeadLetter>) -> Result<(), ProjectionStoreError>;

    /// Removes the letter at a position: its event was applied after all.
    ///
    /// # Errors
    ///
    /// [`ProjectionStoreError`].
    ///
    /// # Cancel safety
    ///
    /// As [`UnitOfWork::load`].
    async fn revive(&mut self, position: GlobalPosition) -> Result<(), ProjectionStoreError>;

    /// Commits everything, moves the checkpoint and renews the lease, if it is still the last one.
    ///
    /// # Errors
    ///
    /// [`ProjectionStoreError::Fenced`], and nothing is committed. After another error it may be committed or not; the next
    /// [`Lease`](super::Lease) tells.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the unit committed or not.
    async fn commit(self, progress: Progress) -> Result<(), ProjectionStoreError>;
}

/// What a commit writes beside the work itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Where the partition stands now.
    pub checkpoint: Checkpoint,
    /// Readers see this version from now on, unless they see a higher one already.
    pub activate: bool,
}
