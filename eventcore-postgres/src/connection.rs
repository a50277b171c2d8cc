//! A connection that a task keeps while it has work, and how statements go over it.

use sqlx::{
    Connection, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgArguments, PgRow},
    query::Query,
};

type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// How statements travel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    /// Statements are prepared once per connection. Otherwise each takes two messages, and a pooler may give those to
    /// different sessions unless a transaction ties them together.
    pub(crate) prepared: bool,
    /// A statement that is sent alone runs at READ COMMITTED, as appends need it.
    pub(crate) read_committed: bool,
}

impl Mode {
    /// One statement that only reads.
    pub(crate) async fn read(
        self,
        connection: &mut PgConnection,
        statement: Statement<'_>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        if self.prepared {
            return statement.fetch_all(connection).await;
        }
        let mut transaction = connection.begin_with("BEGIN READ ONLY").await?;
        let statement = statement.persistent(false);
        let found = statement.fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(found)
    }

    /// One statement that appends: committed when this is back.
    pub(crate) async fn append(
        self,
        connection: &mut PgConnection,
        statement: Statement<'_>,
    ) -> Result<PgRow, sqlx::Error> {
        if self.prepared && self.read_committed {
            return statement.fetch_one(connection).await;
        }
        let begin = "BEGIN ISOLATION LEVEL READ COMMITTED";
        let mut transaction = connection.begin_with(begin).await?;
        let statement = statement.persistent(self.prepared);
        let row = statement.fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(row)
    }
}

/// The connection of one task. Kept from call to call where the pool has enough of them, so that no ping and no wait
/// stands between; given back at once where it has not.
#[derive(Debug)]
pub(crate) struct Held {
    pool: PgPool,
    keep: bool,
    connection: Option<PoolConnection<Postgres>>,
}

impl Held {
    pub(crate) fn new(pool: PgPool) -> Self {
        // One for appends, one for reads, and one at least for everybody else.
        let keep = pool.options().get_max_connections() >= 3;
        Self {
            pool,
            keep,
            connection: None,
        }
    }

    /// A connection: the one that is kept, or a new one.
    pub(crate) async fn get(&mut self) -> Result<&mut PoolConnection<Postgres>, sqlx::Error> {
        if self.connection.is_none() {
            self.connection = Some(self.pool.acquire().await?);
        }
        self.connection.as_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// After a call: a connection that failed is not used again, nor given to anybody else.
    pub(crate) fn done(&mut self, failed: bool) {
        if failed {
            if let Some(connection) = self.connection.take() {
                drop(connection.detach());
            }
            forget_idle(&self.pool);
        } else if !self.keep {
            self.connection = None;
        }
    }
}

/// After a call on a connection of the pool; the pool itself drops the one that failed.
pub(crate) fn done<T>(pool: &PgPool, result: &Result<T, sqlx::Error>) {
    if result.as_ref().is_err_and(is_broken) {
        forget_idle(pool);
    }
}

/// When a server is gone, so are the connections that wait in the pool, and each would cost somebody an error.
fn forget_idle(pool: &PgPool) {
    while let Some(idle) = pool.try_acquire() {
        drop(idle.detach());
    }
}

/// Whether the connection itself is to blame, or the server ended the session.
pub(crate) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            code.starts_with("57P") || code.starts_with("08") || code.starts_with("25")
        }
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => false,
        _ => true,
    }
}
