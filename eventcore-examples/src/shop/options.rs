//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use super::{StoreChoice, store_choice::lasting};

/// Replays real purchases through a store of events and reports what the store then holds.
///
/// Each purchase is one command over two streams: the customer's, which decides about loyalty, and the day's ledger,
/// which all purchases of that day want. Running it again goes on where the last run stopped, and records nothing
/// twice. The report comes from read models, which are kept up to date while the replay runs.
#[derive(Clone, Debug, Parser)]
#[command(name = "shop", version, after_help = AFTER, args_conflicts_with_subcommands = true)]
pub struct Options {
    /// What to do instead of a replay.
    #[command(subcommand)]
    pub task: Option<Task>,

    /// Where events are stored: `memory`, `sqlite:PATH`, `postgres:URL`, or `postgres` for a server that is started for
    /// this run and thrown away.
    #[arg(long, value_name = "STORE", default_value = "sqlite:shop.db")]
    pub store: StoreChoice,

    /// The purchases, as text or packed by gzip, instead of the built-in CDNOW data.
    ///
    /// One purchase a line: customer, date, number of CDs, dollars, such as `00002 19970112 5 77.00`.
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,

    /// How many commands are in flight at once, 1 to 1024.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,

    /// Replay only the first purchases, in the order of their dates.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,

    /// Leave out lines that are no purchases and count them, instead of refusing the input.
    #[arg(long)]
    pub skip_bad: bool,

    /// Make the read models anew from the log.
    #[arg(long)]
    pub rebuild: bool,

    /// Write one JSON object to standard output, for machines.
    #[arg(long)]
    pub json: bool,
}

/// What to do instead of a replay.
#[derive(Clone, Debug, Subcommand)]
pub enum Task {
    /// Reports what a store holds, from its read models: only what is new since the last time is read from the log.
    Report(ReportOptions),
    /// Shows the figures whenever they move, while another process replays into the same store.
    Watch(WatchOptions),
}

/// How to look at a store.
#[derive(Clone, Debug, Args)]
pub struct LookOptions {
    /// Where the events are stored: `sqlite:PATH` or `postgres:URL`.
    #[arg(long, value_name = "STORE", default_value = "sqlite:shop.db", value_parser = lasting)]
    pub store: StoreChoice,

    /// Make the read models anew from the log.
    #[arg(long)]
    pub rebuild: bool,

    /// Write JSON to standard output, one object a line, for machines.
    #[arg(long)]
    pub json: bool,
}

/// How to report.
#[derive(Clone, Debug, Args)]
pub struct ReportOptions {
    /// How to look at the store.
    #[command(flatten)]
    pub look: LookOptions,

    /// Read the whole log as well, and compare.
    #[arg(long)]
    pub check: bool,
}

/// How to watch.
#[derive(Clone, Debug, Args)]
pub struct WatchOptions {
    /// How to look at the store.
    #[command(flatten)]
    pub look: LookOptions,

    /// End when nothing has moved for so long.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub until_idle: Option<Duration>,

    /// End after so long.
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<Duration>,
}

/// A time that a watch may last: `0.5`, `10`.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds > 0.0);
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| "a number of seconds above 0 is wanted, such as 0.5 or 10".to_owned())
}

const AFTER: &str = "\
Examples:
  shop                                  replay 69,659 purchases into shop.db
  shop --store memory --concurrency 1   nothing on disk, one command after the other
  shop --input mine.txt.gz --store sqlite:mine.db --skip-bad
  shop report                           what is in shop.db, from the read models in shop.db-views
  shop watch                            the same as it moves, while another `shop` replays

Exit codes:
  0    every purchase is stored or refused by the shop's rules, and the log says what the input says
  1    something failed, or the log and the input differ, or the read models and the log
  2    the command line is wrong
  130  stopped by Ctrl-C; run it again to go on";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Options as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn concurrency_has_bounds() {
        for (value, fits) in [
            ("0", false),
            ("1", true),
            ("1024", true),
            ("1025", false),
            ("-1", false),
        ] {
            let parsed = Options::try_parse_from(["shop", &format!("--concurrency={value}")]);
            assert_eq!(parsed.is_ok(), fits, "{value}");
        }
    }

    #[test]
    fn a_watch_lasts_longer_than_no_time() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "", "soon", "NaN", "inf", "1e300"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
