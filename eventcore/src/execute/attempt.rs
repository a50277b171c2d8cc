//! One attempt: from reading the streams to a decision.

use std::collections::HashMap;

use super::panics::guarded;
use crate::{
    CommandError, CommandLogic, EventStore, RecordedEvent, StreamId,
    command::{AnyFold, Declarations, Declared, Discovery, LoadedView, NewEvents},
    store::{
        Conflict, Expectation, ReadFrom, StoreError, StoreErrorKind, StreamConflict, StreamRead,
    },
};

/// The most events of plain streams that are kept to fold them again after a discovery.
const MAX_KEPT: usize = 100_000;

/// What an attempt came to.
pub(super) struct Decision {
    pub(super) expectations: Vec<Expectation>,
    pub(super) events: Vec<crate::store::NewEvent>,
    /// The streams that may be written to, for waiting in line at the next attempt.
    pub(super) writable: Vec<StreamId>,
}

/// Why there is no decision.
pub(super) enum Undecided {
    /// The application, or the store, has spoken.
    Failed(CommandError),
    /// A stream moved between two rounds of reading; no view of all streams exists.
    Torn(Conflict),
}

impl<E> From<E> for Undecided
where
    CommandError: From<E>,
{
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// A stream that was read or is being read.
struct Slot {
    declared: Declared,
    expectation: Expectation,
    fold: Option<Box<dyn AnyFold>>,
}

/// The command's streams, as far as they are known.
struct Known<'c, C: CommandLogic> {
    command: &'c C,
    slots: Vec<Slot>,
    whole: C::Whole,
    /// Events of plain streams, when a discovery may bring more to fold between them.
    kept: Vec<RecordedEvent>,
}

pub(super) async fn decide<C: CommandLogic, S: EventStore + ?Sized>(
    command: &C,
    store: &S,
    declared: &Declarations,
    discovery_limit: u32,
) -> Result<Decision, Undecided> {
    let mut known = Known {
        command,
        slots: Vec::with_capacity(declared.streams.len()),
        whole: C::Whole::default(),
        kept: Vec::new(),
    };
    known.read(store, declared.streams.iter().cloned()).await?;
    let views = known.take_views(0);
    let whole = std::mem::take(&mut known.whole);
    let mut streams = C::assemble(&mut declared.loaded(views), whole)?;

    let mut rounds = 0;
    #[expect(
        clippy::while_immutable_condition,
        reason = "a constant of the command; the loop ends from within"
    )]
    while C::DISCOVERS {
        let mut discovery = Discovery::new(known.names());
        guarded("discover", || command.discover(&streams, &mut discovery))?;
        let Some(first) = discovery.found.first() else {
            break;
        };
        if rounds == discovery_limit {
            return Err(Undecided::Failed(CommandError::DiscoveryTooDeep {
                limit: discovery_limit,
                stream: first.id.clone(),
            }));
        }
        rounds += 1;
        let before = known.slots.len();
        let places: Vec<usize> = discovery.found.iter().map(|found| found.slot).collect();
        let found = discovery.found.into_iter().map(|found| Declared {
            id: found.id,
            field: found.field,
            writable: found.writable,
            fold: found.fold,
        });
        known.read(store, found).await?;
        for (place, view) in places.into_iter().zip(known.take_views(before)) {
            C::add_discovered(&mut streams, place, view)?;
        }
        if C::DISCOVERS_PLAIN {
            known.fold_kept()?;
            C::set_whole(&mut streams, std::mem::take(&mut known.whole));
        }
    }

    let mut events = NewEvents::new();
    guarded("handle", || command.handle(&streams, &mut events))?;
    if let Some(error) = events.failure {
        return Err(error.into());
    }
    let writable = known.slots.iter().filter(|slot| slot.declared.writable);
    Ok(Decision {
        writable: writable.map(|slot| slot.declared.id.clone()).collect(),
        expectations: known
            .slots
            .into_iter()
            .map(|slot| slot.expectation)
            .collect(),
        events: events.events,
    })
}

impl<C: CommandLogic> Known<'_, C> {
    /// Reads streams that are new, and with them, in the same snapshot, whether the earlier ones have moved.
    async fn read<S: EventStore + ?Sized>(
        &mut self,
        store: &S,
        new: impl Iterator<Item = Declared>,
    ) -> Result<(), Undecided> {
        let first_new = self.slots.len();
        let unmoved = |slot: &Slot| {
            ReadFrom::after(slot.expectation.stream.clone(), slot.expectation.version)
        };
        let mut requests: Vec<ReadFrom> = self.slots.iter().map(unmoved).collect();
        let new: Vec<Declared> = new.collect();
        requests.extend(
            new.iter()
                .map(|declared| ReadFrom::start(declared.id.clone())),
        );

        let read = store.read(&requests).await;
        let StreamRead {
            versions,
            mut events,
        } = read.map_err(CommandError::Read)?;
        if versions.len() != requests.len() {
            let text = format!(
                "{} streams were asked for, {} came",
                requests.len(),
                versions.len()
            );
            let error = StoreError::new("read", StoreErrorKind::Other, text);
            return Err(CommandError::Read(error.into()).into());
        }
        let mut moved = Vec::new();
        for (slot, actual) in self.slots.iter().zip(&versions) {
            if slot.expectation.version != *actual {
                moved.push(StreamConflict {
                    stream: slot.expectation.stream.clone(),
                    expected: slot.expectation.version,
                    actual: *actual,
                });
            }
        }
        if let Some(conflict) = Conflict::new(moved) {
            return Err(Undecided::Torn(conflict));
        }
        for (declared, version) in new.into_iter().zip(versions.into_iter().skip(first_new)) {
            self.slots.push(Slot {
                expectation: Expectation {
                    stream: declared.id.clone(),
                    version,
                },
                fold: guarded("apply", || {
                    Ok::<_, CommandError>(declared.fold.map(|new| new()))
                })?,
                declared,
            });
        }
        let index = Index::of(&self.slots[first_new..]);
        while let Some(chunk) = events.next_chunk().await.map_err(CommandError::Read)? {
            let new = &mut self.slots[first_new..];
            let (command, whole, kept) = (self.command, &mut self.whole, &mut self.kept);
            guarded("apply", || {
                for event in chunk {
                    let slot = index
                        .find(new, event.stream())
                        .and_then(|at| new.get_mut(at));
                    match slot.and_then(|slot| slot.fold.as_mut()) {
                        Some(fold) => fold.apply(event)?,
                        None if C::DISCOVERS_PLAIN => kept.push(event),
                        None => command.apply_whole(whole, event)?,
                    }
                }
                Ok::<_, CommandError>(())
            })?;
            if self.kept.len() > MAX_KEPT {
                return Err(CommandError::TooManyEvents { limit: MAX_KEPT }.into());
            }
        }
        if C::DISCOVERS_PLAIN && first_new == 0 {
            self.fold_kept()?;
        }
        Ok(())
    }

    /// Folds the events of all plain streams anew, in global order.
    fn fold_kept(&mut self) -> Result<(), CommandError> {
        self.kept.sort_by_key(RecordedEvent::position);
        self.whole = C::Whole::default();
        guarded("apply", || {
            for event in &self.kept {
                self.command.apply_whole(&mut self.whole, event.clone())?;
            }
            Ok::<_, CommandError>(())
        })
    }

    fn names(&self) -> Vec<(StreamId, &'static str)> {
        let name = |slot: &Slot| (slot.declared.id.clone(), slot.declared.field);
        self.slots.iter().map(name).collect()
    }

    /// What was folded for the streams from this one on; their versions stay for the append.
    fn take_views(&mut self, from: usize) -> Vec<LoadedView> {
        let slots = self.slots.iter_mut().enumerate().skip(from);
        let view = |(
            slot,
            Slot {
                expectation, fold, ..
            },
        ): (usize, &mut Slot)| LoadedView {
            slot,
            id: expectation.stream.clone(),
            version: expectation.version,
            fold: fold.take(),
        };
        slots.map(view).collect()
    }
}

/// Which slot an event belongs to: by comparing for a few streams, by hashing for many.
enum Index {
    /// Asked for one stream, a store returns events of that stream.
    One,
    Few,
    Many(HashMap<StreamId, usize>),
}

impl Index {
    fn of(slots: &[Slot]) -> Self {
        match slots.len() {
            0 | 1 => return Self::One,
            2..=8 => return Self::Few,
            _ => {}
        }
        let entry = |(at, slot): (usize, &Slot)| (slot.expectation.stream.clone(), at);
        Self::Many(slots.iter().enumerate().map(entry).collect())
    }

    fn find(&self, slots: &[Slot], stream: &StreamId) -> Option<usize> {
        match self {
            Self::One => Some(0),
            Self::Few => slots
                .iter()
                .position(|slot| slot.expectation.stream == *stream),
            Self::Many(index) => index.get(stream).copied(),
        }
    }
}
