//! Deposits and transfers written by hand for PostgreSQL, on the driver that the store uses.
//!
//! * **A**: each client has a connection; two statements per command; a unique index is the version check. Positions
//!   come from a sequence, so a reader of the log could miss events.
//! * **D**: what waits together travels together, for reads and for appends; dense positions in commit order, and a key
//!   per command: the same promises as the store, for this one workload.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row, postgres::PgConnectOptions};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

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
        Kind::Deposit => vec![stream_name(one)],
        Kind::Transfer => vec![stream_name(one), stream_name(other)],
    }
}

/// A client of **A**.
pub(crate) struct A(PgConnection);

impl A {
    pub(crate) async fn connect(url: &str) -> Result<Self, Error> {
        Ok(Self(PgConnection::connect_with(&options(url)?).await?))
    }

    async fn attempt(&mut self, streams: &[String], number: u64) -> Result<bool, Error> {
        let rows = sqlx::query(
            "SELECT stream, version, payload::text FROM a_events WHERE stream = ANY ($1) ORDER BY stream, version",
        )
        .bind(streams)
        .fetch_all(&mut self.0)
        .await?;
        let mut versions = Vec::new();
        for stream in streams {
            let mine = rows.iter().filter(|row| row.get::<&str, _>(0) == stream);
            versions.push(1 + decide(mine.map(|row| (row.get(1), row.get(2))))?);
        }
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

type Events = Vec<(i64, String)>;

struct Read {
    stream: String,
    answer: oneshot::Sender<Events>,
}

struct Append {
    streams: Vec<String>,
    versions: Vec<i64>,
    payload: String,
    done: oneshot::Sender<bool>,
}

/// A client of **D**; clones share the connections.
#[derive(Clone)]
pub(crate) struct D {
    reads: mpsc::Sender<Read>,
    appends: mpsc::Sender<Append>,
}

impl D {
    pub(crate) async fn connect(url: &str) -> Result<Self, Error> {
        let reader = PgConnection::connect_with(&options(url)?).await?;
        let writer = PgConnection::connect_with(&options(url)?).await?;
        let (reads, read_queue) = mpsc::channel(4096);
        let (appends, append_queue) = mpsc::channel(4096);
        tokio::spawn(read_all(reader, read_queue));
        tokio::spawn(append_all(writer, append_queue));
        Ok(Self { reads, appends })
    }

    async fn attempt(&self, streams: &[String], number: u64) -> Result<bool, Error> {
        let mut waiting = Vec::new();
        for stream in streams {
            let (answer, answered) = oneshot::channel();
            let stream = stream.clone();
            self.reads
                .send(Read { stream, answer })
                .await
                .map_err(|_| "the reader ended")?;
            waiting.push(answered);
        }
        let mut versions = Vec::new();
        for answered in waiting {
            let events = answered.await?;
            versions.push(1 + decide(events.iter().map(|(at, payload)| (*at, payload.as_str())))?);
        }
        let (done, verdict) = oneshot::channel();
        let append = Append {
            streams: streams.to_vec(),
            versions,
            payload: json(&AccountEvent::deposited(number))?,
            done,
        };
        self.appends
            .send(append)
            .await
            .map_err(|_| "the writer ended")?;
        Ok(verdict.await?)
    }
}

async fn gather<T>(queue: &mut mpsc::Receiver<T>) -> Vec<T> {
    let mut group: Vec<T> = queue.recv().await.into_iter().collect();
    for _ in 0..2 {
        tokio::task::yield_now().await;
        while group.len() < 512
            && let Ok(next) = queue.try_recv()
        {
            group.push(next);
        }
    }
    group
}

async fn read_all(
    mut connection: PgConnection,
    mut queue: mpsc::Receiver<Read>,
) -> Result<(), Error> {
    loop {
        let group = gather(&mut queue).await;
        if group.is_empty() {
            return Ok(());
        }
        let streams: Vec<&str> = group.iter().map(|read| read.stream.as_str()).collect();
        let rows = sqlx::query(
            "SELECT r.o, e.version, e.payload::text FROM unnest($1::text[]) WITH ORDINALITY AS r (s, o)
             JOIN LATERAL (SELECT version, payload FROM d_events WHERE stream = r.s ORDER BY version) e ON true",
        )
        .bind(&streams)
        .fetch_all(&mut connection)
        .await?;
        let mut found: HashMap<i64, Events> = HashMap::new();
        for row in &rows {
            found
                .entry(row.get(0))
                .or_default()
                .push((row.get(1), row.get(2)));
        }
        for (ordinal, read) in (1..).zip(group) {
            let _ = read.answer.send(found.remove(&ordinal).unwrap_or_default());
        }
    }
}

async fn append_all(
    mut connection: PgConnection,
    mut queue: mpsc::Receiver<Append>,
) -> Result<(), Error> {
    let mut late: Vec<Append> = Vec::new();
    loop {
        let mut waiting = std::mem::take(&mut late);
        if waiting.is_empty() {
            waiting = gather(&mut queue).await;
        }
        if waiting.is_empty() {
            return Ok(());
        }
        let mut taken: std::collections::HashSet<String> = std::collections::HashSet::new();
        let (mut batches, mut streams, mut versions, mut payloads, mut keys) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut group = Vec::new();
        for append in waiting {
            if append.streams.iter().any(|stream| taken.contains(stream)) {
                late.push(append);
                continue;
            }
            keys.push(Uuid::now_v7());
            for (stream, version) in append.streams.iter().zip(&append.versions) {
                taken.insert(stream.clone());
                batches.push(i32::try_from(keys.len())?);
                streams.push(stream.clone());
                versions.push(*version);
                payloads.push(append.payload.clone());
            }
            group.push(append);
        }
        let bad: Vec<i32> =
            sqlx::query_scalar("SELECT d_append($1, $2, $3, $4::text[]::json[], $5)")
                .bind(&batches)
                .bind(&streams)
                .bind(&versions)
                .bind(&payloads)
                .bind(&keys)
                .fetch_one(&mut connection)
                .await?;
        for (number, append) in (1..).zip(group) {
            let _ = append.done.send(!bad.contains(&number));
        }
    }
}

impl Client for D {
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
