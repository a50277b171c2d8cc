//! The way into a task's queue.

use std::time::Duration;

use eventcore::store::{StoreError, StoreErrorKind};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::timeout,
};

use crate::errors::closed;

/// A queue of bounded length, in which nobody waits for room for ever.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    sender: mpsc::Sender<T>,
    limit: usize,
    patience: Duration,
}

impl<T> Queue<T> {
    /// A queue for this many, and its other end.
    pub(crate) fn new(limit: usize, patience: Duration) -> (Self, mpsc::Receiver<T>) {
        let (sender, receiver) = mpsc::channel(limit);
        let queue = Self {
            sender,
            limit,
            patience,
        };
        (queue, receiver)
    }

    /// Stands in line, once there is room.
    pub(crate) async fn put(&self, operation: &'static str, job: T) -> Result<(), StoreError> {
        let job = match self.sender.try_send(job) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(closed(operation)),
            Err(TrySendError::Full(job)) => job,
        };
        match timeout(self.patience, self.sender.reserve()).await {
            Ok(Ok(room)) => {
                room.send(job);
                Ok(())
            }
            Ok(Err(_)) => Err(closed(operation)),
            Err(_) => Err(self.overloaded(operation)),
        }
    }

    /// The last job of all: it waits for its turn however long that takes. Nothing, if the queue is closed already.
    pub(crate) async fn put_last(&self, job: T) {
        let _ = self.sender.send(job).await;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    fn overloaded(&self, operation: &'static str) -> StoreError {
        let text = format!(
            "the queue is full with {} operations (`queue`), and no place in it came free within {:?} \
             (`queue_timeout`); send less, or find out why the server is slow",
            self.limit, self.patience
        );
        StoreError::new(operation, StoreErrorKind::Overloaded, text)
    }
}
