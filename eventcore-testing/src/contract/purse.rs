//! The small domain of the clauses that run whole commands: value that moves between two purses.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::SeqCst},
};

use eventcore::prelude::*;

#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(prefix = "contract.purse")]
pub(super) enum PurseEvent {
    Moved { by: i64 },
}

#[derive(Clone, Debug, Default)]
pub(super) struct Purse {
    pub(super) sum: i64,
    pub(super) moves: u64,
}

impl Fold for Purse {
    type Event = PurseEvent;
    fn apply(&mut self, event: &StoredEvent<PurseEvent>) {
        let PurseEvent::Moved { by } = event.data();
        self.sum += by;
        self.moves += 1;
    }
}

/// Moves value; the two purses together hold nothing, always.
#[derive(Command)]
pub(super) struct Move {
    #[stream(fold = Purse)]
    pub(super) from: StreamId,
    #[stream(fold = Purse)]
    pub(super) to: StreamId,
    pub(super) by: i64,
}

impl CommandLogic for Move {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        let (from, to) = (streams.from.state().sum, streams.to.state().sum);
        require!(from + to == 0, "saw {from} and {to}");
        emit!(events, streams.from => PurseEvent::Moved { by: -self.by });
        emit!(events, streams.to => PurseEvent::Moved { by: self.by });
        Ok(())
    }
}

/// Only looks at both purses; rejects when value is missing.
#[derive(Command)]
pub(super) struct Audit {
    #[stream(fold = Purse, read_only)]
    pub(super) one: StreamId,
    #[stream(fold = Purse, read_only)]
    pub(super) two: StreamId,
}

impl CommandLogic for Audit {
    fn handle(&self, streams: &Streams<Self>, _: &mut NewEvents<Self>) -> Result<(), CommandError> {
        let (one, two) = (streams.one.state().sum, streams.two.state().sum);
        require!(one + two == 0, "saw {one} and {two}");
        Ok(())
    }
}

/// Adds one to a purse, and counts how often it decided.
#[derive(Command)]
pub(super) struct Add {
    #[stream(fold = Purse)]
    pub(super) purse: StreamId,
    pub(super) decided: Arc<Decided>,
}

/// How often a command decided; no part of what the command is.
#[derive(Debug, Default)]
pub(super) struct Decided(AtomicU32);

impl Decided {
    pub(super) fn times(&self) -> u32 {
        self.0.load(SeqCst)
    }
}

impl Add {
    pub(super) fn to(purse: &StreamId) -> Self {
        Self::counted(purse, &Arc::default())
    }

    pub(super) fn counted(purse: &StreamId, decided: &Arc<Decided>) -> Self {
        Self {
            purse: purse.clone(),
            decided: Arc::clone(decided),
        }
    }
}

impl CommandLogic for Add {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        self.decided.0.fetch_add(1, SeqCst);
        emit!(events, streams.purse => PurseEvent::Moved { by: 1 });
        Ok(())
    }
}
