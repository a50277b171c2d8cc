//! Deadlines, keys and defaults at their edges.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

use std::{collections::BTreeMap, time::Duration};

use eventcore::prelude::*;
use eventcore_memory::InMemoryEventStore;

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(prefix = "edge")]
enum EdgeEvent {
    Touched,
}

#[derive(Default, Clone)]
struct Touches(u64);

impl Fold for Touches {
    type Event = EdgeEvent;
    fn apply(&mut self, _: &StoredEvent<EdgeEvent>) {
        self.0 += 1;
    }
}

fn stream() -> StreamId {
    StreamId::try_new("edge:1").unwrap()
}

fn key() -> IdempotencyKey {
    IdempotencyKey::try_new("k").unwrap()
}

/// Takes its time to decide.
#[derive(Command)]
struct Slow {
    #[stream(fold = Touches)]
    edge: StreamId,
    takes: Duration,
}

impl CommandLogic for Slow {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        std::thread::sleep(self.takes);
        emit!(events, streams.edge => EdgeEvent::Touched);
        Ok(())
    }
}

fn slow(takes: Duration) -> Slow {
    Slow {
        edge: stream(),
        takes,
    }
}

async fn length(store: &InMemoryEventStore) -> u64 {
    let folded = eventcore::fold_stream::<Touches>(store, &stream()).await;
    folded.unwrap().state.0
}

#[tokio::test]
async fn a_deadline_that_passes_while_deciding_appends_nothing() {
    let store = InMemoryEventStore::new();
    for (takes, deadline) in [(50, 5), (0, 0)] {
        let command = slow(Duration::from_millis(takes));
        let error = execute(command, &store)
            .deadline(Duration::from_millis(deadline))
            .await
            .unwrap_err();
        assert!(
            matches!(error, CommandError::DeadlineExceeded { .. }),
            "{error:?}"
        );
    }
    assert_eq!(length(&store).await, 0);
}

#[tokio::test]
async fn a_deadline_beyond_all_time_is_none() {
    let store = InMemoryEventStore::new();
    execute(slow(Duration::ZERO), &store)
        .deadline(Duration::MAX)
        .await
        .unwrap();
    assert_eq!(length(&store).await, 1);
}

mod other {
    use super::{EdgeEvent, Touches};
    use eventcore::prelude::*;

    /// Has the name and the streams of the one outside, and is another command.
    #[derive(Command)]
    pub(super) struct Touch {
        #[stream(fold = Touches)]
        pub(super) edge: StreamId,
    }

    impl CommandLogic for Touch {
        fn handle(
            &self,
            streams: &Streams<Self>,
            events: &mut NewEvents<Self>,
        ) -> Result<(), CommandError> {
            emit!(events, streams.edge => EdgeEvent::Touched);
            emit!(events, streams.edge => EdgeEvent::Touched);
            Ok(())
        }
    }
}

#[derive(Command)]
struct Touch {
    #[stream(fold = Touches)]
    edge: StreamId,
}

impl CommandLogic for Touch {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        emit!(events, streams.edge => EdgeEvent::Touched);
        Ok(())
    }
}

#[tokio::test]
async fn a_key_tells_commands_of_the_same_name_apart() {
    let store = InMemoryEventStore::new();
    execute(Touch { edge: stream() }, &store)
        .idempotency_key(key())
        .await
        .unwrap();
    let other = other::Touch { edge: stream() };
    let error = execute(other, &store)
        .idempotency_key(key())
        .await
        .unwrap_err();
    assert!(
        matches!(error, CommandError::IdempotencyConflict { .. }),
        "{error:?}"
    );
}

/// Its seats have no JSON form: the keys of the map are no texts.
#[derive(Command)]
struct Seat {
    #[stream(fold = Touches)]
    edge: StreamId,
    seats: BTreeMap<(u8, u8), u32>,
}

impl CommandLogic for Seat {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        require!(!self.seats.is_empty(), "no seats");
        emit!(events, streams.edge => EdgeEvent::Touched);
        Ok(())
    }
}

#[tokio::test]
async fn what_cannot_be_fingerprinted_has_no_key() {
    let store = InMemoryEventStore::new();
    let seat = || Seat {
        edge: stream(),
        seats: [((1, 1), 5)].into(),
    };
    let error = execute(seat(), &store)
        .idempotency_key(key())
        .await
        .unwrap_err();
    assert!(
        matches!(error, CommandError::Fingerprint { .. }),
        "{error:?}"
    );
    execute(seat(), &store).await.unwrap();
    assert_eq!(length(&store).await, 1);
}

struct NoDefault;

impl Default for NoDefault {
    fn default() -> Self {
        panic!("there is no beginning")
    }
}

#[derive(Command)]
struct WithoutBeginning {
    #[stream]
    edge: StreamId,
}

impl CommandState for WithoutBeginning {
    type Event = EdgeEvent;
    type State = NoDefault;
    fn apply(&self, _: &mut NoDefault, _: &StoredEvent<EdgeEvent>) {}
}

impl CommandLogic for WithoutBeginning {
    fn handle(&self, _: &Streams<Self>, _: &mut NewEvents<Self>) -> Result<(), CommandError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_panic_in_a_states_default_fails_the_command_alone() {
    let store = InMemoryEventStore::new();
    let error = execute(WithoutBeginning { edge: stream() }, &store)
        .await
        .unwrap_err();
    assert!(matches!(error, CommandError::Panicked { .. }), "{error:?}");
    execute(Touch { edge: stream() }, &store).await.unwrap();
}
