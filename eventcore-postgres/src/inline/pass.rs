//! The read models in one transaction: where they stand, and their documents, in memory.

use std::collections::HashMap;

use eventcore::{
    GlobalPosition, RecordedEvent,
    projection::{Checkpoint, DocumentKey, Inline, InlineError, Witness},
    store::{StoreError, StoreErrorKind},
};

use super::{MAX_MISSING, lost, refused};

/// The read models in one transaction.
pub(super) struct Pass<'m> {
    pub(super) models: &'m [Inline],
    pub(super) states: Vec<State>,
}

/// One of them.
#[derive(Default)]
pub(super) struct State {
    pub(super) standing: Option<Standing>,
    pub(super) documents: HashMap<DocumentKey, Document>,
}

/// Where it stands.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    /// What its documents are kept under.
    pub(super) id: i64,
    pub(super) checkpoint: Checkpoint,
    /// Whether it is run inline.
    pub(super) owned: bool,
}

/// A document as it is in this transaction.
pub(super) enum Document {
    /// To be loaded.
    Wanted,
    Loaded(Option<String>),
    Changed(Option<String>),
}

impl Document {
    fn body(&self) -> Option<&String> {
        match self {
            Self::Wanted => None,
            Self::Loaded(body) | Self::Changed(body) => body.as_ref(),
        }
    }
}

impl<'m> Pass<'m> {
    pub(super) fn new(models: &'m [Inline]) -> Self {
        Self {
            models,
            states: models.iter().map(|_| State::default()).collect(),
        }
    }

    /// Asks for the documents that events concern, to be loaded; their keys, for each model.
    pub(super) fn ask(
        &mut self,
        events: &[RecordedEvent],
    ) -> Result<Vec<Vec<DocumentKey>>, InlineError> {
        let keys = self.models.iter().map(|model| model.keys(events));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        for (state, keys) in self.states.iter_mut().zip(&keys) {
            state.want(keys);
        }
        Ok(keys)
    }

    /// The same for one model.
    pub(super) fn ask_one(
        &mut self,
        model: usize,
        events: &[RecordedEvent],
    ) -> Result<Vec<DocumentKey>, InlineError> {
        let keys = self.models[model].keys(events)?;
        self.states[model].want(&keys);
        Ok(keys)
    }

    /// Whether all models may take events after this position.
    pub(super) fn check(&self, base: GlobalPosition) -> Result<(), StoreError> {
        for (model, state) in self.models.iter().zip(&self.states) {
            let standing = state.standing.as_ref().filter(|standing| standing.owned);
            let at = standing
                .ok_or_else(|| lost(model.id()))?
                .checkpoint
                .position;
            let why = match base.get().checked_sub(at.get()) {
                None => format!("it stands at {at}, beyond the end of the log; reset it first"),
                Some(missing) if missing > MAX_MISSING => format!(
                    "it lacks {missing} events, {MAX_MISSING} are allowed; give it back and let a runner catch up first"
                ),
                Some(_) => continue,
            };
            return Err(refused(model.id(), StoreErrorKind::Other, &why));
        }
        Ok(())
    }

    /// A model that has not come to this position yet.
    pub(super) fn behind(&self, base: GlobalPosition) -> Option<usize> {
        (0..self.states.len()).find(|model| self.position(*model) < base)
    }

    pub(super) fn position(&self, model: usize) -> GlobalPosition {
        let standing = self.states[model].standing.as_ref();
        standing.map_or(GlobalPosition::START, |at| at.checkpoint.position)
    }

    /// Lets all models take events, by the keys of their documents. If one cannot, nothing is changed.
    pub(super) fn take(
        &mut self,
        events: &[RecordedEvent],
        keys: Vec<Vec<DocumentKey>>,
    ) -> Result<(), InlineError> {
        let folds = self.models.iter().zip(&self.states).zip(keys);
        let changes = folds.map(|((model, state), keys)| state.fold(model, events, keys));
        let changes = changes.collect::<Result<Vec<_>, _>>()?;
        for ((model, state), changes) in self.models.iter().zip(&mut self.states).zip(changes) {
            state.settle(model, events, changes);
        }
        Ok(())
    }

    /// The same for one model.
    pub(super) fn take_one(
        &mut self,
        model: usize,
        events: &[RecordedEvent],
        keys: Vec<DocumentKey>,
    ) -> Result<(), InlineError> {
        let (model, state) = (&self.models[model], &mut self.states[model]);
        let changes = state.fold(model, events, keys)?;
        state.settle(model, events, changes);
        Ok(())
    }
}

type Changes = Vec<(DocumentKey, Option<String>)>;

impl State {
    fn want(&mut self, keys: &[DocumentKey]) {
        for key in keys {
            self.documents
                .entry(key.clone())
                .or_insert(Document::Wanted);
        }
    }

    /// What events do to the documents.
    fn fold(
        &self,
        model: &Inline,
        events: &[RecordedEvent],
        keys: Vec<DocumentKey>,
    ) -> Result<Changes, InlineError> {
        let documents = keys.into_iter().map(|key| {
            let body = self.documents.get(&key).and_then(Document::body).cloned();
            (key, body)
        });
        let changes = model.fold(events, documents)?.into_iter();
        Ok(changes.map(|change| (change.key, change.body)).collect())
    }

    fn settle(&mut self, model: &Inline, events: &[RecordedEvent], changes: Changes) {
        for (key, body) in changes {
            if let Some(document) = self.documents.get_mut(&key)
                && document.body() != body.as_ref()
            {
                *document = Document::Changed(body);
            }
        }
        let Some(Standing { checkpoint, .. }) = &mut self.standing else {
            return;
        };
        if let Some(last) = events.last() {
            checkpoint.position = last.position();
        }
        if let Some(event) = events.iter().rfind(|event| model.filter().matches(event)) {
            checkpoint.witness = Some(Witness {
                position: event.position(),
                id: event.id(),
            });
        }
    }
}
