//! The same deposit, written by hand for SQLite: no library, one table, one index, a writer with group commit.
//!
//! Each client is a thread with a connection of its own for reading, so nothing is handed over but the append.

use std::{
    path::Path,
    sync::mpsc::{self, Sender, SyncSender},
    thread,
    time::Instant,
};

use rusqlite::{Connection, TransactionBehavior, params};

use crate::{
    Error,
    choice::Choice,
    driver::{Cell, Counts, Rate, rate},
    workload::{AccountEvent, FULL, SEEDED, stream_name},
};

struct Append {
    stream: String,
    version: i64,
    payload: String,
    done: SyncSender<bool>,
}

fn open(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(connection)
}

const INSERT: &str = "INSERT INTO events (stream, version, payload) VALUES (?1, ?2, ?3)";

pub(crate) fn run(path: &Path, cell: Cell, clients: usize) -> Result<Rate, Error> {
    let mut connection = open(path)?;
    seed(&mut connection, cell.accounts)?;
    let (appends, queue) = mpsc::channel::<Append>();
    let writer = thread::spawn(move || -> Result<(), rusqlite::Error> {
        while let Ok(first) = queue.recv() {
            let group: Vec<Append> = std::iter::once(first)
                .chain(queue.try_iter().take(1023))
                .collect();
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let verdicts: Vec<bool> = {
                // The unique index on (stream, version) is the version check.
                let mut insert = transaction.prepare_cached(INSERT)?;
                let one = |a: &Append| {
                    insert
                        .execute(params![a.stream, a.version, a.payload])
                        .is_ok()
                };
                group.iter().map(one).collect()
            };
            transaction.commit()?;
            for (append, verdict) in group.into_iter().zip(verdicts) {
                let _ = append.done.send(verdict);
            }
        }
        Ok(())
    });
    let end = Instant::now() + cell.duration;
    let start = Instant::now();
    let clients: Vec<_> = (0..clients)
        .map(|client| {
            let (path, appends, streams) = (path.to_owned(), appends.clone(), cell.accounts);
            let most = cell.most / clients as u64;
            thread::spawn(move || one_client(&path, client, &appends, streams, (end, most)))
        })
        .collect();
    drop(appends);
    let mut done = 0;
    for client in clients {
        done += client.join().map_err(|_| "a client panicked")??;
    }
    let elapsed = start.elapsed();
    writer.join().map_err(|_| "the writer panicked")??;
    Ok(rate(Counts {
        done: u64::from(done),
        tries: u64::from(done),
        elapsed,
    }))
}

fn one_client(
    path: &Path,
    client: usize,
    appends: &Sender<Append>,
    streams: u64,
    (end, most): (Instant, u64),
) -> Result<u32, Error> {
    let connection = open(path)?;
    let mut choice = Choice::new(client);
    let (done, verdict) = mpsc::sync_channel(1);
    let mut count = 0;
    while Instant::now() < end && u64::from(count) < most {
        let number = choice.below(streams);
        let stream = stream_name(number);
        let mut select = connection.prepare_cached(
            "SELECT version, payload FROM events WHERE stream = ?1 ORDER BY version",
        )?;
        let mut rows = select.query([&stream])?;
        let (mut balance, mut version) = (0, 0);
        while let Some(row) = rows.next()? {
            version = row.get(0)?;
            let AccountEvent::Deposited { amount, .. } =
                serde_json::from_str(row.get_ref(1)?.as_str()?)?;
            balance += amount;
        }
        assert!(balance < FULL);
        appends.send(Append {
            stream,
            version: version + 1,
            payload: serde_json::to_string(&AccountEvent::deposited(number))?,
            done: done.clone(),
        })?;
        // A conflict is not tried again, and not counted.
        count += u32::from(verdict.recv()?);
    }
    Ok(count)
}

fn seed(connection: &mut Connection, accounts: u64) -> Result<(), Error> {
    connection.execute_batch(
        "CREATE TABLE events (position INTEGER PRIMARY KEY, stream TEXT NOT NULL, version INTEGER NOT NULL,
             payload TEXT NOT NULL);
         CREATE UNIQUE INDEX by_stream ON events (stream, version);",
    )?;
    let transaction = connection.transaction()?;
    {
        let mut insert = transaction.prepare(INSERT)?;
        for at in 0..SEEDED {
            for number in 0..accounts {
                let event = AccountEvent::deposited(number * SEEDED + at);
                insert.execute(params![
                    stream_name(number),
                    at.cast_signed() + 1,
                    serde_json::to_string(&event)?
                ])?;
            }
        }
    }
    transaction.commit()?;
    Ok(())
}
