//! What concurrent commands saw and were told, checked against the log that they left.
//!
//! A [`Recorder`] notes of each command when it began and ended, which versions it decided on, and what it was told.
//! Afterwards a [`History`] puts that beside the log, and its checkers say which command was wronged:
//!
//! | promise | checker |
//! |---|---|
//! | positions are dense, versions contiguous | [`History::check_log`] |
//! | the run is equivalent to the serial order of positions: what a successful command read is what was there just before its events; what another one decided on was there at some moment of its life | [`History::check_serial`] |
//! | a command that was acknowledged before another began stands before it | [`History::check_real_time`] |
//! | what was acknowledged is there, in its place; nothing is there twice, in parts, or against what was told | [`History::check_acknowledgements`] |
//!
//! They work on any [`EventStore`](eventcore::EventStore). Serial equivalence with this order, found by replay instead
//! of by search, is what makes the check linear: positions are the witness.

mod acknowledged;
mod dense;
mod real_time;
mod record;
mod recorder;
mod serial;
mod violation;

use std::collections::HashMap;

use eventcore::{CorrelationId, RecordedEvent};

pub use self::{
    record::{CommandRecord, Decision, Logged, Outcome, Tick},
    recorder::{Recorded, Recorder},
    violation::{Violation, Violations},
};

/// Commands and the log that they left.
///
/// ```
/// use eventcore::{EventStore, GlobalPosition, store::{EventFilter, PageSize}};
/// # use eventcore::{EncodedEvent, EventType, Payload, SchemaVersion, StreamId, StreamVersion, store::AppendBatch};
/// use eventcore_memory::InMemoryEventStore;
/// use eventcore_testing::history::Recorder;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (store, recorder) = (InMemoryEventStore::new(), Recorder::new());
///
/// // By hand here. With `execute`, the command calls `decided` in its `handle`.
/// let command = recorder.begin("open account:1");
/// let stream = StreamId::try_new("account:1")?;
/// command.decided([(stream.clone(), StreamVersion::EMPTY)], 1);
/// let mut batch = AppendBatch::builder();
/// batch.correlation_id(command.correlation_id());
/// batch.expect(stream.clone(), StreamVersion::EMPTY)?;
/// # let event = EncodedEvent::new(EventType::try_new("t")?, SchemaVersion::FIRST, Payload::from(b"1".to_vec()));
/// batch.event(&stream, event)?;
/// let receipt = store.append(batch.build()?).await?;
/// command.acknowledged(&receipt.events);
///
/// let page = store.read_all(GlobalPosition::START, &EventFilter::all(), PageSize::try_new(100)?).await?;
/// recorder.history(&page.events).check()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The commands, in the order in which they began.
    pub commands: Vec<CommandRecord>,
    /// The whole log, as it was read.
    pub log: Vec<Logged>,
}

impl History {
    /// Commands and a log, made by hand.
    pub fn new(mut commands: Vec<CommandRecord>, log: Vec<Logged>) -> Self {
        commands.sort_by_key(|command| command.began);
        Self { commands, log }
    }

    /// The same with a log as stores give it.
    pub fn with_events<'e>(
        commands: Vec<CommandRecord>,
        events: impl IntoIterator<Item = &'e RecordedEvent>,
    ) -> Self {
        Self::new(commands, events.into_iter().map(Logged::from).collect())
    }

    /// All checks.
    ///
    /// # Errors
    ///
    /// [`Violations`], at least one; what they say names the commands and what befell them.
    pub fn check(&self) -> Result<(), Violations> {
        let mut all = Vec::new();
        for check in [
            Self::check_log,
            Self::check_serial,
            Self::check_real_time,
            Self::check_acknowledgements,
        ] {
            if let Err(violations) = check(self) {
                all.extend(violations.all);
            }
        }
        Violations::none_or(all)
    }

    /// Positions are 1, 2, 3 and so on, and so are the versions of each stream.
    ///
    /// # Errors
    ///
    /// [`Violation::Position`], [`Violation::Version`].
    pub fn check_log(&self) -> Result<(), Violations> {
        Violations::none_or(dense::check(&self.log))
    }

    /// Every decision rests on versions that were there: those of a command with events just before its first event,
    /// those of any other one at some moment between its beginning and its end.
    ///
    /// # Errors
    ///
    /// [`Violation::NotSerial`], [`Violation::NoSuchView`], [`Violation::NothingSeen`].
    pub fn check_serial(&self) -> Result<(), Violations> {
        Violations::none_or(serial::check(self))
    }

    /// What was acknowledged before a command began stands before all of the command's events.
    ///
    /// # Errors
    ///
    /// [`Violation::RealTime`].
    pub fn check_real_time(&self) -> Result<(), Violations> {
        Violations::none_or(real_time::check(self))
    }

    /// Acknowledged events are there, in the place and under the id that was told, and nothing else of their command;
    /// a command of unknown outcome is there once and whole, or not at all; any other one is not there.
    ///
    /// # Errors
    ///
    /// [`Violation::Lost`], [`Violation::Doubled`], [`Violation::Torn`], [`Violation::Denied`].
    pub fn check_acknowledgements(&self) -> Result<(), Violations> {
        Violations::none_or(acknowledged::check(self))
    }

    /// How many events of the log are of no command here; they are only checked as a part of the log.
    pub fn foreign_events(&self) -> usize {
        let own: usize = self.events_by_command().values().map(Vec::len).sum();
        self.log.len() - own
    }

    /// The events of each command here, in the order of the log.
    fn events_by_command(&self) -> HashMap<CorrelationId, Vec<&Logged>> {
        let mut events: HashMap<_, Vec<&Logged>> = self
            .commands
            .iter()
            .map(|command| (command.correlation_id, Vec::new()))
            .collect();
        for event in &self.log {
            if let Some(own) = events.get_mut(&event.correlation_id) {
                own.push(event);
            }
        }
        events
    }
}
