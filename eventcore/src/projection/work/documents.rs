//! A read model at work: the documents of a page are loaded at once, changed in memory, and stored at once.

use std::{
    collections::{HashMap, hash_map::Entry},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{Failed, Work};
use crate::{
    EventFilter, RecordedEvent, StoredEvent,
    execute::panic_message,
    projection::{
        ApplyError, DocumentChange, DocumentKey, Lease, ProjectionId, ProjectionNameError,
        ReadModel, UnitOfWork,
    },
};

/// How many documents are kept between commits.
const KEPT: usize = 16_384;

/// Runs a [`ReadModel`].
#[derive(Debug)]
pub struct ByKey<M: ReadModel> {
    model: Arc<M>,
    /// Documents as they were committed. Sound while this leads: nobody else writes them then, and whoever leads later
    /// begins with none.
    kept: HashMap<DocumentKey, Option<M::Document>>,
    epoch: u64,
    /// What the last call worked on, until it is known whether it counts.
    working: HashMap<DocumentKey, Option<M::Document>>,
}

/// An event's share in a document.
struct Touch {
    event: usize,
    key: DocumentKey,
}

impl<M: ReadModel> ByKey<M> {
    pub(crate) fn new(model: Arc<M>) -> Self {
        Self {
            model,
            kept: HashMap::new(),
            epoch: 0,
            working: HashMap::new(),
        }
    }

    /// Which documents are touched by which event, in order.
    fn touches(
        &self,
        lease: &Lease,
        events: &[StoredEvent<M::Event>],
    ) -> Result<Vec<Touch>, Failed> {
        let mut touches = Vec::with_capacity(events.len());
        let mut at = 0;
        let collect = || {
            for (index, event) in events.iter().enumerate() {
                at = index;
                let keys = self.model.keys(event).into_iter();
                let mine = keys.filter(|key| lease.owns(key.as_str(), event.position()));
                touches.extend(mine.map(|key| Touch { event: index, key }));
            }
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(collect)) {
            return Err(panicked(at, &*panic));
        }
        Ok(touches)
    }

    /// Moves the documents into `working`: the kept ones, and all others in one question.
    async fn fetch<U: UnitOfWork>(
        &mut self,
        unit: &mut U,
        touches: &[Touch],
    ) -> Result<(), Failed> {
        let (mut missing, mut first_touch) = (Vec::new(), Vec::new());
        for touch in touches {
            if let Entry::Vacant(place) = self.working.entry(touch.key.clone()) {
                let document = self.kept.remove(&touch.key);
                if document.is_none() {
                    missing.push(touch.key.clone());
                    first_touch.push(touch.event);
                }
                place.insert(document.flatten());
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let found = unit.load(&missing).await?;
        for ((key, event), body) in missing.into_iter().zip(first_touch).zip(found) {
            let document = body
                .map(|body| crate::event::read(body.as_bytes()))
                .transpose()
                .map_err(|error| {
                    let text =
                        format!("document `{key}` is not what the read model stores: {error}");
                    Failed::lasting(event, text)
                })?;
            self.working.insert(key, document);
        }
        Ok(())
    }

    fn fold(&mut self, events: &[StoredEvent<M::Event>], touches: &[Touch]) -> Result<(), Failed> {
        let mut at = 0;
        let fold = || {
            for touch in touches {
                at = touch.event;
                if let Some(document) = self.working.get_mut(&touch.key) {
                    self.model.apply(&touch.key, document, &events[touch.event]);
                }
            }
        };
        catch_unwind(AssertUnwindSafe(fold)).map_err(|panic| panicked(at, &*panic))
    }

    fn changes(&self, touches: &[Touch]) -> Result<Vec<DocumentChange>, Failed> {
        // Who touched it last is named when it cannot be written.
        let last: HashMap<&DocumentKey, usize> = touches
            .iter()
            .map(|touch| (&touch.key, touch.event))
            .collect();
        let mut changes = Vec::with_capacity(self.working.len());
        for (key, document) in &self.working {
            let body = document.as_ref().map(serde_json::to_string).transpose();
            let event = last.get(key).copied().unwrap_or_default();
            changes.push(DocumentChange {
                key: key.clone(),
                body: body.map_err(|error| Failed::lasting(event, error))?,
            });
        }
        Ok(changes)
    }
}

fn panicked(index: usize, panic: &(dyn std::any::Any + Send)) -> Failed {
    Failed::passing(
        Some(index),
        format!("it panicked: {}", panic_message(panic)),
    )
}

impl<M: ReadModel, U: UnitOfWork> Work<U> for ByKey<M> {
    fn another(&self) -> Self {
        Self::new(Arc::clone(&self.model))
    }

    fn id(&self) -> Result<ProjectionId, ProjectionNameError> {
        M::id()
    }

    fn filter(&self) -> EventFilter {
        self.model.filter()
    }

    fn prepares(&self) -> bool {
        false
    }

    async fn prepare(&mut self, _: &mut U) -> Result<(), ApplyError> {
        Ok(())
    }

    async fn apply(
        &mut self,
        unit: &mut U,
        lease: &Lease,
        events: &[RecordedEvent],
    ) -> Result<(), Failed> {
        if self.epoch != lease.epoch {
            self.kept.clear();
            self.epoch = lease.epoch;
        }
        self.working.clear();
        let mut decoded = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            let event = StoredEvent::<M::Event>::decode(event.clone());
            decoded.push(event.map_err(|error| Failed::lasting(index, error))?);
        }
        let touches = self.touches(lease, &decoded)?;
        self.fetch(unit, &touches).await?;
        self.fold(&decoded, &touches)?;
        let changes = self.changes(&touches)?;
        if !changes.is_empty() {
            unit.put(changes).await?;
        }
        Ok(())
    }

    fn settled(&mut self, committed: bool) {
        if !committed {
            self.working.clear();
            return;
        }
        if self.kept.len() + self.working.len() > KEPT {
            self.kept.clear();
        }
        self.kept.extend(self.working.drain());
    }
}
