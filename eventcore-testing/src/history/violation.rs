//! What was found wrong, for people.

use std::fmt;

use eventcore::{GlobalPosition, StreamId, StreamVersion, store::AppendedEvent};

use super::{CommandRecord, Logged};

/// A promise that was broken, and to whom.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A hole in the log, or an event out of place.
    #[error("position {expected} was expected in the log, there is {found}")]
    Position {
        /// What would have been dense.
        expected: GlobalPosition,
        /// What is there.
        found: Logged,
    },
    /// A hole in a stream, or a version twice.
    #[error("version {expected} of `{}` was expected in the log, there is {found}", found.stream)]
    Version {
        /// What would have been contiguous.
        expected: StreamVersion,
        /// What is there.
        found: Logged,
    },
    /// A command took effect on a view that was not there any more: a lost update, a write skew or a phantom.
    #[error(
        "a command took effect at position {position}, when `{stream}` was at version {was}, which it had not seen\n    \
         {command}"
    )]
    NotSerial {
        /// The command.
        command: Box<CommandRecord>,
        /// The first of its events.
        position: GlobalPosition,
        /// A stream on which its last attempt was wrong.
        stream: StreamId,
        /// Where the stream was just before the event.
        was: StreamVersion,
    },
    /// A command decided to change nothing, on versions that never held together while it ran.
    #[error(
        "a command that changed nothing decided on a view that never was between positions {from} and {until}\n    \
         {command}"
    )]
    NoSuchView {
        /// The command.
        command: Box<CommandRecord>,
        /// Where the log surely was when it began.
        from: GlobalPosition,
        /// Where the log was at most when it ended.
        until: GlobalPosition,
    },
    /// A command came to a result and no decision of it is known: nothing can be checked.
    #[error(
        "a command has a result and no recorded decision with this number of events\n    {command}"
    )]
    NothingSeen {
        /// The command.
        command: Box<CommandRecord>,
    },
    /// The order of positions is not the order in which things happened.
    #[error(
        "a command was acknowledged before another began, and has the later position\n    {earlier}\n    {later}\n      \
         first event {first}"
    )]
    RealTime {
        /// The one that was acknowledged first.
        earlier: Box<CommandRecord>,
        /// The one that began after that.
        later: Box<CommandRecord>,
        /// Its first event.
        first: Box<Logged>,
    },
    /// What was acknowledged is not there, or not where it was said to be.
    #[error(
        "an acknowledged event is lost: #{} {}@{} ({}); {}\n    {command}",
        told.position, told.stream, told.version, told.id, instead(found.as_deref())
    )]
    Lost {
        /// The command.
        command: Box<CommandRecord>,
        /// What it was told.
        told: AppendedEvent,
        /// Where the event with this id is instead.
        found: Option<Box<Logged>>,
    },
    /// A command took effect more than once.
    #[error(
        "a command took effect more than once\n    {command}\n      in the log: {}",
        list(events)
    )]
    Doubled {
        /// The command.
        command: Box<CommandRecord>,
        /// All events that it has in the log.
        events: Vec<Logged>,
    },
    /// A command is there in a part, or in parts.
    #[error(
        "a command is not there as a whole\n    {command}\n      in the log: {}",
        list(events)
    )]
    Torn {
        /// The command.
        command: Box<CommandRecord>,
        /// All events that it has in the log.
        events: Vec<Logged>,
    },
    /// A command was told that it had no effect, and had one.
    #[error(
        "a command that was to have no effect had one\n    {command}\n      in the log: {}",
        list(events)
    )]
    Denied {
        /// The command.
        command: Box<CommandRecord>,
        /// All events that it has in the log.
        events: Vec<Logged>,
    },
}

fn instead(found: Option<&Logged>) -> String {
    found.map_or_else(
        || "no event has its id".to_owned(),
        |found| format!("there is {found}"),
    )
}

fn list(events: &[Logged]) -> String {
    let events: Vec<String> = events.iter().map(Logged::to_string).collect();
    events.join(", ")
}

/// All promises that were found broken: at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violations {
    pub(super) all: Vec<Violation>,
}

/// How many are printed.
const SHOWN: usize = 10;

impl Violations {
    pub(super) fn none_or(all: Vec<Violation>) -> Result<(), Self> {
        if all.is_empty() {
            return Ok(());
        }
        Err(Self { all })
    }

    /// Each of them.
    pub fn all(&self) -> &[Violation] {
        &self.all
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken promises: {}", self.all.len())?;
        for violation in self.all.iter().take(SHOWN) {
            write!(f, "\n- {violation}")?;
        }
        if self.all.len() > SHOWN {
            write!(f, "\n- and {} more", self.all.len() - SHOWN)?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}
