//! Which documents a query asks for, and in which order: said in SQL.

use eventcore::projection::{DocumentKey, DocumentQuery, FieldPath, ProjectionName, RawDocument};
use sqlx::{Row, postgres::PgRow};

use super::{
    calls::{Calls, decode},
    documents::ACTIVE,
};
use crate::sessions::Session;

impl Calls {
    /// Documents of the active version that a query asks for.
    pub(super) async fn query(
        &self,
        session: &mut Session,
        name: &ProjectionName,
        query: &DocumentQuery,
    ) -> Result<Vec<RawDocument>, sqlx::Error> {
        let (skip, take) = query.window();
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let mut statement = sqlx::query(self.sql(&sql(query)))
            .bind(name.as_str())
            .bind(count(take))
            .bind(count(skip));
        for (_, value) in query.conditions() {
            statement = statement.bind(value.to_string());
        }
        let rows = self.read(session, statement).await?;
        rows.iter().map(document).collect()
    }
}

fn document(row: &PgRow) -> Result<RawDocument, sqlx::Error> {
    Ok(RawDocument {
        key: DocumentKey::try_new(row.try_get::<&str, _>(0)?).map_err(decode)?,
        body: row.try_get(1)?,
    })
}

/// The JSON text of a field. Names in a path need no quotes in SQL, and written like this an index may be made for them.
fn field(path: &FieldPath) -> String {
    format!("{{schema}}.field(d.body, '{{{}}}')", path.names().join(","))
}

fn sql(query: &DocumentQuery) -> String {
    let conditions = query.conditions().iter().zip(4..);
    let fits: Vec<String> = conditions
        .map(|((path, _), number)| format!(" AND {} = ${number}", field(path)))
        .collect();
    let fits = fits.concat();
    let found = |columns: &str| {
        format!(
            "SELECT d.key, d.body{columns} FROM {{schema}}.documents d WHERE d.projection = {ACTIVE}{fits}"
        )
    };
    let Some((path, descending)) = query.sort() else {
        return found("") + " ORDER BY d.key LIMIT $2 OFFSET $3";
    };
    let by = if descending { "DESC" } else { "ASC" };
    // Each kind of value has its rank, and within it only one of the two other terms. `OFFSET 0` has the field looked up
    // once.
    format!(
        "SELECT key, body FROM (
             SELECT *, CASE WHEN v IS NULL THEN 0 ELSE
                 CASE left(v, 1) WHEN 'n' THEN 1 WHEN 'f' THEN 2 WHEN 't' THEN 3 WHEN '\"' THEN 5
                     WHEN '[' THEN 6 WHEN '{{' THEN 6 ELSE 4 END
             END AS rank
             FROM ({} OFFSET 0) found
         ) ranked
         ORDER BY rank {by},
             CASE WHEN rank <> 4 THEN NULL
                 WHEN length(v) > 300 OR v ~ '[eE][-+]?[0-9]{{3}}' THEN {{schema}}.number(v)
                 ELSE v::float8 END {by},
             (CASE WHEN rank = 5 THEN substr(v, 2, length(v) - 2) END) COLLATE \"C\" {by},
             key
         LIMIT $2 OFFSET $3",
        found(&format!(", {} AS v", field(path)))
    )
}
