//! The memory store keeps the contract of inline read models.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests may panic as tests do"
)]

use std::sync::Arc;

use async_trait::async_trait;
use eventcore::{
    EventStore,
    prelude::*,
    projection::{DocumentKey, Inline, ProjectionId, ProjectionStoreError, ReadModel},
    store::{AppendError, StoreError},
};
use eventcore_memory::{InMemoryEventStore, InMemoryProjections};
use eventcore_testing::inline_contract::Place;

#[derive(Default)]
struct InMemory {
    events: InMemoryEventStore,
    views: InMemoryProjections,
}

fn store_error(error: ProjectionStoreError) -> StoreError {
    match error {
        ProjectionStoreError::Store(error) => error,
        other => panic!("nobody was fenced: {other}"),
    }
}

#[async_trait]
impl Place for InMemory {
    type Views = InMemoryProjections;

    async fn open(&self, models: Vec<Inline>) -> Result<Arc<dyn EventStore>, StoreError> {
        let mut store = self.events.clone();
        for model in models {
            store = store.inline(model, &self.views).map_err(store_error)?;
        }
        Ok(Arc::new(store))
    }

    async fn views(&self) -> InMemoryProjections {
        self.views.clone()
    }

    async fn give_back(&self, projection: &ProjectionId) -> Result<(), StoreError> {
        self.views.give_back(projection);
        Ok(())
    }
}

eventcore_testing::inline_suite!(memory, async || InMemory::default());

#[derive(Serialize, Deserialize, Event)]
#[event(prefix = "name")]
enum NameEvent {
    Taken { name: String },
}

#[derive(Command)]
struct Take {
    #[stream]
    account: StreamId,
    name: String,
}

impl CommandState for Take {
    type Event = NameEvent;
    type State = ();
    fn apply(&self, (): &mut (), _: &StoredEvent<NameEvent>) {}
}

impl CommandLogic for Take {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        let name = self.name.clone();
        emit!(events, &streams.account => NameEvent::Taken { name });
        Ok(())
    }
}

/// Who has which name; it panics when somebody else has it.
struct Names;

impl ReadModel for Names {
    type Event = NameEvent;
    type Document = String;
    const NAME: &'static str = "names";

    fn keys(&self, event: &StoredEvent<NameEvent>) -> impl IntoIterator<Item = DocumentKey> {
        let NameEvent::Taken { name } = event.data();
        DocumentKey::try_new(name).ok()
    }

    fn apply(&self, _: &DocumentKey, owner: &mut Option<String>, event: &StoredEvent<NameEvent>) {
        assert!(owner.is_none(), "the name is taken");
        *owner = Some(event.stream().to_string());
    }
}

#[tokio::test]
async fn a_command_is_told_that_a_model_refused_it() {
    let views = InMemoryProjections::new();
    let store = InMemoryEventStore::new();
    let store = store.inline(Inline::new(Names).unwrap(), &views).unwrap();
    let take = |account: &str| Take {
        account: StreamId::try_new(account).unwrap(),
        name: "ann".into(),
    };
    execute(take("account:1"), &store).await.unwrap();
    let error = execute(take("account:2"), &store).await.unwrap_err();
    assert!(!error.is_retriable() && !error.is_rejection(), "{error:?}");
    match error {
        CommandError::Append(AppendError::Inline(error)) => {
            assert_eq!(error.projection().to_string(), "names v1");
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert_eq!(cause, "it panicked: the name is taken");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn models_may_live_in_several_stores_of_documents() {
    let (one, other) = (
        InMemoryProjections::new(),
        InMemoryProjections::holding::<Vec<u8>>(),
    );
    let store = InMemoryEventStore::new();
    let store = store.inline(Inline::new(Names).unwrap(), &one).unwrap();
    let twice = store.clone().inline(Inline::new(Names).unwrap(), &other);
    assert!(twice.is_err(), "one name, one model, wherever it lives");
    drop(store);
    // Not run by this handle, it may be run by another, with documents of its own.
    let events = InMemoryEventStore::new();
    let store = events.inline(Inline::new(Names).unwrap(), &other).unwrap();
    let take = Take {
        account: StreamId::try_new("account:1").unwrap(),
        name: "ann".into(),
    };
    execute(take, &store).await.unwrap();
}

/// `cargo test -p eventcore-testing --release --test inline_memory -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, to be run by hand with optimisation"]
async fn what_inline_models_cost() {
    let time = std::time::Duration::from_secs(1);
    eventcore_testing::inline_contract::cost::print(async || InMemory::default(), 3, time).await;
}
