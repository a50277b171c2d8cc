//! What every specimen has: a healthy memory store inside, and the operation that it gets wrong.

use std::sync::Arc;

use async_trait::async_trait;
use eventcore::{
    Commons, EncodedEvent, EventFilter, EventStore, GlobalPosition, IdempotencyKey, RecordedEvent,
    StreamId, StreamVersion,
    store::{
        AppendBatch, AppendError, AppendReceipt, Capabilities, Conflict, EventChunks, Expectation,
        Idempotency, KeptReceipt, Page, PageSize, ReadError, ReadFrom, RecordedFields,
        StreamConflict, StreamRead,
    },
};
use eventcore_memory::InMemoryEventStore;

/// A store that is healthy but for what it overrides.
#[async_trait]
pub(crate) trait Specimen: Default + Send + Sync + 'static {
    /// The healthy store inside.
    fn inner(&self) -> &InMemoryEventStore;

    fn capabilities(&self) -> Capabilities {
        self.inner().capabilities()
    }

    fn commons(&self) -> &Commons {
        self.inner().commons()
    }

    async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
        self.inner().read(streams).await
    }

    async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
        self.inner().append(batch).await
    }

    async fn find_receipt(&self, key: &IdempotencyKey) -> Result<Option<KeptReceipt>, ReadError> {
        self.inner().find_receipt(key).await
    }

    async fn committed_receipt(
        &self,
        key: &IdempotencyKey,
    ) -> Result<Option<KeptReceipt>, ReadError> {
        self.find_receipt(key).await
    }

    async fn read_all(
        &self,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<Page, ReadError> {
        self.inner().read_all(after, filter, limit).await
    }
}

/// A specimen as an event store.
#[derive(Default)]
pub(crate) struct Caged<S>(S);

#[async_trait]
impl<S: Specimen> EventStore for Caged<S> {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    fn commons(&self) -> &Commons {
        self.0.commons()
    }
    async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
        self.0.read(streams).await
    }
    async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
        self.0.append(batch).await
    }
    async fn find_receipt(&self, key: &IdempotencyKey) -> Result<Option<KeptReceipt>, ReadError> {
        self.0.find_receipt(key).await
    }
    async fn committed_receipt(
        &self,
        key: &IdempotencyKey,
    ) -> Result<Option<KeptReceipt>, ReadError> {
        self.0.committed_receipt(key).await
    }
    async fn read_all(
        &self,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<Page, ReadError> {
        self.0.read_all(after, filter, limit).await
    }
}

/// Nothing is wrong with this one: what the cage itself does is nothing.
#[derive(Default)]
pub(crate) struct Healthy {
    inner: InMemoryEventStore,
}

impl Specimen for Healthy {
    fn inner(&self) -> &InMemoryEventStore {
        &self.inner
    }
}

/// A batch taken apart, to be put together wrongly.
pub(crate) struct Parts {
    pub(crate) expectations: Vec<Expectation>,
    pub(crate) events: Vec<(StreamId, EncodedEvent)>,
    pub(crate) idempotency: Option<Idempotency>,
    pub(crate) time: eventcore::Timestamp,
    pub(crate) metadata: Option<Arc<str>>,
    batch: AppendBatch,
}

impl Parts {
    pub(crate) fn of(batch: &AppendBatch) -> Self {
        Self {
            expectations: batch.expectations().to_vec(),
            events: batch
                .events()
                .iter()
                .map(|event| (batch.stream_of(event).clone(), event.event.clone()))
                .collect(),
            idempotency: batch.idempotency().cloned(),
            time: batch.recorded_at(),
            metadata: batch.metadata().cloned(),
            batch: batch.clone(),
        }
    }

    pub(crate) fn writes(&self, stream: &StreamId) -> bool {
        self.events.iter().any(|(of, _)| of == stream)
    }

    pub(crate) fn build(self) -> AppendBatch {
        let mut batch = AppendBatch::builder();
        for Expectation { stream, version } in self.expectations {
            batch.expect(stream, version).unwrap();
        }
        for (stream, event) in self.events {
            batch.event(&stream, event).unwrap();
        }
        if let Some(idempotency) = self.idempotency {
            batch.idempotency(idempotency);
        }
        batch
            .correlation_id(self.batch.correlation_id())
            .causation_id(self.batch.causation_id())
            .metadata(self.metadata)
            .recorded_at(self.time);
        batch.build().unwrap()
    }
}

/// Where a stream is.
pub(crate) async fn version_of(store: &InMemoryEventStore, stream: &StreamId) -> StreamVersion {
    let from = [ReadFrom::start(stream.clone())];
    store.read(&from).await.unwrap().versions[0]
}

/// The check of a batch's expectations, outside of any append.
pub(crate) async fn check(store: &InMemoryEventStore, batch: &AppendBatch) -> Result<(), Conflict> {
    let mut moved = Vec::new();
    for Expectation { stream, version } in batch.expectations() {
        let actual = version_of(store, stream).await;
        if actual != *version {
            moved.push(StreamConflict {
                stream: stream.clone(),
                expected: *version,
                actual,
            });
        }
    }
    Conflict::new(moved).map_or(Ok(()), Err)
}

/// Appends to wherever the streams are now.
pub(crate) async fn append_anywhere(
    store: &InMemoryEventStore,
    batch: &AppendBatch,
) -> Result<AppendReceipt, AppendError> {
    loop {
        let mut parts = Parts::of(batch);
        for expectation in &mut parts.expectations {
            expectation.version = version_of(store, &expectation.stream).await;
        }
        match store.append(parts.build()).await {
            Err(AppendError::Conflict(_)) => tokio::task::yield_now().await,
            outcome => return outcome,
        }
    }
}

/// Lets every other task have a go.
pub(crate) async fn dawdle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// An event with something changed, as if it had been stored so.
pub(crate) fn altered(
    event: &RecordedEvent,
    alter: impl FnOnce(&mut RecordedFields),
) -> RecordedEvent {
    let mut fields = RecordedFields {
        id: event.id(),
        stream: event.stream().clone(),
        version: event.version(),
        position: event.position(),
        event: event.encoded().clone(),
        correlation_id: event.correlation_id(),
        causation_id: event.causation_id(),
        metadata: event.metadata_text().map(Arc::from),
        recorded_at: event.recorded_at(),
    };
    alter(&mut fields);
    RecordedEvent::from(fields)
}

/// A read with its list of events changed.
pub(crate) async fn changed(
    read: StreamRead,
    change: impl FnOnce(Vec<RecordedEvent>) -> Vec<RecordedEvent>,
) -> StreamRead {
    StreamRead {
        versions: read.versions,
        witnesses: read.witnesses,
        events: EventChunks::ready(change(read.events.collect().await.unwrap())),
    }
}

/// The whole log of the healthy store.
pub(crate) async fn whole_log(store: &InMemoryEventStore) -> Vec<RecordedEvent> {
    let (mut all, mut after) = (Vec::new(), GlobalPosition::START);
    let size = PageSize::try_from(10_000).unwrap();
    loop {
        let page = store
            .read_all(after, &EventFilter::all(), size)
            .await
            .unwrap();
        all.extend(page.events);
        after = page.next;
        if page.at_end {
            return all;
        }
    }
}

/// A page by a rule of one's own, over a log of one's own.
pub(crate) fn page_of(
    log: &[RecordedEvent],
    after: GlobalPosition,
    limit: PageSize,
    matches: impl Fn(&RecordedEvent) -> bool,
) -> Page {
    let limit: usize = limit.into();
    let (mut events, mut next) = (Vec::new(), after);
    for event in log.iter().filter(|event| event.position() > after) {
        if events.len() == limit {
            break;
        }
        next = event.position();
        if matches(event) {
            events.push(event.clone());
        }
    }
    let at_end = log.last().is_none_or(|last| last.position() <= next);
    Page {
        events,
        next,
        at_end,
    }
}

/// The usual head of a specimen: a struct with the healthy store and whatever else it has.
macro_rules! specimens {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* } => { $($item:item)* })*) => {$(
        $(#[$doc])*
        #[derive(Default)]
        pub(crate) struct $name {
            inner: InMemoryEventStore,
            $($field: $type,)*
        }

        #[async_trait]
        impl Specimen for $name {
            fn inner(&self) -> &InMemoryEventStore {
                &self.inner
            }
            $($item)*
        }
    )*};
}
pub(crate) use specimens;
