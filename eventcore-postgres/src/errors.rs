//! PostgreSQL's SQLSTATEs, and a connection's troubles, as EventCore's kinds of errors.

use eventcore::{
    GlobalPosition,
    store::{AppendError, ReadError, StoreError, StoreErrorKind},
};
use sqlx::Error;

/// What an operation ran into.
pub(crate) fn store_error(operation: &'static str, error: Error) -> StoreError {
    let (kind, remedy) = classify(&error);
    let mut detail = error.to_string();
    // What follows may be a whole statement; it is in the source.
    detail.truncate(detail.find('\n').unwrap_or(detail.len()));
    if !remedy.is_empty() {
        detail.push_str("; ");
        detail.push_str(remedy);
    }
    StoreError::new(operation, kind, detail).with_source(error)
}

fn classify(error: &Error) -> (StoreErrorKind, &'static str) {
    use StoreErrorKind as Kind;
    match error {
        Error::Database(database) => sqlstate(&database.code().unwrap_or_default()),
        Error::Io(_) | Error::Protocol(_) | Error::WorkerCrashed => (
            Kind::Unavailable,
            "the connection broke or could not be made",
        ),
        Error::Tls(_) => (
            Kind::Access,
            "TLS failed; is a `tls-` feature of the crate enabled?",
        ),
        Error::PoolTimedOut => (
            Kind::Timeout,
            "all connections of the pool are in use, or the server does not answer",
        ),
        Error::PoolClosed => (Kind::Closed, ""),
        Error::Configuration(_) => (Kind::Access, "the connection URL is not right"),
        _ => (Kind::Other, ""),
    }
}

fn sqlstate(code: &str) -> (StoreErrorKind, &'static str) {
    use StoreErrorKind as Kind;
    match code {
        // Another transaction is in the way; nothing was done.
        "40001" | "40P01" | "55P03" => (Kind::Busy, ""),
        "57014" => (
            Kind::Timeout,
            "the statement took longer than `statement_timeout`",
        ),
        // Shutting down, starting up, too many connections, a session ended for idleness.
        "57P01" | "57P02" | "57P03" | "57P05" | "53300" | "25P03" | "25P04" => {
            (Kind::Unavailable, "")
        }
        "25006" => (
            Kind::ReadOnly,
            "connect to the primary: a standby or read-only session cannot append",
        ),
        "53100" => (Kind::Full, ""),
        "28000" | "28P01" => (Kind::Access, "check user and password"),
        "3D000" => (Kind::Access, "create the database first"),
        "42501" => (
            Kind::Access,
            "the role needs rights on the schema, its tables and functions",
        ),
        "3F000" | "42P01" | "42883" => (
            Kind::Schema,
            "run `migrate` first; was the schema renamed or dropped?",
        ),
        // Of our statements: a column or relation that is not as ours are.
        "42703" | "42804" | "42809" | "42P07" | "42P10" | "42723" => (
            Kind::Schema,
            "the schema holds tables of another application or version; choose another schema, or run `migrate`",
        ),
        // Our own, see `sql/functions/append.sql`.
        "EC001" => (Kind::Replaced, "nothing was appended; open the store again"),
        "XX001" | "XX002" => (Kind::Corrupt, "restore from a backup"),
        code if code.starts_with("08") => (Kind::Unavailable, ""),
        _ => (Kind::Other, ""),
    }
}

/// Whether the server may have committed although it did not say so.
fn leaves_outcome_open(error: &Error) -> bool {
    match error {
        Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            // The session was ended by force; it may have been after the commit.
            code.starts_with("57P0") || code.starts_with("08")
        }
        Error::PoolTimedOut | Error::PoolClosed | Error::Configuration(_) | Error::Tls(_) => false,
        // The connection broke while the call was under way.
        _ => true,
    }
}

/// What an append ran into after it was sent.
pub(crate) fn append_error(error: Error) -> AppendError {
    let open = leaves_outcome_open(&error);
    let cause = store_error("append", error);
    if open {
        AppendError::OutcomeUnknown(cause)
    } else {
        cause.into()
    }
}

/// Whether a statement that reads for several callers failed for what one of them asked, as far as can be told: the others are to
/// be tried without it.
pub(crate) fn is_of_one(error: &Error) -> bool {
    let Error::Database(database) = error else {
        return false;
    };
    let (kind, _) = sqlstate(&database.code().unwrap_or_default());
    // A time-out may be that of one stream, too.
    !matches!(
        kind,
        StoreErrorKind::Unavailable | StoreErrorKind::Busy | StoreErrorKind::ReadOnly
    )
}

/// What a read ran into.
pub(crate) fn read_error(operation: &'static str, error: Error) -> ReadError {
    store_error(operation, error).into()
}

/// A row that no append wrote.
pub(crate) fn corrupt(
    position: GlobalPosition,
    reason: &str,
    source: Box<dyn std::error::Error + Send + Sync>,
) -> ReadError {
    ReadError::CorruptRecord {
        position,
        reason: reason.to_owned(),
        source: Some(source),
    }
}

/// The same cause for another of those who travelled together.
pub(crate) fn again(error: &AppendError) -> AppendError {
    match error {
        AppendError::OutcomeUnknown(cause) => AppendError::OutcomeUnknown(cause.clone()),
        AppendError::Store(cause) => cause.clone().into(),
        other => StoreError::new("append", StoreErrorKind::Other, other.to_string()).into(),
    }
}

/// The same cause for another reader.
pub(crate) fn read_again(error: &ReadError) -> ReadError {
    match error {
        ReadError::Store(cause) => cause.clone().into(),
        other => StoreError::new("read", StoreErrorKind::Other, other.to_string()).into(),
    }
}

/// `close` was called.
pub(crate) fn closed(operation: &'static str) -> StoreError {
    StoreError::new(operation, StoreErrorKind::Closed, "`close` was called")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_state_means_for_another_try() {
        for (code, kind, retriable) in [
            ("40001", StoreErrorKind::Busy, true),
            ("40P01", StoreErrorKind::Busy, true),
            ("55P03", StoreErrorKind::Busy, true),
            ("57014", StoreErrorKind::Timeout, true),
            ("57P01", StoreErrorKind::Unavailable, true),
            ("57P03", StoreErrorKind::Unavailable, true),
            ("57P05", StoreErrorKind::Unavailable, true),
            ("25P03", StoreErrorKind::Unavailable, true),
            ("53300", StoreErrorKind::Unavailable, true),
            ("08006", StoreErrorKind::Unavailable, true),
            ("25006", StoreErrorKind::ReadOnly, false),
            ("53100", StoreErrorKind::Full, false),
            ("42P01", StoreErrorKind::Schema, false),
            ("42703", StoreErrorKind::Schema, false),
            ("EC001", StoreErrorKind::Replaced, false),
            ("XX001", StoreErrorKind::Corrupt, false),
            // An application's own `RAISE EXCEPTION`.
            ("P0001", StoreErrorKind::Other, false),
            ("23505", StoreErrorKind::Other, false),
        ] {
            assert_eq!(sqlstate(code).0, kind, "{code}");
            let error = StoreError::new("append", sqlstate(code).0, code);
            assert_eq!(error.is_retriable(), retriable, "{code}");
        }
    }
}
