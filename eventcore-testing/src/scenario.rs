//! Tests of commands that read as a sentence: **given** events, **when** a command runs, **then** other events.
//!
//! A [`Scenario`] runs the real executor on a real store, so that it also tests what a command declares, how its
//! events are stored, and how they read back. The same scenario runs on every store.
#![allow(
    clippy::panic,
    reason = "to say what is wrong in a test is to panic with a clear message"
)]

mod expected;
mod outcome;
mod report;

use std::fmt::{Debug, Display};

use eventcore::{
    CommandLogic, Event, EventFilter, EventStore, Execution, GlobalPosition, RecordedEvent,
    StreamId, StreamVersion, execute,
    store::{AppendBatch, PageSize, ReadError, ReadFrom},
};

pub use self::{
    expected::{ExpectedEvent, event},
    outcome::Outcome,
};
use self::{
    expected::{Known, Shown},
    report::Past,
};

/// What has happened before a command, on a store that the scenario has to itself.
///
/// Give every scenario a store of its own; what others append while it runs would be taken for the command's work.
///
/// ```
/// use eventcore::prelude::*;
/// use eventcore_memory::InMemoryEventStore;
/// use eventcore_testing::scenario::Scenario;
/// # #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
/// # #[event(prefix = "door")]
/// # enum DoorEvent { Opened, Closed }
/// # #[derive(Default, Clone)]
/// # struct Door { open: bool }
/// # impl Fold for Door {
/// #     type Event = DoorEvent;
/// #     fn apply(&mut self, e: &StoredEvent<DoorEvent>) { self.open = *e.data() == DoorEvent::Opened; }
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
/// # fn open(door: &str) -> OpenDoor { OpenDoor { door: StreamId::try_new(door).unwrap() } }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// Scenario::on(InMemoryEventStore::new())
///     .given("door:1", [DoorEvent::Opened, DoorEvent::Closed])
///     .when(open("door:1"))
///     .await
///     .then([("door:1", DoorEvent::Opened)])
///     .when(open("door:1"))
///     .await
///     .then_rejected("is open");
/// # }
/// ```
#[derive(Debug)]
pub struct Scenario<S> {
    store: S,
    past: Vec<Past>,
    pending: Vec<(StreamId, eventcore::EncodedEvent)>,
    known: Vec<Known>,
}

impl<S: EventStore> Scenario<S> {
    /// A scenario on this store. What is in there already is part of what was given.
    #[must_use = "a scenario tests nothing before `when`"]
    pub fn on(store: S) -> Self {
        Self {
            store,
            past: Vec::new(),
            pending: Vec::new(),
            known: Vec::new(),
        }
    }

    /// These events have happened in this stream, after those given before, in this and in other streams.
    ///
    /// # Panics
    ///
    /// When the stream has no valid name or an event cannot be stored.
    #[track_caller]
    #[must_use = "a scenario tests nothing before `when`"]
    pub fn given<E>(
        mut self,
        stream: impl TryInto<StreamId, Error: Display>,
        events: impl IntoIterator<Item = E>,
    ) -> Self
    where
        E: Event + Debug,
    {
        let stream = named(stream);
        let mut shown = Vec::new();
        for event in events {
            shown.push(Shown::new(&stream, &event));
            match event.encode() {
                Ok(encoded) => self.pending.push((stream.clone(), encoded)),
                Err(error) => panic!("given {event:?} in `{stream}`: {}", report::chain(&error)),
            }
        }
        self.known.push(Known::of::<E>());
        self.past.push(Past::Given(shown));
        self
    }

    /// The command runs, with [`execute`]'s defaults, and every event that it emits is
    /// [read back](Execution::verify_events).
    ///
    /// # Panics
    ///
    /// When the store fails to take in what was given, or to tell what the command appended. A failure of the command
    /// itself is for the [`Outcome`] to judge.
    ///
    /// # Cancel safety
    ///
    /// The scenario is lost with the future.
    pub async fn when<C: CommandLogic>(self, command: C) -> Outcome<S> {
        self.when_with(command, |execution| execution).await
    }

    /// The command runs with options: `when_with(command, |e| e.idempotency_key(key).metadata(metadata))`.
    ///
    /// # Panics
    ///
    /// As [`Scenario::when`].
    ///
    /// # Cancel safety
    ///
    /// The scenario is lost with the future.
    pub async fn when_with<C, F>(mut self, command: C, options: F) -> Outcome<S>
    where
        C: CommandLogic,
        F: for<'s> FnOnce(Execution<'s, C, &'s S>) -> Execution<'s, C, &'s S>,
    {
        if let Err(error) = self.arrange().await {
            panic!(
                "the given events could not be appended: {}",
                report::chain(&*error)
            );
        }
        let no_events = EventFilter::all().types([]);
        let (_, head) = self.read_on(GlobalPosition::START, &no_events).await;
        let result = options(execute(command, &self.store).verify_events(true)).await;
        let (found, _) = self.read_on(head, &EventFilter::all()).await;
        Outcome::new(self, C::NAME, result, found)
    }

    /// The store, to look at it.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Appends what was given, in one batch.
    async fn arrange(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        let given = std::mem::take(&mut self.pending);
        if given.is_empty() {
            return Ok(());
        }
        let mut streams: Vec<ReadFrom> = Vec::new();
        for (stream, _) in &given {
            if streams.iter().all(|known| known.stream != *stream) {
                // Only the version is wanted, not the events.
                let end = StreamVersion::try_new(i64::MAX.unsigned_abs())?;
                streams.push(ReadFrom::after(stream.clone(), end));
            }
        }
        let read = self.store.read(&streams).await?;
        let mut batch = AppendBatch::builder();
        for (from, version) in streams.into_iter().zip(read.versions) {
            batch.expect(from.stream, version)?;
        }
        for (stream, event) in given {
            batch.event(&stream, event)?;
        }
        self.store.append(batch.build()?).await?;
        Ok(())
    }

    /// Everything after a position that passes the filter, and where the log ends.
    async fn read_on(
        &self,
        after: GlobalPosition,
        filter: &EventFilter,
    ) -> (Vec<RecordedEvent>, GlobalPosition) {
        match read_on(&self.store, after, filter).await {
            Ok(found) => found,
            Err(error) => panic!("the store could not be read: {}", report::chain(&error)),
        }
    }
}

async fn read_on(
    store: &impl EventStore,
    after: GlobalPosition,
    filter: &EventFilter,
) -> Result<(Vec<RecordedEvent>, GlobalPosition), ReadError> {
    let Ok(limit) = PageSize::try_from(1000) else {
        unreachable!("a page may hold 1000 events");
    };
    let (mut found, mut next) = (Vec::new(), after);
    loop {
        let page = store.read_all(next, filter, limit).await?;
        found.extend(page.events);
        next = page.next;
        if page.at_end {
            return Ok((found, next));
        }
    }
}

#[track_caller]
fn named(stream: impl TryInto<StreamId, Error: Display>) -> StreamId {
    match stream.try_into() {
        Ok(stream) => stream,
        Err(error) => panic!("{error}"),
    }
}
