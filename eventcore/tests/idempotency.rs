//! One effect per idempotency key.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

#[path = "support/seed.rs"]
mod seed;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use eventcore::prelude::*;
use eventcore_memory::InMemoryEventStore;

use self::seed::{stream, texts};

#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(prefix = "order")]
enum OrderEvent {
    Placed { items: u32 },
}

#[derive(Default, Clone)]
struct Order(u32);

impl Fold for Order {
    type Event = OrderEvent;
    fn apply(&mut self, event: &StoredEvent<OrderEvent>) {
        let OrderEvent::Placed { items } = event.data();
        self.0 += items;
    }
}

/// How often `handle` ran. Neither `Serialize` nor `Hash`, so no part of what the command is.
#[derive(Clone, Default)]
struct Calls(Arc<AtomicU32>);

/// Only `Hash`.
#[derive(Clone, Hash)]
struct Note(&'static str);

#[derive(Clone, Command)]
struct Place {
    #[stream(fold = Order)]
    order: StreamId,
    items: u32,
    note: Note,
    prices: HashMap<String, u32>,
    calls: Calls,
}

impl CommandLogic for Place {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        self.calls.0.fetch_add(1, Relaxed);
        require!(streams.order.state().0 + self.items <= 10, "too many");
        if self.items > 0 {
            emit!(events, streams.order => OrderEvent::Placed { items: self.items });
        }
        Ok(())
    }
}

fn place(items: u32) -> Place {
    let price = |n: u32| (format!("item {n}"), n);
    Place {
        order: stream("order:1"),
        items,
        note: Note("fragile"),
        prices: (0..20).map(price).collect(),
        calls: Calls::default(),
    }
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::try_new(text).unwrap()
}

async fn run(store: &InMemoryEventStore, command: Place) -> Result<CommandReceipt, CommandError> {
    execute(command, store).idempotency_key(key("k")).await
}

#[tokio::test]
async fn the_second_run_returns_the_first_receipt_and_decides_nothing() {
    let store = InMemoryEventStore::new();
    let command = place(3);
    let calls = command.calls.clone();
    let first = run(&store, command.clone()).await.unwrap();
    let second = run(&store, command).await.unwrap();
    assert_eq!(calls.0.load(Relaxed), 1);
    assert_eq!((first.replayed, second.replayed), (false, true));
    assert_eq!((first.attempts, second.attempts), (1, 0));
    assert_eq!(first.events, second.events);
    assert_eq!(first.correlation_id, second.correlation_id);
    assert_eq!(texts(&store, "order:1").await.len(), 1);
}

#[tokio::test]
async fn without_a_key_a_command_takes_effect_as_often_as_it_is_run() {
    let store = InMemoryEventStore::new();
    for _ in 0..2 {
        execute(place(3), &store).await.unwrap();
    }
    assert_eq!(texts(&store, "order:1").await.len(), 2);
}

#[tokio::test]
async fn another_key_is_another_command() {
    let store = InMemoryEventStore::new();
    run(&store, place(3)).await.unwrap();
    let other = execute(place(3), &store).idempotency_key(key("K"));
    assert!(!other.await.unwrap().replayed);
}

#[tokio::test]
async fn a_command_that_was_made_anew_is_the_same_one() {
    let store = InMemoryEventStore::new();
    run(&store, place(3)).await.unwrap();
    // Its `HashMap` has another order than the first one's.
    for _ in 0..5 {
        assert!(run(&store, place(3)).await.unwrap().replayed);
    }
}

#[tokio::test]
async fn other_fields_under_the_same_key_are_refused() {
    let store = InMemoryEventStore::new();
    run(&store, place(3)).await.unwrap();
    let mut prices = place(3);
    prices.prices.insert("item 1".into(), 2);
    let mut note = place(3);
    note.note = Note("robust");
    let mut order = place(3);
    order.order = stream("order:2");
    for (what, command) in [
        ("items", place(4)),
        ("prices", prices),
        ("note", note),
        ("stream", order),
    ] {
        let calls = command.calls.clone();
        let error = run(&store, command).await.expect_err(what);
        assert!(
            matches!(&error, CommandError::IdempotencyConflict { key } if key.as_str() == "k"),
            "{what}: {error:?}"
        );
        assert_eq!(
            error.to_string(),
            "idempotency key `k` was used by a different command"
        );
        assert!(!error.is_retriable());
        assert_eq!(calls.0.load(Relaxed), 0, "{what}");
    }
}

#[derive(Command)]
struct Cancel {
    #[stream(fold = Order)]
    order: StreamId,
}

impl CommandLogic for Cancel {
    fn handle(&self, _: &Streams<Self>, _: &mut NewEvents<Self>) -> Result<(), CommandError> {
        Ok(())
    }
}

#[derive(Command)]
struct Confirm {
    #[stream(fold = Order)]
    order: StreamId,
}

impl CommandLogic for Confirm {
    fn handle(&self, _: &Streams<Self>, _: &mut NewEvents<Self>) -> Result<(), CommandError> {
        Ok(())
    }
}

#[tokio::test]
async fn another_type_of_command_under_the_same_key_is_refused() {
    let store = InMemoryEventStore::new();
    let order = stream("order:1");
    let cancel = Cancel {
        order: order.clone(),
    };
    execute(cancel, &store)
        .idempotency_key(key("k"))
        .await
        .unwrap();
    let confirm = execute(Confirm { order }, &store).idempotency_key(key("k"));
    let error = confirm.await.unwrap_err();
    assert!(
        matches!(error, CommandError::IdempotencyConflict { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_decision_to_do_nothing_is_remembered() {
    let store = InMemoryEventStore::new();
    assert!(!run(&store, place(0)).await.unwrap().replayed);
    let again = place(0);
    let calls = again.calls.clone();
    let receipt = run(&store, again).await.unwrap();
    assert!(receipt.replayed && receipt.events.is_empty());
    assert_eq!(calls.0.load(Relaxed), 0);
}

#[tokio::test]
async fn a_rejection_leaves_the_key_free() {
    let store = InMemoryEventStore::new();
    let mut filled = place(8);
    filled.note = Note("first");
    execute(filled, &store).await.unwrap();
    assert!(run(&store, place(3)).await.unwrap_err().is_rejection());
    let smaller = run(&store, place(2)).await.unwrap();
    assert!(!smaller.replayed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_runs_at_once_one_takes_effect() {
    let store = InMemoryEventStore::new();
    let run = || {
        let store = store.clone();
        tokio::spawn(async move { run(&store, place(3)).await })
    };
    let tasks: Vec<_> = (0..20).map(|_| run()).collect();
    let mut fresh = 0;
    for task in tasks {
        let receipt = task.await.unwrap().unwrap();
        fresh += u32::from(!receipt.replayed);
    }
    assert_eq!((fresh, texts(&store, "order:1").await.len()), (1, 1));
}
