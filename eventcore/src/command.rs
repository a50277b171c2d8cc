//! What a command is: streams, decisions, and what it may write to.

mod discovery;
mod error;
mod events;
mod fingerprint;
mod macros;
mod view;
mod wiring;

pub(crate) use self::fingerprint::bare;
pub(crate) use self::view::AnyFold;
pub(crate) use self::wiring::Declared;
pub use self::{
    discovery::{Discovered, Discovery},
    error::{CommandError, Rejection},
    events::{NewEvents, WritableBy},
    view::{Plain, ReadOnly, StreamState, View, Write},
    wiring::CommandStreams,
};
#[doc(hidden)]
pub use self::{
    fingerprint::{Fingerprint, Probe, ViaHash, ViaNothing, ViaSerialize},
    wiring::{Declarations, Loaded, LoadedView},
};
use crate::{DecodeError, Event, RecordedEvent, StoredEvent};

/// What one stream amounts to: a state, and what each event does to it.
///
/// A fold cannot see the command, so its result depends on the stream alone and is shared by all commands.
///
/// ```
/// use eventcore::prelude::*;
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(prefix = "counter")]
/// enum Counted { Up, Down }
///
/// #[derive(Default, Clone)]
/// struct Counter(i64);
///
/// impl Fold for Counter {
///     type Event = Counted;
///     fn apply(&mut self, event: &StoredEvent<Counted>) {
///         self.0 += match event.data() { Counted::Up => 1, Counted::Down => -1 };
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a fold of a stream's events",
    note = "implement `Fold` for it: `type Event` and `fn apply(&mut self, event: &StoredEvent<Self::Event>)`",
    note = "a plain `#[stream]` has no fold: what its events amount to is in `streams.state`"
)]
pub trait Fold: Default + Clone + Send + Sync + 'static {
    /// The events of the stream.
    type Event: Event;

    /// Takes one event into the state. Pure: no I/O, no clock, no randomness.
    fn apply(&mut self, event: &StoredEvent<Self::Event>);

    /// An estimate of the heap memory that the state owns, in bytes. It bounds the states that are kept between
    /// commands ([`Commons::keeping_bytes`](crate::Commons::keeping_bytes)).
    ///
    /// Default: `None`. A type without drop glue owns no heap; any other state is taken to hold all bytes that were
    /// folded into it. Worth implementing for a state with a `String` or a `Vec` that stays small on long streams,
    /// which would be too large to be kept otherwise.
    fn heap_size(&self) -> Option<usize> {
        None
    }
}

/// The views of a command's streams, as its derive lays them out: one field per `#[stream]` field.
///
/// `let Streams::<Self> { from, to } = streams;` takes them apart.
pub type Streams<C> = <C as CommandStreams>::Streams;

/// The one state of a command whose plain `#[stream]` fields have no fold of their own.
///
/// For decisions that are not the sum of their streams: how events of several streams interleave matters, or what the
/// command itself asks for. Every plain stream is decoded as [`CommandState::Event`] and folded, in global order over
/// all of them, into the field `state` of [`Streams`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` has plain `#[stream]` fields and no state to fold them into",
    note = "give each field its fold, `#[stream(fold = ...)]`, or implement `CommandState` for `{Self}`: `type Event`, `type State` and `fn apply`"
)]
pub trait CommandState {
    /// What every plain stream of the command is decoded as.
    type Event: Event;
    /// What all of them amount to for this command.
    type State: Default + Send + Sync;

    /// Takes one event of any plain stream into the state. Pure: no I/O, no clock, no randomness.
    fn apply(&self, state: &mut Self::State, event: &StoredEvent<Self::Event>);
}

/// How a command decides.
///
/// ```
/// use eventcore::prelude::*;
/// # #[derive(Serialize, Deserialize, Event)]
/// # #[event(prefix = "counter")]
/// # enum Counted { Up }
/// # #[derive(Default, Clone)]
/// # struct Counter(u32);
/// # impl Fold for Counter {
/// #     type Event = Counted;
/// #     fn apply(&mut self, _: &StoredEvent<Counted>) { self.0 += 1; }
/// # }
///
/// #[derive(Command)]
/// struct CountTo {
///     #[stream(fold = Counter)]
///     counter: StreamId,
///     limit: u32,
/// }
///
/// impl CommandLogic for CountTo {
///     fn handle(&self, streams: &Streams<Self>, events: &mut NewEvents<Self>) -> Result<(), CommandError> {
///         require!(streams.counter.state().0 < self.limit, "already at {}", self.limit);
///         emit!(events, streams.counter => Counted::Up);
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how it decides",
    note = "implement `CommandLogic` for it: `fn handle(&self, streams: &Streams<Self>, events: &mut NewEvents<Self>) -> Result<(), CommandError>`"
)]
pub trait CommandLogic: CommandStreams {
    /// Names further streams that the command needs, learned from those that are read.
    ///
    /// Called again after each round of reading, until it names nothing new. Commands that declare
    /// `#[discover(...)]` implement it; the default names nothing.
    ///
    /// # Errors
    ///
    /// A rejection ends the command, as in [`CommandLogic::handle`].
    fn discover(
        &self,
        streams: &Streams<Self>,
        found: &mut Discovery<Self>,
    ) -> Result<(), CommandError> {
        let _ = (streams, found);
        Ok(())
    }

    /// Decides: emits events, or refuses with an error. Emitting nothing is a decision too.
    ///
    /// Pure, since it may run several times: no I/O, no clock, no randomness that matters.
    ///
    /// # Errors
    ///
    /// Usually a rejection, from [`require!`](crate::require) or [`CommandError::rejected`]. Nothing is appended then.
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError>;
}

/// Decodes an event of a plain stream and lets the command fold it.
#[doc(hidden)]
pub fn apply_plain<C: CommandState>(
    command: &C,
    state: &mut C::State,
    event: RecordedEvent,
) -> Result<(), DecodeError> {
    command.apply(state, &StoredEvent::decode(event)?);
    Ok(())
}
