//! The one thread that writes: whatever waits is committed together.
//!
//! Group commit: while one transaction is flushed to the disk, appends gather in the queue; the next transaction takes
//! them all. One flush serves many, and an append that comes alone waits for nobody. Each has a verdict of its own.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use eventcore::{
    Commons,
    projection::Inline,
    store::{AppendBatch, AppendError, StoreError, StoreErrorKind},
};
use rusqlite::{Connection, Transaction};
use tokio::sync::{mpsc, oneshot};

use crate::{
    SqliteOptions,
    append::{self, Verdict},
    connection,
    errors::{leaves_outcome_open, store_error},
    projections::inline::{self, Pass},
    schema,
};

const OPERATION: &str = "append";

/// The most appends, and bytes, that share a transaction.
const MAX_GROUP: usize = 1024;
const MAX_GROUP_BYTES: usize = 16 << 20;

/// What the writer is asked to do.
pub(crate) enum Job {
    Append(Append),
    /// Finish what waits, then end.
    Close,
}

pub(crate) struct Append {
    pub(crate) batch: AppendBatch,
    pub(crate) verdict: oneshot::Sender<Verdict>,
}

impl Append {
    fn bytes(&self) -> usize {
        let metadata = self.batch.metadata().map_or(0, |text| text.len());
        let payloads = self
            .batch
            .events()
            .iter()
            .map(|event| event.event.payload().len());
        payloads.map(|payload| payload + metadata).sum()
    }
}

/// What the thread works with.
struct Writer {
    connection: Connection,
    /// How long it waits for others to finish writing.
    patience: Duration,
    /// Where those who wait for events are woken.
    commons: Arc<Commons>,
    /// What it changes together with the log.
    inline: Vec<Inline>,
}

/// Starts the thread, after opening the file. The receiver resolves when the thread has ended.
pub(crate) fn start(
    options: &SqliteOptions,
    commons: Arc<Commons>,
) -> Result<(mpsc::Sender<Job>, oneshot::Receiver<()>), StoreError> {
    let connection = connection::writer(options, &schema::EVENTS)?;
    let mut inline = options.inline.clone();
    if options.read_only {
        inline.clear();
    }
    if !inline.is_empty() {
        open_inline(&connection, &inline, options.busy_timeout)?;
    }
    let writer = Writer {
        connection,
        patience: options.busy_timeout,
        commons,
        inline,
    };
    let (jobs, queue) = mpsc::channel(options.queue);
    let (ended, end) = oneshot::channel();
    let body = move || {
        run(&writer, queue);
        // The file is closed before anybody is told.
        drop(writer);
        // Nobody may be waiting for the end.
        let _ = ended.send(());
    };
    thread::Builder::new()
        .name("eventcore-sqlite-writer".into())
        .spawn(body)
        .map_err(|error| {
            StoreError::new(
                "open the store",
                StoreErrorKind::Other,
                "cannot start a thread",
            )
            .with_source(error)
        })?;
    Ok((jobs, end))
}

fn open_inline(
    connection: &Connection,
    models: &[Inline],
    patience: Duration,
) -> Result<(), StoreError> {
    let failed = |error| store_error("open the store", error);
    let until = Instant::now() + patience;
    let transaction = connection::begin_immediate(connection, until, &|| false).map_err(failed)?;
    inline::open(&transaction, models)?;
    transaction.commit().map_err(failed)
}

fn run(writer: &Writer, mut queue: mpsc::Receiver<Job>) {
    let mut group = Vec::new();
    while let Some(job) = queue.blocking_recv() {
        let mut bytes = 0;
        let mut next = Some(job);
        while let Some(job) = next {
            match job {
                Job::Close => queue.close(),
                // Whoever gave up before the start need not be served.
                Job::Append(append) if append.verdict.is_closed() => {}
                Job::Append(append) => {
                    bytes += append.bytes();
                    group.push(append);
                }
            }
            let room = group.len() < MAX_GROUP && bytes < MAX_GROUP_BYTES;
            next = if room { queue.try_recv().ok() } else { None };
        }
        commit(writer, std::mem::take(&mut group));
    }
    if let Err(error) = writer.connection.pragma_update(None, "optimize", "") {
        tracing::debug!(%error, "the statistics were not updated");
    }
}

/// Commits a group, and if one of it spoils the transaction, each of them alone.
fn commit(writer: &Writer, mut group: Vec<Append>) {
    // Whoever gave up while others were served need not be.
    group.retain(|append| !append.verdict.is_closed());
    if group.is_empty() {
        return;
    }
    match transact(writer, &group) {
        Ok(verdicts) => {
            writer.commons.wake();
            for (append, verdict) in group.into_iter().zip(verdicts) {
                // Whoever gave up does not hear it.
                let _ = append.verdict.send(verdict);
            }
        }
        Err(Failure::One(_)) if group.len() > 1 => {
            for append in group {
                commit(writer, vec![append]);
            }
        }
        Err(Failure::One(cause) | Failure::All(cause)) => {
            for append in group {
                let _ = append.verdict.send(Err(cause.clone().into()));
            }
        }
        Err(Failure::Unknown(cause)) => {
            for append in group {
                let _ = append
                    .verdict
                    .send(Err(AppendError::OutcomeUnknown(cause.clone())));
            }
        }
    }
}

/// Why a transaction was not committed.
enum Failure {
    /// One of the group spoiled it; the others may do without it.
    One(StoreError),
    /// It could not begin, or not end: the same for everybody, also if they tried again.
    All(StoreError),
    /// The disk failed while it was being committed.
    Unknown(StoreError),
}

/// One transaction. Dropping it on the way rolls it back.
fn transact(writer: &Writer, group: &[Append]) -> Result<Vec<Verdict>, Failure> {
    let gave_up = || group.iter().all(|append| append.verdict.is_closed());
    let until = Instant::now() + writer.patience;
    let transaction = connection::begin_immediate(&writer.connection, until, &gave_up)
        .map_err(|error| Failure::All(store_error(OPERATION, error)))?;
    let mut pass = Pass::new(&writer.inline);
    let verdicts = group
        .iter()
        .map(|append| append::apply(&transaction, &append.batch, &mut pass))
        .collect::<Result<Vec<_>, _>>()
        .and_then(|verdicts| pass.finish(&transaction).map(|()| verdicts))
        .map_err(|trouble| Failure::One(trouble.store_error(OPERATION)))?;
    finish(transaction)?;
    Ok(verdicts)
}

fn finish(transaction: Transaction<'_>) -> Result<(), Failure> {
    transaction.commit().map_err(|error| {
        let open = leaves_outcome_open(&error);
        let full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
        let cause = store_error("commit", error);
        match (open, full) {
            (true, _) => Failure::Unknown(cause),
            // A smaller one may still fit.
            (false, true) => Failure::One(cause),
            (false, false) => Failure::All(cause),
        }
    })
}
