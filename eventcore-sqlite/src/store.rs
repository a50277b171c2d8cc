//! The store as its users hold it.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use eventcore::{
    Commons, EventFilter, EventStore, GlobalPosition, IdempotencyKey,
    store::{
        AppendBatch, AppendError, AppendReceipt, Capabilities, EventChunks, KeptReceipt, Page,
        PageSize, ReadError, ReadFrom, StoreError, StoreErrorKind, StreamRead,
    },
};
use tokio::sync::oneshot;

use crate::{
    Durability, SqliteOptions, backup,
    errors::closed,
    identity::OpenFile,
    readers::{Job, Readers},
    select::{Cursor, Opened},
    watch::Watch,
    writer::Writes,
};

/// Events in an SQLite file. Clones share their threads and the file.
///
/// It is used in a Tokio runtime with time enabled.
///
/// **The file belongs to the store while it is open.** When it is deleted, moved or replaced, or given a second name (a
/// hard link), or when that happens to the `-wal` and `-shm` files beside it, every call fails as
/// [`Replaced`](StoreErrorKind::Replaced) from then on, until the store is closed and opened again: what was written would
/// be in a file without a name. Reads notice it within some 50 milliseconds, appends before they are acknowledged. Copy
/// the file with [`SqliteEventStore::backup_to`] and with nothing else.
///
/// ```
/// use eventcore::{EventStore, store::ReadFrom};
/// use eventcore_sqlite::SqliteEventStore;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("bank.db");
/// let store = SqliteEventStore::open(&path).await?;
/// let read = store.read(&[ReadFrom::start("account:1".try_into()?)]).await?;
/// assert!(read.versions[0].is_empty());
/// store.close().await;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct SqliteEventStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    writes: Writes,
    readers: Readers,
    watch: Watch,
    commons: Arc<Commons>,
    options: SqliteOptions,
    file: Arc<OpenFile>,
}

impl SqliteEventStore {
    /// Opens a file with the default [`SqliteOptions`], and makes it if it is not there.
    ///
    /// # Errors
    ///
    /// A [`StoreError`] whose kind says what is wrong: a path that cannot be opened, a file that is no database,
    /// damaged, read-only, busy, or of a newer version.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no half-made file: the tables are made in one transaction.
    pub async fn open(path: impl AsRef<Path> + Send) -> Result<Self, StoreError> {
        Self::open_with(SqliteOptions::new(path)).await
    }

    /// Opens a file.
    ///
    /// # Errors
    ///
    /// As [`SqliteEventStore::open`].
    ///
    /// # Cancel safety
    ///
    /// As [`SqliteEventStore::open`].
    pub async fn open_with(options: SqliteOptions) -> Result<Self, StoreError> {
        let commons = Arc::new(Commons::keeping(options.kept_folds));
        let woken = Arc::clone(&commons);
        let start = move || {
            let (writes, file) = Writes::start(&options, Arc::clone(&woken))?;
            let readers = Readers::start(&options, &file)?;
            let watch = Watch::start(&options, Arc::clone(&file), woken)?;
            Ok(Shared {
                writes,
                readers,
                watch,
                commons,
                options,
                file,
            })
        };
        Ok(Self {
            shared: Arc::new(in_a_thread(start).await?),
        })
    }

    /// Finishes what waits and closes the file, for all clones; later calls fail as
    /// [`Closed`](StoreErrorKind::Closed). Dropping the last clone does the same without waiting. It returns without
    /// the end of a thread that makes no progress for [`SqliteOptions::stall_timeout`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop the closing.
    pub async fn close(&self) {
        // The writer is the last to close, so that it can put everything into the one file.
        self.shared.readers.close().await;
        self.shared.watch.close().await;
        self.shared.writes.close().await;
    }

    /// Copies the file to a path at which there is no file, while the store is in use, and returns how far the copy goes:
    /// the position of its last event.
    ///
    /// The copy is one snapshot of the whole file, tables of projections and of the application included. It is written
    /// under a temporary name in the same folder, flushed to the disk, and renamed, so there is never a half-made
    /// backup at the path. It may be opened like every other file; readers that have gone further than it have to be
    /// told so, see [`ReadError::LogBehind`].
    ///
    /// Appends go on meanwhile. The write-ahead log cannot be emptied while pages are copied, so it grows by what is
    /// appended. There is no time limit; a file of some gigabytes takes as long as the disk needs to write it.
    ///
    /// No other way of copying an open file is safe. Reading it with the means of the operating system in a process that
    /// has it open takes away its locks, and without the write-ahead log the last events are missing.
    ///
    /// ```
    /// # use eventcore_sqlite::SqliteEventStore;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = SqliteEventStore::open(folder.path().join("bank.db")).await?;
    /// let position = store.backup_to(folder.path().join("bank-2026-11-25.db")).await?;
    /// assert_eq!(position.get(), 0);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// A [`StoreError`]: [`Access`](StoreErrorKind::Access) when something is at the path, or its folder is missing or
    /// cannot be written; [`Full`](StoreErrorKind::Full); [`Replaced`](StoreErrorKind::Replaced);
    /// [`Closed`](StoreErrorKind::Closed). There is no backup then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the copying soon, and nothing is left of it; or it was just done.
    pub async fn backup_to(
        &self,
        path: impl AsRef<Path> + Send,
    ) -> Result<GlobalPosition, StoreError> {
        const OPERATION: &str = "back the store up";
        let Shared {
            writes,
            options,
            file,
            ..
        } = &*self.shared;
        if writes.is_closed() {
            return Err(closed(OPERATION));
        }
        let (options, file) = (options.clone(), Arc::clone(file));
        let path = path.as_ref().to_path_buf();
        let (done, copied) = oneshot::channel();
        let copy = move || {
            let result = backup::copy(&options, &file, &path, &|| done.is_closed());
            // The caller may have given up just now.
            let _ = done.send(result);
        };
        let failed = |text| StoreError::new(OPERATION, StoreErrorKind::Other, text);
        std::thread::Builder::new()
            .name("eventcore-sqlite-backup".into())
            .spawn(copy)
            .map_err(|error| failed("cannot start a thread").with_source(error))?;
        copied
            .await
            .map_err(|_| failed("the thread that copies ended early"))?
    }

    fn rest(self, cursor: Cursor) -> impl futures_core::Stream<Item = Result<Chunk, ReadError>> {
        futures_util::stream::unfold((self, Some(cursor)), |(store, cursor)| async move {
            let cursor = cursor?;
            match store
                .shared
                .readers
                .ask(|answer| Job::GoOn(cursor, answer))
                .await
            {
                Ok((chunk, rest)) => Some((Ok(chunk), (store, rest))),
                Err(error) => Some((Err(error), (store, None))),
            }
        })
    }
}

type Chunk = Vec<eventcore::RecordedEvent>;

/// Opening a file blocks, and a runtime's own threads are not for that.
pub(crate) async fn in_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (done, result) = oneshot::channel();
    let failed = |text| StoreError::new("open the store", StoreErrorKind::Other, text);
    std::thread::Builder::new()
        .name("eventcore-sqlite-open".into())
        .spawn(move || drop(done.send(work())))
        .map_err(|error| failed("cannot start a thread").with_source(error))?;
    result
        .await
        .map_err(|_| failed("the thread that opens the file ended early"))?
}

#[async_trait]
impl EventStore for SqliteEventStore {
    fn capabilities(&self) -> Capabilities {
        let claims = Capabilities::none().durable().multi_process();
        let options = &self.shared.options;
        // How another program flushes what is only read here is not known.
        if options.durability == Durability::PowerCut && !options.read_only {
            claims.survives_power_cut()
        } else {
            claims
        }
    }

    fn commons(&self) -> &Commons {
        &self.shared.commons
    }

    async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
        let Opened {
            versions,
            witnesses,
            first,
            rest,
        } = self
            .shared
            .readers
            .ask(|answer| Job::Open(streams.to_vec(), answer))
            .await?;
        let events = match rest {
            None => EventChunks::ready(first),
            Some(cursor) => EventChunks::streaming(first, self.clone().rest(cursor)),
        };
        Ok(StreamRead {
            versions,
            witnesses,
            events,
        })
    }

    async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
        if self.shared.options.read_only {
            let text = "it was opened with `SqliteOptions::read_only`";
            return Err(StoreError::new("append", StoreErrorKind::ReadOnly, text).into());
        }
        self.shared.writes.append(batch).await
    }

    async fn find_receipt(&self, key: &IdempotencyKey) -> Result<Option<KeptReceipt>, ReadError> {
        if self.shared.options.read_only {
            return self.committed_receipt(key).await;
        }
        self.shared.writes.find_receipt(key.clone()).await
    }

    async fn committed_receipt(
        &self,
        key: &IdempotencyKey,
    ) -> Result<Option<KeptReceipt>, ReadError> {
        let receipt = |answer| Job::Receipt(key.clone(), answer);
        self.shared.readers.ask(receipt).await
    }

    async fn read_all(
        &self,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<Page, ReadError> {
        let page = |answer| Job::Page {
            after,
            filter: filter.clone(),
            limit: limit.into(),
            answer,
        };
        self.shared.readers.ask(page).await
    }
}
