//! The memory store keeps the whole contract, also when every operation has to wait.

use std::time::Duration;

use async_trait::async_trait;
use eventcore::{
    Commons, EventFilter, EventStore, GlobalPosition, IdempotencyKey,
    store::{
        AppendBatch, AppendError, AppendReceipt, Capabilities, KeptReceipt, Page, PageSize,
        ReadError, ReadFrom, StreamRead,
    },
};
use eventcore_memory::InMemoryEventStore;

eventcore_testing::contract_suite!(
    memory,
    async || InMemoryEventStore::new(),
    Capabilities::none(),
);

eventcore_testing::contract_suite!(waiting, async || Waiting::default(), Capabilities::none(),);

/// The memory store with the awaits of a database: before an operation and after it.
#[derive(Default)]
struct Waiting(InMemoryEventStore);

async fn wait() {
    tokio::task::yield_now().await;
    tokio::time::sleep(Duration::from_micros(200)).await;
}

macro_rules! waiting {
    ($operation:expr) => {{
        wait().await;
        let outcome = $operation.await;
        wait().await;
        outcome
    }};
}

#[async_trait]
impl EventStore for Waiting {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    fn commons(&self) -> &Commons {
        self.0.commons()
    }
    async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
        waiting!(self.0.read(streams))
    }
    async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
        waiting!(self.0.append(batch))
    }
    async fn find_receipt(&self, key: &IdempotencyKey) -> Result<Option<KeptReceipt>, ReadError> {
        waiting!(self.0.find_receipt(key))
    }
    async fn committed_receipt(
        &self,
        key: &IdempotencyKey,
    ) -> Result<Option<KeptReceipt>, ReadError> {
        waiting!(self.0.committed_receipt(key))
    }
    async fn read_all(
        &self,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<Page, ReadError> {
        waiting!(self.0.read_all(after, filter, limit))
    }
}
