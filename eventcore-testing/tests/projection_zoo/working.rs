//! Stores that get units, documents and versions wrong.

use std::{collections::HashMap, sync::Mutex};

use async_trait::async_trait;
use eventcore::projection::{
    Claim, Claimed, DocumentChange, DocumentKey, Lease, Progress, ProjectionId, ProjectionName,
    ProjectionStore, Standing, UnitOfWork,
};
use eventcore_memory::InMemoryUnit;
use futures_util::FutureExt;

use crate::cage::{Inner, Latest, Open, Outcome, Specimen, dawdle, specimens, write_at_once};

fn with_keys(
    changes: Vec<DocumentChange>,
    change: impl Fn(&DocumentKey) -> DocumentKey,
) -> Vec<DocumentChange> {
    let keys = changes.into_iter();
    keys.map(|one| DocumentChange {
        key: change(&one.key),
        ..one
    })
    .collect()
}

fn with_bodies(
    changes: Vec<DocumentChange>,
    change: impl Fn(String) -> String,
) -> Vec<DocumentChange> {
    let bodies = changes.into_iter();
    bodies
        .map(|one| DocumentChange {
            body: one.body.map(&change),
            ..one
        })
        .collect()
}

fn caseless(key: &DocumentKey) -> DocumentKey {
    let text: String = key.as_str().to_lowercase().chars().take(255).collect();
    DocumentKey::try_new(text).unwrap()
}

/// What a column of 255 bytes keeps.
fn cut(key: &DocumentKey) -> DocumentKey {
    let text = key.as_str();
    DocumentKey::try_new(&text[..text.floor_char_boundary(255)]).unwrap()
}

specimens! {
    /// Commits the documents, then the rest.
    CommitsDocumentsFirst {} => {
        async fn commit(&self, open: Open, progress: Progress) -> Outcome<()> {
            write_at_once(&self.inner, &open.lease, open.changes.clone(), false).await?;
            dawdle().await;
            open.unit.commit(progress).await
        }
    }

    /// Commits the checkpoint, then the rest.
    CommitsTheCheckpointFirst {} => {
        async fn commit(&self, open: Open, progress: Progress) -> Outcome<()> {
            let early = Progress { activate: false, ..progress };
            self.inner.begin(&open.lease).await?.commit(early).await?;
            dawdle().await;
            open.unit.commit(progress).await
        }
    }

    /// Writes at once, without a transaction.
    WritesThrough {} => {
        async fn put(&self, open: &mut Open, changes: Vec<DocumentChange>) -> Outcome<()> {
            write_at_once(&self.inner, &open.lease, changes, false).await
        }
    }

    /// Commits what was left open, as some connections do when they are closed.
    CommitsWhenDropped {} => {
        fn dropped(&self, open: Open) {
            let checkpoint = crate::cage::checkpoint(&self.inner, &open.lease);
            let checkpoint = checkpoint.now_or_never().unwrap();
            let progress = Progress { checkpoint, activate: false };
            open.unit.commit(progress).now_or_never();
        }
    }

    /// Loads by another connection.
    LoadsWhatIsCommittedOnly {} => {
        async fn load(&self, open: &mut Open, keys: &[DocumentKey]) -> Outcome<Vec<Option<String>>> {
            self.inner.begin(&open.lease).await?.load(keys).await
        }
    }

    /// Keeps the documents of each partition apart.
    LoadsItsOwnPartitionOnly { written: Mutex<HashMap<DocumentKey, u32>> } => {
        async fn put(&self, open: &mut Open, changes: Vec<DocumentChange>) -> Outcome<()> {
            for change in &changes {
                self.written.lock().unwrap().insert(change.key.clone(), open.lease.partition);
            }
            open.unit.put(changes).await
        }
        async fn load(&self, open: &mut Open, keys: &[DocumentKey]) -> Outcome<Vec<Option<String>>> {
            let mut found = open.unit.load(keys).await?;
            for (key, body) in keys.iter().zip(&mut found) {
                if self.written.lock().unwrap().get(key) != Some(&open.lease.partition) {
                    *body = None;
                }
            }
            Ok(found)
        }
    }

    /// Of two changes of a key the first counts.
    TheFirstChangeCounts {} => {
        async fn put(&self, open: &mut Open, mut changes: Vec<DocumentChange>) -> Outcome<()> {
            changes.reverse();
            open.unit.put(changes).await
        }
    }

    /// Puts only.
    DeletesNothing {} => {
        async fn put(&self, open: &mut Open, mut changes: Vec<DocumentChange>) -> Outcome<()> {
            changes.retain(|change| change.body.is_some());
            open.unit.put(changes).await
        }
    }

    /// Keeps the number and not the event.
    LosesTheWitness {} => {
        async fn commit(&self, open: Open, mut progress: Progress) -> Outcome<()> {
            progress.checkpoint.witness = None;
            open.unit.commit(progress).await
        }
    }

    /// Compares keys by a collation.
    FoldsKeys {} => {
        async fn put(&self, open: &mut Open, changes: Vec<DocumentChange>) -> Outcome<()> {
            open.unit.put(with_keys(changes, caseless)).await
        }
        async fn load(&self, open: &mut Open, keys: &[DocumentKey]) -> Outcome<Vec<Option<String>>> {
            let keys: Vec<_> = keys.iter().map(caseless).collect();
            open.unit.load(&keys).await
        }
        async fn documents(&self, name: &ProjectionName, keys: &[DocumentKey]) -> Outcome<Vec<Option<String>>> {
            let keys: Vec<_> = keys.iter().map(caseless).collect();
            self.inner.documents(name, &keys).await
        }
    }

    /// Has a column for keys that is too short.
    CutsKeys {} => {
        async fn put(&self, open: &mut Open, changes: Vec<DocumentChange>) -> Outcome<()> {
            open.unit.put(with_keys(changes, cut)).await
        }
        async fn load(&self, open: &mut Open, keys: &[DocumentKey]) -> Outcome<Vec<Option<String>>> {
            let keys: Vec<_> = keys.iter().map(cut).collect();
            open.unit.load(&keys).await
        }
        async fn documents(&self, name: &ProjectionName, keys: &[DocumentKey]) -> Outcome<Vec<Option<String>>> {
            let keys: Vec<_> = keys.iter().map(cut).collect();
            self.inner.documents(name, &keys).await
        }
    }

    /// Returns the rows that it finds.
    ReturnsWhatItFinds {} => {
        async fn documents(&self, name: &ProjectionName, keys: &[DocumentKey]) -> Outcome<Vec<Option<String>>> {
            let mut found = self.inner.documents(name, keys).await?;
            found.retain(Option::is_some);
            Ok(found)
        }
    }

    /// Returns rows in the order of its index.
    AnswersInTheOrderOfTheIndex {} => {
        async fn documents(&self, name: &ProjectionName, keys: &[DocumentKey]) -> Outcome<Vec<Option<String>>> {
            let mut keys = keys.to_vec();
            keys.sort_unstable();
            self.inner.documents(name, &keys).await
        }
    }

    /// Takes as many keys as a statement has places, and forgets the others.
    TakesTooFewKeys {} => {
        async fn load(&self, open: &mut Open, keys: &[DocumentKey]) -> Outcome<Vec<Option<String>>> {
            let mut found = open.unit.load(&keys[..keys.len().min(2000)]).await?;
            found.resize(keys.len(), None);
            Ok(found)
        }
    }

    /// Parses what it is given, and writes it anew.
    ParsesDocuments {} => {
        async fn put(&self, open: &mut Open, changes: Vec<DocumentChange>) -> Outcome<()> {
            let parse = |body: String| {
                let parsed = serde_json::from_str::<serde_json::Value>(&body);
                parsed.map_or(body, |value| value.to_string())
            };
            open.unit.put(with_bodies(changes, parse)).await
        }
    }

    /// Cuts what is long.
    CutsLargeDocuments {} => {
        async fn put(&self, open: &mut Open, changes: Vec<DocumentChange>) -> Outcome<()> {
            let cut = |body: String| body[..body.floor_char_boundary(1024 * 1024)].to_owned();
            open.unit.put(with_bodies(changes, cut)).await
        }
    }

    /// Falls back to what readers see.
    LoadsFromTheActiveVersion {} => {
        async fn load(&self, open: &mut Open, keys: &[DocumentKey]) -> Outcome<Vec<Option<String>>> {
            let own = open.unit.load(keys).await?;
            let active = self.inner.documents(&open.lease.projection.name, keys).await?;
            Ok(own.into_iter().zip(active).map(|(own, active)| own.or(active)).collect())
        }
    }

    /// Shows the version that was claimed last.
    ActivatesWithTheClaim {} => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            let claimed = self.inner.claim(claim).await?;
            if let Claimed::Granted(lease) = &claimed {
                write_at_once(&self.inner, lease, Vec::new(), true).await?;
            }
            Ok(claimed)
        }
    }

    /// Never heard of activation.
    ActivatesNothing {} => {
        async fn commit(&self, open: Open, progress: Progress) -> Outcome<()> {
            open.unit.commit(Progress { activate: false, ..progress }).await
        }
    }

    /// Activates at every commit.
    ActivatesUnasked {} => {
        async fn commit(&self, open: Open, progress: Progress) -> Outcome<()> {
            open.unit.commit(Progress { activate: true, ..progress }).await
        }
    }

    /// Switches readers, then commits.
    ActivatesBeforeTheCommit {} => {
        async fn commit(&self, open: Open, progress: Progress) -> Outcome<()> {
            if progress.activate {
                write_at_once(&self.inner, &open.lease, Vec::new(), true).await?;
                dawdle().await;
            }
            open.unit.commit(progress).await
        }
    }

    /// Switches readers in a transaction that asks for no epoch.
    ActivatesForAnybody { latest: Latest } => {
        async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
            let claimed = self.inner.claim(claim).await?;
            self.latest.note(&claimed);
            Ok(claimed)
        }
        async fn begin(&self, lease: &Lease) -> Outcome<InMemoryUnit> {
            let begun = self.inner.begin(lease).await;
            if begun.is_err() {
                let latest = self.latest.of(lease);
                write_at_once(&self.inner, &latest, Vec::new(), true).await?;
            }
            begun
        }
    }

    /// Marks the partition that activated.
    ActivatesOnePartition { by: Mutex<Option<(ProjectionId, u32)>> } => {
        async fn commit(&self, open: Open, progress: Progress) -> Outcome<()> {
            if progress.activate {
                *self.by.lock().unwrap() = Some((open.lease.projection.clone(), open.lease.partition));
            }
            open.unit.commit(progress).await
        }
        async fn standings(&self, name: &ProjectionName) -> Outcome<Vec<Standing>> {
            let mut standings = self.inner.standings(name).await?;
            if let Some((projection, partition)) = &*self.by.lock().unwrap() {
                for standing in &mut standings {
                    standing.active &= standing.projection == *projection && standing.partition == *partition;
                }
            }
            Ok(standings)
        }
    }
}
