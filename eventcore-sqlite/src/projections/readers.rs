//! Those who read documents and standings: short questions in place, others in threads.

use std::{
    sync::{Arc, Mutex, PoisonError, TryLockError},
    thread,
};

use eventcore::{
    projection::ProjectionStoreError,
    store::{StoreError, StoreErrorKind},
};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{query, trouble::Trouble};
use crate::{
    SqliteOptions, connection,
    errors::{closed, store_error},
};

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// Who reads. The threads end when this is dropped or closed.
#[derive(Debug)]
pub(crate) struct Readers {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    /// For whoever has a short question while nobody else does; see the events' readers for the reason.
    here: Mutex<Option<Connection>>,
    /// Ends when all threads have ended: each holds a sender, and nothing is ever sent.
    ended: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

impl Readers {
    pub(crate) fn start(options: &SqliteOptions) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel::<Job>(options.queue);
        let queue = Arc::new(Mutex::new(queue));
        let (running, ended) = mpsc::channel(1);
        for number in 0..options.readers {
            let connection = open(options)?;
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
        let here = options.read_in_place.then(|| open(options)).transpose()?;
        Ok(Self {
            jobs: Mutex::new(Some(jobs)),
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
        let job = move |connection: &Connection| {
            if !answer.is_closed() {
                let _ = answer.send(in_one_snapshot(connection, question));
            }
        };
        if let Some(job) = self.answer_here(short, job) {
            let jobs = self.jobs().clone().ok_or_else(|| closed(operation))?;
            jobs.send(Box::new(job))
                .await
                .map_err(|_| closed(operation))?;
        }
        let result = answered.await.map_err(|_| closed(operation))?;
        result.map_err(|trouble| trouble.during(operation))
    }

    fn answer_here<J: FnOnce(&Connection)>(&self, short: bool, job: J) -> Option<J> {
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

    /// Finishes what waits and closes the connections.
    pub(crate) async fn close(&self) {
        drop(self.jobs().take());
        let here = self
            .here
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(here);
        let _ = self.ended.lock().await.recv().await;
    }

    fn jobs(&self) -> std::sync::MutexGuard<'_, Option<mpsc::Sender<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(options: &SqliteOptions) -> Result<Connection, StoreError> {
    let connection = connection::reader(options)?;
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
    connection: &Connection,
    question: impl FnOnce(&Connection) -> Result<R, Trouble>,
) -> Result<R, Trouble> {
    // Dropping it rolls back, and nothing was written.
    let _snapshot = connection.unchecked_transaction()?;
    question(connection)
}
