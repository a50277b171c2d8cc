//! A handle on it, with models.

use std::sync::atomic::Ordering::Relaxed;

use crate::made::{Defect, Made, Work, a_moment, other};
use async_trait::async_trait;
use eventcore::{
    Commons, EventFilter, EventStore, GlobalPosition, IdempotencyKey, RecordedEvent,
    projection::Inline,
    store::{
        AppendBatch, AppendError, AppendReceipt, Capabilities, KeptReceipt, Page, PageSize,
        ReadError, ReadFrom, RecordedFields, StreamRead,
    },
};

/// A handle with models.
pub(crate) struct Handle {
    made: Made,
    models: Vec<Inline>,
}

impl Handle {
    pub(crate) fn new(made: Made, models: Vec<Inline>) -> Self {
        Self { made, models }
    }

    /// Whether the batch will be appended, and nothing is known of it.
    async fn is_new(&self, batch: &AppendBatch) -> bool {
        let key = batch.idempotency().map(|idempotency| &idempotency.key);
        if let Some(key) = key
            && self.made.events.find_receipt(key).await.unwrap().is_some()
        {
            return self.made.is(Defect::AppliesRepeats);
        }
        let streams: Vec<_> = batch
            .expectations()
            .iter()
            .map(|e| ReadFrom::start(e.stream.clone()))
            .collect();
        let found = self.made.events.read(&streams).await.unwrap().versions;
        let expected = batch.expectations().iter().map(|expected| expected.version);
        expected.eq(found) || self.made.is(Defect::AppliesConflicts)
    }

    /// The events as they will stand in the log.
    async fn recorded(&self, batch: &AppendBatch) -> Vec<RecordedEvent> {
        let mut position =
            GlobalPosition::START.advanced(self.made.log(GlobalPosition::START).await.len() as u64);
        let mut versions: Vec<_> = batch.expectations().iter().map(|e| e.version).collect();
        let metadata = batch
            .metadata()
            .filter(|_| !self.made.is(Defect::ForgetsMetadata));
        let mut events = Vec::new();
        for event in batch.events() {
            position = position.advanced(1);
            versions[event.stream] = versions[event.stream].advanced(1);
            events.push(RecordedEvent::from(RecordedFields {
                id: event.id,
                stream: batch.stream_of(event).clone(),
                version: versions[event.stream],
                position,
                event: event.event.clone(),
                correlation_id: batch.correlation_id(),
                causation_id: batch.causation_id(),
                metadata: metadata.cloned(),
                recorded_at: batch.recorded_at(),
            }));
        }
        events
    }

    /// What all models make of events; none where they are passed over.
    async fn works(&self, events: &[RecordedEvent]) -> Result<Vec<Work>, AppendError> {
        let mut works = Vec::new();
        for model in &self.models {
            let standing = self.made.standing(model.id()).await;
            let leader = standing.and_then(|standing| standing.leader);
            let inline = leader.is_some_and(|(owner, _)| owner == Inline::owner());
            if !inline && self.made.is(Defect::AppendsWithoutIt) {
                continue;
            }
            if !inline
                && !self.made.is(Defect::ClaimsNothing)
                && !self.made.is(Defect::PushesRunnersAside)
            {
                return Err(other(format!("{} is not run inline any more", model.id())).into());
            }
            match self.made.work(model, events).await {
                Err(AppendError::Inline(_)) if self.made.is(Defect::AppendsAnyway) => {}
                work => works.push(work?),
            }
            if self.made.is(Defect::ModelByModel) {
                self.made.settle(std::mem::take(&mut works), false).await;
            }
        }
        Ok(works)
    }

    async fn append_alone(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
        let made = &self.made;
        if batch.events().is_empty() || self.models.is_empty() || !self.is_new(&batch).await {
            return made.events.append(batch).await;
        }
        let events = self.recorded(&batch).await;
        if made.is(Defect::EventByEvent) {
            for event in &events[..events.len() - 1] {
                let works = self.works(std::slice::from_ref(event)).await?;
                made.settle(works, false).await;
                a_moment().await;
            }
            let works = self.works(&events[events.len() - 1..]).await?;
            let receipt = made.events.append(batch).await;
            made.settle(works, false).await;
            return receipt;
        }
        let works = self.works(&events).await?;
        match made.defect {
            Defect::ComesLater => {
                let receipt = made.events.append(batch).await?;
                let made = made.clone();
                tokio::spawn(async move {
                    a_moment().await;
                    made.settle(works, false).await;
                });
                Ok(receipt)
            }
            Defect::DocumentsFirst | Defect::AppliesConflicts | Defect::LeavesHalf => {
                made.settle(works, false).await;
                a_moment().await;
                made.events.append(batch).await
            }
            Defect::EventsFirst | Defect::LosesUpdates => {
                let receipt = made.events.append(batch).await?;
                a_moment().await;
                made.settle(works, false).await;
                Ok(receipt)
            }
            _ => {
                let receipt = made.events.append(batch).await?;
                made.settle(works, false).await;
                Ok(receipt)
            }
        }
    }
}

#[async_trait]
impl EventStore for Handle {
    fn capabilities(&self) -> Capabilities {
        self.made.events.capabilities()
    }

    fn commons(&self) -> &Commons {
        self.made.events.commons()
    }

    async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
        self.made.events.read(streams).await
    }

    async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
        if self.made.is(Defect::LosesUpdates) {
            return self.append_alone(batch).await;
        }
        let _alone = self.made.gate.lock().await;
        // Whoever comes after one that was refused is refused as well.
        if self.made.harmed.swap(false, Relaxed) {
            return Err(other("somebody else's append was refused").into());
        }
        let verdict = self.append_alone(batch).await;
        let refused = matches!(verdict, Err(AppendError::Inline(_)));
        let harms = refused && self.made.is(Defect::HarmsNeighbours);
        self.made.harmed.store(harms, Relaxed);
        verdict
    }

    async fn find_receipt(&self, key: &IdempotencyKey) -> Result<Option<KeptReceipt>, ReadError> {
        self.made.events.find_receipt(key).await
    }

    async fn committed_receipt(
        &self,
        key: &IdempotencyKey,
    ) -> Result<Option<KeptReceipt>, ReadError> {
        self.made.events.committed_receipt(key).await
    }

    async fn read_all(
        &self,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<Page, ReadError> {
        // Not in the midst of an append.
        let midst = matches!(
            self.made.defect,
            Defect::EventsFirst
                | Defect::DocumentsFirst
                | Defect::EventByEvent
                | Defect::LosesUpdates
        );
        let _alone = if midst {
            None
        } else {
            Some(self.made.gate.lock().await)
        };
        self.made.events.read_all(after, filter, limit).await
    }
}
