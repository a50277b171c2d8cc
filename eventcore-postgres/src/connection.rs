//! A connection that a task keeps while it has work, and how statements go over it.

use std::{
    io,
    pin::{Pin, pin},
    time::Duration,
};

use sqlx::{
    Connection, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgArguments, PgRow},
    query::Query,
};
use tokio::time::{Instant, Sleep, sleep};

type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// How statements travel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    /// Statements are prepared once per connection. Otherwise each takes two messages, and a pooler may give those to
    /// different sessions unless a transaction ties them together.
    pub(crate) prepared: bool,
    /// A statement that is sent alone runs at READ COMMITTED, as appends need it.
    pub(crate) read_committed: bool,
    /// How long to wait for an answer. The server ends what takes longer than its time-out, so a connection that is
    /// still silent after that is dead, and whoever waits for it would wait for ever.
    pub(crate) patience: Duration,
}

/// For the way to the server and back.
const TRAVEL: Duration = Duration::from_secs(1);

impl Mode {
    pub(crate) fn patience(statement_timeout: Duration) -> Duration {
        if statement_timeout.as_millis() == 0 {
            // To the server, zero is no limit.
            return Duration::MAX;
        }
        statement_timeout.saturating_add(TRAVEL)
    }

    pub(crate) async fn patiently<T>(
        self,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        let waited = tokio::time::timeout(self.patience, work).await;
        waited.unwrap_or_else(|_| Err(silent()))
    }

    /// One statement that only reads, for a task that has [`Patience`].
    pub(crate) async fn read_unwatched(
        self,
        connection: &mut PgConnection,
        statement: Statement<'_>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        self.read_on(connection, statement).await
    }

    /// One statement that appends, for a task that has [`Patience`].
    pub(crate) async fn append_unwatched(
        self,
        connection: &mut PgConnection,
        statement: Statement<'_>,
    ) -> Result<PgRow, sqlx::Error> {
        self.append_on(connection, statement).await
    }

    /// One statement that only reads.
    pub(crate) async fn read(
        self,
        connection: &mut PgConnection,
        statement: Statement<'_>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        self.patiently(self.read_on(connection, statement)).await
    }

    /// One statement that appends: committed when this is back.
    pub(crate) async fn append(
        self,
        connection: &mut PgConnection,
        statement: Statement<'_>,
    ) -> Result<PgRow, sqlx::Error> {
        self.patiently(self.append_on(connection, statement)).await
    }

    async fn read_on(
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

    async fn append_on(
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

fn silent() -> sqlx::Error {
    let text = "the server is silent for longer than it may work on a statement";
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, text))
}

/// As [`Mode::patiently`], for a task that sends one statement after the other.
///
/// Its one timer is left as it is until it goes off, and then set to the end of the statement that is under way: a new
/// timer for each statement would wake the thread that waits for the network, which costs more than reading a row.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    timer: Pin<Box<Sleep>>,
}

/// Longer than any statement, and short enough to be added to a time.
const AGES: Duration = Duration::from_hours(24 * 365);

impl Patience {
    pub(crate) fn new(mode: Mode) -> Self {
        let limit = mode.patience.min(AGES);
        Self {
            limit,
            timer: Box::pin(sleep(limit)),
        }
    }

    pub(crate) async fn wait<T>(
        &mut self,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        let mut work = pin!(work);
        let end = Instant::now() + self.limit;
        loop {
            tokio::select! {
                biased;
                done = work.as_mut() => return done,
                () = self.timer.as_mut() => {}
            }
            if Instant::now() >= end {
                return Err(silent());
            }
            self.timer.as_mut().reset(end);
        }
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

/// After a call on a connection of the pool. One that failed is not given back: the pool would ask it whether it is
/// there, and keep its place for as long as it is silent.
pub(crate) fn done<T>(
    pool: &PgPool,
    connection: PoolConnection<Postgres>,
    result: &Result<T, sqlx::Error>,
) {
    if result.as_ref().is_err_and(is_broken) {
        drop(connection.detach());
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
