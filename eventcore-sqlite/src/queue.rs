//! A queue whose length is bounded, in jobs and in bytes, and in which no wait is without end.

use std::{fmt, sync::Arc, time::Duration};

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
        let units = units(bytes.min(self.bytes));
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        // Most often there is room, and no timer is needed.
        if let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(units)
            && let Ok(place) = self.sender.try_reserve()
        {
            place.send(job(Room(room)));
            return Ok(());
        }
        let enter = async {
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
