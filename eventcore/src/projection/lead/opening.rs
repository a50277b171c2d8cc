//! The beginning of a term: is this the log, and may it be written?

use std::time::Duration;

use super::{Activation, Lead};
use crate::{
    EventFilter, EventStore, GlobalPosition,
    projection::{Checkpoint, ProjectionError, ProjectionStore, leader::Ended, work::Work},
    store::{PageSize, ReadError},
    subscription::log_end,
};

impl<W, S, V> Lead<'_, W, S, V>
where
    W: Work<V::Unit>,
    S: EventStore + Clone + 'static,
    V: ProjectionStore + Clone,
{
    /// Refuses a log that is not the one that was projected.
    pub(super) async fn check_the_log(&mut self) -> Result<(), Ended> {
        let end = log_end(&self.leader.store).await?;
        self.leader.tell(|status| status.log_end = end);
        let after = self.checkpoint.position;
        if after > end {
            return Err(ReadError::LogBehind { after, end }.into());
        }
        let Some(witness) = self.checkpoint.witness else {
            return Ok(());
        };
        let found = self.event_at(witness.position).await?;
        if found.as_ref().map(crate::RecordedEvent::id) != Some(witness.id) {
            return Err(Ended::Failed(ProjectionError::AnotherLog {
                projection: self.lease.projection.clone(),
                position: witness.position,
                expected: witness.id,
                found: found.map(|event| event.id()),
            }));
        }
        Ok(())
    }

    pub(super) async fn event_at(
        &mut self,
        position: GlobalPosition,
    ) -> Result<Option<crate::RecordedEvent>, Ended> {
        let before = position.get().saturating_sub(1);
        let before = GlobalPosition::try_new(before).unwrap_or_default();
        let one = PageSize::try_new(1).unwrap_or_default();
        let page = self
            .leader
            .store
            .read_all(before, &EventFilter::all(), one)
            .await?;
        Ok(page
            .events
            .into_iter()
            .next()
            .filter(|event| event.position() == position))
    }

    pub(super) async fn take_office(&mut self) -> Result<(), Ended> {
        let standings = self
            .leader
            .views
            .standings(&self.lease.projection.name)
            .await?;
        let newest = standings
            .iter()
            .filter(|standing| standing.active)
            .map(|standing| standing.projection.version)
            .max();
        if newest.is_some_and(|newest| newest < self.lease.projection.version) {
            self.activation = Activation::CatchingUp;
        }
        self.open_letters().await?;
        let (epoch, position) = (self.lease.epoch, self.checkpoint.position);
        tracing::info!(projection = %self.lease.projection, partition = self.lease.partition, epoch, %position,
            "leading");
        let owner = self.lease.owner.clone();
        self.leader.tell(|status| {
            status.epoch = epoch;
            status.leader = Some(owner);
            status.position = position;
        });
        if position >= self.leader.status.borrow().log_end {
            self.at_end();
        }
        self.show();
        Ok(())
    }

    /// The tables are made by the first partition, before anybody writes to them.
    pub(super) async fn wait_for_preparation(&mut self) -> Result<(), Ended> {
        if !self.first || self.lease.partition == 0 || !self.leader.work.prepares() {
            self.first &= self.lease.partition == 0;
            return Ok(());
        }
        self.first = false;
        loop {
            let standings = self
                .leader
                .views
                .standings(&self.lease.projection.name)
                .await?;
            let prepared = standings.iter().any(|standing| {
                standing.projection == self.lease.projection
                    && standing.partition == 0
                    && standing.checkpoint != Checkpoint::default()
            });
            if prepared {
                return Ok(());
            }
            self.pause(Duration::from_millis(50)).await?;
        }
    }
}
