//! The tables: made by `migrate`, checked when a store is opened.

use std::time::Duration;

use eventcore::store::{StoreError, StoreErrorKind};
use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection, PgPool, Postgres, Row, pool::PoolConnection,
};

use crate::{
    errors::store_error,
    mode::{Mode, clear},
    options::SchemaName,
};

/// Each step is applied once, in order, and never changed after a release.
const STEPS: [&str; 3] = [
    include_str!("sql/001_events.sql"),
    include_str!("sql/002_append.sql"),
    include_str!("sql/003_projections.sql"),
];

const MIGRATE: &str = "migrate";

const LAST_TRY: Duration = Duration::from_secs(2);

/// Brings the schema to the version of this crate. Safe to run from many processes at once.
pub(crate) async fn migrate(pool: &PgPool, schema: &SchemaName) -> Result<(), StoreError> {
    let failed = |error| store_error(MIGRATE, error);
    let mut connection = acquire(pool, MIGRATE).await?;
    // Whoever waited for the lock has to see what was done meanwhile, whatever the default is.
    let begin = "BEGIN ISOLATION LEVEL READ COMMITTED";
    clear(&mut connection).await.map_err(failed)?;
    let mut transaction = connection.begin_with(begin).await.map_err(failed)?;
    // One at a time, until commit; the name keeps it apart from locks of others.
    let lock =
        "SELECT pg_advisory_xact_lock(hashtextextended('eventcore.migrate.{schema_text}', 0))";
    run(&mut transaction, schema, lock).await.map_err(failed)?;
    ledger(&mut transaction, schema).await.map_err(failed)?;
    let version = version(&mut transaction, schema).await.map_err(failed)?;
    let done = usize::try_from(version).unwrap_or(0);
    if done > STEPS.len() {
        return Err(newer(MIGRATE, schema, version));
    }
    for (number, step) in STEPS.iter().enumerate().skip(done) {
        run(&mut transaction, schema, step).await.map_err(failed)?;
        let note = format!(
            "INSERT INTO {{schema}}.migrations (version) VALUES ({})",
            number + 1
        );
        run(&mut transaction, schema, &note).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)
}

/// The first connection. The pool waits for a server that is starting up, and in the end cannot say what was wrong; so
/// one more try is made without it.
async fn acquire(
    pool: &PgPool,
    operation: &'static str,
) -> Result<PoolConnection<Postgres>, StoreError> {
    let timed_out = match pool.acquire().await {
        Err(error @ sqlx::Error::PoolTimedOut) => error,
        acquired => return acquired.map_err(|error| store_error(operation, error)),
    };
    let in_use = pool.size() >= pool.options().get_max_connections();
    if !in_use {
        let options = pool.connect_options();
        let alone = PgConnection::connect_with(&options);
        match tokio::time::timeout(LAST_TRY, alone).await {
            Ok(Err(reason)) => return Err(store_error(operation, reason)),
            Ok(Ok(connection)) => drop(connection),
            Err(_) => {
                let text = format!("the server does not answer; {timed_out}");
                return Err(StoreError::new(
                    operation,
                    StoreErrorKind::Unavailable,
                    text,
                ));
            }
        }
    }
    Err(store_error(operation, timed_out))
}

/// Makes the schema and its ledger where they are missing. `IF NOT EXISTS` would ask for the right to make them also
/// where they are there already.
async fn ledger(connection: &mut PgConnection, schema: &SchemaName) -> Result<(), sqlx::Error> {
    let missing =
        "SELECT to_regnamespace('{schema}') IS NULL, to_regclass('{schema}.migrations') IS NULL";
    let row = fetch(connection, schema, missing).await?;
    if row.try_get(0)? {
        run(connection, schema, "CREATE SCHEMA {schema}").await?;
    }
    if row.try_get(1)? {
        let table = "CREATE TABLE {schema}.migrations (
            version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now()
        )";
        run(connection, schema, table).await?;
    }
    Ok(())
}

/// Whether the schema is of the version that this crate can use; says whether sessions of the pool are at READ
/// COMMITTED when nobody chooses otherwise.
pub(crate) async fn check(
    pool: &PgPool,
    schema: &SchemaName,
    mode: Mode,
) -> Result<bool, StoreError> {
    const OPEN: &str = "open the store";
    let failed = |error| store_error(OPEN, error);
    let mut connection = acquire(pool, OPEN).await?;
    let mut connection = mode.begin(&mut connection, "").await.map_err(failed)?;
    let version = version(&mut connection, schema).await.map_err(failed)?;
    match usize::try_from(version).unwrap_or(0).cmp(&STEPS.len()) {
        std::cmp::Ordering::Equal => {}
        std::cmp::Ordering::Greater => return Err(newer(OPEN, schema, version)),
        std::cmp::Ordering::Less => {
            return Err(StoreError::new(
                OPEN,
                StoreErrorKind::Schema,
                format!(
                    "schema `{schema}` has version {version}, this program needs {}: run `migrate`",
                    STEPS.len()
                ),
            ));
        }
    }
    let default = "SELECT current_setting('default_transaction_isolation') = 'read committed'";
    let row = fetch(&mut connection, schema, default)
        .await
        .map_err(failed)?;
    row.try_get(0).map_err(failed)
}

fn newer(operation: &'static str, schema: &SchemaName, version: i32) -> StoreError {
    StoreError::new(
        operation,
        StoreErrorKind::Schema,
        format!(
            "schema `{schema}` has version {version}, this program knows {}: use a newer eventcore-postgres",
            STEPS.len()
        ),
    )
}

async fn version(connection: &mut PgConnection, schema: &SchemaName) -> Result<i32, sqlx::Error> {
    let sql = "SELECT coalesce(max(version), 0) FROM {schema}.migrations";
    fetch(connection, schema, sql).await?.try_get(0)
}

/// One row, in one message: a pooler cannot come in between.
async fn fetch(
    connection: &mut PgConnection,
    schema: &SchemaName,
    sql: &str,
) -> Result<sqlx::postgres::PgRow, sqlx::Error> {
    connection
        .fetch_one(sqlx::raw_sql(AssertSqlSafe(schema.fill(sql))))
        .await
}

async fn run(
    connection: &mut PgConnection,
    schema: &SchemaName,
    sql: &str,
) -> Result<(), sqlx::Error> {
    connection
        .execute(sqlx::raw_sql(AssertSqlSafe(schema.fill(sql))))
        .await?;
    Ok(())
}
