//! Units of work, as values that can be tried again.

use eventcore::projection::{
    Checkpoint, DeadLetter, DocumentChange, Lease, Progress, ProjectionStore, ProjectionStoreError,
    UnitOfWork,
};

use super::{at, checkpoint, key, patiently};

/// What a unit is to do.
#[derive(Clone, Debug, Default)]
pub(in crate::projection_contract) struct Work {
    changes: Vec<DocumentChange>,
    letters: Vec<DeadLetter>,
    revived: Vec<u64>,
    pub(in crate::projection_contract) progress: Progress,
}

/// Work that moves the checkpoint here, with a witness.
pub(in crate::projection_contract) fn work(position: u64) -> Work {
    Work::default().to(checkpoint(position))
}

impl Work {
    pub(in crate::projection_contract) fn to(mut self, checkpoint: Checkpoint) -> Self {
        self.progress.checkpoint = checkpoint;
        self
    }

    pub(in crate::projection_contract) fn put(
        mut self,
        of: impl AsRef<str>,
        body: impl Into<String>,
    ) -> Self {
        let (key, body) = (key(of), body.into());
        // Numbers beyond `f64` and lone surrogates are JSON as well, so it is not parsed into a value.
        let json = serde_json::from_str::<serde::de::IgnoredAny>(&body);
        assert!(
            json.is_ok(),
            "the suite puts JSON only, and not {body:.100}"
        );
        let body = Some(body);
        self.changes.push(DocumentChange { key, body });
        self
    }

    pub(in crate::projection_contract) fn delete(mut self, of: impl AsRef<str>) -> Self {
        let key = key(of);
        self.changes.push(DocumentChange { key, body: None });
        self
    }

    pub(in crate::projection_contract) fn bury(mut self, letter: &DeadLetter) -> Self {
        self.letters.push(letter.clone());
        self
    }

    pub(in crate::projection_contract) fn revive(mut self, position: u64) -> Self {
        self.revived.push(position);
        self
    }

    pub(in crate::projection_contract) fn activate(mut self) -> Self {
        self.progress.activate = true;
        self
    }

    /// All but the commit.
    pub(in crate::projection_contract) async fn in_unit<U: UnitOfWork>(
        &self,
        unit: &mut U,
    ) -> Result<(), ProjectionStoreError> {
        if !self.changes.is_empty() {
            unit.put(self.changes.clone()).await?;
        }
        if !self.letters.is_empty() {
            unit.bury(self.letters.clone()).await?;
        }
        for position in &self.revived {
            unit.revive(at(*position)).await?;
        }
        Ok(())
    }

    async fn once<S: ProjectionStore>(
        &self,
        store: &S,
        lease: &Lease,
    ) -> Result<(), ProjectionStoreError> {
        let mut unit = store.begin(lease).await?;
        self.in_unit(&mut unit).await?;
        unit.commit(self.progress).await
    }
}

/// A whole unit, from the beginning again while the store says that it is busy.
pub(in crate::projection_contract) async fn try_commit<S: ProjectionStore>(
    store: &S,
    lease: &Lease,
    work: &Work,
) -> Result<(), ProjectionStoreError> {
    patiently!(work.once(store, lease))
}

pub(in crate::projection_contract) async fn commit<S: ProjectionStore>(
    store: &S,
    lease: &Lease,
    work: &Work,
) {
    if let Err(error) = try_commit(store, lease, work).await {
        panic!("nobody replaced {lease:?}, so its unit commits, and it met {error} ({error:?})");
    }
}

/// A unit that nothing stands against.
pub(in crate::projection_contract) async fn begin<S: ProjectionStore>(
    store: &S,
    lease: &Lease,
) -> S::Unit {
    patiently!(store.begin(lease))
        .unwrap_or_else(|error| panic!("nobody replaced {lease:?}, so a unit begins: {error:?}"))
}

/// Checks that somebody who was replaced is told so, with the right names.
pub(in crate::projection_contract) fn must_be_fenced(
    outcome: Result<(), ProjectionStoreError>,
    lease: &Lease,
    why: &str,
) {
    match outcome {
        Err(ProjectionStoreError::Fenced {
            projection,
            partition,
            epoch,
        }) => assert_eq!(
            (&projection, partition, epoch),
            (&lease.projection, lease.partition, lease.epoch),
            "{why}: the error names what was fenced"
        ),
        outcome => panic!("{why}: promised `Fenced` for {lease:?}, got {outcome:?}"),
    }
}
