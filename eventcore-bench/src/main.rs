//! Compares the stores with hand-written code, in one run: each round visits every store and number of clients, so that
//! a machine that speeds up or slows down does so for all.
//!
//! `cargo run --release -p eventcore-bench -- --help`

mod floor;
mod report;
mod workload;

use std::time::Duration;

use clap::Parser;
use eventcore_memory::InMemoryEventStore;
use eventcore_sqlite::SqliteEventStore;

use crate::{report::Report, workload::Workload};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// W1: read one stream of 10 events of about 200 bytes of JSON, decide, append one event.
#[derive(Debug, Parser)]
struct Arguments {
    /// The contestants.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "hand-written,sqlite,memory"
    )]
    stores: Vec<String>,
    /// How many clients run at the same time.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    clients: Vec<usize>,
    /// How many streams there are, each with 10 events.
    #[arg(long, default_value_t = 10_000)]
    streams: u64,
    /// How long a cell is measured, in seconds.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How often each cell is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

fn main() -> Result<(), Error> {
    let arguments = Arguments::parse();
    let workload = Workload {
        streams: arguments.streams,
        duration: Duration::from_secs_f64(arguments.seconds),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut report = Report::new(&arguments.stores, &arguments.clients);
    for round in 1..=arguments.rounds {
        for &clients in &arguments.clients {
            for store in &arguments.stores {
                let folder = tempfile::tempdir_in(".")?;
                let path = folder.path().join("bench.db");
                let rate = match store.as_str() {
                    "hand-written" => floor::run(&path, &workload, clients)?,
                    "memory" => {
                        runtime.block_on(workload.run(InMemoryEventStore::new(), clients))?
                    }
                    "sqlite" => runtime.block_on(async {
                        let store = SqliteEventStore::open(&path).await?;
                        let rate = workload.run(store.clone(), clients).await;
                        store.close().await;
                        rate
                    })?,
                    other => return Err(format!("there is no store `{other}`").into()),
                };
                eprintln!("round {round}: {store}, {clients} clients: {rate:.0}/s");
                report.add(store, clients, rate);
            }
        }
    }
    println!("{report}");
    Ok(())
}
