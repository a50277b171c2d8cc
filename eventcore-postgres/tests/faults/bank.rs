//! Commands that note what they see.

use eventcore::prelude::*;
use eventcore_testing::history::Recorded;

/// In every append's arguments, and in no other request: the type of its events.
pub(crate) const APPEND: &str = "coin.";

#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(prefix = "coin")]
pub(crate) enum CoinEvent {
    Paid { coins: i64 },
    Received { coins: i64 },
    LimitSet { debt: i64 },
}

#[derive(Clone, Default)]
pub(crate) struct Purse {
    coins: i64,
}

impl Fold for Purse {
    type Event = CoinEvent;
    fn apply(&mut self, event: &StoredEvent<CoinEvent>) {
        match event.data() {
            CoinEvent::Paid { coins } => self.coins -= coins,
            CoinEvent::Received { coins } => self.coins += coins,
            CoinEvent::LimitSet { .. } => {}
        }
    }
}

/// How deep in debt a purse may be.
#[derive(Clone)]
pub(crate) struct Limit {
    debt: i64,
}

impl Default for Limit {
    fn default() -> Self {
        Self { debt: 10 }
    }
}

impl Fold for Limit {
    type Event = CoinEvent;
    fn apply(&mut self, event: &StoredEvent<CoinEvent>) {
        if let CoinEvent::LimitSet { debt } = event.data() {
            self.debt = *debt;
        }
    }
}

fn seen<C, F, A>(view: &View<C, F, A>) -> (StreamId, StreamVersion) {
    (view.id().clone(), view.version())
}

#[derive(Clone, Command)]
pub(crate) struct Transfer {
    #[stream(fold = Purse)]
    pub(crate) from: StreamId,
    #[stream(fold = Purse)]
    pub(crate) to: StreamId,
    #[stream(fold = Limit, read_only)]
    pub(crate) limit: StreamId,
    pub(crate) coins: i64,
    pub(crate) noted: Recorded,
}

impl CommandLogic for Transfer {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        let Streams::<Self> { from, to, limit } = streams;
        let allowed = from.state().coins - self.coins >= -limit.state().debt;
        let saw = [seen(from), seen(to), seen(limit)];
        self.noted.decided(saw, if allowed { 2 } else { 0 });
        require!(allowed, "too deep in debt: {}", from.state().coins);
        let coins = self.coins;
        emit!(events, from => CoinEvent::Paid { coins });
        emit!(events, to => CoinEvent::Received { coins });
        Ok(())
    }
}

#[derive(Clone, Command)]
pub(crate) struct SetLimit {
    #[stream(fold = Limit)]
    pub(crate) limit: StreamId,
    pub(crate) debt: i64,
    pub(crate) noted: Recorded,
}

impl CommandLogic for SetLimit {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        self.noted.decided([seen(&streams.limit)], 1);
        emit!(events, streams.limit => CoinEvent::LimitSet { debt: self.debt });
        Ok(())
    }
}

/// Looks at two purses, and has nothing to do if they are one view.
#[derive(Clone, Command)]
pub(crate) struct Look {
    #[stream(fold = Purse, read_only)]
    pub(crate) one: StreamId,
    #[stream(fold = Purse, read_only)]
    pub(crate) other: StreamId,
    pub(crate) noted: Recorded,
}

impl CommandLogic for Look {
    fn handle(&self, streams: &Streams<Self>, _: &mut NewEvents<Self>) -> Result<(), CommandError> {
        self.noted
            .decided([seen(&streams.one), seen(&streams.other)], 0);
        Ok(())
    }
}
