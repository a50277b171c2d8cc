//! The task that appends: whatever waits travels together.
//!
//! Group commit: while one call is under way, appends gather in the queue; the next call takes them all. Batches that
//! touch what an earlier one of the same call writes wait for the next call, so that within a call the verdict on one
//! never depends on another. An append that comes alone waits for nobody.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use eventcore::{
    IdempotencyKey, StreamId,
    store::{AppendBatch, AppendError, AppendReceipt, KeptReceipt, Progress, ReadError},
};
use sqlx::{AssertSqlSafe, Error};
use tokio::sync::{mpsc, oneshot};

use crate::{
    append_call::{AppendCall, Judged},
    crowd::Crowd,
    errors::{again, append_error, read_error, store_error},
    held::{Held, Patience},
    inline::Inlines,
    log_page::ReceiptCall,
    queue::{Jobs, Room},
    sessions::{Sessions, is_broken},
    wakeups::Bell,
};

pub(crate) type Verdict = Result<AppendReceipt, AppendError>;

/// What the task is asked to do.
#[derive(Debug)]
pub(crate) enum Job {
    Append(Append),
    /// What a key appended, once everything before is done.
    Receipt(Ask),
    /// Finish what waits, then end.
    Close,
}

#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) key: IdempotencyKey,
    pub(crate) answer: oneshot::Sender<Result<Option<KeptReceipt>, ReadError>>,
}

#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) batch: AppendBatch,
    pub(crate) verdict: oneshot::Sender<Verdict>,
    /// The memory that it takes, given back when it is answered.
    pub(crate) _room: Room,
}

const FIND: &str = "find a receipt";

/// The most appends, and bytes of payload, of one call.
const MAX_GROUP: usize = 512;
const MAX_GROUP_BYTES: usize = 16 << 20;
/// How many appends are looked through for those that can travel together.
const MAX_WAITING: usize = 4096;

pub(crate) struct Appends {
    pub(crate) sessions: Sessions,
    pub(crate) call: AppendCall,
    pub(crate) receipts: ReceiptCall,
    /// Takes the order lock and gives it back.
    pub(crate) lock: String,
    pub(crate) bell: Arc<Bell>,
    /// What is changed in the transaction of each append, if anything is.
    pub(crate) inlines: Option<Inlines>,
}

impl Appends {
    /// Runs until the queue is closed and empty.
    pub(crate) async fn run(self, jobs: Jobs<Job>) {
        let Jobs {
            mut queue,
            progress,
        } = jobs;
        let mut held = Held::new(self.sessions.clone());
        let mut waiting = Waiting::default();
        let mut crowd = Crowd::default();
        let mut patience = Patience::new(self.sessions.mode());
        loop {
            if waiting.appends.is_empty() {
                for ask in waiting.asks.drain(..) {
                    progress.step();
                    let found = self.settled(&mut held, &ask.key).await;
                    let _ = ask.answer.send(found);
                }
                let job = match queue.try_recv() {
                    Ok(job) => Some(job),
                    Err(_) => queue.recv().await,
                };
                let Some(job) = job else {
                    break;
                };
                waiting.take(&mut queue, job);
            }
            for _ in 0..2 {
                crowd.gather().await;
                // What is asked for waits for what was there before, and for nothing behind it.
                while waiting.appends.len() < MAX_WAITING
                    && waiting.asks.is_empty()
                    && let Ok(job) = queue.try_recv()
                {
                    waiting.take(&mut queue, job);
                }
            }
            let group = next_group(&mut waiting.appends);
            if !group.is_empty() {
                crowd.saw(group.len());
                self.append(&mut held, &mut patience, &progress, group)
                    .await;
            }
        }
    }

    async fn append(
        &self,
        held: &mut Held,
        patience: &mut Patience,
        progress: &Progress,
        mut group: Vec<Append>,
    ) {
        // Once more, each alone, when it was the group that the server did not like.
        let mut alone = VecDeque::new();
        loop {
            progress.step();
            let result = self.call(held, patience, &group).await;
            match result {
                Ok(judged) => {
                    let appended = judged
                        .iter()
                        .any(|judged| matches!(judged, Judged::Appended(_)));
                    if appended {
                        self.bell.ring();
                    }
                    for (append, judged) in group.into_iter().zip(judged) {
                        let verdict = self.verdict(held, &append.batch, judged).await;
                        progress.step();
                        // A caller that gave up does not hear it.
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

    async fn call(
        &self,
        held: &mut Held,
        patience: &mut Patience,
        group: &[Append],
    ) -> Result<Vec<Judged>, AppendError> {
        let batches: Vec<&AppendBatch> = group.iter().map(|append| &append.batch).collect();
        if let Some(inlines) = &self.inlines {
            return inlines.append(held, &self.call, &batches).await;
        }
        let connection = match held.get().await {
            Ok(connection) => connection,
            // Nothing was sent, so nothing was done.
            Err(error) => return Err(store_error("append", error).into()),
        };
        let result = patience.wait(self.call.run(connection, &batches)).await;
        held.done(result.as_ref().is_err_and(is_broken));
        result.map_err(append_error)
    }

    /// What a key appended, once every append that has reached the server is done: they wait for one lock, and so does
    /// this.
    async fn settled(
        &self,
        held: &mut Held,
        key: &IdempotencyKey,
    ) -> Result<Option<KeptReceipt>, ReadError> {
        let failed = |error| read_error(FIND, error);
        let session = held.get().await.map_err(failed)?;
        let mode = session.mode();
        let lock = sqlx::query(AssertSqlSafe(self.lock.as_str()));
        let mut found = mode.write(session, lock).await.map(drop);
        // A role that only reads sees what is committed, and may not wait in the line of those that append.
        if let Err(Error::Database(error)) = &found
            && error.code().is_some_and(|code| code == "42501")
        {
            found = Ok(());
        }
        let found = match found {
            Ok(()) => self.receipts.run(session, key.as_str()).await,
            Err(error) => Err(error),
        };
        held.done(found.as_ref().is_err_and(is_broken));
        found.map_err(failed)
    }

    async fn verdict(&self, held: &mut Held, batch: &AppendBatch, judged: Judged) -> Verdict {
        match judged {
            Judged::Appended(receipt) | Judged::Before(receipt) => Ok(receipt),
            Judged::Conflict(conflict) => Err(conflict.into()),
            Judged::Known => self.earlier(held, batch).await,
            Judged::Refused(error) => Err(error),
        }
    }

    /// The receipt of a batch whose key is known.
    async fn earlier(&self, held: &mut Held, batch: &AppendBatch) -> Verdict {
        let Some(idempotency) = batch.idempotency() else {
            return Err(AppendError::IdempotencyConflict {
                key: IdempotencyKey::generate(),
            });
        };
        let failed = |error| AppendError::from(store_error(FIND, error));
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

/// What was taken out of the queue and is not done.
#[derive(Default)]
struct Waiting {
    appends: VecDeque<Append>,
    /// Answered when no append waits.
    asks: Vec<Ask>,
}

impl Waiting {
    fn take(&mut self, queue: &mut mpsc::Receiver<Job>, job: Job) {
        match job {
            Job::Close => queue.close(),
            // A caller that gave up before the start need not be served.
            Job::Append(append) if append.verdict.is_closed() => {}
            Job::Append(append) => self.appends.push_back(append),
            Job::Receipt(ask) => self.asks.push(ask),
        }
    }
}

/// Those at the front that do not depend on each other; the rest keeps its order.
fn next_group(waiting: &mut VecDeque<Append>) -> Vec<Append> {
    let goes = go_together(waiting);
    if goes.iter().all(|goes| *goes) {
        return std::mem::take(waiting).into();
    }
    let mut group = Vec::with_capacity(waiting.len());
    let mut rest = VecDeque::new();
    for (append, goes) in waiting.drain(..).zip(goes) {
        if goes {
            group.push(append);
        } else {
            rest.push_back(append);
        }
    }
    *waiting = rest;
    group
}

/// Which of those that wait can travel together.
fn go_together(waiting: &VecDeque<Append>) -> Vec<bool> {
    if waiting.len() == 1 {
        return vec![true];
    }
    let mut read: HashSet<&StreamId> = HashSet::with_capacity(waiting.len());
    let mut written: HashSet<&StreamId> = HashSet::with_capacity(waiting.len());
    let mut keys: HashSet<&IdempotencyKey> = HashSet::with_capacity(waiting.len());
    let (mut count, mut bytes) = (0, 0);
    let mut goes = Vec::with_capacity(waiting.len());
    for Append { batch, .. } in waiting {
        let key = batch.idempotency().map(|idempotency| &idempotency.key);
        let streams = || batch.expectations().iter().map(|expected| &expected.stream);
        let writes = || batch.events().iter().map(|event| batch.stream_of(event));
        let depends = streams().any(|stream| written.contains(stream))
            || writes().any(|stream| read.contains(stream))
            || key.is_some_and(|key| keys.contains(key));
        let full = count == MAX_GROUP || (bytes > MAX_GROUP_BYTES && count > 0);
        // What waits counts as well: nobody overtakes on a stream.
        read.extend(streams());
        written.extend(writes());
        keys.extend(key);
        let goes_too = !depends && !full;
        if goes_too {
            count += 1;
            let payloads = batch.events().iter();
            bytes += payloads
                .map(|event| event.event.payload().len())
                .sum::<usize>();
        }
        goes.push(goes_too);
    }
    goes
}
