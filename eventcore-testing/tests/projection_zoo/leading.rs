//! Stores that get leadership wrong.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use async_trait::async_trait;
use eventcore::projection::{
    Claim, Claimed, Lease, Owner, Partitions, Progress, ProjectionId, ProjectionStore,
    ProjectionStoreError, UnitOfWork,
};
use eventcore_memory::InMemoryUnit;
use uuid::Uuid;

use crate::cage::{Inner, Latest, Open, Outcome, Specimen, specimens, standing};

/// Epochs of one's own making over the true ones. Those that are given out twice stand for the newer lease.
#[derive(Default)]
pub(crate) struct Epochs {
    last: Mutex<HashMap<(ProjectionId, u32), u64>>,
    leases: Mutex<HashMap<(ProjectionId, u32, u64), Lease>>,
}

impl Epochs {
    /// Gives a lease the next epoch of the row that `row` names.
    fn renumber(&self, lease: &Lease, row: u32) -> Claimed {
        let epoch = {
            let mut last = self.last.lock().unwrap();
            let last = last.entry((lease.projection.clone(), row)).or_default();
            *last += 1;
            *last
        };
        let place = (lease.projection.clone(), lease.partition, epoch);
        self.leases.lock().unwrap().insert(place, lease.clone());
        Claimed::Granted(Lease {
            epoch,
            ..lease.clone()
        })
    }

    fn forget(&self, of: &ProjectionId) {
        self.last
            .lock()
            .unwrap()
            .retain(|(projection, _), _| projection != of);
    }

    fn truly(&self, lease: &Lease) -> Lease {
        let place = (lease.projection.clone(), lease.partition, lease.epoch);
        let leases = self.leases.lock().unwrap();
        leases.get(&place).cloned().unwrap_or_else(|| lease.clone())
    }
}

/// The same unit again, under another lease.
async fn again(inner: &Inner, open: Open, lease: &Lease, progress: Progress) -> Outcome<()> {
    let mut unit = inner.begin(lease).await?;
    unit.put(open.changes).await?;
    unit.bury(open.letters).await?;
    unit.commit(progress).await
}

specimens! {
    /// Begins where it likes.
    StartsAfterTheFirstEvent {} => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            let mut claimed = self.inner.claim(claim).await?;
            if let Claimed::Granted(lease) = &mut claimed {
                lease.checkpoint.position = lease.checkpoint.position.advanced(1);
            }
            Ok(claimed)
        }
    }

    /// Counts epochs for each partition alone.
    CountsEpochsByPartition { epochs: Epochs } => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            Ok(match self.inner.claim(claim).await? {
                Claimed::Granted(lease) => self.epochs.renumber(&lease, lease.partition),
                other => other,
            })
        }
        async fn begin(&self, lease: &Lease) -> Outcome<InMemoryUnit> {
            self.inner.begin(&self.epochs.truly(lease)).await
        }
        async fn release(&self, lease: &Lease) -> Outcome<()> {
            self.inner.release(&self.epochs.truly(lease)).await
        }
    }

    /// Keeps the epoch with the lease, and forgets both.
    ForgetsEpochsWithTheLease { epochs: Epochs } => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            Ok(match self.inner.claim(claim).await? {
                Claimed::Granted(lease) => self.epochs.renumber(&lease, 0),
                other => other,
            })
        }
        async fn begin(&self, lease: &Lease) -> Outcome<InMemoryUnit> {
            self.inner.begin(&self.epochs.truly(lease)).await
        }
        async fn release(&self, lease: &Lease) -> Outcome<()> {
            self.inner.release(&self.epochs.truly(lease)).await?;
            self.epochs.forget(&lease.projection);
            Ok(())
        }
    }

    /// Begins the row of epochs again for a version that was removed.
    ForgetsEpochsOfTheRemoved { epochs: Epochs } => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            Ok(match self.inner.claim(claim).await? {
                Claimed::Granted(lease) => self.epochs.renumber(&lease, 0),
                other => other,
            })
        }
        async fn begin(&self, lease: &Lease) -> Outcome<InMemoryUnit> {
            let begun = self.inner.begin(&self.epochs.truly(lease)).await;
            begun.map_err(|_| ProjectionStoreError::fenced(lease))
        }
        async fn release(&self, lease: &Lease) -> Outcome<()> {
            self.inner.release(&self.epochs.truly(lease)).await
        }
        async fn remove(&self, projection: &ProjectionId) -> Outcome<()> {
            self.inner.remove(projection).await?;
            self.epochs.forget(projection);
            Ok(())
        }
    }

    /// Grants whoever asks.
    GrantsAnybody {} => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            match self.inner.claim(claim).await? {
                Claimed::Held { owner, .. } => self.inner.claim(&Claim { owner, ..claim.clone() }).await,
                other => Ok(other),
            }
        }
    }

    /// Looks who leads, and grants a moment later.
    GrantsAfterALook {} => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            let standings = self.inner.standings(&claim.projection.name).await?;
            let mine = standings.iter().find(|s| {
                s.projection == claim.projection && s.partition == claim.partition
            });
            if mine.is_none_or(|standing| standing.leader.is_none()) {
                crate::cage::dawdle().await;
                if let Claimed::Held { owner, .. } = self.inner.claim(claim).await? {
                    return self.inner.claim(&Claim { owner, ..claim.clone() }).await;
                }
            }
            self.inner.claim(claim).await
        }
    }

    /// Holds the owner off as well.
    HoldsTheOwnerOff {} => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            let stranger = Owner { id: Uuid::now_v7(), label: claim.owner.label.clone() };
            self.inner.claim(&Claim { owner: stranger, ..claim.clone() }).await
        }
    }

    /// Has one leader for all versions of a name.
    LeadsVersionsTogether {} => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            let standings = self.inner.standings(&claim.projection.name).await?;
            let mut others = standings.into_iter().filter(|s| s.projection != claim.projection);
            match others.find_map(|standing| standing.leader) {
                Some((owner, expires_in)) => Ok(Claimed::Held { owner, expires_in }),
                None => self.inner.claim(claim).await,
            }
        }
    }

    /// Keeps labels of any length.
    KeepsWholeLabels { labels: Mutex<HashMap<Uuid, String>> } => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            let Owner { id, label } = claim.owner.clone();
            self.labels.lock().unwrap().insert(id, label);
            let mut claimed = self.inner.claim(claim).await?;
            if let Claimed::Held { owner, .. } = &mut claimed {
                owner.label = self.labels.lock().unwrap()[&owner.id].clone();
            }
            Ok(claimed)
        }
    }

    /// Takes a partition that there is not for another one.
    WrapsPartitions {} => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            let partition = claim.partition % claim.partitions.get();
            self.inner.claim(&Claim { partition, ..claim.clone() }).await
        }
    }

    /// Renews nothing.
    RenewsNothing {} => {
        async fn renew(&self, lease: &Lease) -> Outcome<()> {
            self.inner.begin(lease).await.map(drop)
        }
    }

    /// Counts the time from the grant, whatever was committed.
    CommitsRenewNothing {} => {
        async fn begin(&self, lease: &Lease) -> Outcome<InMemoryUnit> {
            let leader = standing(&self.inner, lease).await.and_then(|s| s.leader);
            let ttl = leader.map_or(Duration::ZERO, |(_, left)| left);
            self.inner.begin(&Lease { ttl, ..lease.clone() }).await
        }
    }

    /// Leases last for ever.
    NeverRunsOut {} => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            self.inner.claim(&Claim { ttl: Duration::MAX, ..claim.clone() }).await
        }
    }

    /// Calls a lease replaced when it has only run out.
    RefusesLateRenewals {} => {
        async fn renew(&self, lease: &Lease) -> Outcome<()> {
            match standing(&self.inner, lease).await.and_then(|s| s.leader) {
                Some(_) => self.inner.renew(lease).await,
                None => Err(ProjectionStoreError::fenced(lease)),
            }
        }
    }

    /// Brings a replaced lease back.
    RenewsReplacedLeases { latest: Latest } => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            let claimed = self.inner.claim(claim).await?;
            self.latest.note(&claimed);
            Ok(claimed)
        }
        async fn renew(&self, lease: &Lease) -> Outcome<()> {
            self.inner.renew(&self.latest.of(lease)).await
        }
    }

    /// Leaves it to time.
    ReleasesNothing {} => {
        async fn release(&self, _: &Lease) -> Outcome<()> {
            Ok(())
        }
    }

    /// Ends whatever lease there is.
    ReleasesWhoeverLeads { latest: Latest } => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            let claimed = self.inner.claim(claim).await?;
            self.latest.note(&claimed);
            Ok(claimed)
        }
        async fn release(&self, lease: &Lease) -> Outcome<()> {
            self.inner.release(&self.latest.of(lease)).await
        }
    }

    /// Makes a late release an error.
    FailsLateReleases {} => {
        async fn release(&self, lease: &Lease) -> Outcome<()> {
            self.inner.begin(lease).await?;
            self.inner.release(lease).await
        }
    }

    /// Asks for no epoch at all.
    FencesNobody { latest: Latest } => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            let claimed = self.inner.claim(claim).await?;
            self.latest.note(&claimed);
            Ok(claimed)
        }
        async fn begin(&self, lease: &Lease) -> Outcome<InMemoryUnit> {
            self.inner.begin(&self.latest.of(lease)).await
        }
    }

    /// Asks for the epoch when a unit begins, and not when it commits.
    FencesAtTheBeginningOnly { latest: Latest } => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            let claimed = self.inner.claim(claim).await?;
            self.latest.note(&claimed);
            Ok(claimed)
        }
        async fn commit(&self, open: Open, progress: Progress) -> Outcome<()> {
            let lease = self.latest.of(&open.lease);
            again(&self.inner, open, &lease, progress).await
        }
    }

    /// Asks whether the time is up, not whether somebody took over.
    FencesByTime {} => {
        async fn begin(&self, lease: &Lease) -> Outcome<InMemoryUnit> {
            match standing(&self.inner, lease).await.and_then(|s| s.leader) {
                Some(_) => self.inner.begin(lease).await,
                None => Err(ProjectionStoreError::fenced(lease)),
            }
        }
    }

    /// Lets everybody in while nobody leads.
    FencesWhileSomebodyLeads { latest: Latest } => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            let claimed = self.inner.claim(claim).await?;
            self.latest.note(&claimed);
            Ok(claimed)
        }
        async fn begin(&self, lease: &Lease) -> Outcome<InMemoryUnit> {
            match standing(&self.inner, lease).await.and_then(|s| s.leader) {
                Some(_) => self.inner.begin(lease).await,
                None => self.inner.begin(&self.latest.of(lease)).await,
            }
        }
    }

    /// Lets every epoch in that is high enough.
    FencesLowEpochsOnly { latest: Latest } => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            let claimed = self.inner.claim(claim).await?;
            self.latest.note(&claimed);
            Ok(claimed)
        }
        async fn begin(&self, lease: &Lease) -> Outcome<InMemoryUnit> {
            let latest = self.latest.of(lease);
            if lease.epoch > latest.epoch {
                return self.inner.begin(&latest).await;
            }
            self.inner.begin(lease).await
        }
    }

    /// Lets one leader of all partitions in, the last.
    FencesTheOtherPartitions { latest: Latest } => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            let claimed = self.inner.claim(claim).await?;
            self.latest.note(&claimed);
            Ok(claimed)
        }
        async fn begin(&self, lease: &Lease) -> Outcome<InMemoryUnit> {
            let all = self.latest.all();
            let newer = |other: &Lease| other.projection == lease.projection && other.epoch > lease.epoch;
            if lease.partitions != Partitions::ONE && all.iter().any(newer) {
                return Err(ProjectionStoreError::fenced(lease));
            }
            self.inner.begin(lease).await
        }
    }

    /// Refuses the checkpoint of a replaced leader, and keeps its documents.
    FencesTheCheckpointOnly { latest: Latest } => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            let claimed = self.inner.claim(claim).await?;
            self.latest.note(&claimed);
            Ok(claimed)
        }
        async fn commit(&self, open: Open, progress: Progress) -> Outcome<()> {
            let (lease, changes) = (open.lease.clone(), open.changes.clone());
            let outcome = open.unit.commit(progress).await;
            if outcome.is_err() {
                let latest = self.latest.of(&lease);
                crate::cage::write_at_once(&self.inner, &latest, changes, false).await?;
            }
            outcome
        }
    }
}
