//! Connections to the file, set up alike.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use eventcore::store::{StoreError, StoreErrorKind};
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use crate::{Durability, SqliteOptions, errors::store_error, schema::Tables};

const OPERATION: &str = "open the store";

/// The connection that writes; makes file and tables where they are not there.
pub(crate) fn writer(options: &SqliteOptions, tables: &Tables) -> Result<Connection, StoreError> {
    check_path(options)?;
    let mut connection = open(options, options.read_only)?;
    let pragma = |name: &str, value: &str| {
        connection
            .pragma_update(None, name, value)
            .map_err(|error| store_error(OPERATION, error))
    };
    if options.read_only {
        if !tables.check(&connection)? {
            return Err(no_store(&options.path));
        }
        return Ok(connection);
    }
    if connection
        .is_readonly("main")
        .map_err(|error| store_error(OPERATION, error))?
    {
        let path = options.path.display();
        return Err(StoreError::new(
            OPERATION,
            StoreErrorKind::ReadOnly,
            format!(
                "`{path}` cannot be written; open it with `SqliteOptions::read_only` to read it"
            ),
        ));
    }
    pragma("journal_mode", "WAL")?;
    pragma(
        "synchronous",
        match options.durability {
            Durability::PowerCut => "FULL",
            Durability::ProcessCrash => "NORMAL",
        },
    )?;
    pragma("foreign_keys", "ON")?;
    if let Some(bytes) = options.max_bytes {
        let page_size: i64 = connection
            .pragma_query_value(None, "page_size", |row| row.get(0))
            .map_err(|error| store_error(OPERATION, error))?;
        let pages = bytes.div_ceil(page_size.max(512).unsigned_abs()).max(1);
        pragma("max_page_count", &pages.to_string())?;
    }
    tables.prepare(&mut connection)?;
    // From here on `begin_immediate` does the waiting.
    connection
        .busy_timeout(Duration::from_millis(1))
        .map_err(|error| store_error(OPERATION, error))?;
    Ok(connection)
}

/// How long a writer sleeps before it asks again for a file that another connection writes to. SQLite's own waiting
/// grows to a tenth of a second, and then loses every race against somebody who writes all the time.
const NAP: Duration = Duration::from_micros(500);

/// Begins a transaction that may write, when nobody else does; waits until the time is up or the caller gives up.
///
/// The only place where a writer waits for others: in WAL mode whoever has begun like this meets nobody on the way.
pub(crate) fn begin_immediate<'c>(
    connection: &'c Connection,
    until: Instant,
    gave_up: &dyn Fn() -> bool,
) -> Result<Transaction<'c>, rusqlite::Error> {
    loop {
        match Transaction::new_unchecked(connection, TransactionBehavior::Immediate) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && Instant::now() < until
                    && !gave_up() =>
            {
                thread::sleep(NAP);
            }
            done => return done,
        }
    }
}

/// A connection that only reads.
pub(crate) fn reader(options: &SqliteOptions) -> Result<Connection, StoreError> {
    let connection = open(options, options.read_only)?;
    connection
        .pragma_update(None, "query_only", "ON")
        .map_err(|error| store_error(OPERATION, error))?;
    Ok(connection)
}

fn open(options: &SqliteOptions, read_only: bool) -> Result<Connection, StoreError> {
    let failed = |error| {
        let path = options.path.display();
        let cause = store_error(OPERATION, error);
        StoreError::new(OPERATION, cause.kind(), format!("`{path}`")).with_source(cause)
    };
    // No SQLITE_OPEN_URI: a path is a path, whatever characters it has.
    let mut flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if read_only {
        flags |= OpenFlags::SQLITE_OPEN_READ_ONLY;
    } else {
        flags |= OpenFlags::SQLITE_OPEN_READ_WRITE;
        if options.create {
            flags |= OpenFlags::SQLITE_OPEN_CREATE;
        }
    }
    let connection = Connection::open_with_flags(&options.path, flags).map_err(failed)?;
    connection
        .busy_timeout(options.busy_timeout)
        .map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(256);
    // 16 MiB of pages per connection.
    connection
        .pragma_update(None, "cache_size", -16_384)
        .map_err(failed)?;
    // The first look at the file, so that one that is no database is named here.
    connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
        .map_err(failed)?;
    Ok(connection)
}

fn check_path(options: &SqliteOptions) -> Result<(), StoreError> {
    let path = &options.path;
    let shown = path.display();
    let access = |text: String| Err(StoreError::new(OPERATION, StoreErrorKind::Access, text));
    if path.as_os_str().is_empty() || path.as_os_str() == ":memory:" {
        return access(format!(
            "`{shown}` is not a file; for a store in memory use eventcore-memory"
        ));
    }
    if path.is_dir() {
        return access(format!("`{shown}` is a folder, a file is needed"));
    }
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        && !folder.is_dir()
    {
        return access(format!(
            "there is no folder `{}` for `{shown}`",
            folder.display()
        ));
    }
    if !path.exists() && (options.read_only || !options.create) {
        return access(format!("there is no file `{shown}`"));
    }
    Ok(())
}

fn no_store(path: &Path) -> StoreError {
    StoreError::new(
        OPERATION,
        StoreErrorKind::Schema,
        format!("`{}` holds no events of eventcore", path.display()),
    )
}
