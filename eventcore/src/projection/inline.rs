//! Read models that are changed in the append's own transaction.

use std::{
    collections::HashMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use uuid::Uuid;

use super::{
    ApplyError, DocumentChange, DocumentKey, Owner, ProjectionId, ProjectionNameError, ReadModel,
};
use crate::{EventFilter, RecordedEvent, StoredEvent, execute::panic_message};

/// A read model that a store changes in the transaction of each append: whoever sees the events sees the documents.
///
/// It is pure and works on documents in memory, so what it costs other writers is bounded: two more questions to the
/// database for a group of appends. When it fails, so does the append.
///
/// While a store runs it, it belongs to [`Inline::owner`], and no runner can lead it.
#[derive(Clone)]
pub struct Inline(Arc<dyn Erased>);

/// Why a read model could not take events.
#[derive(Debug, thiserror::Error)]
#[error("inline projection {projection} cannot take the events")]
pub struct InlineError {
    projection: ProjectionId,
    source: ApplyError,
}

impl InlineError {
    /// Which it is.
    pub fn projection(&self) -> &ProjectionId {
        &self.projection
    }
}

trait Erased: Send + Sync {
    fn id(&self) -> &ProjectionId;
    fn filter(&self) -> &EventFilter;
    fn keys(&self, events: &[RecordedEvent]) -> Result<Vec<DocumentKey>, ApplyError>;
    fn fold(
        &self,
        events: &[RecordedEvent],
        documents: HashMap<DocumentKey, Option<String>>,
    ) -> Result<Vec<DocumentChange>, ApplyError>;
}

struct Model<M> {
    code: M,
    id: ProjectionId,
    filter: EventFilter,
}

impl<M: ReadModel> Erased for Model<M> {
    fn id(&self) -> &ProjectionId {
        &self.id
    }

    fn filter(&self) -> &EventFilter {
        &self.filter
    }

    fn keys(&self, events: &[RecordedEvent]) -> Result<Vec<DocumentKey>, ApplyError> {
        let mut keys = Vec::with_capacity(events.len());
        for event in events.iter().filter(|event| self.filter.matches(event)) {
            let event = StoredEvent::<M::Event>::decode(event.clone())?;
            keys.extend(self.code.keys(&event));
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    fn fold(
        &self,
        events: &[RecordedEvent],
        documents: HashMap<DocumentKey, Option<String>>,
    ) -> Result<Vec<DocumentChange>, ApplyError> {
        let mut decoded = HashMap::with_capacity(documents.len());
        for (key, body) in documents {
            let document = body.map(|body| crate::event::read::<M::Document>(body.as_bytes()));
            decoded.insert(key, document.transpose()?);
        }
        for event in events.iter().filter(|event| self.filter.matches(event)) {
            let event = StoredEvent::<M::Event>::decode(event.clone())?;
            for key in self.code.keys(&event) {
                let document = decoded.entry(key.clone()).or_default();
                self.code.apply(&key, document, &event);
            }
        }
        let change = |(key, document): (DocumentKey, Option<M::Document>)| {
            let body = document.map(|document| serde_json::to_string(&document));
            let body = body.transpose()?;
            Ok(DocumentChange { key, body })
        };
        decoded.into_iter().map(change).collect()
    }
}

impl Inline {
    /// The read model, to be run inline.
    ///
    /// # Errors
    ///
    /// [`ProjectionNameError`] when its name is none.
    pub fn new<M: ReadModel>(model: M) -> Result<Self, ProjectionNameError> {
        Ok(Self(Arc::new(Model {
            id: M::id()?,
            filter: model.filter(),
            code: model,
        })))
    }

    /// Which projection it is.
    pub fn id(&self) -> &ProjectionId {
        self.0.id()
    }

    /// The events that concern it.
    pub fn filter(&self) -> &EventFilter {
        self.0.filter()
    }

    /// Who leads a projection that is run inline: the same for all processes.
    pub fn owner() -> Owner {
        Owner {
            id: Uuid::max(),
            label: "inline".into(),
        }
    }

    /// The documents that events concern, each once.
    ///
    /// # Errors
    ///
    /// [`InlineError`] when an event cannot be decoded or the model panics.
    pub fn keys(&self, events: &[RecordedEvent]) -> Result<Vec<DocumentKey>, InlineError> {
        self.guarded(|| self.0.keys(events))
    }

    /// What becomes of the documents under those keys.
    ///
    /// # Errors
    ///
    /// As [`Inline::keys`], and when a document cannot be decoded or encoded.
    pub fn fold(
        &self,
        events: &[RecordedEvent],
        documents: impl IntoIterator<Item = (DocumentKey, Option<String>)>,
    ) -> Result<Vec<DocumentChange>, InlineError> {
        self.guarded(|| self.0.fold(events, documents.into_iter().collect()))
    }

    /// Unwind safety: what the model works on is dropped with the call.
    fn guarded<T>(&self, call: impl FnOnce() -> Result<T, ApplyError>) -> Result<T, InlineError> {
        let result = catch_unwind(AssertUnwindSafe(call))
            .unwrap_or_else(|panic| Err(format!("it panicked: {}", panic_message(&*panic)).into()));
        result.map_err(|source| InlineError {
            projection: self.id().clone(),
            source,
        })
    }
}

/// The same read model, not only an equal one.
impl PartialEq for Inline {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Inline {}

impl fmt::Debug for Inline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inline({})", self.id())
    }
}
