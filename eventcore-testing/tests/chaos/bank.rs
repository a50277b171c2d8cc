//! What the tests run: a transfer between two accounts that counts how often it decides.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::SeqCst},
};

use eventcore::{prelude::*, store::ReadFrom};
pub(crate) use eventcore_memory::InMemoryEventStore;
pub(crate) use eventcore_testing::chaos::{ChaosStore, Fault, Operation};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
#[event(prefix = "account")]
pub(crate) enum AccountEvent {
    Deposited { amount: u64 },
    Withdrawn { amount: u64 },
}

#[derive(Default, Clone)]
pub(crate) struct Account {
    pub(crate) balance: u64,
}

impl Fold for Account {
    type Event = AccountEvent;
    fn apply(&mut self, event: &StoredEvent<AccountEvent>) {
        match event.data() {
            AccountEvent::Deposited { amount } => self.balance += amount,
            AccountEvent::Withdrawn { amount } => self.balance -= amount,
        }
    }
}

/// How often a command decided.
#[derive(Clone, Debug, Default)]
pub(crate) struct Decisions(Arc<AtomicU32>);

impl Decisions {
    pub(crate) fn count(&self) -> u32 {
        self.0.load(SeqCst)
    }

    pub(crate) fn one_more(&self) -> u32 {
        self.0.fetch_add(1, SeqCst) + 1
    }
}

#[derive(Command)]
pub(crate) struct Transfer {
    #[stream(fold = Account)]
    pub(crate) from: StreamId,
    #[stream(fold = Account)]
    pub(crate) to: StreamId,
    pub(crate) amount: u64,
    pub(crate) decisions: Decisions,
}

impl CommandLogic for Transfer {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        self.decisions.one_more();
        let (amount, have) = (self.amount, streams.from.state().balance);
        require!(have >= amount, "have {have}");
        if amount > 0 {
            emit!(events, streams.from => AccountEvent::Withdrawn { amount });
            emit!(events, streams.to => AccountEvent::Deposited { amount });
        }
        Ok(())
    }
}

#[derive(Command)]
pub(crate) struct Deposit {
    #[stream(fold = Account)]
    pub(crate) account: StreamId,
    pub(crate) amount: u64,
}

impl CommandLogic for Deposit {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        emit!(events, streams.account => AccountEvent::Deposited { amount: self.amount });
        Ok(())
    }
}

pub(crate) fn stream(name: &str) -> StreamId {
    StreamId::try_new(name).unwrap()
}

pub(crate) fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey::try_new(name).unwrap()
}

pub(crate) fn deposit(account: &str, amount: u64) -> Deposit {
    Deposit {
        account: stream(account),
        amount,
    }
}

pub(crate) fn transfer(amount: u64, decisions: &Decisions) -> Transfer {
    Transfer {
        from: stream("a"),
        to: stream("b"),
        amount,
        decisions: decisions.clone(),
    }
}

/// A store in which `a` has 100.
pub(crate) async fn with_a_hundred() -> InMemoryEventStore {
    let store = InMemoryEventStore::new();
    execute(deposit("a", 100), &store).await.unwrap();
    store
}

pub(crate) async fn balance(store: &impl EventStore, account: &str) -> u64 {
    let folded = eventcore::fold_stream::<Account>(store, &stream(account)).await;
    folded.unwrap().state.balance
}

/// The same store, used by another process.
pub(crate) fn elsewhere(store: &InMemoryEventStore) -> ChaosStore<InMemoryEventStore> {
    ChaosStore::new(store.clone()).apart()
}

/// The number of events in a stream, after checking that they are numbered without a hole.
pub(crate) async fn length(store: &impl EventStore, name: &str) -> u64 {
    let read = store.read(&[ReadFrom::start(stream(name))]).await.unwrap();
    let version = read.versions[0].get();
    let events = read.events.collect().await.unwrap();
    let versions: Vec<u64> = events.iter().map(|event| event.version().get()).collect();
    assert_eq!(versions, (1..=version).collect::<Vec<_>>());
    version
}

/// What comes within an hour, on a clock that jumps when nobody has anything to do.
pub(crate) async fn in_time<F: IntoFuture>(work: F) -> F::Output {
    let hour = std::time::Duration::from_hours(1);
    tokio::time::timeout(hour, work).await.expect("it hangs")
}

/// Waits that cost a test no time.
pub(crate) fn at_once() -> RetryPolicy {
    RetryPolicy::fixed(std::time::Duration::ZERO)
}
