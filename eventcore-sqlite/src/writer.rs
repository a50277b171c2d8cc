//! The one thread that writes: whatever waits is committed together.
//!
//! Group commit: while one transaction is flushed to the disk, appends gather in the queue; the next transaction takes
//! them all. One flush serves many, and an append that comes alone waits for nobody. Each has a verdict of its own.

use std::thread;

use eventcore::store::{AppendBatch, AppendError, StoreError, StoreErrorKind};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::{
    SqliteOptions,
    append::{self, Verdict},
    connection,
    errors::{leaves_outcome_open, store_error},
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
        self.batch
            .events()
            .iter()
            .map(|event| event.event.payload().len())
            .sum()
    }
}

/// Starts the thread, after opening the file. The receiver resolves when the thread has ended.
pub(crate) fn start(
    options: &SqliteOptions,
) -> Result<(mpsc::Sender<Job>, oneshot::Receiver<()>), StoreError> {
    let connection = connection::writer(options)?;
    let (jobs, queue) = mpsc::channel(options.queue);
    let (ended, end) = oneshot::channel();
    let body = move || {
        run(connection, queue);
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

fn run(mut connection: Connection, mut queue: mpsc::Receiver<Job>) {
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
        commit(&mut connection, std::mem::take(&mut group));
    }
    if let Err(error) = connection.pragma_update(None, "optimize", "") {
        tracing::debug!(%error, "the statistics were not updated");
    }
}

/// Commits a group, and if one of it spoils the transaction, each of them alone.
fn commit(connection: &mut Connection, group: Vec<Append>) {
    if group.is_empty() {
        return;
    }
    match transact(connection, &group) {
        Ok(verdicts) => {
            for (append, verdict) in group.into_iter().zip(verdicts) {
                // Whoever gave up does not hear it.
                let _ = append.verdict.send(verdict);
            }
        }
        Err(_) if group.len() > 1 => {
            for append in group {
                commit(connection, vec![append]);
            }
        }
        Err(failure) => {
            if let Some(append) = group.into_iter().next() {
                let _ = append.verdict.send(Err(failure));
            }
        }
    }
}

/// One transaction. Dropping it on the way rolls it back.
fn transact(connection: &mut Connection, group: &[Append]) -> Result<Vec<Verdict>, AppendError> {
    let failed = |error| AppendError::from(store_error(OPERATION, error));
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    let verdicts = group
        .iter()
        .map(|append| append::apply(&transaction, &append.batch))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    finish(transaction)?;
    Ok(verdicts)
}

fn finish(transaction: Transaction<'_>) -> Result<(), AppendError> {
    transaction.commit().map_err(|error| {
        let open = leaves_outcome_open(&error);
        let cause = store_error("commit", error);
        if open {
            AppendError::OutcomeUnknown(cause)
        } else {
            cause.into()
        }
    })
}
