//! Who runs on PostgreSQL.

use eventcore_postgres::{PostgresEventStore, PostgresOptions};
use eventcore_testing::temp_postgres::TempDatabase;

use crate::{
    Error,
    driver::{Cell, Client},
    postgres_floor,
    workload::{StoreClient, seed},
};

/// A contestant on PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contestant {
    A,
    B,
    D,
    Store,
}

impl Contestant {
    /// The one of this name, if it runs on PostgreSQL.
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name {
            "postgres-a" => Some(Self::A),
            "postgres-b" => Some(Self::B),
            "postgres-d" => Some(Self::D),
            "postgres" => Some(Self::Store),
            _ => None,
        }
    }

    /// Makes and fills the tables; everybody measures on tables that were vacuumed and analyzed.
    pub(crate) async fn prepare(
        self,
        database: &TempDatabase<'_>,
        cell: Cell,
    ) -> Result<(), Error> {
        let url = database.url();
        if self != Self::Store {
            return postgres_floor::seed(&url, cell.accounts).await;
        }
        PostgresEventStore::migrate(&url, &PostgresOptions::new()).await?;
        let store = PostgresEventStore::connect(&url, PostgresOptions::new()).await?;
        seed(&store, cell.accounts).await?;
        store.close().await;
        database.sql("VACUUM ANALYZE")?;
        Ok(())
    }

    /// The clients of one process.
    pub(crate) async fn clients(
        self,
        url: &str,
        cell: Cell,
        clients: usize,
    ) -> Result<Clients, Error> {
        let mut all: Vec<Box<dyn Client>> = Vec::with_capacity(clients);
        let mut opened = None;
        match self {
            Self::A => {
                for _ in 0..clients {
                    all.push(Box::new(postgres_floor::A::connect(url).await?));
                }
            }
            Self::B => {
                for client in postgres_floor::B::connect(url, clients).await? {
                    all.push(Box::new(client));
                }
            }
            Self::D => {
                let shared = postgres_floor::D::connect(url).await?;
                all.extend((0..clients).map(|_| Box::new(shared.clone()) as Box<dyn Client>));
            }
            Self::Store => {
                let options = PostgresOptions::new().kept_folds(cell.kept_folds);
                let store = PostgresEventStore::connect(url, options).await?;
                let client = |_| Box::new(StoreClient(store.clone())) as Box<dyn Client>;
                all.extend((0..clients).map(client));
                opened = Some(store);
            }
        }
        Ok(Clients { all, opened })
    }
}

/// The clients, and the store to be closed after them.
pub(crate) struct Clients {
    pub(crate) all: Vec<Box<dyn Client>>,
    pub(crate) opened: Option<PostgresEventStore>,
}
