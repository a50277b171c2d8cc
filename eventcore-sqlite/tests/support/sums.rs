//! A read model over the events of [`batch`](super::batch): how many there are, for each stream and for all.

use std::collections::BTreeMap;

use eventcore::{
    DecodeFailure, EncodeError, EncodedEvent, Event, EventStore, EventType, StoredEvent,
    projection::{DocumentKey, DocumentQuery, Inline, ProjectionStore, ReadModel},
};
use eventcore_sqlite::SqliteProjections;

use super::{event, log, views::key};

/// Whatever happened.
pub struct Happened;

impl Event for Happened {
    fn encode(&self) -> Result<EncodedEvent, EncodeError> {
        Ok(event("x"))
    }

    fn decode(stored: &EncodedEvent) -> Result<Option<Self>, DecodeFailure> {
        Ok((stored.event_type().as_str() == "test.happened").then_some(Self))
    }

    fn stored_types() -> Vec<EventType> {
        vec![EventType::try_new("test.happened").unwrap()]
    }
}

macro_rules! sums {
    ($($model:ident $name:literal)*) => {$(
        pub struct $model;

        impl ReadModel for $model {
            type Event = Happened;
            type Document = u64;
            const NAME: &'static str = $name;

            fn keys(&self, event: &StoredEvent<Happened>) -> impl IntoIterator<Item = DocumentKey> {
                [event.stream().into(), key("all")]
            }

            fn apply(&self, _: &DocumentKey, sum: &mut Option<u64>, _: &StoredEvent<Happened>) {
                *sum.get_or_insert_default() += 1;
            }
        }
    )*};
}

sums!(Sums "sums" OtherSums "other-sums");

pub fn sums() -> Inline {
    Inline::new(Sums).unwrap()
}

pub fn other_sums() -> Inline {
    Inline::new(OtherSums).unwrap()
}

/// That the documents are the fold of the log; how many events it has.
pub async fn expect_sums(views: &SqliteProjections, store: &impl EventStore, name: &str) -> usize {
    let mut expected = BTreeMap::new();
    let events = log(store).await;
    for event in &events {
        for key in [event.stream().as_str(), "all"] {
            *expected.entry(key.to_owned()).or_insert(0_u64) += 1;
        }
    }
    let query = DocumentQuery::all().page(0, 10_000).unwrap();
    let found = views.query(&name.parse().unwrap(), &query).await.unwrap();
    let sum = |body: &str| body.parse::<u64>().unwrap();
    let found = found
        .into_iter()
        .map(|raw| (raw.key.to_string(), sum(&raw.body)));
    assert_eq!(found.collect::<BTreeMap<_, _>>(), expected);
    events.len()
}
