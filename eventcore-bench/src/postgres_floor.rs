//! Deposits and transfers written by hand for PostgreSQL, on the driver that the store uses.
//!
//! * **A**: each client has a connection; two statements per command; a unique index is the version check. Positions
//!   come from a sequence, so a reader of the log could miss events.
//! * **B**: A, but what waits together is appended by one call of a function.
//! * **D**: what waits together travels together, for reads and for appends; dense positions in commit order, and a key
//!   per command: the same promises as the store, for this one workload.

mod grouped;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row, postgres::PgConnectOptions};

pub(crate) use self::grouped::{B, D};

use crate::{
    Error,
    driver::{Accounts, Client, Kind, Tries},
    workload::{AccountEvent, FULL, SEEDED, stream_name},
};

const TABLES: &str = "
CREATE TABLE a_events (position bigserial PRIMARY KEY, stream text COLLATE \"C\" NOT NULL,
    version bigint NOT NULL, payload json NOT NULL, UNIQUE (stream, version));
CREATE TABLE d_events (position bigint PRIMARY KEY, stream text COLLATE \"C\" NOT NULL,
    version bigint NOT NULL, payload json NOT NULL, UNIQUE (stream, version));
CREATE FUNCTION b_append(b integer[], s text[], v bigint[], p json[]) RETURNS integer[]
LANGUAGE plpgsql AS $$
DECLARE bad integer[];
BEGIN
    SELECT coalesce(array_agg(DISTINCT n.b), '{}') INTO bad FROM unnest(b, s, v) AS n (b, s, v)
    WHERE n.v <> 1 + coalesce(
        (SELECT e.version FROM a_events e WHERE e.stream = n.s ORDER BY e.version DESC LIMIT 1), 0);
    INSERT INTO a_events (stream, version, payload)
    SELECT n.s, n.v, n.p FROM unnest(b, s, v, p) AS n (b, s, v, p) WHERE n.b <> ALL (bad);
    RETURN bad;
END $$;
CREATE TABLE d_commands (key uuid PRIMARY KEY, position bigint NOT NULL);
CREATE FUNCTION d_append(b integer[], s text[], v bigint[], p json[], k uuid[]) RETURNS integer[]
LANGUAGE plpgsql AS $$
DECLARE bad integer[]; base bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(7);
    SELECT coalesce(array_agg(DISTINCT n.b), '{}') INTO bad FROM unnest(b, s, v) AS n (b, s, v)
    WHERE n.v <> 1 + coalesce(
        (SELECT e.version FROM d_events e WHERE e.stream = n.s ORDER BY e.version DESC LIMIT 1), 0);
    SELECT coalesce(max(position), 0) INTO base FROM d_events;
    INSERT INTO d_events (position, stream, version, payload)
    SELECT base + row_number() OVER (ORDER BY n.o), n.s, n.v, n.p
    FROM unnest(b, s, v, p) WITH ORDINALITY AS n (b, s, v, p, o) WHERE n.b <> ALL (bad);
    INSERT INTO d_commands SELECT n.k, base FROM unnest(k) WITH ORDINALITY AS n (k, o) WHERE n.o <> ALL (bad);
    RETURN bad;
END $$;";

fn options(url: &str) -> Result<PgConnectOptions, Error> {
    Ok(url
        .parse::<PgConnectOptions>()?
        .options([("plan_cache_mode", "force_generic_plan")]))
}

/// Makes and fills the tables of both.
pub(crate) async fn seed(url: &str, accounts: u64) -> Result<(), Error> {
    let mut connection = PgConnection::connect_with(&options(url)?).await?;
    connection.execute(sqlx::raw_sql(TABLES)).await?;
    for at in 0..SEEDED {
        let numbers: Vec<u64> = (0..accounts).collect();
        for group in numbers.chunks(10_000) {
            let streams: Vec<String> = group.iter().map(|n| stream_name(*n)).collect();
            let payload = |n: &u64| json(&AccountEvent::deposited(n * SEEDED + at));
            let payloads = group.iter().map(payload).collect::<Result<Vec<_>, _>>()?;
            for (table, position) in [("a_events", ""), ("d_events", "position, ")] {
                let number = if position.is_empty() {
                    String::new()
                } else {
                    format!(
                        "(SELECT coalesce(max(position), 0) FROM {table}) + row_number() OVER (), "
                    )
                };
                let sql = format!(
                    "INSERT INTO {table} ({position}stream, version, payload)
                     SELECT {number}n.s, $3, n.p::json FROM unnest($1::text[], $2::text[]) AS n (s, p)"
                );
                sqlx::query(AssertSqlSafe(sql))
                    .bind(&streams)
                    .bind(&payloads)
                    .bind(i64::try_from(at + 1)?)
                    .execute(&mut connection)
                    .await?;
            }
        }
    }
    connection.execute("VACUUM ANALYZE").await?;
    connection.close().await?;
    Ok(())
}

fn json(event: &AccountEvent) -> Result<String, serde_json::Error> {
    serde_json::to_string(event)
}

/// Folds what was read and checks the rule; the version.
fn decide<'r>(rows: impl Iterator<Item = (i64, &'r str)>) -> Result<i64, Error> {
    let (mut balance, mut version) = (0, 0);
    for (at, payload) in rows {
        let AccountEvent::Deposited { amount, .. } = serde_json::from_str(payload)?;
        (balance, version) = (balance + amount, at);
    }
    if balance < FULL {
        Ok(version)
    } else {
        Err("the account is full".into())
    }
}

fn streams_of(kind: Kind, Accounts { one, other }: Accounts) -> Vec<String> {
    match kind {
        Kind::Deposit | Kind::Hot => vec![stream_name(one)],
        Kind::Transfer => vec![stream_name(one), stream_name(other)],
    }
}

/// Reads the streams over the client's own connection, and decides; the versions to append.
async fn next_versions(
    connection: &mut PgConnection,
    streams: &[String],
) -> Result<Vec<i64>, Error> {
    let rows = sqlx::query(
        "SELECT stream, version, payload::text FROM a_events WHERE stream = ANY ($1) ORDER BY stream, version",
    )
    .bind(streams)
    .fetch_all(connection)
    .await?;
    let version = |stream: &String| {
        let mine = rows.iter().filter(|row| row.get::<&str, _>(0) == stream);
        Ok(1 + decide(mine.map(|row| (row.get(1), row.get(2))))?)
    };
    streams.iter().map(version).collect()
}

/// A client of **A**.
pub(crate) struct A(PgConnection);

impl A {
    pub(crate) async fn connect(url: &str) -> Result<Self, Error> {
        Ok(Self(PgConnection::connect_with(&options(url)?).await?))
    }

    async fn attempt(&mut self, streams: &[String], number: u64) -> Result<bool, Error> {
        let versions = next_versions(&mut self.0, streams).await?;
        let payload = json(&AccountEvent::deposited(number))?;
        let payloads = vec![payload; streams.len()];
        let inserted = sqlx::query(
            "INSERT INTO a_events (stream, version, payload)
             SELECT n.s, n.v, n.p::json FROM unnest($1::text[], $2::bigint[], $3::text[]) AS n (s, v, p)",
        )
        .bind(streams)
        .bind(&versions)
        .bind(&payloads)
        .execute(&mut self.0)
        .await;
        match inserted {
            Ok(_) => Ok(true),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("40P01") => {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Client for A {
    fn command(&mut self, kind: Kind, accounts: Accounts) -> Tries<'_> {
        Box::pin(async move {
            let streams = streams_of(kind, accounts);
            let mut tries = 1;
            while !self.attempt(&streams, accounts.one).await? {
                tries += 1;
            }
            Ok(tries)
        })
    }
}
