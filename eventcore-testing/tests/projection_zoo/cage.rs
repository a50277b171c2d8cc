//! What every specimen has: a healthy memory store inside, and the operation that it gets wrong.

use std::{collections::HashMap, sync::Arc, sync::Mutex, time::Duration};

use async_trait::async_trait;
use eventcore::{
    GlobalPosition,
    projection::{
        Checkpoint, Claim, Claimed, DeadLetter, DocumentChange, DocumentKey, DocumentQuery, Lease,
        Progress, ProjectionId, ProjectionName, ProjectionStore, ProjectionStoreError, RawDocument,
        Standing, UnitOfWork,
    },
    store::{StoreError, StoreErrorKind},
};
use eventcore_memory::{InMemoryProjections, InMemoryUnit};

pub(crate) type Inner = InMemoryProjections;
pub(crate) type Outcome<T> = Result<T, ProjectionStoreError>;

/// A healthy unit, with what it was told.
pub(crate) struct Open {
    pub(crate) unit: InMemoryUnit,
    pub(crate) lease: Lease,
    pub(crate) changes: Vec<DocumentChange>,
    pub(crate) letters: Vec<DeadLetter>,
}

/// A store that is healthy but for what it overrides.
#[async_trait]
pub(crate) trait Specimen: Default + Send + Sync + 'static {
    /// Whether every operation waits a little, before and after.
    const WAITS: bool = false;

    /// The healthy store inside.
    fn inner(&self) -> &Inner;

    async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
        self.inner().claim(claim).await
    }
    async fn renew(&self, lease: &Lease) -> Outcome<()> {
        self.inner().renew(lease).await
    }
    async fn release(&self, lease: &Lease) -> Outcome<()> {
        self.inner().release(lease).await
    }
    async fn begin(&self, lease: &Lease) -> Outcome<InMemoryUnit> {
        self.inner().begin(lease).await
    }
    async fn standings(&self, name: &ProjectionName) -> Outcome<Vec<Standing>> {
        self.inner().standings(name).await
    }
    async fn names(&self) -> Outcome<Vec<ProjectionName>> {
        self.inner().names().await
    }
    async fn dead_letters(
        &self,
        projection: &ProjectionId,
        after: GlobalPosition,
        limit: usize,
    ) -> Outcome<Vec<DeadLetter>> {
        self.inner().dead_letters(projection, after, limit).await
    }
    async fn replay(&self, projection: &ProjectionId) -> Outcome<u64> {
        self.inner().replay(projection).await
    }
    async fn reset(&self, projection: &ProjectionId) -> Outcome<()> {
        self.inner().reset(projection).await
    }
    async fn remove(&self, projection: &ProjectionId) -> Outcome<()> {
        self.inner().remove(projection).await
    }
    async fn documents(
        &self,
        name: &ProjectionName,
        keys: &[DocumentKey],
    ) -> Outcome<Vec<Option<String>>> {
        self.inner().documents(name, keys).await
    }
    async fn query(
        &self,
        name: &ProjectionName,
        query: &DocumentQuery,
    ) -> Outcome<Vec<RawDocument>> {
        self.inner().query(name, query).await
    }

    async fn load(&self, open: &mut Open, keys: &[DocumentKey]) -> Outcome<Vec<Option<String>>> {
        open.unit.load(keys).await
    }
    async fn put(&self, open: &mut Open, changes: Vec<DocumentChange>) -> Outcome<()> {
        open.unit.put(changes).await
    }
    async fn waiting(&self, open: &mut Open) -> Outcome<Vec<DeadLetter>> {
        open.unit.waiting().await
    }
    async fn bury(&self, open: &mut Open, letters: Vec<DeadLetter>) -> Outcome<()> {
        open.unit.bury(letters).await
    }
    async fn revive(&self, open: &mut Open, position: GlobalPosition) -> Outcome<()> {
        open.unit.revive(position).await
    }
    async fn commit(&self, open: Open, progress: Progress) -> Outcome<()> {
        open.unit.commit(progress).await
    }
    /// A unit was dropped without a commit.
    fn dropped(&self, _: Open) {}
}

/// A specimen as a store.
pub(crate) struct Caged<S>(Arc<S>);

impl<S: Default> Default for Caged<S> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<S> Clone for Caged<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A unit of a specimen.
pub(crate) struct CagedUnit<S: Specimen> {
    specimen: Arc<S>,
    open: Option<Open>,
}

impl<S: Specimen> CagedUnit<S> {
    fn open(&mut self) -> &mut Open {
        self.open.as_mut().unwrap()
    }
}

impl<S: Specimen> Drop for CagedUnit<S> {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            self.specimen.dropped(open);
        }
    }
}

async fn wait<S: Specimen>() {
    if S::WAITS {
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

macro_rules! waiting {
    ($operation:expr) => {{
        wait::<S>().await;
        let outcome = $operation.await;
        wait::<S>().await;
        outcome
    }};
}

#[async_trait]
impl<S: Specimen> ProjectionStore for Caged<S> {
    type Unit = CagedUnit<S>;

    async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
        waiting!(self.0.claim(claim))
    }
    async fn renew(&self, lease: &Lease) -> Outcome<()> {
        waiting!(self.0.renew(lease))
    }
    async fn release(&self, lease: &Lease) -> Outcome<()> {
        waiting!(self.0.release(lease))
    }
    async fn begin(&self, lease: &Lease) -> Outcome<CagedUnit<S>> {
        let open = Open {
            unit: waiting!(self.0.begin(lease))?,
            lease: lease.clone(),
            changes: Vec::new(),
            letters: Vec::new(),
        };
        Ok(CagedUnit {
            specimen: Arc::clone(&self.0),
            open: Some(open),
        })
    }
    async fn standings(&self, name: &ProjectionName) -> Outcome<Vec<Standing>> {
        waiting!(self.0.standings(name))
    }
    async fn names(&self) -> Outcome<Vec<ProjectionName>> {
        waiting!(self.0.names())
    }
    async fn dead_letters(
        &self,
        projection: &ProjectionId,
        after: GlobalPosition,
        limit: usize,
    ) -> Outcome<Vec<DeadLetter>> {
        waiting!(self.0.dead_letters(projection, after, limit))
    }
    async fn replay(&self, projection: &ProjectionId) -> Outcome<u64> {
        waiting!(self.0.replay(projection))
    }
    async fn reset(&self, projection: &ProjectionId) -> Outcome<()> {
        waiting!(self.0.reset(projection))
    }
    async fn remove(&self, projection: &ProjectionId) -> Outcome<()> {
        waiting!(self.0.remove(projection))
    }
    async fn documents(
        &self,
        name: &ProjectionName,
        keys: &[DocumentKey],
    ) -> Outcome<Vec<Option<String>>> {
        waiting!(self.0.documents(name, keys))
    }
    async fn query(
        &self,
        name: &ProjectionName,
        query: &DocumentQuery,
    ) -> Outcome<Vec<RawDocument>> {
        waiting!(self.0.query(name, query))
    }
}

#[async_trait]
impl<S: Specimen> UnitOfWork for CagedUnit<S> {
    async fn load(&mut self, keys: &[DocumentKey]) -> Outcome<Vec<Option<String>>> {
        let specimen = Arc::clone(&self.specimen);
        waiting!(specimen.load(self.open(), keys))
    }
    async fn put(&mut self, changes: Vec<DocumentChange>) -> Outcome<()> {
        let specimen = Arc::clone(&self.specimen);
        waiting!(specimen.put(self.open(), changes.clone()))?;
        self.open().changes.extend(changes);
        Ok(())
    }
    async fn waiting(&mut self) -> Outcome<Vec<DeadLetter>> {
        let specimen = Arc::clone(&self.specimen);
        waiting!(specimen.waiting(self.open()))
    }
    async fn bury(&mut self, letters: Vec<DeadLetter>) -> Outcome<()> {
        let specimen = Arc::clone(&self.specimen);
        waiting!(specimen.bury(self.open(), letters.clone()))?;
        self.open().letters.extend(letters);
        Ok(())
    }
    async fn revive(&mut self, position: GlobalPosition) -> Outcome<()> {
        let specimen = Arc::clone(&self.specimen);
        waiting!(specimen.revive(self.open(), position))
    }
    async fn commit(mut self, progress: Progress) -> Outcome<()> {
        wait::<S>().await;
        let open = self.open.take().unwrap();
        let outcome = self.specimen.commit(open, progress).await;
        wait::<S>().await;
        outcome
    }
}

/// Nothing is wrong with this one: what the cage itself does is nothing.
#[derive(Default)]
pub(crate) struct Healthy {
    inner: Inner,
}

impl Specimen for Healthy {
    fn inner(&self) -> &Inner {
        &self.inner
    }
}

/// Nothing is wrong with this one either, but it waits as a database does.
#[derive(Default)]
pub(crate) struct Slow {
    inner: Inner,
}

impl Specimen for Slow {
    const WAITS: bool = true;

    fn inner(&self) -> &Inner {
        &self.inner
    }
}

/// The last lease of each partition, for those who go by it when they should not.
#[derive(Default)]
pub(crate) struct Latest(Mutex<HashMap<(ProjectionId, u32), Lease>>);

impl Latest {
    pub(crate) fn note(&self, claimed: &Claimed) {
        if let Claimed::Granted(lease) = claimed {
            let place = (lease.projection.clone(), lease.partition);
            self.0.lock().unwrap().insert(place, lease.clone());
        }
    }

    /// The lease that counts, whoever asks.
    pub(crate) fn of(&self, lease: &Lease) -> Lease {
        let place = (lease.projection.clone(), lease.partition);
        let latest = self.0.lock().unwrap().get(&place).cloned();
        latest.unwrap_or_else(|| lease.clone())
    }

    pub(crate) fn all(&self) -> Vec<Lease> {
        self.0.lock().unwrap().values().cloned().collect()
    }
}

/// Where a partition stands, without an opinion of the specimen.
pub(crate) async fn standing(inner: &Inner, lease: &Lease) -> Option<Standing> {
    let standings = inner.standings(&lease.projection.name).await.unwrap();
    let mut mine = standings
        .into_iter()
        .filter(|standing| standing.partition == lease.partition);
    mine.find(|standing| standing.projection == lease.projection)
}

pub(crate) async fn checkpoint(inner: &Inner, lease: &Lease) -> Checkpoint {
    standing(inner, lease)
        .await
        .map(|s| s.checkpoint)
        .unwrap_or_default()
}

/// A unit of its own that leaves the checkpoint where it is.
pub(crate) async fn write_at_once(
    inner: &Inner,
    lease: &Lease,
    changes: Vec<DocumentChange>,
    activate: bool,
) -> Outcome<()> {
    let checkpoint = checkpoint(inner, lease).await;
    let mut unit = inner.begin(lease).await?;
    unit.put(changes).await?;
    unit.commit(Progress {
        checkpoint,
        activate,
    })
    .await
}

/// All documents that readers see.
pub(crate) async fn all_documents(inner: &Inner, name: &ProjectionName) -> Vec<RawDocument> {
    let all = DocumentQuery::all().page(0, 10_000).unwrap();
    inner.query(name, &all).await.unwrap()
}

/// Lets every other task have a go.
pub(crate) async fn dawdle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// An error that no patience helps with.
pub(crate) fn broken(detail: &str) -> ProjectionStoreError {
    StoreError::new("specimen", StoreErrorKind::Closed, detail).into()
}

/// The usual head of a specimen: a struct with the healthy store and whatever else it has.
macro_rules! specimens {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* } => { $($item:item)* })*) => {$(
        $(#[$doc])*
        #[derive(Default)]
        pub(crate) struct $name {
            inner: Inner,
            $($field: $type,)*
        }

        #[async_trait]
        impl Specimen for $name {
            fn inner(&self) -> &Inner {
                &self.inner
            }
            $($item)*
        }
    )*};
}
pub(crate) use specimens;
