//! The classic form of a command: one state over all its plain streams, folded in global order.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

#[path = "support/seed.rs"]
mod seed;
#[path = "support/spy.rs"]
mod spy;

use eventcore::prelude::*;
use eventcore_memory::InMemoryEventStore;

use self::{
    seed::{events_of, given, given_stored, one_more, stored, stream, texts},
    spy::Spy,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
#[event(prefix = "ledger")]
enum LedgerEvent {
    Booked { amount: i64 },
    Settled { lowest: i64, seen: Vec<String> },
}

/// The lowest running balance depends on how the ledgers interleave, so no fold per ledger gives it.
#[derive(Default)]
struct Batch {
    balance: i64,
    lowest: i64,
    seen: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(prefix = "limit")]
enum LimitEvent {
    Set { lowest: i64 },
    Asked,
}

#[derive(Default, Clone)]
struct Limit(i64);

impl Fold for Limit {
    type Event = LimitEvent;
    fn apply(&mut self, event: &StoredEvent<LimitEvent>) {
        if let LimitEvent::Set { lowest } = event.data() {
            self.0 = *lowest;
        }
    }
}

/// All kinds of plain fields, and one stream with a fold of its own.
#[derive(Command)]
struct SettleBatch {
    #[stream]
    journal: StreamId,
    #[stream]
    ledgers: Vec<StreamId>,
    #[stream(read_only)]
    archive: Option<StreamId>,
    #[stream(fold = Limit)]
    limit: StreamId,
    /// Bookings below this size are not looked at.
    smallest: i64,
}

impl CommandState for SettleBatch {
    type Event = LedgerEvent;
    type State = Batch;

    fn apply(&self, state: &mut Batch, event: &StoredEvent<LedgerEvent>) {
        if let LedgerEvent::Booked { amount } = event.data()
            && amount.abs() >= self.smallest
        {
            state.balance += amount;
            state.lowest = state.lowest.min(state.balance);
            state.seen.push(format!("{}:{amount}", event.stream()));
        }
    }
}

impl CommandLogic for SettleBatch {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        let Streams::<Self> {
            journal,
            ledgers,
            archive: _,
            limit,
            state,
        } = streams;
        require!(
            state.lowest >= limit.state().0,
            "the balance was down to {}",
            state.lowest
        );
        let (lowest, seen) = (state.lowest, state.seen.clone());
        emit!(events, journal => LedgerEvent::Settled { lowest, seen });
        for ledger in ledgers {
            let amount = i64::try_from(ledger.version().get()).unwrap();
            emit!(events, ledger => LedgerEvent::Booked { amount });
        }
        emit!(events, limit => LimitEvent::Asked);
        Ok(())
    }
}

fn settle(ledgers: &[&str]) -> SettleBatch {
    SettleBatch {
        journal: stream("journal"),
        ledgers: ledgers.iter().map(|name| stream(name)).collect(),
        archive: None,
        limit: stream("limit"),
        smallest: 0,
    }
}

async fn book(store: &InMemoryEventStore, ledger: &str, amount: i64) {
    given(store, ledger, LedgerEvent::Booked { amount }).await;
}

async fn store_with(bookings: &[(&str, i64)]) -> InMemoryEventStore {
    let store = InMemoryEventStore::new();
    let lowest = -100;
    given(&store, "limit", LimitEvent::Set { lowest }).await;
    for (ledger, amount) in bookings {
        book(&store, ledger, *amount).await;
    }
    store
}

async fn settled(store: &InMemoryEventStore) -> (i64, Vec<String>) {
    let last = events_of(store, "journal").await.pop().unwrap();
    match StoredEvent::decode(last).unwrap().into_data() {
        LedgerEvent::Settled { lowest, seen } => (lowest, seen),
        other @ LedgerEvent::Booked { .. } => panic!("not settled: {other:?}"),
    }
}

#[tokio::test]
async fn events_of_all_plain_streams_come_in_global_order() {
    let store = store_with(&[("b", 1), ("a", 2), ("journal", 3), ("b", 4), ("a", 5)]).await;
    execute(settle(&["a", "b"]), &store).await.unwrap();
    let (_, seen) = settled(&store).await;
    assert_eq!(seen, ["b:1", "a:2", "journal:3", "b:4", "a:5"]);
}

#[tokio::test]
async fn the_same_streams_interleaved_otherwise_decide_otherwise() {
    let paid_first = store_with(&[("a", 150), ("b", -150)]).await;
    execute(settle(&["a", "b"]), &paid_first).await.unwrap();

    let paid_later = store_with(&[("b", -150), ("a", 150)]).await;
    let error = execute(settle(&["a", "b"]), &paid_later).await.unwrap_err();
    assert_eq!(error.to_string(), "rejected: the balance was down to -150");
}

#[tokio::test]
async fn apply_sees_the_command() {
    let store = store_with(&[("a", 5), ("a", 500)]).await;
    let mut command = settle(&["a"]);
    command.smallest = 100;
    execute(command, &store).await.unwrap();
    assert_eq!(settled(&store).await.1, ["a:500"]);
}

#[tokio::test]
async fn an_optional_plain_stream_takes_part_when_it_is_there() {
    let store = store_with(&[("archive", -7)]).await;
    let mut command = settle(&[]);
    command.archive = Some(stream("archive"));
    execute(command, &store).await.unwrap();
    assert_eq!(settled(&store).await, (-7, vec!["archive:-7".to_owned()]));

    execute(settle(&[]), &store).await.unwrap();
    assert_eq!(settled(&store).await, (0, vec![]));
}

#[tokio::test]
async fn streams_with_a_fold_keep_their_events_out_of_the_one_state() {
    let store = store_with(&[("a", 1)]).await;
    let receipt = execute(settle(&["a"]), &store).await.unwrap();
    assert_eq!(settled(&store).await.1, ["a:1"]);
    assert_eq!(
        texts(&store, "limit").await,
        [r#"limit.set {"lowest":-100}"#, "limit.asked {}"]
    );
    let streams: Vec<_> = receipt.events.iter().map(|e| e.stream.as_str()).collect();
    assert_eq!(streams, ["journal", "a", "limit"]);
}

#[tokio::test]
async fn a_plain_view_knows_its_version() {
    let store = store_with(&[("a", 1), ("b", 1), ("a", 1)]).await;
    execute(settle(&["a", "b"]), &store).await.unwrap();
    let last = |mut all: Vec<String>| all.pop().unwrap();
    assert_eq!(
        last(texts(&store, "a").await),
        r#"ledger.booked {"amount":2}"#
    );
    assert_eq!(
        last(texts(&store, "b").await),
        r#"ledger.booked {"amount":1}"#
    );
}

#[tokio::test]
async fn another_attempt_starts_from_an_empty_state() {
    let store = Spy::over(store_with(&[("a", -60)]).await);
    let booked = LedgerEvent::Booked { amount: 10 }.encode().unwrap();
    let sneaked = one_more(&store.inner, "a", booked).await;
    store.sneak_in_before_append(1, sneaked);

    let receipt = execute(settle(&["a"]), &store).await.unwrap();
    assert_eq!(receipt.attempts, 2);
    let seen = vec!["a:-60".to_owned(), "a:10".to_owned()];
    assert_eq!(settled(&store.inner).await, (-60, seen));
}

#[tokio::test]
async fn a_read_only_plain_stream_is_guarded() {
    let store = Spy::over(store_with(&[("archive", 1)]).await);
    let booked = LedgerEvent::Booked { amount: 2 }.encode().unwrap();
    let sneaked = one_more(&store.inner, "archive", booked).await;
    store.sneak_in_before_append(1, sneaked);

    let mut command = settle(&[]);
    command.archive = Some(stream("archive"));
    let receipt = execute(command, &store).await.unwrap();
    assert_eq!(receipt.attempts, 2);
    assert_eq!(settled(&store.inner).await.1, ["archive:1", "archive:2"]);
}

#[tokio::test]
async fn long_streams_are_folded_whole_and_in_order() {
    let store = InMemoryEventStore::new();
    for number in 0..2500_i64 {
        book(&store, if number % 3 == 0 { "a" } else { "b" }, number).await;
    }
    execute(settle(&["b", "a"]), &store).await.unwrap();
    let (_, seen) = settled(&store).await;
    let numbers: Vec<i64> = seen.iter().map(|s| s[2..].parse().unwrap()).collect();
    assert_eq!(numbers, (0..2500).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_unknown_event_in_a_plain_stream_is_an_error_that_names_it() {
    let store = store_with(&[("a", 1)]).await;
    given_stored(&store, "a", stored("ledger.audited", "{}")).await;
    let error = execute(settle(&["a"]), &store).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot decode event 2 of stream `a` (position 3, type `ledger.audited` version 1)"
    );
    assert!(texts(&store, "journal").await.is_empty());
}
