//! Which documents a query asks for, and in which order.

use std::cmp::Ordering;

use eventcore::projection::{DocumentKey, DocumentQuery, FieldPath, RawDocument};
use serde_json::Value;

use super::version::Documents;

/// Where a value stands among values of all kinds: missing, null, booleans, numbers, texts, all else.
#[derive(Debug, PartialEq, PartialOrd)]
enum Rank {
    Missing,
    Null,
    Boolean(bool),
    Number(f64),
    /// As it is written in JSON, which puts a quote and a backslash elsewhere than plain text would.
    Text(String),
    Other,
}

impl Rank {
    fn of(value: Option<&Value>) -> Self {
        match value {
            None => Self::Missing,
            Some(Value::Null) => Self::Null,
            Some(Value::Bool(value)) => Self::Boolean(*value),
            Some(Value::Number(number)) => number.as_f64().map_or(Self::Other, Self::Number),
            Some(Value::String(_)) => {
                let text = value.map(Value::to_string).unwrap_or_default();
                let within = 1..text.len().saturating_sub(1);
                Self::Text(text.get(within).unwrap_or_default().to_owned())
            }
            Some(Value::Array(_) | Value::Object(_)) => Self::Other,
        }
    }
}

pub(super) fn select(documents: Documents, query: &DocumentQuery) -> Vec<RawDocument> {
    let (skip, take) = query.window();
    let wanted: Vec<_> = query
        .conditions()
        .iter()
        .map(|(path, value)| (path, value.to_string()))
        .collect();
    if wanted.is_empty() && query.sort().is_none() {
        return window(documents.into_iter(), skip, take);
    }
    let chosen = documents.into_iter().filter_map(|(key, body)| {
        // What is no JSON has no fields.
        let document: Value = serde_json::from_str(&body).unwrap_or_default();
        let fits = wanted
            .iter()
            .all(|(path, value)| is_written(path, &document, value));
        let rank = || query.sort().map(|(path, _)| Rank::of(path.find(&document)));
        fits.then(|| (rank(), key, body))
    });
    let mut chosen: Vec<_> = chosen.collect();
    if let Some((_, descending)) = query.sort() {
        // They come by key, and a stable sort leaves equal ones like that.
        chosen.sort_by(|(one, ..), (other, ..)| {
            let order = one.partial_cmp(other).unwrap_or(Ordering::Equal);
            if descending { order.reverse() } else { order }
        });
    }
    window(
        chosen.into_iter().map(|(_, key, body)| (key, body)),
        skip,
        take,
    )
}

fn is_written(path: &FieldPath, document: &Value, text: &str) -> bool {
    let found = path.find(document).map(Value::to_string);
    found.as_deref() == Some(text)
}

fn window(
    documents: impl Iterator<Item = (DocumentKey, String)>,
    skip: usize,
    take: usize,
) -> Vec<RawDocument> {
    let documents = documents.skip(skip).take(take);
    documents
        .map(|(key, body)| RawDocument { key, body })
        .collect()
}
