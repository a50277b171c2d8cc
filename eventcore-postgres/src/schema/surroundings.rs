//! What a store is opened on: the server, the session's settings, and the schema.

use std::{cmp::Ordering, time::Duration};

use eventcore::store::{StoreError, StoreErrorKind};
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use super::{STEPS, acquire, fetch, lacking, made_for, newer, there, version};
use crate::{errors::store_error, options::SchemaName};

const OPEN: &str = "open the store";

/// The oldest server that has all that is used.
const OLDEST: i32 = 15;

/// What was found when a store was opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings {
    /// Sessions of the pool are at READ COMMITTED when nothing else is chosen.
    pub(crate) read_committed: bool,
    /// How long the server works on one statement; zero is no limit.
    pub(crate) statement_timeout: Duration,
    /// Which log it is.
    pub(crate) log: Uuid,
    /// The server writes what was committed to the disk before it says so, and mends torn pages.
    pub(crate) survives_power_cut: bool,
}

/// What depends on no schema.
const SERVER: &str = "
SELECT current_setting('server_version_num')::integer / 10000, current_setting('server_encoding'),
    current_setting('default_transaction_isolation') = 'read committed',
    (SELECT s.setting::bigint FROM pg_catalog.pg_settings s WHERE s.name = 'statement_timeout'),
    current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on'";

/// Tables that lose their rows when the server crashes, or show a role some of them only.
const UNFIT: &str = "
SELECT coalesce(string_agg(c.relname, ', ') FILTER (WHERE c.relpersistence <> 'p'), ''),
    coalesce(string_agg(c.relname, ', ') FILTER (WHERE row_security_active(c.oid)), ''),
    {schema}.log_id()
FROM pg_catalog.pg_class c
WHERE c.relnamespace = to_regnamespace('{schema}') AND c.relname IN ('events', 'commands')";

/// Whether the server and the schema are of a kind that this crate can use.
pub(crate) async fn check(pool: &PgPool, schema: &SchemaName) -> Result<Surroundings, StoreError> {
    let failed = |error| store_error(OPEN, error);
    let mut connection = acquire(pool, OPEN).await?;
    let server = server(&mut connection, OPEN).await?;
    ledger(&mut connection, schema).await?;
    let made_for = made_for(&mut connection, schema).await.map_err(failed)?;
    if let Some(other) = made_for.filter(|name| name != schema.as_str()) {
        return Err(unfit(format!(
            "schema `{schema}` was renamed from `{other}` to `{schema}`: run `migrate`"
        )));
    }
    let lacking = lacking(&mut connection, schema).await.map_err(failed)?;
    if !lacking.is_empty() {
        return Err(unfit(format!(
            "schema `{schema}` has version {} and lacks {lacking}: run `migrate`",
            STEPS.len()
        )));
    }
    let row = fetch(&mut connection, schema, UNFIT)
        .await
        .map_err(failed)?;
    let unlogged: String = row.try_get(0).map_err(failed)?;
    if !unlogged.is_empty() {
        return Err(unfit(format!(
            "tables of schema `{schema}` are unlogged, so a crash of the server empties them: {unlogged}; use \
             `ALTER TABLE ... SET LOGGED`"
        )));
    }
    let secured: String = row.try_get(1).map_err(failed)?;
    if !secured.is_empty() {
        return Err(unfit(format!(
            "row security hides rows of {secured} in schema `{schema}` from this role: disable it, a log is read whole"
        )));
    }
    if !server.survives_power_cut {
        tracing::warn!(
            %schema,
            "the server has `fsync` or `full_page_writes` off: appended events may be lost when the machine crashes"
        );
    }
    Ok(Surroundings {
        log: row.try_get(2).map_err(failed)?,
        ..server
    })
}

/// What depends on no schema; the log is not known yet.
pub(super) async fn server(
    connection: &mut PgConnection,
    operation: &'static str,
) -> Result<Surroundings, StoreError> {
    let failed = |error| store_error(operation, error);
    let unfit = |text| Err(StoreError::new(operation, StoreErrorKind::Schema, text));
    let row = fetch(connection, &SchemaName::default(), SERVER).await;
    let row = row.map_err(failed)?;
    let version: i32 = row.try_get(0).map_err(failed)?;
    if version < OLDEST {
        return unfit(format!(
            "the server is PostgreSQL {version}; {OLDEST} or newer is needed"
        ));
    }
    let encoding: String = row.try_get(1).map_err(failed)?;
    if encoding != "UTF8" {
        return unfit(format!(
            "the database has the encoding {encoding}, which cannot hold every text; create it with ENCODING 'UTF8' \
             (and TEMPLATE template0)"
        ));
    }
    let limit: i64 = row.try_get(3).map_err(failed)?;
    Ok(Surroundings {
        read_committed: row.try_get(2).map_err(failed)?,
        statement_timeout: Duration::from_millis(limit.max(0).cast_unsigned()),
        log: Uuid::nil(),
        survives_power_cut: row.try_get(4).map_err(failed)?,
    })
}

/// Whether the steps are done that this crate needs, and no more.
async fn ledger(connection: &mut PgConnection, schema: &SchemaName) -> Result<(), StoreError> {
    let failed = |error| store_error(OPEN, error);
    let there = there(connection, schema).await.map_err(failed)?;
    if there.foreign_ledger {
        return Err(unfit(format!(
            "schema `{schema}` holds tables of another application: migrations; choose another schema \
             (`PostgresOptions::schema`)"
        )));
    }
    if !there.ledger {
        return Err(unfit(format!(
            "there is no schema `{schema}` with the tables of eventcore: run `migrate` first; was it renamed or dropped?"
        )));
    }
    let version = version(connection, schema).await.map_err(failed)?;
    let version = usize::try_from(version).unwrap_or(0);
    match version.cmp(&STEPS.len()) {
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(newer(OPEN, schema, version)),
        Ordering::Less => Err(unfit(format!(
            "schema `{schema}` has version {version}, this program needs {}: run `migrate`",
            STEPS.len()
        ))),
    }
}

fn unfit(text: String) -> StoreError {
    StoreError::new(OPEN, StoreErrorKind::Schema, text)
}
