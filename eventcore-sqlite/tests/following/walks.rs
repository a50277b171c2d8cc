//! A projection with a table of its own, the events that it takes, and what it must come to.

use std::{collections::BTreeMap, path::Path, time::Duration};

use eventcore::{
    DecodeFailure, EncodeError, EncodedEvent, Event, EventStore, EventType, Payload, SchemaVersion,
    StoredEvent, StreamId,
    projection::{ApplyError, Projection, RunningProjection, run_projection},
    store::{AppendBatch, ReadFrom},
};
use eventcore_sqlite::{SqliteEventStore, SqliteProjections, SqliteUnit};
use rusqlite::params;

pub(crate) const LEASE: Duration = Duration::from_millis(300);

/// A step on a walk.
pub(crate) struct Stepped {
    by: i64,
}

fn stepped() -> EventType {
    EventType::try_new("walk.stepped").unwrap()
}

impl Event for Stepped {
    fn encode(&self) -> Result<EncodedEvent, EncodeError> {
        let payload = Payload::from(self.by.to_string().into_bytes());
        Ok(EncodedEvent::new(stepped(), SchemaVersion::FIRST, payload))
    }

    fn decode(stored: &EncodedEvent) -> Result<Option<Self>, DecodeFailure> {
        let by = std::str::from_utf8(stored.payload().as_bytes()).unwrap();
        Ok(Some(Self {
            by: by.parse().unwrap(),
        }))
    }

    fn stored_types() -> Vec<EventType> {
        vec![stepped()]
    }
}

/// How many steps each walk has, how far it leads, and a trace that no other set or order of events leaves.
pub(crate) struct Walks;

impl Projection for Walks {
    type Event = Stepped;
    type Unit = SqliteUnit;

    fn name(&self) -> &'static str {
        "walks"
    }

    async fn prepare(&self, unit: &mut SqliteUnit) -> Result<(), ApplyError> {
        unit.connection().execute_batch(
            "DROP TABLE IF EXISTS walked;
             CREATE TABLE walked (walk TEXT PRIMARY KEY, count INT, sum INT, trace INT) STRICT;",
        )?;
        Ok(())
    }

    async fn apply(
        &self,
        unit: &mut SqliteUnit,
        event: &StoredEvent<Stepped>,
    ) -> Result<(), ApplyError> {
        unit.connection()
            .prepare_cached(
                "INSERT INTO walked VALUES (?1, 1, ?2, ?3) ON CONFLICT DO UPDATE SET
                 count = count + 1, sum = sum + ?2, trace = (trace * 1000003 + ?3) % 2147483647",
            )?
            .execute(params![
                event.stream().as_str(),
                event.data().by,
                event.position().to_i64()
            ])?;
        Ok(())
    }
}

/// Runs it from a folder, under a name.
pub(crate) async fn run(folder: &Path, label: &str) -> RunningProjection<SqliteProjections> {
    let store = SqliteEventStore::open(folder.join("events.db"))
        .await
        .unwrap();
    let views = SqliteProjections::open(folder.join("views.db"))
        .await
        .unwrap();
    run_projection(Walks, &store, &views)
        .lease(LEASE)
        .poll_every(Duration::from_millis(10))
        .label(label)
        .start()
        .unwrap()
}

/// Appends some steps, and gives the last position.
pub(crate) async fn step(
    store: &SqliteEventStore,
    walk: u64,
    steps: i64,
) -> eventcore::GlobalPosition {
    let walk = StreamId::try_new(format!("walk:{walk}")).unwrap();
    let read = store.read(&[ReadFrom::start(walk.clone())]).await.unwrap();
    let mut batch = AppendBatch::builder();
    batch.expect(walk.clone(), read.versions[0]).unwrap();
    for by in 1..=steps {
        batch
            .event(&walk, Stepped { by }.encode().unwrap())
            .unwrap();
    }
    let receipt = store.append(batch.build().unwrap()).await.unwrap();
    receipt.events.last().unwrap().position
}

type Table = BTreeMap<String, (i64, i64, i64)>;

fn fold(log: &[eventcore::RecordedEvent]) -> Table {
    let mut table = Table::new();
    for event in log {
        let by = Stepped::decode(event.encoded()).unwrap().unwrap().by;
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
pub(crate) async fn check(folder: &Path) {
    let store = SqliteEventStore::open(folder.join("events.db"))
        .await
        .unwrap();
    let log = crate::support::log(&store).await;
    let views = rusqlite::Connection::open(folder.join("views.db")).unwrap();
    let mut rows = views
        .prepare("SELECT walk, count, sum, trace FROM walked")
        .unwrap();
    let rows = rows.query_map([], |row| {
        Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?)))
    });
    let table: Table = rows.unwrap().map(Result::unwrap).collect();
    assert_eq!(table, fold(&log), "the table is not the fold of the log");
}
