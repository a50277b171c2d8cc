//! What happens when an event cannot be applied.

use std::time::Duration;

use super::{ProjectionId, ProjectionNameError, ProjectionStoreError};
use crate::{EventId, GlobalPosition, RetryPolicy, StreamId, store::ReadError};

/// Whatever a projection's own code ran into.
pub type ApplyError = Box<dyn std::error::Error + Send + Sync>;

/// What a projection does with an event that it cannot apply: try again, and then?
///
/// A panic, a time-out and an event that cannot be decoded are failures as any other; decoding is not tried again, since
/// it would fail again.
///
/// ```
/// use std::time::Duration;
/// use eventcore::{RetryPolicy, projection::FailurePolicy};
///
/// let policy = FailurePolicy::park().retry(RetryPolicy::exponential().max_attempts(3));
/// # let _ = policy;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailurePolicy {
    pub(super) retry: RetryPolicy,
    pub(super) then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Stop,
    Skip,
    Park { in_order: bool },
}

impl FailurePolicy {
    const fn then(then: Then) -> Self {
        Self {
            retry: RetryPolicy::exponential()
                .max_attempts(5)
                .base(Duration::from_millis(20))
                .cap(Duration::from_secs(5)),
            then,
        }
    }

    /// The projection stops with the error, and everything behind the event waits for somebody to look. What is done
    /// unless another policy is chosen.
    pub const fn stop() -> Self {
        Self::then(Then::Stop)
    }

    /// The event is written down as skipped, and the projection goes on.
    pub const fn skip() -> Self {
        Self::then(Then::Skip)
    }

    /// The event is put aside as a [`DeadLetter`](super::DeadLetter), with all later events of its stream, so that the order within the stream is
    /// kept; the projection goes on with the other streams. See [`ProjectionStore::replay`](super::ProjectionStore::replay).
    pub const fn park() -> Self {
        Self::then(Then::Park { in_order: true })
    }

    /// As [`FailurePolicy::park`], but later events of the stream are applied: for projections to which order does not
    /// matter.
    pub const fn park_alone() -> Self {
        Self::then(Then::Park { in_order: false })
    }

    /// How often to try before; 5 attempts over about a third of a second if not set.
    #[must_use]
    pub const fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }
}

impl Default for FailurePolicy {
    fn default() -> Self {
        Self::stop()
    }
}

/// Why a projection does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectionError {
    /// Its name is none.
    #[error(transparent)]
    Name(#[from] ProjectionNameError),
    /// The store of read models failed.
    #[error(transparent)]
    Store(#[from] ProjectionStoreError),
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An event could not be applied, and the [`FailurePolicy`] says to stop.
    #[error(
        "projection {projection} cannot apply the event at position {position} (stream `{stream}`, {event}), tried {attempts} times"
    )]
    Apply {
        /// The projection.
        projection: ProjectionId,
        /// Where the event stands.
        position: GlobalPosition,
        /// Its stream.
        stream: StreamId,
        /// Its identity.
        event: EventId,
        /// How often it was tried.
        attempts: u32,
        /// What went wrong last.
        source: ApplyError,
    },
    /// The projection's preparation failed.
    #[error("projection {projection} could not be prepared")]
    Prepare {
        /// The projection.
        projection: ProjectionId,
        /// What went wrong.
        source: ApplyError,
    },
    /// The log is not the one that was projected: say, an older backup was restored. Reset the projection to
    /// rebuild it from this log.
    #[error(
        "projection {projection} was built from another log: it applied event {expected} at position {position}, where \
         this log has {}; reset the projection to rebuild it",
        found.map_or_else(|| "none".to_owned(), |id| id.to_string())
    )]
    AnotherLog {
        /// The projection.
        projection: ProjectionId,
        /// Where they differ.
        position: GlobalPosition,
        /// The event that was applied.
        expected: EventId,
        /// The event that is there.
        found: Option<EventId>,
    },
    /// It waited longer than it was told to.
    #[error(
        "projection {projection} had not reached position {wanted} in time, it is at {reached}"
    )]
    TimedOut {
        /// The projection.
        projection: ProjectionId,
        /// The position that was waited for.
        wanted: GlobalPosition,
        /// Where it was.
        reached: GlobalPosition,
    },
    /// It was stopped, or its task ended.
    #[error("projection {projection} is not running any more: {reason}")]
    Stopped {
        /// The projection.
        projection: ProjectionId,
        /// Why.
        reason: String,
    },
}
