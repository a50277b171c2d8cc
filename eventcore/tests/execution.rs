//! Running a command: what may be passed, what comes back, and what the events carry.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

#[path = "support/seed.rs"]
mod seed;
#[path = "support/spy.rs"]
mod spy;

use std::sync::Arc;

use eventcore::{CausationId, Execution, Timestamp, fold_stream, prelude::*};
use eventcore_memory::InMemoryEventStore;

use self::{
    seed::{events_of, one_more, stored, stream, texts},
    spy::Spy,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
#[event(prefix = "counter")]
enum Counted {
    Up { by: u32 },
}

#[derive(Default, Clone)]
struct Counter(u32);

impl Fold for Counter {
    type Event = Counted;
    fn apply(&mut self, event: &StoredEvent<Counted>) {
        let Counted::Up { by } = event.data();
        self.0 += by;
    }
}

#[derive(Debug, PartialEq, thiserror::Error)]
enum CountError {
    #[error("{0} is more than can be counted")]
    TooMuch(u32),
}

/// Counts one stream up in steps of 1, and says so in another.
#[derive(Clone, Command)]
struct CountUp {
    #[stream(fold = Counter)]
    counter: StreamId,
    #[stream(fold = Counter)]
    total: StreamId,
    steps: u32,
}

impl CommandLogic for CountUp {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        require!(self.steps <= 100, CountError::TooMuch(self.steps));
        assert!(events.is_empty());
        for _ in 0..self.steps {
            emit!(events, streams.counter => Counted::Up { by: 1 });
        }
        if self.steps > 0 {
            let by = self.steps;
            emit!(events, streams.total => Counted::Up { by });
            emit!(events, streams.counter => Counted::Up { by: 0 });
            assert_eq!(events.len(), usize::try_from(self.steps).unwrap() + 2);
        }
        Ok(())
    }
}

fn count(steps: u32) -> CountUp {
    CountUp {
        counter: stream("counter"),
        total: stream("total"),
        steps,
    }
}

mod stores_and_tasks {
    use super::*;

    fn is_send<T: Send>(value: T) -> T {
        value
    }

    /// Compiles: that is the test. No other bound on the store than `EventStore`, which may live in a borrow.
    #[allow(dead_code)]
    fn the_future_is_send_whatever_the_store<'s, S: EventStore + 's>(
        store: S,
    ) -> impl Future<Output = Result<CommandReceipt, CommandError>> + Send + 's {
        is_send(execute(count(1), store).into_future())
    }

    /// The same for any command that may be sent.
    #[allow(dead_code)]
    fn the_future_is_send_whatever_the_command<C: CommandLogic>(command: C) {
        let store = InMemoryEventStore::new();
        drop(is_send(async move { execute(command, &store).await }));
    }

    #[tokio::test]
    async fn a_reference_is_a_store() {
        let store = InMemoryEventStore::new();
        execute(count(1), &store).await.unwrap();
        execute(count(1), &&store).await.unwrap();
        let dynamic: &dyn EventStore = &store;
        execute(count(1), dynamic).await.unwrap();
        assert_eq!(texts(&store, "total").await.len(), 3);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_arc_of_a_store_goes_into_a_task() {
        let store = Arc::new(InMemoryEventStore::new());
        let task = tokio::spawn(execute(count(1), Arc::clone(&store)).into_future());
        task.await.unwrap().unwrap();
        let shared = Arc::clone(&store);
        let task = tokio::spawn(async move { execute(count(1), &*shared).await });
        task.await.unwrap().unwrap();
        assert_eq!(texts(&store, "total").await.len(), 2);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_arc_of_any_store_goes_into_a_task() {
        let store: Arc<dyn EventStore> = Arc::new(InMemoryEventStore::new());
        let task = tokio::spawn(execute(count(1), Arc::clone(&store)).into_future());
        task.await.unwrap().unwrap();
        let boxed: Box<dyn EventStore> = Box::new(Arc::clone(&store));
        execute(count(1), boxed).await.unwrap();
        assert_eq!(texts(&store, "total").await.len(), 2);
    }

    #[tokio::test]
    async fn nothing_happens_before_the_await() {
        let store = Spy::default();
        let execution: Execution<'_, CountUp, &Spy> = execute(count(1), &store);
        drop(execution.retry(RetryPolicy::none()));
        drop(execute(count(1), &store).into_future());
        assert!(store.reads().is_empty());
    }
}

mod receipts {
    use super::*;

    #[tokio::test]
    async fn a_receipt_tells_each_event_and_the_new_versions() {
        let store = InMemoryEventStore::new();
        let other = stored("counter.up", r#"{"by":5}"#);
        seed::given_stored(&store, "counter", other).await;
        let receipt = execute(count(2), &store).await.unwrap();

        let event = |e: &eventcore::store::AppendedEvent| {
            (e.stream.to_string(), e.version.get(), e.position.get())
        };
        let events: Vec<_> = receipt.events.iter().map(event).collect();
        let expected = [
            ("counter", 2, 2),
            ("counter", 3, 3),
            ("total", 1, 4),
            ("counter", 4, 5),
        ];
        assert_eq!(events, expected.map(|(s, v, p)| (s.to_owned(), v, p)));

        let version = |number| StreamVersion::try_new(number).unwrap();
        assert_eq!(
            receipt.versions(),
            [
                (stream("counter"), version(4)),
                (stream("total"), version(1))
            ]
        );
        assert_eq!(receipt.version_of(&stream("counter")), Some(version(4)));
        assert_eq!(receipt.version_of(&stream("elsewhere")), None);
        assert_eq!(receipt.position().unwrap().get(), 5);
        assert_eq!((receipt.attempts, receipt.replayed), (1, false));
    }

    #[tokio::test]
    async fn the_ids_of_a_receipt_are_those_of_the_events() {
        let store = InMemoryEventStore::new();
        let receipt = execute(count(1), &store).await.unwrap();
        let [first, total, last] = receipt.events.as_slice() else {
            panic!("{receipt:?}")
        };
        let counter = events_of(&store, "counter").await;
        assert_eq!((first.id, last.id), (counter[0].id(), counter[1].id()));
        assert_eq!(total.id, events_of(&store, "total").await[0].id());
    }

    #[tokio::test]
    async fn a_decision_without_events_has_an_empty_receipt() {
        let store = Spy::default();
        let receipt = execute(count(0), &store).await.unwrap();
        assert!(receipt.events.is_empty() && receipt.versions().is_empty());
        assert_eq!((receipt.position(), receipt.attempts), (None, 1));
        assert_eq!(store.appends(), 0);
    }
}

mod rejections {
    use super::*;

    #[tokio::test]
    async fn an_error_of_the_application_is_found_again() {
        let store = InMemoryEventStore::new();
        let error = execute(count(101), &store).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "rejected: 101 is more than can be counted"
        );
        let rejection = error.rejection().unwrap();
        assert_eq!(rejection.downcast_ref(), Some(&CountError::TooMuch(101)));
        assert!(rejection.downcast_ref::<std::fmt::Error>().is_none());
        assert!(texts(&store, "counter").await.is_empty());
    }

    #[tokio::test]
    async fn a_rejection_is_not_tried_again() {
        let store = Spy::default();
        let error = execute(count(101), &store).await.unwrap_err();
        assert!(error.is_rejection() && !error.is_retriable() && !error.is_conflict());
        assert_eq!(store.reads().len(), 1);
    }

    #[test]
    fn a_message_has_arguments_of_all_kinds() {
        fn check(have: u32, want: u32) -> Result<(), CommandError> {
            require!(
                have >= want,
                "have {have}, want {}, short {by}",
                want,
                by = want - have
            );
            require!(have < 100, String::from("too many"));
            Ok(())
        }
        let text = |have, want| check(have, want).unwrap_err().to_string();
        assert_eq!(text(1, 3), "rejected: have 1, want 3, short 2");
        assert_eq!(text(100, 3), "rejected: too many");
        assert!(check(3, 3).is_ok());
    }
}

mod metadata {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Origin {
        host: String,
        port: u16,
    }

    #[tokio::test]
    async fn actor_and_values_of_the_application_come_back_with_every_event() {
        let origin = Origin {
            host: "a".into(),
            port: 80,
        };
        let metadata = Metadata::new().actor("alice").with("origin", &origin);
        let metadata = metadata.unwrap().with("tenant", "t\0").unwrap();
        let store = InMemoryEventStore::new();
        execute(count(2), &store).metadata(metadata).await.unwrap();
        let mut all = events_of(&store, "counter").await;
        all.extend(events_of(&store, "total").await);
        assert_eq!(all.len(), 4);
        for event in all {
            let read = event.metadata().unwrap();
            assert_eq!(read.get_actor(), Some("alice"));
            assert_eq!(
                read.get::<Origin>("origin").unwrap().as_ref(),
                Some(&origin)
            );
            assert_eq!(read.get::<String>("tenant").unwrap().unwrap(), "t\0");
            assert_eq!(read.keys().collect::<Vec<_>>(), ["origin", "tenant"]);
        }
    }

    #[tokio::test]
    async fn without_a_chain_each_command_starts_its_own() {
        let store = InMemoryEventStore::new();
        let one = execute(count(1), &store).await.unwrap();
        let two = execute(count(1), &store).await.unwrap();
        assert_ne!(one.correlation_id, two.correlation_id);
        let events = events_of(&store, "counter").await;
        assert_eq!(events[0].correlation_id(), one.correlation_id);
        assert_eq!(events[1].correlation_id(), one.correlation_id);
        assert_eq!(events[2].correlation_id(), two.correlation_id);
        assert_eq!(events[0].causation_id(), None);
    }

    #[tokio::test]
    async fn a_given_chain_and_cause_are_kept() {
        let chain = CorrelationId::generate();
        let cause = CausationId::from(EventId::generate());
        let metadata = Metadata::new().correlation_id(chain).causation_id(cause);
        let store = InMemoryEventStore::new();
        let receipt = execute(count(1), &store).metadata(metadata).await.unwrap();
        assert_eq!(receipt.correlation_id, chain);
        let event = events_of(&store, "total").await.remove(0);
        assert_eq!(
            (event.correlation_id(), event.causation_id()),
            (chain, Some(cause))
        );
    }

    #[tokio::test]
    async fn a_consequence_continues_the_chain_of_its_cause() {
        let store = InMemoryEventStore::new();
        let first = execute(count(1), &store).await.unwrap();
        let event = events_of(&store, "total").await.remove(0);
        let event: StoredEvent<Counted> = StoredEvent::decode(event).unwrap();
        let metadata = Metadata::new().caused_by(&event);
        let second = execute(count(1), &store).metadata(metadata).await.unwrap();
        assert_eq!(second.correlation_id, first.correlation_id);
        let effect = events_of(&store, "total").await.remove(1);
        assert_eq!(effect.causation_id(), Some(CausationId::from(event.id())));
    }

    #[tokio::test]
    async fn the_chain_stays_the_same_over_attempts() {
        let store = Spy::default();
        let other = stored("counter.up", r#"{"by":5}"#);
        store.sneak_in_before_append(1, one_more(&store.inner, "total", other).await);
        let metadata = Metadata::new().actor("alice");
        let receipt = execute(count(1), &store).metadata(metadata).await.unwrap();
        assert_eq!(receipt.attempts, 2);
        let event = events_of(&store, "total").await.remove(1);
        assert_eq!(event.correlation_id(), receipt.correlation_id);
        assert_eq!(event.metadata().unwrap().get_actor(), Some("alice"));
    }
}

mod time {
    use super::*;

    #[tokio::test]
    async fn a_time_can_be_given() {
        let store = InMemoryEventStore::new();
        let time: Timestamp = "1997-01-01T12:00:00Z".parse().unwrap();
        execute(count(1), &store).recorded_at(time).await.unwrap();
        for event in events_of(&store, "counter").await {
            assert_eq!(event.recorded_at(), time);
        }
    }

    #[tokio::test]
    async fn otherwise_it_is_now() {
        let store = InMemoryEventStore::new();
        let before = Timestamp::now();
        execute(count(1), &store).await.unwrap();
        let recorded = events_of(&store, "counter").await[0].recorded_at();
        assert!(
            (before..=Timestamp::now()).contains(&recorded),
            "{recorded}"
        );
    }
}

mod conflicts {
    use super::*;

    async fn moving_for(attempts: usize) -> Spy {
        let store = Spy::default();
        let ahead = InMemoryEventStore::new();
        for attempt in 1..=attempts {
            let event = stored("counter.up", r#"{"by":5}"#);
            let batch = one_more(&ahead, "total", event).await;
            eventcore::EventStore::append(&ahead, batch.clone())
                .await
                .unwrap();
            store.sneak_in_before_append(attempt, batch);
        }
        store
    }

    #[tokio::test(start_paused = true)]
    async fn a_conflict_is_decided_again_on_what_is_there_now() {
        let store = moving_for(3).await;
        let receipt = execute(count(1), &store).await.unwrap();
        assert_eq!(receipt.attempts, 4);
        let total = fold_stream::<Counter>(&store, &stream("total"))
            .await
            .unwrap();
        assert_eq!((total.state.0, total.version.get()), (16, 4));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gives_up_says_which_stream_was_in_the_way() {
        let store = moving_for(3).await;
        let twice = RetryPolicy::exponential().max_attempts(2);
        let error = execute(count(1), &store).retry(twice).await.unwrap_err();
        assert!(error.is_conflict() && error.is_retriable());
        assert_eq!(error.to_string(), "gave up after 2 attempts");
        let CommandError::Conflict {
            conflict,
            attempts: 2,
        } = &error
        else {
            panic!("{error:?}")
        };
        assert_eq!(
            conflict.to_string(),
            "version conflict: stream `total` expected at 1, is at 2"
        );
        assert!(texts(&store, "counter").await.is_empty());
    }
}
