//! The one call that appends a group of batches.

use eventcore::{
    GlobalPosition, StreamVersion,
    store::{AppendBatch, AppendError, AppendReceipt, Conflict, StreamConflict},
};
use sqlx::{AssertSqlSafe, PgConnection, Row};
use uuid::Uuid;

use crate::{
    mode::{Mode, Statement},
    options::SchemaName,
    sessions::Session,
};

/// What the function says of one batch.
#[derive(Debug)]
pub(crate) enum Judged {
    Appended(AppendReceipt),
    Conflict(Conflict),
    /// It was appended before, by the identity of its first event.
    Before(AppendReceipt),
    /// Its key is there already: the receipt is to be looked up.
    Known,
    /// An inline read model is in the way.
    Refused(AppendError),
}

/// The statements, written once per store.
#[derive(Clone, Debug)]
pub(crate) struct AppendCall {
    /// For one batch of one event in one stream.
    one: String,
    group: String,
    /// The log that was opened; the function compares it.
    log: Uuid,
}

/// The version of UUIDs that are digests of names.
const DIGEST: usize = 5;

/// A key's place in the table: UUIDs as they are, other texts by digest, with the text beside it. A row is the key's own
/// only if its text is the same.
pub(crate) fn key_id(key: &str) -> (Uuid, Option<&str>) {
    match plain_uuid(key) {
        // What looks like a digest may be that of another text.
        Some(uuid) if uuid.get_version_num() != DIGEST => (uuid, None),
        _ => (
            Uuid::new_v5(&Uuid::NAMESPACE_OID, key.as_bytes()),
            Some(key),
        ),
    }
}

/// Where a program of schema version 3 kept this key, if elsewhere; the row has no text then.
pub(crate) fn older_key_id(key: &str) -> Option<Uuid> {
    plain_uuid(key).filter(|uuid| uuid.get_version_num() == DIGEST)
}

/// Only the usual way of writing a UUID, so that two texts never share a row.
fn plain_uuid(key: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(key).ok()?;
    (uuid.hyphenated().to_string() == key).then_some(uuid)
}

#[derive(Default)]
struct Arrays<'b> {
    e_batch: Vec<i32>,
    e_stream: Vec<&'b str>,
    e_version: Vec<i64>,
    n_expectation: Vec<i32>,
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
    b_before: Vec<i32>,
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// An array of nothing but NULLs need not travel.
fn some<T>(values: &[Option<T>]) -> Option<&[Option<T>]> {
    values.iter().any(Option::is_some).then_some(values)
}

impl<'b> Arrays<'b> {
    /// Everything is numbered from 1, as arrays are in SQL.
    fn add(&mut self, batch: &'b AppendBatch) {
        let before = self.e_batch.len() + 1;
        let mut versions = Vec::with_capacity(batch.expectations().len());
        for expected in batch.expectations() {
            self.e_batch.push(number(self.b_events.len() + 1));
            self.e_stream.push(expected.stream.as_str());
            self.e_version.push(expected.version.to_i64());
            versions.push(expected.version.to_i64());
        }
        self.b_before.push(number(self.n_id.len()));
        for event in batch.events() {
            // A version near the end of all numbers is never there; the server is to say so.
            versions[event.stream] = versions[event.stream].saturating_add(1);
            self.n_expectation.push(number(before + event.stream));
            self.n_version.push(versions[event.stream]);
            self.n_type.push(event.event.event_type().as_str());
            self.n_schema.push(event.event.schema().get().into());
            self.n_id.push(event.id.into());
            self.n_payload.push(event.event.payload().as_bytes());
        }
        let (key, fingerprint) = key_of(batch);
        self.b_key.push(key.map(|(id, _)| id));
        self.b_key_text.push(key.and_then(|(_, text)| text));
        self.b_fingerprint.push(fingerprint);
        self.b_correlation.push(batch.correlation_id().into());
        self.b_causation.push(batch.causation_id().map(Uuid::from));
        self.b_recorded.push(batch.recorded_at().unix_micros());
        self.b_metadata.push(batch.metadata().map(|text| &**text));
        self.b_events.push(number(batch.events().len()));
    }
}

type Key<'b> = (Uuid, Option<&'b str>);

fn key_of(batch: &AppendBatch) -> (Option<Key<'_>>, Option<Uuid>) {
    let idempotency = batch.idempotency();
    (
        idempotency.map(|idempotency| key_id(idempotency.key.as_str())),
        idempotency.map(|idempotency| idempotency.fingerprint),
    )
}

impl AppendCall {
    pub(crate) fn new(schema: &SchemaName, log: Uuid) -> Self {
        let call = |function: &str, parameters: u32| {
            let places: Vec<String> = (1..=parameters).map(|n| format!("${n}")).collect();
            schema.fill(&format!(
                "SELECT {{schema}}.{function}({})",
                places.join(", ")
            ))
        };
        Self {
            one: call("append_one", 15),
            group: call("append", 19),
            log,
        }
    }

    /// Sends the group: when the answer is here, it is committed. The caller watches the time.
    pub(crate) async fn run(
        &self,
        session: &mut Session,
        batches: &[&AppendBatch],
    ) -> Result<Vec<Judged>, sqlx::Error> {
        let (mode, mut arrays) = (session.mode(), Arrays::default());
        let statement = self.statement(batches, &mut arrays);
        let row = mode.write_untimed(session, statement).await?;
        Ok(Verdict(row.try_get(0)?).of_each(batches))
    }

    /// The same in a transaction at READ COMMITTED, which the caller commits.
    pub(crate) async fn run_within(
        &self,
        connection: &mut PgConnection,
        mode: Mode,
        batches: &[&AppendBatch],
    ) -> Result<Vec<Judged>, sqlx::Error> {
        let mut arrays = Arrays::default();
        let statement = self.statement(batches, &mut arrays);
        let statement = statement.persistent(mode.prepared);
        let row = mode.patiently(statement.fetch_one(connection)).await?;
        Ok(Verdict(row.try_get(0)?).of_each(batches))
    }

    fn statement<'q, 'b: 'q>(
        &'q self,
        batches: &[&'b AppendBatch],
        arrays: &'q mut Arrays<'b>,
    ) -> Statement<'q> {
        match batches {
            [batch] if batch.expectations().len() == 1 && batch.events().len() == 1 => {
                self.one(batch)
            }
            _ => {
                for batch in batches {
                    arrays.add(batch);
                }
                self.group(arrays)
            }
        }
    }

    fn one<'q>(&'q self, batch: &'q AppendBatch) -> Statement<'q> {
        let (expected, new) = (&batch.expectations()[0], &batch.events()[0]);
        let (key, fingerprint) = key_of(batch);
        sqlx::query(AssertSqlSafe(self.one.as_str()))
            .bind(expected.stream.as_str())
            .bind(expected.version.to_i64())
            .bind(expected.version.to_i64().saturating_add(1))
            .bind(new.event.event_type().as_str())
            .bind(i64::from(new.event.schema().get()))
            .bind(Uuid::from(new.id))
            .bind(new.event.payload().as_bytes())
            .bind(key.map(|(id, _)| id))
            .bind(key.and_then(|(_, text)| text))
            .bind(fingerprint)
            .bind(Uuid::from(batch.correlation_id()))
            .bind(batch.causation_id().map(Uuid::from))
            .bind(batch.recorded_at().unix_micros())
            .bind(batch.metadata().map(|text| &**text))
            .bind(self.log)
    }

    fn group<'q>(&'q self, arrays: &'q Arrays<'_>) -> Statement<'q> {
        sqlx::query(AssertSqlSafe(self.group.as_str()))
            .bind(&arrays.e_batch)
            .bind(&arrays.e_stream)
            .bind(&arrays.e_version)
            .bind(&arrays.n_expectation)
            .bind(&arrays.n_version)
            .bind(&arrays.n_type)
            .bind(&arrays.n_schema)
            .bind(&arrays.n_id)
            .bind(&arrays.n_payload)
            .bind(&arrays.b_key)
            .bind(some(&arrays.b_key_text))
            .bind(&arrays.b_fingerprint)
            .bind(&arrays.b_correlation)
            .bind(some(&arrays.b_causation))
            .bind(&arrays.b_recorded)
            .bind(some(&arrays.b_metadata))
            .bind(&arrays.b_events)
            .bind(&arrays.b_before)
            .bind(self.log)
    }
}

/// What the function returns: the position before the first new event, and pairs for what was refused.
struct Verdict(Vec<i64>);

impl Verdict {
    fn of_each(&self, batches: &[&AppendBatch]) -> Vec<Judged> {
        let (base, refused) = self.0.split_first().unwrap_or((&0, &[]));
        let mut position = GlobalPosition::try_from(*base).unwrap_or_default();
        let mut judge = |batch: &AppendBatch, refused: Option<Judged>| {
            refused.unwrap_or_else(|| {
                let receipt = batch.receipt(position);
                position = receipt.events.last().map_or(position, |last| last.position);
                Judged::Appended(receipt)
            })
        };
        if refused.is_empty() {
            return batches.iter().map(|batch| judge(batch, None)).collect();
        }
        let mut ordinal = 0;
        let mut judged = Vec::with_capacity(batches.len());
        for (number, batch) in (1..).zip(batches) {
            let first = ordinal;
            ordinal += i64::try_from(batch.expectations().len()).unwrap_or(i64::MAX);
            judged.push(judge(batch, refusal(batch, number, first, refused)));
        }
        judged
    }
}

/// Why the batch of this number was refused, if it was. Before its first expectation stood `first` of other batches.
fn refusal(batch: &AppendBatch, number: i64, first: i64, pairs: &[i64]) -> Option<Judged> {
    let mut moved = Vec::new();
    for pair in pairs.chunks_exact(2) {
        let (what, actual) = (pair[0], pair[1]);
        if what == -number {
            return Some(match GlobalPosition::try_from(actual) {
                Ok(first) if first > GlobalPosition::START => Judged::Before(batch.replayed(first)),
                _ => Judged::Known,
            });
        }
        let index = usize::try_from(what - first - 1).ok();
        if let Some(expected) = index.and_then(|index| batch.expectations().get(index)) {
            moved.push(StreamConflict {
                stream: expected.stream.clone(),
                expected: expected.version,
                actual: StreamVersion::try_from(actual).unwrap_or_default(),
            });
        }
    }
    Conflict::new(moved).map(Judged::Conflict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_has_the_place_of_another() {
        let digest = key_id("request-7").0.to_string();
        assert_ne!(key_id(&digest).0, key_id("request-7").0);
        assert_eq!(key_id(&digest).1, Some(digest.as_str()));
        assert_eq!(older_key_id(&digest), Some(key_id("request-7").0));
        let random = "3f2a9a1c-5b0e-4d5e-8f53-2a62f9f1a3b7";
        assert_eq!(key_id(random), (Uuid::try_parse(random).unwrap(), None));
        assert_eq!(older_key_id(random), None);
        assert_eq!(
            key_id(&random.to_uppercase()).1,
            Some(random.to_uppercase().as_str())
        );
    }
}
