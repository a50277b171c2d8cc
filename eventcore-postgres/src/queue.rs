//! Bounded queue into a task of the store, and the wait for its answers.
//!
//! Every wait ends in the caller, also when the task never runs: for room in the queue after a time-out, and for an
//! answer when the task makes no progress for longer than a call can take.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
    time::Duration,
};

use eventcore::store::{Progress, StoreError, StoreErrorKind};
use tokio::{
    sync::{
        OwnedSemaphorePermit, Semaphore,
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    time::timeout,
};

/// The bytes of the operations that wait, at most: 64 MiB, or one operation that is larger.
const MAX_BYTES: usize = 64 << 20;

/// What a permit stands for.
const UNIT: usize = 1024;

/// Longer than any process lives, and short enough to be added to a time.
const AGES: Duration = Duration::from_hours(24 * 365);

/// The time limits of a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Operations that wait.
    pub(crate) operations: usize,
    /// For a place in the queue.
    pub(crate) room: Duration,
    /// For an answer, while the task makes no progress.
    pub(crate) stall: Duration,
}

/// The task's end of a queue.
#[derive(Debug)]
pub(crate) struct Jobs<J> {
    pub(crate) queue: mpsc::Receiver<J>,
    pub(crate) progress: Progress,
}

/// The memory that a job takes while it waits and is worked on.
pub(crate) type Room = OwnedSemaphorePermit;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The job was not handed over.
    NotSent(StoreError),
    /// It was, and what became of it is not known.
    Lost(StoreError),
}

impl From<Unanswered> for StoreError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::NotSent(error) | Unanswered::Lost(error) => error,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Queue<J> {
    sender: mpsc::Sender<J>,
    bytes: Arc<Semaphore>,
    limits: Limits,
    progress: Progress,
    closing: AtomicBool,
}

impl<J> Queue<J> {
    /// A queue, and its other end.
    pub(crate) fn new(limits: Limits) -> (Self, Jobs<J>) {
        let (sender, queue) = mpsc::channel(limits.operations);
        let progress = Progress::default();
        let limits = Limits {
            room: limits.room.min(AGES),
            stall: limits.stall.min(AGES),
            ..limits
        };
        let jobs = Jobs {
            queue,
            progress: progress.clone(),
        };
        let queue = Self {
            sender,
            bytes: Arc::new(Semaphore::new(MAX_BYTES / UNIT)),
            limits,
            progress,
            closing: AtomicBool::new(false),
        };
        (queue, jobs)
    }

    /// Hands a job of this many bytes over, and waits for its answer.
    pub(crate) async fn ask<T>(
        &self,
        operation: &'static str,
        bytes: usize,
        job: impl FnOnce(Room, oneshot::Sender<T>) -> J,
    ) -> Result<T, Unanswered> {
        let (answer, answered) = oneshot::channel();
        let put = self.put(operation, bytes, |room| job(room, answer));
        put.await.map_err(Unanswered::NotSent)?;
        self.answer(operation, answered).await
    }

    /// Stands in line, once there is room.
    async fn put(
        &self,
        operation: &'static str,
        bytes: usize,
        job: impl FnOnce(Room) -> J,
    ) -> Result<(), StoreError> {
        if self.closing.load(Acquire) {
            return Err(self.gone(operation));
        }
        let units = u32::try_from((bytes / UNIT).min(MAX_BYTES / UNIT)).unwrap_or(0);
        // Most often there is room, also for what has no bytes, and no timer is needed.
        let room = if let Ok(room) = Arc::clone(&self.bytes).try_acquire_many_owned(units) {
            room
        } else {
            let wait = Arc::clone(&self.bytes).acquire_many_owned(units);
            let waited = timeout(self.limits.room, wait).await;
            let room = waited.map_err(|_| self.overloaded(operation))?;
            room.map_err(|_| self.gone(operation))?
        };
        let job = match self.sender.try_send(job(room)) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(self.gone(operation)),
            Err(TrySendError::Full(job)) => job,
        };
        match timeout(self.limits.room, self.sender.reserve()).await {
            Ok(Ok(place)) => {
                place.send(job);
                Ok(())
            }
            Ok(Err(_)) => Err(self.gone(operation)),
            Err(_) => Err(self.overloaded(operation)),
        }
    }

    async fn answer<T>(
        &self,
        operation: &'static str,
        answered: oneshot::Receiver<T>,
    ) -> Result<T, Unanswered> {
        match self.progress.wait(answered, self.limits.stall).await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(_)) => Err(Unanswered::Lost(self.gone(operation))),
            None => Err(Unanswered::Lost(self.stalled(operation))),
        }
    }

    /// Takes no more jobs.
    pub(crate) fn shut(&self) {
        self.closing.store(true, Release);
    }

    /// Takes no more jobs and hands the last one over; says whether it could.
    pub(crate) async fn close(&self, last: J) -> bool {
        self.shut();
        let sent = timeout(self.limits.stall, self.sender.send(last)).await;
        matches!(sent, Ok(Ok(())))
    }

    /// Waits for the end of the task, as long as it makes progress; says whether it ended.
    pub(crate) async fn ended(&self, task: &mut tokio::task::JoinHandle<()>) -> bool {
        self.progress.wait(task, self.limits.stall).await.is_some()
    }

    /// Why the queue takes nothing any more, if so.
    pub(crate) fn check(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.closing.load(Acquire) || self.sender.is_closed() {
            return Err(self.gone(operation));
        }
        Ok(())
    }

    fn gone(&self, operation: &'static str) -> StoreError {
        let text = if self.closing.load(Acquire) {
            "`close` was called"
        } else {
            "the store's task ended with the runtime that the store was opened in; open it in one that lives as long \
             as the store is used"
        };
        StoreError::new(operation, StoreErrorKind::Closed, text)
    }

    fn stalled(&self, operation: &'static str) -> StoreError {
        let text = format!(
            "the store's task made no progress for {:?}, longer than a connection and a statement may take; is the \
             runtime that the store was opened in blocked?",
            self.limits.stall
        );
        StoreError::new(operation, StoreErrorKind::Timeout, text)
    }

    fn overloaded(&self, operation: &'static str) -> StoreError {
        let Limits {
            operations, room, ..
        } = self.limits;
        let text = format!(
            "the queue is full with {operations} operations (`queue`) or 64 MiB, and no place in it came free within \
             {room:?} (`queue_timeout`); send less, or find out why the server is slow"
        );
        StoreError::new(operation, StoreErrorKind::Overloaded, text)
    }
}
