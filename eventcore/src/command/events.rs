//! What a command decided to append.

use std::marker::PhantomData;

use super::{StreamState, View, Write};
use crate::{EncodeError, Event, EventId, store::NewEvent};

/// The events that [`CommandLogic::handle`](crate::CommandLogic::handle) emits, encoded at once.
#[derive(Debug)]
pub struct NewEvents<C> {
    pub(crate) events: Vec<NewEvent>,
    pub(crate) failure: Option<EncodeError>,
    verify: bool,
    brand: PhantomData<fn() -> C>,
}

impl<C> NewEvents<C> {
    /// Each event is read back at once where `verify` says so.
    pub(crate) fn new(verify: bool) -> Self {
        Self {
            events: Vec::new(),
            failure: None,
            verify,
            brand: PhantomData,
        }
    }

    /// Adds an event to a stream of this command; [`emit!`](crate::emit) is short for it.
    ///
    /// An event that cannot be encoded fails the whole command after `handle` returns.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an event is given away, not shown"
    )]
    pub fn emit<V: WritableBy<C> + ?Sized>(&mut self, stream: &V, event: V::Event) {
        let encoded = event.encode().and_then(|encoded| {
            if self.verify {
                event.reads_back(&encoded)?;
            }
            Ok(encoded)
        });
        match encoded {
            Ok(event) => self.events.push(NewEvent {
                id: EventId::generate(),
                stream: stream.slot(),
                event,
            }),
            Err(error) => self.failure = self.failure.take().or(Some(error)),
        }
    }

    /// The number of events emitted so far.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether nothing was emitted so far.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A view of a stream that the command `C` declared for writing.
#[diagnostic::on_unimplemented(
    message = "`{C}` may not write to a `{Self}`",
    label = "not a writable stream of `{C}`",
    note = "events go to the views of `{C}`'s own streams: declare the stream with `#[stream(fold = ...)]` and write to `streams.name`, not to `self.name`",
    note = "a stream marked `read_only` is guarded but not written: remove `read_only` to write to it",
    note = "an `Option`, a `Vec` or a place of discovered streams is opened first: `if let Some(view) = &streams.maybe`, `for view in &streams.list`, `streams.found.get(key)?`"
)]
pub trait WritableBy<C>: sealed::Sealed {
    /// What may be written.
    type Event: Event;

    #[doc(hidden)]
    fn slot(&self) -> usize;
}

impl<C, F, A> sealed::Sealed for View<C, F, A> {}
impl<V: sealed::Sealed + ?Sized> sealed::Sealed for &V {}

impl<C, F: StreamState> WritableBy<C> for View<C, F, Write> {
    type Event = F::Event;

    fn slot(&self) -> usize {
        self.slot
    }
}

impl<C, V: WritableBy<C> + ?Sized> WritableBy<C> for &V {
    type Event = V::Event;

    fn slot(&self) -> usize {
        (**self).slot()
    }
}
