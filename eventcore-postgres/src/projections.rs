//! Projections in a PostgreSQL database.
//!
//! The path of a unit: it keeps aside what the projection changes (`unit`), and commits it by one call of a function of
//! `sql/003_projections.sql`, which decides under the lock of the partition's row whether the lease is the last one.
//! With SQL of the projection's own there is a transaction around it (`session`).

mod calls;
mod documents;
mod leases;
mod letters;
mod query;
mod transaction;
mod unit;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use async_trait::async_trait;
use eventcore::{
    GlobalPosition,
    projection::{
        Claim, Claimed, DeadLetter, DocumentKey, DocumentQuery, Lease, ProjectionId,
        ProjectionName, ProjectionStore, ProjectionStoreError, RawDocument, Standing,
    },
    store::{StoreError, StoreErrorKind},
};
use sqlx::PgPool;

use self::calls::Calls;
pub use self::unit::PostgresUnit;
use crate::{
    PostgresOptions,
    errors::closed,
    inline,
    options::SchemaName,
    sessions::Sessions,
    store::{connect, in_a_task, open_sessions},
};

/// Projections in a PostgreSQL database: documents, checkpoints, leases and dead letters. Clones share their connections.
///
/// They live in the schema that [`PostgresEventStore::migrate`](crate::PostgresEventStore::migrate) makes, beside the
/// events or in a database of their own. Time is the server's clock. Isolation: READ COMMITTED; every question, and
/// every call of a unit, sees one state that was committed, and leaders are fenced by the row of their partition.
///
/// ```no_run
/// use eventcore::projection::{ProjectionName, ProjectionStore};
/// use eventcore_postgres::{PostgresEventStore, PostgresOptions, PostgresProjections};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let url = "postgres://localhost/shop";
/// PostgresEventStore::migrate(url, &PostgresOptions::new()).await?;
/// let views = PostgresProjections::connect(url, PostgresOptions::new()).await?;
/// // Or over the connections of the events: `let views = store.projections();`
/// let standings = views.standings(&ProjectionName::try_new("balances")?).await?;
/// # let _ = standings;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct PostgresProjections {
    calls: Arc<Calls>,
    own_pool: bool,
    closed: Arc<AtomicBool>,
}

impl PostgresProjections {
    /// Connects to a database whose schema was made by
    /// [`PostgresEventStore::migrate`](crate::PostgresEventStore::migrate).
    ///
    /// # Errors
    ///
    /// As [`PostgresEventStore::connect`](crate::PostgresEventStore::connect).
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    pub async fn connect(url: &str, options: PostgresOptions) -> Result<Self, StoreError> {
        let pool = connect(url, &options)?;
        Self::start(pool, options, true).await
    }

    /// Uses a pool of the application's. A pool of one connection will do for projections without SQL of their own;
    /// others hold one for each partition while they write.
    ///
    /// # Errors
    ///
    /// As [`PostgresEventStore::connect`](crate::PostgresEventStore::connect).
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    pub async fn from_pool(pool: PgPool, options: PostgresOptions) -> Result<Self, StoreError> {
        Self::start(pool, options, false).await
    }

    async fn start(
        pool: PgPool,
        options: PostgresOptions,
        own_pool: bool,
    ) -> Result<Self, StoreError> {
        let (sessions, _) = open_sessions(pool, &options, own_pool).await?;
        Ok(Self::over(sessions, options.schema, own_pool))
    }

    /// Over connections to a schema that was checked.
    pub(crate) fn over(sessions: Sessions, schema: SchemaName, own_pool: bool) -> Self {
        Self {
            calls: Arc::new(Calls { sessions, schema }),
            own_pool,
            closed: Arc::default(),
        }
    }

    /// Lets runners lead a projection again that was run inline
    /// ([`PostgresOptions::inline`]). Nothing happens when it is not run inline.
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
        const OPERATION: &str = "give a projection back";
        let calls = self.open_for(OPERATION)?;
        let statement = inline::give_back(&calls.schema, projection);
        in_a_task(OPERATION, async move {
            let mut session = calls.take(OPERATION).await?;
            let result = calls.write(&mut session, statement).await;
            calls.done(OPERATION, session, result.map(drop))
        })
        .await
    }

    /// Waits for what is under way and gives the connections back, for all clones; later calls fail as
    /// [`Closed`](StoreErrorKind::Closed). A pool of the application's, or of the event store's, stays open.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop the closing.
    pub async fn close(&self) {
        self.closed.store(true, Relaxed);
        if self.own_pool {
            self.calls.sessions.pool().close().await;
        }
    }

    /// A pool of the application's is open even after this was closed.
    fn open_for(&self, operation: &'static str) -> Result<Arc<Calls>, StoreError> {
        if self.closed.load(Relaxed) {
            return Err(closed(operation));
        }
        Ok(Arc::clone(&self.calls))
    }
}

/// Runs one of the [`Calls`] on a connection of the pool, in a task of its own.
macro_rules! call {
    ($self:ident, $operation:literal, $call:ident($($argument:ident),*)) => {{
        let calls = $self.open_for($operation)?;
        $(let $argument = $argument.to_owned();)*
        in_a_task($operation, async move {
            let mut session = calls.take($operation).await?;
            let result = calls.$call(&mut session, $(&$argument),*).await;
            calls.done($operation, session, result)
        })
        .await
    }};
}

#[async_trait]
impl ProjectionStore for PostgresProjections {
    type Unit = PostgresUnit;

    async fn claim(&self, claim: &Claim) -> Result<Claimed, ProjectionStoreError> {
        if claim.partition >= claim.partitions.get() {
            let (partition, partitions) = (claim.partition, claim.partitions.get());
            let detail =
                format!("there is no partition {partition} of {partitions}; they count from 0");
            return Err(StoreError::new("claim", StoreErrorKind::Other, detail).into());
        }
        call!(self, "claim", claim(claim))
    }

    async fn renew(&self, lease: &Lease) -> Result<(), ProjectionStoreError> {
        if call!(self, "renew a lease", renew(lease))? {
            return Ok(());
        }
        Err(ProjectionStoreError::fenced(lease))
    }

    async fn release(&self, lease: &Lease) -> Result<(), ProjectionStoreError> {
        call!(self, "release a lease", release(lease))
    }

    /// Takes no connection, and so does not notice that the lease was replaced; the commit does.
    async fn begin(&self, lease: &Lease) -> Result<Self::Unit, ProjectionStoreError> {
        let calls = self.open_for("begin a unit of work")?;
        Ok(PostgresUnit::new(calls, lease.clone()))
    }

    async fn standings(
        &self,
        name: &ProjectionName,
    ) -> Result<Vec<Standing>, ProjectionStoreError> {
        call!(self, "look at a projection", standings(name))
    }

    async fn names(&self) -> Result<Vec<ProjectionName>, ProjectionStoreError> {
        call!(self, "list projections", names())
    }

    async fn dead_letters(
        &self,
        projection: &ProjectionId,
        after: GlobalPosition,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, ProjectionStoreError> {
        call!(self, "list dead letters", letters(projection, after, limit))
    }

    async fn replay(&self, projection: &ProjectionId) -> Result<u64, ProjectionStoreError> {
        call!(self, "replay dead letters", replay(projection))
    }

    async fn reset(&self, projection: &ProjectionId) -> Result<(), ProjectionStoreError> {
        call!(self, "reset a projection", reset(projection))
    }

    async fn remove(&self, projection: &ProjectionId) -> Result<(), ProjectionStoreError> {
        if call!(self, "remove a projection", remove(projection))? {
            return Ok(());
        }
        let projection = projection.clone();
        Err(ProjectionStoreError::Active { projection })
    }

    async fn documents(
        &self,
        name: &ProjectionName,
        keys: &[DocumentKey],
    ) -> Result<Vec<Option<String>>, ProjectionStoreError> {
        call!(self, "load documents", documents(name, keys))
    }

    async fn query(
        &self,
        name: &ProjectionName,
        query: &DocumentQuery,
    ) -> Result<Vec<RawDocument>, ProjectionStoreError> {
        call!(self, "query documents", query(name, query))
    }
}
