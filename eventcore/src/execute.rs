//! Running a command: read, fold, decide, append, and again when something was in the way.

mod attempt;
mod panics;
mod receipt;
mod retry;
mod run;
mod slot;

use std::{future::IntoFuture, marker::PhantomData, pin::Pin, time::Duration};

pub(crate) use self::panics::message as panic_message;
pub use self::{receipt::CommandReceipt, retry::RetryPolicy};
use crate::{CommandError, CommandLogic, EventStore, IdempotencyKey, Metadata, Timestamp};

/// Runs a command against a store.
///
/// The streams that the command declares are read in one snapshot and folded, [`CommandLogic::handle`] decides, and
/// its events are appended to all their streams at once, provided that every stream read is still where it was.
/// Otherwise everything is done again, as the [`RetryPolicy`] says. Await the returned [`Execution`], after setting
/// what should differ from the default.
///
/// `store` may be a reference, an `Arc`, or an `Arc<dyn EventStore>`. Needs a Tokio runtime with time enabled.
///
/// # Errors
///
/// Awaiting gives a [`CommandError`]: a rejection by the command's rules, or what was in the way.
///
/// # Cancel safety
///
/// Dropping the future leaves all of the command's events appended or none. Whether they were, an
/// [idempotency key](Execution::idempotency_key) can tell later.
///
/// ```
/// use eventcore::prelude::*;
/// use eventcore_memory::InMemoryEventStore;
/// # #[derive(Serialize, Deserialize, Event)]
/// # #[event(prefix = "door")]
/// # enum DoorEvent { Opened }
/// # #[derive(Default, Clone)]
/// # struct Door { open: bool }
/// # impl Fold for Door {
/// #     type Event = DoorEvent;
/// #     fn apply(&mut self, _: &StoredEvent<DoorEvent>) { self.open = true; }
/// # }
/// # #[derive(Command)]
/// # struct OpenDoor { #[stream(fold = Door)] door: StreamId }
/// # impl CommandLogic for OpenDoor {
/// #     fn handle(&self, streams: &Streams<Self>, events: &mut NewEvents<Self>) -> Result<(), CommandError> {
/// #         require!(!streams.door.state().open, "the door is open");
/// #         emit!(events, streams.door => DoorEvent::Opened);
/// #         Ok(())
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = InMemoryEventStore::new();
/// let door = StreamId::try_new("door:1")?;
/// let receipt = execute(OpenDoor { door: door.clone() }, &store)
///     .retry(RetryPolicy::exponential().max_attempts(8))
///     .metadata(Metadata::new().actor("alice"))
///     .await?;
/// assert_eq!(receipt.version_of(&door).map(StreamVersion::get), Some(1));
///
/// let error = execute(OpenDoor { door }, &store).await.unwrap_err();
/// assert!(error.is_rejection());
/// # Ok(()) }
/// ```
pub fn execute<'s, C, S>(command: C, store: S) -> Execution<'s, C, S>
where
    C: CommandLogic + 's,
    S: EventStore + 's,
{
    Execution {
        command,
        store,
        options: Options::default(),
        lifetime: PhantomData,
    }
}

/// A command about to run: options first, then `.await`.
#[derive(Debug)]
#[must_use = "a command does nothing until it is awaited"]
pub struct Execution<'s, C, S> {
    command: C,
    store: S,
    options: Options,
    lifetime: PhantomData<&'s ()>,
}

#[derive(Debug)]
struct Options {
    retry: RetryPolicy,
    metadata: Metadata,
    key: Option<IdempotencyKey>,
    deadline: Option<Duration>,
    recorded_at: Option<Timestamp>,
    discovery_limit: u32,
    verify_events: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            metadata: Metadata::new(),
            key: None,
            deadline: None,
            recorded_at: None,
            discovery_limit: 8,
            verify_events: cfg!(debug_assertions),
        }
    }
}

impl<C, S> Execution<'_, C, S> {
    /// How often to try, and how long to wait in between.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.options.retry = policy;
        self
    }

    /// What the events carry beside their data.
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.options.metadata = metadata;
        self
    }

    /// Lets the command take effect at most once under this key, over processes and crashes.
    ///
    /// When a command with this key has taken effect before, its receipt is returned, marked
    /// [`replayed`](CommandReceipt::replayed), and `handle` is not run. A decision to append nothing counts as an
    /// effect; a rejection or another error does not, so that the command may be tried again. A key that was used by
    /// a command of another type, other streams, or other fields (as far as they are `Serialize` or `Hash`) is an
    /// [`IdempotencyConflict`](CommandError::IdempotencyConflict).
    ///
    /// What counts is what the command means: not the order of its fields, nor that of the keys of a map. A `HashSet`
    /// has no order that lasts, so use a `BTreeSet` in such a command. Give the command a name of its own,
    /// `#[command(name = "...")]`, so that it may be renamed and moved between releases; and mark what a client does
    /// not send, a clock or an id made by the server, with `#[command(skip)]`. Fields with `#[serde(skip)]` do not
    /// count either.
    pub fn idempotency_key(mut self, key: impl Into<IdempotencyKey>) -> Self {
        self.options.key = Some(key.into());
        self
    }

    /// The most time that everything together may take, waiting and retries included.
    ///
    /// When it passes while the append is under way the outcome is unknown, so the command is given a key to ask with if
    /// it has none; stores remember the keys of commands that took effect.
    pub fn deadline(mut self, after: Duration) -> Self {
        self.options.deadline = Some(after);
        self
    }

    /// The time to record on the events, instead of now: for imports, and for tests.
    pub fn recorded_at(mut self, time: Timestamp) -> Self {
        self.options.recorded_at = Some(time);
        self
    }

    /// Whether each event that is emitted is read back at once, and compared: by `PartialEq` where its type has it,
    /// else by its `Debug` text, else by what it is stored as. One that could not be read later, or would be another
    /// value then, fails the command as [`CommandError::Encode`] instead of being stored for good.
    ///
    /// It costs about as much as encoding the event and decoding it. Default: on in builds with debug assertions, and in
    /// scenarios of `eventcore-testing`; off in release builds. Keys that are written twice in one object, numbers that
    /// are not finite and nesting that is too deep are refused in every build.
    pub fn verify_events(mut self, verify: bool) -> Self {
        self.options.verify_events = verify;
        self
    }

    /// How many rounds of [`CommandLogic::discover`] may name new streams; 8 if not set.
    pub fn discovery_limit(mut self, rounds: u32) -> Self {
        self.options.discovery_limit = rounds;
        self
    }
}

impl<'s, C, S> IntoFuture for Execution<'s, C, S>
where
    C: CommandLogic + 's,
    S: EventStore + 's,
{
    type Output = Result<CommandReceipt, CommandError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 's>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(run::run(self.command, self.store, self.options))
    }
}
