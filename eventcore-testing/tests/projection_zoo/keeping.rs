//! Stores that get resets, removals and standings wrong.

use std::{collections::HashMap, sync::Mutex};

use async_trait::async_trait;
use eventcore::{
    GlobalPosition,
    projection::{
        Claim, Claimed, DeadLetter, Divisions, DocumentChange, Lease, Owner, Partitions, Progress,
        ProjectionId, ProjectionName, ProjectionStore, ProjectionStoreError, Standing, UnitOfWork,
    },
};
use eventcore_memory::InMemoryUnit;
use uuid::Uuid;

use crate::cage::{Inner, Latest, Outcome, Specimen, all_documents, specimens};

/// What is put back when it should have gone.
#[derive(Default)]
pub(crate) struct Kept(Mutex<HashMap<ProjectionId, Furniture>>);

type Furniture = (Vec<DocumentChange>, Vec<DeadLetter>);

impl Kept {
    async fn note(&self, inner: &Inner, of: &ProjectionId) {
        let documents = all_documents(inner, &of.name).await.into_iter();
        let documents = documents.map(|one| DocumentChange {
            key: one.key,
            body: Some(one.body),
        });
        let letters = inner
            .dead_letters(of, GlobalPosition::START, 100)
            .await
            .unwrap();
        let kept = (documents.collect(), letters);
        self.0.lock().unwrap().insert(of.clone(), kept);
    }

    async fn put_back(&self, inner: &Inner, lease: &Lease, documents: bool, letters: bool) {
        let kept = self.0.lock().unwrap().remove(&lease.projection);
        let Some((changes, buried)) = kept else {
            return;
        };
        let mut unit = inner.begin(lease).await.unwrap();
        if documents {
            unit.put(changes).await.unwrap();
        }
        if letters {
            unit.bury(buried).await.unwrap();
        }
        let checkpoint = lease.checkpoint;
        unit.commit(Progress {
            checkpoint,
            activate: false,
        })
        .await
        .unwrap();
    }
}

/// The lease of somebody who has no business here.
pub(crate) async fn intrude(inner: &Inner, projection: &ProjectionId) -> Option<Lease> {
    let standings = inner.standings(&projection.name).await.unwrap();
    let standing = standings.iter().find(|s| s.projection == *projection)?;
    let claim = Claim {
        projection: projection.clone(),
        partition: 0,
        partitions: standing.partitions,
        owner: Owner {
            id: Uuid::now_v7(),
            label: "intruder".to_owned(),
        },
        ttl: std::time::Duration::from_mins(10),
    };
    match inner.claim(&claim).await.unwrap() {
        Claimed::Granted(lease) => Some(lease),
        _ => None,
    }
}

pub(crate) async fn partitions(inner: &Inner, of: &ProjectionId) -> Vec<Standing> {
    let standings = inner.standings(&of.name).await.unwrap();
    standings
        .into_iter()
        .filter(|s| s.projection == *of)
        .collect()
}

specimens! {
    /// Resets the checkpoint only.
    ResetsLeaveDocuments { kept: Kept } => {
        async fn reset(&self, projection: &ProjectionId) -> Outcome<()> {
            self.kept.note(&self.inner, projection).await;
            self.inner.reset(projection).await?;
            if let Some(lease) = intrude(&self.inner, projection).await {
                self.kept.put_back(&self.inner, &lease, true, false).await;
                self.inner.release(&lease).await?;
            }
            Ok(())
        }
    }

    /// Resets the documents only.
    ResetsLeaveLetters { kept: Kept } => {
        async fn reset(&self, projection: &ProjectionId) -> Outcome<()> {
            self.kept.note(&self.inner, projection).await;
            self.inner.reset(projection).await?;
            if let Some(lease) = intrude(&self.inner, projection).await {
                self.kept.put_back(&self.inner, &lease, false, true).await;
                self.inner.release(&lease).await?;
            }
            Ok(())
        }
    }

    /// Remembers what was applied before the reset.
    ResetsLeaveDivisions { divisions: Mutex<Divisions> } => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            let mut claimed = self.inner.claim(claim).await?;
            if let Claimed::Granted(lease) = &mut claimed {
                let mut divisions = self.divisions.lock().unwrap();
                if lease.divisions == Divisions::none() {
                    lease.divisions = divisions.clone();
                } else {
                    *divisions = lease.divisions.clone();
                }
            }
            Ok(claimed)
        }
    }

    /// Lets the leader from before go on.
    ResetsFenceNobody { now: Latest } => {
        async fn reset(&self, projection: &ProjectionId) -> Outcome<()> {
            self.inner.reset(projection).await?;
            if let Some(lease) = intrude(&self.inner, projection).await {
                self.now.note(&Claimed::Granted(lease));
            }
            Ok(())
        }
        async fn begin(&self, lease: &Lease) -> Outcome<InMemoryUnit> {
            self.inner.begin(&self.now.of(lease)).await
        }
    }

    /// Has nothing against removing what readers see.
    RemovesTheActiveVersion {} => {
        async fn remove(&self, projection: &ProjectionId) -> Outcome<()> {
            match self.inner.remove(projection).await {
                Err(ProjectionStoreError::Active { .. }) => Ok(()),
                outcome => outcome,
            }
        }
    }

    /// Keeps the last version for ever.
    KeepsTheOnlyVersion {} => {
        async fn remove(&self, projection: &ProjectionId) -> Outcome<()> {
            if partitions(&self.inner, projection).await.iter().any(|standing| standing.active) {
                return Err(ProjectionStoreError::Active { projection: projection.clone() });
            }
            self.inner.remove(projection).await
        }
    }

    /// Forgets the rows of the partitions only.
    RemovalsLeaveDocuments { kept: Kept } => {
        async fn remove(&self, projection: &ProjectionId) -> Outcome<()> {
            self.kept.note(&self.inner, projection).await;
            self.inner.remove(projection).await
        }
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            let claimed = self.inner.claim(claim).await?;
            if let Claimed::Granted(lease) = &claimed {
                self.kept.put_back(&self.inner, lease, true, false).await;
            }
            Ok(claimed)
        }
    }

    /// Forgets all but the letters.
    RemovalsLeaveLetters { kept: Kept } => {
        async fn remove(&self, projection: &ProjectionId) -> Outcome<()> {
            self.kept.note(&self.inner, projection).await;
            self.inner.remove(projection).await
        }
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            let claimed = self.inner.claim(claim).await?;
            if let Claimed::Granted(lease) = &claimed {
                self.kept.put_back(&self.inner, lease, false, true).await;
            }
            Ok(claimed)
        }
    }

    /// Brings what it resets into being.
    ResetsIntoBeing {} => {
        async fn reset(&self, projection: &ProjectionId) -> Outcome<()> {
            if partitions(&self.inner, projection).await.is_empty() {
                let claim = Claim {
                    projection: projection.clone(),
                    partition: 0,
                    partitions: Partitions::ONE,
                    owner: Owner { id: Uuid::now_v7(), label: String::new() },
                    ttl: std::time::Duration::ZERO,
                };
                self.inner.claim(&claim).await?;
            }
            self.inner.reset(projection).await
        }
    }

    /// Shows the rows that it has, and makes a row with a claim.
    ShowsClaimedPartitionsOnly {} => {
        async fn standings(&self, name: &ProjectionName) -> Outcome<Vec<Standing>> {
            let mut standings = self.inner.standings(name).await?;
            standings.retain(|standing| standing.epoch > 0);
            Ok(standings)
        }
    }

    /// Counts letters that were given up among those that wait.
    CountsSkippedAsWaiting {} => {
        async fn standings(&self, name: &ProjectionName) -> Outcome<Vec<Standing>> {
            let mut standings = self.inner.standings(name).await?;
            for standing in &mut standings {
                standing.waiting += standing.skipped;
            }
            Ok(standings)
        }
    }

    /// Lists a name for each of its versions.
    RepeatsNames {} => {
        async fn names(&self) -> Outcome<Vec<ProjectionName>> {
            let mut all = Vec::new();
            for name in self.inner.names().await? {
                let standings = self.inner.standings(&name).await?;
                all.extend(standings.into_iter().map(|standing| standing.projection.name));
            }
            Ok(all)
        }
    }
}
