//! A projection's status as metrics, as a recorder of the application's choice sees it.

#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "helpers of tests fail loudly; the gauges are whole numbers"
)]

use std::{collections::HashMap, time::Duration};

use eventcore::{
    prelude::*,
    projection::{DocumentKey, ReadModel, project},
};
use eventcore_memory::{InMemoryEventStore, InMemoryProjections};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

#[derive(Serialize, Deserialize, Event)]
#[event(prefix = "bell")]
enum BellEvent {
    Rang,
}

#[derive(Command)]
struct Ring {
    #[stream]
    bell: StreamId,
}

impl CommandState for Ring {
    type Event = BellEvent;
    type State = ();
    fn apply(&self, (): &mut (), _: &StoredEvent<BellEvent>) {}
}

impl CommandLogic for Ring {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        emit!(events, &streams.bell => BellEvent::Rang);
        Ok(())
    }
}

struct Rings;

impl ReadModel for Rings {
    type Event = BellEvent;
    type Document = u64;
    const NAME: &'static str = "rings";

    fn keys(&self, event: &StoredEvent<BellEvent>) -> impl IntoIterator<Item = DocumentKey> {
        [event.stream().into()]
    }

    fn apply(&self, _: &DocumentKey, rings: &mut Option<u64>, _: &StoredEvent<BellEvent>) {
        *rings.get_or_insert_default() += 1;
    }
}

// One thread: the recorder is set for this thread only, and the projection's tasks run on it.
#[tokio::test]
async fn position_lag_and_epoch_are_gauges() {
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    let _set = metrics::set_default_local_recorder(&recorder);

    let (store, views) = (InMemoryEventStore::new(), InMemoryProjections::<()>::new());
    let bell = StreamId::try_new("bell:1").unwrap();
    let mut last = GlobalPosition::START;
    for _ in 0..3 {
        let receipt = execute(Ring { bell: bell.clone() }, &store).await.unwrap();
        last = receipt.position().unwrap();
    }
    let running = project(Rings, &store, &views).start().unwrap();
    running
        .wait_until(last, Duration::from_secs(20))
        .await
        .unwrap();
    running
        .wait_until_live(Duration::from_secs(20))
        .await
        .unwrap();

    let mut found = HashMap::new();
    for (key, _, _, value) in snapshots.snapshot().into_vec() {
        let labels: Vec<_> = key
            .key()
            .labels()
            .map(|label| label.value().to_owned())
            .collect();
        assert_eq!(labels, ["rings", "1", "0"]);
        if let DebugValue::Gauge(value) = value {
            found.insert(key.key().name().to_owned(), value.into_inner());
        }
    }
    assert_eq!(found["eventcore_projection_position"], 3.0);
    assert_eq!(found["eventcore_projection_lag_events"], 0.0);
    assert_eq!(found["eventcore_projection_failing"], 0.0);
    assert!(found["eventcore_projection_epoch"] >= 1.0);
    running.stop().await.unwrap();
}
