//! Who may move a projection, and where it stands.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Partitions, ProjectionId};
use crate::{EventId, GlobalPosition};

/// How far a partition has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Everything up to here has been applied, or does not concern the projection.
    pub position: GlobalPosition,
    /// The last event that did concern it. A log that has another event there is not the log that was projected.
    pub witness: Option<Witness>,
}

/// An event that was applied, at or below the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Where it stands.
    pub position: GlobalPosition,
    /// Its identity.
    pub id: EventId,
}

/// Someone who runs projections: unique for each runner that was ever started, with a label for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Never used twice.
    pub id: Uuid,
    /// Host, process, whatever helps to find it; at most 200 bytes are kept.
    pub label: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.label, self.id)
    }
}

/// The wish to lead a partition for a while.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The projection.
    pub projection: ProjectionId,
    /// The partition, from 0.
    pub partition: u32,
    /// How many there are, as the claimant sees it.
    pub partitions: Partitions,
    /// The claimant.
    pub owner: Owner,
    /// How long the lease lasts unless it is renewed; each commit renews it.
    pub ttl: Duration,
}

/// What a claim comes to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Claimed {
    /// The claimant leads, and whoever led before cannot commit any more.
    Granted(Lease),
    /// Somebody else leads.
    Held {
        /// Who.
        owner: Owner,
        /// How long the lease lasts if it is not renewed.
        expires_in: Duration,
    },
    /// The projection is divided otherwise and somebody leads a part of it, so it cannot be divided anew.
    Divided {
        /// The number of partitions it has.
        partitions: Partitions,
    },
    /// The projection is divided otherwise, and cannot be divided anew while letters wait: who would apply them is not
    /// known any more. Replay them first.
    LettersWait {
        /// The number of partitions it has.
        partitions: Partitions,
        /// How many letters wait.
        waiting: u64,
    },
}

/// The right to move a partition, until somebody else is granted it. It is the epoch that counts, not the time: a lease
/// that has run out is good as long as nobody has taken over.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The projection.
    pub projection: ProjectionId,
    /// The partition, from 0.
    pub partition: u32,
    /// How many there are.
    pub partitions: Partitions,
    /// Who leads.
    pub owner: Owner,
    /// Higher than every epoch that was granted before for this projection. What an older one writes is refused.
    pub epoch: u64,
    /// How long it lasts unless it is renewed.
    pub ttl: Duration,
    /// Where the partition stands.
    pub checkpoint: Checkpoint,
    /// How far the projection had come when it was divided otherwise.
    pub divisions: Divisions,
}

/// What was applied while a projection was divided otherwise.
///
/// When the number of partitions changes, the new ones start where the last of the old ones was. Of what lies behind
/// that, each old partition had applied its own share up to its own checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Divisions(Vec<Vec<GlobalPosition>>);

impl Divisions {
    /// None.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a division: the checkpoints of its partitions, in order. The new partitions start at the lowest of them,
    /// and older divisions that lie below it say nothing any more.
    #[must_use]
    pub fn and(mut self, checkpoints: Vec<GlobalPosition>) -> (Self, GlobalPosition) {
        let start = checkpoints.iter().copied().min().unwrap_or_default();
        self.0.push(checkpoints);
        self.0
            .retain(|division| division.iter().any(|position| *position > start));
        (self, start)
    }

    /// Whether the event at a position was applied already for this text: a stream's name, or a document's key.
    pub fn applied(&self, text: &str, position: GlobalPosition) -> bool {
        self.0.iter().any(|division| {
            u32::try_from(division.len())
                .ok()
                .and_then(|number| Partitions::try_new(number).ok())
                .and_then(|partitions| division.get(partitions.of(text) as usize))
                .is_some_and(|checkpoint| position <= *checkpoint)
        })
    }
}

impl Lease {
    /// Whether this partition is to apply the event at a position for this text: a stream's name, or a document's key.
    pub fn owns(&self, text: &str, position: GlobalPosition) -> bool {
        (self.partitions == Partitions::ONE || self.partitions.of(text) == self.partition)
            && !self.divisions.applied(text, position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(position: u64) -> GlobalPosition {
        GlobalPosition::try_new(position).unwrap()
    }

    #[test]
    fn each_text_remembers_how_far_its_old_partition_was() {
        let two = Partitions::try_new(2).unwrap();
        let (divisions, start) = Divisions::none().and(vec![at(10), at(20)]);
        assert_eq!(start, at(10));
        for number in 0..50 {
            let text = format!("s:{number}");
            let done = if two.of(&text) == 0 { 10 } else { 20 };
            assert!(divisions.applied(&text, at(done)));
            assert!(!divisions.applied(&text, at(done + 1)));
        }
    }

    #[test]
    fn a_division_that_all_have_passed_is_forgotten() {
        let (divisions, _) = Divisions::none().and(vec![at(10), at(20)]);
        let (divisions, start) = divisions.and(vec![at(30), at(25), at(25)]);
        assert_eq!(start, at(25));
        assert_eq!(divisions.0.len(), 1);
        let (divisions, _) = divisions.and(vec![at(30)]);
        assert_eq!(divisions, Divisions::none());
    }
}
