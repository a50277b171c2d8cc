//! What a runner drives: one face for read models and for projections that write for themselves.

mod custom;
mod documents;

pub(super) use self::{custom::Custom, documents::ByKey};
use super::{
    ApplyError, Lease, ProjectionId, ProjectionNameError, ProjectionStoreError, UnitOfWork,
};
use crate::{EventFilter, RecordedEvent};

/// One projection at work in one partition.
pub trait Work<U: UnitOfWork>: Send + 'static {
    /// The same work, for another partition.
    #[must_use]
    fn another(&self) -> Self;

    /// Which projection it is.
    fn id(&self) -> Result<ProjectionId, ProjectionNameError>;

    /// The events that concern it.
    fn filter(&self) -> EventFilter;

    /// Whether [`Work::prepare`] does anything.
    fn prepares(&self) -> bool;

    /// Before the first event.
    fn prepare(&mut self, unit: &mut U) -> impl Future<Output = Result<(), ApplyError>> + Send;

    /// Applies those of the events that the lease is for.
    fn apply(
        &mut self,
        unit: &mut U,
        lease: &Lease,
        events: &[RecordedEvent],
    ) -> impl Future<Output = Result<(), Failed>> + Send;

    /// What was applied last is committed, or it is not.
    fn settled(&mut self, committed: bool);
}

/// Why events were not applied.
#[derive(Debug)]
pub enum Failed {
    /// One of them is to blame.
    Event(Blame),
    /// The store failed.
    Store(ProjectionStoreError),
}

/// What is wrong with an event.
#[derive(Debug)]
pub struct Blame {
    /// Which, by its place in the slice, if that is known.
    pub index: Option<usize>,
    /// Whether it may go better the next time.
    pub passing: bool,
    /// What went wrong.
    pub error: ApplyError,
}

impl From<ProjectionStoreError> for Failed {
    fn from(error: ProjectionStoreError) -> Self {
        Self::Store(error)
    }
}

impl Failed {
    /// An event that will fail again.
    fn lasting(index: usize, error: impl Into<ApplyError>) -> Self {
        Self::Event(Blame {
            index: Some(index),
            passing: false,
            error: error.into(),
        })
    }

    /// One that may not.
    pub(super) fn passing(index: Option<usize>, error: impl Into<ApplyError>) -> Self {
        Self::Event(Blame {
            index,
            passing: true,
            error: error.into(),
        })
    }
}
