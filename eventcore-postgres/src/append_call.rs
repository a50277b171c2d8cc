//! The one call that appends a group of batches.

use eventcore::{
    GlobalPosition, StreamVersion,
    store::{AppendBatch, AppendReceipt, AppendedEvent, Conflict, StreamConflict},
};
use sqlx::{AssertSqlSafe, PgConnection, Row};
use uuid::Uuid;

use crate::{connection::Mode, options::SchemaName};

/// What the function says of one batch.
#[derive(Debug)]
pub(crate) enum Judged {
    Appended(AppendReceipt),
    Conflict(Conflict),
    /// Its key is there already: the receipt is to be looked up.
    Known,
}

/// The statement, written once per store.
#[derive(Clone, Debug)]
pub(crate) struct AppendCall {
    sql: String,
    mode: Mode,
}

/// A key's place in the table: UUIDs as they are, other texts by digest, with the text beside it for people.
pub(crate) fn key_id(key: &str) -> (Uuid, Option<&str>) {
    match Uuid::try_parse(key) {
        // Only the usual way of writing, so that two texts never share a row.
        Ok(uuid) if uuid.hyphenated().to_string() == key => (uuid, None),
        _ => (
            Uuid::new_v5(&Uuid::NAMESPACE_OID, key.as_bytes()),
            Some(key),
        ),
    }
}

#[derive(Default)]
struct Arrays<'b> {
    e_batch: Vec<i32>,
    e_stream: Vec<&'b str>,
    e_version: Vec<i64>,
    n_batch: Vec<i32>,
    n_stream: Vec<&'b str>,
    n_version: Vec<i64>,
    n_type: Vec<&'b str>,
    n_schema: Vec<i64>,
    n_id: Vec<Uuid>,
    n_payload: Vec<&'b [u8]>,
    b_key: Vec<Option<Uuid>>,
    b_key_text: Vec<Option<&'b str>>,
    b_fingerprint: Vec<Option<Uuid>>,
    b_correlation: Vec<Uuid>,
    b_causation: Vec<Option<Uuid>>,
    b_recorded: Vec<i64>,
    b_metadata: Vec<Option<&'b str>>,
    b_events: Vec<i32>,
}

impl<'b> Arrays<'b> {
    /// Batches are numbered from 1, as arrays are in SQL.
    fn add(&mut self, batch: &'b AppendBatch) {
        let number = i32::try_from(self.b_events.len() + 1).unwrap_or(i32::MAX);
        let mut versions = Vec::with_capacity(batch.expectations().len());
        for expected in batch.expectations() {
            self.e_batch.push(number);
            self.e_stream.push(expected.stream.as_str());
            self.e_version.push(expected.version.to_i64());
            versions.push(expected.version.to_i64());
        }
        for event in batch.events() {
            // A version near the end of all numbers is never there; the server is to say so.
            versions[event.stream] = versions[event.stream].saturating_add(1);
            self.n_batch.push(number);
            self.n_stream.push(batch.stream_of(event).as_str());
            self.n_version.push(versions[event.stream]);
            self.n_type.push(event.event.event_type().as_str());
            self.n_schema.push(event.event.schema().get().into());
            self.n_id.push(event.id.into());
            self.n_payload.push(event.event.payload().as_bytes());
        }
        let key = batch
            .idempotency()
            .map(|idempotency| key_id(idempotency.key.as_str()));
        self.b_key.push(key.map(|(id, _)| id));
        self.b_key_text.push(key.and_then(|(_, text)| text));
        self.b_fingerprint.push(
            batch
                .idempotency()
                .map(|idempotency| idempotency.fingerprint),
        );
        self.b_correlation.push(batch.correlation_id().into());
        self.b_causation.push(batch.causation_id().map(Uuid::from));
        self.b_recorded.push(batch.recorded_at().unix_micros());
        self.b_metadata.push(batch.metadata().map(|text| &**text));
        self.b_events
            .push(i32::try_from(batch.events().len()).unwrap_or(i32::MAX));
    }
}

impl AppendCall {
    pub(crate) fn new(schema: &SchemaName, mode: Mode) -> Self {
        let sql = schema.fill(
            "SELECT base, known, stale, actual FROM {schema}.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, \
             $12, $13, $14, $15, $16, $17, $18)",
        );
        Self { sql, mode }
    }

    /// Sends the group: when the answer is here, it is committed.
    pub(crate) async fn run(
        &self,
        connection: &mut PgConnection,
        batches: &[&AppendBatch],
    ) -> Result<Vec<Judged>, sqlx::Error> {
        let mut arrays = Arrays::default();
        for batch in batches {
            arrays.add(batch);
        }
        let statement = sqlx::query(AssertSqlSafe(self.sql.as_str()))
            .bind(&arrays.e_batch)
            .bind(&arrays.e_stream)
            .bind(&arrays.e_version)
            .bind(&arrays.n_batch)
            .bind(&arrays.n_stream)
            .bind(&arrays.n_version)
            .bind(&arrays.n_type)
            .bind(&arrays.n_schema)
            .bind(&arrays.n_id)
            .bind(&arrays.n_payload)
            .bind(&arrays.b_key)
            .bind(&arrays.b_key_text)
            .bind(&arrays.b_fingerprint)
            .bind(&arrays.b_correlation)
            .bind(&arrays.b_causation)
            .bind(&arrays.b_recorded)
            .bind(&arrays.b_metadata)
            .bind(&arrays.b_events);
        let row = self.mode.append(connection, statement).await?;
        let verdict = Verdict {
            base: row.try_get(0)?,
            known: row.try_get(1)?,
            stale: row.try_get(2)?,
            actual: row.try_get(3)?,
        };
        Ok(verdict.of_each(batches))
    }
}

struct Verdict {
    base: i64,
    known: Vec<i32>,
    stale: Vec<i64>,
    actual: Vec<i64>,
}

impl Verdict {
    fn of_each(&self, batches: &[&AppendBatch]) -> Vec<Judged> {
        let mut position = GlobalPosition::try_from(self.base).unwrap_or_default();
        let mut ordinal = 0;
        let mut judged = Vec::with_capacity(batches.len());
        for (number, batch) in (1..).zip(batches) {
            let first = ordinal;
            ordinal += i64::try_from(batch.expectations().len()).unwrap_or(i64::MAX);
            if self.known.contains(&number) {
                judged.push(Judged::Known);
                continue;
            }
            let moved = self
                .stale
                .iter()
                .zip(&self.actual)
                .filter_map(|(&at, &actual)| {
                    let index = usize::try_from(at - first - 1).ok()?;
                    let expected = batch.expectations().get(index)?;
                    Some(StreamConflict {
                        stream: expected.stream.clone(),
                        expected: expected.version,
                        actual: StreamVersion::try_from(actual).unwrap_or_default(),
                    })
                });
            let moved: Vec<_> = if self.stale.is_empty() {
                Vec::new()
            } else {
                moved.collect()
            };
            judged.push(match Conflict::new(moved) {
                Some(conflict) => Judged::Conflict(conflict),
                None => Judged::Appended(receipt(batch, &mut position)),
            });
        }
        judged
    }
}

fn receipt(batch: &AppendBatch, position: &mut GlobalPosition) -> AppendReceipt {
    let mut versions: Vec<StreamVersion> = batch
        .expectations()
        .iter()
        .map(|expected| expected.version)
        .collect();
    let mut events = Vec::with_capacity(batch.events().len());
    for event in batch.events() {
        *position = position.advanced(1);
        versions[event.stream] = versions[event.stream].advanced(1);
        events.push(AppendedEvent {
            id: event.id,
            stream: batch.stream_of(event).clone(),
            version: versions[event.stream],
            position: *position,
        });
    }
    AppendReceipt {
        events,
        correlation_id: batch.correlation_id(),
        replayed: false,
    }
}
