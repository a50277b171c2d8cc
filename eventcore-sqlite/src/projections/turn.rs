//! The one connection that writes, whose turn it is, and the thread where it may block.
//!
//! A file has one writer at a time, so a second connection could only wait. Those who want to write wait here, first
//! come, first served, without a thread; the one whose turn it is waits in the thread of the store for other
//! connections, which SQLite does not queue.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use eventcore::{
    projection::ProjectionStoreError,
    store::{StoreError, StoreErrorKind},
};
use rusqlite::{Connection, DropBehavior};
use tokio::{
    sync::{Mutex as Queue, OwnedMutexGuard, oneshot},
    time::timeout,
};

use super::{schema::PROJECTIONS, trouble::Trouble};
use crate::{
    SqliteOptions,
    connection::{self, FileConnection},
    errors::{closed, store_error},
    identity::OpenFile,
};

type Work = Box<dyn FnOnce() + Send>;

/// 32 MiB, as SQLite writes it.
const CACHE: i64 = -32_768;
/// Pages in the write-ahead log after which they are copied into the file.
const CHECKPOINT: i64 = 8192;

/// Who writes.
#[derive(Debug)]
pub(crate) struct Writer {
    /// None once it is closed.
    queue: Mutex<Option<Arc<Queue<Writing>>>>,
    thread: mpsc::Sender<Work>,
    patience: Duration,
    stall: Duration,
}

/// The connection, and whether what it did may be committed.
#[derive(Debug)]
struct Writing {
    connection: FileConnection,
    may_commit: Arc<AtomicBool>,
    closed: bool,
}

/// The right to write. Ending it without a commit rolls back.
#[derive(Debug)]
pub(crate) struct Turn {
    writing: OwnedMutexGuard<Writing>,
    thread: mpsc::Sender<Work>,
    until: Instant,
    /// How long the caller waits for the thread.
    stall: Duration,
}

impl Writer {
    /// Opens the file, with its tables, and starts the thread; it ends with the last who may use it.
    pub(crate) fn start(options: &SqliteOptions) -> Result<(Self, Arc<OpenFile>), StoreError> {
        let connection = connection::writer(options, &PROJECTIONS)?;
        let failed = |error| store_error("open the store", error);
        let may_commit = Arc::new(AtomicBool::new(false));
        let hook = Arc::clone(&may_commit);
        // What a unit does is committed by its own commit only: not by a COMMIT of the projection, and not statement by
        // statement after an error that made SQLite end the transaction.
        connection
            .commit_hook(Some(move || !hook.load(Ordering::Relaxed)))
            .map_err(failed)?;
        // A unit changes pages all over the documents: room for many of them, and a checkpoint not after every unit.
        for (name, value) in [("cache_size", CACHE), ("wal_autocheckpoint", CHECKPOINT)] {
            connection
                .pragma_update(None, name, value)
                .map_err(failed)?;
        }
        let (thread, work) = mpsc::channel::<Work>();
        thread::Builder::new()
            .name("eventcore-sqlite-projections".into())
            .spawn(move || work.into_iter().for_each(|work| work()))
            .map_err(|error| {
                let text = "cannot start a thread";
                StoreError::new("open the store", StoreErrorKind::Other, text).with_source(error)
            })?;
        let file = Arc::clone(&connection.file);
        let writing = Writing {
            connection,
            may_commit,
            closed: false,
        };
        let writer = Self {
            queue: Mutex::new(Some(Arc::new(Queue::new(writing)))),
            thread,
            patience: options.busy_timeout,
            stall: options.stall(),
        };
        Ok((writer, file))
    }

    /// Waits for the turn.
    pub(crate) async fn turn(&self, operation: &'static str) -> Result<Turn, StoreError> {
        let until = Instant::now() + self.patience;
        let queue = self.queue().clone().ok_or_else(|| closed(operation))?;
        let writing = timeout(self.patience, queue.lock_owned())
            .await
            .map_err(|_| busy(operation))?;
        if writing.closed {
            return Err(closed(operation));
        }
        Ok(Turn {
            writing,
            thread: self.thread.clone(),
            until,
            stall: self.stall,
        })
    }

    /// One transaction, begun and ended in the thread of the store.
    pub(crate) async fn transact<R: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<R, Trouble> + Send + 'static,
    ) -> Result<R, ProjectionStoreError> {
        let turn = self.turn(operation).await?;
        let all = move |turn: &mut Turn, gave_up: &dyn Fn() -> bool| -> Result<R, Trouble> {
            turn.begin(gave_up)?;
            let result = work(turn.connection())?;
            turn.commit()?;
            Ok(result)
        };
        let (turn, result) = turn.in_the_thread(operation, all).await?;
        drop(turn);
        result.map_err(|trouble| trouble.during(operation))
    }

    /// Waits for the last turn to end, and closes the connection; returns without that after `stall_timeout`.
    pub(crate) async fn close(&self) {
        let Some(queue) = self.queue().take() else {
            return;
        };
        let end = async {
            let mut writing = Arc::clone(&queue).lock_owned().await;
            writing.closed = true;
            drop(writing);
            // The last to let go of it closes the connection, which may write to the disk: better in the thread.
            let (done, ended) = oneshot::channel();
            let close = move || {
                drop(queue);
                let _ = done.send(());
            };
            if self.thread.send(Box::new(close)).is_ok() {
                let _ = ended.await;
            }
        };
        if timeout(self.stall, end).await.is_err() {
            tracing::warn!(
                "the open unit, or the thread that writes, was not waited for any longer"
            );
        }
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Option<Arc<Queue<Writing>>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // As in `close`.
        let queue = self.queue().take();
        let _ = self.thread.send(Box::new(move || drop(queue)));
    }
}

impl Turn {
    pub(crate) fn connection(&self) -> &Connection {
        &self.writing.connection
    }

    pub(crate) fn connection_mut(&mut self) -> &mut Connection {
        &mut self.writing.connection
    }

    /// Does what may block. When the caller gives up, also because the thread stands still, the work is still finished,
    /// and then the turn ends.
    pub(crate) async fn in_the_thread<R: Send + 'static>(
        mut self,
        operation: &'static str,
        work: impl FnOnce(&mut Self, &dyn Fn() -> bool) -> R + Send + 'static,
    ) -> Result<(Self, R), StoreError> {
        let (answer, answered) = oneshot::channel();
        let (thread, stall) = (self.thread.clone(), self.stall);
        let job = move || {
            let result = work(&mut self, &|| answer.is_closed());
            // Sent back to nobody, the turn ends here.
            let _ = answer.send((self, result));
        };
        thread.send(Box::new(job)).map_err(|_| closed(operation))?;
        let answered = timeout(stall, answered).await.map_err(|_| {
            let text = format!(
                "the thread that writes has not answered within {stall:?} (`stall_timeout`), and it is not known whether \
                 that takes effect yet; is the disk there?"
            );
            StoreError::new(operation, StoreErrorKind::Other, text)
        })?;
        answered.map_err(|_| closed(operation))
    }

    /// Begins a transaction that may write, when nobody else does; waits until the time is up or the caller gives up.
    pub(crate) fn begin(&mut self, gave_up: &dyn Fn() -> bool) -> Result<(), Trouble> {
        if !self.connection().is_autocommit() {
            self.connection().execute_batch("ROLLBACK")?;
        }
        let begun = connection::begin_immediate(self.connection(), self.until, gave_up);
        // First, since a replaced file fails in many ways.
        self.check()?;
        // It ends with the turn, or by `commit`.
        begun?.set_drop_behavior(DropBehavior::Ignore);
        Ok(())
    }

    /// Commits, and flushes to the disk, when the file is still the one at its path; an error if it was replaced before
    /// the commit was done.
    pub(crate) fn commit(&mut self) -> Result<(), Trouble> {
        self.check()?;
        let may_commit = Arc::clone(&self.writing.may_commit);
        may_commit.store(true, Ordering::Relaxed);
        let result = self.connection().execute_batch("COMMIT");
        may_commit.store(false, Ordering::Relaxed);
        self.check()?;
        Ok(result?)
    }

    fn check(&self) -> Result<(), Trouble> {
        Ok(self.writing.connection.file.check("write to the file")?)
    }
}

impl Drop for Turn {
    /// Rolling back touches no disk: what was changed is forgotten.
    fn drop(&mut self) {
        if !self.connection().is_autocommit()
            && let Err(error) = self.connection().execute_batch("ROLLBACK")
        {
            // Whoever begins next tries again.
            tracing::debug!(%error, "a transaction was not rolled back");
        }
    }
}

fn busy(operation: &'static str) -> StoreError {
    let text = "another unit of this store is open; try again, or raise `busy_timeout`";
    StoreError::new(operation, StoreErrorKind::Busy, text)
}
