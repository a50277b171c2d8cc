//! Dead letters: as rows, and as columns of a commit.

use std::collections::BTreeMap;

use eventcore::{
    EventId, GlobalPosition, StreamId, Timestamp,
    projection::{DeadLetter, Fate, Lease, ProjectionId},
};
use sqlx::{Row, postgres::PgRow};
use uuid::Uuid;

use super::calls::{Calls, Statement, decode, of_projection, partition_number, small, without_nul};
use crate::sessions::Session;

/// What a unit does to letters; nothing in place of one that goes.
pub(super) type LetterChanges = BTreeMap<(GlobalPosition, u32), Option<DeadLetter>>;

const COLUMNS: &str = "position, partition, stream, event_id, fate, attempts, error, tried_at";

impl Calls {
    /// Letters after a position, by position and partition.
    pub(super) async fn letters(
        &self,
        session: &mut Session,
        projection: &ProjectionId,
        after: &GlobalPosition,
        limit: &usize,
    ) -> Result<Vec<DeadLetter>, sqlx::Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM {{schema}}.dead_letters WHERE name = $1 AND version = $2 AND position > $3
             AND position <= coalesce((
                 SELECT DISTINCT position FROM {{schema}}.dead_letters
                 WHERE name = $1 AND version = $2 AND position > $3 ORDER BY position LIMIT 1 OFFSET $4
             ) - 1, 9223372036854775807)
             ORDER BY position, partition"
        );
        let statement = of_projection(sqlx::query(self.sql(&sql)), projection)
            .bind(after.to_i64())
            .bind(i64::try_from(*limit).unwrap_or(i64::MAX));
        let rows = self.read(session, statement).await?;
        rows.iter().map(letter).collect()
    }

    /// The statement for the letters of a partition that wait.
    pub(super) fn waiting_of(&self, lease: &Lease) -> Statement<'static> {
        let sql = format!(
            "SELECT {COLUMNS} FROM {{schema}}.dead_letters
             WHERE name = $1 AND version = $2 AND partition = $3 AND fate <> 'skipped' ORDER BY position"
        );
        sqlx::query(self.sql(&sql))
            .bind(lease.projection.name.as_str().to_owned())
            .bind(i64::from(lease.projection.version))
            .bind(partition_number(lease.partition))
    }

    /// Marks what waits to be tried again; how many those are.
    pub(super) async fn replay(
        &self,
        session: &mut Session,
        projection: &ProjectionId,
    ) -> Result<u64, sqlx::Error> {
        let sql = "WITH marked AS (
                 UPDATE {schema}.dead_letters SET fate = 'replaying'
                 WHERE name = $1 AND version = $2 AND fate IN ('parked', 'behind') RETURNING 1
             ) SELECT count(*) FROM marked";
        let statement = of_projection(sqlx::query(self.sql(sql)), projection);
        let marked: i64 = self.write(session, statement).await?.try_get(0)?;
        Ok(marked.cast_unsigned())
    }
}

/// A row of [`COLUMNS`].
pub(super) fn letter(row: &PgRow) -> Result<DeadLetter, sqlx::Error> {
    let fate: &str = row.try_get(4)?;
    Ok(DeadLetter {
        position: GlobalPosition::try_from(row.try_get::<i64, _>(0)?).map_err(decode)?,
        partition: small(row.try_get::<i32, _>(1)?.into())?,
        stream: StreamId::try_new(row.try_get::<&str, _>(2)?).map_err(decode)?,
        event: EventId::try_from(row.try_get::<Uuid, _>(3)?).map_err(decode)?,
        fate: Fate::from_word(fate)
            .ok_or_else(|| decode(format!("`{fate}` is no fate of a letter")))?,
        attempts: small(row.try_get(5)?)?,
        error: row.try_get(6)?,
        at: Timestamp::from_unix_micros(row.try_get(7)?).map_err(decode)?,
    })
}

/// Letters as the columns that a commit takes. Columns of those that go are NULL.
#[derive(Debug, Default)]
pub(super) struct LetterColumns {
    positions: Vec<i64>,
    partitions: Vec<i32>,
    streams: Vec<Option<String>>,
    events: Vec<Option<Uuid>>,
    fates: Vec<Option<&'static str>>,
    attempts: Vec<Option<i64>>,
    errors: Vec<Option<String>>,
    tried: Vec<Option<i64>>,
}

impl LetterColumns {
    pub(super) fn new(changes: &LetterChanges) -> Self {
        let mut columns = Self::default();
        for ((position, partition), change) in changes {
            let letter = change.as_ref();
            columns.positions.push(position.to_i64());
            columns.partitions.push(partition_number(*partition));
            let stream = letter.map(|letter| letter.stream.as_str().to_owned());
            columns.streams.push(stream);
            columns
                .events
                .push(letter.map(|letter| letter.event.into()));
            columns
                .fates
                .push(letter.map(|letter| letter.fate.as_str()));
            let attempts = letter.map(|letter| letter.attempts.into());
            columns.attempts.push(attempts);
            let error = letter.map(|letter| without_nul(&letter.error));
            columns.errors.push(error);
            columns
                .tried
                .push(letter.map(|letter| letter.at.unix_micros()));
        }
        columns
    }

    /// Binds eight columns; NULL where there are no letters.
    pub(super) fn bind(self, statement: Statement<'_>) -> Statement<'_> {
        let some = !self.positions.is_empty();
        statement
            .bind(some.then_some(self.positions))
            .bind(some.then_some(self.partitions))
            .bind(some.then_some(self.streams))
            .bind(some.then_some(self.events))
            .bind(some.then_some(self.fates))
            .bind(some.then_some(self.attempts))
            .bind(some.then_some(self.errors))
            .bind(some.then_some(self.tried))
    }
}
