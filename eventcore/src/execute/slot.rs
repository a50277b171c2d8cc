//! A stream of a command while it is read: what is known of it, and how to go on.

use std::collections::HashMap;

use crate::{
    CommandError, RecordedEvent, StreamId, StreamVersion,
    command::{AnyFold, Declared, LoadedView},
    fold_cache::{FoldCache, FoldKey},
    store::{Expectation, ReadFrom, StoreError, StoreErrorKind, StreamConflict},
};

/// A stream that was read or is being read.
pub(super) struct Slot {
    pub(super) declared: Declared,
    /// What must hold at commit; before the stream is read, the version of what is known of it.
    version: StreamVersion,
    /// The version up to which events have come.
    reached: StreamVersion,
    fold: Option<Fold>,
}

struct Fold {
    state: Box<dyn AnyFold>,
    key: FoldKey,
    changed: bool,
}

impl Slot {
    /// A stream to be read, from the state on that is known of it.
    pub(super) fn open(declared: Declared, cache: &FoldCache) -> Self {
        let mut version = StreamVersion::EMPTY;
        let fold = declared.fold.map(|fold| {
            let key = ((fold.id)(), declared.id.clone());
            let known = cache
                .get(&key)
                .and_then(|(at, state)| Some((at, (fold.resume)(state)?)));
            let state = match known {
                Some((at, state)) => {
                    version = at;
                    state
                }
                None => (fold.start)(),
            };
            Fold {
                state,
                key,
                changed: false,
            }
        });
        Self {
            declared,
            version,
            reached: version,
            fold,
        }
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

    /// A stream that was read before: it must not have moved since.
    pub(super) fn moved_to(&self, actual: StreamVersion) -> Option<StreamConflict> {
        (actual != self.version).then(|| self.conflict(actual))
    }

    /// A stream that is read now. One that is shorter than what is known of it is not the one that was known: the log
    /// was replaced under a running program.
    pub(super) fn read_to(
        &mut self,
        actual: StreamVersion,
        cache: &FoldCache,
    ) -> Option<StreamConflict> {
        if actual < self.version {
            if let Some(fold) = &self.fold {
                cache.forget(&fold.key);
            }
            return Some(self.conflict(actual));
        }
        self.version = actual;
        None
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
        let Some(fold) = &mut self.fold else {
            return Ok(Some(event));
        };
        if !fold.changed {
            // Taken out of the cache, the state is this command's alone and need not be copied to be changed.
            cache.forget(&fold.key);
            fold.changed = true;
        }
        fold.state.apply(event)?;
        Ok(None)
    }

    /// Everything was folded: the state is kept for the next command, and becomes a view.
    pub(super) fn take_view(&mut self, slot: usize, cache: &FoldCache) -> LoadedView {
        let fold = self.fold.take().map(|fold| {
            if fold.changed {
                cache.put(fold.key, self.version, fold.state.share());
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
