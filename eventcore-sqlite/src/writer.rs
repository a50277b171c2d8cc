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
    Commons, IdempotencyKey,
    projection::Inline,
    store::{
        AppendBatch, AppendError, KeptReceipt, Progress, ReadError, StoreError, StoreErrorKind,
    },
};
use rusqlite::{Connection, Transaction};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::{
    SqliteOptions,
    append::{self, Verdict},
    connection::{self, FileConnection},
    errors::{closed, leaves_outcome_open, read_error, store_error},
    identity::OpenFile,
    projections::inline::{self, Pass},
    queue::{Queue, Room},
    retry::{Failure, again_after_failed_commits},
    schema,
};

const OPERATION: &str = "append";
const FIND: &str = "find a receipt";

/// The most appends, and bytes, that share a transaction.
const MAX_GROUP: usize = 1024;
const MAX_GROUP_BYTES: usize = 16 << 20;

/// What the writer is asked to do.
enum Job {
    Append(Append),
    /// What a key appended, once everything before is done.
    Receipt(Ask),
    /// Finish what waits, then end.
    Close,
}

struct Ask {
    key: IdempotencyKey,
    answer: oneshot::Sender<Result<Option<KeptReceipt>, ReadError>>,
}

struct Append {
    batch: AppendBatch,
    bytes: usize,
    verdict: oneshot::Sender<Verdict>,
    /// Given back with the verdict.
    _room: Room,
}

/// The way to the thread that writes.
#[derive(Debug)]
pub(crate) struct Writes {
    queue: Queue<Job>,
    progress: Progress,
    stall: Duration,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

/// What the thread works with.
struct Writer {
    connection: FileConnection,
    /// How long it waits for others to finish writing.
    patience: Duration,
    /// Where those who wait for events are woken.
    commons: Arc<Commons>,
    /// What it changes together with the log.
    inline: Vec<Inline>,
    progress: Progress,
}

impl Writes {
    /// Starts the thread, after opening the file.
    pub(crate) fn start(
        options: &SqliteOptions,
        commons: Arc<Commons>,
    ) -> Result<(Self, Arc<OpenFile>), StoreError> {
        let connection = connection::writer(options, &schema::EVENTS)?;
        let mut inline = options.inline.clone();
        if options.read_only {
            inline.clear();
        }
        if !inline.is_empty() {
            open_inline(&connection, &inline, options.busy_timeout)?;
        }
        let file = Arc::clone(&connection.file);
        let progress = Progress::default();
        let writer = Writer {
            connection,
            patience: options.busy_timeout,
            commons,
            inline,
            progress: progress.clone(),
        };
        let (queue, jobs) = Queue::new(options);
        let (ended, end) = oneshot::channel();
        let body = move || {
            run(&writer, jobs);
            // The file is closed before its end is told.
            drop(writer);
            let _ = ended.send(());
        };
        thread::Builder::new()
            .name("eventcore-sqlite-writer".into())
            .spawn(body)
            .map_err(|error| {
                let text = "cannot start a thread";
                StoreError::new("open the store", StoreErrorKind::Other, text).with_source(error)
            })?;
        let way = Self {
            queue,
            progress,
            stall: options.stall(),
            ended: Mutex::new(Some(end)),
        };
        Ok((way, file))
    }

    /// Appends, as soon as the file can be written.
    pub(crate) async fn append(&self, batch: AppendBatch) -> Verdict {
        let bytes = batch.stored_bytes();
        let (verdict, judged) = oneshot::channel();
        let job = |room| {
            Job::Append(Append {
                batch,
                bytes,
                verdict,
                _room: room,
            })
        };
        self.queue.put(OPERATION, bytes, job).await?;
        match self.progress.wait(judged, self.stall).await {
            Some(Ok(verdict)) => verdict,
            // The verdict is lost only if the thread is: then it is not known.
            Some(Err(_)) => Err(AppendError::OutcomeUnknown(closed(OPERATION))),
            None => Err(AppendError::OutcomeUnknown(self.stands_still())),
        }
    }

    /// What a key appended, after the appends that wait, and those of other processes that are being committed.
    pub(crate) async fn find_receipt(
        &self,
        key: IdempotencyKey,
    ) -> Result<Option<KeptReceipt>, ReadError> {
        let (answer, answered) = oneshot::channel();
        let job = |_| Job::Receipt(Ask { key, answer });
        self.queue.put(FIND, 0, job).await?;
        match self.progress.wait(answered, self.stall).await {
            Some(Ok(found)) => found,
            Some(Err(_)) => Err(closed(FIND).into()),
            None => Err(self.stands_still().into()),
        }
    }

    /// Finishes what waits and closes the file; returns without that when the thread stands still.
    pub(crate) async fn close(&self) {
        let end = async {
            self.queue.put_last(Job::Close).await;
            if let Some(ended) = self.ended.lock().await.take() {
                let _ = ended.await;
            }
        };
        if self.progress.wait(end, self.stall).await.is_none() {
            tracing::warn!(error = %self.stands_still(), "the file was not closed");
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    fn stands_still(&self) -> StoreError {
        let text = format!(
            "the thread that writes has made no progress for {:?} (`stall_timeout`); is the disk there?",
            self.stall
        );
        StoreError::new(OPERATION, StoreErrorKind::Timeout, text)
    }
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
    let (mut group, mut asked) = (Vec::new(), Vec::new());
    while let Some(job) = queue.blocking_recv() {
        let mut bytes = 0;
        let mut next = Some(job);
        while let Some(job) = next {
            match job {
                Job::Close => queue.close(),
                // Whoever gave up before the start need not be served.
                Job::Append(append) if append.verdict.is_closed() => {}
                Job::Append(append) => {
                    bytes += append.bytes;
                    group.push(append);
                }
                Job::Receipt(ask) => asked.push(ask),
            }
            let room = group.len() < MAX_GROUP && bytes < MAX_GROUP_BYTES;
            next = if room { queue.try_recv().ok() } else { None };
        }
        commit(writer, std::mem::take(&mut group));
        for Ask { key, answer } in asked.drain(..) {
            if !answer.is_closed() {
                let _ = answer.send(find_receipt(writer, &key));
            }
        }
    }
    if writer.connection.file.check("close the store").is_ok()
        && let Err(error) = writer.connection.pragma_update(None, "optimize", "")
    {
        tracing::debug!(%error, "the statistics were not updated");
    }
}

/// Looks in a transaction that may write: what another process was committing is committed by then.
fn find_receipt(writer: &Writer, key: &IdempotencyKey) -> Result<Option<KeptReceipt>, ReadError> {
    writer.progress.step();
    let until = Instant::now() + writer.patience;
    let connection = &writer.connection;
    let snapshot = connection::begin_immediate(connection, until, &|| false);
    let _snapshot = snapshot.map_err(|error| read_error(FIND, error))?;
    let found = append::find_receipt(connection, key.as_str());
    connection.file.check(FIND)?;
    found
}

/// Commits a group, and if one of it spoils the transaction, each of them alone.
fn commit(writer: &Writer, mut group: Vec<Append>) {
    // Whoever gave up while others were served need not be.
    group.retain(|append| !append.verdict.is_closed());
    if group.is_empty() {
        return;
    }
    let until = Instant::now() + writer.patience;
    match again_after_failed_commits(until, |until| transact(writer, &group, until)) {
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

/// One transaction. Dropping it on the way rolls it back.
fn transact(writer: &Writer, group: &[Append], until: Instant) -> Result<Vec<Verdict>, Failure> {
    let Writer {
        connection,
        progress,
        ..
    } = writer;
    progress.step();
    // A replaced file fails in many ways; that it was replaced says why.
    let but_first = |failure| match connection.file.check(OPERATION) {
        Ok(()) => failure,
        Err(replaced) => Failure::All(replaced),
    };
    let gave_up = || group.iter().all(|append| append.verdict.is_closed());
    let transaction = connection::begin_immediate(connection, until, &gave_up)
        .map_err(|error| but_first(Failure::All(store_error(OPERATION, error))))?;
    let mut pass = Pass::new(&writer.inline);
    let mut end = None;
    let judge = |append: &Append| {
        progress.step();
        append::apply(&transaction, &append.batch, &mut pass, &mut end)
    };
    let verdicts = group
        .iter()
        .map(judge)
        .collect::<Result<Vec<_>, _>>()
        .and_then(|verdicts| pass.finish(&transaction).map(|()| verdicts))
        .map_err(|trouble| but_first(Failure::One(trouble.store_error(OPERATION))))?;
    // Before the commit nothing is written, after it nothing is acknowledged, unless the file is the one at its path.
    connection.file.check(OPERATION).map_err(Failure::All)?;
    finish(transaction)?;
    connection.file.check(OPERATION).map_err(Failure::Unknown)?;
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
