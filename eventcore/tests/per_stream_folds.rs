//! The short form of a command: each stream has its fold, the decision sees their states.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use eventcore::prelude::*;
use eventcore_memory::InMemoryEventStore;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Money(u64);

impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
#[event(prefix = "account")]
enum AccountEvent {
    Opened { owner: String },
    Deposited { amount: Money },
    Withdrawn { amount: Money },
}

#[derive(Default, Clone)]
struct Account {
    open: bool,
    balance: Money,
}

impl Fold for Account {
    type Event = AccountEvent;
    fn apply(&mut self, event: &StoredEvent<AccountEvent>) {
        match event.data() {
            AccountEvent::Opened { .. } => self.open = true,
            AccountEvent::Deposited { amount } => self.balance.0 += amount.0,
            AccountEvent::Withdrawn { amount } => self.balance.0 -= amount.0,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(prefix = "limits")]
enum LimitsEvent {
    Set { per_transfer: Money },
}

#[derive(Clone)]
struct Limits {
    per_transfer: Money,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_transfer: Money(100_000),
        }
    }
}

impl Fold for Limits {
    type Event = LimitsEvent;
    fn apply(&mut self, event: &StoredEvent<LimitsEvent>) {
        let LimitsEvent::Set { per_transfer } = event.data();
        self.per_transfer = *per_transfer;
    }
}

#[derive(Command)]
struct Deposit {
    #[stream(fold = Account)]
    account: StreamId,
    amount: Money,
}

impl CommandLogic for Deposit {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        if !streams.account.state().open {
            emit!(events, streams.account => AccountEvent::Opened { owner: "Ann".into() });
        }
        emit!(events, streams.account => AccountEvent::Deposited { amount: self.amount });
        Ok(())
    }
}

#[derive(Command)]
struct TransferMoney {
    #[stream(fold = Account)]
    from: StreamId,
    #[stream(fold = Account)]
    to: StreamId,
    #[stream(fold = Limits, read_only)]
    limits: StreamId,
    amount: Money,
}

impl CommandLogic for TransferMoney {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        let Streams::<Self> { from, to, limits } = streams;
        require!(self.amount <= limits.state().per_transfer, "over the limit");
        require!(
            from.state().balance >= self.amount,
            "insufficient funds: have {}",
            from.state().balance
        );
        emit!(events, from => AccountEvent::Withdrawn { amount: self.amount });
        emit!(events, to => AccountEvent::Deposited { amount: self.amount });
        Ok(())
    }
}

#[derive(Command)]
struct SetLimit {
    #[stream(fold = Limits)]
    limits: StreamId,
    per_transfer: Money,
}

impl CommandLogic for SetLimit {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        let per_transfer = self.per_transfer;
        emit!(events, streams.limits => LimitsEvent::Set { per_transfer });
        Ok(())
    }
}

fn stream(name: &str) -> StreamId {
    StreamId::try_new(name).unwrap()
}

fn transfer(from: &str, to: &str, amount: u64) -> TransferMoney {
    TransferMoney {
        from: stream(from),
        to: stream(to),
        limits: stream("limits"),
        amount: Money(amount),
    }
}

async fn with_balance(account: &str, amount: u64) -> InMemoryEventStore {
    let store = InMemoryEventStore::new();
    let deposit = Deposit {
        account: stream(account),
        amount: Money(amount),
    };
    execute(deposit, &store).await.unwrap();
    store
}

#[tokio::test]
async fn a_transfer_writes_to_both_accounts_and_says_so() {
    let store = with_balance("account:a", 500).await;
    let receipt = execute(transfer("account:a", "account:b", 200), &store)
        .await
        .unwrap();
    assert_eq!(receipt.attempts, 1);
    let version = |name: &str| receipt.version_of(&stream(name)).map(StreamVersion::get);
    assert_eq!(version("account:a"), Some(3));
    assert_eq!(version("account:b"), Some(1));
    assert_eq!(version("limits"), None);
    let positions: Vec<u64> = receipt.events.iter().map(|e| e.position.get()).collect();
    assert_eq!(positions, [3, 4]);
}

#[tokio::test]
async fn a_rule_that_is_broken_rejects_and_writes_nothing() {
    let store = with_balance("account:a", 500).await;
    let error = execute(transfer("account:a", "account:b", 501), &store)
        .await
        .unwrap_err();
    assert!(error.is_rejection() && !error.is_retriable());
    assert_eq!(error.to_string(), "rejected: insufficient funds: have 5.00");
    let account = eventcore::fold_stream::<Account>(&store, &stream("account:a"))
        .await
        .unwrap();
    assert_eq!(account.version.get(), 2);
}

#[tokio::test]
async fn a_read_only_stream_takes_part_in_the_decision() {
    let store = with_balance("account:a", 500).await;
    let per_transfer = Money(100);
    let limit = SetLimit {
        limits: stream("limits"),
        per_transfer,
    };
    execute(limit, &store).await.unwrap();
    let error = execute(transfer("account:a", "account:b", 101), &store)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "rejected: over the limit");
}

#[tokio::test]
async fn the_same_stream_in_two_fields_is_refused_with_both_names() {
    let store = with_balance("account:a", 500).await;
    let error = execute(transfer("account:a", "account:a", 1), &store)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "stream `account:a` is named twice, by `from` and by `to`"
    );
}
