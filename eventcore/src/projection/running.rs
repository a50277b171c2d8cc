//! A projection that runs.

use std::time::Duration;

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{
    PartitionStatus, ProjectionError, ProjectionId, ProjectionState, ProjectionStatus,
    ProjectionStore,
};
use crate::GlobalPosition;

/// How often to ask the store about partitions that others lead.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// Longer than any process lives; waiting for ever would overflow the clock.
const AGES: Duration = Duration::from_hours(24 * 365 * 100);

/// A projection that was started. Dropping it stops it, without waiting.
#[derive(Debug)]
pub struct RunningProjection<V> {
    projection: ProjectionId,
    views: V,
    stop: watch::Sender<bool>,
    partitions: Vec<watch::Receiver<PartitionStatus>>,
    tasks: Vec<JoinHandle<Result<(), ProjectionError>>>,
}

type Task = (
    watch::Receiver<PartitionStatus>,
    JoinHandle<Result<(), ProjectionError>>,
);

impl<V: ProjectionStore> RunningProjection<V> {
    pub(super) fn new(
        projection: ProjectionId,
        views: V,
        stop: watch::Sender<bool>,
        tasks: Vec<Task>,
    ) -> Self {
        let (partitions, tasks) = tasks.into_iter().unzip();
        Self {
            projection,
            views,
            stop,
            partitions,
            tasks,
        }
    }

    /// Which projection it is.
    pub fn projection(&self) -> &ProjectionId {
        &self.projection
    }

    /// How it is doing, seen from here. What others lead, [`ProjectionStore::standings`] tells.
    pub fn status(&self) -> ProjectionStatus {
        ProjectionStatus {
            projection: self.projection.clone(),
            partitions: self.partitions.iter().map(|p| p.borrow().clone()).collect(),
        }
    }

    /// Waits until everything up to a position is applied and committed, whoever leads: so a caller reads its own write,
    /// with the position of its receipt. While a new version is being built readers see the old one; see
    /// [`RunningProjection::wait_until_live`]. After a reset by somebody else a leader without work notices within a
    /// quarter of its lease, and what was applied before counts until then.
    ///
    /// # Errors
    ///
    /// [`ProjectionError::TimedOut`]; [`ProjectionError::Stopped`] when it does not run any more; an error of the store.
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    pub async fn wait_until(
        &self,
        position: GlobalPosition,
        at_most: Duration,
    ) -> Result<(), ProjectionError> {
        let end = Instant::now() + at_most.min(AGES);
        let mut status = self.partitions.clone();
        for partition in &mut status {
            loop {
                let (reached, state, error) = {
                    let now = partition.borrow_and_update();
                    (now.position, now.state, now.last_error.clone())
                };
                let reached = match state {
                    _ if reached >= position => break,
                    ProjectionState::Failed | ProjectionState::Stopped => {
                        return Err(self.stopped(error));
                    }
                    ProjectionState::StandingBy => self.reached_elsewhere(partition).await?,
                    _ => reached,
                };
                if reached >= position {
                    break;
                }
                if Instant::now() >= end {
                    return Err(ProjectionError::TimedOut {
                        projection: self.projection.clone(),
                        wanted: position,
                        reached,
                    });
                }
                let wait = ASK_EVERY.min(end.saturating_duration_since(Instant::now()));
                tokio::select! {
                    // A task that ended has left its last word.
                    changed = partition.changed() => if changed.is_err() { sleep(wait).await },
                    () = sleep(wait) => {}
                }
            }
        }
        Ok(())
    }

    async fn reached_elsewhere(
        &self,
        partition: &watch::Receiver<PartitionStatus>,
    ) -> Result<GlobalPosition, ProjectionError> {
        let number = partition.borrow().partition;
        let standings = self.views.standings(&self.projection.name).await?;
        let count = self.partitions.len();
        let mine = standings.iter().filter(|standing| {
            // Where it is divided otherwise, any part may have to do with this one.
            let divided = standing.partitions.get() as usize != count;
            standing.projection == self.projection && (divided || standing.partition == number)
        });
        let reached = mine.map(|standing| standing.checkpoint.position).min();
        Ok(reached.unwrap_or(GlobalPosition::START))
    }

    fn stopped(&self, error: Option<String>) -> ProjectionError {
        ProjectionError::Stopped {
            projection: self.projection.clone(),
            reason: error.unwrap_or_else(|| "it was told to stop".into()),
        }
    }

    /// Waits until it has reached the end of the log in all partitions that this process leads.
    ///
    /// # Errors
    ///
    /// As [`RunningProjection::wait_until`].
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    pub async fn wait_until_live(&self, at_most: Duration) -> Result<(), ProjectionError> {
        let end = Instant::now() + at_most.min(AGES);
        loop {
            let status = self.status();
            if status.is_live() {
                return Ok(());
            }
            for partition in &status.partitions {
                if let ProjectionState::Failed | ProjectionState::Stopped = partition.state {
                    return Err(self.stopped(partition.last_error.clone()));
                }
            }
            if Instant::now() >= end {
                let log_end = status.partitions.iter().map(|partition| partition.log_end);
                return Err(ProjectionError::TimedOut {
                    projection: self.projection.clone(),
                    wanted: log_end.max().unwrap_or_default(),
                    reached: status.position(),
                });
            }
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Stops it: what is under way is finished, the place is saved, and another may lead at once.
    ///
    /// # Errors
    ///
    /// What it had failed with, if it had.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop the stopping.
    pub async fn stop(mut self) -> Result<(), ProjectionError> {
        self.stop.send_replace(true);
        let mut result = Ok(());
        for task in self.tasks.drain(..) {
            let ended = task.await.unwrap_or_else(|error| {
                Err(ProjectionError::Stopped {
                    projection: self.projection.clone(),
                    reason: error.to_string(),
                })
            });
            result = result.and(ended);
        }
        result
    }
}
