//! When the reader has caught up: how far behind it is, and what it costs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use eventcore::{
    EventFilter, EventStore, StartFrom,
    projection::{ProjectionStore, project},
    subscribe,
};
use eventcore_memory::InMemoryProjections;
use futures_util::StreamExt;
use tokio::task::{JoinHandle, JoinSet};

use super::{
    Found,
    catching_up::{Balances, PATIENCE},
    subjects::Sides,
};
use crate::{
    Error,
    choice::Choice,
    driver::{Cell, Client, Kind, drive, rate},
    workload::{StoreClient, deposit},
};

/// How many clients share a load.
const CLIENTS: u32 = 16;

/// Commands at a steady rate, and how long they take.
pub(super) struct Load {
    over: Arc<AtomicBool>,
    clients: JoinSet<Result<Vec<Duration>, Error>>,
    since: Instant,
}

impl Load {
    pub(super) fn start<S, V>(sides: &Sides<S, V>, per_second: u32) -> Self
    where
        S: EventStore + Clone + 'static,
    {
        let over = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let (store, over, accounts) = (sides.writer.clone(), Arc::clone(&over), sides.accounts);
            clients.spawn(async move {
                let mut choice = Choice::new(client as usize);
                let mut took = Vec::new();
                let mut beat = tokio::time::interval(Duration::from_secs(1) * CLIENTS / per_second);
                // A command that was due waits for nobody's permission: a slow store shows in the times.
                beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
                while !over.load(Relaxed) {
                    let due = beat.tick().await;
                    deposit(&store, choice.below(accounts)).await?;
                    took.push(due.elapsed());
                }
                Ok(took)
            });
        }
        Self {
            over,
            clients,
            since: Instant::now(),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    pub(super) async fn stop(mut self, name: &str) -> Result<Found, Error> {
        self.over.store(true, Relaxed);
        let mut took = Vec::new();
        while let Some(client) = self.clients.join_next().await {
            took.extend(client??);
        }
        let rate = took.len() as f64 / self.since.elapsed().as_secs_f64();
        let mut found = vec![(format!("{name}, per second"), rate)];
        found.extend(quantiles(name, took));
        Ok(found)
    }
}

/// Half and all but a hundredth, in milliseconds.
fn quantiles(name: &str, mut took: Vec<Duration>) -> Found {
    took.sort_unstable();
    let at = |part: usize| {
        let index = (took.len() * part / 100).min(took.len().saturating_sub(1));
        took.get(index)
            .map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
    };
    vec![
        (format!("{name}, p50 ms"), at(50)),
        (format!("{name}, p99 ms"), at(99)),
    ]
}

/// From the acknowledgement of a command to the moment at which a read model holds it.
pub(super) async fn latency<S, V>(
    sides: &Sides<S, V>,
    load: u32,
    time: Duration,
) -> Result<Found, Error>
where
    S: EventStore + Clone + 'static,
    V: ProjectionStore + Clone,
{
    let mut found = Found::new();
    let readers = [
        ("woken", Some(&sides.reader)),
        ("polling only", sides.deaf.as_ref()),
    ];
    for (how, reader) in readers {
        let Some(reader) = reader else { continue };
        let running = project(Balances::<1>, reader, &sides.views).start()?;
        running.wait_until_live(PATIENCE).await?;
        let running = Arc::new(running);
        for per_second in [0, load] {
            let beside = (per_second > 0).then(|| Load::start(sides, per_second));
            let end = Instant::now() + time;
            let mut choice = Choice::new(99);
            let mut waits: Vec<JoinHandle<Result<Duration, Error>>> = Vec::new();
            while Instant::now() < end {
                let position = deposit(&sides.writer, choice.below(sides.accounts)).await?;
                let (acknowledged, running) = (Instant::now(), Arc::clone(&running));
                waits.push(tokio::spawn(async move {
                    running.wait_until(position, PATIENCE).await?;
                    Ok(acknowledged.elapsed())
                }));
                tokio::time::sleep(Duration::from_millis(23)).await;
            }
            let mut took = Vec::new();
            for wait in waits {
                took.push(wait.await??);
            }
            if let Some(beside) = beside {
                beside.stop("load").await?;
            }
            found.extend(quantiles(
                &format!("latency, {how}, {per_second} commands/s beside"),
                took,
            ));
        }
        let running = Arc::into_inner(running).ok_or("somebody still waits")?;
        running.stop().await?;
    }
    Ok(found)
}

/// What 16 clients manage with nobody, subscribers, and a read model beside them.
pub(super) async fn cost<S, V>(sides: &Sides<S, V>, time: Duration) -> Result<Found, Error>
where
    S: EventStore + Clone + 'static,
    V: ProjectionStore + Clone,
{
    let cell = Cell {
        kind: Kind::Deposit,
        accounts: sides.accounts,
        most: u64::MAX,
        duration: time,
        kept_folds: 0,
    };
    let measured = async || {
        let client = |_| Box::new(StoreClient(sides.writer.clone())) as Box<dyn Client>;
        let counts = drive(cell, (0..CLIENTS).map(client).collect(), 0).await?;
        Ok::<f64, Error>(rate(counts).per_second)
    };
    let mut found = vec![("cost, nobody follows, commands/s".into(), measured().await?)];
    for (subscribers, name) in [(1, "one subscriber"), (4, "four subscribers")] {
        let mut following = JoinSet::new();
        for _ in 0..subscribers {
            let mut log = subscribe(sides.reader.clone(), StartFrom::End, EventFilter::all());
            following.spawn(async move { while log.next().await.is_some() {} });
        }
        found.push((format!("cost, {name}, commands/s"), measured().await?));
    }
    let views = InMemoryProjections::<()>::default();
    let running = project(Balances::<1>, &sides.reader, &views).start()?;
    running.wait_until_live(PATIENCE).await?;
    found.push((
        "cost, a read model in memory, commands/s".into(),
        measured().await?,
    ));
    running.stop().await?;
    let running = project(Balances::<1>, &sides.reader, &sides.views).start()?;
    running.wait_until_live(PATIENCE).await?;
    found.push((
        "cost, a read model beside the log, commands/s".into(),
        measured().await?,
    ));
    running.stop().await?;
    Ok(found)
}
