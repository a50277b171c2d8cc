//! Clients that run commands for a while, and how many they manage.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::{Error, choice::Choice};

/// What one command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// W1: read one account, decide, append one event.
    Deposit,
    /// W2: read two accounts, append one event to each.
    Transfer,
    /// W1 on ten accounts: everybody is in everybody's way.
    Hot,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Deposit => "w1",
            Self::Transfer => "w2",
            Self::Hot => "hot",
        }
    }
}

impl std::str::FromStr for Kind {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self, Error> {
        [Self::Deposit, Self::Transfer, Self::Hot]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| format!("there is no workload `{name}`").into())
    }
}

/// How many accounts are hot, and how many commands they take: a hot stream grows fast.
const HOT_ACCOUNTS: u64 = 10;
const HOT_MOST: u64 = 2000;

/// The accounts that a command works on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accounts {
    pub(crate) one: u64,
    pub(crate) other: u64,
}

/// The number of tries that a command took.
pub(crate) type Tries<'a> = Pin<Box<dyn Future<Output = Result<u32, Error>> + Send + 'a>>;

/// One client of a contestant; runs one command after the other.
pub(crate) trait Client: Send {
    fn command(&mut self, kind: Kind, accounts: Accounts) -> Tries<'_>;
}

/// How long, and on how many accounts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) kind: Kind,
    pub(crate) accounts: u64,
    /// At most this many commands, so that streams keep about their length.
    pub(crate) most: u64,
    pub(crate) duration: Duration,
    /// How many folded states a store keeps.
    pub(crate) kept_folds: usize,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) done: u64,
    pub(crate) tries: u64,
    pub(crate) elapsed: Duration,
}

/// What a cell came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    pub(crate) tries: f64,
}

/// Runs all clients at the same time; `first` is the number of the first one, by which they choose accounts.
pub(crate) async fn drive(
    cell: Cell,
    clients: Vec<Box<dyn Client>>,
    first: usize,
) -> Result<Counts, Error> {
    let (accounts, most) = match cell.kind {
        Kind::Hot => (HOT_ACCOUNTS, cell.most.min(HOT_MOST)),
        Kind::Deposit | Kind::Transfer => (cell.accounts, cell.most),
    };
    let (done, tries) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let start = Instant::now();
    let end = start + cell.duration;
    let mut tasks = Vec::new();
    for (number, mut client) in clients.into_iter().enumerate() {
        let (done, tries) = (Arc::clone(&done), Arc::clone(&tries));
        tasks.push(tokio::spawn(async move {
            let mut choice = Choice::new(first + number);
            while Instant::now() < end && done.load(Relaxed) < most {
                let one = choice.below(accounts);
                let other = (one + 1 + choice.below(accounts - 1)) % accounts;
                let took = client.command(cell.kind, Accounts { one, other }).await?;
                done.fetch_add(1, Relaxed);
                tries.fetch_add(u64::from(took), Relaxed);
            }
            Ok::<(), Error>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(Counts {
        done: done.load(Relaxed),
        tries: tries.load(Relaxed),
        elapsed: start.elapsed(),
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
pub(crate) fn rate(
    Counts {
        done,
        tries,
        elapsed,
    }: Counts,
) -> Rate {
    Rate {
        per_second: done as f64 / elapsed.as_secs_f64(),
        tries: tries as f64 / done.max(1) as f64,
    }
}
