//! A store of projections whose caller can be stopped, for a while or for ever, at any of its awaits.

use std::{
    fmt,
    future::{Future, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    task::Poll,
};

use async_trait::async_trait;
use eventcore::{
    GlobalPosition,
    projection::{
        Claim, Claimed, DeadLetter, DocumentChange, DocumentKey, DocumentQuery, Lease, Progress,
        ProjectionId, ProjectionName, ProjectionStore, ProjectionStoreError, RawDocument, Standing,
        UnitOfWork,
    },
    store::{StoreError, StoreErrorKind},
};
use tokio::sync::watch;

/// What a caller is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::following) enum Moment {
    Begin,
    Put,
    Commit,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Open,
    Shut(Moment),
    SleepingAt(Moment),
}

/// What happens to the callers of a watched store.
#[derive(Debug)]
pub(in crate::following) struct Watch {
    breaths: AtomicI64,
    /// How many operations of units fail yet because the store cannot be reached.
    outage: AtomicI64,
    died: watch::Sender<bool>,
    gate: watch::Sender<Gate>,
}

impl Watch {
    /// Nothing happens unless it is told to.
    pub(in crate::following) fn over() -> Arc<Self> {
        Self::dying_after(i64::MAX)
    }

    /// Callers die at this breath: they have one before each operation, one at each of its awaits, and one after it.
    pub(in crate::following) fn dying_after(breaths: i64) -> Arc<Self> {
        Arc::new(Self {
            breaths: AtomicI64::new(breaths),
            outage: AtomicI64::new(0),
            died: watch::Sender::new(false),
            gate: watch::Sender::new(Gate::Open),
        })
    }

    /// Resolves when a caller has died.
    pub(in crate::following) async fn died(&self) {
        let mut died = self.died.subscribe();
        let _ = died.wait_for(|died| *died).await;
    }

    /// Lets so many operations of units fail, as when the server restarts.
    pub(in crate::following) fn cut_off(&self, operations: i64) {
        self.outage.store(operations, SeqCst);
    }

    fn reach(&self) -> Outcome<()> {
        if self.outage.fetch_sub(1, SeqCst) <= 0 {
            self.outage.store(0, SeqCst);
            return Ok(());
        }
        let text = "the suite has cut the store off";
        Err(StoreError::new("use a unit", StoreErrorKind::Unavailable, text).into())
    }

    /// Puts the next caller to sleep that comes to this moment.
    pub(in crate::following) fn put_to_sleep_at(&self, moment: Moment) {
        self.gate.send_replace(Gate::Shut(moment));
    }

    /// Resolves when somebody sleeps.
    pub(in crate::following) async fn asleep(&self) {
        let mut gate = self.gate.subscribe();
        let _ = gate
            .wait_for(|gate| matches!(gate, Gate::SleepingAt(_)))
            .await;
    }

    pub(in crate::following) fn wake(&self) {
        self.gate.send_replace(Gate::Open);
    }

    async fn pass_gate(&self, moment: Moment) {
        let sleeps = self.gate.send_if_modified(|gate| {
            let sleeps = *gate == Gate::Shut(moment);
            if sleeps {
                *gate = Gate::SleepingAt(moment);
            }
            sleeps
        });
        if sleeps {
            let mut gate = self.gate.subscribe();
            let _ = gate.wait_for(|gate| *gate == Gate::Open).await;
        }
    }

    /// Whether this was not the last breath.
    fn breathes(&self) -> bool {
        let alive = self.breaths.fetch_sub(1, SeqCst) > 1;
        if !alive {
            self.breaths.store(0, SeqCst);
            self.died.send_replace(true);
        }
        alive
    }

    async fn breath(&self) {
        if !self.breathes() {
            std::future::pending::<()>().await;
        }
    }

    /// Does what the caller wants, as far as it lives.
    async fn pass<T>(&self, moment: Moment, work: impl Future<Output = T> + Send) -> T {
        self.pass_gate(moment).await;
        self.breath().await;
        let mut work = Some(Box::pin(work));
        let result = poll_fn(|cx| {
            let Some(working) = &mut work else {
                return Poll::Pending;
            };
            let polled = working.as_mut().poll(cx);
            if polled.is_pending() && !self.breathes() {
                // What was under way is dropped, as with the process.
                work = None;
            }
            polled
        })
        .await;
        drop(work);
        self.breath().await;
        result
    }
}

/// A store of projections under a [`Watch`].
pub(in crate::following) struct Watched<V> {
    views: Arc<V>,
    watch: Arc<Watch>,
}

impl<V> Watched<V> {
    pub(in crate::following) fn new(views: &Arc<V>, watch: &Arc<Watch>) -> Arc<Self> {
        let (views, watch) = (Arc::clone(views), Arc::clone(watch));
        Arc::new(Self { views, watch })
    }
}

impl<V> fmt::Debug for Watched<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("watch", &self.watch)
            .finish_non_exhaustive()
    }
}

/// A unit under a [`Watch`].
pub(in crate::following) struct WatchedUnit<U> {
    unit: U,
    watch: Arc<Watch>,
}

type Outcome<T> = Result<T, ProjectionStoreError>;

#[async_trait]
impl<V: ProjectionStore> ProjectionStore for Watched<V> {
    type Unit = WatchedUnit<V::Unit>;

    async fn claim(&self, claim: &Claim) -> Outcome<Claimed> {
        self.watch
            .pass(Moment::Other, self.views.claim(claim))
            .await
    }
    async fn renew(&self, lease: &Lease) -> Outcome<()> {
        self.watch
            .pass(Moment::Other, self.views.renew(lease))
            .await
    }
    async fn release(&self, lease: &Lease) -> Outcome<()> {
        self.watch
            .pass(Moment::Other, self.views.release(lease))
            .await
    }
    async fn begin(&self, lease: &Lease) -> Outcome<Self::Unit> {
        let unit = self
            .watch
            .pass(Moment::Begin, self.views.begin(lease))
            .await?;
        let watch = Arc::clone(&self.watch);
        Ok(WatchedUnit { unit, watch })
    }
    async fn standings(&self, name: &ProjectionName) -> Outcome<Vec<Standing>> {
        self.watch
            .pass(Moment::Other, self.views.standings(name))
            .await
    }
    async fn names(&self) -> Outcome<Vec<ProjectionName>> {
        self.views.names().await
    }
    async fn dead_letters(
        &self,
        projection: &ProjectionId,
        after: GlobalPosition,
        limit: usize,
    ) -> Outcome<Vec<DeadLetter>> {
        self.views.dead_letters(projection, after, limit).await
    }
    async fn replay(&self, projection: &ProjectionId) -> Outcome<u64> {
        self.views.replay(projection).await
    }
    async fn reset(&self, projection: &ProjectionId) -> Outcome<()> {
        self.views.reset(projection).await
    }
    async fn remove(&self, projection: &ProjectionId) -> Outcome<()> {
        self.views.remove(projection).await
    }
    async fn documents(
        &self,
        name: &ProjectionName,
        keys: &[DocumentKey],
    ) -> Outcome<Vec<Option<String>>> {
        self.views.documents(name, keys).await
    }
    async fn query(
        &self,
        name: &ProjectionName,
        query: &DocumentQuery,
    ) -> Outcome<Vec<RawDocument>> {
        self.views.query(name, query).await
    }
}

#[async_trait]
impl<U: UnitOfWork> UnitOfWork for WatchedUnit<U> {
    async fn load(&mut self, keys: &[DocumentKey]) -> Outcome<Vec<Option<String>>> {
        self.watch.reach()?;
        self.watch.pass(Moment::Other, self.unit.load(keys)).await
    }
    async fn put(&mut self, changes: Vec<DocumentChange>) -> Outcome<()> {
        self.watch.reach()?;
        self.watch.pass(Moment::Put, self.unit.put(changes)).await
    }
    async fn waiting(&mut self) -> Outcome<Vec<DeadLetter>> {
        self.watch.reach()?;
        self.watch.pass(Moment::Other, self.unit.waiting()).await
    }
    async fn bury(&mut self, letters: Vec<DeadLetter>) -> Outcome<()> {
        self.watch.reach()?;
        self.watch
            .pass(Moment::Other, self.unit.bury(letters))
            .await
    }
    async fn revive(&mut self, position: GlobalPosition) -> Outcome<()> {
        self.watch.reach()?;
        self.watch
            .pass(Moment::Other, self.unit.revive(position))
            .await
    }
    async fn commit(self, progress: Progress) -> Outcome<()> {
        self.watch.reach()?;
        let Self { unit, watch } = self;
        watch.pass(Moment::Commit, unit.commit(progress)).await
    }
}
