//! What every contestant does: accounts of 10 events of about 200 bytes of JSON, deposits and transfers.

use eventcore::{
    prelude::*,
    store::{AppendBatch, ReadFrom},
};

use crate::{
    Error,
    driver::{Accounts, Client, Kind, Tries},
};

/// About 200 bytes of JSON.
#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(prefix = "account")]
pub(crate) enum AccountEvent {
    Deposited {
        amount: u64,
        currency: String,
        reference: String,
        note: String,
        channel: String,
    },
}

impl AccountEvent {
    pub(crate) fn deposited(number: u64) -> Self {
        Self::Deposited {
            amount: number % 1000,
            currency: "EUR".into(),
            reference: format!("RF18-5390-0754-{number:012}"),
            note: "monthly transfer of the agreed amount, thank you very much".into(),
            channel: "mobile-banking-app".into(),
        }
    }
}

#[derive(Clone, Default)]
pub(crate) struct Account {
    pub(crate) balance: u64,
}

/// The rule that every contestant checks.
pub(crate) const FULL: u64 = u64::MAX / 2;

impl Fold for Account {
    type Event = AccountEvent;
    fn apply(&mut self, event: &StoredEvent<AccountEvent>) {
        let AccountEvent::Deposited { amount, .. } = event.data();
        self.balance += amount;
    }
}

#[derive(Command)]
struct Deposit {
    #[stream(fold = Account)]
    account: StreamId,
    number: u64,
}

impl CommandLogic for Deposit {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        require!(
            streams.account.state().balance < FULL,
            "the account is full"
        );
        emit!(events, streams.account => AccountEvent::deposited(self.number));
        Ok(())
    }
}

#[derive(Command)]
struct Transfer {
    #[stream(fold = Account)]
    from: StreamId,
    #[stream(fold = Account)]
    to: StreamId,
    number: u64,
}

impl CommandLogic for Transfer {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        let Streams::<Self> { from, to } = streams;
        require!(
            from.state().balance < FULL && to.state().balance < FULL,
            "an account is full"
        );
        emit!(events, from => AccountEvent::deposited(self.number));
        emit!(events, to => AccountEvent::deposited(self.number));
        Ok(())
    }
}

/// Events per stream before the measurement.
pub(crate) const SEEDED: u64 = 10;

pub(crate) fn stream_name(number: u64) -> String {
    format!("account:{number:08}")
}

/// A client of any event store.
pub(crate) struct StoreClient<S>(pub(crate) S);

impl<S: EventStore> Client for StoreClient<S> {
    fn command(&mut self, kind: Kind, Accounts { one, other }: Accounts) -> Tries<'_> {
        Box::pin(async move {
            let from = StreamId::try_new(stream_name(one))?;
            let receipt = match kind {
                Kind::Deposit | Kind::Hot => {
                    let command = Deposit {
                        account: from,
                        number: one,
                    };
                    execute(command, &self.0).await?
                }
                Kind::Transfer => {
                    let to = StreamId::try_new(stream_name(other))?;
                    let command = Transfer {
                        from,
                        to,
                        number: one,
                    };
                    execute(command, &self.0).await?
                }
            };
            Ok(receipt.attempts)
        })
    }
}

/// One deposit; its position.
pub(crate) async fn deposit<S: EventStore>(
    store: &S,
    number: u64,
) -> Result<GlobalPosition, Error> {
    let account = StreamId::try_new(stream_name(number))?;
    let receipt = execute(Deposit { account, number }, store).await?;
    receipt
        .position()
        .ok_or_else(|| "a deposit has an event".into())
}

/// Fills a store: one event for each account in turn, as accounts grow in life.
pub(crate) async fn seed<S: EventStore>(store: &S, accounts: u64) -> Result<(), Error> {
    let numbers: Vec<u64> = (0..accounts).collect();
    for group in numbers.chunks(500) {
        let mut batch = AppendBatch::builder();
        let mut streams = Vec::with_capacity(group.len());
        for &number in group {
            let stream = StreamId::try_new(stream_name(number))?;
            batch.expect(stream.clone(), StreamVersion::EMPTY)?;
            streams.push((number, stream));
        }
        for at in 0..SEEDED {
            for (number, stream) in &streams {
                batch.event(
                    stream,
                    AccountEvent::deposited(number * SEEDED + at).encode()?,
                )?;
            }
        }
        store.append(batch.build()?).await?;
    }
    let first = StreamId::try_new(stream_name(0))?;
    let read = store.read(&[ReadFrom::start(first)]).await?;
    if read.versions.first().map(|version| version.get()) != Some(SEEDED) {
        return Err("the accounts were not seeded".into());
    }
    Ok(())
}
