//! One transaction of a projection in memory.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use eventcore::{
    GlobalPosition,
    projection::{
        DeadLetter, DocumentChange, DocumentKey, Lease, Progress, ProjectionStoreError, UnitOfWork,
    },
    store::{StoreError, StoreErrorKind},
};
use tokio::time::Instant;

use super::{Shared, books::Changes};

/// One transaction of a projection in memory. Its changes are kept aside and made all at once by the commit.
pub struct InMemoryUnit<M = ()> {
    shared: Arc<Shared<M>>,
    lease: Lease,
    changes: Changes,
    /// The model as it was, and a copy to change.
    model: Option<(Arc<M>, M)>,
}

impl<M> fmt::Debug for InMemoryUnit<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemoryUnit")
            .field("lease", &self.lease)
            .field("changes", &self.changes)
            .finish_non_exhaustive()
    }
}

impl<M> InMemoryUnit<M> {
    pub(super) fn new(shared: Arc<Shared<M>>, lease: Lease) -> Self {
        Self {
            shared,
            lease,
            changes: Changes::default(),
            model: None,
        }
    }
}

impl<M: Clone + Default + Send + Sync + 'static> InMemoryUnit<M> {
    /// The model, to be changed: a copy of the one that readers see, in place of which it is put by the commit. Made once
    /// for each unit, so a large model wants large pages, or data structures that are cheap to copy. When two units change
    /// it at the same time, the second commit fails as busy, and its runner tries again.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use eventcore::projection::*;
    /// use std::collections::BTreeMap;
    ///
    /// use eventcore_memory::InMemoryProjections;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = InMemoryProjections::holding::<BTreeMap<String, i64>>();
    /// # let claim = Claim {
    /// #     projection: ProjectionId { name: ProjectionName::try_new("balances")?, version: 1 },
    /// #     partition: 0,
    /// #     partitions: Partitions::ONE,
    /// #     owner: Owner { id: uuid::Uuid::now_v7(), label: "doctest".into() },
    /// #     ttl: Duration::from_secs(10),
    /// # };
    /// # let Claimed::Granted(lease) = store.claim(&claim).await? else { unreachable!("nobody else is here") };
    /// let mut unit = store.begin(&lease).await?;
    /// unit.model()?.insert("account:1".to_owned(), 5);
    /// unit.commit(Progress::default()).await?;
    /// assert_eq!(store.model()["account:1"], 5);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ProjectionStoreError::Fenced`] when the lease was replaced, and an error when the model belongs to another
    /// projection.
    pub fn model(&mut self) -> Result<&mut M, ProjectionStoreError> {
        let (before, mine) = if let Some(model) = self.model.take() {
            model
        } else {
            self.shared.books().take_model(&self.lease)?;
            let before = self.shared.model();
            let mine = M::clone(&before);
            (before, mine)
        };
        Ok(&mut self.model.insert((before, mine)).1)
    }
}

#[async_trait]
impl<M: Clone + Default + Send + Sync + 'static> UnitOfWork for InMemoryUnit<M> {
    async fn load(
        &mut self,
        keys: &[DocumentKey],
    ) -> Result<Vec<Option<String>>, ProjectionStoreError> {
        let books = self.shared.books();
        let committed = &books.led(&self.lease)?.documents;
        let body = |key| match self.changes.documents.get(key) {
            Some(changed) => changed.clone(),
            None => committed.get(key).cloned(),
        };
        Ok(keys.iter().map(body).collect())
    }

    async fn put(&mut self, changes: Vec<DocumentChange>) -> Result<(), ProjectionStoreError> {
        let changes = changes.into_iter().map(|change| (change.key, change.body));
        self.changes.documents.extend(changes);
        Ok(())
    }

    async fn waiting(&mut self) -> Result<Vec<DeadLetter>, ProjectionStoreError> {
        let mut letters = self.shared.books().led(&self.lease)?.letters.clone();
        for (place, change) in &self.changes.letters {
            match change {
                Some(letter) => letters.insert(*place, letter.clone()),
                None => letters.remove(place),
            };
        }
        let mine = |letter: &DeadLetter| {
            letter.partition == self.lease.partition && letter.fate.is_waiting()
        };
        Ok(letters.into_values().filter(mine).collect())
    }

    async fn bury(&mut self, letters: Vec<DeadLetter>) -> Result<(), ProjectionStoreError> {
        let letters = letters
            .into_iter()
            .map(|letter| ((letter.position, letter.partition), Some(letter)));
        self.changes.letters.extend(letters);
        Ok(())
    }

    async fn revive(&mut self, position: GlobalPosition) -> Result<(), ProjectionStoreError> {
        let place = (position, self.lease.partition);
        self.changes.letters.insert(place, None);
        Ok(())
    }

    async fn commit(mut self, progress: Progress) -> Result<(), ProjectionStoreError> {
        let changes = std::mem::take(&mut self.changes);
        let mut books = self.shared.books();
        if let Some((before, _)) = &self.model
            && !Arc::ptr_eq(before, &self.shared.model())
        {
            books.led(&self.lease)?;
            let text = "another partition has changed the model meanwhile";
            return Err(StoreError::new("commit", StoreErrorKind::Busy, text).into());
        }
        books.commit(&self.lease, changes, progress, Instant::now())?;
        if let Some((_, mine)) = self.model.take() {
            self.shared.set_model(mine);
        }
        Ok(())
    }
}
