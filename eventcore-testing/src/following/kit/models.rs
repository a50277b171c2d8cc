//! What the clauses project, and what it must come to.

use std::{
    collections::BTreeMap,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use eventcore::{
    RecordedEvent, StoredEvent,
    projection::{
        ApplyError, DocumentChange, DocumentKey, DocumentQuery, Projection, ProjectionId,
        ProjectionName, ProjectionStore, RawDocument, ReadModel, UnitOfWork,
    },
};
use serde::{Deserialize, Serialize};

use super::{Store, log, log::patiently};

/// A walk, straight on or aside.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, eventcore::Event)]
#[event(prefix = "walk")]
pub(in crate::following) enum Walk {
    Ahead { by: i64 },
    Aside { by: i64 },
}

impl Walk {
    pub(in crate::following) fn by(self) -> i64 {
        let (Self::Ahead { by } | Self::Aside { by }) = self;
        by
    }
}

/// What events came to. The trace tells every set and every order of events from every other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::following) struct Tally {
    pub(in crate::following) version: u32,
    pub(in crate::following) count: u64,
    pub(in crate::following) sum: i64,
    pub(in crate::following) last: u64,
    pub(in crate::following) trace: u64,
}

impl Tally {
    fn take(&mut self, position: u64, by: i64) {
        self.count += 1;
        self.sum += by;
        self.last = position;
        // Below 2^53, so that every JSON reader agrees.
        self.trace = (self.trace * 1_000_003 + position) % ((1 << 31) - 1);
    }
}

/// The documents that an event concerns: one for its stream, one across streams, and one for all.
fn keys_of(stream: &str, by: i64) -> [String; 3] {
    [
        stream.into(),
        format!("width:{}", by.rem_euclid(7)),
        "all".into(),
    ]
}

/// A read model whose documents are keyed by stream, across streams, and by nothing.
#[derive(Debug, Default)]
pub(in crate::following) struct Tallies<const VERSION: u32 = 1>;

impl<const VERSION: u32> ReadModel for Tallies<VERSION> {
    type Event = Walk;
    type Document = Tally;
    const NAME: &'static str = "tallies";
    const VERSION: u32 = VERSION;

    fn keys(&self, event: &StoredEvent<Walk>) -> impl IntoIterator<Item = DocumentKey> {
        keys_of(event.stream().as_str(), event.data().by()).map(|key| document_key(&key))
    }

    fn apply(&self, _: &DocumentKey, tally: &mut Option<Tally>, event: &StoredEvent<Walk>) {
        let tally = tally.get_or_insert_default();
        tally.version = VERSION;
        tally.take(event.position().get(), event.data().by());
    }
}

fn document_key(text: &str) -> DocumentKey {
    DocumentKey::try_new(text).expect("the suite's keys are valid")
}

/// A projection that writes for itself: a tally for each stream, and how often it was prepared.
pub(in crate::following) struct Ledger<U>(PhantomData<fn() -> U>);

impl<U> Default for Ledger<U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

const PREPARED: &str = "prepared";

async fn change<U: UnitOfWork>(
    unit: &mut U,
    key: &str,
    change: impl FnOnce(&mut Tally) + Send,
) -> Result<(), ApplyError> {
    let key = document_key(key);
    let found = unit.load(std::slice::from_ref(&key)).await?.remove(0);
    let mut tally = match found {
        Some(body) => serde_json::from_str(&body)?,
        None => Tally::default(),
    };
    change(&mut tally);
    let body = Some(serde_json::to_string(&tally)?);
    unit.put(vec![DocumentChange { key, body }]).await?;
    Ok(())
}

impl<U: UnitOfWork> Projection for Ledger<U> {
    type Event = Walk;
    type Unit = U;

    fn name(&self) -> &'static str {
        "ledger"
    }

    async fn prepare(&self, unit: &mut U) -> Result<(), ApplyError> {
        change(unit, PREPARED, |tally| tally.count += 1).await
    }

    async fn apply(&self, unit: &mut U, event: &StoredEvent<Walk>) -> Result<(), ApplyError> {
        let (position, by) = (event.position().get(), event.data().by());
        change(unit, event.stream().as_str(), |tally| {
            tally.take(position, by);
        })
        .await
    }
}

/// How an event fails that is 13 wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::following) enum Fails {
    Error,
    Panic,
}

/// A ledger that cannot apply steps that are 13 wide, until it is healed.
pub(in crate::following) struct Unlucky<U> {
    ledger: Ledger<U>,
    fails: Fails,
    healed: Arc<AtomicBool>,
}

impl<U> Unlucky<U> {
    pub(in crate::following) fn new(fails: Fails, healed: &Arc<AtomicBool>) -> Self {
        Self {
            ledger: Ledger::default(),
            fails,
            healed: Arc::clone(healed),
        }
    }
}

impl<U: UnitOfWork> Projection for Unlucky<U> {
    type Event = Walk;
    type Unit = U;

    fn name(&self) -> &'static str {
        "ledger"
    }

    async fn prepare(&self, unit: &mut U) -> Result<(), ApplyError> {
        self.ledger.prepare(unit).await
    }

    async fn apply(&self, unit: &mut U, event: &StoredEvent<Walk>) -> Result<(), ApplyError> {
        // Done first, so that what is not rolled back shows.
        self.ledger.apply(unit, event).await?;
        if event.data().by() != 13 || self.healed.load(Relaxed) {
            return Ok(());
        }
        match self.fails {
            Fails::Error => Err("13 brings bad luck".into()),
            Fails::Panic => panic!("13 brings bad luck"),
        }
    }
}

/// Documents by key.
pub(in crate::following) type Expected = BTreeMap<String, Tally>;

fn walk_in(event: &RecordedEvent) -> Option<i64> {
    let by = StoredEvent::<Walk>::decode(event.clone());
    by.ok().map(|event| event.data().by())
}

/// What the read model must hold over a log.
pub(in crate::following) fn fold(log: &[RecordedEvent], version: u32) -> Expected {
    let mut expected = Expected::new();
    for event in log {
        if let Some(by) = walk_in(event) {
            for key in keys_of(event.stream().as_str(), by) {
                let tally = expected.entry(key).or_default();
                tally.version = version;
                tally.take(event.position().get(), by);
            }
        }
    }
    expected
}

/// What the ledger must hold over a log, or over a part of it.
pub(in crate::following) fn ledger_fold<'e>(
    log: impl IntoIterator<Item = &'e RecordedEvent>,
) -> Expected {
    let mut expected = Expected::new();
    expected.entry(PREPARED.into()).or_default().count = 1;
    for event in log {
        if let Some(by) = walk_in(event) {
            let tally = expected.entry(event.stream().to_string()).or_default();
            tally.take(event.position().get(), by);
        }
    }
    expected
}

fn id(of: &str, version: u32) -> ProjectionId {
    let name = ProjectionName::try_new(of).expect("the suite's names are valid");
    ProjectionId { name, version }
}

pub(in crate::following) fn tallies_id(version: u32) -> ProjectionId {
    id("tallies", version)
}

pub(in crate::following) fn ledger_id() -> ProjectionId {
    id("ledger", 1)
}

async fn documents<V: ProjectionStore>(views: &V, of: &ProjectionId) -> Expected {
    let all = DocumentQuery::all().page(0, 10_000).unwrap();
    let found: Vec<RawDocument> = patiently!(views.query(&of.name, &all))
        .unwrap_or_else(|error| panic!("{of} cannot be queried: {error} ({error:?})"));
    let parse = |document: RawDocument| {
        let tally = serde_json::from_str(&document.body);
        let tally = tally.unwrap_or_else(|error| panic!("{document:?} came back so: {error}"));
        (document.key.to_string(), tally)
    };
    found.into_iter().map(parse).collect()
}

/// The documents of the read model that readers see.
pub(in crate::following) async fn tallies<V: ProjectionStore>(views: &V) -> Expected {
    documents(views, &tallies_id(1)).await
}

/// The documents of the ledger.
pub(in crate::following) async fn ledgers<V: ProjectionStore>(views: &V) -> Expected {
    documents(views, &ledger_id()).await
}

fn must_be(found: &Expected, expected: &Expected, why: &str) {
    let differences: Vec<String> = expected
        .keys()
        .chain(found.keys().filter(|key| !expected.contains_key(*key)))
        .filter(|key| found.get(*key) != expected.get(*key))
        .map(|key| {
            format!(
                "`{key}` is {:?}, not {:?}",
                found.get(key),
                expected.get(key)
            )
        })
        .collect();
    assert!(
        differences.is_empty(),
        "{why}: the documents are not the fold of the log: {}",
        differences.join("; ")
    );
}

/// The read model must hold the fold of the whole log.
pub(in crate::following) async fn expect_tallies<V: ProjectionStore>(
    store: &Store,
    views: &V,
    why: &str,
) {
    let (found, log) = (tallies(views).await, log(store).await);
    let version = found.values().map(|tally| tally.version).max().unwrap_or(1);
    must_be(&found, &fold(&log, version), why);
}

/// The ledger must hold this.
pub(in crate::following) async fn expect_ledger<V: ProjectionStore>(
    views: &V,
    expected: &Expected,
    why: &str,
) {
    must_be(&ledgers(views).await, expected, why);
}

/// The ledger must hold this, in whatever order it was applied within a stream.
pub(in crate::following) async fn expect_sums<V: ProjectionStore>(
    views: &V,
    mut expected: Expected,
    why: &str,
) {
    let mut found = ledgers(views).await;
    for tally in found.values_mut().chain(expected.values_mut()) {
        (tally.last, tally.trace) = (0, 0);
    }
    must_be(&found, &expected, why);
}
