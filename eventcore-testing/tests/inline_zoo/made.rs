//! A store that runs models inline, made of a log and of units of work. It may have one defect.
//!
//! Log and documents are changed under one lock, which readers of the log take too, so that nobody sees the one without
//! the other.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use async_trait::async_trait;
use eventcore::{
    EventFilter, EventStore, GlobalPosition, RecordedEvent,
    projection::{
        Checkpoint, Claim, Claimed, DocumentChange, Inline, Partitions, Progress, ProjectionId,
        ProjectionStore, ProjectionStoreError, Standing, UnitOfWork, Witness,
    },
    store::{AppendError, PageSize, StoreError, StoreErrorKind},
};
use eventcore_memory::{InMemoryEventStore, InMemoryProjections, InMemoryUnit};
use eventcore_testing::inline_contract::Place;
use tokio::sync::Mutex;

use crate::handle::Handle;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    None,
    ComesLater,
    EventsFirst,
    DocumentsFirst,
    EventByEvent,
    LosesUpdates,
    ForgetsMetadata,
    KeepsRemoved,
    LeavesHalf,
    AppliesConflicts,
    AppliesRepeats,
    AppendsAnyway,
    HarmsNeighbours,
    OpensAtTheEnd,
    PassesOverOthers,
    LowBound,
    NoBound,
    TakesAnyLog,
    ClaimsNothing,
    PushesRunnersAside,
    BeginsAnew,
    AppendsWithoutIt,
    JoinsPartitions,
    ForgetsLetters,
    LeavesTheOldVersion,
    ModelByModel,
    RunsANameTwice,
    CountsTwice,
}

#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) events: InMemoryEventStore,
    views: InMemoryProjections,
    pub(crate) gate: Arc<Mutex<()>>,
    pub(crate) harmed: Arc<AtomicBool>,
    pub(crate) defect: Defect,
}

/// What is to be committed for one model.
pub(crate) struct Work {
    projection: ProjectionId,
    unit: InMemoryUnit,
    changes: Vec<DocumentChange>,
    checkpoint: Checkpoint,
}

pub(crate) fn other(text: impl Into<String>) -> StoreError {
    StoreError::new("append", StoreErrorKind::Other, text)
}

fn told(error: ProjectionStoreError) -> StoreError {
    match error {
        ProjectionStoreError::Store(error) => error,
        fenced => other(fenced.to_string()),
    }
}

fn claim(projection: &ProjectionId) -> Claim {
    Claim {
        projection: projection.clone(),
        partition: 0,
        partitions: Partitions::ONE,
        owner: Inline::owner(),
        ttl: Duration::from_hours(24 * 365 * 100),
    }
}

pub(crate) async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

impl Made {
    pub(crate) fn with(defect: Defect) -> Self {
        Self {
            events: InMemoryEventStore::new(),
            views: InMemoryProjections::new(),
            gate: Arc::default(),
            harmed: Arc::default(),
            defect,
        }
    }

    pub(crate) fn is(&self, defect: Defect) -> bool {
        self.defect == defect
    }

    pub(crate) async fn log(&self, after: GlobalPosition) -> Vec<RecordedEvent> {
        let (mut events, mut next) = (Vec::new(), after);
        loop {
            let size = PageSize::try_from(1000).unwrap();
            let page = self
                .events
                .read_all(next, &EventFilter::all(), size)
                .await
                .unwrap();
            events.extend(page.events);
            next = page.next;
            if page.at_end {
                return events;
            }
        }
    }

    pub(crate) async fn standing(&self, id: &ProjectionId) -> Option<Standing> {
        let standings = self.views.standings(&id.name).await.unwrap();
        standings
            .into_iter()
            .find(|standing| standing.projection == *id)
    }

    /// What a model makes of the events that it lacks and of these.
    pub(crate) async fn work(
        &self,
        model: &Inline,
        new: &[RecordedEvent],
    ) -> Result<Work, AppendError> {
        let claim = claim(model.id());
        let lease = match self.views.claim(&claim).await.map_err(told)? {
            Claimed::Granted(lease) => lease,
            Claimed::Held { owner, .. } => {
                return Err(other(format!("{owner} leads it; stop it first")).into());
            }
            refused => return Err(other(format!("{refused:?}")).into()),
        };
        let mut before = lease.checkpoint;
        if self.is(Defect::BeginsAnew) && new.is_empty() {
            before = Checkpoint::default();
        }
        let mut events = self.log(before.position).await;
        let bound = match self.defect {
            Defect::LowBound => 999,
            Defect::NoBound => usize::MAX,
            _ => 1000,
        };
        if events.len() > bound {
            let text = format!("it lacks {} events; let a runner catch up", events.len());
            return Err(other(text).into());
        }
        let skips = match self.defect {
            Defect::OpensAtTheEnd => new.is_empty(),
            Defect::PassesOverOthers => !new.is_empty(),
            _ => false,
        };
        if skips {
            before.position = events
                .last()
                .map_or(before.position, RecordedEvent::position);
            events.clear();
        }
        events.extend_from_slice(new);
        let mut unit = self.views.begin(&lease).await.map_err(told)?;
        let keys = model.keys(&events)?;
        let bodies = unit.load(&keys).await.map_err(told)?;
        let mut changes = model.fold(&events, keys.into_iter().zip(bodies))?;
        if self.is(Defect::KeepsRemoved) {
            changes.retain(|change| change.body.is_some());
        }
        let witness = events.iter().rfind(|event| model.filter().matches(event));
        let witness = witness.map(|event| Witness {
            position: event.position(),
            id: event.id(),
        });
        let mut position = events
            .last()
            .map_or(before.position, RecordedEvent::position);
        if self.is(Defect::CountsTwice) {
            // So the next append finds them missing.
            position = before.position;
        }
        Ok(Work {
            projection: model.id().clone(),
            unit,
            changes,
            checkpoint: Checkpoint {
                position,
                witness: witness.or(before.witness),
            },
        })
    }

    pub(crate) async fn settle(&self, work: Vec<Work>, activate: bool) {
        for Work {
            projection,
            mut unit,
            changes,
            checkpoint,
        } in work
        {
            if self.is(Defect::LosesUpdates) {
                // Whoever was faster is written over.
                let claimed = self.views.claim(&claim(&projection)).await.unwrap();
                if let Claimed::Granted(lease) = claimed {
                    unit = self.views.begin(&lease).await.unwrap();
                }
            }
            unit.put(changes).await.unwrap();
            let committed = unit
                .commit(Progress {
                    checkpoint,
                    activate,
                })
                .await;
            assert!(
                committed.is_ok() || self.is(Defect::LosesUpdates),
                "{committed:?}"
            );
            if self.is(Defect::ClaimsNothing) {
                self.views.give_back(&projection);
            }
        }
    }

    /// Whether a model may be run inline.
    async fn check(&self, model: &Inline) -> Result<(), StoreError> {
        let Some(standing) = self.standing(model.id()).await else {
            return Ok(());
        };
        if standing.partitions != Partitions::ONE && !self.is(Defect::JoinsPartitions) {
            return Err(other(format!(
                "it has {} partitions",
                standing.partitions.get()
            )));
        }
        if standing.waiting > 0 && !self.is(Defect::ForgetsLetters) {
            return Err(other("a letter waits; replay it"));
        }
        if let Some(witness) = standing.checkpoint.witness
            && !self.is(Defect::TakesAnyLog)
        {
            let log = self.log(GlobalPosition::START).await;
            if !log.iter().any(|event| event.id() == witness.id) {
                return Err(other("it is of another log; reset it"));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Place for Made {
    type Views = InMemoryProjections;

    async fn open(&self, models: Vec<Inline>) -> Result<Arc<dyn EventStore>, StoreError> {
        let _alone = self.gate.lock().await;
        for (place, model) in models.iter().enumerate() {
            let name = &model.id().name;
            let before = &models[..place];
            if before.iter().any(|other| other.id().name == *name)
                && !self.is(Defect::RunsANameTwice)
            {
                return Err(other(format!("{name} is run already")));
            }
            self.check(model).await?;
            if self.is(Defect::PushesRunnersAside)
                && let Some(standing) = self.standing(model.id()).await
                && standing
                    .leader
                    .is_some_and(|(owner, _)| owner != Inline::owner())
            {
                continue;
            }
            let work = self.work(model, &[]).await.map_err(|error| {
                self.views.give_back(model.id());
                match error {
                    AppendError::Store(error) => error,
                    refused => other("it lacks events that it cannot take").with_source(refused),
                }
            })?;
            self.settle(vec![work], !self.is(Defect::LeavesTheOldVersion))
                .await;
        }
        let made = self.clone();
        Ok(Arc::new(Handle::new(made, models)))
    }

    async fn views(&self) -> InMemoryProjections {
        self.views.clone()
    }

    async fn give_back(&self, projection: &ProjectionId) -> Result<(), StoreError> {
        self.views.give_back(projection);
        Ok(())
    }
}
