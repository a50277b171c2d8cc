//! Stores that get letters and divisions wrong.

use async_trait::async_trait;
use eventcore::{
    GlobalPosition,
    projection::{
        Claim, Claimed, DeadLetter, Divisions, Fate, Lease, ProjectionId, ProjectionStore,
        Standing, UnitOfWork,
    },
};
use eventcore_memory::InMemoryUnit;

use crate::{
    cage::{Inner, Latest, Open, Outcome, Specimen, broken, specimens},
    keeping::{intrude, partitions},
};

/// A claim whose lease is altered when it divides anew; what was there before is given.
async fn dividing(
    inner: &Inner,
    claim: &Claim,
    alter: impl FnOnce(&mut Lease, Vec<Standing>) + Send,
) -> Outcome<Claimed> {
    let before = partitions(inner, &claim.projection).await;
    let mut claimed = inner.claim(claim).await?;
    if let Claimed::Granted(lease) = &mut claimed
        && before
            .first()
            .is_some_and(|standing| standing.partitions != lease.partitions)
    {
        alter(lease, before);
    }
    Ok(claimed)
}

specimens! {
    /// Keeps the beginning of an error.
    CutsErrors {} => {
        async fn bury(&self, open: &mut Open, mut letters: Vec<DeadLetter>) -> Outcome<()> {
            for letter in &mut letters {
                letter.error.truncate(letter.error.floor_char_boundary(1000));
            }
            open.unit.bury(letters).await
        }
    }

    /// Refuses what its columns cannot hold.
    RefusesNul {} => {
        async fn bury(&self, open: &mut Open, letters: Vec<DeadLetter>) -> Outcome<()> {
            if letters.iter().any(|letter| letter.error.contains('\0')) {
                return Err(broken("invalid byte sequence: 0x00"));
            }
            open.unit.bury(letters).await
        }
    }

    /// Leaves a letter that is there as it is.
    KeepsTheFirstLetter {} => {
        async fn bury(&self, open: &mut Open, mut letters: Vec<DeadLetter>) -> Outcome<()> {
            let there = self.inner.dead_letters(&open.lease.projection, GlobalPosition::START, 100).await?;
            letters.retain(|letter| !there.iter().any(|other| other.position == letter.position));
            open.unit.bury(letters).await
        }
    }

    /// Removes nothing.
    RevivesNothing {} => {
        async fn revive(&self, _: &mut Open, _: GlobalPosition) -> Outcome<()> {
            Ok(())
        }
    }

    /// Has letters by partition.
    ListsByPartition {} => {
        async fn dead_letters(
            &self,
            projection: &ProjectionId,
            after: GlobalPosition,
            limit: usize,
        ) -> Outcome<Vec<DeadLetter>> {
            let mut letters = self.inner.dead_letters(projection, after, limit).await?;
            letters.sort_by_key(|letter| letter.partition);
            Ok(letters)
        }
    }

    /// Begins a page with the letter that the last one ended with.
    RepeatsTheLastLetter {} => {
        async fn dead_letters(
            &self,
            projection: &ProjectionId,
            after: GlobalPosition,
            limit: usize,
        ) -> Outcome<Vec<DeadLetter>> {
            let before = GlobalPosition::try_new(after.get().saturating_sub(1)).unwrap();
            self.inner.dead_letters(projection, before, limit).await
        }
    }

    /// Tries what another leader is to try.
    SeesLettersOfAllPartitions {} => {
        async fn waiting(&self, open: &mut Open) -> Outcome<Vec<DeadLetter>> {
            let mut letters =
                self.inner.dead_letters(&open.lease.projection, GlobalPosition::START, 100).await?;
            letters.retain(|letter| letter.fate.is_waiting());
            Ok(letters)
        }
    }

    /// Does not count as waiting what was never tried.
    ForgetsWhatIsBehind {} => {
        async fn waiting(&self, open: &mut Open) -> Outcome<Vec<DeadLetter>> {
            let mut letters = open.unit.waiting().await?;
            letters.retain(|letter| letter.fate != Fate::Behind);
            Ok(letters)
        }
    }

    /// Brings back what was given up.
    ReplaysWhatWasSkipped {} => {
        async fn replay(&self, projection: &ProjectionId) -> Outcome<u64> {
            let letters = self.inner.dead_letters(projection, GlobalPosition::START, 100).await?;
            let skipped = letters.iter().filter(|letter| letter.fate == Fate::Skipped).count();
            Ok(self.inner.replay(projection).await? + skipped as u64)
        }
    }

    /// Says that it will, and marks nothing.
    ReplaysNothing {} => {
        async fn replay(&self, projection: &ProjectionId) -> Outcome<u64> {
            let letters = self.inner.dead_letters(projection, GlobalPosition::START, 100).await?;
            let marked = letters.iter().filter(|l| matches!(l.fate, Fate::Parked | Fate::Behind));
            Ok(marked.count() as u64)
        }
    }

    /// Starts where the first of the old partitions was.
    DividesAtTheHighest {} => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            dividing(&self.inner, claim, |lease, before| {
                let checkpoints = before.into_iter().map(|standing| standing.checkpoint);
                lease.checkpoint = checkpoints.max_by_key(|c| c.position).unwrap();
            }).await
        }
    }

    /// Applies again what some of the old partitions had applied.
    ForgetsDivisions {} => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            dividing(&self.inner, claim, |lease, _| lease.divisions = Divisions::none()).await
        }
    }

    /// Cannot tell after a division whether the log is the same.
    LosesTheWitnessInADivision {} => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            dividing(&self.inner, claim, |lease, _| lease.checkpoint.witness = None).await
        }
    }

    /// Knows of the last division.
    ForgetsOlderDivisions {} => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            dividing(&self.inner, claim, |lease, before| {
                let checkpoints = before.iter().map(|standing| standing.checkpoint.position);
                lease.divisions = Divisions::none().and(checkpoints.collect()).0;
            }).await
        }
    }

    /// Divides under the feet of the leaders.
    DividesWhileSomebodyLeads { latest: Latest } => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            let mut claimed = self.inner.claim(claim).await?;
            if matches!(claimed, Claimed::Divided { .. }) {
                for lease in self.latest.all() {
                    self.inner.release(&lease).await?;
                }
                claimed = self.inner.claim(claim).await?;
            }
            self.latest.note(&claimed);
            Ok(claimed)
        }
    }

    /// Leaves letters to nobody.
    DividesWhileLettersWait {} => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            let claimed = self.inner.claim(claim).await?;
            let Claimed::LettersWait { partitions, .. } = claimed else {
                return Ok(claimed);
            };
            let Claimed::Granted(lease) = self.inner.claim(&Claim { partition: 0, partitions, ..claim.clone() }).await?
            else {
                return Ok(claimed);
            };
            let (partition, partitions) = (claim.partition, claim.partitions);
            Ok(Claimed::Granted(Lease { partition, partitions, ..lease }))
        }
    }

    /// Fences by the number of the partition.
    DivisionsFenceNobody { latest: Latest } => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            let claimed = self.inner.claim(claim).await?;
            if let Claimed::Granted(lease) = &claimed {
                for partition in 0..lease.partitions.get() {
                    self.latest.note(&Claimed::Granted(Lease { partition, ..lease.clone() }));
                }
            }
            Ok(claimed)
        }
        async fn begin(&self, lease: &Lease) -> Outcome<InMemoryUnit> {
            let latest = self.latest.of(lease);
            if latest.partitions == lease.partitions {
                return self.inner.begin(lease).await;
            }
            let intruder = intrude(&self.inner, &lease.projection).await;
            self.inner.begin(&intruder.unwrap_or(latest)).await
        }
    }
}
