//! A run from the command line to the exit code.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    sync::Arc,
};

use clap::Parser;
use eventcore::{
    prelude::*,
    store::{StoreError, StoreErrorKind},
};
use eventcore_memory::InMemoryEventStore;
use eventcore_postgres::{PostgresEventStore, PostgresOptions};
use eventcore_sqlite::SqliteEventStore;
use eventcore_testing::temp_postgres::{TempPostgres, TempPostgresError};

use super::{
    BadLines, Books, Input, Options, Purchase, Report, ShopError, Source, Status, StoreChoice,
    Summary,
    audit::audit,
    error::chain,
    money::grouped,
    page::{self, Ink, counted},
    progress::{Progress, say},
    replay::{self, Outcome},
    stop::{INTERRUPTED, Stop},
    summary::{CheckSummary, InputSummary, RunSummary},
};

/// Runs `shop` with this process's arguments.
pub fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = runtime
        .map_err(|source| ShopError::System {
            doing: "starting the threads",
            source,
        })
        .and_then(|runtime| runtime.block_on(run(&options)));
    match result {
        Ok(summary) => finish(&summary, &options),
        Err(error) => {
            fail(&error, &options);
            ExitCode::FAILURE
        }
    }
}

/// Replays the input into the store, and reports what the store then holds.
///
/// # Errors
///
/// [`ShopError`]. A log that differs from the input is no error but a [`Status`].
///
/// # Cancel safety
///
/// Dropping the future abandons commands on their way; each takes effect whole or not at all, and the next run goes on.
pub async fn run(options: &Options) -> Result<Summary, ShopError> {
    let source = options.input.clone().map_or(Source::BuiltIn, Source::File);
    let skip = if options.skip_bad {
        BadLines::Skip
    } else {
        BadLines::Refuse
    };
    // All of the input is checked before a store is touched.
    let input = Input::load(&source, skip)?;
    let store = Opened::open(&options.store).await?;
    let summary = with_store(options, &input, &store.events()).await;
    // Also after a failure: what was acknowledged is stored, and the file is left in order.
    store.close().await;
    summary
}

async fn with_store(
    options: &Options,
    input: &Input,
    store: &Arc<dyn EventStore>,
) -> Result<Summary, ShopError> {
    let limit = options.limit.map_or(usize::MAX, |limit| limit as usize);
    let wanted = &input.purchases[..limit.min(input.purchases.len())];
    let mut books = Books::default();
    books.catch_up(store).await?;
    check_claim(options, input, &books)?;

    // Commands on their way finish in any order, so a run that was killed may have left gaps: line by line, then.
    let open: Vec<Purchase> = wanted
        .iter()
        .filter(|purchase| !books.holds(purchase.line))
        .copied()
        .collect();
    let already_there = (wanted.len() - open.len()) as u64;
    announce(options, input, wanted.len() as u64, already_there);

    let mut outcome = if open.is_empty() {
        Outcome::default()
    } else {
        let all = input.purchases.len() as u64;
        replay::begin(store, &options.store.to_string(), input.id, all).await?;
        let listen = |source| ShopError::System {
            doing: "listening for Ctrl-C",
            source,
        };
        let mut stop = Stop::listen().map_err(listen)?;
        let mut progress = Progress::begin(already_there, wanted.len() as u64);
        let in_flight = options.concurrency.into();
        let replayed =
            replay::replay(store, input.id, &open, in_flight, &mut progress, &mut stop).await;
        progress.end();
        stop.at_once();
        replayed?
    };

    books.catch_up(store).await?;
    // Another process may have recorded what came too late here.
    outcome.refused.retain(|line, _| !books.holds(*line));
    // After a stop, what is stored so far has to be right all the same.
    let due: Vec<Purchase> = wanted
        .iter()
        .filter(|purchase| !outcome.interrupted || books.holds(purchase.line))
        .copied()
        .collect();
    let (problems, expected) = audit(&books, input, &due, &outcome.refused);
    let name = options.store.to_string();
    Ok(Summary {
        status: match (problems.count, outcome.interrupted) {
            (0, false) => Status::Complete,
            (0, true) => Status::Interrupted,
            _ => Status::Mismatch,
        },
        input: InputSummary::of(input, wanted.len()),
        run: RunSummary::of(name, options.concurrency, already_there, &outcome),
        report: Report::of(&books),
        check: CheckSummary::of(problems, expected),
    })
}

/// A store belongs to the input that was replayed into it first.
fn check_claim(options: &Options, input: &Input, books: &Books) -> Result<(), ShopError> {
    let store = || options.store.to_string();
    match books.import {
        Some(held) if held != input.id => Err(ShopError::OtherInput {
            store: store(),
            held,
            wanted: input.id,
        }),
        None if !books.entries.is_empty() => Err(ShopError::Unclaimed { store: store() }),
        _ => Ok(()),
    }
}

fn announce(options: &Options, input: &Input, wanted: u64, already_there: u64) {
    let all = input.purchases.len() as u64;
    let part = if wanted < all {
        format!(", the first {} of them", grouped(wanted))
    } else {
        String::new()
    };
    say(&format!(
        "input  {}: {}{part}",
        input.source,
        counted(all, "purchase")
    ));
    if input.bad_lines > 0 {
        let lines = counted(input.bad_lines as u64, "broken line");
        say(&format!("       left out {lines}:"));
        for bad in &input.first_bad {
            say(&format!("         {bad}"));
        }
        if input.bad_lines > input.first_bad.len() {
            say(&format!(
                "         and {} more",
                input.bad_lines - input.first_bad.len()
            ));
        }
    }
    let there = match already_there {
        0 => String::new(),
        n if n == wanted => ": all is there".to_owned(),
        n => format!(
            ": {} of {} are there, going on",
            grouped(n),
            grouped(wanted)
        ),
    };
    say(&format!("store  {}{there}", options.store));
}

/// Says how it ended, on standard output.
fn finish(summary: &Summary, options: &Options) -> ExitCode {
    let text = if options.json {
        serde_json::to_string(summary).map_err(|_| ShopError::Bug("the summary is not JSON"))
    } else {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let colors = io::stdout().is_terminal() && !plain;
        page::of(summary, Ink { colors }).map_err(|_| ShopError::Bug("the report is not text"))
    };
    if let Err(error) = text.and_then(|text| print(&text)) {
        fail(&error, options);
        return ExitCode::FAILURE;
    }
    match summary.status {
        Status::Complete => ExitCode::SUCCESS,
        Status::Interrupted => {
            say(if options.store.stays() {
                "Stopped. What is recorded stays; run the same command again to go on."
            } else {
                "Stopped. The store was for this run only and is gone."
            });
            ExitCode::from(INTERRUPTED)
        }
        Status::Mismatch => {
            say("The log and the input differ, see above.");
            ExitCode::FAILURE
        }
    }
}

/// A pipe that was closed early is the reader's business and no error.
fn print(text: &str) -> Result<(), ShopError> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(ShopError::System {
            doing: "writing the report",
            source: error,
        }),
        _ => Ok(()),
    }
}

fn fail(error: &ShopError, options: &Options) {
    let text = chain(error);
    let _ = writeln!(io::stderr(), "error: {text}");
    if error.is_midway() {
        let store = &options.store;
        let _ = if store.stays() {
            writeln!(
                io::stderr(),
                "What is recorded in {store} stays. Run the same command again to go on."
            )
        } else {
            writeln!(io::stderr(), "The store was for this run only and is gone.")
        };
    }
    if options.json {
        let object = serde_json::json!({ "status": "failed", "error": text });
        let _ = writeln!(io::stdout(), "{object}");
    }
}

/// A store that can be closed.
enum Opened {
    Memory(InMemoryEventStore),
    Sqlite(SqliteEventStore),
    /// With the server, if it is ours: it lives as long as this.
    Postgres(PostgresEventStore, Option<TempPostgres>),
}

impl Opened {
    async fn open(choice: &StoreChoice) -> Result<Self, ShopError> {
        let failed = |source| ShopError::Open {
            store: choice.to_string(),
            source,
        };
        Ok(match choice {
            StoreChoice::Memory => Self::Memory(InMemoryEventStore::new()),
            StoreChoice::Sqlite(path) => {
                Self::Sqlite(SqliteEventStore::open(path).await.map_err(failed)?)
            }
            StoreChoice::Postgres(url) => {
                Self::Postgres(postgres(url).await.map_err(failed)?, None)
            }
            StoreChoice::TemporaryPostgres => {
                let (server, url) = temporary_postgres().await.map_err(failed)?;
                Self::Postgres(postgres(&url).await.map_err(failed)?, Some(server))
            }
        })
    }

    fn events(&self) -> Arc<dyn EventStore> {
        match self {
            Self::Memory(store) => Arc::new(store.clone()),
            Self::Sqlite(store) => Arc::new(store.clone()),
            Self::Postgres(store, _) => Arc::new(store.clone()),
        }
    }

    async fn close(self) {
        match self {
            Self::Memory(_) => {}
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store, server) => {
                store.close().await;
                drop(server);
            }
        }
    }
}

/// A database, with the tables made in it if they are not there.
async fn postgres(url: &str) -> Result<PostgresEventStore, StoreError> {
    let options = PostgresOptions::new();
    PostgresEventStore::migrate(url, &options).await?;
    PostgresEventStore::connect(url, options).await
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
