//! Those who read. What waits at the same moment is read in one transaction.
//!
//! Handing a question to a thread and its answer back costs more than a short read takes when its pages are in memory.
//! So one connection is there for whoever asks while nobody else does, and reads in place: a few rows, at most a chunk.
//! Long reads, and those that come at the same time, go to the threads. See `SqliteOptions::read_in_place`.

use std::{
    sync::{Arc, Mutex, PoisonError, TryLockError},
    thread,
};

use eventcore::{
    EventFilter, GlobalPosition, IdempotencyKey, RecordedEvent,
    store::{KeptReceipt, Page, ReadError, ReadFrom, StoreError, StoreErrorKind},
};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::{
    SqliteOptions, append, connection,
    row::Rows,
    select::{self, Cursor, Opened},
};

/// Where an answer goes.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, ReadError>>;

/// What a reader is asked.
pub(crate) enum Job {
    Open(Vec<ReadFrom>, Answer<Opened>),
    GoOn(Cursor, Answer<(Vec<RecordedEvent>, Option<Cursor>)>),
    Page {
        after: GlobalPosition,
        filter: EventFilter,
        limit: usize,
        answer: Answer<Page>,
    },
    Receipt(IdempotencyKey, Answer<Option<KeptReceipt>>),
    /// Answer what waits, then end.
    Close,
}

impl Job {
    /// Whether it reads a bounded handful of rows.
    fn is_short(&self) -> bool {
        matches!(self, Self::Open(streams, _) if streams.len() <= 16)
            || matches!(self, Self::Receipt(..))
    }
}

/// The most questions that share a transaction.
const MAX_GROUP: usize = 32;

type Queue = Arc<Mutex<mpsc::Receiver<Job>>>;

/// Who reads: some threads, and whoever asks a short question while nobody else does.
#[derive(Debug)]
pub(crate) struct Readers {
    jobs: mpsc::Sender<Job>,
    here: Mutex<Option<Reader>>,
    /// Ends when all threads have ended: each holds a sender, and nothing is ever sent.
    ended: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

/// A connection and what it remembers.
#[derive(Debug)]
struct Reader {
    connection: Connection,
    rows: Rows,
}

impl Readers {
    /// Starts the threads; they end when this is dropped or closed.
    pub(crate) fn start(options: &SqliteOptions) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel(options.queue);
        let queue = Arc::new(Mutex::new(queue));
        let (running, ended) = mpsc::channel(1);
        for number in 0..options.readers {
            let reader = Reader::open(options)?;
            let (queue, running) = (Arc::clone(&queue), running.clone());
            thread::Builder::new()
                .name(format!("eventcore-sqlite-reader-{number}"))
                .spawn(move || {
                    run(reader, &queue);
                    drop(running);
                })
                .map_err(|error| {
                    StoreError::new(
                        "open the store",
                        StoreErrorKind::Other,
                        "cannot start a thread",
                    )
                    .with_source(error)
                })?;
        }
        let here = options
            .read_in_place
            .then(|| Reader::open(options))
            .transpose()?;
        Ok(Self {
            jobs,
            here: Mutex::new(here),
            ended: tokio::sync::Mutex::new(ended),
        })
    }

    /// Asks and waits for the answer.
    pub(crate) async fn ask<T>(
        &self,
        question: impl FnOnce(Answer<T>) -> Job,
    ) -> Result<T, ReadError> {
        let (answer, answered) = oneshot::channel();
        if let Some(job) = self.answer_here(question(answer)) {
            self.jobs.send(job).await.map_err(|_| unanswered())?;
        }
        answered.await.map_err(|_| unanswered())?
    }

    /// Answers a short question in this thread, or gives it back.
    fn answer_here(&self, job: Job) -> Option<Job> {
        let mut here = match self.here.try_lock() {
            Ok(here) => here,
            // It holds no state that a panic could have left half done.
            Err(TryLockError::Poisoned(here)) => here.into_inner(),
            Err(TryLockError::WouldBlock) => return Some(job),
        };
        match here.as_mut() {
            Some(reader) if job.is_short() => {
                reader.answer([job]);
                None
            }
            _ => Some(job),
        }
    }

    /// Finishes what waits and closes the connections.
    pub(crate) async fn close(&self) {
        drop(
            self.here
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        // An error means that the threads have ended.
        let _ = self.jobs.send(Job::Close).await;
        let _ = self.ended.lock().await.recv().await;
    }
}

fn run(mut reader: Reader, queue: &Queue) {
    let mut group = Vec::with_capacity(MAX_GROUP);
    while take(queue, &mut group) {
        reader.answer(group.drain(..));
    }
}

/// Waits for a question and takes those behind it too; false at the end.
fn take(queue: &Queue, group: &mut Vec<Job>) -> bool {
    // Only one thread waits at a time, the others wait for the lock; the queue is whole after a panic.
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(first) = queue.blocking_recv() else {
        return false;
    };
    group.push(first);
    while group.len() < MAX_GROUP
        && let Ok(job) = queue.try_recv()
    {
        group.push(job);
    }
    if group.iter().any(|job| matches!(job, Job::Close)) {
        queue.close();
    }
    true
}

impl Reader {
    fn open(options: &SqliteOptions) -> Result<Self, StoreError> {
        Ok(Self {
            connection: connection::reader(options)?,
            rows: Rows::default(),
        })
    }

    /// Answers questions from one snapshot. Whoever gave up in the meantime does not hear the answer.
    fn answer(&mut self, jobs: impl IntoIterator<Item = Job>) {
        let Self { connection, rows } = self;
        // A failed BEGIN shows in the first statement; nothing is written, so nothing is lost when it is dropped.
        let _snapshot = connection.unchecked_transaction();
        for job in jobs {
            match job {
                Job::Open(streams, answer) => {
                    if !answer.is_closed() {
                        let _ = answer.send(select::open(connection, rows, &streams));
                    }
                }
                Job::GoOn(cursor, answer) => {
                    if !answer.is_closed() {
                        let _ = answer.send(select::go_on(connection, rows, cursor));
                    }
                }
                Job::Page {
                    after,
                    filter,
                    limit,
                    answer,
                } => {
                    if !answer.is_closed() {
                        let _ = answer.send(select::page(connection, rows, after, &filter, limit));
                    }
                }
                Job::Receipt(key, answer) => {
                    let _ = answer.send(append::find_receipt(connection, key.as_str()));
                }
                Job::Close => {}
            }
        }
    }
}

/// A question that found nobody to answer it.
fn unanswered() -> ReadError {
    crate::errors::closed("read").into()
}
