//! A store in which things go wrong on purpose: by script, by seed, or by somebody else's hand in the right moment.

mod fault;
mod plan;

use std::{future::pending, sync::Mutex};

use async_trait::async_trait;
use eventcore::{
    Commons, EventFilter, EventStore, GlobalPosition, IdempotencyKey,
    store::{
        AppendBatch, AppendError, AppendReceipt, Capabilities, EventChunks, KeptReceipt, Page,
        PageSize, ReadError, ReadFrom, StreamRead,
    },
};

pub use self::fault::{Fault, Operation};
use self::{
    fault::store_error,
    plan::{Plan, locked},
};

/// Wraps a store and lets its calls fail, get lost, hang, or come too late.
///
/// What a call meets is decided in this order: the [script](ChaosStore::script) of its operation while it lasts, then
/// [random faults](ChaosStore::random) if there are any, else nothing happens to it. All else is the wrapped store's:
/// what was appended is really there. Outcomes can be unknown, and [`Capabilities`] say so.
///
/// ```
/// use eventcore::{EventStore, store::ReadFrom};
/// use eventcore_memory::InMemoryEventStore;
/// use eventcore_testing::chaos::{ChaosStore, Fault, Operation};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = ChaosStore::new(InMemoryEventStore::new())
///     .script(Operation::Read, [Fault::UNAVAILABLE, Fault::Pass]);
/// let door = [ReadFrom::start("door:1".try_into()?)];
/// assert!(store.read(&door).await.is_err());
/// assert!(store.read(&door).await.is_ok());
/// assert_eq!(store.calls(Operation::Read), 2);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct ChaosStore<S> {
    inner: S,
    plan: Plan,
    sent: Mutex<Vec<AppendBatch>>,
    commons: Option<Commons>,
    claims: Option<Capabilities>,
    yields: bool,
}

impl<S> ChaosStore<S> {
    /// A store to which nothing happens yet.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            plan: Plan::default(),
            sent: Mutex::default(),
            commons: None,
            claims: None,
            yields: false,
        }
    }

    /// What the next calls of an operation meet, one after the other, after what was scripted before.
    #[must_use]
    pub fn script(self, operation: Operation, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.plan.script(operation, faults);
        self
    }

    /// Lets about `percent` of a hundred calls meet a fault after which going on makes sense, always the same ones
    /// for one `seed` and one order of calls.
    #[must_use]
    pub fn random(self, seed: u64, percent: u8) -> Self {
        self.plan.randomly(seed, percent);
        self
    }

    /// Somebody else's work, done right before the call of this number, counted from 1: a writer that slips in
    /// between a command's read and its append, say.
    ///
    /// `work` goes through a clone of the wrapped store; through this one it would count as a call. A command in it
    /// had better run [`apart`](ChaosStore::apart), or it waits for the very command that it is to disturb.
    #[must_use]
    pub fn before(
        self,
        operation: Operation,
        call: u64,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.plan.before(operation, call, Box::pin(work));
        self
    }

    /// Gives other tasks a turn before and after each call, as a store on a network does. Makes every call a place
    /// where a future can be dropped, both before and after the work is done.
    #[must_use]
    pub fn yielding(mut self) -> Self {
        self.yields = true;
        self
    }

    /// Stands for another process: commands through this wrapper do not wait in line with those of others.
    #[must_use]
    pub fn apart(mut self) -> Self {
        self.commons = Some(Commons::new());
        self
    }

    /// Claims this, instead of what the wrapped store claims and that outcomes can be unknown: a store that promises
    /// too much, say.
    #[must_use]
    pub fn claiming(mut self, capabilities: Capabilities) -> Self {
        self.claims = Some(capabilities);
        self
    }

    /// The store underneath, to which nothing happens.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// How many calls of an operation there were, faulty ones included.
    pub fn calls(&self, operation: Operation) -> u64 {
        self.plan.calls(operation)
    }

    /// Every batch that was to be appended, in order, whatever became of it.
    pub fn sent(&self) -> Vec<AppendBatch> {
        locked(&self.sent).clone()
    }

    /// Counts a call, lets others do what they planned for it, and says what happens to it.
    async fn meet(&self, operation: Operation) -> Fault {
        if self.yields {
            tokio::task::yield_now().await;
        }
        let (fault, work) = self.plan.next(operation);
        if let Some(work) = work {
            work.await;
        }
        if let Fault::Delay(time) = fault {
            tokio::time::sleep(time).await;
        }
        fault
    }

    async fn done(&self) {
        if self.yields {
            tokio::task::yield_now().await;
        }
    }

    /// A call that changes nothing: whatever is lost, the caller only learns that there was no answer.
    async fn reading<T>(
        &self,
        operation: Operation,
        fault: Fault,
        work: impl Future<Output = Result<T, ReadError>>,
    ) -> Result<T, ReadError> {
        let answer = match fault {
            Fault::Pass | Fault::Delay(_) | Fault::BreakOff => work.await,
            Fault::Fails(kind) => Err(store_error(operation, kind).into()),
            Fault::AnswerLost | Fault::RequestLost => {
                Err(store_error(operation, Fault::NO_ANSWER).into())
            }
            Fault::Stall | Fault::Hang => pending().await,
        };
        self.done().await;
        answer
    }
}

#[async_trait]
impl<S: EventStore> EventStore for ChaosStore<S> {
    fn capabilities(&self) -> Capabilities {
        self.claims
            .unwrap_or_else(|| self.inner.capabilities().outcome_can_be_unknown())
    }

    fn commons(&self) -> &Commons {
        self.commons
            .as_ref()
            .unwrap_or_else(|| self.inner.commons())
    }

    async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
        let operation = Operation::Read;
        let fault = self.meet(operation).await;
        let read = self
            .reading(operation, fault, self.inner.read(streams))
            .await?;
        if fault == Fault::BreakOff {
            return break_off(read).await;
        }
        Ok(read)
    }

    async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
        let operation = Operation::Append;
        locked(&self.sent).push(batch.clone());
        let fault = self.meet(operation).await;
        let unknown = || AppendError::OutcomeUnknown(store_error(operation, Fault::NO_ANSWER));
        let answer = match fault {
            Fault::Pass | Fault::Delay(_) => self.inner.append(batch).await,
            Fault::Fails(kind) => Err(store_error(operation, kind).into()),
            // Whatever the answer was, a refusal included.
            Fault::AnswerLost | Fault::BreakOff => {
                let _ = self.inner.append(batch).await;
                Err(unknown())
            }
            Fault::RequestLost => Err(unknown()),
            Fault::Stall => {
                let _ = self.inner.append(batch).await;
                pending().await
            }
            Fault::Hang => pending().await,
        };
        self.done().await;
        answer
    }

    async fn find_receipt(&self, key: &IdempotencyKey) -> Result<Option<KeptReceipt>, ReadError> {
        let operation = Operation::FindReceipt;
        let fault = self.meet(operation).await;
        let work = self.inner.find_receipt(key);
        self.reading(operation, fault, work).await
    }

    async fn committed_receipt(
        &self,
        key: &IdempotencyKey,
    ) -> Result<Option<KeptReceipt>, ReadError> {
        let operation = Operation::FindReceipt;
        let fault = self.meet(operation).await;
        let work = self.inner.committed_receipt(key);
        self.reading(operation, fault, work).await
    }

    async fn read_all(
        &self,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<Page, ReadError> {
        let operation = Operation::ReadAll;
        let fault = self.meet(operation).await;
        let work = self.inner.read_all(after, filter, limit);
        self.reading(operation, fault, work).await
    }
}

/// The first half of a read's events, and then an error.
async fn break_off(read: StreamRead) -> Result<StreamRead, ReadError> {
    let mut events = read.events.collect().await?;
    events.truncate(events.len() / 2);
    let error = ReadError::from(store_error(Operation::Read, Fault::NO_ANSWER));
    let rest = futures_util::stream::iter([Err(error)]);
    Ok(StreamRead {
        versions: read.versions,
        witnesses: read.witnesses,
        events: EventChunks::streaming(events, rest),
    })
}
