//! Which store to use, by its name.

use std::{fmt, path::PathBuf, str::FromStr};

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
    /// Nothing to look at.
    #[error(
        "this store is made for one run and gone after it; name one that stays, such as `sqlite:shop.db`"
    )]
    Fleeting,
}

/// A store that is there after the run that made it.
pub(crate) fn lasting(text: &str) -> Result<StoreChoice, StoreChoiceError> {
    let store: StoreChoice = text.parse()?;
    if store.stays() {
        Ok(store)
    } else {
        Err(StoreChoiceError::Fleeting)
    }
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
    fn only_a_store_that_stays_is_lasting() {
        assert!(lasting("sqlite:shop.db").is_ok());
        for text in ["memory", "postgres"] {
            assert_eq!(lasting(text), Err(StoreChoiceError::Fleeting), "{text}");
        }
    }
}
