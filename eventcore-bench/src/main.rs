//! Compares the stores with hand-written code, in one run: each round visits every contestant and number of clients, so
//! that a machine that speeds up or slows down does so for all.
//!
//! `cargo run --release -p eventcore-bench -- --help`

mod choice;
mod driver;
mod floor;
mod postgres_floor;
mod report;
mod workload;

use std::time::Duration;

use clap::Parser;
use eventcore::EventStore;
use eventcore_memory::InMemoryEventStore;
use eventcore_postgres::{PostgresEventStore, PostgresOptions};
use eventcore_sqlite::{SqliteEventStore, SqliteOptions};
use eventcore_testing::temp_postgres::TempPostgres;

use crate::{
    driver::{Cell, Client, Kind, Rate, drive},
    report::Report,
    workload::{StoreClient, seed},
};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// W1: read one stream of 10 events of about 200 bytes of JSON, decide, append one event. W2: two streams, one event to
/// each. PostgreSQL runs on a private server with its flushes on.
#[derive(Debug, Parser)]
struct Arguments {
    /// The contestants: hand-written (SQLite, W1 only), sqlite, memory; postgres-a and postgres-d (hand-written),
    /// postgres.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "hand-written,sqlite,memory"
    )]
    stores: Vec<String>,
    /// What a command does: w1, w2.
    #[arg(long, value_delimiter = ',', default_value = "w1")]
    workloads: Vec<String>,
    /// A setting for the PostgreSQL server, `name=value`; may be repeated.
    #[arg(long)]
    setting: Vec<String>,
    /// How many folded states the stores keep between commands. None, if not set: everybody reads and folds the whole
    /// stream for each command, as the hand-written code does.
    #[arg(long, default_value_t = 0)]
    kept_folds: usize,
    /// How many clients run at the same time.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    clients: Vec<usize>,
    /// How many streams there are, each with 10 events.
    #[arg(long, default_value_t = 10_000)]
    streams: u64,
    /// How long a cell is measured at most, in seconds; it ends early after two commands per stream, since longer
    /// streams would measure something else.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How often each cell is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

fn main() -> Result<(), Error> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut report = Report::default();
    let mut server = None;
    if arguments
        .stores
        .iter()
        .any(|store| store.starts_with("postgres"))
    {
        let mut builder = TempPostgres::builder().fsync(true);
        for setting in &arguments.setting {
            let (name, value) = setting.split_once('=').ok_or("a setting is `name=value`")?;
            builder = builder.setting(name, value);
        }
        server = Some(builder.start()?);
    }
    for round in 1..=arguments.rounds {
        for workload in &arguments.workloads {
            let kind = match workload.as_str() {
                "w1" => Kind::Deposit,
                "w2" => Kind::Transfer,
                other => return Err(format!("there is no workload `{other}`").into()),
            };
            let cell = Cell {
                kind,
                accounts: arguments.streams,
                most: 2 * arguments.streams,
                duration: Duration::from_secs_f64(arguments.seconds),
                kept_folds: arguments.kept_folds,
            };
            for &clients in &arguments.clients {
                for store in &arguments.stores {
                    let Some(rate) =
                        runtime.block_on(measure(store, server.as_ref(), cell, clients))?
                    else {
                        continue;
                    };
                    eprintln!(
                        "round {round}: {store}, {workload}, {clients} clients: {:.0}/s",
                        rate.per_second
                    );
                    report.add(store, &format!("{workload} c{clients}"), rate);
                }
            }
        }
    }
    println!("{report}");
    Ok(())
}

async fn measure(
    store: &str,
    server: Option<&TempPostgres>,
    cell: Cell,
    clients: usize,
) -> Result<Option<Rate>, Error> {
    if let Some(server) = server
        && store.starts_with("postgres")
    {
        return postgres(store, server, cell, clients).await.map(Some);
    }
    let folder = tempfile::tempdir_in(".")?;
    let path = folder.path().join("bench.db");
    Ok(match store {
        "hand-written" if cell.kind == Kind::Deposit => {
            let run = move || floor::run(&path, cell, clients);
            Some(tokio::task::spawn_blocking(run).await??)
        }
        "hand-written" => None,
        "memory" => Some(
            with_store(
                InMemoryEventStore::keeping_folds(cell.kept_folds),
                cell,
                clients,
            )
            .await?,
        ),
        "sqlite" => {
            let store =
                SqliteEventStore::open_with(SqliteOptions::new(&path).kept_folds(cell.kept_folds))
                    .await?;
            let rate = with_store(store.clone(), cell, clients).await?;
            store.close().await;
            Some(rate)
        }
        other => return Err(format!("there is no store `{other}`").into()),
    })
}

async fn with_store<S>(store: S, cell: Cell, clients: usize) -> Result<Rate, Error>
where
    S: EventStore + Clone + 'static,
{
    seed(&store, cell.accounts).await?;
    let client = |_| Box::new(StoreClient(store.clone())) as Box<dyn Client>;
    drive(cell, (0..clients).map(client).collect()).await
}

/// A cell on PostgreSQL, in a database of its own.
async fn postgres(
    contestant: &str,
    server: &TempPostgres,
    cell: Cell,
    clients: usize,
) -> Result<Rate, Error> {
    let database = server.database()?;
    let url = database.url();
    if contestant == "postgres" {
        let options = PostgresOptions::new().kept_folds(cell.kept_folds);
        PostgresEventStore::migrate(&url, &options).await?;
        let store = PostgresEventStore::connect(&url, options).await?;
        seed(&store, cell.accounts).await?;
        database.sql("VACUUM ANALYZE")?;
        let client = |_| Box::new(StoreClient(store.clone())) as Box<dyn Client>;
        let rate = drive(cell, (0..clients).map(client).collect()).await?;
        store.close().await;
        return Ok(rate);
    }
    postgres_floor::seed(&url, cell.accounts).await?;
    let mut all: Vec<Box<dyn Client>> = Vec::new();
    if contestant == "postgres-a" {
        for _ in 0..clients {
            all.push(Box::new(postgres_floor::A::connect(&url).await?));
        }
    } else {
        let shared = postgres_floor::D::connect(&url).await?;
        all.extend((0..clients).map(|_| Box::new(shared.clone()) as Box<dyn Client>));
    }
    drive(cell, all).await
}
