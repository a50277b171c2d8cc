//! Stores that get the order of documents wrong.

use std::cmp::Ordering;

use async_trait::async_trait;
use eventcore::projection::{DocumentQuery, ProjectionName, ProjectionStore};
use serde_json::Value;

use crate::{
    asking::{Found, equals, value_of, window},
    cage::{Inner, Outcome, Specimen, specimens},
};

/// A query without conditions, by a rule of one's own for the order.
async fn sorted(
    inner: &Inner,
    name: &ProjectionName,
    query: &DocumentQuery,
    order: impl Fn(Option<&Value>, Option<&Value>) -> Option<Ordering> + Send + Sync,
) -> Outcome<Found> {
    let Some((path, descending)) = query.sort() else {
        return inner.query(name, query).await;
    };
    // In the right order before the wrong one is applied, which may have no opinion on most.
    let ascending = DocumentQuery::all().page(0, 10_000).unwrap();
    let ascending = ascending.sort_ascending(&path.to_string()).unwrap();
    let mut found = inner.query(name, &ascending).await?;
    let mut ranks: Vec<usize> = vec![0; found.len()];
    for at in 1..found.len() {
        let (one, other) = (value_of(&found[at - 1]), value_of(&found[at]));
        let equal = equals(path.find(&one), path.find(&other));
        ranks[at] = ranks[at - 1] + usize::from(!equal);
    }
    let mut ranked: Vec<_> = ranks.into_iter().zip(found).collect();
    ranked.sort_by(|(rank, one), (other_rank, other)| {
        let (a, b) = (value_of(one), value_of(other));
        let by_value = order(path.find(&a), path.find(&b)).unwrap_or(rank.cmp(other_rank));
        let by_value = if descending {
            by_value.reverse()
        } else {
            by_value
        };
        by_value.then_with(|| one.key.cmp(&other.key))
    });
    found = ranked.into_iter().map(|(_, document)| document).collect();
    Ok(window(found, query.window()))
}

fn texts<'v>(one: Option<&'v Value>, other: Option<&'v Value>) -> Option<(&'v str, &'v str)> {
    Some((one?.as_str()?, other?.as_str()?))
}

fn numbers(one: Option<&Value>, other: Option<&Value>) -> Option<(Value, Value)> {
    let (one, other) = (one?, other?);
    (one.is_number() && other.is_number()).then(|| (one.clone(), other.clone()))
}

specimens! {
    /// Takes what is missing for null.
    TakesMissingForNull {} => {
        async fn query(&self, name: &ProjectionName, query: &DocumentQuery) -> Outcome<Found> {
            let empty = |value: Option<&Value>| value.is_none_or(Value::is_null);
            sorted(&self.inner, name, query, |one, other| {
                (empty(one) && empty(other)).then_some(Ordering::Equal)
            }).await
        }
    }

    /// Has the missing last when it sorts upwards, as some databases do.
    HasTheMissingLast {} => {
        async fn query(&self, name: &ProjectionName, query: &DocumentQuery) -> Outcome<Found> {
            sorted(&self.inner, name, query, |one, other| match (one, other) {
                (None, Some(_)) => Some(Ordering::Greater),
                (Some(_), None) => Some(Ordering::Less),
                _ => None,
            }).await
        }
    }

    /// Turns the whole order round, ties and all.
    ReversesTies {} => {
        async fn query(&self, name: &ProjectionName, query: &DocumentQuery) -> Outcome<Found> {
            let Some((path, true)) = query.sort() else {
                return self.inner.query(name, query).await;
            };
            let ascending = DocumentQuery::all().page(0, 10_000).unwrap();
            let ascending = ascending.sort_ascending(&path.to_string()).unwrap();
            let mut found = self.inner.query(name, &ascending).await?;
            found.reverse();
            Ok(window(found, query.window()))
        }
    }

    /// Has no order among equals, so each page has another.
    ShufflesTies {} => {
        async fn query(&self, name: &ProjectionName, query: &DocumentQuery) -> Outcome<Found> {
            let (skip, take) = query.window();
            if query.sort().is_none() || skip == 0 {
                return self.inner.query(name, query).await;
            }
            let (path, descending) = query.sort().unwrap();
            let all = DocumentQuery::all().page(0, 10_000).unwrap();
            let all = if descending {
                all.sort_descending(&path.to_string())
            } else {
                all.sort_ascending(&path.to_string())
            };
            let mut found = self.inner.query(name, &all.unwrap()).await?;
            for pair in found.chunks_mut(2) {
                if let [one, other] = pair
                    && equals(path.find(&value_of(one)), path.find(&value_of(other)))
                {
                    std::mem::swap(one, other);
                }
            }
            Ok(window(found, (skip, take)))
        }
    }

    /// Sorts numbers as they are written.
    SortsNumbersAsText {} => {
        async fn query(&self, name: &ProjectionName, query: &DocumentQuery) -> Outcome<Found> {
            sorted(&self.inner, name, query, |one, other| {
                let (one, other) = numbers(one, other)?;
                Some(one.to_string().cmp(&other.to_string()))
            }).await
        }
    }

    /// Tells large integers apart, which `f64` cannot.
    SortsIntegersExactly {} => {
        async fn query(&self, name: &ProjectionName, query: &DocumentQuery) -> Outcome<Found> {
            sorted(&self.inner, name, query, |one, other| {
                let (one, other) = numbers(one, other)?;
                Some(one.as_u64()?.cmp(&other.as_u64()?))
            }).await
        }
    }

    /// Sorts texts by a collation.
    CollatesTexts {} => {
        async fn query(&self, name: &ProjectionName, query: &DocumentQuery) -> Outcome<Found> {
            sorted(&self.inner, name, query, |one, other| {
                let (one, other) = texts(one, other)?;
                Some(one.to_lowercase().cmp(&other.to_lowercase()))
            }).await
        }
    }

    /// Sorts texts without their escapes.
    SortsPlainTexts {} => {
        async fn query(&self, name: &ProjectionName, query: &DocumentQuery) -> Outcome<Found> {
            sorted(&self.inner, name, query, |one, other| {
                let (one, other) = texts(one, other)?;
                Some(one.cmp(other))
            }).await
        }
    }

    /// Leaves out what has no value to sort by.
    SortsWhatHasTheField {} => {
        async fn query(&self, name: &ProjectionName, query: &DocumentQuery) -> Outcome<Found> {
            let mut found = self.inner.query(name, query).await?;
            if let Some((path, _)) = query.sort() {
                found.retain(|document| path.find(&value_of(document)).is_some());
            }
            Ok(found)
        }
    }
}
