//! Compares the stores with hand-written code, in one run: each round visits every contestant and number of clients, so
//! that a machine that speeds up or slows down does so for all.
//!
//! `cargo run --release -p eventcore-bench -- --help`

mod choice;
mod contestants;
mod driver;
mod floor;
mod following;
mod postgres_floor;
mod processes;
mod report;
mod workload;

use std::time::Duration;

use clap::{Parser, Subcommand};
use eventcore::EventStore;
use eventcore_memory::InMemoryEventStore;
use eventcore_sqlite::{SqliteEventStore, SqliteOptions};
use eventcore_testing::temp_postgres::TempPostgres;

use crate::{
    contestants::Contestant,
    driver::{Cell, Client, Kind, Rate, drive, rate},
    following::Following,
    processes::Role,
    report::Report,
    workload::{StoreClient, seed},
};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// W1: read one stream of 10 events of about 200 bytes of JSON, decide, append one event. W2: two streams, one event to
/// each. PostgreSQL runs on a private server with its flushes on.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    instead: Option<Instead>,
    /// The contestants: hand-written (SQLite, W1 only), sqlite, memory; postgres-a, postgres-b and postgres-d
    /// (hand-written), postgres.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "hand-written,sqlite,memory"
    )]
    stores: Vec<String>,
    /// What a command does: w1, w2, hot (w1 on ten accounts, until they have taken 2,000 commands).
    #[arg(long, value_delimiter = ',', default_value = "w1")]
    workloads: Vec<String>,
    /// A setting for the PostgreSQL server, `name=value`; may be repeated.
    #[arg(long)]
    setting: Vec<String>,
    /// How many folded states the stores keep between commands. None, if not set: everybody reads and folds the whole
    /// stream for each command, as the hand-written code does.
    #[arg(long, default_value_t = 0)]
    kept_folds: usize,
    /// In how many processes clients run, for PostgreSQL; without it, in this one.
    #[arg(long, value_delimiter = ',')]
    processes: Vec<usize>,
    /// How many clients run at the same time, in each process.
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
    /// This process only runs clients, for another that measures.
    #[arg(long, hide = true, num_args = 9)]
    as_process: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Instead {
    /// Measures those who follow the log, and not those who write to it.
    Following(Following),
}

fn main() -> Result<(), Error> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    if !arguments.as_process.is_empty() {
        return runtime.block_on(Role::parse(&arguments.as_process)?.play());
    }
    if let Some(Instead::Following(following)) = &arguments.instead {
        return runtime.block_on(following.run());
    }
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
            let kind: Kind = workload.parse()?;
            let cell = Cell {
                kind,
                accounts: arguments.streams,
                most: 2 * arguments.streams,
                duration: Duration::from_secs_f64(arguments.seconds),
                kept_folds: arguments.kept_folds,
            };
            for (clients, processes) in crowds(&arguments) {
                let column = match processes {
                    None => format!("{workload} c{clients}"),
                    Some(processes) => format!("{workload} p{processes} c{clients}"),
                };
                for store in &arguments.stores {
                    let crowd = (clients, processes);
                    let measuring = measure(store, server.as_ref(), cell, crowd);
                    let Some(rate) = runtime.block_on(measuring)? else {
                        continue;
                    };
                    eprintln!("round {round}: {store}, {column}: {:.0}/s", rate.per_second);
                    report.add(store, &column, rate);
                }
            }
        }
    }
    println!("{report}");
    Ok(())
}

/// Each number of clients, in each number of processes.
fn crowds(arguments: &Arguments) -> Vec<(usize, Option<usize>)> {
    let here = || arguments.clients.iter().map(|&clients| (clients, None));
    let there = |&processes: &usize| {
        let clients = arguments.clients.iter();
        clients.map(move |&clients| (clients, Some(processes)))
    };
    if arguments.processes.is_empty() {
        return here().collect();
    }
    arguments.processes.iter().flat_map(there).collect()
}

async fn measure(
    store: &str,
    server: Option<&TempPostgres>,
    cell: Cell,
    (clients, processes): (usize, Option<usize>),
) -> Result<Option<Rate>, Error> {
    if let (Some(server), Some(contestant)) = (server, Contestant::of(store)) {
        let crowd = (clients, processes);
        let rate = postgres(store, contestant, server, cell, crowd).await?;
        return Ok(Some(rate));
    }
    if processes.is_some() {
        return Err(format!("`{store}` does not run in several processes here").into());
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
    Ok(rate(
        drive(cell, (0..clients).map(client).collect(), 0).await?,
    ))
}

/// A cell on PostgreSQL, in a database of its own; with clients in processes of their own, if there are to be any.
async fn postgres(
    name: &str,
    contestant: Contestant,
    server: &TempPostgres,
    cell: Cell,
    (clients, processes): (usize, Option<usize>),
) -> Result<Rate, Error> {
    let database = server.database()?;
    contestant.prepare(&database, cell).await?;
    if let Some(processes) = processes {
        let role = Role {
            contestant: name.to_owned(),
            url: database.url(),
            cell,
            clients,
            number: 0,
        };
        return tokio::task::spawn_blocking(move || processes::run(&role, processes)).await?;
    }
    let clients = contestant.clients(&database.url(), cell, clients).await?;
    let counts = drive(cell, clients.all, 0).await?;
    if let Some(store) = clients.opened {
        store.close().await;
    }
    Ok(rate(counts))
}
