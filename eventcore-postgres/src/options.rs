//! What can be chosen when a store is opened.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use eventcore::projection::Inline;

/// How a store uses its database.
///
/// **How long a command takes at most**, without a deadline of its own: errors of the store are tried again for 10
/// seconds ([`RetryPolicy::store_patience`](eventcore::RetryPolicy::store_patience)), and the last attempt may wait for a
/// place in the queue (`queue_timeout`), for a connection (`acquire_timeout`, and once for a second more to learn why
/// there is none) and for the server (`statement_timeout`, and a second). While the server answers others, a call waits
/// for its turn; when the store's task makes no progress for a connection and two statements, it fails.
///
/// ```
/// use std::time::Duration;
/// use eventcore_postgres::{PostgresOptions, SchemaName};
///
/// let options = PostgresOptions::new()
///     .schema(SchemaName::try_new("billing_events")?)
///     .statement_timeout(Duration::from_secs(10));
/// # Ok::<(), eventcore_postgres::SchemaNameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresOptions {
    pub(crate) schema: SchemaName,
    pub(crate) max_connections: u32,
    pub(crate) acquire_timeout: Duration,
    /// What was chosen here, and not by default.
    pub(crate) statement_timeout: Option<Duration>,
    pub(crate) queue: usize,
    pub(crate) queue_timeout: Duration,
    pub(crate) kept_folds: usize,
    pub(crate) prepared_statements: bool,
    pub(crate) wakeups: bool,
    pub(crate) inline: Vec<Inline>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl PostgresOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            schema: SchemaName::default(),
            max_connections: 8,
            acquire_timeout: Duration::from_secs(10),
            statement_timeout: None,
            queue: 4096,
            queue_timeout: Duration::from_secs(10),
            kept_folds: 4096,
            prepared_statements: true,
            wakeups: true,
            inline: Vec::new(),
        }
    }

    /// The schema that holds the tables; `eventcore` if not set.
    #[must_use]
    pub fn schema(mut self, schema: SchemaName) -> Self {
        self.schema = schema;
        self
    }

    /// The most connections of the store's own pool, from 1 to 10,000. Default: 8. Not used with
    /// [`from_pool`](crate::PostgresEventStore::from_pool).
    #[must_use]
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections.clamp(1, MAX_CONNECTIONS);
        self
    }

    /// How long to wait for a connection, at most a year. Default: 10 seconds. Not used with
    /// [`from_pool`](crate::PostgresEventStore::from_pool).
    #[must_use]
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout.min(LONGEST);
        self
    }

    /// How long the server may work on one statement, in milliseconds rounded up; at most 24 days, and 0 is no limit.
    /// Default: what the URL says (`options=-c statement_timeout=500`), and 30 seconds if it says nothing. Not used with
    /// [`from_pool`](crate::PostgresEventStore::from_pool).
    ///
    /// How long the store itself waits for an answer follows what the server says is in force.
    #[must_use]
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = Some(timeout);
        self
    }

    /// How many folded states are kept between commands; 4,096 if not set, none for 0. See
    /// [`Commons::keeping`](eventcore::Commons::keeping).
    #[must_use]
    pub fn kept_folds(mut self, states: usize) -> Self {
        self.kept_folds = states;
        self
    }

    /// How many appends, and how many reads, may stand in line for a connection; 4,096 if not set, at least 1.
    #[must_use]
    pub fn queue(mut self, operations: usize) -> Self {
        self.queue = operations.clamp(1, 1 << 20);
        self
    }

    /// How long to wait for a place in a full queue before the operation fails as
    /// [`Overloaded`](eventcore::store::StoreErrorKind::Overloaded), with nothing done; 10 seconds if not set.
    #[must_use]
    pub fn queue_timeout(mut self, timeout: Duration) -> Self {
        self.queue_timeout = timeout.min(LONGEST);
        self
    }

    /// Whether statements are prepared once per connection; yes, if not set.
    ///
    /// Turn it off behind a pooler that hands each transaction to another server connection and does not follow prepared
    /// statements: `PgBouncer` in transaction mode before 1.21, or later with `max_prepared_statements = 0`. Each
    /// statement is then a short transaction of four round trips. `PgBouncer` also needs
    /// `ignore_startup_parameters = extra_float_digits, options`; what it ignores (the isolation level, the statement
    /// time-out) is to be set for the role or the database then. A level other than READ COMMITTED is noticed when the
    /// store is opened, and costs a transaction around each append.
    #[must_use]
    pub fn prepared_statements(mut self, prepared: bool) -> Self {
        self.prepared_statements = prepared;
        self
    }

    /// Whether processes tell each other of commits, by LISTEN and NOTIFY on the channel `eventcore.` and the name of
    /// the schema; yes, if not set, where the pool has 4 connections or more.
    ///
    /// It costs appends nothing: a task says so beside them, at most every 10 milliseconds. While somebody in this
    /// process waits for events, one connection listens, beside those of the pool and with its options. Without it, or
    /// when it fails, or behind a pooler, subscriptions and projections find the events of other processes by looking
    /// for them from time to time.
    #[must_use]
    pub fn wakeups(mut self, wakeups: bool) -> Self {
        self.wakeups = wakeups;
        self
    }

    /// A read model that is changed in the transaction of each append: whoever sees the events sees the documents.
    /// They are in the schema of the events; read them with
    /// [`PostgresEventStore::projections`](crate::PostgresEventStore::projections) or another
    /// [`PostgresProjections`](crate::PostgresProjections) on it. May be called several times, for several models of
    /// different names.
    ///
    /// ```
    /// use eventcore::projection::Inline;
    /// use eventcore_postgres::{PostgresEventStore, PostgresOptions, PostgresProjections};
    ///
    /// async fn open(
    ///     url: &str, balances: Inline,
    /// ) -> Result<(PostgresEventStore, PostgresProjections), Box<dyn std::error::Error>> {
    ///     let store = PostgresEventStore::connect(url, PostgresOptions::new().inline(balances)).await?;
    ///     let views = store.projections();
    ///     Ok((store, views))
    /// }
    /// ```
    ///
    /// Appends are a transaction of five round trips then, instead of one, whatever the number of models and of appends
    /// that travel together. For three of them and for the work of the models it holds the order lock, and every writer
    /// of every process waits meanwhile; so it pays where clients and server are near each other. The server ends a
    /// transaction in which the process stands still for 10 seconds, and nothing was appended.
    ///
    /// While it is inline no runner can lead the projection, also after the store was closed;
    /// [`PostgresProjections::give_back`](crate::PostgresProjections::give_back) ends that. Several processes may run it.
    /// Let all that append do so: what one without it appends is missing in the documents until the next append with
    /// it, which applies up to 1,000 missing events first and is refused when there are more. Then give the projection
    /// back, let a runner catch up, and open it inline again.
    ///
    /// On a log of more than 1,000 events a new model, or a new version of one, is built by a runner first, which is
    /// stopped before the store is opened. The version that is opened inline becomes the one that readers see.
    ///
    /// Opening the store fails, with what to do, when a runner leads the projection, it is divided, letters wait, it was
    /// built from another log, too much is missing, or the model cannot take what is missing.
    #[must_use]
    pub fn inline(mut self, model: Inline) -> Self {
        self.inline.push(model);
        self
    }
}

/// More than any server takes, and few enough to make room for.
const MAX_CONNECTIONS: u32 = 10_000;

/// Short enough to be added to a time.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// A time-out as the server takes it: milliseconds, where 0 is no limit, so everything else is rounded up.
pub(crate) fn server_millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

/// The name of a schema: 1 to 40 lower-case letters, digits and `_`, beginning with a letter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SchemaName(Arc<str>);

/// A text that is no [`SchemaName`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaNameError {
    name: String,
}

impl fmt::Display for SchemaNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a schema name has 1 to 40 lower-case letters, digits and `_`, begins with a letter, and is not `pg_...`; \
             got {:?}",
            self.name
        )
    }
}

impl std::error::Error for SchemaNameError {}

impl SchemaName {
    /// The name, checked: it becomes part of SQL, so nothing that needs quoting is let in.
    ///
    /// # Errors
    ///
    /// [`SchemaNameError`], which quotes the input.
    pub fn try_new(name: impl AsRef<str>) -> Result<Self, SchemaNameError> {
        let name = name.as_ref();
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
        if !begins || name.len() > 40 || !name.chars().all(fits) || name.starts_with("pg_") {
            return Err(SchemaNameError {
                name: name.chars().take(64).collect(),
            });
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// SQL with the schema's name in the places for it.
    pub(crate) fn fill(&self, sql: &str) -> String {
        // The name needs no quotes as text; as an identifier it is quoted, since it may be a key word.
        sql.replace("{schema_text}", &self.0)
            .replace("{schema}", &format!("\"{}\"", self.0))
    }
}

impl Default for SchemaName {
    fn default() -> Self {
        Self("eventcore".into())
    }
}

impl FromStr for SchemaName {
    type Err = SchemaNameError;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::try_new(name)
    }
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_needs_quoting_is_a_schema_name() {
        assert!(SchemaName::try_new("billing_events2").is_ok());
        for bad in [
            "",
            "2b",
            "a-b",
            "a\"b",
            "A",
            "a b",
            "pg_mine",
            &"a".repeat(41),
            "é",
        ] {
            let error = SchemaName::try_new(bad).unwrap_err();
            assert!(error.to_string().contains(&format!("{bad:?}")), "{error}");
        }
    }
}
