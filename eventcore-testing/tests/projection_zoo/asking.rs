//! Stores that get conditions and pages wrong.

use async_trait::async_trait;
use eventcore::projection::{
    DocumentQuery, FieldPath, ProjectionName, ProjectionStore, RawDocument,
};
use serde_json::Value;

use crate::cage::{Inner, Outcome, Specimen, all_documents, specimens};

pub(crate) type Found = Vec<RawDocument>;

pub(crate) fn value_of(document: &RawDocument) -> Value {
    serde_json::from_str(&document.body).unwrap_or_default()
}

pub(crate) fn window(found: Found, (skip, take): (usize, usize)) -> Found {
    found.into_iter().skip(skip).take(take).collect()
}

/// A query by a rule of one's own for what a condition is.
async fn matching(
    inner: &Inner,
    name: &ProjectionName,
    query: &DocumentQuery,
    fits: impl Fn(&Value, &FieldPath, &Value) -> bool + Send + Sync,
) -> Found {
    let mut found = all_documents(inner, name).await;
    found.retain(|document| {
        let document = value_of(document);
        query
            .conditions()
            .iter()
            .all(|(path, value)| fits(&document, path, value))
    });
    window(found, query.window())
}

/// Whether two values are of one rank.
pub(crate) fn equals(one: Option<&Value>, other: Option<&Value>) -> bool {
    let compound = |v: Option<&Value>| matches!(v, Some(Value::Array(_) | Value::Object(_)));
    match (one, other) {
        (Some(Value::Number(one)), Some(Value::Number(other))) => one.as_f64() == other.as_f64(),
        (one, other) => one == other || (compound(one) && compound(other)),
    }
}

specimens! {
    /// Compares numbers by value.
    ComparesNumbersByValue {} => {
        async fn query(&self, name: &ProjectionName, query: &DocumentQuery) -> Outcome<Found> {
            Ok(matching(&self.inner, name, query, |document, path, value| {
                path.find(document).is_some_and(|found| equals(Some(found), Some(value)))
            }).await)
        }
    }

    /// Compares what is between the quotes, quotes or not.
    ComparesWithoutQuotes {} => {
        async fn query(&self, name: &ProjectionName, query: &DocumentQuery) -> Outcome<Found> {
            let plain = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
            Ok(matching(&self.inner, name, query, |document, path, value| {
                path.find(document).map(plain) == Some(plain(value))
            }).await)
        }
    }

    /// Compares texts by a collation.
    FoldsTexts {} => {
        async fn query(&self, name: &ProjectionName, query: &DocumentQuery) -> Outcome<Found> {
            let folded = |value: &Value| value.to_string().to_lowercase();
            Ok(matching(&self.inner, name, query, |document, path, value| {
                path.find(document).map(folded) == Some(folded(value))
            }).await)
        }
    }

    /// Ends a text at a NUL, as C does.
    EndsTextsAtNul {} => {
        async fn query(&self, name: &ProjectionName, query: &DocumentQuery) -> Outcome<Found> {
            let cut = |value: &Value| value.as_str().map(|text| text.split('\0').next().map(str::to_owned));
            Ok(matching(&self.inner, name, query, |document, path, value| {
                path.find(document).map(cut) == Some(cut(value))
            }).await)
        }
    }

    /// Joins conditions by "or".
    AnyConditionWillDo {} => {
        async fn query(&self, name: &ProjectionName, query: &DocumentQuery) -> Outcome<Found> {
            let mut found = all_documents(&self.inner, name).await;
            found.retain(|document| {
                let document = value_of(document);
                let mut conditions = query.conditions().iter();
                conditions.any(|(path, value)| path.find(&document) == Some(value))
            });
            Ok(found)
        }
    }

    /// Takes a number in a path for a place in a list.
    PathsLeadThroughLists {} => {
        async fn query(&self, name: &ProjectionName, query: &DocumentQuery) -> Outcome<Found> {
            Ok(matching(&self.inner, name, query, |document, path, value| {
                let pointer = format!("/{}", path.names().join("/"));
                document.pointer(&pointer) == Some(value)
            }).await)
        }
    }

    /// Takes the last name of a path for the whole.
    PathsHaveOneName {} => {
        async fn query(&self, name: &ProjectionName, query: &DocumentQuery) -> Outcome<Found> {
            Ok(matching(&self.inner, name, query, |document, path, value| {
                document.get(path.to_string()) == Some(value)
            }).await)
        }
    }

    /// Counts in signed numbers.
    WrapsTheWindow {} => {
        async fn query(&self, name: &ProjectionName, query: &DocumentQuery) -> Outcome<Found> {
            let (skip, take) = query.window();
            if isize::try_from(skip).is_err() {
                return Ok(window(all_documents(&self.inner, name).await, (0, take)));
            }
            self.inner.query(name, query).await
        }
    }

    /// Cuts the page out first, and looks at the conditions then.
    PagesBeforeItLooks {} => {
        async fn query(&self, name: &ProjectionName, query: &DocumentQuery) -> Outcome<Found> {
            let mut found = window(all_documents(&self.inner, name).await, query.window());
            found.retain(|document| {
                let document = value_of(document);
                let mut conditions = query.conditions().iter();
                conditions.all(|(path, value)| path.find(&document) == Some(value))
            });
            Ok(found)
        }
    }

    /// Returns what it parsed.
    ReturnsWhatItParsed {} => {
        async fn query(&self, name: &ProjectionName, query: &DocumentQuery) -> Outcome<Found> {
            let mut found = self.inner.query(name, query).await?;
            for document in &mut found {
                document.body = value_of(document).to_string();
            }
            Ok(found)
        }
    }
}
