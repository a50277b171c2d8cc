//! An event store in memory: for tests, tutorials and prototypes.
//!
//! It keeps the promises of the other stores, their encoding included, so that what works here works there. Isolation:
//! serialisable; every append and every read sees one state. Durable it is not. Projections of its events, or of any
//! other store's, may live in [`InMemoryProjections`].

mod log;
mod projections;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;
use eventcore::{
    Commons, EventFilter, EventStore, GlobalPosition, IdempotencyKey,
    projection::{Inline, ProjectionStoreError},
    store::{
        AppendBatch, AppendError, AppendReceipt, Capabilities, EventChunks, KeptReceipt, Page,
        PageSize, ReadError, ReadFrom, StreamRead,
    },
};

pub use self::projections::{InMemoryProjections, InMemoryUnit};
use self::{
    log::{Cursor, Log},
    projections::Inlines,
};

/// An event store in memory. Clones share their events.
///
/// ```
/// use eventcore::{EventStore, store::ReadFrom};
/// use eventcore_memory::InMemoryEventStore;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = InMemoryEventStore::new();
/// let read = store.read(&[ReadFrom::start("account:1".try_into()?)]).await?;
/// assert!(read.versions[0].is_empty());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct InMemoryEventStore {
    shared: Arc<Shared>,
    inlines: Arc<Inlines>,
}

#[derive(Debug, Default)]
struct Shared {
    log: RwLock<Log>,
    commons: Commons,
}

/// How many events a reader copies or looks at before it lets writers in again.
const CHUNK: usize = 1024;

impl InMemoryEventStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store whose commands keep up to this number of folded states; see
    /// [`Commons::keeping`].
    pub fn keeping_folds(states: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                commons: Commons::keeping(states),
                ..Shared::default()
            }),
            inlines: Arc::default(),
        }
    }

    /// The same events, with a read model that each append through this handle, and through clones of it, changes as
    /// well: whoever sees the events sees the documents. They are kept in `views`. May be called several times, for
    /// several models.
    ///
    /// While it is inline no runner can lead the projection; [`InMemoryProjections::give_back`] ends that. Events that
    /// are not in the documents yet are applied first, here and with each append, up to 1,000: a handle that was made
    /// before this call appends without the model. On a log of more than 1,000 events a new model, or a new version of
    /// one, is built by a runner first, which is stopped before this call. The version becomes the one that readers see.
    ///
    /// ```
    /// use eventcore::{execute, prelude::*, projection::{DocumentKey, Documents, Inline, ReadModel}};
    /// use eventcore_memory::{InMemoryEventStore, InMemoryProjections};
    /// # #[derive(Command)]
    /// # struct Deposit { #[stream] account: StreamId, amount: i64 }
    /// # impl CommandState for Deposit {
    /// #     type Event = AccountEvent;
    /// #     type State = ();
    /// #     fn apply(&self, _: &mut (), _: &StoredEvent<AccountEvent>) {}
    /// # }
    /// # impl CommandLogic for Deposit {
    /// #     fn handle(&self, streams: &Streams<Self>, events: &mut NewEvents<Self>) -> Result<(), CommandError> {
    /// #         emit!(events, &streams.account => AccountEvent::Deposited { amount: self.amount });
    /// #         Ok(())
    /// #     }
    /// # }
    /// # use eventcore::{DecodeFailure, EncodeError, EncodedEvent, EventType, Payload, SchemaVersion};
    /// # enum AccountEvent { Deposited { amount: i64 } }
    /// # impl Event for AccountEvent {
    /// #     fn encode(&self) -> Result<EncodedEvent, EncodeError> {
    /// #         let AccountEvent::Deposited { amount } = self;
    /// #         let payload = Payload::from(amount.to_string().into_bytes());
    /// #         Ok(EncodedEvent::new(Self::stored_types().remove(0), SchemaVersion::FIRST, payload))
    /// #     }
    /// #     fn decode(stored: &EncodedEvent) -> Result<Option<Self>, DecodeFailure> {
    /// #         let amount = serde_json::from_slice(stored.payload().as_bytes());
    /// #         Ok(Some(AccountEvent::Deposited { amount: amount.map_err(|e| DecodeFailure::Payload(e.into()))? }))
    /// #     }
    /// #     fn stored_types() -> Vec<EventType> {
    /// #         vec![EventType::try_new("account.deposited").unwrap()]
    /// #     }
    /// # }
    /// struct Balances;
    ///
    /// impl ReadModel for Balances {
    ///     type Event = AccountEvent;
    ///     type Document = i64;
    ///     const NAME: &'static str = "balances";
    ///
    ///     fn keys(&self, event: &StoredEvent<AccountEvent>) -> impl IntoIterator<Item = DocumentKey> {
    ///         [event.stream().into()]
    ///     }
    ///
    ///     fn apply(&self, _: &DocumentKey, balance: &mut Option<i64>, event: &StoredEvent<AccountEvent>) {
    ///         let AccountEvent::Deposited { amount } = event.data();
    ///         *balance.get_or_insert_default() += amount;
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let views = InMemoryProjections::new();
    /// let store = InMemoryEventStore::new().inline(Inline::new(Balances)?, &views)?;
    /// # let deposit = Deposit { account: "account:1".try_into()?, amount: 5 };
    /// execute(deposit, &store).await?;
    ///
    /// // No waiting: it is there.
    /// let balances = Documents::<Balances, _>::new(&views)?;
    /// assert_eq!(balances.get("account:1").await?, Some(5));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ProjectionStoreError::Store`], with what to do: a runner leads the projection, it is divided, letters wait, it
    /// was built from another log, more than 1,000 events are missing, the model cannot take one of them, or this
    /// handle has a model of that name already.
    pub fn inline<M>(
        mut self,
        model: Inline,
        views: &InMemoryProjections<M>,
    ) -> Result<Self, ProjectionStoreError> {
        // Nobody appends meanwhile.
        let log = self.log_mut();
        let inlines = self.inlines.with(model, views, &log)?;
        drop(log);
        self.inlines = Arc::new(inlines);
        Ok(self)
    }

    // Every change of the log is checked before it begins and cannot panic half way, so a poisoned lock is sound.
    fn log(&self) -> RwLockReadGuard<'_, Log> {
        self.shared
            .log
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn log_mut(&self) -> RwLockWriteGuard<'_, Log> {
        self.shared
            .log
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The rest of a long read, chunk by chunk, up to the snapshot that its cursor holds.
    fn rest(
        &self,
        cursor: Cursor,
    ) -> impl futures_core::Stream<Item = Result<Chunk, ReadError>> + use<> {
        let store = self.clone();
        let mut cursor = Some(cursor);
        Chunks(move || {
            let mut at = cursor.take()?;
            let events = store.log().next_chunk(&mut at, CHUNK);
            cursor = (!at.is_done()).then_some(at);
            (!events.is_empty()).then_some(Ok(events))
        })
    }
}

type Chunk = Vec<eventcore::RecordedEvent>;

/// A stream of what is always ready.
struct Chunks<F>(F);

impl<F: FnMut() -> Option<Result<Chunk, ReadError>> + Unpin> futures_core::Stream for Chunks<F> {
    type Item = Result<Chunk, ReadError>;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready((self.0)())
    }
}

#[async_trait]
impl EventStore for InMemoryEventStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::none()
    }

    fn commons(&self) -> &Commons {
        &self.shared.commons
    }

    async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
        let (versions, witnesses, first, cursor) = {
            let log = self.log();
            let mut cursor = log.cursor(streams);
            let (versions, witnesses) = (log.versions(streams), log.witnesses(streams));
            let first = log.next_chunk(&mut cursor, CHUNK);
            (versions, witnesses, first, cursor)
        };
        let events = if cursor.is_done() {
            EventChunks::ready(first)
        } else {
            EventChunks::streaming(first, self.rest(cursor))
        };
        Ok(StreamRead {
            versions,
            witnesses,
            events,
        })
    }

    async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
        let receipt = self.log_mut().append(&batch, &self.inlines)?;
        self.shared.commons.wake();
        Ok(receipt)
    }

    async fn find_receipt(&self, key: &IdempotencyKey) -> Result<Option<KeptReceipt>, ReadError> {
        Ok(self.log().find_receipt(key))
    }

    async fn committed_receipt(
        &self,
        key: &IdempotencyKey,
    ) -> Result<Option<KeptReceipt>, ReadError> {
        Ok(self.log().find_receipt(key))
    }

    async fn read_all(
        &self,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<Page, ReadError> {
        let mut events = Vec::new();
        let mut next = after;
        loop {
            // The lock is given back between stretches, so a filter that matches nothing holds nobody up.
            let stretch = self
                .log()
                .scan(next, filter, limit.into(), &mut events, CHUNK);
            next = stretch.next;
            if stretch.at_end || stretch.full {
                return Ok(Page {
                    events,
                    next,
                    at_end: stretch.at_end,
                });
            }
        }
    }
}
