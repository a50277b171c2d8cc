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
    store::{
        AppendBatch, AppendError, AppendReceipt, Capabilities, EventChunks, KeptReceipt, Page,
        PageSize, ReadError, ReadFrom, StreamRead,
    },
};

use self::log::{Cursor, Log};
pub use self::projections::{InMemoryProjections, InMemoryUnit};

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
        }
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
        let (versions, first, cursor) = {
            let log = self.log();
            let mut cursor = log.cursor(streams);
            let versions = log.versions(streams);
            (versions, log.next_chunk(&mut cursor, CHUNK), cursor)
        };
        let events = if cursor.is_done() {
            EventChunks::ready(first)
        } else {
            EventChunks::streaming(first, self.rest(cursor))
        };
        Ok(StreamRead { versions, events })
    }

    async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
        let receipt = self.log_mut().append(&batch)?;
        self.shared.commons.wake();
        Ok(receipt)
    }

    async fn find_receipt(&self, key: &IdempotencyKey) -> Result<Option<KeptReceipt>, ReadError> {
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
            if stretch.at_end || events.len() == usize::from(limit) {
                return Ok(Page {
                    events,
                    next,
                    at_end: stretch.at_end,
                });
            }
        }
    }
}
