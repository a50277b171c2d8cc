//! Stores that do not guard what a command read.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use async_trait::async_trait;
use eventcore::{
    Commons, EventStore,
    store::{AppendBatch, AppendError, AppendReceipt, Conflict},
};
use eventcore_memory::InMemoryEventStore;

use crate::cage::{Parts, Specimen, append_anywhere, check, dawdle, specimens, version_of};

specimens! {
    /// Checks only the streams that it writes.
    SkipsReadOnlyStreams {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let mut parts = Parts::of(&batch);
            let writes: Vec<_> = parts.events.iter().map(|(stream, _)| stream.clone()).collect();
            parts.expectations.retain(|expected| writes.contains(&expected.stream));
            self.inner.append(parts.build()).await
        }
    }

    /// Takes "no events" for "no expectation".
    IgnoresEmptyExpectations {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let mut parts = Parts::of(&batch);
            for expected in parts.expectations.iter_mut().filter(|e| e.version.is_empty()) {
                expected.version = version_of(&self.inner, &expected.stream).await;
            }
            self.inner.append(parts.build()).await
        }
    }

    /// Appends to wherever a written stream is; the last writer wins.
    IgnoresWrittenStreams {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let mut parts = Parts::of(&batch);
            let written: Vec<bool> =
                parts.expectations.iter().map(|e| parts.writes(&e.stream)).collect();
            for (expected, _) in parts.expectations.iter_mut().zip(written).filter(|(_, w)| *w) {
                expected.version = version_of(&self.inner, &expected.stream).await;
            }
            self.inner.append(parts.build()).await
        }
    }

    /// Takes "at least" for "exactly".
    AcceptsLowerExpectations {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let mut parts = Parts::of(&batch);
            for expected in &mut parts.expectations {
                let actual = version_of(&self.inner, &expected.stream).await;
                expected.version = expected.version.max(actual);
            }
            self.inner.append(parts.build()).await
        }
    }

    /// Checks everything, and appends in another transaction.
    ChecksOutsideTheTransaction {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            check(&self.inner, &batch).await?;
            dawdle().await;
            append_anywhere(&self.inner, &batch).await
        }
    }

    /// Checks the streams that it only reads before the transaction, and those that it writes in it: what a statement
    /// does whose snapshot is older than its lock.
    ChecksReadOnlyStreamsTooEarly {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            check(&self.inner, &batch).await?;
            dawdle().await;
            let mut parts = Parts::of(&batch);
            let writes: Vec<_> = parts.events.iter().map(|(stream, _)| stream.clone()).collect();
            parts.expectations.retain(|expected| writes.contains(&expected.stream));
            self.inner.append(parts.build()).await
        }
    }

    /// Gives every caller another `Commons`, as if each clone of the store had its own.
    SharesNoCommons { all_commons: AllCommons } => {
        fn commons(&self) -> &Commons {
            let AllCommons(all, next) = &self.all_commons;
            &all[next.fetch_add(1, SeqCst) % all.len()]
        }

        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            self.inner.append(batch).await
        }
    }

    /// Stops looking at the first stream that moved.
    NamesOneConflictOnly {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            match self.inner.append(batch).await {
                Err(AppendError::Conflict(conflict)) => {
                    let first = conflict.streams()[..1].to_vec();
                    Err(Conflict::new(first).unwrap().into())
                }
                outcome => outcome,
            }
        }
    }
}

pub(crate) struct AllCommons(Vec<Commons>, AtomicUsize);

impl Default for AllCommons {
    fn default() -> Self {
        let all = (0..64).map(|_| Commons::new()).collect();
        Self(all, AtomicUsize::new(0))
    }
}
