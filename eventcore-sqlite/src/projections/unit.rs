//! One transaction of a leader.

use async_trait::async_trait;
use eventcore::{
    GlobalPosition,
    projection::{
        DeadLetter, DocumentChange, DocumentKey, Lease, Progress, ProjectionStoreError, UnitOfWork,
    },
    store::{StoreError, StoreErrorKind},
};
use rusqlite::Connection;

use super::{
    documents, leases, letters,
    trouble::Trouble,
    turn::{Turn, Writer},
};

/// One transaction of [`SqliteProjections`](super::SqliteProjections): `BEGIN IMMEDIATE`, so nobody else writes to
/// the file until it ends.
///
/// A projection with tables of its own writes to them through [`SqliteUnit::connection`]. Reading and writing are
/// done in the thread that calls, since they touch memory more than the disk; beginning and committing are done in a
/// thread of the store.
#[derive(Debug)]
pub struct SqliteUnit {
    turn: Turn,
    lease: Lease,
    /// Stands for the version in the tables.
    projection: i64,
}

impl SqliteUnit {
    /// Begins one, if the lease is the last that was granted. Nobody can be granted another while it is open: that
    /// takes a transaction too.
    pub(super) async fn begin(
        writer: &Writer,
        lease: &Lease,
    ) -> Result<Self, ProjectionStoreError> {
        const OPERATION: &str = "begin a unit of work";
        let turn = writer.turn(OPERATION).await?;
        let of = lease.clone();
        let begin = move |turn: &mut Turn, gave_up: &dyn Fn() -> bool| {
            turn.begin(gave_up)?;
            leases::check(turn.connection(), &of)
        };
        let (turn, projection) = turn.in_the_thread(OPERATION, begin).await?;
        Ok(Self {
            projection: projection.map_err(|trouble| trouble.during(OPERATION))?,
            turn,
            lease: lease.clone(),
        })
    }

    /// The connection, inside of the transaction, for SQL of the projection's own.
    ///
    /// The transaction is ended by the unit alone: a `COMMIT` that goes this way fails. Use
    /// [`savepoint`](Connection::savepoint) for a part that may be taken back. The connection is used again for the
    /// next unit, so temporary tables, attached files and settings stay; leave its hooks alone. Statements that take
    /// long belong into
    /// [`tokio::task::block_in_place`](https://docs.rs/tokio/latest/tokio/task/fn.block_in_place.html).
    ///
    /// Tables whose names begin with `eventcore_` are the store's.
    pub fn connection(&mut self) -> &mut Connection {
        self.turn.connection_mut()
    }

    /// The connection, if it is still in the transaction.
    fn inside(&self) -> Result<&Connection, Trouble> {
        if self.turn.connection().is_autocommit() {
            return Err(StoreError::new(
                "use a unit of work",
                StoreErrorKind::Other,
                "its transaction was rolled back before, by an error of SQLite or by a statement of the projection",
            )
            .into());
        }
        Ok(self.turn.connection())
    }
}

#[async_trait]
impl UnitOfWork for SqliteUnit {
    async fn load(
        &mut self,
        keys: &[DocumentKey],
    ) -> Result<Vec<Option<String>>, ProjectionStoreError> {
        self.inside()
            .and_then(|connection| documents::load(connection, self.projection, keys))
            .map_err(|trouble| trouble.during("load documents"))
    }

    async fn put(&mut self, changes: Vec<DocumentChange>) -> Result<(), ProjectionStoreError> {
        self.inside()
            .and_then(|connection| documents::put(connection, self.projection, &changes))
            .map_err(|trouble| trouble.during("put documents"))
    }

    async fn waiting(&mut self) -> Result<Vec<DeadLetter>, ProjectionStoreError> {
        self.inside()
            .and_then(|connection| {
                letters::waiting(connection, self.projection, self.lease.partition)
            })
            .map_err(|trouble| trouble.during("read dead letters"))
    }

    async fn bury(&mut self, letters: Vec<DeadLetter>) -> Result<(), ProjectionStoreError> {
        self.inside()
            .and_then(|connection| letters::bury(connection, self.projection, &letters))
            .map_err(|trouble| trouble.during("write dead letters"))
    }

    async fn revive(&mut self, position: GlobalPosition) -> Result<(), ProjectionStoreError> {
        let partition = self.lease.partition;
        self.inside()
            .and_then(|connection| {
                letters::revive(connection, self.projection, partition, position)
            })
            .map_err(|trouble| trouble.during("remove a dead letter"))
    }

    async fn commit(self, progress: Progress) -> Result<(), ProjectionStoreError> {
        const OPERATION: &str = "commit a unit of work";
        let advanced = self.inside().and_then(|connection| {
            leases::advance(connection, self.projection, &self.lease, progress)
        });
        advanced.map_err(|trouble| trouble.during(OPERATION))?;
        let commit = |turn: &mut Turn, _: &dyn Fn() -> bool| turn.commit();
        let (turn, committed) = self.turn.in_the_thread(OPERATION, commit).await?;
        drop(turn);
        committed.map_err(|trouble| trouble.during(OPERATION))
    }
}
