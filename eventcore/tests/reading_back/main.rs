//! What is stored reads back equal, or is refused when it is emitted.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use eventcore::{prelude::*, store::ReadFrom};
use eventcore_memory::InMemoryEventStore;

/// A fold that takes any event.
#[derive(Clone)]
struct Seen<E>(u64, std::marker::PhantomData<fn() -> E>);

impl<E> Default for Seen<E> {
    fn default() -> Self {
        Self(0, std::marker::PhantomData)
    }
}

impl<E: Event + Clone> Fold for Seen<E> {
    type Event = E;
    fn apply(&mut self, _: &StoredEvent<E>) {
        self.0 += 1;
    }
}

#[derive(Command)]
struct Emit<E: Event + Clone> {
    #[stream(fold = Seen<E>)]
    shape: StreamId,
    event: E,
}

impl<E: Event + Clone> CommandLogic for Emit<E> {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        emit!(events, streams.shape => self.event.clone());
        Ok(())
    }
}

fn shape() -> StreamId {
    StreamId::try_new("shape:1").unwrap()
}

/// The chain of an error's texts.
fn told(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        told = format!("{told}: {error}");
        source = error.source();
    }
    told
}

/// Emits an event, and whatever comes of it, every later command on the stream still works.
async fn emit<E: Event + Clone>(event: E, verify: bool) -> Result<(), String> {
    let store = InMemoryEventStore::new();
    let emit = || Emit {
        shape: shape(),
        event: event.clone(),
    };
    let result = execute(emit(), &store).verify_events(verify).await;
    let length = store
        .read(&[ReadFrom::start(shape())])
        .await
        .unwrap()
        .versions[0]
        .get();
    match result {
        Ok(_) => {
            execute(emit(), &store)
                .verify_events(verify)
                .await
                .map_err(|error| told(&error))?;
            Ok(())
        }
        Err(error) => {
            assert!(matches!(error, CommandError::Encode(_)), "{error:?}");
            assert_eq!(length, 0, "refused, and something was stored");
            Err(told(&error))
        }
    }
}

async fn equal<E: Event + Clone>(event: E) {
    for verify in [true, false] {
        let name = std::any::type_name::<E>();
        assert_eq!(
            emit(event.clone(), verify).await,
            Ok(()),
            "{name}, verified: {verify}"
        );
    }
}

/// Refused with these words where events are read back.
async fn refused<E: Event + Clone>(event: E, words: &str) {
    let error = emit(event, true).await.unwrap_err();
    assert!(error.contains(words), "{words:?} is not in: {error}");
}

/// Refused in every build.
async fn never_stored<E: Event + Clone>(event: E, words: &str) {
    for verify in [true, false] {
        let error = emit(event.clone(), verify).await.unwrap_err();
        assert!(error.contains(words), "{words:?} is not in: {error}");
    }
}

/// Events of one struct each, stored under a name of their own.
macro_rules! shapes {
    ($($(#[$attribute:meta])* $name:ident = $stored:literal { $($(#[$on:meta])* $field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
        #[event(name = $stored)]
        struct $name { $($(#[$on])* $field: $type),* }
    )*};
}

// Behind the macro that they use.
mod equal_ones;
mod keys_that_stand_twice;
mod other_values;
mod unreadable;
