//! A store that writes down what it is asked for, and lets another writer in at a chosen moment.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::sync::Mutex;

use async_trait::async_trait;
use eventcore::{
    Commons, EventFilter, EventStore, GlobalPosition, IdempotencyKey,
    store::{
        AppendBatch, AppendError, AppendReceipt, Capabilities, EventChunks, KeptReceipt, Page,
        PageSize, ReadError, ReadFrom, StreamRead,
    },
};
use eventcore_memory::InMemoryEventStore;

#[derive(Debug, Default)]
pub(crate) struct Spy {
    pub(crate) inner: InMemoryEventStore,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    reads: Vec<Vec<ReadFrom>>,
    delivered: Vec<Vec<String>>,
    appends: usize,
    before_read: Vec<(usize, AppendBatch)>,
    before_append: Vec<(usize, AppendBatch)>,
}

impl Spy {
    pub(crate) fn over(inner: InMemoryEventStore) -> Self {
        Self {
            inner,
            seen: Mutex::default(),
        }
    }

    /// Lets another writer append right before the read of this number, counted from 1.
    pub(crate) fn sneak_in_before_read(&self, number: usize, batch: AppendBatch) {
        let mut seen = self.seen.lock().unwrap();
        seen.before_read.push((number, batch));
    }

    /// Lets another writer append right before the append of this number, counted from 1.
    pub(crate) fn sneak_in_before_append(&self, number: usize, batch: AppendBatch) {
        let mut seen = self.seen.lock().unwrap();
        seen.before_append.push((number, batch));
    }

    /// The names of the streams in each call of `read`.
    pub(crate) fn reads(&self) -> Vec<Vec<String>> {
        let seen = self.seen.lock().unwrap();
        let names = |call: &Vec<ReadFrom>| call.iter().map(|r| r.stream.to_string()).collect();
        seen.reads.iter().map(names).collect()
    }

    /// The streams of the events that each call of `read` returned, one entry per event.
    pub(crate) fn delivered(&self) -> Vec<Vec<String>> {
        self.seen.lock().unwrap().delivered.clone()
    }

    pub(crate) fn appends(&self) -> usize {
        self.seen.lock().unwrap().appends
    }

    async fn sneak_in(&self, batches: Vec<AppendBatch>) {
        for batch in batches {
            self.inner.append(batch).await.unwrap();
        }
    }
}

fn due(waiting: &mut Vec<(usize, AppendBatch)>, number: usize) -> Vec<AppendBatch> {
    let due = waiting.extract_if(.., |(at, _)| *at == number);
    due.map(|(_, batch)| batch).collect()
}

#[async_trait]
impl EventStore for Spy {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn commons(&self) -> &Commons {
        self.inner.commons()
    }

    async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
        let others = {
            let mut seen = self.seen.lock().unwrap();
            seen.reads.push(streams.to_vec());
            let number = seen.reads.len();
            due(&mut seen.before_read, number)
        };
        self.sneak_in(others).await;
        let read = self.inner.read(streams).await?;
        let events = read.events.collect().await?;
        let names = events.iter().map(|event| event.stream().to_string());
        self.seen.lock().unwrap().delivered.push(names.collect());
        Ok(StreamRead {
            versions: read.versions,
            witnesses: read.witnesses,
            events: EventChunks::ready(events),
        })
    }

    async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
        let others = {
            let mut seen = self.seen.lock().unwrap();
            seen.appends += 1;
            let number = seen.appends;
            due(&mut seen.before_append, number)
        };
        self.sneak_in(others).await;
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
        self.inner.read_all(after, filter, limit).await
    }
}
