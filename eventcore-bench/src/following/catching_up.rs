//! From the start of the log to its end.

use std::{collections::HashMap, time::Instant};

use eventcore::{
    EventFilter, EventStore, StartFrom, StoredEvent,
    projection::{DocumentKey, Partitions, ProjectionStore, ReadModel, project},
    store::PageSize,
    subscribe,
};
use eventcore_memory::InMemoryProjections;
use serde::{Deserialize, Serialize};

use super::{Found, live::Load, subjects::Sides};
use crate::{Error, workload::AccountEvent};

/// As long as it takes.
pub(super) const PATIENCE: std::time::Duration = std::time::Duration::from_mins(10);

/// What an account holds.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Balance {
    balance: u64,
    events: u64,
}

/// The balance of each account.
pub(super) struct Balances<const VERSION: u32>;

impl<const VERSION: u32> ReadModel for Balances<VERSION> {
    type Event = AccountEvent;
    type Document = Balance;
    const NAME: &'static str = "balances";
    const VERSION: u32 = VERSION;

    fn keys(&self, event: &StoredEvent<AccountEvent>) -> impl IntoIterator<Item = DocumentKey> {
        [event.stream().into()]
    }

    fn apply(
        &self,
        _: &DocumentKey,
        balance: &mut Option<Balance>,
        event: &StoredEvent<AccountEvent>,
    ) {
        let AccountEvent::Deposited { amount, .. } = event.data();
        let balance = balance.get_or_insert_default();
        balance.balance += amount;
        balance.events += 1;
    }
}

#[expect(clippy::cast_precision_loss, reason = "rates")]
fn per_second(events: u64, since: Instant) -> f64 {
    events as f64 / since.elapsed().as_secs_f64()
}

pub(super) async fn measure<S, V>(sides: &Sides<S, V>, events: u64) -> Result<Found, Error>
where
    S: EventStore + Clone + 'static,
    V: ProjectionStore + Clone,
{
    let mut found = Found::new();
    for page in [1_000, 10_000] {
        let start = Instant::now();
        fold(&sides.reader, events, page).await?;
        let name = format!("catch-up, folded to a map, pages of {page}, events/s");
        found.push((name, per_second(events, start)));
    }
    let start = Instant::now();
    let views = InMemoryProjections::<()>::default();
    let running = project(Balances::<1>, &sides.reader, &views).start()?;
    running.wait_until_live(PATIENCE).await?;
    found.push((
        "catch-up, documents in memory, events/s".into(),
        per_second(events, start),
    ));
    running.stop().await?;

    for page in [1_000, 10_000] {
        let start = Instant::now();
        let running = project(Balances::<1>, &sides.reader, &sides.views)
            .page_size(PageSize::try_new(page)?)
            .start()?;
        running.wait_until_live(PATIENCE).await?;
        let name = format!("catch-up, documents beside the log, pages of {page}, events/s");
        found.push((name, per_second(events, start)));
        let id = running.projection().clone();
        running.stop().await?;
        sides.views.reset(&id).await?;
    }
    Ok(found)
}

/// Decodes and sums up everything, as a reader of its own would.
async fn fold<S: EventStore + Clone>(store: &S, events: u64, page: usize) -> Result<(), Error> {
    let mut balances: HashMap<String, u64> = HashMap::new();
    let mut log = subscribe(store.clone(), StartFrom::Start, EventFilter::all())
        .page_size(PageSize::try_new(page)?);
    let mut seen = 0;
    while seen < events {
        for event in log.next_page().await?.events {
            let event = StoredEvent::<AccountEvent>::decode(event)?;
            let AccountEvent::Deposited { amount, .. } = event.data();
            match balances.get_mut(event.stream().as_str()) {
                Some(balance) => *balance += amount,
                None => drop(balances.insert(event.stream().to_string(), *amount)),
            }
            seen += 1;
        }
    }
    Ok(())
}

/// A new version over the whole log, while commands run, and what they notice of it.
pub(super) async fn rebuild<S, V>(
    sides: &Sides<S, V>,
    events: u64,
    load: u32,
) -> Result<Found, Error>
where
    S: EventStore + Clone + 'static,
    V: ProjectionStore + Clone,
{
    let mut found = Found::new();
    let old = project(Balances::<1>, &sides.reader, &sides.views).start()?;
    old.wait_until_live(PATIENCE).await?;

    let alone = Load::start(sides, load);
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    found.extend(alone.stop("commands before the rebuild").await?);

    let beside = Load::start(sides, load);
    let start = Instant::now();
    let new = project(Balances::<2>, &sides.reader, &sides.views)
        .partitions(Partitions::ONE)
        .start()?;
    new.wait_until_live(PATIENCE).await?;
    found.push(("rebuild, seconds".into(), start.elapsed().as_secs_f64()));
    found.push(("rebuild, events/s".into(), per_second(events, start)));
    found.extend(beside.stop("commands during the rebuild").await?);
    new.stop().await?;
    old.stop().await?;
    Ok(found)
}
