//! The tables and functions: made by `migrate`, checked when a store is opened.

mod objects;
mod surroundings;

use std::time::Duration;

use eventcore::store::{StoreError, StoreErrorKind};
use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection, PgPool, Postgres, Row, pool::PoolConnection,
};
use uuid::Uuid;

pub(crate) use self::surroundings::{Surroundings, check};
use crate::{errors::store_error, mode::clear, options::SchemaName};

/// Each step is applied once, in order, and never changed after a release.
const STEPS: [&str; 4] = [
    include_str!("sql/001_events.sql"),
    include_str!("sql/002_append.sql"),
    include_str!("sql/003_projections.sql"),
    include_str!("sql/004_rights.sql"),
];

/// Applied after the last step, and again when the schema has another name than they were made for.
const FUNCTIONS: [&str; 3] = [
    include_str!("sql/functions/append.sql"),
    include_str!("sql/functions/projections.sql"),
    include_str!("sql/functions/rights.sql"),
];

const MIGRATE: &str = "migrate";

const LAST_TRY: Duration = Duration::from_secs(2);

/// Nothing of what the role or the database prefers decides what is made: a session that waited for the lock has to see
/// what was done meanwhile, and names mean the server's own functions and operators.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL search_path = pg_catalog, pg_temp; \
     SET LOCAL standard_conforming_strings = on; SET LOCAL quote_all_identifiers = off; \
     SET LOCAL synchronous_commit = on";

/// Brings the schema to the version of this crate. Safe to run from many processes at once.
pub(crate) async fn migrate(pool: &PgPool, schema: &SchemaName) -> Result<(), StoreError> {
    let failed = |error| store_error(MIGRATE, error);
    let mut connection = acquire(pool, MIGRATE).await?;
    let (server, _) = surroundings::server(&mut connection, MIGRATE).await?;
    let limits = surroundings::opening_limits(server.statement_timeout);
    let begin = AssertSqlSafe(format!("{BEGIN}; {limits}"));
    let mut transaction = connection.begin_with(begin).await.map_err(failed)?;
    // One at a time, until commit; the name keeps it apart from locks of others.
    let lock =
        "SELECT pg_advisory_xact_lock(hashtextextended('eventcore.migrate.{schema_text}', 0))";
    run(&mut transaction, schema, lock).await.map_err(failed)?;
    let done = ledger(&mut transaction, schema).await?;
    if done == STEPS.len() {
        let made_for = made_for(&mut transaction, schema).await.map_err(failed)?;
        let whole = lacking(&mut transaction, schema).await.map_err(failed)?;
        if made_for.as_deref() == Some(schema.as_str()) && whole.is_empty() {
            return transaction.commit().await.map_err(failed);
        }
    }
    as_owner(&mut transaction, schema).await.map_err(failed)?;
    for (number, step) in STEPS.iter().enumerate().skip(done) {
        run(&mut transaction, schema, step).await.map_err(failed)?;
        let note = format!(
            "INSERT INTO {{schema}}.migrations (version) VALUES ({})",
            number + 1
        );
        run(&mut transaction, schema, &note).await.map_err(failed)?;
    }
    let log = log_id(&mut transaction, schema).await.map_err(failed)?;
    for functions in FUNCTIONS {
        let functions = functions
            .replace("{appending}", &appending(log))
            .replace("{log_id}", &log.to_string());
        let made = run(&mut transaction, schema, &functions).await;
        made.map_err(failed)?;
    }
    let lacking = lacking(&mut transaction, schema).await.map_err(failed)?;
    if !lacking.is_empty() {
        let text = format!(
            "schema `{schema}` lacks what no migration makes anew: {lacking}; restore it from a backup, or choose \
             another schema"
        );
        return Err(StoreError::new(MIGRATE, StoreErrorKind::Schema, text));
    }
    transaction.commit().await.map_err(failed)
}

/// The first connection. The pool waits for a server that is starting up, and in the end cannot say what was wrong; so
/// one more try is made without it.
async fn acquire(
    pool: &PgPool,
    operation: &'static str,
) -> Result<PoolConnection<Postgres>, StoreError> {
    let failed = |error| store_error(operation, error);
    let timed_out = match pool.acquire().await {
        Err(error @ sqlx::Error::PoolTimedOut) => error,
        Err(error) => return Err(failed(error)),
        Ok(mut connection) => {
            // An application may have left a transaction open in it.
            clear(&mut connection).await.map_err(failed)?;
            return Ok(connection);
        }
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

/// How many steps are done; the ledger and the schema are made where they are missing. `IF NOT EXISTS` would ask for the
/// right to make them also where they are there already.
async fn ledger(connection: &mut PgConnection, schema: &SchemaName) -> Result<usize, StoreError> {
    let failed = |error| store_error(MIGRATE, error);
    let there = there(connection, schema).await.map_err(failed)?;
    let done = if there.ledger {
        version(connection, schema).await.map_err(failed)?
    } else {
        0
    };
    let foreign = match done {
        0 => &there.ours,
        _ => "",
    };
    if there.foreign_ledger || !foreign.is_empty() {
        let what = if foreign.is_empty() {
            "migrations"
        } else {
            foreign
        };
        let text = format!(
            "schema `{schema}` holds tables of another application: {what}; choose another schema \
             (`PostgresOptions::schema`), or rename them"
        );
        return Err(StoreError::new(MIGRATE, StoreErrorKind::Schema, text));
    }
    if !there.schema {
        let made = run(connection, schema, "CREATE SCHEMA {schema}").await;
        made.map_err(failed)?;
    }
    if !there.ledger {
        let table = "CREATE TABLE {schema}.migrations (
            version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now()
        )";
        run(connection, schema, table).await.map_err(failed)?;
    }
    let done = usize::try_from(done).unwrap_or(0);
    if done > STEPS.len() {
        return Err(newer(MIGRATE, schema, done));
    }
    Ok(done)
}

/// What is found under our names.
struct There {
    schema: bool,
    ledger: bool,
    /// A table of the ledger's name that is not one.
    foreign_ledger: bool,
    /// Other relations of our names, listed.
    ours: String,
}

async fn there(connection: &mut PgConnection, schema: &SchemaName) -> Result<There, sqlx::Error> {
    let sql = format!(
        "SELECT count(*) > 0, count(c.relname) FILTER (WHERE c.relname = 'migrations') > 0,
             count(a.attname) > 0, coalesce(string_agg(c.relname, ', ') FILTER (WHERE c.relname <> 'migrations'), '')
         FROM pg_catalog.pg_namespace n
         LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
             AND c.relname IN ('migrations', {})
         LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND c.relname = 'migrations'
             AND a.attname = 'version' AND a.atttypid = 'integer'::regtype
         WHERE n.nspname = '{{schema_text}}'",
        objects::RELATIONS
            .map(|(name, _)| format!("'{name}'"))
            .join(", ")
    );
    let row = fetch(connection, schema, &sql).await?;
    let (named, ledger): (bool, bool) = (row.try_get(1)?, row.try_get(2)?);
    Ok(There {
        schema: row.try_get(0)?,
        ledger,
        foreign_ledger: named && !ledger,
        ours: row.try_get(3)?,
    })
}

/// What a schema of the last version lacks, listed.
async fn lacking(
    connection: &mut PgConnection,
    schema: &SchemaName,
) -> Result<String, sqlx::Error> {
    let sql = objects::LACKING.replace("{objects}", &objects::all().join("', '"));
    fetch(connection, schema, &sql).await?.try_get(0)
}

/// The name that the functions were made for.
async fn made_for(
    connection: &mut PgConnection,
    schema: &SchemaName,
) -> Result<Option<String>, sqlx::Error> {
    let there = "SELECT to_regprocedure('{schema}.schema_name()') IS NOT NULL";
    if !fetch(connection, schema, there).await?.try_get(0)? {
        return Ok(None);
    }
    let sql = "SELECT {schema}.schema_name()";
    fetch(connection, schema, sql).await?.try_get(0)
}

/// What tells this log from others, made once.
async fn log_id(connection: &mut PgConnection, schema: &SchemaName) -> Result<Uuid, sqlx::Error> {
    let there = "SELECT to_regprocedure('{schema}.log_id()') IS NOT NULL";
    if !fetch(connection, schema, there).await?.try_get(0)? {
        return Ok(Uuid::now_v7());
    }
    let sql = "SELECT {schema}.log_id()";
    fetch(connection, schema, sql).await?.try_get(0)
}

/// The search path of the functions that append to this log: the server's own names, and one that no schema can have,
/// since names with `pg_` are reserved.
fn appending(log: Uuid) -> String {
    format!("pg_catalog, pg_temp, pg_eventcore_{}", log.simple())
}

/// The role of the first migration owns everything, also what later migrations make: functions run with their owner's
/// rights.
async fn as_owner(connection: &mut PgConnection, schema: &SchemaName) -> Result<(), sqlx::Error> {
    let owner =
        "SELECT quote_ident(r.rolname) FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
        WHERE c.oid = '{schema}.migrations'::regclass AND r.rolname <> current_user
            AND pg_has_role(r.oid, 'MEMBER')
        UNION ALL SELECT ''";
    let owner: String = fetch(connection, schema, owner).await?.try_get(0)?;
    if owner.is_empty() {
        return Ok(());
    }
    run(connection, schema, &format!("SET LOCAL ROLE {owner}")).await
}

fn newer(operation: &'static str, schema: &SchemaName, version: usize) -> StoreError {
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
