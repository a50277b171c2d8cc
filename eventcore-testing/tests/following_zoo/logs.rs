//! Logs that get the following wrong.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use eventcore::{
    Commons, EventFilter, EventStore, GlobalPosition, IdempotencyKey,
    store::{
        AppendBatch, AppendError, AppendReceipt, Capabilities, KeptReceipt, Page, PageSize,
        ReadError, ReadFrom, StreamFilter, StreamRead,
    },
};
use eventcore_memory::InMemoryEventStore;

/// A log that is healthy but for how it is read.
#[async_trait]
pub(crate) trait Broken: Default + Send + Sync + 'static {
    async fn read_all(
        &self,
        inner: &InMemoryEventStore,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<Page, ReadError> {
        inner.read_all(after, filter, limit).await
    }

    /// Instead of the one that rings.
    fn bell(&self) -> Option<&Commons> {
        None
    }
}

/// Such a log as a store.
pub(crate) struct Read<B> {
    inner: InMemoryEventStore,
    broken: Arc<B>,
}

impl<B: Default> Default for Read<B> {
    fn default() -> Self {
        Self {
            inner: InMemoryEventStore::new(),
            broken: Arc::default(),
        }
    }
}

impl<B> Clone for Read<B> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            broken: Arc::clone(&self.broken),
        }
    }
}

#[async_trait]
impl<B: Broken> EventStore for Read<B> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn commons(&self) -> &Commons {
        self.broken.bell().unwrap_or_else(|| self.inner.commons())
    }
    async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
        self.inner.read(streams).await
    }
    async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
        self.inner.append(batch).await
    }
    async fn find_receipt(&self, key: &IdempotencyKey) -> Result<Option<KeptReceipt>, ReadError> {
        self.inner.find_receipt(key).await
    }
    async fn committed_receipt(
        &self,
        key: &IdempotencyKey,
    ) -> Result<Option<KeptReceipt>, ReadError> {
        self.inner.committed_receipt(key).await
    }
    async fn read_all(
        &self,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<Page, ReadError> {
        self.broken
            .read_all(&self.inner, after, filter, limit)
            .await
    }
}

fn back(position: GlobalPosition) -> GlobalPosition {
    GlobalPosition::try_new(position.get().saturating_sub(1)).unwrap()
}

/// Nothing is wrong with this one.
#[derive(Default)]
pub(crate) struct Healthy;
impl Broken for Healthy {}

/// Hands out what is committed first, as a sequence does whose numbers are taken before the commit: the event before
/// the last one appears when it was read over.
#[derive(Default)]
pub(crate) struct FillsInBehindReaders(Mutex<u64>);

#[async_trait]
impl Broken for FillsInBehindReaders {
    async fn read_all(
        &self,
        inner: &InMemoryEventStore,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<Page, ReadError> {
        let mut page = inner.read_all(after, filter, limit).await?;
        let mut seen = self.0.lock().unwrap();
        // The end of the log was never shown before, and two of its events are under way.
        if page.at_end && page.next.get() > *seen && page.events.len() > 1 && page.next.get() > 10 {
            let late = page.events.len() - 2;
            page.events.remove(late);
        }
        *seen = page.next.get().max(*seen);
        Ok(page)
    }
}

/// Begins the first page behind the end with the event at the end.
#[derive(Default)]
pub(crate) struct RepeatsAtTheSeam(Mutex<Option<u64>>);

#[async_trait]
impl Broken for RepeatsAtTheSeam {
    async fn read_all(
        &self,
        inner: &InMemoryEventStore,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<Page, ReadError> {
        let page = inner.read_all(after, filter, limit).await?;
        let mut seam = self.0.lock().unwrap();
        if *seam == Some(after.get()) && !page.events.is_empty() {
            *seam = None;
            return futures_util::FutureExt::now_or_never(inner.read_all(
                back(after),
                filter,
                limit,
            ))
            .unwrap();
        }
        if page.at_end {
            *seam = Some(page.next.get());
        }
        Ok(page)
    }
}

/// Shows an event when the next one is there.
#[derive(Default)]
pub(crate) struct HidesTheLast;

#[async_trait]
impl Broken for HidesTheLast {
    async fn read_all(
        &self,
        inner: &InMemoryEventStore,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<Page, ReadError> {
        let mut page = inner.read_all(after, filter, limit).await?;
        let last = page.next;
        if page.at_end
            && page
                .events
                .pop_if(|event| event.position() == last)
                .is_some()
        {
            page.next = back(last);
        }
        Ok(page)
    }
}

/// Says that it has looked further than there are events.
#[derive(Default)]
pub(crate) struct LooksBeyondTheEnd;

#[async_trait]
impl Broken for LooksBeyondTheEnd {
    async fn read_all(
        &self,
        inner: &InMemoryEventStore,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<Page, ReadError> {
        let mut page = inner.read_all(after, filter, limit).await?;
        if page.at_end && !page.events.is_empty() {
            page.next = page.next.advanced(2);
        }
        Ok(page)
    }
}

/// Takes so many events, lets the filter through what it likes, and goes on behind the last that it liked.
#[derive(Default)]
pub(crate) struct FiltersAfterTheLimit;

#[async_trait]
impl Broken for FiltersAfterTheLimit {
    async fn read_all(
        &self,
        inner: &InMemoryEventStore,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<Page, ReadError> {
        if filter
            .get_types()
            .is_some_and(std::collections::BTreeSet::is_empty)
        {
            return inner.read_all(after, filter, limit).await;
        }
        let mut page = inner.read_all(after, &EventFilter::all(), limit).await?;
        page.events.retain(|event| filter.matches(event));
        page.next = page
            .events
            .last()
            .map_or(after, eventcore::RecordedEvent::position);
        Ok(page)
    }
}

/// Stays where the last event was that passed the filter.
#[derive(Default)]
pub(crate) struct StaysAtTheLastMatch;

#[async_trait]
impl Broken for StaysAtTheLastMatch {
    async fn read_all(
        &self,
        inner: &InMemoryEventStore,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<Page, ReadError> {
        let mut page = inner.read_all(after, filter, limit).await?;
        if page.at_end
            && !filter
                .get_types()
                .is_some_and(std::collections::BTreeSet::is_empty)
        {
            page.next = page
                .events
                .last()
                .map_or(after, eventcore::RecordedEvent::position);
        }
        Ok(page)
    }
}

/// Takes `_` in a prefix for any character.
#[derive(Default)]
pub(crate) struct PrefixesArePatterns;

#[async_trait]
impl Broken for PrefixesArePatterns {
    async fn read_all(
        &self,
        inner: &InMemoryEventStore,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<Page, ReadError> {
        let StreamFilter::Prefix(prefix) = filter.get_streams() else {
            return inner.read_all(after, filter, limit).await;
        };
        let mut page = inner.read_all(after, &EventFilter::all(), limit).await?;
        let like = |name: &str| {
            let mut name = name.chars();
            prefix
                .as_str()
                .chars()
                .all(|c| name.next().is_some_and(|n| c == '_' || c == n))
        };
        let types = filter.get_types();
        page.events.retain(|event| {
            let of_type = types.is_none_or(|types| types.contains(event.encoded().event_type()));
            of_type && like(event.stream().as_str())
        });
        Ok(page)
    }
}

/// Looks at the types or at the streams, not at both.
#[derive(Default)]
pub(crate) struct ForgetsTheTypes;

#[async_trait]
impl Broken for ForgetsTheTypes {
    async fn read_all(
        &self,
        inner: &InMemoryEventStore,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<Page, ReadError> {
        let streams = match filter.get_streams() {
            StreamFilter::Prefix(prefix) => EventFilter::all().prefix(prefix.clone()),
            StreamFilter::Exact(streams) => EventFilter::all().streams(streams.clone()),
            _ => filter.clone(),
        };
        inner.read_all(after, &streams, limit).await
    }
}

/// Keeps a cursor for readers of small pages: what was sent is not sent again, whether it arrived or not.
#[derive(Default)]
pub(crate) struct SendsOnce(Mutex<GlobalPosition>);

#[async_trait]
impl Broken for SendsOnce {
    async fn read_all(
        &self,
        inner: &InMemoryEventStore,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<Page, ReadError> {
        if limit.into_inner() > 10 {
            return inner.read_all(after, filter, limit).await;
        }
        let from = after.max(*self.0.lock().unwrap());
        let page = inner.read_all(from, filter, limit).await?;
        *self.0.lock().unwrap() = page.next;
        Ok(page)
    }
}

/// Nobody hears of appends.
#[derive(Default)]
pub(crate) struct CallsNobody(Commons);

impl Broken for CallsNobody {
    fn bell(&self) -> Option<&Commons> {
        Some(&self.0)
    }
}
