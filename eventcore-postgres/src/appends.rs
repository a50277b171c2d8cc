//! The task that appends: whatever waits travels together.
//!
//! Group commit: while one call is under way, appends gather in the queue; the next call takes them all. Batches that
//! touch what an earlier one of the same call writes wait for the next call, so that within a call the verdict on one
//! never depends on another. An append that comes alone waits for nobody.

use std::collections::{HashSet, VecDeque};

use eventcore::{
    IdempotencyKey, StreamId,
    store::{AppendBatch, AppendError, AppendReceipt},
};
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};

use crate::{
    append_call::{AppendCall, Judged},
    connection::{Held, is_broken},
    errors::{again, append_error, store_error},
    log_page::ReceiptCall,
};

pub(crate) type Verdict = Result<AppendReceipt, AppendError>;

/// What the task is asked to do.
pub(crate) enum Job {
    Append(Append),
    /// Finish what waits, then end.
    Close,
}

pub(crate) struct Append {
    pub(crate) batch: AppendBatch,
    pub(crate) verdict: oneshot::Sender<Verdict>,
}

/// The most appends, and bytes of payload, of one call.
const MAX_GROUP: usize = 512;
const MAX_GROUP_BYTES: usize = 16 << 20;
/// How many appends are looked through for those that can travel together.
const MAX_WAITING: usize = 4096;

pub(crate) struct Appends {
    pub(crate) pool: PgPool,
    pub(crate) call: AppendCall,
    pub(crate) receipts: ReceiptCall,
}

impl Appends {
    /// Runs until the queue is closed and empty.
    pub(crate) async fn run(self, mut queue: mpsc::Receiver<Job>) {
        let mut held = Held::new(self.pool.clone());
        let mut waiting: VecDeque<Append> = VecDeque::new();
        loop {
            if waiting.is_empty() {
                let job = match queue.try_recv() {
                    Ok(job) => Some(job),
                    Err(_) => queue.recv().await,
                };
                let Some(job) = job else {
                    break;
                };
                take(&mut waiting, &mut queue, job);
            }
            // Tasks that are about to append get two chances to join: cheaper than another call.
            for _ in 0..2 {
                tokio::task::yield_now().await;
                while waiting.len() < MAX_WAITING
                    && let Ok(job) = queue.try_recv()
                {
                    take(&mut waiting, &mut queue, job);
                }
            }
            let group = next_group(&mut waiting);
            if !group.is_empty() {
                self.append(&mut held, group).await;
            }
        }
    }

    async fn append(&self, held: &mut Held, mut group: Vec<Append>) {
        // Once more, each alone, when it was the group that the server did not like.
        let mut alone = VecDeque::new();
        loop {
            let result = self.call(held, &group).await;
            match result {
                Ok(judged) => {
                    for (append, judged) in group.into_iter().zip(judged) {
                        let verdict = self.verdict(held, &append.batch, judged).await;
                        // Whoever gave up does not hear it.
                        let _ = append.verdict.send(verdict);
                    }
                }
                Err(AppendError::Store(cause)) if group.len() > 1 && !cause.is_retriable() => {
                    alone.extend(group.into_iter().map(|append| vec![append]));
                }
                Err(error) => {
                    for append in group {
                        let _ = append.verdict.send(Err(again(&error)));
                    }
                }
            }
            match alone.pop_front() {
                Some(next) => group = next,
                None => return,
            }
        }
    }

    async fn call(&self, held: &mut Held, group: &[Append]) -> Result<Vec<Judged>, AppendError> {
        let batches: Vec<&AppendBatch> = group.iter().map(|append| &append.batch).collect();
        let connection = match held.get().await {
            Ok(connection) => connection,
            // Nothing was sent, so nothing was done.
            Err(error) => return Err(store_error("append", error).into()),
        };
        let result = self.call.run(connection, &batches).await;
        held.done(result.as_ref().is_err_and(is_broken));
        result.map_err(append_error)
    }

    async fn verdict(&self, held: &mut Held, batch: &AppendBatch, judged: Judged) -> Verdict {
        match judged {
            Judged::Appended(receipt) => Ok(receipt),
            Judged::Conflict(conflict) => Err(conflict.into()),
            Judged::Known => self.earlier(held, batch).await,
        }
    }

    /// The receipt of a batch whose key is known.
    async fn earlier(&self, held: &mut Held, batch: &AppendBatch) -> Verdict {
        let Some(idempotency) = batch.idempotency() else {
            return Err(AppendError::IdempotencyConflict {
                key: IdempotencyKey::generate(),
            });
        };
        let failed = |error| AppendError::from(store_error("find a receipt", error));
        let connection = held.get().await.map_err(failed)?;
        let found = self
            .receipts
            .run(connection, idempotency.key.as_str())
            .await;
        held.done(found.as_ref().is_err_and(is_broken));
        match found.map_err(failed)? {
            Some(kept) if kept.fingerprint == idempotency.fingerprint => Ok(kept.receipt),
            _ => Err(AppendError::IdempotencyConflict {
                key: idempotency.key.clone(),
            }),
        }
    }
}

fn take(waiting: &mut VecDeque<Append>, queue: &mut mpsc::Receiver<Job>, job: Job) {
    match job {
        Job::Close => queue.close(),
        // Whoever gave up before the start need not be served.
        Job::Append(append) if append.verdict.is_closed() => {}
        Job::Append(append) => waiting.push_back(append),
    }
}

/// Those at the front that do not depend on each other; the rest keeps its order.
fn next_group(waiting: &mut VecDeque<Append>) -> Vec<Append> {
    let mut group: Vec<Append> = Vec::new();
    if waiting.len() == 1 {
        group.extend(waiting.pop_front());
        return group;
    }
    let mut read: HashSet<StreamId> = HashSet::new();
    let mut written: HashSet<StreamId> = HashSet::new();
    let mut keys: HashSet<IdempotencyKey> = HashSet::new();
    let mut bytes = 0;
    let mut rest = VecDeque::new();
    while let Some(append) = waiting.pop_front() {
        let batch = &append.batch;
        let key = batch.idempotency().map(|idempotency| &idempotency.key);
        let streams = || batch.expectations().iter().map(|expected| &expected.stream);
        let writes = || batch.events().iter().map(|event| batch.stream_of(event));
        let depends = streams().any(|stream| written.contains(stream))
            || writes().any(|stream| read.contains(stream))
            || key.is_some_and(|key| keys.contains(key));
        let full = group.len() == MAX_GROUP || (bytes > MAX_GROUP_BYTES && !group.is_empty());
        // What waits counts as well: nobody overtakes on a stream.
        read.extend(streams().cloned());
        written.extend(writes().cloned());
        keys.extend(key.cloned());
        if depends || full {
            rest.push_back(append);
        } else {
            bytes += batch
                .events()
                .iter()
                .map(|event| event.event.payload().len())
                .sum::<usize>();
            group.push(append);
        }
    }
    *waiting = rest;
    group
}
