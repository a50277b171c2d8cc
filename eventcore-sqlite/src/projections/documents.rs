//! Documents by key.

use eventcore::projection::{DocumentChange, DocumentKey, ProjectionName};
use rusqlite::{Connection, OptionalExtension, params};

use super::trouble::Trouble;

/// Documents of a version, in the order of the keys.
pub(crate) fn load(
    connection: &Connection,
    projection: i64,
    keys: &[DocumentKey],
) -> Result<Vec<Option<String>>, Trouble> {
    let mut select = connection.prepare_cached(
        "SELECT body FROM eventcore_documents WHERE projection = ?1 AND key = ?2",
    )?;
    keys.iter()
        .map(|key| {
            let body = select.query_row(params![projection, key.as_str()], |row| row.get(0));
            Ok(body.optional()?)
        })
        .collect()
}

/// Changes documents of a version; the last change of a key counts.
pub(crate) fn put(
    connection: &Connection,
    projection: i64,
    changes: &[DocumentChange],
) -> Result<(), Trouble> {
    let mut upsert = connection.prepare_cached(
        "INSERT OR REPLACE INTO eventcore_documents (projection, key, body) VALUES (?1, ?2, ?3)",
    )?;
    let mut delete = connection
        .prepare_cached("DELETE FROM eventcore_documents WHERE projection = ?1 AND key = ?2")?;
    for DocumentChange { key, body } in changes {
        match body {
            Some(body) => upsert.execute(params![projection, key.as_str(), body])?,
            None => delete.execute(params![projection, key.as_str()])?,
        };
    }
    Ok(())
}

/// The number of the version that readers see, if there is one.
pub(crate) fn active(
    connection: &Connection,
    name: &ProjectionName,
) -> Result<Option<i64>, Trouble> {
    let mut select = connection.prepare_cached(
        "SELECT projection FROM eventcore_projections WHERE name = ?1 AND active = 1",
    )?;
    Ok(select
        .query_row([name.as_str()], |row| row.get(0))
        .optional()?)
}
