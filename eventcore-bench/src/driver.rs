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
}

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

/// What a cell came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    pub(crate) tries: f64,
}

/// Runs all clients at the same time.
pub(crate) async fn drive(cell: Cell, clients: Vec<Box<dyn Client>>) -> Result<Rate, Error> {
    let (done, tries) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let start = Instant::now();
    let end = start + cell.duration;
    let mut tasks = Vec::new();
    for (number, mut client) in clients.into_iter().enumerate() {
        let (done, tries) = (Arc::clone(&done), Arc::clone(&tries));
        tasks.push(tokio::spawn(async move {
            let mut choice = Choice::new(number);
            while Instant::now() < end && done.load(Relaxed) < cell.most {
                let one = choice.below(cell.accounts);
                let other = (one + 1 + choice.below(cell.accounts - 1)) % cell.accounts;
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
    Ok(rate(
        done.load(Relaxed),
        tries.load(Relaxed),
        start.elapsed(),
    ))
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
pub(crate) fn rate(done: u64, tries: u64, elapsed: Duration) -> Rate {
    Rate {
        per_second: done as f64 / elapsed.as_secs_f64(),
        tries: tries as f64 / done.max(1) as f64,
    }
}
