//! What is known of a command and of an event of the log.

use std::fmt;

use eventcore::{
    CorrelationId, EventId, GlobalPosition, RecordedEvent, StreamId, StreamVersion,
    store::AppendedEvent,
};

/// A moment; later ones are larger, in all threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

/// What one attempt of a command rested on and came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The version at which it saw each of its streams, also those that it only read.
    pub saw: Vec<(StreamId, StreamVersion)>,
    /// How many events it emitted.
    pub events: usize,
}

/// What a command was told in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It took effect, with these events; with none, it decided that nothing was to do.
    Acknowledged(Vec<AppendedEvent>),
    /// Its own rules refused it.
    Rejected,
    /// It could not be run, and surely had no effect.
    Failed(String),
    /// Nobody knows whether it took effect, or it did not come back.
    Unknown,
}

/// A command as its caller experienced it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandRecord {
    /// For people.
    pub label: String,
    /// What its events carry.
    pub correlation_id: CorrelationId,
    /// Before it could see anything.
    pub began: Tick,
    /// After it was told its outcome.
    pub ended: Option<Tick>,
    /// Its attempts, as far as they came to a decision.
    pub decisions: Vec<Decision>,
    /// What it was told.
    pub outcome: Outcome,
}

/// An event of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Its place in the log.
    pub position: GlobalPosition,
    /// Its stream.
    pub stream: StreamId,
    /// Its place in the stream.
    pub version: StreamVersion,
    /// Its identity.
    pub id: EventId,
    /// Its command's.
    pub correlation_id: CorrelationId,
}

impl From<&RecordedEvent> for Logged {
    fn from(event: &RecordedEvent) -> Self {
        Self {
            position: event.position(),
            stream: event.stream().clone(),
            version: event.version(),
            id: event.id(),
            correlation_id: event.correlation_id(),
        }
    }
}

impl Logged {
    pub(super) fn is(&self, told: &AppendedEvent) -> bool {
        self.id == told.id
            && self.position == told.position
            && self.version == told.version
            && self.stream == told.stream
    }
}

impl fmt::Display for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            position,
            stream,
            version,
            id,
            ..
        } = self;
        write!(f, "#{position} {stream}@{version} ({id})")
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("saw")?;
        for (stream, version) in &self.saw {
            write!(f, " {stream}@{version}")?;
        }
        match self.events {
            0 => f.write_str(" and emitted nothing"),
            1 => f.write_str(" and emitted 1 event"),
            events => write!(f, " and emitted {events} events"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acknowledged(events) => {
                f.write_str("acknowledged")?;
                for event in events {
                    let (position, stream) = (event.position, &event.stream);
                    write!(f, " #{position} {stream}@{} ({})", event.version, event.id)?;
                }
                Ok(())
            }
            Self::Rejected => f.write_str("rejected"),
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::Unknown => f.write_str("outcome unknown"),
        }
    }
}

impl fmt::Display for CommandRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` [{}..", self.label, self.began.0)?;
        match self.ended {
            Some(ended) => write!(f, "{}]", ended.0)?,
            None => f.write_str("no end]")?,
        }
        for (number, decision) in (1..).zip(&self.decisions) {
            write!(f, "\n      attempt {number} {decision}")?;
        }
        write!(f, "\n      {}", self.outcome)
    }
}
