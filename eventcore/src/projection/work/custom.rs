//! A projection that writes for itself, at work.

use std::sync::Arc;

use super::{Failed, Work};
use crate::{
    EventFilter, RecordedEvent, StoredEvent,
    projection::{
        ApplyError, Lease, Projection, ProjectionId, ProjectionName, ProjectionNameError,
    },
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
        self.0.prepare(unit).await
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
        let applied = self.0.apply_page(unit, &mine).await;
        applied.map_err(|error| Failed::passing(None, error))
    }

    fn settled(&mut self, _: bool) {}
}
