//! A page of events: applied together, and in smaller parts where one of them fails.

use super::Lead;
use crate::{
    EventStore, RecordedEvent, Timestamp,
    projection::{
        Checkpoint, DeadLetter, Fate, Progress, ProjectionError, ProjectionState, ProjectionStore,
        ProjectionStoreError, UnitOfWork, Witness,
        caught::caught,
        failure::Then,
        leader::{Ended, with_sources},
        work::{Blame, Failed, Work},
    },
    store::{Page, StoreErrorKind},
};

/// The longest text of an error that is kept with a letter, in characters.
pub(super) const LONGEST_ERROR: usize = 2000;

/// Why events were not committed.
pub(super) enum Setback {
    Event(Blame),
    Ended(Ended),
}

impl From<Failed> for Setback {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Event(blame) => Self::Event(blame),
            Failed::Store(error) => Self::Ended(error.into()),
        }
    }
}

impl<E: Into<Ended>> From<E> for Setback {
    fn from(error: E) -> Self {
        Self::Ended(error.into())
    }
}

impl<W, S, V> Lead<'_, W, S, V>
where
    W: Work<V::Unit>,
    S: EventStore + Clone + 'static,
    V: ProjectionStore + Clone,
{
    /// Applies a page.
    pub(super) async fn page(&mut self, page: Page) -> Result<(), Ended> {
        let events = &page.events;
        let (mut at, mut size) = (0, usize::MAX);
        while at < events.len() {
            // Attempts that fail renew nothing, and may take long.
            self.renew().await?;
            let end = at.saturating_add(size).min(events.len());
            match self.attempt(&events[at..end]).await {
                Ok(()) => at = end,
                Err(Setback::Ended(ended)) => return Err(ended),
                // Those before the one that is to blame; or half of them, to find it.
                Err(Setback::Event(blame)) if end - at > 1 => {
                    self.show_trouble(&blame);
                    size = blame.index.map_or((end - at) / 2, |index| index.max(1));
                }
                Err(Setback::Event(blame)) => {
                    self.one(&events[at], blame).await?;
                    at += 1;
                    size = usize::MAX;
                }
            }
        }
        if page.next > self.checkpoint.position {
            // What lies behind the last event that concerns it is saved when there is time.
            self.checkpoint.position = page.next;
            self.unsaved = true;
        }
        if page.at_end {
            self.at_end();
            self.activate().await?;
        }
        self.show_page(&page);
        Ok(())
    }

    /// Applies events in one transaction. Those of a stream that waits, wait too.
    async fn attempt(&mut self, events: &[RecordedEvent]) -> Result<(), Setback> {
        let Some(last) = events.last() else {
            return Ok(());
        };
        let mut unit = self.begin().await?;
        let behind = self.letters.behind(events);
        let applied = if behind.is_empty() {
            self.guarded(&mut unit, events).await
        } else {
            let left = |at: &usize| behind.binary_search(at).is_err();
            let left: Vec<usize> = (0..events.len()).filter(left).collect();
            let some: Vec<RecordedEvent> = left.iter().map(|&at| events[at].clone()).collect();
            let applied = self.guarded(&mut unit, &some).await;
            applied.map_err(|failed| match failed {
                Failed::Event(blame) => Failed::Event(Blame {
                    index: blame.index.and_then(|index| left.get(index).copied()),
                    ..blame
                }),
                Failed::Store(error) => Failed::Store(error),
            })
        };
        if let Err(failed) = applied {
            drop(unit);
            self.leader.work.settled(false);
            return Err(failed.into());
        }
        let behind: Vec<DeadLetter> = behind
            .into_iter()
            .map(|at| self.letter(&events[at], Fate::Behind, 0, ""))
            .collect();
        if !behind.is_empty() {
            unit.bury(behind.clone()).await?;
        }
        match self.commit(unit, self.after(last), false).await {
            Err(Ended::Again(error)) if is_the_events_fault(&error) => {
                return Err(Failed::passing(None, error).into());
            }
            committed => committed?,
        }
        self.letters.add(&behind);
        Ok(())
    }

    /// Tries one event again as the policy says, and then does with it what the policy says.
    async fn one(&mut self, event: &RecordedEvent, first: Blame) -> Result<(), Ended> {
        let (mut blame, mut attempts) = (first, 1);
        while let Some(wait) = self.wait_before(&blame, attempts) {
            self.show_trouble(&blame);
            self.pause(wait).await?;
            match self.attempt(std::slice::from_ref(event)).await {
                Ok(()) => return Ok(()),
                Err(Setback::Ended(ended)) => return Err(ended),
                Err(Setback::Event(next)) => (blame, attempts) = (next, attempts + 1),
            }
        }
        let fate = match self.leader.settings.policy.then {
            Then::Stop => {
                return Err(Ended::Failed(ProjectionError::Apply {
                    projection: self.lease.projection.clone(),
                    position: event.position(),
                    stream: event.stream().clone(),
                    event: event.id(),
                    attempts,
                    source: blame.error,
                }));
            }
            Then::Skip => Fate::Skipped,
            Then::Park { .. } => Fate::Parked,
        };
        let letter = self.letter(event, fate, attempts, &with_sources(&*blame.error));
        tracing::error!(projection = %self.lease.projection, position = %event.position(), stream = %event.stream(),
            fate = fate.as_str(), error = letter.error, "an event was put aside");
        let mut unit = self.begin().await?;
        unit.bury(vec![letter.clone()]).await?;
        self.commit(unit, self.after(event), false).await?;
        self.letters.add(&[letter]);
        Ok(())
    }

    /// How long to wait before an event is tried once more, if it is.
    pub(super) fn wait_before(&self, blame: &Blame, attempts: u32) -> Option<std::time::Duration> {
        let retry = &self.leader.settings.policy.retry;
        let wait = retry.wait_after(attempts, fastrand::f64());
        wait.filter(|_| blame.passing)
    }

    pub(super) fn letter(
        &self,
        event: &RecordedEvent,
        fate: Fate,
        attempts: u32,
        error: &str,
    ) -> DeadLetter {
        DeadLetter {
            position: event.position(),
            partition: self.lease.partition,
            stream: event.stream().clone(),
            event: event.id(),
            fate,
            attempts,
            error: error.chars().take(LONGEST_ERROR).collect(),
            at: Timestamp::now(),
        }
    }

    /// A transaction, with the projection's preparation in it if it is the first.
    pub(super) async fn begin(&mut self) -> Result<V::Unit, Ended> {
        let mut unit = self.leader.views.begin(&self.lease).await?;
        if self.first {
            let prepared = caught(self.leader.work.prepare(&mut unit)).await;
            if let Err(source) = prepared.unwrap_or_else(|panic| Err(panic.into())) {
                if let Some(trouble) = source.downcast_ref::<ProjectionStoreError>() {
                    return Err(trouble.clone().into());
                }
                return Err(Ended::Failed(ProjectionError::Prepare {
                    projection: self.lease.projection.clone(),
                    source,
                }));
            }
        }
        Ok(unit)
    }

    /// The place after an event. It never goes back, also where a changed filter lets older events through.
    fn after(&self, event: &RecordedEvent) -> Checkpoint {
        Checkpoint {
            position: event.position().max(self.checkpoint.position),
            witness: Some(Witness {
                position: event.position(),
                id: event.id(),
            }),
        }
    }

    pub(super) async fn commit(
        &mut self,
        unit: V::Unit,
        checkpoint: Checkpoint,
        activate: bool,
    ) -> Result<(), Ended> {
        let progress = Progress {
            checkpoint,
            activate,
        };
        let committed = unit.commit(progress).await;
        self.leader.work.settled(committed.is_ok());
        committed?;
        self.checkpoint = checkpoint;
        (self.first, self.unsaved, self.moved) = (false, false, true);
        self.renewed = tokio::time::Instant::now();
        Ok(())
    }

    /// Applies events; a panic, and taking too long, are failures.
    pub(super) async fn guarded(
        &mut self,
        unit: &mut V::Unit,
        events: &[RecordedEvent],
    ) -> Result<(), Failed> {
        let limit = self.leader.settings.apply_timeout;
        let work = caught(self.leader.work.apply(unit, &self.lease, events));
        match tokio::time::timeout(limit, work).await {
            Ok(Ok(applied)) => applied,
            Ok(Err(panic)) => Err(Failed::passing(None, panic)),
            Err(_) => Err(Failed::passing(
                None,
                format!("it took longer than {limit:?}"),
            )),
        }
    }

    fn show_trouble(&self, blame: &Blame) {
        let position = self.checkpoint.position;
        self.leader.tell(|status| {
            status.position = position;
            status.state = ProjectionState::Failing;
            status.last_error = Some(with_sources(&*blame.error));
        });
    }
}

/// Whether a commit was refused for what is in it, a constraint of the application's say: neither the store nor the lease
/// will be better the next time.
fn is_the_events_fault(error: &ProjectionError) -> bool {
    matches!(error, ProjectionError::Store(ProjectionStoreError::Store(cause))
        if cause.kind() == StoreErrorKind::Other)
}
