//! Pages of the log, and receipts.

use eventcore::{
    CorrelationId, EventFilter, EventId, GlobalPosition, StreamId, StreamVersion,
    store::{AppendReceipt, AppendedEvent, KeptReceipt, Page, ReadError, StreamFilter},
};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::{
    append_call::{key_id, older_key_id},
    options::SchemaName,
    read_call::{Bounds, fetch_large, large},
    row::{COLUMNS, Found, Rows, columns_within, size_of},
    sessions::Session,
};

/// The most rows looked at for one page, where no index decides.
const WINDOW: i64 = 50_000;

/// The statements that read the log.
#[derive(Clone, Debug)]
pub(crate) struct PageCall {
    schema: SchemaName,
    large: String,
}

/// The bytes up to which an event comes with its row, at least.
const SMALL: usize = 2048;

impl PageCall {
    pub(crate) fn new(schema: &SchemaName) -> Self {
        Self {
            schema: schema.clone(),
            large: large(schema),
        }
    }

    /// One page, and the end of the log, from one snapshot.
    pub(crate) async fn run(
        &self,
        session: &mut Session,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: usize,
    ) -> Result<Result<Page, ReadError>, sqlx::Error> {
        let types: Option<Vec<&str>> = filter
            .get_types()
            .map(|types| types.iter().map(eventcore::EventType::as_str).collect());
        let (mut exact, mut prefix): (Option<Vec<&str>>, Option<&str>) = (None, None);
        match filter.get_streams() {
            StreamFilter::Exact(streams) => {
                exact = Some(streams.iter().map(StreamId::as_str).collect());
            }
            StreamFilter::Prefix(literal) => prefix = Some(literal.as_str()),
            _ => {}
        }
        let category = prefix
            .and_then(|prefix| prefix.split_once(':'))
            .map(|(name, _)| name);
        let indexed = exact.is_some() || types.is_some() || category.is_some();
        // Where no index decides, a stretch of the log is looked at and not more.
        let until = if indexed {
            i64::MAX
        } else {
            after.to_i64().saturating_add(WINDOW)
        };
        let by_type = types.is_some() && exact.is_none() && category.is_none();
        let one_type = types.as_ref().is_some_and(|types| types.len() == 1);
        let sql = self.sql(
            by_type && !one_type,
            &[
                (by_type && !one_type, " AND e.type = t.type"),
                (one_type, " AND e.type = ($4::text[])[1]"),
                (
                    types.is_some() && !by_type && !one_type,
                    " AND e.type = ANY ($4)",
                ),
                (exact.is_some(), " AND e.stream = ANY ($5)"),
                (prefix.is_some(), " AND starts_with(e.stream, $6)"),
                (category.is_some(), " AND split_part(e.stream, ':', 1) = $7"),
            ],
        );
        let statement = sqlx::query(AssertSqlSafe(sql))
            .bind(after.to_i64())
            .bind(until)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .bind(types.unwrap_or_default())
            .bind(exact.unwrap_or_default())
            .bind(prefix.unwrap_or_default())
            .bind(category.unwrap_or_default())
            .bind(i64::try_from((Page::MAX_BYTES / limit.max(1)).max(SMALL)).unwrap_or(i64::MAX));
        let mode = session.mode();
        let found = mode.read(session, statement).await?;
        let mut end = GlobalPosition::START;
        let mut rows = Rows::default();
        let mut events = Vec::with_capacity(found.len());
        for row in &found {
            if let Some(head) = row.try_get_unchecked::<Option<i64>, _>(0)? {
                end = GlobalPosition::try_from(head).unwrap_or_default();
                continue;
            }
            match rows.found_with_stream(row, 1) {
                Ok(event) => events.push(event),
                Err(error) => return Ok(Err(error)),
            }
        }
        // The parts of a UNION ALL come one after the other; it costs nothing not to rely on it.
        if !events.is_sorted_by_key(Found::position) {
            events.sort_by_key(Found::position);
        }
        let mut bounds = Bounds::new(Page::MAX_BYTES, Page::MAX_BYTES);
        let found = events.len();
        events.truncate(bounds.count(events.iter()));
        let full = events.len() == limit || events.len() < found;
        let events = match fetch_large(&self.large, mode, session, &mut rows, events).await? {
            Ok(events) => events,
            Err(error) => return Ok(Err(error)),
        };
        let looked_at = GlobalPosition::try_from(until)
            .unwrap_or(end)
            .min(end)
            .max(after);
        let next = match events.last() {
            Some(last) if full => last.position(),
            _ => looked_at,
        };
        Ok(Ok(Page {
            at_end: next >= end,
            events,
            next,
        }))
    }

    /// The end of the log in a row of its own, and the events behind it, from one snapshot.
    fn sql(&self, by_types: bool, conditions: &[(bool, &str)]) -> String {
        let mut wanted = String::from("e.position > $1 AND e.position <= $2");
        for (given, condition) in conditions {
            if *given {
                wanted.push_str(condition);
            }
        }
        let mut page = format!(
            "SELECT e.*, {size} AS size FROM {{schema}}.events e WHERE {wanted} ORDER BY e.position LIMIT $3",
            size = size_of("e"),
        );
        if by_types {
            // The beginning of each type's range in its index, merged.
            page = format!(
                "SELECT m.* FROM pg_catalog.unnest($4::text[]) AS t (type) CROSS JOIN LATERAL ({page}) m
                 ORDER BY m.position LIMIT $3"
            );
        }
        let nothing = COLUMNS.map(|column| format!("NULL AS {column}")).join(", ");
        // Parameters that no condition uses are named all the same, so that every statement takes the same.
        self.schema.fill(&format!(
            "SELECT h.head, NULL AS stream, {nothing}, NULL AS size
             FROM (SELECT coalesce(max(position), 0) AS head FROM {{schema}}.events) h
             WHERE $4::text[] IS NOT NULL AND $5::text[] IS NOT NULL AND $6::text IS NOT NULL AND $7::text IS NOT NULL
             UNION ALL SELECT NULL, p.stream, {columns} FROM ({page}) p",
            columns = columns_within("p", "p.size <= $8"),
        ))
    }
}

/// The statement that finds what a key appended.
#[derive(Clone, Debug)]
pub(crate) struct ReceiptCall {
    sql: String,
}

impl ReceiptCall {
    pub(crate) fn new(schema: &SchemaName) -> Self {
        let sql = schema.fill(
            "SELECT c.fingerprint, c.correlation_id, e.position, e.id, e.stream, e.version
             FROM {schema}.commands c
             LEFT JOIN {schema}.events e
                 ON e.position >= c.first_position AND e.position < c.first_position + c.events
             WHERE (c.key = $1 AND c.key_text IS NOT DISTINCT FROM $2) OR (c.key = $3 AND c.key_text IS NULL)
             ORDER BY e.position",
        );
        Self { sql }
    }

    pub(crate) async fn run(
        &self,
        session: &mut Session,
        key: &str,
    ) -> Result<Option<KeptReceipt>, sqlx::Error> {
        let (id, text) = key_id(key);
        let statement = sqlx::query(AssertSqlSafe(self.sql.as_str()))
            .bind(id)
            .bind(text)
            .bind(older_key_id(key));
        let mode = session.mode();
        let found = mode.read(session, statement).await?;
        let Some(first) = found.first() else {
            return Ok(None);
        };
        let decode = |error: Box<dyn std::error::Error + Send + Sync>| sqlx::Error::Decode(error);
        let mut events = Vec::with_capacity(found.len());
        for row in &found {
            let Some(position) = row.try_get::<Option<i64>, _>(2)? else {
                continue;
            };
            events.push(AppendedEvent {
                id: EventId::try_from(row.try_get::<Uuid, _>(3)?).map_err(|e| decode(e.into()))?,
                stream: StreamId::try_new(row.try_get::<&str, _>(4)?)
                    .map_err(|e| decode(e.into()))?,
                version: StreamVersion::try_from(row.try_get::<i64, _>(5)?)
                    .map_err(|e| decode(e.into()))?,
                position: GlobalPosition::try_from(position).map_err(|e| decode(e.into()))?,
            });
        }
        Ok(Some(KeptReceipt {
            fingerprint: first.try_get(0)?,
            receipt: AppendReceipt {
                events,
                correlation_id: CorrelationId::from(first.try_get::<Uuid, _>(1)?),
                replayed: true,
            },
        }))
    }
}
