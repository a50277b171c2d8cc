//! A transaction that is open between calls, for SQL of the projection's own.

use std::{sync::Arc, time::Duration};

use eventcore::{projection::ProjectionStoreError, store::StoreError};
use sqlx::{AssertSqlSafe, Error, PgConnection, Postgres, Transaction, postgres::PgRow};
use tokio::{runtime::Handle, time::timeout};
use uuid::Uuid;

use super::calls::{Calls, Statement};
use crate::errors::store_error;

/// How long a rollback is waited for.
const ROLLBACK: Duration = Duration::from_secs(5);

/// The least time after which a leader that stands still in the midst of a transaction loses it.
const IDLE: Duration = Duration::from_secs(15);

/// A transaction on a connection of its own. Dropped before the end, it is rolled back by a task.
#[derive(Debug)]
pub(super) struct Session {
    calls: Arc<Calls>,
    /// The name of the transaction, which only it knows.
    name: String,
    /// sqlx's own, so that what the projection begins in it becomes a savepoint.
    transaction: Option<Transaction<'static, Postgres>>,
}

impl Session {
    /// To be called in a task: sqlx 0.9 forgets that a `BEGIN` was sent when its future is dropped.
    pub(super) async fn begin(
        calls: Arc<Calls>,
        operation: &'static str,
        ttl: Duration,
    ) -> Result<Self, StoreError> {
        let name = Uuid::now_v7().simple().to_string();
        let idle = i32::try_from(ttl.max(IDLE).as_millis()).unwrap_or(i32::MAX);
        // A transaction that was ended has not its name any more. Its level does not depend on anybody's defaults: the
        // row of a partition that another leader changed meanwhile must be seen as it is.
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL eventcore.unit = '{name}'; \
             SET LOCAL idle_in_transaction_session_timeout = {idle}"
        );
        let transaction = calls.pool.begin_with(AssertSqlSafe(begin)).await;
        Ok(Self {
            calls,
            name,
            transaction: Some(transaction.map_err(|error| store_error(operation, error))?),
        })
    }

    /// What the transaction is called; the commit asks for it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The connection, in the transaction.
    pub(super) fn connection(&mut self) -> Result<&mut PgConnection, Error> {
        // It is there until `commit` takes it.
        self.transaction.as_deref_mut().ok_or(Error::PoolClosed)
    }

    /// One statement within the transaction.
    pub(super) async fn run(&mut self, statement: Statement<'_>) -> Result<Vec<PgRow>, Error> {
        let mode = self.calls.mode;
        let statement = statement.persistent(mode.prepared);
        let connection = self.connection()?;
        mode.patiently(statement.fetch_all(connection)).await
    }

    /// Commits. To be called in a task.
    pub(super) async fn commit(
        mut self,
        operation: &'static str,
    ) -> Result<(), ProjectionStoreError> {
        let Some(transaction) = self.transaction.take() else {
            return Ok(());
        };
        let committed = self.calls.mode.patiently(transaction.commit()).await;
        committed.map_err(|error| store_error(operation, error).into())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(transaction) = self.transaction.take() else {
            return;
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(roll_back(transaction))),
            // Where no runtime is, neither is anybody who could use the connection; sqlx would panic.
            Err(_) => std::mem::forget(transaction),
        }
    }
}

/// Rolls back before the connection is given back, so that the next who has it need not wait for that.
async fn roll_back(transaction: Transaction<'static, Postgres>) {
    if let Ok(Err(error)) = timeout(ROLLBACK, transaction.rollback()).await {
        tracing::debug!(%error, "a unit of work was not rolled back by us; the server does it");
    }
}
