//! A read model to run inline.
#![allow(unreachable_pub, reason = "part of a test")]

use eventcore::{
    DecodeFailure, EncodeError, EncodedEvent, Event, EventType, StoredEvent,
    projection::{DocumentKey, ReadModel},
};

use crate::support::event;

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

/// How many events there are.
pub struct Sums;

impl ReadModel for Sums {
    type Event = Happened;
    type Document = u64;
    const NAME: &'static str = "sums";

    fn keys(&self, _: &StoredEvent<Happened>) -> impl IntoIterator<Item = DocumentKey> {
        [DocumentKey::try_new("all").unwrap()]
    }

    fn apply(&self, _: &DocumentKey, sum: &mut Option<u64>, _: &StoredEvent<Happened>) {
        *sum.get_or_insert_default() += 1;
    }
}
