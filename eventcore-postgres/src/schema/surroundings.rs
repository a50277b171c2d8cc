//! What a store is opened on: the server, the session's settings, and the schema.

use std::{cmp::Ordering, time::Duration};

use eventcore::store::{StoreError, StoreErrorKind};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, Row};
use uuid::Uuid;

use super::{STEPS, acquire, fetch, lacking, made_for, newer, there, version};
use crate::{
    errors::store_error,
    options::{SchemaName, server_millis},
};

const OPEN: &str = "open the store";

/// The oldest server that has all that is used.
const OLDEST: u32 = 15;

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

/// What depends on no schema. Nothing here can be taken for a function or operator of the search path.
const SERVER: &str = "
SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.current_setting('server_encoding'),
    pg_catalog.current_setting('default_transaction_isolation'), pg_catalog.current_setting('statement_timeout'),
    pg_catalog.current_setting('fsync'), pg_catalog.current_setting('full_page_writes'),
    pg_catalog.array_to_json(pg_catalog.current_schemas(true))::pg_catalog.text";

/// Tables that lose their rows when the server crashes, or show a role some of them only; and which log it is.
const UNFIT: &str = "
SELECT coalesce(string_agg(c.relname, ', ') FILTER (WHERE c.relpersistence <> 'p'), ''),
    coalesce(string_agg(c.relname, ', ') FILTER (WHERE row_security_active(c.oid)), ''),
    {schema}.log_id()
FROM pg_catalog.pg_class c
WHERE c.relnamespace = to_regnamespace('{schema}') AND c.relname IN ('events', 'commands')";

/// Schemas of the session's search path that change what statements of this crate mean: those before `pg_catalog` by
/// every name that it has too; all others by functions for certain types, where its own are for any.
const SHADOWS: &str = "
SELECT coalesce(string_agg(p.name, ', '), '')
FROM json_array_elements_text('{path}') WITH ORDINALITY AS p (name, place)
JOIN pg_namespace n ON n.nspname = p.name AND n.nspname <> 'pg_catalog'
WHERE EXISTS (
    SELECT FROM pg_proc f
    WHERE f.pronamespace = n.oid AND f.proname IN ('unnest', 'generate_subscripts', 'array_agg', 'count')
) OR p.place < (
    SELECT c.place FROM json_array_elements_text('{path}') WITH ORDINALITY AS c (name, place)
    WHERE c.name = 'pg_catalog'
) AND (EXISTS (
    SELECT FROM pg_operator o WHERE o.oprnamespace = n.oid
) OR EXISTS (
    SELECT FROM pg_proc f JOIN pg_proc own ON own.proname = f.proname
    WHERE f.pronamespace = n.oid AND own.pronamespace = 'pg_catalog'::regnamespace
))";

/// Whether the server and the schema are of a kind that this crate can use.
pub(crate) async fn check(pool: &PgPool, schema: &SchemaName) -> Result<Surroundings, StoreError> {
    let failed = |error| store_error(OPEN, error);
    let mut connection = acquire(pool, OPEN).await?;
    let (server, path) = server(&mut connection, OPEN).await?;
    // However short the statements of the store may be, looking around takes longer.
    let limits = opening_limits(server.statement_timeout);
    let begin = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED, READ ONLY; SET LOCAL search_path = pg_catalog, pg_temp; {limits}"
    );
    let mut transaction = connection
        .begin_with(AssertSqlSafe(begin))
        .await
        .map_err(failed)?;
    let log = look(&mut transaction, schema, &path).await?;
    transaction.commit().await.map_err(failed)?;
    if !server.survives_power_cut {
        tracing::warn!(
            %schema,
            "the server has `fsync` or `full_page_writes` off: appended events may be lost when the machine crashes"
        );
    }
    Ok(Surroundings { log, ..server })
}

/// The least time for a statement of `migrate` and of opening.
const LEAST: Duration = Duration::from_secs(30);

/// Settings of a transaction for those.
pub(super) fn opening_limits(in_force: Duration) -> String {
    let limit = server_millis(match in_force {
        Duration::ZERO => Duration::ZERO,
        limit => limit.max(LEAST),
    });
    let idle = server_millis(LEAST);
    format!(
        "SET LOCAL statement_timeout = {limit}; SET LOCAL idle_in_transaction_session_timeout = {idle}"
    )
}

/// Whether the schema is fit; which log is in it.
async fn look(
    connection: &mut PgConnection,
    schema: &SchemaName,
    path: &str,
) -> Result<Uuid, StoreError> {
    let failed = |error| store_error(OPEN, error);
    // As a literal that means the same whatever backslashes mean.
    let path = path.replace('\'', "''").replace('\\', "");
    let row = fetch(connection, schema, &SHADOWS.replace("{path}", &path)).await;
    let shadows: String = row.and_then(|row| row.try_get(0)).map_err(failed)?;
    if !shadows.is_empty() {
        return Err(unfit(format!(
            "the search path has {shadows}, with functions or operators that take the place of the server's own: leave \
             it out; or put it behind pg_catalog, and drop its functions unnest, generate_subscripts, array_agg and count"
        )));
    }
    ledger(connection, schema).await?;
    let made_for = made_for(connection, schema).await.map_err(failed)?;
    if let Some(other) = made_for.filter(|name| name != schema.as_str()) {
        return Err(unfit(format!(
            "schema `{schema}` was renamed from `{other}` to `{schema}`: run `migrate`"
        )));
    }
    let lacking = lacking(connection, schema).await.map_err(failed)?;
    if !lacking.is_empty() {
        return Err(unfit(format!(
            "schema `{schema}` has version {} and lacks {lacking}: run `migrate`",
            STEPS.len()
        )));
    }
    let row = fetch(connection, schema, UNFIT).await.map_err(failed)?;
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
    row.try_get(2).map_err(failed)
}

/// What depends on no schema, where the log is not known yet; and the search path, as a JSON array.
pub(super) async fn server(
    connection: &mut PgConnection,
    operation: &'static str,
) -> Result<(Surroundings, String), StoreError> {
    let failed = |error| store_error(operation, error);
    let unfit = |text| Err(StoreError::new(operation, StoreErrorKind::Schema, text));
    let row = fetch(connection, &SchemaName::default(), SERVER).await;
    let row = row.map_err(failed)?;
    let said = |column: usize| row.try_get::<String, _>(column).map_err(failed);
    let version = said(0)?.parse::<u32>().unwrap_or(0) / 10_000;
    if version < OLDEST {
        return unfit(format!(
            "the server is PostgreSQL {version}; {OLDEST} or newer is needed"
        ));
    }
    let encoding = said(1)?;
    if encoding != "UTF8" {
        return unfit(format!(
            "the database has the encoding {encoding}, which cannot hold every text; create it with ENCODING 'UTF8' \
             (and TEMPLATE template0)"
        ));
    }
    let found = Surroundings {
        read_committed: said(2)? == "read committed",
        statement_timeout: duration(&said(3)?),
        log: Uuid::nil(),
        survives_power_cut: said(4)? == "on" && said(5)? == "on",
    };
    Ok((found, said(6)?))
}

/// A time as the server shows it: `30s`, or 0.
fn duration(shown: &str) -> Duration {
    let unit = shown.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = shown.trim_end_matches(unit).parse().unwrap_or(0);
    let millis = match unit {
        "d" => 24 * 60 * 60 * 1000,
        "h" => 60 * 60 * 1000,
        "min" => 60 * 1000,
        "s" => 1000,
        _ => 1,
    };
    Duration::from_millis(number.saturating_mul(millis))
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
            "there is no schema `{schema}` of eventcore: run `migrate` first; was it renamed or dropped?"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_shows_is_read() {
        for (shown, millis) in [
            ("0", 0),
            ("1ms", 1),
            ("30s", 30_000),
            ("2min", 120_000),
            ("3h", 10_800_000),
            ("24d", 2_073_600_000),
            ("2147483647ms", 2_147_483_647),
        ] {
            assert_eq!(duration(shown), Duration::from_millis(millis), "{shown}");
        }
    }
}
