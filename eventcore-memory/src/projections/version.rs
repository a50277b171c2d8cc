//! One version of a projection: its partitions, and what it has made.

use std::{collections::BTreeMap, time::Duration};

use eventcore::{
    GlobalPosition,
    projection::{
        Checkpoint, Claimed, DeadLetter, Divisions, DocumentKey, Lease, Owner, Partitions,
        ProjectionId, ProjectionStoreError, Standing,
    },
    store::{StoreError, StoreErrorKind},
};
use tokio::time::Instant;

pub(super) type Documents = BTreeMap<DocumentKey, String>;
pub(super) type Letters = BTreeMap<(GlobalPosition, u32), DeadLetter>;

#[derive(Debug, Default)]
pub(super) struct Version {
    pub(super) partitions: Vec<Partition>,
    pub(super) divisions: Divisions,
    pub(super) documents: Documents,
    pub(super) letters: Letters,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Partition {
    pub(super) checkpoint: Checkpoint,
    pub(super) epoch: u64,
    pub(super) leader: Option<(Owner, Instant)>,
}

/// Longer than any process lives; a lease for ever would overflow the clock.
pub(super) const AGES: Duration = Duration::from_hours(24 * 365 * 100);

impl Partition {
    pub(super) fn leader(&self, now: Instant) -> Option<(&Owner, Duration)> {
        let (owner, until) = self.leader.as_ref()?;
        let left = until.saturating_duration_since(now);
        (!left.is_zero()).then_some((owner, left))
    }

    pub(super) fn lead(&mut self, owner: &Owner, ttl: Duration, now: Instant) {
        let end = owner.label.floor_char_boundary(200);
        let label = owner.label.get(..end).unwrap_or_default().to_owned();
        self.leader = Some((
            Owner {
                id: owner.id,
                label,
            },
            now + ttl.min(AGES),
        ));
    }
}

impl Version {
    pub(super) fn new(partitions: Partitions) -> Self {
        Self {
            partitions: vec![Partition::default(); partitions.get() as usize],
            ..Self::default()
        }
    }

    pub(super) fn partitions(&self) -> Partitions {
        let number = u32::try_from(self.partitions.len()).ok();
        let number = number.and_then(|number| Partitions::try_new(number).ok());
        number.unwrap_or_default()
    }

    pub(super) fn waiting(&self) -> u64 {
        let waiting = self.letters.values().filter(|l| l.fate.is_waiting());
        waiting.count() as u64
    }

    /// Divides anew, if nothing is in the way; `fence` is the epoch that ends all others.
    pub(super) fn divide(&mut self, into: Partitions, fence: u64, now: Instant) -> Option<Claimed> {
        let partitions = self.partitions();
        if self.partitions.iter().any(|p| p.leader(now).is_some()) {
            return Some(Claimed::Divided { partitions });
        }
        let waiting = self.waiting();
        if waiting > 0 {
            return Some(Claimed::LettersWait {
                partitions,
                waiting,
            });
        }
        let positions = self.partitions.iter().map(|p| p.checkpoint.position);
        let divisions = std::mem::take(&mut self.divisions);
        let (divisions, start) = divisions.and(positions.collect());
        let there = self
            .partitions
            .iter()
            .map(|p| p.checkpoint)
            .filter(|c| c.position == start);
        let checkpoint = there.max_by_key(|c| c.witness.map(|witness| witness.position));
        self.divisions = divisions;
        let partition = Partition {
            checkpoint: checkpoint.unwrap_or_default(),
            epoch: fence,
            leader: None,
        };
        self.partitions = vec![partition; into.get() as usize];
        None
    }

    pub(super) fn is_led(&self, lease: &Lease) -> bool {
        // No epoch is granted twice in one store, so it alone tells.
        let partition = self.partitions.get(lease.partition as usize);
        partition.is_some_and(|partition| partition.epoch == lease.epoch)
    }

    pub(super) fn partition(
        &mut self,
        partition: u32,
        projection: &ProjectionId,
    ) -> Result<&mut Partition, ProjectionStoreError> {
        self.partitions.get_mut(partition as usize).ok_or_else(|| {
            let detail = format!("projection {projection} has no partition {partition}");
            StoreError::new("projection", StoreErrorKind::Corrupt, detail).into()
        })
    }

    /// Where its partitions stand.
    pub(super) fn standings(&self, id: &ProjectionId, active: bool, now: Instant) -> Vec<Standing> {
        let standing = |(number, partition): (u32, &Partition)| {
            let mine = self.letters.values().filter(|l| l.partition == number);
            let (waiting, skipped): (Vec<_>, Vec<_>) = mine.partition(|l| l.fate.is_waiting());
            let leader = partition.leader(now);
            Standing {
                projection: id.clone(),
                partition: number,
                partitions: self.partitions(),
                active,
                checkpoint: partition.checkpoint,
                epoch: partition.epoch,
                leader: leader.map(|(owner, left)| (owner.clone(), left)),
                waiting: waiting.len() as u64,
                skipped: skipped.len() as u64,
            }
        };
        (0..).zip(&self.partitions).map(standing).collect()
    }
}
