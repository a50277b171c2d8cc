//! What waits together travels together: **B** and **D**.

use std::collections::{HashMap, HashSet};

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{decide, json, options, streams_of};
use crate::{
    Error,
    driver::{Accounts, Client, Kind, Tries},
    workload::AccountEvent,
};

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
        tokio::spawn(append_all(Function::D, writer, append_queue));
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
        append(&self.appends, streams, versions, number).await
    }
}

/// Hands an append to the writer; whether it was done.
async fn append(
    appends: &mpsc::Sender<Append>,
    streams: &[String],
    versions: Vec<i64>,
    number: u64,
) -> Result<bool, Error> {
    let (done, verdict) = oneshot::channel();
    let append = Append {
        streams: streams.to_vec(),
        versions,
        payload: json(&AccountEvent::deposited(number))?,
        done,
    };
    appends.send(append).await.map_err(|_| "the writer ended")?;
    Ok(verdict.await?)
}

/// A client of **B**: reads over its own connection, appends with others.
pub(crate) struct B {
    reader: PgConnection,
    appends: mpsc::Sender<Append>,
}

impl B {
    /// Clients that share a writer.
    pub(crate) async fn connect(url: &str, clients: usize) -> Result<Vec<Self>, Error> {
        let writer = PgConnection::connect_with(&options(url)?).await?;
        let (appends, append_queue) = mpsc::channel(4096);
        tokio::spawn(append_all(Function::B, writer, append_queue));
        let mut all = Vec::new();
        for _ in 0..clients {
            let reader = PgConnection::connect_with(&options(url)?).await?;
            let appends = appends.clone();
            all.push(Self { reader, appends });
        }
        Ok(all)
    }
}

impl Client for B {
    fn command(&mut self, kind: Kind, accounts: Accounts) -> Tries<'_> {
        Box::pin(async move {
            let streams = streams_of(kind, accounts);
            let mut tries = 1;
            loop {
                let versions = super::next_versions(&mut self.reader, &streams).await?;
                if append(&self.appends, &streams, versions, accounts.one).await? {
                    return Ok(tries);
                }
                tries += 1;
            }
        })
    }
}

/// Which function appends.
#[derive(Clone, Copy)]
enum Function {
    B,
    D,
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
    function: Function,
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
        let mut taken: HashSet<String> = HashSet::new();
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
        let (sql, keys) = match function {
            Function::B => ("SELECT b_append($1, $2, $3, $4::text[]::json[])", None),
            Function::D => (
                "SELECT d_append($1, $2, $3, $4::text[]::json[], $5)",
                Some(keys),
            ),
        };
        let mut call = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(&batches)
            .bind(&streams)
            .bind(&versions)
            .bind(&payloads);
        if let Some(keys) = &keys {
            call = call.bind(keys);
        }
        let bad: Vec<i32> = match call.fetch_one(&mut connection).await {
            Ok(bad) => bad,
            // Another process was faster; B has no lock.
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                (1..).take(group.len()).collect()
            }
            Err(error) => return Err(error.into()),
        };
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
