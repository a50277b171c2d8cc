//! The log is replaced under a running program: no decision rests on a history that no log holds.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use eventcore::{
    prelude::*,
    store::{
        AppendBatch, AppendError, AppendReceipt, Capabilities, EventFilter, KeptReceipt, Page,
        PageSize, ReadError, ReadFrom, StreamRead,
    },
};
use eventcore_memory::InMemoryEventStore;

#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(prefix = "account")]
enum AccountEvent {
    Deposited { amount: u64 },
    Withdrawn { amount: u64 },
}

#[derive(Default, Clone)]
struct Account {
    balance: u64,
    events: u64,
}

impl Fold for Account {
    type Event = AccountEvent;
    fn apply(&mut self, event: &StoredEvent<AccountEvent>) {
        self.events += 1;
        match event.data() {
            AccountEvent::Deposited { amount } => self.balance += amount,
            AccountEvent::Withdrawn { amount } => self.balance -= amount,
        }
    }
}

#[derive(Command)]
struct Deposit {
    #[stream(fold = Account)]
    account: StreamId,
    amount: u64,
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

#[derive(Command)]
struct Withdraw {
    #[stream(fold = Account)]
    account: StreamId,
    amount: u64,
}

impl CommandLogic for Withdraw {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        let Account {
            balance,
            events: seen,
        } = streams.account.state();
        assert_eq!(
            *seen,
            streams.account.version().get(),
            "a fold of something else"
        );
        require!(*balance >= self.amount, "balance {balance}");
        emit!(events, streams.account => AccountEvent::Withdrawn { amount: self.amount });
        Ok(())
    }
}

/// A store whose log can be exchanged, as a database does that is restored, or dropped and made again.
struct Exchangeable {
    log: Mutex<InMemoryEventStore>,
    commons: eventcore::Commons,
}

impl Exchangeable {
    fn new(log: InMemoryEventStore) -> Arc<Self> {
        Arc::new(Self {
            log: Mutex::new(log),
            commons: eventcore::Commons::new(),
        })
    }

    fn exchange(&self, log: InMemoryEventStore) {
        *self.log.lock().unwrap() = log;
    }

    fn log(&self) -> InMemoryEventStore {
        self.log.lock().unwrap().clone()
    }
}

#[async_trait]
impl EventStore for Exchangeable {
    fn capabilities(&self) -> Capabilities {
        Capabilities::none()
    }
    fn commons(&self) -> &eventcore::Commons {
        &self.commons
    }
    async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
        self.log().read(streams).await
    }
    async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
        self.log().append(batch).await
    }
    async fn find_receipt(&self, key: &IdempotencyKey) -> Result<Option<KeptReceipt>, ReadError> {
        self.log().find_receipt(key).await
    }
    async fn committed_receipt(
        &self,
        key: &IdempotencyKey,
    ) -> Result<Option<KeptReceipt>, ReadError> {
        self.log().committed_receipt(key).await
    }
    async fn read_all(
        &self,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<Page, ReadError> {
        self.log().read_all(after, filter, limit).await
    }
}

fn account() -> StreamId {
    StreamId::try_new("account:1").unwrap()
}

/// A log with this many deposits of this amount.
async fn log_of(deposits: u64, amount: u64) -> InMemoryEventStore {
    let log = InMemoryEventStore::new();
    for _ in 0..deposits {
        let account = account();
        execute(Deposit { account, amount }, &log).await.unwrap();
    }
    log
}

/// Ten deposits of 100 are known; then the log is another, of any length around that.
#[tokio::test]
async fn a_state_of_the_log_before_decides_nothing_on_the_next_one() {
    for length in 0..25 {
        let store = Exchangeable::new(log_of(9, 100).await);
        let account = account();
        let deposit = Deposit {
            account: account.clone(),
            amount: 100,
        };
        execute(deposit, &store).await.unwrap();

        store.exchange(log_of(length, 1).await);
        let withdraw = |amount| Withdraw {
            account: account.clone(),
            amount,
        };
        // Also with a policy that leaves no second attempt.
        let refused = execute(withdraw(length + 1), &store)
            .retry(RetryPolicy::none())
            .await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.to_string(), format!("rejected: balance {length}"));
        let receipt = execute(withdraw(length), &store).await.unwrap();
        assert_eq!(receipt.version_of(&account).unwrap().get(), length + 1);
    }
}

/// A stream that is read in a second round, after the log was exchanged between the rounds, is not taken for the same.
#[tokio::test]
async fn a_log_that_is_exchanged_and_back_again_is_folded_right_each_time() {
    let (first, second) = (log_of(12, 100).await, log_of(12, 1).await);
    let store = Exchangeable::new(first.clone());
    let account = account();
    for round in 0..6 {
        let (log, balance) = if round % 2 == 0 {
            (&first, 1200)
        } else {
            (&second, 12)
        };
        store.exchange(log.clone());
        let amount = 10_000;
        let withdraw = Withdraw {
            account: account.clone(),
            amount,
        };
        let refused = execute(withdraw, &store).await.unwrap_err();
        assert_eq!(refused.to_string(), format!("rejected: balance {balance}"));
    }
}
