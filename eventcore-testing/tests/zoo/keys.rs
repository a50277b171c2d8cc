//! Stores that get idempotency keys wrong.

use std::{collections::HashMap, sync::Mutex};

use async_trait::async_trait;
use eventcore::{
    EventStore, IdempotencyKey,
    store::{AppendBatch, AppendError, AppendReceipt, KeptReceipt, ReadError},
};
use eventcore_memory::InMemoryEventStore;

use crate::cage::{Parts, Specimen, check, dawdle, specimens};

fn caseless(key: &IdempotencyKey) -> IdempotencyKey {
    IdempotencyKey::try_new(key.as_str().to_lowercase()).unwrap()
}

specimens! {
    /// Never heard of keys.
    ForgetsKeys {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let mut parts = Parts::of(&batch);
            parts.idempotency = None;
            if parts.events.is_empty() {
                return self.inner.append(batch).await;
            }
            self.inner.append(parts.build()).await
        }
    }

    /// Returns the first receipt for whatever comes with the key.
    IgnoresFingerprints {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            match self.inner.append(batch).await {
                Err(AppendError::IdempotencyConflict { key }) => {
                    Ok(self.inner.find_receipt(&key).await.unwrap().unwrap().receipt)
                }
                outcome => outcome,
            }
        }
    }

    /// Looks at the expectations first, which a command's own events have broken.
    ChecksTheKeyLast {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            check(&self.inner, &batch).await?;
            self.inner.append(batch).await
        }
    }

    /// Looks the key up in one transaction and appends in the next.
    LooksTheKeyUpTooEarly { kept: Mutex<HashMap<IdempotencyKey, KeptReceipt>> } => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let Some(idempotency) = batch.idempotency().cloned() else {
                return self.inner.append(batch).await;
            };
            if let Some(kept) = self.kept.lock().unwrap().get(&idempotency.key) {
                return Ok(kept.receipt.clone());
            }
            dawdle().await;
            let mut parts = Parts::of(&batch);
            parts.idempotency = None;
            let receipt = self.inner.append(parts.build()).await?;
            let kept = KeptReceipt {
                fingerprint: idempotency.fingerprint,
                receipt: AppendReceipt { replayed: true, ..receipt.clone() },
            };
            self.kept.lock().unwrap().insert(idempotency.key, kept);
            Ok(receipt)
        }
    }

    /// Keeps a key only with events to hang it on.
    ForgetsEmptyDecisions {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            if batch.events().is_empty() {
                check(&self.inner, &batch).await?;
                return Ok(AppendReceipt {
                    events: Vec::new(),
                    correlation_id: batch.correlation_id(),
                    replayed: false,
                });
            }
            self.inner.append(batch).await
        }
    }

    /// Cannot be asked for receipts.
    FindsNoReceipts {} => {
        async fn find_receipt(&self, _: &IdempotencyKey) -> Result<Option<KeptReceipt>, ReadError> {
            Ok(None)
        }
    }

    /// Says of a repetition that it is the first.
    DoesNotSayReplayed {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let receipt = self.inner.append(batch).await?;
            Ok(AppendReceipt { replayed: false, ..receipt })
        }
    }

    /// Gives events identities of its own.
    DoesNotKnowItsOwnBatches {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            self.inner.append(Parts::of(&batch).build()).await
        }
    }

    /// Goes on with an append that was dropped, and says of it meanwhile that there is none.
    AnswersBeforeItKnows {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let inner = self.inner.clone();
            let appending = tokio::spawn(async move {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                inner.append(batch).await
            });
            appending.await.unwrap()
        }
    }

    /// Compares keys by a collation.
    FoldsKeys {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let mut parts = Parts::of(&batch);
            if let Some(idempotency) = &mut parts.idempotency {
                idempotency.key = caseless(&idempotency.key);
            }
            self.inner.append(parts.build()).await
        }

        async fn find_receipt(&self, key: &IdempotencyKey) -> Result<Option<KeptReceipt>, ReadError> {
            self.inner.find_receipt(&caseless(key)).await
        }
    }
}
