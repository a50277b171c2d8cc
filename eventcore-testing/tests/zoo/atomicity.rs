//! Stores that do things in pieces: batches, reads, and what is left when a future is dropped.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use async_trait::async_trait;
use eventcore::{
    EventFilter, EventStore, GlobalPosition, StreamVersion,
    store::{
        AppendBatch, AppendError, AppendReceipt, EventChunks, Idempotency, Page, PageSize,
        ReadError, ReadFrom, StoreError, StoreErrorKind, StreamRead,
    },
};
use eventcore_memory::InMemoryEventStore;
use tokio::sync::RwLock;

use crate::cage::{
    Parts, Specimen, append_anywhere, changed, check, dawdle, page_of, specimens, version_of,
    whole_log,
};

/// Appends event by event, with a pause after each.
async fn piecemeal(
    store: &InMemoryEventStore,
    batch: &AppendBatch,
) -> Result<AppendReceipt, AppendError> {
    let mut receipts = Vec::new();
    for event in Parts::of(batch).events {
        let mut single = Parts::of(batch);
        single.idempotency = None;
        single
            .expectations
            .retain(|expected| expected.stream == event.0);
        single.events = vec![event];
        receipts.push(append_anywhere(store, &single.build()).await?);
        dawdle().await;
    }
    Ok(AppendReceipt {
        events: receipts
            .into_iter()
            .flat_map(|receipt| receipt.events)
            .collect(),
        correlation_id: batch.correlation_id(),
        replayed: false,
    })
}

specimens! {
    /// One transaction per event; writers wait for each other, readers do not.
    AppendsEventByEvent { writers: tokio::sync::Mutex<()> } => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            if batch.idempotency().is_some() {
                return self.inner.append(batch).await;
            }
            let _alone = self.writers.lock().await;
            check(&self.inner, &batch).await?;
            piecemeal(&self.inner, &batch).await
        }
    }

    /// Event by event under a lock that readers take too: only one who drops the future sees it.
    LeavesHalfWhenDropped { lock: RwLock<()> } => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            if let Some(Idempotency { key, .. }) = batch.idempotency()
                && let Ok(Some(kept)) = self.inner.find_receipt(key).await
            {
                return Ok(kept.receipt);
            }
            let _alone = self.lock.write().await;
            check(&self.inner, &batch).await?;
            piecemeal(&self.inner, &batch).await
        }

        async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
            let _shared = self.lock.read().await;
            self.inner.read(streams).await
        }
    }

    /// Marks itself busy and forgets to unmark when the future is dropped.
    StaysBusyWhenDropped { busy: AtomicBool, writers: tokio::sync::Mutex<()> } => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let _alone = self.writers.lock().await;
            if self.busy.swap(true, SeqCst) {
                let closed = StoreErrorKind::Closed;
                return Err(StoreError::new("append", closed, "a transaction is open").into());
            }
            dawdle().await;
            let outcome = self.inner.append(batch).await;
            self.busy.store(false, SeqCst);
            outcome
        }
    }

    /// The same with reads: a permit that a dropped read never gives back.
    LosesAPermitPerDroppedRead { permits: Permits } => {
        async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
            if self.permits.0.fetch_sub(1, SeqCst) == 0 {
                self.permits.0.store(0, SeqCst);
                let other = StoreErrorKind::Other;
                return Err(StoreError::new("read", other, "no connection is left").into());
            }
            tokio::task::yield_now().await;
            let read = self.inner.read(streams).await;
            self.permits.0.fetch_add(1, SeqCst);
            read
        }
    }

    /// A permit that only the end of a read gives back: one that is left half way keeps it.
    LosesAPermitPerUnfinishedRead { permits: Arc<Permits> } => {
        async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
            if self.permits.0.fetch_sub(1, SeqCst) == 0 {
                self.permits.0.store(0, SeqCst);
                let other = StoreErrorKind::Other;
                return Err(StoreError::new("read", other, "no connection is left").into());
            }
            let StreamRead { versions, witnesses, mut events } = self.inner.read(streams).await?;
            let first = events.next_chunk().await?.unwrap_or_default();
            let permits = Arc::clone(&self.permits);
            let later = futures_util::stream::once(async move {
                permits.0.fetch_add(1, SeqCst);
                events.collect().await
            });
            Ok(StreamRead { versions, witnesses, events: EventChunks::streaming(first, later) })
        }
    }

    /// Reads one stream after the other.
    ReadsStreamByStream {} => {
        async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
            let (mut versions, mut witnesses, mut events) = (Vec::new(), Vec::new(), Vec::new());
            for stream in streams {
                let one = self.inner.read(std::slice::from_ref(stream)).await?;
                versions.extend(one.versions);
                witnesses.extend(one.witnesses);
                events.extend(one.events.collect().await?);
                dawdle().await;
            }
            events.sort_by_key(eventcore::RecordedEvent::position);
            Ok(StreamRead { versions, witnesses, events: EventChunks::ready(events) })
        }
    }

    /// Takes the versions first and the events later.
    ReadsVersionsFirst {} => {
        async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
            let StreamRead { versions, witnesses, .. } = self.inner.read(streams).await?;
            dawdle().await;
            let events = self.inner.read(streams).await?.events;
            Ok(StreamRead { versions, witnesses, events })
        }
    }

    /// Fetches later chunks from the log as it is by then.
    LeavesItsSnapshot {} => {
        async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
            let mut read = self.inner.read(streams).await?;
            let first = read.events.next_chunk().await?.unwrap_or_default();
            let (inner, streams) = (self.inner.clone(), streams.to_vec());
            let skip = first.len();
            let later = futures_util::stream::once(async move {
                let now = inner.read(&streams).await?.events.collect().await?;
                Ok(now.into_iter().skip(skip).collect())
            });
            Ok(StreamRead { events: EventChunks::streaming(first, later), ..read })
        }
    }

    /// Acknowledges what readers see a little later.
    AcknowledgesBeforeItIsVisible { visible: Arc<AtomicU64> } => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let receipt = self.inner.append(batch).await?;
            let end = receipt.events.last().map_or(0, |event| event.position.get());
            let visible = Arc::clone(&self.visible);
            tokio::spawn(async move {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                visible.fetch_max(end, SeqCst);
            });
            Ok(receipt)
        }

        async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
            let end = self.visible.load(SeqCst);
            let read = self.inner.read(streams).await?;
            let mut read = changed(read, |mut events| {
                events.retain(|event| event.position().get() <= end);
                events
            })
            .await;
            let log = whole_log(&self.inner).await;
            for (from, version) in streams.iter().zip(&mut read.versions) {
                let seen = log.iter().filter(|e| e.stream() == &from.stream);
                let seen = seen.filter(|e| e.position().get() <= end).count();
                *version = StreamVersion::EMPTY.advanced(seen as u64);
            }
            Ok(read)
        }

        async fn read_all(
            &self,
            after: GlobalPosition,
            filter: &EventFilter,
            limit: PageSize,
        ) -> Result<Page, ReadError> {
            let end = self.visible.load(SeqCst);
            let mut log = whole_log(&self.inner).await;
            log.retain(|event| event.position().get() <= end);
            Ok(page_of(&log, after, limit, |event| filter.matches(event)))
        }
    }

    /// Records the key before it looks at the expectations, in another transaction.
    KeepsTheKeyOfARefusedBatch {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let outcome = self.inner.append(batch.clone()).await;
            if let (Err(AppendError::Conflict(_)), Some(_)) = (&outcome, batch.idempotency()) {
                let mut parts = Parts::of(&batch);
                parts.events.clear();
                for expected in &mut parts.expectations {
                    expected.version = version_of(&self.inner, &expected.stream).await;
                }
                let _ = self.inner.append(parts.build()).await;
            }
            outcome
        }
    }

    /// Appends the events of all streams but one when a later check fails.
    KeepsEventsOfARefusedBatch {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let outcome = self.inner.append(batch.clone()).await;
            if let Err(AppendError::Conflict(conflict)) = &outcome {
                let mut parts = Parts::of(&batch);
                let moved = |stream: &_| conflict.streams().iter().any(|m| m.stream == *stream);
                parts.idempotency = None;
                parts.expectations.retain(|expected| !moved(&expected.stream));
                parts.events.retain(|(stream, _)| !moved(stream));
                if !parts.events.is_empty() {
                    let _ = self.inner.append(parts.build()).await;
                }
            }
            outcome
        }
    }
}

pub(crate) struct Permits(AtomicU64);

impl Default for Permits {
    fn default() -> Self {
        Self(AtomicU64::new(10))
    }
}
