//! Events that were put aside, and how they are tried again.

use std::collections::{BTreeMap, HashSet};

use super::{Lead, apply::Setback};
use crate::{
    EventStore, GlobalPosition, RecordedEvent, StreamId,
    projection::{
        DeadLetter, Fate, ProjectionStore, UnitOfWork,
        failure::Then,
        leader::{Ended, with_sources},
        work::{Failed, Work},
    },
};

/// The letters of one partition that wait, by position.
#[derive(Debug, Default)]
pub(super) struct Letters {
    waiting: BTreeMap<GlobalPosition, DeadLetter>,
    /// Streams whose later events wait too.
    blocked: HashSet<StreamId>,
    in_order: bool,
}

impl Letters {
    pub(super) fn new(then: Then, waiting: Vec<DeadLetter>) -> Self {
        let mut letters = Self {
            in_order: matches!(then, Then::Park { in_order: true }),
            ..Self::default()
        };
        letters.add(waiting);
        letters
    }

    pub(super) fn add(&mut self, letters: impl IntoIterator<Item = DeadLetter>) {
        for letter in letters {
            if letter.fate.is_waiting() {
                if self.in_order {
                    self.blocked.insert(letter.stream.clone());
                }
                self.waiting.insert(letter.position, letter);
            }
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.waiting.len() as u64
    }

    /// The places of those events whose stream waits.
    pub(super) fn behind(&self, events: &[RecordedEvent]) -> Vec<usize> {
        if self.blocked.is_empty() {
            return Vec::new();
        }
        let waits = |at: &usize| self.blocked.contains(events[*at].stream());
        (0..events.len()).filter(waits).collect()
    }
}

impl<W, S, V> Lead<'_, W, S, V>
where
    W: Work<V::Unit>,
    S: EventStore + Clone + 'static,
    V: ProjectionStore + Clone,
{
    /// Reads which letters wait.
    pub(super) async fn open_letters(&mut self) -> Result<Vec<DeadLetter>, Ended> {
        let mut unit = self.leader.views.begin(&self.lease).await?;
        let waiting = unit.waiting().await?;
        self.letters = Letters::new(self.leader.settings.policy.then, waiting.clone());
        Ok(waiting)
    }

    /// Tries the letters that somebody asked to have tried again, in order.
    pub(super) async fn replay_letters(&mut self) -> Result<(), Ended> {
        if self.letters.len() == 0 {
            return Ok(());
        }
        let waiting = self.open_letters().await?;
        let mut stuck: HashSet<StreamId> = HashSet::new();
        let in_order = self.letters.in_order;
        for letter in waiting {
            let replay = letter.fate == Fate::Replaying;
            if in_order && stuck.contains(&letter.stream) {
                if replay {
                    self.put_back(letter, Fate::Behind, None).await?;
                }
                continue;
            }
            if !replay || !self.replay(letter.clone()).await? {
                stuck.insert(letter.stream);
            }
        }
        self.open_letters().await?;
        self.show();
        Ok(())
    }

    /// Whether the event of a letter is out of the way: applied, or given up.
    async fn replay(&mut self, letter: DeadLetter) -> Result<bool, Ended> {
        let Some(event) = self.event_at(letter.position).await? else {
            let text = "the log has no such event any more";
            self.put_back(letter, Fate::Parked, Some(text.into()))
                .await?;
            return Ok(false);
        };
        let mut attempts = 0;
        let blame = loop {
            attempts += 1;
            let blame = match self.revive(&event).await {
                Ok(()) => return Ok(true),
                Err(Setback::Ended(ended)) => return Err(ended),
                Err(Setback::Event(blame)) => blame,
            };
            match self.wait_before(&blame, attempts) {
                Some(wait) => self.pause(wait).await?,
                None => break blame,
            }
        };
        let fate = match self.leader.settings.policy.then {
            Then::Skip => Fate::Skipped,
            Then::Stop | Then::Park { .. } => Fate::Parked,
        };
        let attempts = letter.attempts.saturating_add(attempts);
        let letter = DeadLetter { attempts, ..letter };
        self.put_back(letter, fate, Some(with_sources(&*blame.error)))
            .await?;
        Ok(fate == Fate::Skipped)
    }

    /// Applies the event of a letter and removes the letter, in one transaction.
    async fn revive(&mut self, event: &RecordedEvent) -> Result<(), Setback> {
        let mut unit = self.begin().await?;
        let applied = self.guarded(&mut unit, std::slice::from_ref(event)).await;
        if let Err(failed) = applied {
            drop(unit);
            self.leader.work.settled(false);
            return Err(match failed {
                Failed::Event(blame) => Setback::Event(blame),
                Failed::Store(error) => error.into(),
            });
        }
        unit.revive(event.position()).await?;
        self.commit(unit, self.checkpoint, false).await?;
        Ok(())
    }

    async fn put_back(
        &mut self,
        letter: DeadLetter,
        fate: Fate,
        error: Option<String>,
    ) -> Result<(), Ended> {
        let error = error.unwrap_or(letter.error);
        let letter = DeadLetter {
            fate,
            error,
            ..letter
        };
        let mut unit = self.begin().await?;
        unit.bury(vec![letter]).await?;
        self.commit(unit, self.checkpoint, false).await
    }
}
