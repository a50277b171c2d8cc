//! SQLite's result codes as EventCore's kinds of errors.

use std::time::Duration;

use eventcore::{
    GlobalPosition,
    store::{ReadError, StoreError, StoreErrorKind},
};
use rusqlite::{Error, ErrorCode, ffi};

/// What an operation of SQLite ran into.
pub(crate) fn store_error(operation: &'static str, error: Error) -> StoreError {
    let kind = kind(&error);
    let detail = match kind {
        StoreErrorKind::Busy => {
            "another process holds the file; try again, or raise `busy_timeout`".to_owned()
        }
        StoreErrorKind::Full => {
            "the disk, or the limit set by `max_bytes`, is full; nothing was written".to_owned()
        }
        StoreErrorKind::Corrupt => format!("{error}; restore the file from a backup"),
        _ => error.to_string(),
    };
    StoreError::new(operation, kind, detail).with_source(error)
}

fn kind(error: &Error) -> StoreErrorKind {
    let Error::SqliteFailure(failure, _) = error else {
        return StoreErrorKind::Other;
    };
    match failure.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreErrorKind::Busy,
        ErrorCode::DiskFull => StoreErrorKind::Full,
        ErrorCode::ReadOnly => StoreErrorKind::ReadOnly,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreErrorKind::Corrupt,
        ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::AuthorizationForStatementDenied => StoreErrorKind::Access,
        ErrorCode::SystemIoFailure if failure.extended_code == ffi::SQLITE_IOERR_SHORT_READ => {
            StoreErrorKind::Corrupt
        }
        _ => StoreErrorKind::Other,
    }
}

/// Whether a failed COMMIT may still come to light after a crash: its pages were on their way to the disk.
pub(crate) fn leaves_outcome_open(error: &Error) -> bool {
    matches!(error, Error::SqliteFailure(failure, _) if failure.code == ErrorCode::SystemIoFailure)
}

/// What a read ran into.
pub(crate) fn read_error(operation: &'static str, error: Error) -> ReadError {
    ReadError::Store(store_error(operation, error))
}

/// A row that no append wrote.
pub(crate) fn corrupt(
    position: GlobalPosition,
    reason: impl Into<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
) -> ReadError {
    ReadError::CorruptRecord {
        position,
        reason: reason.into(),
        source,
    }
}

/// The threads are gone.
pub(crate) fn closed(operation: &'static str) -> StoreError {
    StoreError::new(operation, StoreErrorKind::Closed, "`close` was called")
}

/// A thread has not answered in time; what it may be doing changes nothing.
pub(crate) fn stands_still(operation: &'static str, stall: Duration) -> StoreError {
    let text = format!(
        "no answer within {stall:?} (`stall_timeout`): the thread that reads stands still, or too much waits for it; is \
         the disk there?"
    );
    StoreError::new(operation, StoreErrorKind::Timeout, text)
}
