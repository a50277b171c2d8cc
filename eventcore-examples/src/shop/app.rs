//! From the command line to the exit code.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use clap::Parser;
use eventcore::prelude::*;

use super::{
    Options, ShopError, Standing, Status, StoreChoice, Summary, Task,
    error::chain,
    page::{self, Ink},
    progress::say,
    report, run,
    stop::INTERRUPTED,
    watch,
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
        .and_then(|runtime| runtime.block_on(perform(&options)));
    result.unwrap_or_else(|error| {
        let (store, json) = match &options.task {
            None => (&options.store, options.json),
            Some(Task::Report(report)) => (&report.look.store, report.look.json),
            Some(Task::Watch(watch)) => (&watch.look.store, watch.look.json),
        };
        fail(&error, store, json);
        ExitCode::FAILURE
    })
}

async fn perform(options: &Options) -> Result<ExitCode, ShopError> {
    match &options.task {
        None => finish_run(&run(options).await?, options),
        Some(Task::Report(look)) => finish_report(&report(look).await?, look.look.json),
        Some(Task::Watch(look)) => watch(look).await.map(|()| ExitCode::SUCCESS),
    }
}

/// Says how it ended, on standard output.
fn finish_run(summary: &Summary, options: &Options) -> Result<ExitCode, ShopError> {
    tell(options.json, summary, page::of_run(summary, ink()))?;
    Ok(match summary.status {
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
            say(if summary.check.ok {
                DIFFERENT
            } else {
                "The log and the input differ, see above."
            });
            ExitCode::FAILURE
        }
    })
}

fn finish_report(standing: &Standing, json: bool) -> Result<ExitCode, ShopError> {
    tell(json, standing, page::of_standing(standing, ink()))?;
    if standing.read_models.ok == Some(false) {
        say(DIFFERENT);
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

const DIFFERENT: &str = "The read models and the log differ, see above; --rebuild makes them anew.";

fn ink() -> Ink {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    Ink {
        colors: io::stdout().is_terminal() && !plain,
    }
}

/// For machines as it is, for people as a page.
fn tell(
    json: bool,
    value: &impl Serialize,
    page: Result<String, fmt::Error>,
) -> Result<(), ShopError> {
    let text = if json {
        serde_json::to_string(value).map_err(|_| ShopError::Bug("the summary is not JSON"))
    } else {
        page.map_err(|_| ShopError::Bug("the report is not text"))
    };
    print(&text?)
}

/// A pipe that was closed early is the reader's business and no error.
pub(crate) fn print(text: &str) -> Result<(), ShopError> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(ShopError::System {
            doing: "writing the report",
            source: error,
        }),
        _ => Ok(()),
    }
}

fn fail(error: &ShopError, store: &StoreChoice, json: bool) {
    let text = chain(error);
    let _ = writeln!(io::stderr(), "error: {text}");
    if error.is_midway() {
        let _ = if store.stays() {
            writeln!(
                io::stderr(),
                "What is recorded in {store} stays. Run the same command again to go on."
            )
        } else {
            writeln!(io::stderr(), "The store was for this run only and is gone.")
        };
    }
    if json {
        let object = serde_json::json!({ "status": "failed", "error": text });
        let _ = writeln!(io::stdout(), "{object}");
    }
}
