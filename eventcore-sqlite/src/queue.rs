//! A queue whose length is bounded, in jobs and in bytes, and in which no wait is without end.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use eventcore::store::{StoreError, StoreErrorKind};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};

use crate::{SqliteOptions, errors::closed};

/// What the bytes are counted in: a semaphore counts in 32 bits.
const UNIT: usize = 1024;

/// The way into a queue.
pub(crate) struct Queue<T> {
    sender: mpsc::Sender<T>,
    jobs: usize,
    bytes: usize,
    room: Arc<Semaphore>,
    timeout: Duration,
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("sender", &self.sender)
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}

/// Room for the bytes of a job, until this is dropped.
#[derive(Debug)]
pub(crate) struct Room(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl<T> Queue<T> {
    /// A queue as the options want it, and its other end.
    pub(crate) fn new(options: &SqliteOptions) -> (Self, mpsc::Receiver<T>) {
        let (sender, receiver) = mpsc::channel(options.queue);
        let queue = Self {
            sender,
            jobs: options.queue,
            bytes: options.queue_bytes,
            room: Arc::new(Semaphore::new(units(options.queue_bytes))),
            timeout: options.queue_timeout,
        };
        (queue, receiver)
    }

    /// Puts a job of some bytes into the queue, once there is room. One that is larger than the bound is let in when it
    /// is alone. In the error nothing was done.
    pub(crate) async fn put(
        &self,
        operation: &'static str,
        bytes: usize,
        job: impl FnOnce(Room) -> T,
    ) -> Result<(), StoreError> {
        let enter = async {
            let units = units(bytes.min(self.bytes));
            let units = u32::try_from(units).unwrap_or(u32::MAX);
            let room = Arc::clone(&self.room).acquire_many_owned(units).await;
            let room = room.map_err(|_| closed(operation))?;
            let place = self.sender.reserve().await.map_err(|_| closed(operation))?;
            place.send(job(Room(room)));
            Ok(())
        };
        timeout(self.timeout, enter)
            .await
            .unwrap_or_else(|_| Err(self.overloaded(operation)))
    }

    /// Puts the last job of all into the queue, without a bound. An error means that the queue is closed already.
    pub(crate) async fn put_last(&self, job: T) {
        let _ = self.sender.send(job).await;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    fn overloaded(&self, operation: &'static str) -> StoreError {
        let text = format!(
            "the queue is full with {} operations (`queue`) or {} bytes (`queue_bytes`), and no place in it came free \
             within {:?} (`queue_timeout`); send less, or find out why the disk is slow",
            self.jobs, self.bytes, self.timeout
        );
        StoreError::new(operation, StoreErrorKind::Overloaded, text)
    }
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT)
}

/// When a thread was last seen to work.
#[derive(Debug)]
pub(crate) struct Pulse {
    origin: Instant,
    /// In milliseconds since the origin.
    last: AtomicU64,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
            last: AtomicU64::new(0),
        }
    }

    /// The thread works.
    pub(crate) fn beat(&self) {
        let now = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// Waits for an answer of the thread for as long as it works; `None` when it has stood still for so long, counted
    /// from now at the earliest.
    pub(crate) async fn wait<F: Future>(&self, answer: F, stall: Duration) -> Option<F::Output> {
        let mut answer = std::pin::pin!(answer);
        let mut seen = Instant::now();
        loop {
            let left = stall.saturating_sub(seen.elapsed());
            if let Ok(answer) = timeout(left, &mut answer).await {
                return Some(answer);
            }
            let last = self.origin + Duration::from_millis(self.last.load(Ordering::Relaxed));
            if last <= seen {
                return None;
            }
            seen = last;
        }
    }
}
