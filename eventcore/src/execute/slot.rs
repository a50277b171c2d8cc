//! A stream of a command while it is read: what is known of it, and how to go on.

use std::{collections::HashMap, sync::Arc};

use crate::{
    CommandError, EventId, RecordedEvent, StreamId, StreamVersion,
    command::{AnyFold, Declared, LoadedView},
    fold_cache::{FoldCache, FoldKey, KeptState},
    store::{Expectation, ReadFrom, StoreError, StoreErrorKind, StreamConflict},
};

/// A stream that was read or is being read.
pub(super) struct Slot {
    pub(super) declared: Declared,
    /// What must hold at commit; before the stream is read, the version of what is known of it.
    version: StreamVersion,
    /// The version up to which events have come, and the event there.
    reached: StreamVersion,
    last: Option<EventId>,
    fold: Option<Fold>,
}

struct Fold {
    state: Box<dyn AnyFold>,
    key: FoldKey,
    /// Bytes of payload in the state.
    folded: usize,
    changed: bool,
}

impl Slot {
    /// A stream to be read, from the state on that is known of it.
    pub(super) fn open(declared: Declared, cache: &FoldCache) -> Self {
        let mut slot = Self {
            declared,
            version: StreamVersion::EMPTY,
            reached: StreamVersion::EMPTY,
            last: None,
            fold: None,
        };
        if let Some(fold) = slot.declared.fold {
            let key = ((fold.id)(), slot.stream().clone());
            let kept = cache
                .get(&key)
                .and_then(|kept| Some(((fold.resume)(Arc::clone(&kept.state))?, kept)));
            match kept {
                Some((state, kept)) => slot.resume(state, key, &kept),
                None => slot.start((fold.start)(), key),
            }
        }
        slot
    }

    fn resume(&mut self, state: Box<dyn AnyFold>, key: FoldKey, kept: &KeptState) {
        (self.version, self.reached) = (kept.version, kept.version);
        self.last = Some(kept.witness);
        self.fold = Some(Fold {
            state,
            key,
            folded: kept.folded,
            changed: false,
        });
    }

    fn start(&mut self, state: Box<dyn AnyFold>, key: FoldKey) {
        (self.version, self.reached) = (StreamVersion::EMPTY, StreamVersion::EMPTY);
        self.last = None;
        self.fold = Some(Fold {
            state,
            key,
            folded: 0,
            changed: false,
        });
    }

    pub(super) fn stream(&self) -> &StreamId {
        &self.declared.id
    }

    /// What is not known yet.
    pub(super) fn request(&self) -> ReadFrom {
        ReadFrom::after(self.declared.id.clone(), self.version)
    }

    /// What must hold at commit.
    pub(super) fn expectation(&self) -> Expectation {
        Expectation {
            stream: self.declared.id.clone(),
            version: self.version,
        }
    }

    /// A stream that was read before: it must not have moved since, nor be another one of the same length.
    pub(super) fn moved_to(
        &self,
        actual: StreamVersion,
        witness: Option<EventId>,
    ) -> Option<StreamConflict> {
        (actual != self.version || witness != self.last).then(|| self.conflict(actual))
    }

    /// Whether what is known of a stream is of the log that is read now. Otherwise the log was replaced under a
    /// running program, and the stream is to be folded from its beginning.
    pub(super) fn is_known_by(&self, actual: StreamVersion, witness: Option<EventId>) -> bool {
        self.version.is_empty() || (actual >= self.version && witness == self.last)
    }

    /// Forgets what was known of the stream.
    pub(super) fn restart(&mut self, cache: &FoldCache) {
        if let (Some(fold), Some(kind)) = (self.fold.take(), self.declared.fold) {
            cache.forget(&fold.key);
            self.start((kind.start)(), fold.key);
        }
    }

    /// A stream that is read now, up to this version.
    pub(super) fn read_to(&mut self, actual: StreamVersion) {
        self.version = actual;
    }

    /// Whether all events have come that the stream's version promised.
    ///
    /// # Errors
    ///
    /// When some are missing.
    pub(super) fn complete(&self) -> Result<(), CommandError> {
        if self.reached == self.version {
            return Ok(());
        }
        let (stream, version, reached) = (self.stream(), self.version, self.reached);
        Err(mixed_up(format!(
            "stream `{stream}` is at {version}, its events came up to {reached}"
        )))
    }

    fn conflict(&self, actual: StreamVersion) -> StreamConflict {
        StreamConflict {
            stream: self.declared.id.clone(),
            expected: self.version,
            actual,
        }
    }

    /// Folds an event, or gives it back when the stream is plain.
    ///
    /// # Errors
    ///
    /// An event that cannot be decoded, or that is not the next one of the stream: a store must not leave any out.
    pub(super) fn apply(
        &mut self,
        event: RecordedEvent,
        cache: &FoldCache,
    ) -> Result<Option<RecordedEvent>, CommandError> {
        let next = self.reached.advanced(1);
        if event.version() != next {
            let (stream, found) = (self.stream(), event.version());
            return Err(mixed_up(format!(
                "event {found} of stream `{stream}` came, {next} was next"
            )));
        }
        self.reached = next;
        self.last = Some(event.id());
        let Some(fold) = &mut self.fold else {
            return Ok(Some(event));
        };
        if !fold.changed {
            // Taken out of the cache, the state is this command's alone and need not be copied to be changed.
            cache.forget(&fold.key);
            fold.changed = true;
        }
        fold.folded = fold.folded.saturating_add(event.encoded().payload().len());
        fold.state.apply(event)?;
        Ok(None)
    }

    /// Everything was folded: the state is kept for the next command, and becomes a view.
    pub(super) fn take_view(&mut self, slot: usize, cache: &FoldCache) -> LoadedView {
        let last = self.last;
        let fold = self.fold.take().map(|fold| {
            if let Some(witness) = last.filter(|_| fold.changed) {
                let kept = KeptState {
                    version: self.version,
                    witness,
                    state: fold.state.share(),
                    folded: fold.folded,
                    weight: fold.state.weight(fold.folded),
                };
                cache.put(fold.key, kept);
            }
            fold.state
        });
        LoadedView {
            slot,
            id: self.declared.id.clone(),
            version: self.version,
            fold,
        }
    }
}

/// Which slot an event belongs to: by comparing for a few streams, by hashing for many.
pub(super) enum Index {
    /// Asked for one stream, a store returns events of that stream.
    One,
    Few,
    Many(HashMap<StreamId, usize>),
}

impl Index {
    pub(super) fn of(slots: &[Slot]) -> Self {
        match slots.len() {
            0 | 1 => return Self::One,
            2..=8 => return Self::Few,
            _ => {}
        }
        let entry = |(at, slot): (usize, &Slot)| (slot.stream().clone(), at);
        Self::Many(slots.iter().enumerate().map(entry).collect())
    }

    /// # Errors
    ///
    /// A store that returns events of a stream that was not asked for has mixed something up.
    pub(super) fn find<'s>(
        &self,
        slots: &'s mut [Slot],
        stream: &StreamId,
    ) -> Result<&'s mut Slot, CommandError> {
        let at = match self {
            Self::One => Some(0),
            Self::Few => slots.iter().position(|slot| slot.stream() == stream),
            Self::Many(index) => index.get(stream).copied(),
        };
        at.and_then(|at| slots.get_mut(at)).ok_or_else(|| {
            mixed_up(format!(
                "an event of stream `{stream}` came, which was not asked for"
            ))
        })
    }
}

/// A store that does not keep to its contract.
pub(super) fn mixed_up(text: String) -> CommandError {
    CommandError::Read(StoreError::new("read", StoreErrorKind::Other, text).into())
}
