//! What is asked of the database.

use eventcore::{
    EventId, GlobalPosition, RecordedEvent,
    projection::{Checkpoint, DocumentKey, Inline, ProjectionId, Witness},
    store::{ReadError, StoreError, StoreErrorKind},
};
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row, postgres::PgRow};
use uuid::Uuid;

use super::{
    Failure,
    pass::{Document, Pass, Standing},
};
use crate::{
    mode::Mode,
    options::SchemaName,
    row::{Rows, columns_of},
};

type Statement<'q> = sqlx::query::Query<'q, Postgres, sqlx::postgres::PgArguments>;

/// Where models stand, locked, and documents by key. With LIMIT it stays one look into the index per key.
///
/// The rows that are locked are read as they are, the documents as they were when the statement began. Between the two
/// nobody changes documents of a projection that was run inline all the time, and none can become so meanwhile: both
/// take the order lock.
const LOAD: &str = "
WITH standing AS MATERIALIZED (
    SELECT m.ordinal, v.id, p.position, p.witness_position, p.witness_id,
        coalesce(v.partitions = 1 AND p.owner_id = $3 AND p.expires_at > clock_timestamp(), false) AS owned
    FROM (
        SELECT generate_subscripts($1::text[], 1) AS ordinal, unnest($1::text[]) AS name,
            unnest($2::bigint[]) AS version
    ) m
    JOIN {schema}.projection_versions v ON v.name = m.name AND v.version = m.version
    JOIN {schema}.projection_partitions p ON p.name = v.name AND p.version = v.version AND p.partition = 0
    FOR UPDATE OF p
)
SELECT s.ordinal, s.id, s.position, s.witness_position, s.witness_id, s.owned, NULL::integer, NULL::text
FROM standing s
UNION ALL
SELECT s.ordinal, NULL, NULL, NULL, NULL, NULL, k.ordinal, d.body
FROM (
    SELECT generate_subscripts($5::text[], 1) AS ordinal, unnest($4::integer[]) AS model, unnest($5::text[]) AS key
) k
JOIN standing s ON s.ordinal = k.model
CROSS JOIN LATERAL (
    SELECT d.body FROM {schema}.documents d WHERE d.projection = s.id AND d.key = k.key LIMIT 1
) d";

/// Moves checkpoints, and writes documents.
const WRITE: &str = "
WITH moved AS (
    UPDATE {schema}.projection_partitions p
    SET position = m.position, witness_position = m.witness_position, witness_id = m.witness_id
    FROM (
        SELECT unnest($1::text[]) AS name, unnest($2::bigint[]) AS version, unnest($3::bigint[]) AS position,
            unnest($4::bigint[]) AS witness_position, unnest($5::uuid[]) AS witness_id
    ) m
    WHERE p.name = m.name AND p.version = m.version AND p.partition = 0
), gone AS (
    DELETE FROM {schema}.documents d
    USING (SELECT unnest($6::bigint[]) AS projection, unnest($7::text[]) AS key, unnest($8::text[]) AS body) n
    WHERE n.body IS NULL AND d.projection = n.projection AND d.key = n.key
)
INSERT INTO {schema}.documents AS d (projection, key, body)
SELECT n.projection, n.key, n.body
FROM (SELECT unnest($6::bigint[]) AS projection, unnest($7::text[]) AS key, unnest($8::text[]) AS body) n
WHERE n.body IS NOT NULL
ON CONFLICT (projection, key) DO UPDATE SET body = excluded.body";

/// The statements, written once per store.
#[derive(Debug)]
pub(super) struct Statements {
    schema: SchemaName,
    load: String,
    write: String,
    events: String,
    mode: Mode,
}

fn decode(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

/// An index from 0 for an ordinal from 1.
fn index(ordinal: i32) -> Option<usize> {
    usize::try_from(ordinal).ok()?.checked_sub(1)
}

fn names(models: &[Inline]) -> (Vec<&str>, Vec<i64>) {
    let id = |model: &'_ Inline| i64::from(model.id().version);
    (
        models
            .iter()
            .map(|model| model.id().name.as_str())
            .collect(),
        models.iter().map(id).collect(),
    )
}

impl Statements {
    pub(super) fn new(schema: &SchemaName, mode: Mode) -> Self {
        let columns = columns_of("e");
        Self {
            load: schema.fill(LOAD),
            write: schema.fill(WRITE),
            events: schema.fill(&format!(
                "SELECT e.stream, {columns} FROM {{schema}}.events e
                 WHERE e.position > $1 AND e.position <= $2 ORDER BY e.position"
            )),
            schema: schema.clone(),
            mode,
        }
    }

    /// One statement within the transaction.
    pub(super) async fn run(
        &self,
        connection: &mut PgConnection,
        statement: Statement<'_>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let statement = statement.persistent(self.mode.prepared);
        self.mode.patiently(statement.fetch_all(connection)).await
    }

    /// The same, for one that is not written beforehand.
    pub(super) fn sql(&self, text: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(self.schema.fill(text))
    }

    /// Reads where the models stand, unless that is known, and the documents that they want.
    pub(super) async fn load(
        &self,
        connection: &mut PgConnection,
        pass: &mut Pass<'_>,
    ) -> Result<(), sqlx::Error> {
        let mut wanted: Vec<(usize, DocumentKey)> = Vec::new();
        for (model, state) in pass.states.iter_mut().enumerate() {
            for (key, document) in &mut state.documents {
                if let Document::Wanted = document {
                    // What is not found is not there.
                    *document = Document::Loaded(None);
                    wanted.push((model, key.clone()));
                }
            }
        }
        let known = pass.states.iter().all(|state| state.standing.is_some());
        if known && wanted.is_empty() {
            return Ok(());
        }
        let (names, versions) = names(pass.models);
        let of = |(model, _): &(usize, _)| i32::try_from(model + 1).unwrap_or(i32::MAX);
        let models: Vec<i32> = wanted.iter().map(of).collect();
        let keys: Vec<&str> = wanted.iter().map(|(_, key)| key.as_str()).collect();
        let statement = sqlx::query(AssertSqlSafe(self.load.as_str()))
            .bind(names)
            .bind(versions)
            .bind(Inline::owner().id)
            .bind(models)
            .bind(keys);
        for row in &self.run(connection, statement).await? {
            let model = index(row.try_get(0)?);
            let state = model.and_then(|model| pass.states.get_mut(model));
            let state = state.ok_or_else(|| decode("a model that was not asked for"))?;
            if let Some(ordinal) = row.try_get::<Option<i32>, _>(6)? {
                let place = index(ordinal).and_then(|place| wanted.get(place));
                let (_, key) = place.ok_or_else(|| decode("a key that was not asked for"))?;
                let body = row.try_get(7)?;
                state
                    .documents
                    .insert(key.clone(), Document::Loaded(Some(body)));
            } else if state.standing.is_none() {
                state.standing = Some(standing(row)?);
            }
        }
        Ok(())
    }

    /// Writes what has changed; the commit follows.
    pub(super) async fn write(
        &self,
        connection: &mut PgConnection,
        pass: &Pass<'_>,
    ) -> Result<(), sqlx::Error> {
        let (names, versions) = names(pass.models);
        let (mut positions, mut witness_positions, mut witness_ids) = (vec![], vec![], vec![]);
        let (mut projections, mut keys, mut bodies) = (vec![], vec![], vec![]);
        for state in &pass.states {
            let Some(Standing { id, checkpoint, .. }) = &state.standing else {
                return Err(decode("a model that stands nowhere"));
            };
            positions.push(checkpoint.position.to_i64());
            witness_positions.push(checkpoint.witness.map(|it| it.position.to_i64()));
            witness_ids.push(checkpoint.witness.map(|it| Uuid::from(it.id)));
            for (key, document) in &state.documents {
                if let Document::Changed(body) = document {
                    projections.push(*id);
                    keys.push(key.as_str());
                    bodies.push(body.as_deref());
                }
            }
        }
        let statement = sqlx::query(AssertSqlSafe(self.write.as_str()))
            .bind(names)
            .bind(versions)
            .bind(positions)
            .bind(witness_positions)
            .bind(witness_ids)
            .bind(projections)
            .bind(keys)
            .bind(bodies);
        self.run(connection, statement).await.map(drop)
    }

    /// Events between two positions, without the first and with the last.
    pub(super) async fn events(
        &self,
        connection: &mut PgConnection,
        after: GlobalPosition,
        until: GlobalPosition,
    ) -> Result<Vec<RecordedEvent>, Failure> {
        let statement = sqlx::query(AssertSqlSafe(self.events.as_str()))
            .bind(after.to_i64())
            .bind(until.to_i64());
        let found = self.run(connection, statement).await?;
        let mut rows = Rows::default();
        let events = found.iter().map(|row| rows.event_with_stream(row, 0));
        let events: Vec<RecordedEvent> = events.collect::<Result<_, _>>().map_err(unread)?;
        if events.last().map(RecordedEvent::position) != Some(until) {
            let text = format!("the log has a hole between {after} and {until}");
            return Err(StoreError::new("append", StoreErrorKind::Corrupt, text).into());
        }
        Ok(events)
    }
}

fn unread(error: ReadError) -> StoreError {
    match error {
        ReadError::Store(error) => error,
        damaged => {
            let text = "events that an inline projection lacks cannot be read";
            StoreError::new("append", StoreErrorKind::Corrupt, text).with_source(damaged)
        }
    }
}

fn standing(row: &PgRow) -> Result<Standing, sqlx::Error> {
    let at = |position: i64| GlobalPosition::try_from(position).map_err(decode);
    let witness = match (
        row.try_get::<Option<i64>, _>(3)?,
        row.try_get::<Option<Uuid>, _>(4)?,
    ) {
        (Some(position), Some(id)) => Some(Witness {
            position: at(position)?,
            id: EventId::try_from(id).map_err(decode)?,
        }),
        _ => None,
    };
    Ok(Standing {
        id: row.try_get(1)?,
        checkpoint: Checkpoint {
            position: at(row.try_get(2)?)?,
            witness,
        },
        owned: row.try_get(5)?,
    })
}

/// The statement that lets runners lead again.
pub(crate) fn give_back(schema: &SchemaName, projection: &ProjectionId) -> Statement<'static> {
    let sql = schema.fill(
        "WITH given AS (
             UPDATE {schema}.projection_partitions SET owner_id = NULL, owner_label = NULL, expires_at = NULL
             WHERE name = $1 AND version = $2 AND owner_id = $3 RETURNING 1
         ) SELECT count(*) FROM given",
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(projection.name.as_str().to_owned())
        .bind(i64::from(projection.version))
        .bind(Inline::owner().id)
}
