//! Counters: events that say a number, and a command that counts.

use std::sync::Arc;

use eventcore::{Metadata, prelude::*};

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(prefix = "counter")]
pub(crate) enum Counted {
    Up { by: i64 },
}

#[derive(Command)]
struct Count {
    #[stream]
    counter: StreamId,
    by: Vec<i64>,
}

impl CommandState for Count {
    type Event = Counted;
    type State = ();
    fn apply(&self, (): &mut (), _: &StoredEvent<Counted>) {}
}

impl CommandLogic for Count {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        for by in &self.by {
            emit!(events, &streams.counter => Counted::Up { by: *by });
        }
        Ok(())
    }
}

/// Appends an event for each number.
pub(crate) async fn count<S: EventStore>(store: &S, counter: &str, by: &[i64]) -> GlobalPosition {
    let command = Count {
        counter: counter.try_into().unwrap(),
        by: by.to_vec(),
    };
    let receipt = execute(command, store)
        .metadata(Metadata::new())
        .retry(RetryPolicy::exponential().max_attempts(100))
        .await
        .unwrap();
    receipt.position().unwrap()
}

/// A store that the tests of a file share by reference.
pub(crate) fn store() -> Arc<eventcore_memory::InMemoryEventStore> {
    Arc::new(eventcore_memory::InMemoryEventStore::new())
}
