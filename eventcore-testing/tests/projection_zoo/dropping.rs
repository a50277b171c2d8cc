//! Stores that get futures that are dropped wrong.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use eventcore::projection::{
    Claim, Claimed, DocumentChange, DocumentKey, Lease, Progress, ProjectionId, ProjectionName,
    ProjectionStore, UnitOfWork,
};
use eventcore_memory::InMemoryUnit;
use tokio::sync::Semaphore;

use crate::cage::{
    Inner, Open, Outcome, Specimen, all_documents, broken, dawdle, specimens, write_at_once,
};

/// A small pool.
pub(crate) struct Connections(Arc<Semaphore>);

impl Default for Connections {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(10)))
    }
}

impl Connections {
    async fn take(&self) -> Outcome<()> {
        let taking = tokio::time::timeout(Duration::from_millis(200), self.0.acquire());
        match taking.await {
            Ok(permit) => permit.unwrap().forget(),
            Err(_) => return Err(broken("no connection is left")),
        }
        Ok(())
    }

    fn give_back(&self) {
        self.0.add_permits(1);
    }
}

specimens! {
    /// Remembers a claim that was dropped as one that goes on.
    StaysBusyWhenDropped { busy: AtomicBool } => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            if self.busy.swap(true, SeqCst) {
                return Err(broken("another claim is going on"));
            }
            dawdle().await;
            let claimed = self.inner.claim(claim).await;
            self.busy.store(false, SeqCst);
            claimed
        }
    }

    /// Gives a connection back with the commit only.
    LosesAConnectionPerDroppedUnit { connections: Connections } => {
        async fn begin(&self, lease: &Lease) -> Outcome<InMemoryUnit> {
            self.connections.take().await?;
            self.inner.begin(lease).await
        }
        async fn commit(&self, open: Open, progress: Progress) -> Outcome<()> {
            let outcome = open.unit.commit(progress).await;
            self.connections.give_back();
            outcome
        }
    }

    /// Gives a connection back at the end of a question only.
    LosesAConnectionPerDroppedQuestion { connections: Connections } => {
        async fn documents(&self, name: &ProjectionName, keys: &[DocumentKey]) -> Outcome<Vec<Option<String>>> {
            self.connections.take().await?;
            dawdle().await;
            let found = self.inner.documents(name, keys).await;
            self.connections.give_back();
            found
        }
    }

    /// Resets in two steps.
    ResetsInTwoSteps {} => {
        async fn reset(&self, projection: &ProjectionId) -> Outcome<()> {
            let standings = self.inner.standings(&projection.name).await?;
            let Some(standing) = standings.into_iter().find(|s| s.projection == *projection) else {
                return Ok(());
            };
            if let Some((owner, ttl)) = standing.leader {
                let (partition, partitions) = (standing.partition, standing.partitions);
                let claim = Claim { projection: projection.clone(), partition, partitions, owner, ttl };
                if let Claimed::Granted(lease) = self.inner.claim(&claim).await? {
                    let documents = all_documents(&self.inner, &projection.name).await.into_iter();
                    let deletes = documents.map(|one| DocumentChange { key: one.key, body: None });
                    write_at_once(&self.inner, &lease, deletes.collect(), false).await?;
                }
            }
            dawdle().await;
            self.inner.reset(projection).await
        }
    }
}
