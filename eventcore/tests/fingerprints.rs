//! What makes two commands under one idempotency key the same.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

use std::collections::{BTreeMap, HashMap};

use eventcore::{
    prelude::*,
    store::{AppendBatch, Idempotency},
};
use eventcore_memory::InMemoryEventStore;
use serde::Serialize;
use uuid::Uuid;

#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(prefix = "order")]
enum OrderEvent {
    Placed,
}

#[derive(Default, Clone)]
struct Order;

impl Fold for Order {
    type Event = OrderEvent;
    fn apply(&mut self, _: &StoredEvent<OrderEvent>) {}
}

macro_rules! places {
    ($($command:ident $(<$parameter:ident>)?),* $(,)?) => {$(
        impl $(<$parameter: Serialize + Send + Sync>)? CommandLogic for $command $(<$parameter>)? {
            fn handle(
                &self,
                streams: &Streams<Self>,
                events: &mut NewEvents<Self>,
            ) -> Result<(), CommandError> {
                emit!(events, streams.order => OrderEvent::Placed);
                Ok(())
            }
        }
    )*};
}

fn order() -> StreamId {
    StreamId::try_new("order:1").unwrap()
}

fn key() -> IdempotencyKey {
    IdempotencyKey::try_new("request-1").unwrap()
}

async fn run<C: CommandLogic>(
    command: C,
    store: &InMemoryEventStore,
) -> Result<CommandReceipt, CommandError> {
    execute(command, store).idempotency_key(key()).await
}

/// The second command is the first one again.
async fn same<A: CommandLogic, B: CommandLogic>(first: A, second: B) {
    let store = InMemoryEventStore::new();
    run(first, &store).await.unwrap();
    let again = run(second, &store).await;
    assert!(
        again.as_ref().is_ok_and(|again| again.replayed),
        "{again:?}"
    );
}

async fn other<A: CommandLogic, B: CommandLogic>(first: A, second: B) {
    let store = InMemoryEventStore::new();
    run(first, &store).await.unwrap();
    let again = run(second, &store).await;
    assert!(
        matches!(again, Err(CommandError::IdempotencyConflict { .. })),
        "{again:?}"
    );
}

mod before {
    use super::*;

    #[derive(Command)]
    #[command(name = "place_order")]
    pub(super) struct Place {
        #[stream(fold = Order)]
        pub(super) order: StreamId,
        pub(super) items: u32,
        pub(super) note: String,
        #[command(skip)]
        pub(super) today: u64,
    }

    #[derive(Command)]
    #[command(name = "put")]
    pub(super) struct Put<T: Serialize + Send + Sync> {
        #[stream(fold = Order)]
        pub(super) order: StreamId,
        pub(super) value: T,
    }

    places!(Place, Put<T>);
}

/// A release later: another module, another name of the type, another order of fields.
mod after {
    use super::*;

    #[derive(Command)]
    #[command(name = "place_order")]
    pub(super) struct PlaceOrder {
        #[command(skip)]
        pub(super) today: u64,
        pub(super) note: String,
        pub(super) items: u32,
        #[stream(fold = Order)]
        pub(super) order: StreamId,
    }

    #[derive(Command)]
    #[command(name = "put")]
    pub(super) struct Put<T: Serialize + Send + Sync> {
        pub(super) value: T,
        #[stream(fold = Order)]
        pub(super) order: StreamId,
    }

    places!(PlaceOrder, Put<T>);
}

fn place(items: u32, note: &str, today: u64) -> before::Place {
    let note = note.to_owned();
    before::Place {
        order: order(),
        items,
        note,
        today,
    }
}

fn place_order(items: u32, note: &str, today: u64) -> after::PlaceOrder {
    let note = note.to_owned();
    after::PlaceOrder {
        order: order(),
        items,
        note,
        today,
    }
}

#[tokio::test]
async fn a_named_command_may_move_and_its_fields_may_change_places() {
    same(place(3, "fragile", 1), place_order(3, "fragile", 1)).await;
    other(place(3, "fragile", 1), place_order(4, "fragile", 1)).await;
    other(place(3, "fragile", 1), place_order(3, "heavy", 1)).await;
}

#[tokio::test]
async fn what_is_skipped_does_not_count() {
    same(place(3, "fragile", 1), place(3, "fragile", 2)).await;
    same(place(3, "fragile", 1), place_order(3, "fragile", 99)).await;
}

#[tokio::test]
async fn the_parameters_of_a_generic_command_count() {
    let first = |value: u64| before::Put {
        order: order(),
        value,
    };
    same(
        first(7),
        after::Put {
            order: order(),
            value: 7_u64,
        },
    )
    .await;
    other(
        first(7),
        after::Put {
            order: order(),
            value: 7_u32,
        },
    )
    .await;
    other(
        first(7),
        after::Put {
            order: order(),
            value: 8_u64,
        },
    )
    .await;
}

#[derive(Clone, Command, Serialize)]
struct Described {
    #[stream(fold = Order)]
    order: StreamId,
    prices: HashMap<String, u128>,
    nested: BTreeMap<String, HashMap<String, i128>>,
    #[serde(skip)]
    at: u64,
    #[serde(skip_serializing)]
    by: String,
}

places!(Described);

fn described(largest: u128, at: u64) -> Described {
    let number = |n: u64| (format!("k{n}"), largest - u128::from(n));
    let nested = |n: u64| {
        let values = (0..10).map(|n| (format!("v{n}"), i128::MIN + i128::from(n)));
        (format!("n{n}"), values.collect())
    };
    Described {
        order: order(),
        prices: (0..20).map(number).collect(),
        nested: (0..5).map(nested).collect(),
        at,
        by: at.to_string(),
    }
}

/// Each map is made anew, and so has another order.
#[tokio::test]
async fn maps_with_numbers_beyond_64_bits_are_the_same_in_any_order() {
    for _ in 0..40 {
        same(described(u128::MAX, 1), described(u128::MAX, 1)).await;
    }
    other(described(u128::MAX, 1), described(u128::MAX - 1, 1)).await;
}

#[tokio::test]
async fn what_serde_skips_does_not_count() {
    same(described(9999, 1), described(9999, 2)).await;
}

/// Without a name, as every command was before there were names.
#[derive(Command)]
struct Unnamed {
    #[stream(fold = Order)]
    order: StreamId,
    items: u32,
    note: &'static str,
}

places!(Unnamed);

/// What version 0.1.0 stored for it: path, streams and fields as they are declared.
fn stored_by_0_1_0() -> Uuid {
    let mut bytes = Vec::new();
    let path = std::any::type_name::<Unnamed>();
    for part in [path, "order", "order:1", "3", "\"fragile\""] {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    Uuid::new_v5(&Uuid::NAMESPACE_OID, &bytes)
}

#[tokio::test]
async fn a_receipt_of_an_earlier_version_is_found() {
    let store = InMemoryEventStore::new();
    let mut batch = AppendBatch::builder();
    batch.expect(order(), StreamVersion::EMPTY).unwrap();
    batch
        .event(&order(), OrderEvent::Placed.encode().unwrap())
        .unwrap();
    let fingerprint = stored_by_0_1_0();
    batch.idempotency(Idempotency {
        key: key(),
        fingerprint,
    });
    store.append(batch.build().unwrap()).await.unwrap();

    let unnamed = |items| Unnamed {
        order: order(),
        items,
        note: "fragile",
    };
    assert!(run(unnamed(3), &store).await.unwrap().replayed);
    let conflict = run(unnamed(4), &store).await.unwrap_err();
    assert!(
        matches!(conflict, CommandError::IdempotencyConflict { .. }),
        "{conflict:?}"
    );
}
