//! One partition of a running projection: waits to lead, leads, and waits again when it was replaced.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, watch},
    time::sleep,
};

use super::{
    Claim, Claimed, FailurePolicy, Owner, Partitions, ProjectionError, ProjectionId,
    ProjectionState, ProjectionStore, ProjectionStoreError, caught::caught, gauges, lead::Lead,
    status::PartitionStatus, work::Work,
};
use crate::{
    EventStore,
    store::{PageSize, ReadError, StoreError, StoreErrorKind},
};

/// What can be chosen.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) policy: FailurePolicy,
    pub(super) page_size: PageSize,
    pub(super) apply_timeout: Duration,
    pub(super) ttl: Duration,
    pub(super) poll_every: Duration,
    pub(super) gather: Duration,
    pub(super) label: String,
}

impl Default for Settings {
    fn default() -> Self {
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "process".into());
        Self {
            policy: FailurePolicy::default(),
            page_size: PageSize::default(),
            apply_timeout: Duration::from_secs(10),
            ttl: Duration::from_secs(15),
            poll_every: Duration::from_millis(100),
            gather: Duration::from_millis(4),
            label: format!("{host} {}", std::process::id()),
        }
    }
}

/// The longest wait between tries when a store is not there.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Leads a partition whenever nobody else does.
pub(super) struct Leader<W, S, V> {
    pub(super) work: W,
    pub(super) store: S,
    pub(super) views: V,
    pub(super) projection: ProjectionId,
    pub(super) partition: u32,
    pub(super) partitions: Partitions,
    pub(super) owner: Owner,
    pub(super) settings: Settings,
    /// As many as this process may lead.
    pub(super) places: Arc<Semaphore>,
    pub(super) status: watch::Sender<PartitionStatus>,
    pub(super) stopping: watch::Receiver<bool>,
}

/// Why leading ended.
pub(super) enum Ended {
    /// It was told to.
    Stopped,
    /// Somebody else leads.
    Replaced,
    /// Something that may pass.
    Again(ProjectionError),
    /// Something that will not.
    Failed(ProjectionError),
}

impl From<ProjectionStoreError> for Ended {
    fn from(error: ProjectionStoreError) -> Self {
        match &error {
            ProjectionStoreError::Fenced { .. } => Self::Replaced,
            ProjectionStoreError::Store(cause) if lasts(cause) => Self::Failed(error.into()),
            _ => Self::Again(error.into()),
        }
    }
}

impl From<ReadError> for Ended {
    fn from(error: ReadError) -> Self {
        match &error {
            ReadError::Store(cause) if !lasts(cause) => Self::Again(error.into()),
            _ => Self::Failed(error.into()),
        }
    }
}

/// Whether an error is there to stay, as far as anybody can tell. A full disk, say, may be emptied.
fn lasts(error: &StoreError) -> bool {
    matches!(
        error.kind(),
        StoreErrorKind::Corrupt
            | StoreErrorKind::Schema
            | StoreErrorKind::Access
            | StoreErrorKind::Closed
            | StoreErrorKind::Replaced
    )
}

impl<W, S, V> Leader<W, S, V> {
    /// Changes what is known about it, for whoever watches.
    pub(super) fn tell(&self, change: impl FnOnce(&mut PartitionStatus)) {
        self.status.send_modify(change);
        gauges::record(&self.projection, &self.status.borrow());
    }
}

/// Resolves when the projection is to stop.
pub(super) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // When the handle is gone, nobody can say so any more.
    let _ = stopping.wait_for(|stop| *stop).await;
}

impl<W, S, V> Leader<W, S, V>
where
    W: Work<V::Unit>,
    S: EventStore + Clone + 'static,
    V: ProjectionStore + Clone,
{
    pub(super) async fn run(mut self) -> Result<(), ProjectionError> {
        let result = caught(self.serve()).await.unwrap_or_else(|panic| {
            Err(ProjectionError::Stopped {
                projection: self.projection.clone(),
                reason: panic,
            })
        });
        self.tell(|status| match &result {
            Ok(()) => status.state = ProjectionState::Stopped,
            Err(error) => {
                status.state = ProjectionState::Failed;
                status.last_error = Some(with_sources(error));
            }
        });
        if let Err(error) = &result {
            tracing::error!(projection = %self.projection, partition = self.partition,
                error = with_sources(error), "the projection stopped");
        }
        result
    }

    async fn serve(&mut self) -> Result<(), ProjectionError> {
        let places = Arc::clone(&self.places);
        let mut failures = 0_u32;
        loop {
            let place = tokio::select! {
                biased;
                () = stopped(&mut self.stopping) => return Ok(()),
                place = places.acquire() => place,
            };
            let ended = match self.views.claim(&self.claim()).await {
                Ok(Claimed::Granted(lease)) => {
                    let mut lead = Lead::new(self, lease);
                    let ended = lead.run().await;
                    if lead.has_moved() {
                        failures = 0;
                    }
                    ended
                }
                Ok(Claimed::Held { owner, expires_in }) => {
                    self.stand_by(Some(owner), None);
                    drop(place);
                    failures = 0;
                    let often = (self.settings.ttl / 10).max(Duration::from_millis(10));
                    self.pause(expires_in.min(often)).await;
                    continue;
                }
                Ok(other) => {
                    self.stand_by(None, Some(describe(&other)));
                    drop(place);
                    self.pause(self.settings.ttl / 10).await;
                    continue;
                }
                Err(error) => Ended::from(error),
            };
            drop(place);
            match ended {
                Ended::Stopped => return Ok(()),
                Ended::Failed(error) => return Err(error),
                Ended::Replaced => self.stand_by(None, None),
                Ended::Again(error) => {
                    tracing::warn!(projection = %self.projection, partition = self.partition,
                        error = with_sources(&error), "the projection will be tried again");
                    self.tell(|status| {
                        status.state = ProjectionState::Failing;
                        status.last_error = Some(with_sources(&error));
                    });
                    failures = failures.saturating_add(1);
                    let wait = Duration::from_millis(20) * 2_u32.saturating_pow(failures.min(10));
                    self.pause(wait.min(LONGEST_WAIT).mul_f64(0.5 + fastrand::f64() / 2.0))
                        .await;
                }
            }
        }
    }

    fn claim(&self) -> Claim {
        Claim {
            projection: self.projection.clone(),
            partition: self.partition,
            partitions: self.partitions,
            owner: self.owner.clone(),
            ttl: self.settings.ttl,
        }
    }

    fn stand_by(&self, leader: Option<Owner>, error: Option<String>) {
        self.status.send_if_modified(|status| {
            let news = status.state != ProjectionState::StandingBy
                || status.leader != leader
                || status.last_error != error;
            status.state = ProjectionState::StandingBy;
            (status.leader, status.last_error, status.rate) = (leader, error, 0.0);
            news
        });
        gauges::record(&self.projection, &self.status.borrow());
    }

    async fn pause(&mut self, wait: Duration) {
        tokio::select! {
            () = stopped(&mut self.stopping) => {}
            () = sleep(wait) => {}
        }
    }
}

fn describe(claimed: &Claimed) -> String {
    match claimed {
        Claimed::Divided { partitions } => format!(
            "it is divided into {} partitions and somebody leads one of them",
            partitions.get()
        ),
        Claimed::LettersWait {
            partitions,
            waiting,
        } => format!(
            "it is divided into {0} partitions and cannot be divided anew while {waiting} dead letters wait; run it \
             with {0} partitions until they are gone",
            partitions.get()
        ),
        _ => "the claim was not granted".into(),
    }
}

/// An error with what is underneath, in one line.
pub(super) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        // Transparent errors say the same again.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}
