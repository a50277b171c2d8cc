//! Events that could not be applied.

use crate::{EventId, GlobalPosition, StreamId, Timestamp};

/// An event that a projection could not apply, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where the event stands.
    pub position: GlobalPosition,
    /// The partition that met it.
    pub partition: u32,
    /// Its stream.
    pub stream: StreamId,
    /// Its identity.
    pub event: EventId,
    /// What was decided.
    pub fate: Fate,
    /// How often it was tried.
    pub attempts: u32,
    /// What went wrong last.
    pub error: String,
    /// When it was last tried.
    pub at: Timestamp,
}

/// What becomes of an event that could not be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fate {
    /// It waits to be tried again on demand.
    Parked,
    /// It was not tried: an earlier event of its stream is parked, and the order in the stream is kept.
    Behind,
    /// It was asked to be tried again, and will be soon.
    Replaying,
    /// It was given up.
    Skipped,
}

impl Fate {
    /// A word for it, for stores and people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Behind => "behind",
            Self::Replaying => "replaying",
            Self::Skipped => "skipped",
        }
    }

    /// The fate with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Parked, Self::Behind, Self::Replaying, Self::Skipped]
            .into_iter()
            .find(|fate| fate.as_str() == word)
    }

    /// Whether it still waits.
    pub const fn is_waiting(self) -> bool {
        !matches!(self, Self::Skipped)
    }
}
