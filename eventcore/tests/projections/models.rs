//! Read models that the tests run.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use eventcore::{
    prelude::*,
    projection::{ApplyError, DocumentKey, Documents, Projection, ProjectionStore, ReadModel},
};
use eventcore_memory::{InMemoryProjections, InMemoryUnit};

use crate::counters::Counted;

pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The sum of each counter, and which events it is made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sum {
    pub(crate) sum: i64,
    pub(crate) versions: Vec<u64>,
}

pub(crate) struct Sums<const VERSION: u32 = 1>;

impl<const VERSION: u32> ReadModel for Sums<VERSION> {
    type Event = Counted;
    type Document = Sum;
    const NAME: &'static str = "sums";
    const VERSION: u32 = VERSION;

    fn keys(&self, event: &StoredEvent<Counted>) -> impl IntoIterator<Item = DocumentKey> {
        [event.stream().into()]
    }

    fn apply(&self, _: &DocumentKey, sum: &mut Option<Sum>, event: &StoredEvent<Counted>) {
        let Counted::Up { by } = event.data();
        let sum = sum.get_or_insert_default();
        // A new version makes something else of the same events.
        sum.sum += by * i64::from(VERSION);
        sum.versions.push(event.version().get());
    }
}

pub(crate) fn views() -> InMemoryProjections {
    InMemoryProjections::new()
}

pub(crate) async fn sum<V: ProjectionStore>(views: &V, counter: &str) -> Option<Sum> {
    let sums = Documents::<Sums, _>::new(views).unwrap();
    sums.get(counter).await.unwrap()
}

/// Writes down what it applies, and fails where it is told to.
#[derive(Clone, Default)]
pub(crate) struct Diary {
    pub(crate) applied: Arc<Mutex<Vec<(String, u64)>>>,
    pub(crate) fails: Arc<Mutex<Option<Fails>>>,
    pub(crate) tries: Arc<AtomicU32>,
}

/// How the event that adds 13 fails.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fails {
    Times(u32),
    Always,
    Panics,
    Hangs,
}

impl Diary {
    pub(crate) fn failing(fails: Fails) -> Self {
        let diary = Self::default();
        *diary.fails.lock().unwrap() = Some(fails);
        diary
    }

    /// The counters and versions applied, in order.
    pub(crate) fn pages(&self) -> Vec<String> {
        let applied = self.applied.lock().unwrap();
        applied
            .iter()
            .map(|(counter, version)| format!("{counter}@{version}"))
            .collect()
    }
}

impl Projection for Diary {
    type Event = Counted;
    type Unit = InMemoryUnit;

    fn name(&self) -> &'static str {
        "diary"
    }

    async fn apply(
        &self,
        _: &mut InMemoryUnit,
        event: &StoredEvent<Counted>,
    ) -> Result<(), ApplyError> {
        let Counted::Up { by } = event.data();
        let fails = *self.fails.lock().unwrap();
        if let (13, Some(fails)) = (by, fails) {
            let tried = self.tries.fetch_add(1, Relaxed) + 1;
            match fails {
                Fails::Times(times) if tried > times => {}
                Fails::Panics => panic!("unlucky"),
                Fails::Hangs => std::future::pending().await,
                _ => return Err("unlucky".into()),
            }
        }
        let mut applied = self.applied.lock().unwrap();
        applied.push((event.stream().to_string(), event.version().get()));
        Ok(())
    }
}
