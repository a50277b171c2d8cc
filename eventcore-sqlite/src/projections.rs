//! Projections in an SQLite file.
//!
//! The path of a unit: it waits for its `turn` at the one connection that writes, begins in the thread of the store,
//! reads and writes in the thread that calls (`documents`, `letters`), and is committed in the thread of the store,
//! after `leases` has moved the checkpoint. The path of a read: in place, or a queue and a thread of `readers`.

mod division;
mod documents;
pub(crate) mod inline;
mod leases;
mod letters;
mod options;
mod query;
pub(crate) mod readers;
mod schema;
mod trouble;
mod turn;
mod unit;
mod versions;

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use eventcore::{
    GlobalPosition,
    projection::{
        Claim, Claimed, DeadLetter, DocumentKey, DocumentQuery, Lease, ProjectionId,
        ProjectionName, ProjectionStore, ProjectionStoreError, RawDocument, Standing,
    },
    store::StoreError,
};

pub(crate) use self::trouble::Trouble;
pub use self::{options::SqliteProjectionsOptions, unit::SqliteUnit};
use self::{readers::Readers, turn::Writer};
use crate::store::in_a_thread;

/// The most documents that are read in the thread that asks.
const SHORT: usize = 16;

/// Projections in an SQLite file: documents, checkpoints, leases and dead letters. Clones share their threads and the
/// file.
///
/// A file of its own is best, since SQLite has one writer per file. The file of the events works as well; then appends
/// and units wait for each other. The application may have tables of its own there, and write to them in the same
/// transaction through [`SqliteUnit::connection`].
///
/// A [`SqliteUnit`] holds the one right to write from its beginning to its end. Another one, also of another partition,
/// waits meanwhile, without a thread of the runtime, and fails as [`Busy`](eventcore::store::StoreErrorKind::Busy)
/// after the time set by [`SqliteProjectionsOptions::busy_timeout`]. So keep units short, and do not begin a second
/// one, claim or renew in the task that has one open: it would wait for itself until then.
///
/// It is used in a Tokio runtime with time enabled. The file belongs to the store while it is open, as with
/// [`SqliteEventStore`](crate::SqliteEventStore): when it is deleted, moved or replaced, every call fails as
/// [`Replaced`](eventcore::store::StoreErrorKind::Replaced) from then on.
///
/// ```
/// use std::time::Duration;
/// use eventcore::projection::{
///     Claim, Claimed, DocumentChange, DocumentKey, Owner, Partitions, Progress, ProjectionId, ProjectionName,
///     ProjectionStore, UnitOfWork,
/// };
/// use eventcore_sqlite::SqliteProjections;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("views.db");
/// let store = SqliteProjections::open(&path).await?;
/// let name = ProjectionName::try_new("balances")?;
/// let claim = Claim {
///     projection: ProjectionId { name: name.clone(), version: 1 },
///     partition: 0,
///     partitions: Partitions::ONE,
///     owner: Owner { id: uuid::Uuid::now_v7(), label: "example".into() },
///     ttl: Duration::from_secs(10),
/// };
/// if let Claimed::Granted(lease) = store.claim(&claim).await? {
///     let mut unit = store.begin(&lease).await?;
///     let key = DocumentKey::try_new("account:1")?;
///     let body = Some(r#"{"balance":10}"#.to_owned());
///     unit.put(vec![DocumentChange { key: key.clone(), body }]).await?;
///     unit.commit(Progress { checkpoint: lease.checkpoint, activate: false }).await?;
///     assert!(store.documents(&name, &[key]).await?[0].is_some());
/// }
/// store.close().await;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct SqliteProjections {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    writer: Writer,
    readers: Readers,
}

impl SqliteProjections {
    /// Opens a file with the default [`SqliteProjectionsOptions`], and makes it, and the tables in it, if they are
    /// not there.
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
        Self::open_with(SqliteProjectionsOptions::new(path)).await
    }

    /// Opens a file.
    ///
    /// # Errors
    ///
    /// As [`SqliteProjections::open`].
    ///
    /// # Cancel safety
    ///
    /// As [`SqliteProjections::open`].
    pub async fn open_with(options: SqliteProjectionsOptions) -> Result<Self, StoreError> {
        let start = move || {
            let (writer, file) = Writer::start(&options.file)?;
            let readers = Readers::start(&options.file, &file)?;
            Ok(Shared { writer, readers })
        };
        Ok(Self {
            shared: Arc::new(in_a_thread(start).await?),
        })
    }

    /// Lets runners lead a projection again that was run inline
    /// ([`SqliteOptions::inline`](crate::SqliteOptions::inline)). Nothing happens when it is not run inline.
    ///
    /// A store that still runs it refuses its appends from now on, so give it back when all of them are closed.
    ///
    /// # Errors
    ///
    /// [`ProjectionStoreError::Store`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it given back or not.
    pub async fn give_back(&self, projection: &ProjectionId) -> Result<(), ProjectionStoreError> {
        let projection = projection.clone();
        let work = move |connection: &_| inline::give_back(connection, &projection);
        self.shared
            .writer
            .transact("give a projection back", work)
            .await
    }

    /// Waits for the open unit to end and closes the file, for all clones; later calls fail as
    /// [`Closed`](eventcore::store::StoreErrorKind::Closed). Dropping the last clone does the same without waiting. It
    /// returns when the unit has not ended within [`SqliteProjectionsOptions::stall_timeout`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the store closed for new calls; the file is closed when the last one is done.
    pub async fn close(&self) {
        self.shared.readers.close().await;
        // The last connection to close puts everything into the one file.
        self.shared.writer.close().await;
    }
}

#[async_trait]
impl ProjectionStore for SqliteProjections {
    type Unit = SqliteUnit;

    async fn claim(&self, claim: &Claim) -> Result<Claimed, ProjectionStoreError> {
        let claim = claim.clone();
        let work = move |connection: &_| leases::claim(connection, &claim);
        self.shared.writer.transact("claim a partition", work).await
    }

    async fn renew(&self, lease: &Lease) -> Result<(), ProjectionStoreError> {
        let lease = lease.clone();
        let work = move |connection: &_| leases::renew(connection, &lease);
        self.shared.writer.transact("renew a lease", work).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), ProjectionStoreError> {
        let lease = lease.clone();
        let work = move |connection: &_| leases::release(connection, &lease);
        self.shared.writer.transact("release a lease", work).await
    }

    async fn begin(&self, lease: &Lease) -> Result<Self::Unit, ProjectionStoreError> {
        SqliteUnit::begin(&self.shared.writer, lease).await
    }

    async fn standings(
        &self,
        name: &ProjectionName,
    ) -> Result<Vec<Standing>, ProjectionStoreError> {
        let name = name.clone();
        let question = move |connection: &_| versions::standings(connection, &name);
        let readers = &self.shared.readers;
        readers
            .read("read where a projection stands", false, question)
            .await
    }

    async fn names(&self) -> Result<Vec<ProjectionName>, ProjectionStoreError> {
        let readers = &self.shared.readers;
        readers
            .read("read the names of projections", false, versions::names)
            .await
    }

    async fn dead_letters(
        &self,
        projection: &ProjectionId,
        after: GlobalPosition,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, ProjectionStoreError> {
        let projection = projection.clone();
        let question = move |connection: &_| match versions::number(connection, &projection)? {
            Some(number) => letters::after(connection, number, after, limit),
            None => Ok(Vec::new()),
        };
        let readers = &self.shared.readers;
        readers.read("read dead letters", false, question).await
    }

    async fn replay(&self, projection: &ProjectionId) -> Result<u64, ProjectionStoreError> {
        let projection = projection.clone();
        let work = move |connection: &_| match versions::number(connection, &projection)? {
            Some(number) => letters::replay(connection, number),
            None => Ok(0),
        };
        self.shared
            .writer
            .transact("replay dead letters", work)
            .await
    }

    async fn reset(&self, projection: &ProjectionId) -> Result<(), ProjectionStoreError> {
        let projection = projection.clone();
        let work = move |connection: &_| versions::reset(connection, &projection);
        self.shared
            .writer
            .transact("reset a projection", work)
            .await
    }

    async fn remove(&self, projection: &ProjectionId) -> Result<(), ProjectionStoreError> {
        let projection = projection.clone();
        let work = move |connection: &_| versions::remove(connection, &projection);
        self.shared
            .writer
            .transact("remove a projection", work)
            .await
    }

    async fn documents(
        &self,
        name: &ProjectionName,
        keys: &[DocumentKey],
    ) -> Result<Vec<Option<String>>, ProjectionStoreError> {
        let short = keys.len() <= SHORT;
        let (name, keys) = (name.clone(), keys.to_vec());
        let question = move |connection: &_| match documents::active(connection, &name)? {
            Some(projection) => documents::load(connection, projection, &keys),
            None => Ok(vec![None; keys.len()]),
        };
        self.shared
            .readers
            .read("read documents", short, question)
            .await
    }

    async fn query(
        &self,
        name: &ProjectionName,
        query: &DocumentQuery,
    ) -> Result<Vec<RawDocument>, ProjectionStoreError> {
        let (name, query) = (name.clone(), query.clone());
        let question = move |connection: &_| query::run(connection, &name, &query);
        self.shared
            .readers
            .read("query documents", false, question)
            .await
    }
}
