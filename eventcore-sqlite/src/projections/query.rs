//! Queries over documents, in SQL.
//!
//! What is no JSON has no fields. Conditions compare JSON text, which the operator `->` gives as it stands in the
//! document. For the order SQLite asks `eventcore_order`, a function of this crate: its own conversions of numbers
//! are not exact to the last bit. SQLite sorts keys only, beyond its cache on the disk, so the memory for a query
//! does not grow with the documents.

use eventcore::projection::{DocumentKey, DocumentQuery, FieldPath, ProjectionName, RawDocument};
use rusqlite::{Connection, ToSql, functions::FunctionFlags, types::ValueRef};

use super::{documents, trouble::Trouble};

/// Makes the order of documents known to a connection.
pub(crate) fn teach(connection: &Connection) -> Result<(), rusqlite::Error> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("eventcore_order", 1, flags, |context| {
        Ok(match context.get_raw(0) {
            ValueRef::Text(json) => order(Some(json)),
            _ => order(None),
        })
    })
}

/// A value's place among others, as bytes that compare like the values: missing ones, `null`, booleans, numbers as
/// `f64`, texts by the bytes between their quotes, and all else.
fn order(json: Option<&[u8]>) -> Vec<u8> {
    match json {
        None => vec![0],
        Some(b"null") => vec![1],
        Some(b"false") => vec![2],
        Some(b"true") => vec![3],
        Some([b'"', text @ .., b'"']) => [&[5], text].concat(),
        Some(json @ [b'-' | b'0'..=b'9', ..]) => {
            let number = std::str::from_utf8(json).ok().and_then(|n| n.parse().ok());
            let mut key = vec![4];
            key.extend(order_of_number(number.unwrap_or_default()).to_be_bytes());
            key
        }
        Some(_) => vec![6],
    }
}

/// IEEE 754 numbers compare like their bits, once the negative ones are turned over; both zeros are one.
fn order_of_number(number: f64) -> u64 {
    let bits = (number + 0.0).to_bits();
    if bits >> 63 == 0 {
        bits | 1 << 63
    } else {
        !bits
    }
}

/// The documents of the active version that a query asks for; the caller holds a snapshot.
pub(crate) fn run(
    connection: &Connection,
    name: &ProjectionName,
    query: &DocumentQuery,
) -> Result<Vec<RawDocument>, Trouble> {
    let Some(projection) = documents::active(connection, name)? else {
        return Ok(Vec::new());
    };
    let keys = keys(connection, projection, query)?;
    let bodies = documents::load(connection, projection, &keys)?;
    let documents = keys.into_iter().zip(bodies);
    Ok(documents
        .filter_map(|(key, body)| body.map(|body| RawDocument { key, body }))
        .collect())
}

/// A field's JSON text is there, and is this one.
const CONDITION: &str = " AND CASE WHEN json_valid(body) THEN body -> ? END = ?";
const ORDER: &str = "eventcore_order(CASE WHEN json_valid(body) THEN body -> ? END)";

fn keys(
    connection: &Connection,
    projection: i64,
    query: &DocumentQuery,
) -> Result<Vec<DocumentKey>, Trouble> {
    let conditions: Vec<(String, String)> = query
        .conditions()
        .iter()
        .map(|(path, value)| (json_path(path), value.to_string()))
        .collect();
    let sort = query.sort().map(|(path, _)| json_path(path));
    let (skip, take) = query.window();
    let [skip, take] = [skip, take].map(|number| i64::try_from(number).unwrap_or(i64::MAX));

    let mut sql = "SELECT key FROM eventcore_documents WHERE projection = ?".to_owned();
    let mut values: Vec<&dyn ToSql> = vec![&projection];
    for (path, value) in &conditions {
        sql += CONDITION;
        values.extend([path as &dyn ToSql, value]);
    }
    sql += " ORDER BY ";
    if let (Some(path), Some((_, descending))) = (&sort, query.sort()) {
        sql += ORDER;
        sql += if descending { " DESC, " } else { ", " };
        values.push(path);
    }
    sql += "key LIMIT ? OFFSET ?";
    values.extend([&take as &dyn ToSql, &skip]);

    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query(&*values)?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        let key: String = row.get(0)?;
        let key = DocumentKey::try_new(key).map_err(|e| Trouble::damaged("a document's key", e))?;
        keys.push(key);
    }
    Ok(keys)
}

/// The path as SQLite writes it. No name has a quote in it, and it is bound, never part of the SQL.
fn json_path(path: &FieldPath) -> String {
    let names = path.names().iter().map(|name| format!(".\"{name}\""));
    names.fold("$".to_owned(), |path, name| path + &name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_in_order() {
        let sorted = [
            "null",
            "false",
            "true",
            "-1e999",
            "-1e300",
            "-2",
            "-1.5",
            "-1e-320",
            "0",
            "5e-324",
            "0.1",
            "0.30000000000000004",
            "1",
            "9007199254740993",
            "9007199254740994",
            "1e300",
            "\"\"",
            "\"a\"",
            "\"a b\"",
            "\"ab\"",
            "\"b\"",
            "{}",
        ];
        let keys: Vec<_> = sorted
            .iter()
            .map(|json| order(Some(json.as_bytes())))
            .collect();
        assert!(order(None) < keys[0]);
        for (index, pair) in keys.windows(2).enumerate() {
            // Both are the same `f64`.
            let same = sorted[index] == "9007199254740993";
            let wanted = if same {
                pair[0] <= pair[1]
            } else {
                pair[0] < pair[1]
            };
            assert!(wanted, "{} {}", sorted[index], sorted[index + 1]);
        }
        assert_eq!(order(Some(b"-0")), order(Some(b"0.0")));
        assert_eq!(
            order(Some(b"9007199254740992")),
            order(Some(b"9007199254740993"))
        );
        assert_eq!(order(Some(b"[1]")), order(Some(b"{}")));
    }
}
