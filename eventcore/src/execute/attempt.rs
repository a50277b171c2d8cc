//! One attempt: from reading the streams to a decision.

use super::{
    Options,
    panics::guarded,
    slot::{Index, Slot, mixed_up},
};
use crate::{
    CommandError, CommandLogic, EventId, EventStore, RecordedEvent, StreamId, StreamVersion,
    command::{Declarations, Declared, Discovery, LoadedView, NewEvents},
    fold_cache::FoldCache,
    store::{Conflict, EventChunks, Expectation, ReadFrom},
};

/// The version of a stream, and the event at the place from which it was read.
type Head = (StreamVersion, Option<EventId>);

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

/// The command's streams, as far as they are known.
struct Known<'c, C: CommandLogic> {
    command: &'c C,
    cache: &'c FoldCache,
    slots: Vec<Slot>,
    whole: C::Whole,
    /// Events of plain streams, when a discovery may bring more to fold between them.
    kept: Vec<RecordedEvent>,
}

pub(super) async fn decide<C: CommandLogic, S: EventStore + ?Sized>(
    command: &C,
    store: &S,
    declared: &Declarations,
    options: &Options,
) -> Result<Decision, Undecided> {
    let discovery_limit = options.discovery_limit;
    let mut known = Known {
        command,
        cache: store.commons().folds(),
        slots: Vec::with_capacity(declared.streams.len()),
        whole: fresh::<C>()?,
        kept: Vec::new(),
    };
    known.read(store, declared.streams.iter().cloned()).await?;
    let views = known.take_views(0);
    let whole = std::mem::replace(&mut known.whole, fresh::<C>()?);
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
            C::set_whole(
                &mut streams,
                std::mem::replace(&mut known.whole, fresh::<C>()?),
            );
        }
    }

    let mut events = NewEvents::new(options.verify_events);
    guarded("handle", || command.handle(&streams, &mut events))?;
    if let Some(error) = events.failure {
        return Err(error.into());
    }
    let writable = known.slots.iter().filter(|slot| slot.declared.writable);
    Ok(Decision {
        writable: writable.map(|slot| slot.stream().clone()).collect(),
        expectations: known.slots.iter().map(Slot::expectation).collect(),
        events: events.events,
    })
}

/// The state of plain streams at the beginning; its `Default` is the application's code.
fn fresh<C: CommandLogic>() -> Result<C::Whole, CommandError> {
    guarded("apply", || Ok::<_, CommandError>(C::Whole::default()))
}

impl<C: CommandLogic> Known<'_, C> {
    /// Reads streams that are new, and with them, in the same snapshot, whether the earlier ones have moved.
    async fn read<S: EventStore + ?Sized>(
        &mut self,
        store: &S,
        new: impl Iterator<Item = Declared>,
    ) -> Result<(), Undecided> {
        let first_new = self.slots.len();
        let cache = self.cache;
        // A fold's `Default` is the application's code too.
        guarded("apply", || {
            self.slots
                .extend(new.map(|declared| Slot::open(declared, cache)));
            Ok::<_, CommandError>(())
        })?;
        let (mut events, heads) = loop {
            let (events, heads) = self.ask(store).await?;
            let (known, new) = self.slots.split_at_mut(first_new);
            let (before, now) = heads.split_at(first_new);
            let moved = known
                .iter()
                .zip(before)
                .filter_map(|(slot, (actual, witness))| slot.moved_to(*actual, *witness));
            if let Some(conflict) = Conflict::new(moved.collect()) {
                return Err(Undecided::Torn(conflict));
            }
            let mut replaced = false;
            guarded("apply", || {
                for (slot, (actual, witness)) in new.iter_mut().zip(now) {
                    if !slot.is_known_by(*actual, *witness) {
                        slot.restart(cache);
                        replaced = true;
                    }
                }
                Ok::<_, CommandError>(())
            })?;
            // From its beginning every stream is known, so this is the second time at most.
            if !replaced {
                break (events, heads);
            }
        };
        let new = &mut self.slots[first_new..];
        for (slot, (actual, _)) in new.iter_mut().zip(&heads[first_new..]) {
            slot.read_to(*actual);
        }
        let index = Index::of(new);
        while let Some(chunk) = events.next_chunk().await.map_err(CommandError::Read)? {
            let (command, whole, kept) = (self.command, &mut self.whole, &mut self.kept);
            guarded("apply", || {
                for event in chunk {
                    let slot = index.find(new, event.stream())?;
                    match slot.apply(event, cache)? {
                        None => {}
                        Some(plain) if C::DISCOVERS_PLAIN => kept.push(plain),
                        Some(plain) => command.apply_whole(whole, plain)?,
                    }
                }
                Ok::<_, CommandError>(())
            })?;
            if kept.len() > MAX_KEPT {
                return Err(CommandError::TooManyEvents { limit: MAX_KEPT }.into());
            }
        }
        new.iter().try_for_each(Slot::complete)?;
        if C::DISCOVERS_PLAIN && first_new == 0 {
            self.fold_kept()?;
        }
        Ok(())
    }

    /// Reads what is not known yet of all streams, with the version of each and the event at the place up to which it
    /// is known.
    async fn ask<S: EventStore + ?Sized>(
        &self,
        store: &S,
    ) -> Result<(EventChunks, Vec<Head>), CommandError> {
        let requests: Vec<ReadFrom> = self.slots.iter().map(Slot::request).collect();
        let read = store.read(&requests).await.map_err(CommandError::Read)?;
        if read.versions.len() != requests.len() || read.witnesses.len() != requests.len() {
            let text = format!(
                "{} streams were asked for, {} versions and {} witnesses came",
                requests.len(),
                read.versions.len(),
                read.witnesses.len()
            );
            return Err(mixed_up(text));
        }
        let heads = read.versions.into_iter().zip(read.witnesses);
        Ok((read.events, heads.collect()))
    }

    /// Folds the events of all plain streams anew, in global order.
    fn fold_kept(&mut self) -> Result<(), CommandError> {
        self.kept.sort_by_key(RecordedEvent::position);
        self.whole = fresh::<C>()?;
        guarded("apply", || {
            for event in &self.kept {
                self.command.apply_whole(&mut self.whole, event.clone())?;
            }
            Ok::<_, CommandError>(())
        })
    }

    fn names(&self) -> Vec<(StreamId, &'static str)> {
        let name = |slot: &Slot| (slot.stream().clone(), slot.declared.field);
        self.slots.iter().map(name).collect()
    }

    /// What was folded for the streams from this one on; their versions stay for the append.
    fn take_views(&mut self, from: usize) -> Vec<LoadedView> {
        let cache = self.cache;
        let slots = self.slots.iter_mut().enumerate().skip(from);
        slots.map(|(at, slot)| slot.take_view(at, cache)).collect()
    }
}
