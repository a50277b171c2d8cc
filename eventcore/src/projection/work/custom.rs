//! A projection that writes for itself, at work.

use std::sync::Arc;

use super::{Failed, Work};
use crate::{
    EventFilter, RecordedEvent, StoredEvent,
    projection::{
        ApplyError, Lease, Projection, ProjectionId, ProjectionName, ProjectionNameError,
        ProjectionStoreError, UnitOfWork,
    },
    store::{StoreError, StoreErrorKind},
};

/// Runs a [`Projection`].
#[derive(Debug)]
pub struct Custom<P>(pub(crate) Arc<P>);

impl<P: Projection> Work<P::Unit> for Custom<P> {
    fn another(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    fn id(&self) -> Result<ProjectionId, ProjectionNameError> {
        Ok(ProjectionId {
            name: ProjectionName::try_new(self.0.name())?,
            version: self.0.version(),
        })
    }

    fn filter(&self) -> EventFilter {
        self.0.filter()
    }

    fn prepares(&self) -> bool {
        true
    }

    async fn prepare(&mut self, unit: &mut P::Unit) -> Result<(), ApplyError> {
        match self.0.prepare(unit).await {
            Ok(()) => Ok(()),
            Err(error) => Err(match trouble(unit, &error).await {
                Some(trouble) => trouble.into(),
                None => error,
            }),
        }
    }

    async fn apply(
        &mut self,
        unit: &mut P::Unit,
        lease: &Lease,
        events: &[RecordedEvent],
    ) -> Result<(), Failed> {
        let mut mine = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            if lease.owns(event.stream().as_str(), event.position()) {
                let decoded = StoredEvent::<P::Event>::decode(event.clone());
                mine.push(decoded.map_err(|error| Failed::lasting(index, error))?);
            }
        }
        if mine.is_empty() {
            return Ok(());
        }
        match self.0.apply_page(unit, &mine).await {
            Ok(()) => Ok(()),
            Err(error) => Err(match trouble(unit, &error).await {
                Some(trouble) => Failed::Store(trouble),
                None => Failed::passing(None, error),
            }),
        }
    }

    fn settled(&mut self, _: bool) {}
}

/// The store's own trouble, if that is what an error comes from. No event is to blame for a server that restarts, and none
/// must be skipped or parked for it.
async fn trouble<U: UnitOfWork>(unit: &mut U, error: &ApplyError) -> Option<ProjectionStoreError> {
    if let Some(error) = of_the_store(&**error) {
        return Some(error).filter(passes);
    }
    // A driver's error is of a type that is not known here. But a connection that is gone is gone for the unit too.
    unit.waiting().await.err().filter(passes)
}

/// The store's error in a chain of errors.
fn of_the_store(error: &(dyn std::error::Error + 'static)) -> Option<ProjectionStoreError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<ProjectionStoreError>() {
            return Some(error.clone());
        }
        next = error.source();
    }
    None
}

/// Whether it may be gone the next time, whatever the event.
fn passes(error: &ProjectionStoreError) -> bool {
    let blocked = |error: &StoreError| {
        matches!(
            error.kind(),
            StoreErrorKind::Full | StoreErrorKind::ReadOnly
        )
    };
    error.is_retriable()
        || error.is_fenced()
        || matches!(error, ProjectionStoreError::Store(error) if blocked(error))
}
