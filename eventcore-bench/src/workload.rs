//! The deposit: what every contestant does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use eventcore::{
    prelude::*,
    store::{AppendBatch, ReadFrom},
};

use crate::Error;

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
            streams.account.state().balance < u64::MAX / 2,
            "the account is full"
        );
        emit!(events, streams.account => AccountEvent::deposited(self.number));
        Ok(())
    }
}

/// What is measured.
pub(crate) struct Workload {
    pub(crate) streams: u64,
    pub(crate) duration: Duration,
}

/// Events per stream before the measurement.
pub(crate) const SEEDED: u64 = 10;

pub(crate) fn stream_name(number: u64) -> String {
    format!("account:{number:08}")
}

impl Workload {
    /// Commands per second.
    pub(crate) async fn run<S>(&self, store: S, clients: usize) -> Result<f64, Error>
    where
        S: EventStore + Clone + 'static,
    {
        self.seed(&store).await?;
        let done = Arc::new(AtomicU64::new(0));
        let end = Instant::now() + self.duration;
        let start = Instant::now();
        let mut tasks = Vec::new();
        for client in 0..clients {
            let (store, done, streams) = (store.clone(), Arc::clone(&done), self.streams);
            tasks.push(tokio::spawn(async move {
                let mut choice = Choice::new(client);
                while Instant::now() < end {
                    let number = choice.below(streams);
                    let account = StreamId::try_new(stream_name(number))?;
                    execute(Deposit { account, number }, &store).await?;
                    done.fetch_add(1, Relaxed);
                }
                Ok::<(), Error>(())
            }));
        }
        for task in tasks {
            task.await??;
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
        let done = done.load(Relaxed) as f64;
        Ok(done / start.elapsed().as_secs_f64())
    }

    async fn seed<S: EventStore>(&self, store: &S) -> Result<(), Error> {
        let numbers: Vec<u64> = (0..self.streams).collect();
        for group in numbers.chunks(500) {
            let mut batch = AppendBatch::builder();
            for &number in group {
                let stream = StreamId::try_new(stream_name(number))?;
                batch.expect(stream, StreamVersion::EMPTY)?;
            }
            // One event for each in turn: as accounts grow in life, not each in one piece.
            for at in 0..SEEDED {
                for &number in group {
                    let stream = StreamId::try_new(stream_name(number))?;
                    batch.event(
                        &stream,
                        AccountEvent::deposited(number * SEEDED + at).encode()?,
                    )?;
                }
            }
            store.append(batch.build()?).await?;
        }
        let first = StreamId::try_new(stream_name(0))?;
        let read = store.read(&[ReadFrom::start(first)]).await?;
        assert_eq!(read.events.collect().await?.len() as u64, SEEDED);
        Ok(())
    }
}

/// Numbers that are spread well enough and cost nothing (a linear congruential generator with Knuth's constants).
pub(crate) struct Choice(u64);

impl Choice {
    pub(crate) fn new(seed: usize) -> Self {
        Self((seed as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
