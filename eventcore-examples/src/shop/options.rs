//! The command line.

use std::{fmt, path::PathBuf, str::FromStr};

use clap::Parser;

/// Replays real purchases through a store of events and reports what the store then holds.
///
/// Each purchase is one command over two streams: the customer's, which decides about loyalty, and the day's ledger,
/// which all purchases of that day want. Running it again goes on where the last run stopped, and records nothing
/// twice.
#[derive(Clone, Debug, Parser)]
#[command(name = "shop", version, after_help = AFTER)]
pub struct Options {
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

    /// Write one JSON object to standard output, for machines.
    #[arg(long)]
    pub json: bool,
}

const AFTER: &str = "\
Examples:
  shop                                  replay 69,659 purchases into shop.db
  shop --store memory --concurrency 1   nothing on disk, one command after the other
  shop --input mine.txt.gz --store sqlite:mine.db --skip-bad

Exit codes:
  0    every purchase is stored or refused by the shop's rules, and the log says what the input says
  1    something failed, or the log and the input differ
  2    the command line is wrong
  130  stopped by Ctrl-C; run it again to go on";

/// Which store to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreChoice {
    /// In memory, gone at the end.
    Memory,
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL database, by its URL.
    Postgres(String),
    /// A PostgreSQL server for this run only.
    TemporaryPostgres,
}

impl StoreChoice {
    /// Whether what is stored is there after the run.
    pub fn stays(&self) -> bool {
        matches!(self, Self::Sqlite(_) | Self::Postgres(_))
    }
}

/// What is wrong with the name of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreChoiceError {
    /// Not one of ours.
    #[error(
        "a store is `memory`, `sqlite:PATH`, such as `sqlite:shop.db`, `postgres:URL`, or `postgres`"
    )]
    Unknown,
    /// No path.
    #[error("the path is missing, such as in `sqlite:shop.db`")]
    NoPath,
    /// SQLite's own name for a database in memory.
    #[error("for a store in memory, say `memory`")]
    SqliteInMemory,
}

impl FromStr for StoreChoice {
    type Err = StoreChoiceError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "memory" => Ok(Self::Memory),
            Some(("sqlite", "")) => Err(StoreChoiceError::NoPath),
            Some(("sqlite", ":memory:")) => Err(StoreChoiceError::SqliteInMemory),
            Some(("sqlite", path)) => Ok(Self::Sqlite(path.into())),
            None if text == "postgres" => Ok(Self::TemporaryPostgres),
            // The URL itself will do.
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
                Ok(Self::Postgres(text.to_owned()))
            }
            Some(("postgres", url)) if url.starts_with("postgres") => {
                Ok(Self::Postgres(url.to_owned()))
            }
            _ if text == "sqlite" => Err(StoreChoiceError::NoPath),
            _ => Err(StoreChoiceError::Unknown),
        }
    }
}

impl fmt::Display for StoreChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            // Without what stands before the host: it may hold a password.
            Self::Postgres(url) => match url.split_once("://") {
                Some((_, rest)) => {
                    write!(
                        f,
                        "postgres:{}",
                        rest.rsplit_once('@').map_or(rest, |(_, host)| host)
                    )
                }
                None => f.write_str("postgres"),
            },
            Self::TemporaryPostgres => f.write_str("postgres"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Options as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_store_is_named_or_refused() {
        let sqlite = StoreChoice::Sqlite("a:b.db".into());
        assert_eq!("sqlite:a:b.db".parse(), Ok(sqlite));
        assert_eq!("memory".parse(), Ok(StoreChoice::Memory));
        assert_eq!("postgres".parse(), Ok(StoreChoice::TemporaryPostgres));
        for text in [
            "postgres://ann:secret@db/shop",
            "postgres:postgres://ann:secret@db/shop",
        ] {
            let store: StoreChoice = text.parse().unwrap();
            assert_eq!(
                store,
                StoreChoice::Postgres("postgres://ann:secret@db/shop".into())
            );
            assert_eq!(store.to_string(), "postgres:db/shop");
        }
        for (text, error) in [
            ("", StoreChoiceError::Unknown),
            ("Memory", StoreChoiceError::Unknown),
            ("memory:x", StoreChoiceError::Unknown),
            ("postgres:x", StoreChoiceError::Unknown),
            ("sqlite", StoreChoiceError::NoPath),
            ("sqlite:", StoreChoiceError::NoPath),
            ("sqlite::memory:", StoreChoiceError::SqliteInMemory),
        ] {
            assert_eq!(text.parse::<StoreChoice>(), Err(error), "{text}");
        }
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
}
