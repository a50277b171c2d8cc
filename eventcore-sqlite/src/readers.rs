//! Those who read. What waits at the same moment is read in one transaction.
//!
//! Handing a question to a thread and its answer back costs more than a short read takes when its pages are in memory.
//! So one connection is there for whoever asks while nobody else does, and reads in place: a few rows, at most a chunk.
//! Long reads, and those that come at the same time, go to the threads. See `SqliteOptions::read_in_place`.

use std::{
    sync::{Arc, Mutex, PoisonError, TryLockError},
    thread,
    time::Duration,
};

use eventcore::{
    EventFilter, GlobalPosition, IdempotencyKey, RecordedEvent,
    store::{KeptReceipt, Page, Progress, ReadError, ReadFrom, StoreError, StoreErrorKind},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    SqliteOptions, append,
    connection::{self, FileConnection},
    errors::{closed, stands_still},
    identity::OpenFile,
    projections::readers::close_here,
    queue::Queue,
    row::Rows,
    select::{self, Cursor, Opened},
};

const OPERATION: &str = "read";

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

    /// Answers with an error.
    fn refuse(self, error: StoreError) {
        let error = ReadError::from(error);
        match self {
            Self::Open(_, answer) => drop(answer.send(Err(error))),
            Self::GoOn(_, answer) => drop(answer.send(Err(error))),
            Self::Page { answer, .. } => drop(answer.send(Err(error))),
            Self::Receipt(_, answer) => drop(answer.send(Err(error))),
            Self::Close => {}
        }
    }
}

/// The most questions that share a transaction.
const MAX_GROUP: usize = 32;

type Jobs = Arc<Mutex<mpsc::Receiver<Job>>>;

/// Who reads: some threads, and whoever asks a short question while nobody else does.
#[derive(Debug)]
pub(crate) struct Readers {
    jobs: Queue<Job>,
    /// How long a caller waits for an answer while no thread makes progress.
    stall: Duration,
    progress: Progress,
    here: Mutex<Option<Reader>>,
    /// Ends when all threads have ended: each holds a sender, and nothing is ever sent.
    ended: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

/// A connection and what it remembers.
#[derive(Debug)]
struct Reader {
    connection: FileConnection,
    rows: Rows,
    progress: Progress,
}

impl Readers {
    /// Starts the threads; they end when this is dropped or closed.
    pub(crate) fn start(options: &SqliteOptions, file: &Arc<OpenFile>) -> Result<Self, StoreError> {
        let (jobs, queue) = Queue::new(options);
        let queue = Arc::new(Mutex::new(queue));
        let (running, ended) = mpsc::channel(1);
        let progress = Progress::default();
        for number in 0..options.readers {
            let reader = Reader::open(options, file, &progress)?;
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
            .then(|| Reader::open(options, file, &progress))
            .transpose()?;
        Ok(Self {
            jobs,
            stall: options.stall(),
            progress,
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
            self.jobs.put(OPERATION, 0, |_| job).await?;
        }
        let answered = self.progress.wait(answered, self.stall).await;
        answered
            .ok_or_else(|| stands_still(OPERATION, self.stall))?
            .map_err(|_| closed(OPERATION))?
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

    /// Finishes what waits and closes the connections; returns without them when one of them stands still.
    pub(crate) async fn close(&self) {
        let end = async {
            close_here(&self.here).await;
            self.jobs.put_last(Job::Close).await;
            let _ = self.ended.lock().await.recv().await;
        };
        if timeout(self.stall, end).await.is_err() {
            tracing::warn!("a reader stands still, and was not waited for");
        }
    }
}

fn run(mut reader: Reader, queue: &Jobs) {
    let mut group = Vec::with_capacity(MAX_GROUP);
    while take(queue, &mut group) {
        reader.answer(group.drain(..));
    }
}

/// Waits for a question and takes those behind it too; false at the end.
fn take(queue: &Jobs, group: &mut Vec<Job>) -> bool {
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
    fn open(
        options: &SqliteOptions,
        file: &Arc<OpenFile>,
        progress: &Progress,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            connection: connection::reader(options, file)?,
            rows: Rows::default(),
            progress: progress.clone(),
        })
    }

    /// Answers questions from one snapshot. Whoever gave up in the meantime does not hear the answer.
    fn answer(&mut self, jobs: impl IntoIterator<Item = Job>) {
        let Self {
            connection,
            rows,
            progress,
        } = self;
        if let Err(error) = connection.file.check_now_and_then(OPERATION) {
            return jobs.into_iter().for_each(|job| job.refuse(error.clone()));
        }
        // A failed BEGIN shows in the first statement; nothing is written, so nothing is lost when it is dropped.
        let _snapshot = connection.unchecked_transaction();
        // One sign of life for all: those behind in the group do not wait for each one's `busy_timeout` in turn.
        progress.step();
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
