//! Documents by key.

use eventcore::projection::{DocumentKey, Lease, ProjectionName};
use sqlx::{Row, postgres::PgRow};

use super::calls::{Calls, Statement, decode};
use crate::sessions::Session;

/// What the documents of the active version of $1 are kept under.
pub(super) const ACTIVE: &str = "(
    SELECT v.id FROM {schema}.projections n
    JOIN {schema}.projection_versions v ON v.name = n.name AND v.version = n.active WHERE n.name = $1
)";

/// What the documents of version $3 of $1 are kept under.
const OF_VERSION: &str =
    "(SELECT v.id FROM {schema}.projection_versions v WHERE v.name = $1 AND v.version = $3)";

impl Calls {
    /// Documents of the active version, in the order of the keys.
    pub(super) async fn documents(
        &self,
        session: &mut Session,
        name: &ProjectionName,
        keys: &[DocumentKey],
    ) -> Result<Vec<Option<String>>, sqlx::Error> {
        let sql = self.sql(&by_key(ACTIVE));
        let statement = sqlx::query(sql).bind(name.as_str()).bind(texts(keys));
        let rows = self.read(session, statement).await?;
        in_order(keys.len(), &rows)
    }

    /// The statement for documents of the version that a lease is for.
    pub(super) fn documents_of(&self, lease: &Lease, keys: &[DocumentKey]) -> Statement<'static> {
        let keys: Vec<String> = texts(keys).into_iter().map(str::to_owned).collect();
        sqlx::query(self.sql(&by_key(OF_VERSION)))
            .bind(lease.projection.name.as_str().to_owned())
            .bind(keys)
            .bind(i64::from(lease.projection.version))
    }
}

fn texts(keys: &[DocumentKey]) -> Vec<&str> {
    keys.iter().map(DocumentKey::as_str).collect()
}

/// With LIMIT it stays one look into the index per key.
fn by_key(projection: &str) -> String {
    format!(
        "SELECT k.ordinal, d.body
         FROM (SELECT generate_subscripts($2::text[], 1) AS ordinal, unnest($2::text[]) AS key) k
         CROSS JOIN LATERAL (
             SELECT body FROM {{schema}}.documents d WHERE d.projection = {projection} AND d.key = k.key LIMIT 1
         ) d"
    )
}

/// What was found, in the order of the keys; nothing where there was nothing.
pub(super) fn in_order(keys: usize, rows: &[PgRow]) -> Result<Vec<Option<String>>, sqlx::Error> {
    let mut bodies = vec![None; keys];
    for row in rows {
        let ordinal: i32 = row.try_get(0)?;
        let index = usize::try_from(ordinal).ok().and_then(|n| n.checked_sub(1));
        let place = index.and_then(|index| bodies.get_mut(index));
        *place.ok_or_else(|| decode("a key that was not asked for"))? = Some(row.try_get(1)?);
    }
    Ok(bodies)
}
