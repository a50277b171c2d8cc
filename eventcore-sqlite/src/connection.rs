//! Connections to the file, set up alike.

use std::{
    ops::{Deref, DerefMut},
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use eventcore::store::{StoreError, StoreErrorKind};
use rusqlite::{
    Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, config::DbConfig,
    types::ValueRef,
};

use crate::{
    Durability, SqliteOptions,
    errors::store_error,
    identity::{FileId, OpenFile},
    ledger::Tables,
    place::Place,
};

const OPERATION: &str = "open the store";

/// A connection, with the file that it has open.
#[derive(Debug)]
pub(crate) struct FileConnection {
    connection: Connection,
    pub(crate) file: Arc<OpenFile>,
}

impl Deref for FileConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for FileConnection {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl Drop for FileConnection {
    /// The last connection to close puts the write-ahead log into the file and unlinks the log by its name. When the
    /// files are others by now, it would unlink the log of another process: then it leaves everything as it is.
    fn drop(&mut self) {
        if self.file.check("close the store").is_err()
            && let Err(error) = self
                .connection
                .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        {
            tracing::warn!(%error, "a connection to a replaced file could not be kept from its files");
        }
    }
}

/// The connection that writes, and the file that it has open; makes file and tables where they are not there.
///
/// A file that is only read may be in any journal mode: SQLite's locks keep its readers and writers apart in each.
pub(crate) fn writer(
    options: &SqliteOptions,
    tables: &Tables,
) -> Result<FileConnection, StoreError> {
    let place = Place::find(options, OPERATION)?;
    let before = FileId::of(&place.asked).unwrap_or_default();
    let mut connection = open(options, &place, options.create)?;
    // First of all, so that a file of another application stays as it is.
    let there = tables.check(&connection)?;
    if options.read_only {
        if !there {
            let text = format!("`{}` holds no events of eventcore", place.asked.display());
            return Err(StoreError::new(OPERATION, StoreErrorKind::Schema, text));
        }
    } else {
        write_with(options, &place, &connection)?;
        tables.prepare(&mut connection)?;
        // From here on `begin_immediate` does the waiting.
        connection
            .busy_timeout(Duration::from_millis(1))
            .map_err(|error| store_error(OPERATION, error))?;
    }
    let file = Arc::new(OpenFile::opened(place, before.map(|(id, _)| id))?);
    Ok(FileConnection { connection, file })
}

/// Sets up what writing needs.
fn write_with(
    options: &SqliteOptions,
    place: &Place,
    connection: &Connection,
) -> Result<(), StoreError> {
    let failed = |error| store_error(OPERATION, error);
    let path = place.asked.display();
    if connection.is_readonly("main").map_err(failed)? {
        return Err(StoreError::new(
            OPERATION,
            StoreErrorKind::ReadOnly,
            format!(
                "`{path}` cannot be written; open it with `SqliteOptions::read_only` to read it"
            ),
        ));
    }
    let (synchronous, name) = match options.durability {
        Durability::PowerCut => ("FULL", "2"),
        Durability::ProcessCrash => ("NORMAL", "1"),
    };
    for (pragma, value, becomes) in [
        ("journal_mode", "WAL", "wal"),
        ("synchronous", synchronous, name),
        ("foreign_keys", "ON", "1"),
    ] {
        set(connection, &place.asked, pragma, value, becomes)?;
    }
    if let Some(bytes) = options.max_bytes {
        let page_size: i64 = connection
            .pragma_query_value(None, "page_size", |row| row.get(0))
            .map_err(failed)?;
        let pages = bytes.div_ceil(page_size.max(512).unsigned_abs()).max(1);
        connection
            .pragma_update(None, "max_page_count", pages.to_string())
            .map_err(failed)?;
    }
    Ok(())
}

/// Sets a pragma and reads it back: SQLite refuses some settings without an error.
fn set(
    connection: &Connection,
    path: &Path,
    pragma: &str,
    value: &str,
    becomes: &str,
) -> Result<(), StoreError> {
    let failed = |error| store_error(OPERATION, error);
    connection
        .pragma_update(None, pragma, value)
        .map_err(failed)?;
    let now = connection
        .pragma_query_value(None, pragma, |row| {
            Ok(match row.get_ref(0)? {
                ValueRef::Integer(number) => number.to_string(),
                text => text.as_str().unwrap_or_default().to_owned(),
            })
        })
        .map_err(failed)?;
    if now == becomes {
        return Ok(());
    }
    let text = format!(
        "`PRAGMA {pragma} = {value}` was refused for `{}`, it is `{now}`, and what is acknowledged could be lost; put the \
         file on a local disk whose file system has locks and shared memory",
        path.display()
    );
    Err(StoreError::new(OPERATION, StoreErrorKind::Access, text))
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

/// A connection that only reads, to the file that is open.
pub(crate) fn reader(
    options: &SqliteOptions,
    file: &Arc<OpenFile>,
) -> Result<FileConnection, StoreError> {
    file.check(OPERATION)?;
    let connection = FileConnection {
        connection: open(options, &file.place, false)?,
        file: Arc::clone(file),
    };
    set(&connection, &file.place.asked, "query_only", "ON", "1")?;
    // It may have been replaced meanwhile.
    file.check(OPERATION)?;
    Ok(connection)
}

fn open(options: &SqliteOptions, place: &Place, create: bool) -> Result<Connection, StoreError> {
    let failed = |error| {
        let path = place.asked.display();
        let cause = store_error(OPERATION, error);
        StoreError::new(OPERATION, cause.kind(), format!("`{path}`")).with_source(cause)
    };
    let mut flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if options.read_only {
        flags |= OpenFlags::SQLITE_OPEN_READ_ONLY;
    } else {
        flags |= OpenFlags::SQLITE_OPEN_READ_WRITE;
        if create {
            flags |= OpenFlags::SQLITE_OPEN_CREATE;
        }
    }
    let connection = Connection::open_with_flags(&place.file, flags).map_err(failed)?;
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use eventcore::store::StoreErrorKind;
    use rusqlite::Connection;

    use super::set;

    #[test]
    fn a_setting_that_sqlite_refuses_silently_is_an_error_that_names_it() -> rusqlite::Result<()> {
        // A database in memory has no write-ahead log.
        let connection = Connection::open_in_memory()?;
        let path = Path::new("/bank.db");
        let Err(error) = set(&connection, path, "journal_mode", "WAL", "wal") else {
            unreachable!("it is in memory");
        };
        assert_eq!(error.kind(), StoreErrorKind::Access);
        let text = error.to_string();
        assert!(
            ["journal_mode", "/bank.db", "memory", "local disk"]
                .iter()
                .all(|part| text.contains(part)),
            "{text}"
        );
        assert!(set(&connection, path, "synchronous", "FULL", "2").is_ok());
        Ok(())
    }
}
