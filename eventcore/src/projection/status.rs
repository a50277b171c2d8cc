//! How a projection is doing.

use std::time::Duration;

use tokio::time::Instant;

use super::{Owner, ProjectionId};
use crate::GlobalPosition;

/// How a projection is doing, as one process sees it.
#[derive(Clone, Debug)]
pub struct ProjectionStatus {
    /// Which.
    pub projection: ProjectionId,
    /// Each of its partitions, in order.
    pub partitions: Vec<PartitionStatus>,
}

/// How one partition is doing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PartitionStatus {
    /// The partition, from 0.
    pub partition: u32,
    /// What it is doing.
    pub state: ProjectionState,
    /// Everything up to here is applied and committed, or does not concern it.
    pub position: GlobalPosition,
    /// Where the log ended when it was last looked at.
    pub log_end: GlobalPosition,
    /// How old the oldest event is that is not applied yet, roughly: the age of the last one applied while there are
    /// more, else zero.
    pub lag: Duration,
    /// Positions per second, over the last seconds.
    pub rate: f64,
    /// What went wrong last, if it still does.
    pub last_error: Option<String>,
    /// Who leads, if that is known here.
    pub leader: Option<Owner>,
    /// The epoch of this process's lease, 0 before the first.
    pub epoch: u64,
    /// How many dead letters wait.
    pub waiting_letters: u64,
}

/// What a partition is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProjectionState {
    /// Somebody else leads; this process is ready to take over.
    StandingBy,
    /// It leads and works through what is there.
    CatchingUp,
    /// It leads, has reached the end of the log, and its version is the one that readers see, or an older one.
    Live,
    /// Something failed, and is being tried again.
    Failing,
    /// It was stopped by an error; [`PartitionStatus::last_error`] says which.
    Failed,
    /// It was told to stop.
    Stopped,
}

impl PartitionStatus {
    pub(super) fn new(partition: u32) -> Self {
        Self {
            partition,
            state: ProjectionState::StandingBy,
            position: GlobalPosition::START,
            log_end: GlobalPosition::START,
            lag: Duration::ZERO,
            rate: 0.0,
            last_error: None,
            leader: None,
            epoch: 0,
            waiting_letters: 0,
        }
    }

    /// How many positions it is behind the end of the log. Events that do not concern it count.
    pub fn behind(&self) -> u64 {
        self.log_end.get().saturating_sub(self.position.get())
    }

    /// How long it will take to catch up at this rate; nothing while there is no rate.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn time_left(&self) -> Option<Duration> {
        if self.behind() == 0 {
            return Some(Duration::ZERO);
        }
        Duration::try_from_secs_f64(self.behind() as f64 / self.rate).ok()
    }
}

impl ProjectionStatus {
    /// Everything up to here is applied in all partitions.
    pub fn position(&self) -> GlobalPosition {
        let positions = self.partitions.iter().map(|partition| partition.position);
        positions.min().unwrap_or_default()
    }

    /// Whether all partitions that this process leads have reached the end of the log, and it leads one at least.
    pub fn is_live(&self) -> bool {
        let standing_by =
            |partition: &&PartitionStatus| partition.state == ProjectionState::StandingBy;
        let mut led = self
            .partitions
            .iter()
            .filter(|p| !standing_by(p))
            .peekable();
        led.peek().is_some() && led.all(|partition| partition.state == ProjectionState::Live)
    }
}

/// Measures a rate over a few seconds.
#[derive(Debug)]
pub(super) struct Speedometer {
    since: Instant,
    from: GlobalPosition,
    rate: f64,
}

impl Speedometer {
    pub(super) fn new(position: GlobalPosition) -> Self {
        Self {
            since: Instant::now(),
            from: position,
            rate: 0.0,
        }
    }

    /// The rate, after coming to a position.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub(super) fn at(&mut self, position: GlobalPosition) -> f64 {
        let seconds = self.since.elapsed().as_secs_f64();
        let rate = position.get().saturating_sub(self.from.get()) as f64 / seconds.max(1e-3);
        // Over less than that the number would jump about; over more it would be history.
        if seconds >= 2.0 || self.rate == 0.0 {
            self.rate = rate;
        }
        if seconds >= 2.0 {
            (self.since, self.from) = (Instant::now(), position);
        }
        self.rate
    }
}
