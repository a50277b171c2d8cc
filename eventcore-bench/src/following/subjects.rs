//! Whose log is followed.

use eventcore_memory::{InMemoryEventStore, InMemoryProjections};
use eventcore_postgres::{PostgresEventStore, PostgresOptions, PostgresProjections};
use eventcore_sqlite::{SqliteEventStore, SqliteProjections};
use eventcore_testing::temp_postgres::{TempDatabase, TempPostgres};
use tempfile::TempDir;

use super::{Found, catching_up, live};
use crate::{
    Error,
    workload::{SEEDED, seed},
};

/// A log with events in it, a second way to it as another process would have, and a place for read models beside it.
#[expect(
    dead_code,
    reason = "the folder and the database go when they are dropped"
)]
pub(crate) enum Subject<'s> {
    Memory(Sides<InMemoryEventStore, InMemoryProjections>),
    Sqlite(Sides<SqliteEventStore, SqliteProjections>, TempDir),
    Postgres(
        Sides<PostgresEventStore, PostgresProjections>,
        TempDatabase<'s>,
    ),
}

/// Two ways to one log.
pub(crate) struct Sides<S, V> {
    /// Commands run here.
    pub(crate) writer: S,
    /// Readers follow here.
    pub(crate) reader: S,
    /// Readers follow here and are never woken.
    pub(crate) deaf: Option<S>,
    pub(crate) views: V,
    pub(crate) accounts: u64,
}

macro_rules! either {
    ($subject:expr, $sides:ident => $call:expr) => {
        match $subject {
            Subject::Memory($sides) => $call,
            Subject::Sqlite($sides, _) => $call,
            Subject::Postgres($sides, _) => $call,
        }
    };
}

impl<'s> Subject<'s> {
    pub(crate) async fn new(
        store: &str,
        server: Option<&'s TempPostgres>,
        events: u64,
    ) -> Result<Self, Error> {
        let accounts = events / SEEDED;
        match (store, server) {
            ("memory", _) => {
                let writer = InMemoryEventStore::new();
                seed(&writer, accounts).await?;
                Ok(Self::Memory(Sides {
                    reader: writer.clone(),
                    writer,
                    deaf: None,
                    views: InMemoryProjections::new(),
                    accounts,
                }))
            }
            ("sqlite", _) => {
                let folder = tempfile::tempdir_in(".")?;
                let path = folder.path().join("log.db");
                let writer = SqliteEventStore::open(&path).await?;
                seed(&writer, accounts).await?;
                let sides = Sides {
                    reader: SqliteEventStore::open(&path).await?,
                    writer,
                    deaf: None,
                    views: SqliteProjections::open(folder.path().join("views.db")).await?,
                    accounts,
                };
                Ok(Self::Sqlite(sides, folder))
            }
            ("postgres", Some(server)) => {
                let database = server.database()?;
                let url = database.url();
                let connect = |options| PostgresEventStore::connect(&url, options);
                PostgresEventStore::migrate(&url, &PostgresOptions::new()).await?;
                let writer = connect(PostgresOptions::new()).await?;
                seed(&writer, accounts).await?;
                let reader = connect(PostgresOptions::new()).await?;
                let deaf = connect(PostgresOptions::new().wakeups(false)).await?;
                let views = PostgresProjections::connect(&url, PostgresOptions::new()).await?;
                database.sql("VACUUM ANALYZE")?;
                let sides = Sides {
                    reader,
                    writer,
                    deaf: Some(deaf),
                    views,
                    accounts,
                };
                Ok(Self::Postgres(sides, database))
            }
            (other, _) => Err(format!("there is no store `{other}`").into()),
        }
    }

    pub(crate) async fn catch_up(&self, events: u64) -> Result<Found, Error> {
        either!(self, sides => catching_up::measure(sides, events).await)
    }

    pub(crate) async fn rebuild(&self, events: u64, load: u32) -> Result<Found, Error> {
        either!(self, sides => catching_up::rebuild(sides, events, load).await)
    }

    pub(crate) async fn latency(
        &self,
        load: u32,
        time: std::time::Duration,
    ) -> Result<Found, Error> {
        either!(self, sides => live::latency(sides, load, time).await)
    }

    pub(crate) async fn cost(&self, time: std::time::Duration) -> Result<Found, Error> {
        either!(self, sides => live::cost(sides, time).await)
    }
}
