//! The replay: one command per purchase, many of them on their way at once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use eventcore::prelude::*;
use tokio::task::JoinSet;

use super::{
    BeginImport, CustomerStream, InputId, LedgerStream, OtherInput, Purchase, RecordPurchase,
    ShopError, audit::Refused, import::IMPORT_STREAM, progress::Progress, schedule::Schedule,
    stop::Stop,
};

/// What a replay did.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// How many commands took effect now.
    pub(crate) recorded: u64,
    /// What the rules refused.
    pub(crate) refused: Refused,
    /// How many attempts those together needed.
    pub(crate) attempts: u64,
    /// How many the most unlucky one needed.
    pub(crate) most_attempts: u32,
    /// From the first command to the end of the last.
    pub(crate) elapsed: Duration,
    /// How long each of them took, its waiting in line included.
    pub(crate) latencies: Vec<Duration>,
    /// Whether somebody asked to stop before the end.
    pub(crate) interrupted: bool,
}

/// What one task brings back.
struct Done {
    purchase: Purchase,
    took: Duration,
    result: Result<CommandReceipt, CommandError>,
}

/// Claims the store for an input, or finds that it was claimed for it before.
pub(crate) async fn begin(
    store: &Arc<dyn EventStore>,
    name: &str,
    input: InputId,
    purchases: u64,
) -> Result<(), ShopError> {
    let import = StreamId::try_new(IMPORT_STREAM)?;
    let command = BeginImport {
        import,
        input,
        purchases,
    };
    let Err(error) = execute(command, store).await else {
        return Ok(());
    };
    match error
        .rejection()
        .and_then(|rejection| rejection.downcast_ref())
    {
        Some(OtherInput { held }) => Err(ShopError::OtherInput {
            store: name.to_owned(),
            held: *held,
            wanted: input,
        }),
        None => Err(ShopError::Begin(error)),
    }
}

/// Records purchases, up to `in_flight` at a time, until all are done, one fails, or somebody asks to stop.
///
/// Every command runs in a task of its own, and whatever happens, those that have begun are brought to their end.
pub(crate) async fn replay(
    store: &Arc<dyn EventStore>,
    input: InputId,
    purchases: &[Purchase],
    in_flight: usize,
    progress: &mut Progress,
    stop: &mut Stop,
) -> Result<Outcome, ShopError> {
    let begun = Instant::now();
    let mut outcome = Outcome::default();
    let mut schedule = Schedule::new(purchases);
    let mut tasks = JoinSet::new();
    let mut failure = None;
    loop {
        while failure.is_none()
            && !outcome.interrupted
            && tasks.len() < in_flight
            && let Some(purchase) = schedule.start()
        {
            tasks.spawn(record(Arc::clone(store), input, *purchase)?);
        }
        let joined = tokio::select! {
            joined = tasks.join_next() => joined,
            () = stop.requested(), if !outcome.interrupted => {
                outcome.interrupted = true;
                progress.note(&format!("stopping; {} purchases are on their way", tasks.len()));
                continue;
            }
        };
        let done = match joined {
            None => break,
            Some(Ok(done)) => done,
            Some(Err(_)) => {
                failure.get_or_insert(ShopError::Bug("a task panicked"));
                continue;
            }
        };
        schedule.finish(done.purchase.customer);
        progress.advance(done.purchase.date);
        if let Err(error) = outcome.count(done) {
            failure.get_or_insert(error);
        }
    }
    outcome.elapsed = begun.elapsed();
    match failure {
        Some(error) => Err(error),
        None => Ok(outcome),
    }
}

/// The future that records one purchase, at most once per line of the input, over all runs.
fn record(
    store: Arc<dyn EventStore>,
    input: InputId,
    purchase: Purchase,
) -> Result<impl Future<Output = Done> + Send + 'static, ShopError> {
    let key = IdempotencyKey::try_new(format!("{input}:{:07}", purchase.line))?;
    Ok(async move {
        let begun = Instant::now();
        let result = execute(RecordPurchase::from(purchase), store)
            .idempotency_key(key)
            .await;
        Done {
            purchase,
            took: begun.elapsed(),
            result,
        }
    })
}

impl Outcome {
    fn count(&mut self, done: Done) -> Result<(), ShopError> {
        let line = done.purchase.line;
        match done.result {
            Ok(receipt) => {
                // Another process may have been faster; then nothing was recorded now.
                if !receipt.replayed {
                    self.recorded += 1;
                    self.attempts += u64::from(receipt.attempts);
                    self.most_attempts = self.most_attempts.max(receipt.attempts);
                    self.latencies.push(done.took);
                }
            }
            Err(error) => match error.rejection() {
                Some(rejection) => {
                    self.refused.insert(line, rejection.to_string());
                }
                None => {
                    return Err(ShopError::Purchase {
                        line,
                        source: error,
                    });
                }
            },
        }
        Ok(())
    }
}

impl From<Purchase> for RecordPurchase {
    fn from(purchase: Purchase) -> Self {
        let Purchase {
            line,
            customer,
            date,
            cds,
            cents,
        } = purchase;
        Self {
            customer: CustomerStream { id: customer },
            ledger: LedgerStream { date },
            line,
            cds,
            cents,
        }
    }
}
