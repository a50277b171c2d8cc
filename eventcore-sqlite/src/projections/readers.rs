//! Those who read documents and standings: short questions in place, others in threads.

use std::{
    sync::{Arc, Mutex, PoisonError, TryLockError},
    thread,
    time::Duration,
};

use eventcore::{
    projection::ProjectionStoreError,
    store::{StoreError, StoreErrorKind},
};
use rusqlite::Connection;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{query, trouble::Trouble};
use crate::{
    SqliteOptions,
    connection::{self, FileConnection},
    errors::{closed, stands_still, store_error},
    identity::OpenFile,
    queue::Queue,
};

type Job = Box<dyn FnOnce(&FileConnection) + Send>;

/// Who reads. The threads end when this is dropped or closed.
#[derive(Debug)]
pub(crate) struct Readers {
    jobs: Mutex<Option<Arc<Queue<Job>>>>,
    /// How long a caller waits for an answer.
    stall: Duration,
    /// For whoever has a short question while nobody else does; see the events' readers for the reason.
    here: Mutex<Option<FileConnection>>,
    /// Ends when all threads have ended: each holds a sender, and nothing is ever sent.
    ended: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

impl Readers {
    pub(crate) fn start(options: &SqliteOptions, file: &Arc<OpenFile>) -> Result<Self, StoreError> {
        let (jobs, queue) = Queue::<Job>::new(options);
        let queue = Arc::new(Mutex::new(queue));
        let (running, ended) = mpsc::channel(1);
        for number in 0..options.readers {
            let connection = open(options, file)?;
            let (queue, running) = (Arc::clone(&queue), running.clone());
            let body = move || {
                while let Some(job) = next(&queue) {
                    job(&connection);
                }
                drop(connection);
                drop(running);
            };
            thread::Builder::new()
                .name(format!("eventcore-sqlite-documents-{number}"))
                .spawn(body)
                .map_err(|error| {
                    let text = "cannot start a thread";
                    StoreError::new("open the store", StoreErrorKind::Other, text)
                        .with_source(error)
                })?;
        }
        let here = options
            .read_in_place
            .then(|| open(options, file))
            .transpose()?;
        Ok(Self {
            jobs: Mutex::new(Some(Arc::new(jobs))),
            stall: options.stall(),
            here: Mutex::new(here),
            ended: tokio::sync::Mutex::new(ended),
        })
    }

    /// Answers a question from one snapshot; in place if it is short and nobody else is there.
    pub(crate) async fn read<R: Send + 'static>(
        &self,
        operation: &'static str,
        short: bool,
        question: impl FnOnce(&Connection) -> Result<R, Trouble> + Send + 'static,
    ) -> Result<R, ProjectionStoreError> {
        let (answer, answered) = oneshot::channel();
        let job = move |connection: &FileConnection| {
            if !answer.is_closed() {
                let _ = answer.send(in_one_snapshot(connection, operation, question));
            }
        };
        if let Some(job) = self.answer_here(short, job) {
            let jobs = self.jobs().clone().ok_or_else(|| closed(operation))?;
            let job: Job = Box::new(job);
            jobs.put(operation, 0, |_| job).await?;
        }
        let result = timeout(self.stall, answered)
            .await
            .map_err(|_| stands_still(operation, self.stall))?
            .map_err(|_| closed(operation))?;
        result.map_err(|trouble| trouble.during(operation))
    }

    fn answer_here<J: FnOnce(&FileConnection)>(&self, short: bool, job: J) -> Option<J> {
        if !short {
            return Some(job);
        }
        let here = match self.here.try_lock() {
            Ok(here) => here,
            // It holds no state that a panic could have left half done.
            Err(TryLockError::Poisoned(here)) => here.into_inner(),
            Err(TryLockError::WouldBlock) => return Some(job),
        };
        let Some(connection) = here.as_ref() else {
            return Some(job);
        };
        job(connection);
        None
    }

    /// Finishes what waits and closes the connections; returns without them when one of them stands still.
    pub(crate) async fn close(&self) {
        drop(self.jobs().take());
        let end = async {
            close_here(&self.here).await;
            let _ = self.ended.lock().await.recv().await;
        };
        if timeout(self.stall, end).await.is_err() {
            tracing::warn!("a reader stands still, and was not waited for");
        }
    }

    fn jobs(&self) -> std::sync::MutexGuard<'_, Option<Arc<Queue<Job>>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes the connection for those who read in place, when none of them does; without blocking the thread.
pub(crate) async fn close_here<T>(here: &Mutex<Option<T>>) {
    loop {
        let taken = match here.try_lock() {
            Ok(mut here) => Some(here.take()),
            Err(TryLockError::Poisoned(here)) => Some(here.into_inner().take()),
            Err(TryLockError::WouldBlock) => None,
        };
        match taken {
            Some(connection) => return drop(connection),
            None => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

fn open(options: &SqliteOptions, file: &Arc<OpenFile>) -> Result<FileConnection, StoreError> {
    let connection = connection::reader(options, file)?;
    query::teach(&connection).map_err(|error| store_error("open the store", error))?;
    Ok(connection)
}

fn next(queue: &Mutex<mpsc::Receiver<Job>>) -> Option<Job> {
    // Only one thread waits at a time, the others wait for the lock; the queue is whole after a panic.
    queue
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .blocking_recv()
}

fn in_one_snapshot<R>(
    connection: &FileConnection,
    operation: &'static str,
    question: impl FnOnce(&Connection) -> Result<R, Trouble>,
) -> Result<R, Trouble> {
    connection.file.check_now_and_then(operation)?;
    // Dropping it rolls back, and nothing was written.
    let _snapshot = connection.unchecked_transaction()?;
    question(connection)
}
