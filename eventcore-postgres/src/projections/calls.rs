//! How the statements of projections travel.

use std::time::Duration;

use eventcore::{
    projection::{Lease, ProjectionId, ProjectionStoreError},
    store::StoreError,
};
use sqlx::{AssertSqlSafe, postgres::PgRow};

pub(super) use crate::mode::Statement;
use crate::{
    errors::store_error,
    options::SchemaName,
    sessions::{Session, Sessions},
};

/// Longer than any process lives; a lease for ever would overflow the clock.
const AGES: Duration = Duration::from_hours(24 * 365 * 100);

/// The connections, and how statements are written and sent.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) sessions: Sessions,
    pub(super) schema: SchemaName,
}

impl Calls {
    /// A statement with the schema's name in the places for it.
    pub(super) fn sql(&self, text: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(self.schema.fill(text))
    }

    pub(super) async fn take(&self, operation: &'static str) -> Result<Session, StoreError> {
        let taken = self.sessions.take().await;
        taken.map_err(|error| store_error(operation, error))
    }

    /// After a call: the connection goes back, or away.
    pub(super) fn done<T>(
        &self,
        operation: &'static str,
        session: Session,
        result: Result<T, sqlx::Error>,
    ) -> Result<T, ProjectionStoreError> {
        self.sessions.done(session, &result);
        result.map_err(|error| store_error(operation, error).into())
    }

    /// One statement that only reads.
    pub(super) async fn read(
        &self,
        session: &mut Session,
        statement: Statement<'_>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        session.mode().read(session, statement).await
    }

    /// One statement that writes: committed when this is back.
    pub(super) async fn write(
        &self,
        session: &mut Session,
        statement: Statement<'_>,
    ) -> Result<PgRow, sqlx::Error> {
        session.mode().write(session, statement).await
    }
}

/// Binds a projection as $1 and $2.
pub(super) fn of_projection<'q>(
    statement: Statement<'q>,
    projection: &'q ProjectionId,
) -> Statement<'q> {
    statement
        .bind(projection.name.as_str())
        .bind(i64::from(projection.version))
}

/// Binds what a lease is for as $1 to $3, and its epoch as $4.
pub(super) fn of_lease<'q>(statement: Statement<'q>, lease: &'q Lease) -> Statement<'q> {
    of_projection(statement, &lease.projection)
        .bind(partition_number(lease.partition))
        .bind(lease.epoch.cast_signed())
}

/// A value that no call of ours wrote.
pub(super) fn decode(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

/// The version of a projection, and other small numbers, from their columns.
pub(super) fn small(number: i64) -> Result<u32, sqlx::Error> {
    u32::try_from(number).map_err(decode)
}

/// The number of a partition as the database has it. There are at most 256.
pub(super) fn partition_number(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

/// How long a lease lasts, in microseconds.
pub(super) fn micros(ttl: Duration) -> i64 {
    i64::try_from(ttl.min(AGES).as_micros()).unwrap_or(i64::MAX)
}

/// A text as the database takes it: it has no NUL.
pub(super) fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
