//! A transaction that is open between calls, for SQL of the projection's own.

use std::{sync::Arc, time::Duration};

use eventcore::{projection::ProjectionStoreError, store::StoreError};
use sqlx::{
    AssertSqlSafe, Error, PgConnection, Postgres, SqlSafeStr, Transaction, postgres::PgRow,
};
use tokio::{runtime::Handle, time::timeout};
use uuid::Uuid;

use super::calls::{Calls, Statement};
use crate::{
    errors::store_error,
    mode::{Mode, clear, run},
    options::server_millis,
};

/// How long a rollback is waited for.
const ROLLBACK: Duration = Duration::from_secs(5);

/// The least time after which a leader that stands still in the midst of a transaction loses it.
const IDLE: Duration = Duration::from_secs(15);

/// What undoes the settings, roles, locks and tables that SQL of a projection may have left in a session. As `DISCARD
/// ALL` without forgetting prepared statements, which sqlx keeps count of.
const RESET: &str = "BEGIN; SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL; UNLISTEN *; CLOSE ALL; \
                     SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES; COMMIT; ";

/// A transaction on a connection of its own. Dropped before the end, it is rolled back by a task.
#[derive(Debug)]
pub(super) struct UnitTransaction {
    calls: Arc<Calls>,
    /// The name of the transaction, which only it knows.
    name: String,
    /// There until the end. sqlx's own, so that what the projection begins in it becomes a savepoint.
    transaction: Option<Transaction<'static, Postgres>>,
}

impl UnitTransaction {
    /// To be called in a task: sqlx 0.9 forgets that a `BEGIN` was sent when its future is dropped.
    pub(super) async fn begin(
        calls: Arc<Calls>,
        operation: &'static str,
        ttl: Duration,
    ) -> Result<Self, StoreError> {
        let name = Uuid::now_v7().simple().to_string();
        let idle = server_millis(ttl.max(IDLE));
        // A transaction that was ended has not its name any more. Its level does not depend on defaults: the row of a
        // partition that another leader changed meanwhile must be seen as it is.
        let settings = format!(
            "; SET LOCAL eventcore.unit = '{name}'; \
             SET LOCAL idle_in_transaction_session_timeout = {idle}"
        );
        let mut session = calls.take(operation).await?;
        let mode = session.mode();
        let begin = mode.frame("", &settings);
        let opening = async {
            if mode.shared {
                clear(&mut session).await?;
            }
            let begin = AssertSqlSafe(begin).into_sql_str();
            Transaction::begin(session.into_connection(), Some(begin)).await
        };
        let transaction = mode.patiently(opening).await;
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
        self.transaction.as_deref_mut().ok_or(Error::PoolClosed)
    }

    /// One statement within the transaction.
    pub(super) async fn run(&mut self, statement: Statement<'_>) -> Result<Vec<PgRow>, Error> {
        let mode = self.calls.sessions.mode();
        let statement = statement.persistent(mode.prepared);
        let connection = self.connection()?;
        mode.patiently(statement.fetch_all(connection)).await
    }

    /// Commits. To be called in a task.
    pub(super) async fn commit(
        mut self,
        operation: &'static str,
    ) -> Result<(), ProjectionStoreError> {
        let Some(mut transaction) = self.transaction.take() else {
            return Ok(());
        };
        let mode = self.calls.sessions.mode();
        let committed = mode.patiently(run(&mut transaction, "COMMIT".to_owned()));
        committed
            .await
            .map_err(|error| store_error(operation, error))?;
        // Not waited for: the unit is committed.
        tokio::spawn(give_back(transaction, mode, String::new()));
        Ok(())
    }
}

impl Drop for UnitTransaction {
    fn drop(&mut self) {
        let Some(transaction) = self.transaction.take() else {
            return;
        };
        let mode = self.calls.sessions.mode();
        match Handle::try_current() {
            // Before the connection is given back, so that the next call that takes it need not wait for that.
            Ok(runtime) => drop(runtime.spawn(give_back(transaction, mode, "ROLLBACK; ".into()))),
            // Without a runtime no other call can use the connection; sqlx would panic.
            Err(_) => std::mem::forget(transaction),
        }
    }
}

/// Gives a connection back without what the projection's SQL left in it. In an application's own pool that is the
/// application's affair, and may be on purpose.
async fn give_back(mut transaction: Transaction<'static, Postgres>, mode: Mode, end: String) {
    let reset = if mode.shared { "" } else { RESET };
    // sqlx ends a transaction at last: one without anything in it.
    let cleaned = async {
        run(&mut transaction, format!("{end}{reset}BEGIN")).await?;
        transaction.rollback().await
    };
    if let Ok(Err(error)) = timeout(ROLLBACK, cleaned).await {
        tracing::debug!(%error, "a unit of work is ended by the server");
    }
}
