//! A projection with a table of its own, the events that it takes, and what it must come to.

use std::{collections::BTreeMap, time::Duration};

use eventcore::{
    prelude::*,
    projection::{
        ApplyError, Projection, ProjectionStore, RunningProjection, Standing, run_projection,
    },
    store::{AppendBatch, ReadFrom},
};
use eventcore_postgres::{PostgresEventStore, PostgresProjections, PostgresUnit};
use tokio::time::{Instant, sleep};

pub(crate) const LEASE: Duration = Duration::from_millis(500);
pub(crate) const SOON: Duration = Duration::from_mins(1);

/// A step on a walk.
#[derive(Serialize, Deserialize, Event)]
#[event(prefix = "walk")]
pub(crate) enum Walk {
    Stepped { by: i64 },
}

/// How many steps each walk has, how far it leads, and a trace that no other set or order of events leaves.
pub(crate) struct Walks;

impl Projection for Walks {
    type Event = Walk;
    type Unit = PostgresUnit;

    fn name(&self) -> &'static str {
        "walks"
    }

    async fn prepare(&self, unit: &mut PostgresUnit) -> Result<(), ApplyError> {
        let connection = unit.connection().await?;
        sqlx::raw_sql(
            "CREATE TABLE IF NOT EXISTS walked (walk text PRIMARY KEY, count int8, sum int8, trace int8);
             TRUNCATE walked",
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn apply(
        &self,
        unit: &mut PostgresUnit,
        event: &StoredEvent<Walk>,
    ) -> Result<(), ApplyError> {
        let Walk::Stepped { by } = event.data();
        sqlx::query(
            "INSERT INTO walked AS w VALUES ($1, 1, $2, $3) ON CONFLICT (walk) DO UPDATE SET
             count = w.count + 1, sum = w.sum + $2, trace = (w.trace * 1000003 + $3) % 2147483647",
        )
        .bind(event.stream().as_str())
        .bind(by)
        .bind(event.position().to_i64())
        .execute(unit.connection().await?)
        .await?;
        Ok(())
    }
}

/// Runs it on a database, under a name.
pub(crate) async fn run(url: &str, label: &str) -> RunningProjection<PostgresProjections> {
    run_on(&crate::open(url.to_owned()).await, label)
}

pub(crate) fn run_on(
    store: &PostgresEventStore,
    label: &str,
) -> RunningProjection<PostgresProjections> {
    run_projection(Walks, store, &store.projections())
        .lease(LEASE)
        .poll_every(Duration::from_millis(20))
        .label(label)
        .start()
        .unwrap()
}

/// Appends some steps, and gives the last position.
pub(crate) async fn step(store: &PostgresEventStore, walk: u64, steps: i64) -> GlobalPosition {
    let walk = StreamId::try_new(format!("walk:{walk}")).unwrap();
    loop {
        let Ok(read) = store.read(&[ReadFrom::start(walk.clone())]).await else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let mut batch = AppendBatch::builder();
        batch.expect(walk.clone(), read.versions[0]).unwrap();
        for by in 1..=steps {
            batch
                .event(&walk, Walk::Stepped { by }.encode().unwrap())
                .unwrap();
        }
        // What became of it is not asked when the connection broke: another batch does as well.
        if let Ok(receipt) = store.append(batch.build().unwrap()).await {
            return receipt.events.last().unwrap().position;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

type Table = BTreeMap<String, (i64, i64, i64)>;

fn fold(log: &[eventcore::RecordedEvent]) -> Table {
    let mut table = Table::new();
    for event in log {
        let Walk::Stepped { by } = Walk::decode(event.encoded()).unwrap().unwrap();
        let row = table.entry(event.stream().to_string()).or_default();
        let position = event.position().to_i64();
        *row = (
            row.0 + 1,
            row.1 + by,
            (row.2 * 1_000_003 + position) % 2_147_483_647,
        );
    }
    table
}

/// The table must be the fold of the log.
pub(crate) async fn check(url: &str) {
    let log = crate::support::log(&crate::open(url.to_owned()).await).await;
    let pool = crate::support::pool(url, 1).await;
    let rows: Vec<(String, i64, i64, i64)> =
        sqlx::query_as("SELECT walk, count, sum, trace FROM walked")
            .fetch_all(&pool)
            .await
            .unwrap();
    let table: Table = rows
        .into_iter()
        .map(|(walk, count, sum, trace)| (walk, (count, sum, trace)))
        .collect();
    assert_eq!(table, fold(&log), "the table is not the fold of the log");
}

pub(crate) async fn standing(views: &PostgresProjections) -> Option<Standing> {
    let name = "walks".parse().unwrap();
    views.standings(&name).await.ok()?.pop()
}

/// Waits until everything is applied, or for so long; whether it is.
pub(crate) async fn reached(
    views: &PostgresProjections,
    end: GlobalPosition,
    patience: Duration,
) -> bool {
    let start = Instant::now();
    while start.elapsed() < patience {
        if standing(views)
            .await
            .is_some_and(|standing| standing.checkpoint.position >= end)
        {
            return true;
        }
        sleep(Duration::from_millis(5)).await;
    }
    false
}
