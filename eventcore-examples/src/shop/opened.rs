//! A store that is open: the events, and beside them the read models.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use eventcore::{
    prelude::*,
    store::{StoreError, StoreErrorKind},
};
use eventcore_memory::{InMemoryEventStore, InMemoryProjections};
use eventcore_postgres::{PostgresEventStore, PostgresOptions, PostgresProjections};
use eventcore_sqlite::{
    Durability, SqliteEventStore, SqliteOptions, SqliteProjections, SqliteProjectionsOptions,
};
use eventcore_testing::temp_postgres::{TempPostgres, TempPostgresError};

use super::{ShopError, StoreChoice};

/// The events and the read models of a shop. Both live in the same kind of store.
pub(crate) enum Opened {
    Memory(InMemoryEventStore, InMemoryProjections),
    /// In two files, so that neither waits for the other.
    Sqlite {
        events: SqliteEventStore,
        /// The same file once more, to be read by the read models.
        log: SqliteEventStore,
        views: SqliteProjections,
    },
    /// In one database, over connections of their own.
    Postgres {
        events: PostgresEventStore,
        /// The same events once more, to be read by the read models.
        log: PostgresEventStore,
        views: PostgresProjections,
        /// The server, if it is ours: it lives as long as this.
        server: Option<TempPostgres>,
    },
}

impl Opened {
    /// Opens a store, and makes it if it is not there.
    pub(crate) async fn open(choice: &StoreChoice) -> Result<Self, ShopError> {
        let failed = |source| ShopError::Open {
            store: choice.to_string(),
            source,
        };
        Ok(match choice {
            StoreChoice::Memory => {
                Self::Memory(InMemoryEventStore::new(), InMemoryProjections::new())
            }
            StoreChoice::Sqlite(path) => {
                let events = SqliteEventStore::open(path).await.map_err(failed)?;
                let log = SqliteOptions::new(path).read_only().readers(1);
                Self::Sqlite {
                    events,
                    log: SqliteEventStore::open_with(log).await.map_err(failed)?,
                    views: sqlite_views(path).await?,
                }
            }
            StoreChoice::Postgres(url) => postgres(url, None).await.map_err(failed)?,
            StoreChoice::TemporaryPostgres => {
                let (server, url) = temporary_postgres().await.map_err(failed)?;
                postgres(&url, Some(server)).await.map_err(failed)?
            }
        })
    }

    /// Opens a store that somebody has made before.
    pub(crate) async fn open_existing(choice: &StoreChoice) -> Result<Self, ShopError> {
        match choice {
            StoreChoice::Sqlite(path) if !path.exists() => Err(ShopError::NoStore {
                store: choice.to_string(),
            }),
            _ => Self::open(choice).await,
        }
    }

    pub(crate) fn events(&self) -> Arc<dyn EventStore> {
        match self {
            Self::Memory(events, _) => Arc::new(events.clone()),
            Self::Sqlite { events, .. } => Arc::new(events.clone()),
            Self::Postgres { events, .. } => Arc::new(events.clone()),
        }
    }

    /// The events as the read models follow them: over connections of their own, so that no command waits for them. Those
    /// are not called for every single commit here, so the read models move in larger steps, which cost less.
    pub(crate) fn log(&self) -> Arc<dyn EventStore> {
        match self {
            Self::Memory(events, _) => Arc::new(events.clone()),
            Self::Sqlite { log, .. } => Arc::new(log.clone()),
            Self::Postgres { log, .. } => Arc::new(log.clone()),
        }
    }

    /// Waits until everything is where it belongs.
    pub(crate) async fn close(self) {
        match self {
            Self::Memory(..) => {}
            Self::Sqlite { events, log, views } => {
                views.close().await;
                log.close().await;
                events.close().await;
            }
            Self::Postgres {
                events,
                log,
                views,
                server,
            } => {
                views.close().await;
                log.close().await;
                events.close().await;
                drop(server);
            }
        }
    }
}

/// The file with the read models of the store in a file.
pub(crate) fn views_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-views");
    name.into()
}

/// Without a flush for each commit: documents and checkpoint survive a power cut together or not at all, and what is lost
/// is made again from the log.
async fn sqlite_views(path: &Path) -> Result<SqliteProjections, ShopError> {
    let path = views_path(path);
    let options = SqliteProjectionsOptions::new(&path).durability(Durability::ProcessCrash);
    let opened = SqliteProjections::open_with(options).await;
    opened.map_err(|source| ShopError::OpenViews { path, source })
}

/// A database, with the tables made in it if they are not there.
async fn postgres(url: &str, server: Option<TempPostgres>) -> Result<Opened, StoreError> {
    let options = PostgresOptions::new();
    PostgresEventStore::migrate(url, &options).await?;
    Ok(Opened::Postgres {
        events: PostgresEventStore::connect(url, options.clone()).await?,
        log: PostgresEventStore::connect(url, options.clone()).await?,
        views: PostgresProjections::connect(url, options).await?,
        server,
    })
}

/// A server with its flushes on, and a database in it.
async fn temporary_postgres() -> Result<(TempPostgres, String), StoreError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| {
        let kind = StoreErrorKind::Unavailable;
        StoreError::new("start a PostgreSQL server", kind, source.to_string()).with_source(source)
    };
    let start = || {
        let server = TempPostgres::builder().fsync(true).start()?;
        server.sql("postgres", "CREATE DATABASE shop")?;
        let url = server.url("shop");
        Ok::<_, TempPostgresError>((server, url))
    };
    let started = tokio::task::spawn_blocking(start)
        .await
        .map_err(|e| failed(e.into()))?;
    started.map_err(|e| failed(e.into()))
}
