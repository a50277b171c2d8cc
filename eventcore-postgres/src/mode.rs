//! How statements travel: alone, or framed by a transaction that makes the session what it has to be.

use std::{io, time::Duration};

use sqlx::{
    AssertSqlSafe, Connection, Error, PgConnection, Postgres, Transaction,
    postgres::{PgArguments, PgRow},
    query::Query,
};

use crate::options::server_millis;

pub(crate) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// How statements travel on a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    /// Statements are prepared once per connection. Otherwise each takes two messages, and a pooler may give those to
    /// different sessions unless a transaction ties them together.
    pub(crate) prepared: bool,
    /// A statement that is sent alone runs at READ COMMITTED, as appends need it.
    pub(crate) read_committed: bool,
    /// The session is shared with an application, which may have left it in any state: a transaction open, another
    /// isolation level, other limits.
    pub(crate) shared: bool,
    /// How long the server may work on a statement. Zero: without limit.
    pub(crate) statement_timeout: Duration,
    /// How long to wait for an answer. The server ends what takes longer than its time-out, so a connection that is
    /// still silent after that is dead.
    pub(crate) patience: Duration,
}

/// The way to the server and back.
const TRAVEL: Duration = Duration::from_secs(1);

/// Ends a transaction that was left open. `ROLLBACK` alone would be a warning where none is.
pub(crate) const CLEAR: &str = "BEGIN; ROLLBACK";

impl Mode {
    pub(crate) fn patience(statement_timeout: Duration) -> Duration {
        if statement_timeout.is_zero() {
            // To the server, zero is no limit.
            return Duration::MAX;
        }
        statement_timeout.saturating_add(TRAVEL)
    }

    /// For a session that is the store's alone from now on.
    pub(crate) fn alone(self, read_committed: bool) -> Self {
        Self {
            shared: false,
            read_committed,
            ..self
        }
    }

    pub(crate) async fn patiently<T>(
        self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let waited = tokio::time::timeout(self.patience, work).await;
        waited.unwrap_or_else(|_| Err(silent()))
    }

    /// One statement that only reads.
    pub(crate) async fn read(
        self,
        connection: &mut PgConnection,
        statement: Statement<'_>,
    ) -> Result<Vec<PgRow>, Error> {
        self.patiently(self.read_untimed(connection, statement))
            .await
    }

    /// One statement that writes: committed when this is back.
    pub(crate) async fn write(
        self,
        connection: &mut PgConnection,
        statement: Statement<'_>,
    ) -> Result<PgRow, Error> {
        self.patiently(self.write_untimed(connection, statement))
            .await
    }

    /// As [`Mode::read`], for a task that watches the time itself.
    pub(crate) async fn read_untimed(
        self,
        connection: &mut PgConnection,
        statement: Statement<'_>,
    ) -> Result<Vec<PgRow>, Error> {
        if self.prepared && !self.shared {
            return statement.fetch_all(connection).await;
        }
        self.open(connection, "READ ONLY").await?;
        let statement = statement.persistent(self.prepared);
        let found = statement.fetch_all(&mut *connection).await;
        self.close(connection, found).await
    }

    /// As [`Mode::write`], for a task that watches the time itself.
    pub(crate) async fn write_untimed(
        self,
        connection: &mut PgConnection,
        statement: Statement<'_>,
    ) -> Result<PgRow, Error> {
        if self.prepared && !self.shared && self.read_committed {
            return statement.fetch_one(connection).await;
        }
        self.open(connection, "").await?;
        let statement = statement.persistent(self.prepared);
        let row = statement.fetch_one(&mut *connection).await;
        self.close(connection, row).await
    }

    /// Begins a transaction at READ COMMITTED, whatever the session was left in; `settings` are further statements.
    pub(crate) async fn begin<'c>(
        self,
        connection: &'c mut PgConnection,
        settings: &str,
    ) -> Result<Transaction<'c, Postgres>, Error> {
        let begin = async {
            if self.shared {
                clear(connection).await?;
            }
            let frame = self.frame("", settings);
            connection.begin_with(AssertSqlSafe(frame)).await
        };
        self.patiently(begin).await
    }

    /// Begins the frame of one statement.
    async fn open(self, connection: &mut PgConnection, access: &str) -> Result<(), Error> {
        let frame = self.frame(access, "");
        if !self.shared {
            return run(connection, frame).await;
        }
        let begun = run(connection, format!("{CLEAR}; {frame}")).await;
        if !begun.as_ref().is_err_and(is_in_failed_transaction) {
            return begun;
        }
        run(connection, format!("ROLLBACK; {frame}")).await
    }

    /// Ends the frame: commits when the statement was carried out.
    async fn close<T>(
        self,
        connection: &mut PgConnection,
        done: Result<T, Error>,
    ) -> Result<T, Error> {
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = run(connection, end.to_owned()).await;
        // Of two errors the first says more.
        done.and_then(|done| ended.map(|()| done))
    }

    /// What begins a transaction. In a shared session it sets the limits, and the plans: those do not depend on
    /// arguments, and one that was made while the tables were small must not outlive that.
    pub(crate) fn frame(self, access: &str, settings: &str) -> String {
        let begin = format!("BEGIN ISOLATION LEVEL READ COMMITTED {access}");
        if !self.shared {
            return format!("{begin}{settings}");
        }
        let limit = server_millis(self.statement_timeout);
        format!(
            "{begin}; SET LOCAL statement_timeout = {limit}; SET LOCAL lock_timeout = 0; \
             SET LOCAL enable_seqscan = off; SET LOCAL plan_cache_mode = force_generic_plan{settings}"
        )
    }
}

/// Ends a transaction that was left open in the session.
pub(crate) async fn clear(connection: &mut PgConnection) -> Result<(), Error> {
    let cleared = run(connection, CLEAR.to_owned()).await;
    if cleared.as_ref().is_err_and(is_in_failed_transaction) {
        return run(connection, "ROLLBACK".to_owned()).await;
    }
    cleared
}

/// Statements without parameters, in one message.
pub(crate) async fn run(connection: &mut PgConnection, sql: String) -> Result<(), Error> {
    let sql = sqlx::raw_sql(AssertSqlSafe(sql));
    sql.execute(connection).await.map(drop)
}

fn is_in_failed_transaction(error: &Error) -> bool {
    matches!(error, Error::Database(error) if error.code().is_some_and(|code| code == "25P02"))
}

pub(crate) fn silent() -> Error {
    let text = "the server is silent for longer than it may work on a statement";
    Error::Io(io::Error::new(io::ErrorKind::TimedOut, text))
}
