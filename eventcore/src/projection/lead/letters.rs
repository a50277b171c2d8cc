//! Events that were put aside, and how they are tried again.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use super::{
    Lead,
    apply::{LONGEST_ERROR, Setback},
};
use crate::{
    EventStore, RecordedEvent, StreamId, Timestamp,
    projection::{
        DeadLetter, Fate, ProjectionStore, UnitOfWork,
        failure::Then,
        leader::{Ended, with_sources},
        work::Work,
    },
};

/// How long events may wait while letters are tried.
const AT_A_TIME: Duration = Duration::from_millis(200);

/// What is to be known of the letters that wait in a partition.
#[derive(Debug, Default)]
pub(super) struct Letters {
    waiting: u64,
    /// Streams whose later events wait too.
    blocked: HashSet<StreamId>,
    in_order: bool,
}

impl Letters {
    pub(super) fn new(then: Then, waiting: &[DeadLetter]) -> Self {
        let mut letters = Self {
            // Letters that were parked in order keep it also under a policy that parks none.
            in_order: !matches!(then, Then::Park { in_order: false }),
            ..Self::default()
        };
        letters.add(waiting);
        letters
    }

    pub(super) fn add(&mut self, letters: &[DeadLetter]) {
        for letter in letters.iter().filter(|letter| letter.fate.is_waiting()) {
            self.waiting += 1;
            if self.in_order {
                self.blocked.insert(letter.stream.clone());
            }
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.waiting
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
        self.letters = Letters::new(self.leader.settings.policy.then, &waiting);
        Ok(waiting)
    }

    /// Tries the letters that somebody asked to have tried again, in order, for a while; says whether that was all.
    pub(super) async fn replay_letters(&mut self) -> Result<bool, Ended> {
        if self.letters.len() == 0 {
            return Ok(true);
        }
        let waiting = self.open_letters().await?;
        let end = Instant::now() + AT_A_TIME;
        let (mut tried, mut all) = (false, true);
        let mut stuck: HashSet<StreamId> = HashSet::new();
        let in_order = self.letters.in_order;
        for letter in waiting {
            if Instant::now() >= end {
                all = false;
                break;
            }
            let replay = letter.fate == Fate::Replaying;
            if in_order && stuck.contains(&letter.stream) {
                if replay {
                    tried = true;
                    self.put_back(letter, Fate::Behind, None).await?;
                }
                continue;
            }
            // An event that came after the letters of its stream were marked is behind nothing once they are done.
            let freed = in_order && letter.fate == Fate::Behind;
            tried |= replay || freed;
            if !(replay || freed) || !self.replay(letter.clone()).await? {
                stuck.insert(letter.stream);
            }
        }
        if tried {
            self.open_letters().await?;
            self.show();
        }
        Ok(all)
    }

    /// Whether the event of a letter is out of the way: applied, or given up.
    async fn replay(&mut self, letter: DeadLetter) -> Result<bool, Ended> {
        let event = self.event_at(letter.position).await?;
        let Some(event) = event.filter(|event| event.id() == letter.event) else {
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
        let at = Timestamp::now();
        let letter = DeadLetter {
            attempts,
            at,
            ..letter
        };
        let error = with_sources(&*blame.error);
        let error = error.chars().take(LONGEST_ERROR).collect();
        self.put_back(letter, fate, Some(error)).await?;
        Ok(fate == Fate::Skipped)
    }

    /// Applies the event of a letter and removes the letter, in one transaction.
    async fn revive(&mut self, event: &RecordedEvent) -> Result<(), Setback> {
        let mut unit = self.begin().await?;
        let applied = self.guarded(&mut unit, std::slice::from_ref(event)).await;
        if let Err(failed) = applied {
            drop(unit);
            self.leader.work.settled(false);
            return Err(failed.into());
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
