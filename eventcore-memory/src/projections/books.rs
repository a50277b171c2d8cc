//! Who leads what, how far it has come, and what has been made.

use std::collections::BTreeMap;

use eventcore::{
    GlobalPosition,
    projection::{
        Claim, Claimed, DeadLetter, DocumentKey, Fate, Lease, Progress, ProjectionId,
        ProjectionName, ProjectionStoreError, Standing,
    },
    store::{StoreError, StoreErrorKind},
};
use tokio::time::Instant;

use super::version::{Documents, Version};

#[derive(Debug, Default)]
pub(super) struct Books {
    versions: BTreeMap<ProjectionId, Version>,
    active: BTreeMap<ProjectionName, u32>,
    /// The last epoch of all. One row of numbers for the whole store, so that a version that was removed and claimed
    /// again does not meet its old leaders as equals.
    epoch: u64,
    model: Option<ProjectionId>,
}

/// What a unit changes; nothing in place of a value that goes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) documents: BTreeMap<DocumentKey, Option<String>>,
    pub(super) letters: BTreeMap<(GlobalPosition, u32), Option<DeadLetter>>,
}

impl Books {
    pub(super) fn claim(
        &mut self,
        claim: &Claim,
        now: Instant,
    ) -> Result<Claimed, ProjectionStoreError> {
        if claim.partition >= claim.partitions.get() {
            let (partition, partitions) = (claim.partition, claim.partitions.get());
            let detail =
                format!("there is no partition {partition} of {partitions}; they count from 0");
            return Err(StoreError::new("claim", StoreErrorKind::Other, detail).into());
        }
        let (fence, mut epoch) = (self.epoch + 1, self.epoch + 1);
        let version = self
            .versions
            .entry(claim.projection.clone())
            .or_insert_with(|| Version::new(claim.partitions));
        let name = claim.projection.name.clone();
        self.active.entry(name).or_insert(claim.projection.version);
        if version.partitions() != claim.partitions {
            if let Some(refused) = version.divide(claim.partitions, fence, now) {
                return Ok(refused);
            }
            epoch += 1;
        }
        let divisions = version.divisions.clone();
        let partition = version.partition(claim.partition, &claim.projection)?;
        if let Some((owner, expires_in)) = partition.leader(now)
            && owner.id != claim.owner.id
        {
            return Ok(Claimed::Held {
                owner: owner.clone(),
                expires_in,
            });
        }
        (partition.epoch, self.epoch) = (epoch, epoch);
        partition.lead(&claim.owner, claim.ttl, now);
        Ok(Claimed::Granted(Lease {
            projection: claim.projection.clone(),
            partition: claim.partition,
            partitions: claim.partitions,
            owner: claim.owner.clone(),
            epoch,
            ttl: claim.ttl,
            checkpoint: partition.checkpoint,
            divisions,
        }))
    }

    /// The version that a lease is for, if it is the last one that was granted for its partition.
    pub(super) fn led(&self, lease: &Lease) -> Result<&Version, ProjectionStoreError> {
        let version = self.versions.get(&lease.projection);
        version
            .filter(|version| version.is_led(lease))
            .ok_or_else(|| ProjectionStoreError::fenced(lease))
    }

    pub(super) fn version(&self, projection: &ProjectionId) -> Option<&Version> {
        self.versions.get(projection)
    }

    pub(super) fn version_mut(&mut self, projection: &ProjectionId) -> Option<&mut Version> {
        self.versions.get_mut(projection)
    }

    pub(super) fn activate(&mut self, projection: &ProjectionId) {
        let ProjectionId { name, version } = projection.clone();
        // A version that was slower than its successor does not take readers back.
        let active = self.active.entry(name).or_insert(version);
        *active = version.max(*active);
    }

    fn led_mut(&mut self, lease: &Lease) -> Result<&mut Version, ProjectionStoreError> {
        let version = self.versions.get_mut(&lease.projection);
        version
            .filter(|version| version.is_led(lease))
            .ok_or_else(|| ProjectionStoreError::fenced(lease))
    }

    pub(super) fn renew(
        &mut self,
        lease: &Lease,
        now: Instant,
    ) -> Result<(), ProjectionStoreError> {
        let version = self.led_mut(lease)?;
        let partition = version.partition(lease.partition, &lease.projection)?;
        partition.lead(&lease.owner, lease.ttl, now);
        Ok(())
    }

    pub(super) fn release(&mut self, lease: &Lease) {
        if let Ok(version) = self.led_mut(lease)
            && let Ok(partition) = version.partition(lease.partition, &lease.projection)
        {
            partition.leader = None;
        }
    }

    pub(super) fn commit(
        &mut self,
        lease: &Lease,
        changes: Changes,
        progress: Progress,
        now: Instant,
    ) -> Result<(), ProjectionStoreError> {
        let version = self.led_mut(lease)?;
        let partition = version.partition(lease.partition, &lease.projection)?;
        partition.checkpoint = progress.checkpoint;
        partition.lead(&lease.owner, lease.ttl, now);
        merge(&mut version.documents, changes.documents);
        merge(&mut version.letters, changes.letters);
        if progress.activate {
            self.activate(&lease.projection);
        }
        Ok(())
    }

    pub(super) fn standings(&self, name: &ProjectionName, now: Instant) -> Vec<Standing> {
        let versions = self.versions.iter().filter(|(id, _)| id.name == *name);
        let of_version = |(id, version): (&ProjectionId, &Version)| {
            let active = self.active.get(name) == Some(&id.version);
            version.standings(id, active, now)
        };
        versions.flat_map(of_version).collect()
    }

    pub(super) fn names(&self) -> Vec<ProjectionName> {
        self.active.keys().cloned().collect()
    }

    pub(super) fn dead_letters(
        &self,
        projection: &ProjectionId,
        after: GlobalPosition,
        limit: usize,
    ) -> Vec<DeadLetter> {
        let letters = self
            .versions
            .get(projection)
            .map(|version| version.letters.values());
        let later = letters
            .into_iter()
            .flatten()
            .filter(|letter| letter.position > after);
        // Letters of one position stay together.
        let (mut places, mut last) = (0, None);
        let within = |letter: &&DeadLetter| {
            if last != Some(letter.position) {
                (places, last) = (places + 1, Some(letter.position));
            }
            places <= limit
        };
        later.take_while(within).cloned().collect()
    }

    pub(super) fn replay(&mut self, projection: &ProjectionId) -> u64 {
        let letters = self
            .versions
            .get_mut(projection)
            .map(|version| version.letters.values_mut());
        let mut marked = 0;
        for letter in letters.into_iter().flatten() {
            if matches!(letter.fate, Fate::Parked | Fate::Behind) {
                letter.fate = Fate::Replaying;
                marked += 1;
            }
        }
        marked
    }

    pub(super) fn reset(&mut self, projection: &ProjectionId) {
        self.epoch += 1;
        if let Some(version) = self.versions.get_mut(projection) {
            let mut blank = Version::new(version.partitions());
            for partition in &mut blank.partitions {
                partition.epoch = self.epoch;
            }
            *version = blank;
        }
    }

    pub(super) fn remove(&mut self, projection: &ProjectionId) -> Result<(), ProjectionStoreError> {
        let versions = self.versions.keys().filter(|id| id.name == projection.name);
        let others = versions.filter(|id| *id != projection).count();
        if self.active.get(&projection.name) == Some(&projection.version) {
            if others > 0 {
                return Err(ProjectionStoreError::Active {
                    projection: projection.clone(),
                });
            }
            self.active.remove(&projection.name);
        }
        self.versions.remove(projection);
        if self.has_model(projection) {
            self.model = None;
        }
        Ok(())
    }

    /// The documents that readers see.
    pub(super) fn visible(&self, name: &ProjectionName) -> Option<&Documents> {
        let version = *self.active.get(name)?;
        let name = name.clone();
        let version = self.versions.get(&ProjectionId { name, version })?;
        Some(&version.documents)
    }

    pub(super) fn has_model(&self, projection: &ProjectionId) -> bool {
        self.model.as_ref() == Some(projection)
    }

    /// Gives the model to the projection of a lease, unless another one has it.
    pub(super) fn take_model(&mut self, lease: &Lease) -> Result<(), ProjectionStoreError> {
        self.led(lease)?;
        let owner = self.model.get_or_insert_with(|| lease.projection.clone());
        if *owner == lease.projection {
            return Ok(());
        }
        let detail = format!(
            "the model belongs to projection {owner}; give {} another store",
            lease.projection
        );
        Err(StoreError::new("model", StoreErrorKind::Other, detail).into())
    }
}

pub(super) fn merge<K: Ord, V>(into: &mut BTreeMap<K, V>, changes: BTreeMap<K, Option<V>>) {
    for (key, change) in changes {
        match change {
            Some(value) => into.insert(key, value),
            None => into.remove(&key),
        };
    }
}
