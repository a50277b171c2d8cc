//! The read models of the clauses, and what they must come to.

use std::collections::BTreeMap;

use eventcore::{
    RecordedEvent, StoredEvent,
    projection::{DocumentKey, DocumentQuery, ProjectionStore, ReadModel},
};
use serde::{Deserialize, Serialize};

use super::{PANICS, Store, key, log};

#[derive(Clone, Copy, Debug, Serialize, Deserialize, eventcore::Event)]
#[event(prefix = "inline")]
pub(in crate::inline_contract) enum Ticked {
    Tick { by: i64 },
    Cleared {},
}

/// What events came to. The trace tells every set and every order of events from every other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::inline_contract) struct Tally {
    pub(in crate::inline_contract) version: u32,
    pub(in crate::inline_contract) count: u64,
    pub(in crate::inline_contract) sum: i64,
    pub(in crate::inline_contract) last: u64,
    pub(in crate::inline_contract) trace: u64,
}

impl Tally {
    fn take(&mut self, version: u32, position: u64, by: i64) {
        self.version = version;
        self.count += 1;
        self.sum += by;
        self.last = position;
        // Below 2^53, so that every JSON reader agrees.
        self.trace = (self.trace * 1_000_003 + position) % ((1 << 31) - 1);
    }
}

/// The document that counts everything.
pub(in crate::inline_contract) const ALL: &str = "all";

/// Counts ticks for each stream, until it is cleared, and for all.
pub(in crate::inline_contract) struct Counts<const VERSION: u32>;

fn count(tally: &mut Option<Tally>, version: u32, key: &str, position: u64, event: Ticked) {
    match event {
        Ticked::Tick { by } => tally.get_or_insert_default().take(version, position, by),
        Ticked::Cleared {} if key == ALL => {
            tally.get_or_insert_default().take(version, position, 0);
        }
        Ticked::Cleared {} => *tally = None,
    }
}

impl<const VERSION: u32> ReadModel for Counts<VERSION> {
    type Event = Ticked;
    type Document = Tally;
    const NAME: &'static str = "counts";
    const VERSION: u32 = VERSION;

    fn keys(&self, event: &StoredEvent<Ticked>) -> impl IntoIterator<Item = DocumentKey> {
        [event.stream().into(), key(ALL)]
    }

    fn apply(&self, key: &DocumentKey, tally: &mut Option<Tally>, event: &StoredEvent<Ticked>) {
        if let Ticked::Tick { by: PANICS } = event.data() {
            panic!("this model cannot count to {PANICS}");
        }
        count(
            tally,
            VERSION,
            key.as_str(),
            event.position().get(),
            *event.data(),
        );
    }
}

/// What [`Counts`] must come to.
fn fold(version: u32, events: &[RecordedEvent]) -> BTreeMap<String, Tally> {
    let mut tallies: BTreeMap<String, Option<Tally>> = BTreeMap::new();
    for event in events {
        let position = event.position().get();
        let Ok(ticked) = StoredEvent::<Ticked>::decode(event.clone()) else {
            continue;
        };
        for key in [event.stream().as_str(), ALL] {
            let tally = tallies.entry(key.to_owned()).or_default();
            count(tally, version, key, position, *ticked.data());
        }
    }
    let there = |(key, tally): (String, Option<Tally>)| Some((key, tally?));
    tallies.into_iter().filter_map(there).collect()
}

/// That the documents of the active version are the fold of the log.
pub(in crate::inline_contract) async fn expect_counts<V: ProjectionStore>(
    views: &V,
    store: &Store,
    version: u32,
) -> Vec<RecordedEvent> {
    let events = log(store).await;
    let name = "counts".parse().expect("the suite's names are valid");
    let query = DocumentQuery::all()
        .page(0, 10_000)
        .expect("a page of this size is allowed");
    let found = views.query(&name, &query).await;
    let found = found.unwrap_or_else(|error| panic!("the documents cannot be read: {error:?}"));
    let tally = |body: &str| serde_json::from_str(body).expect("a tally is stored as it was made");
    let found = found
        .into_iter()
        .map(|raw| (raw.key.to_string(), tally(&raw.body)));
    assert_eq!(
        found.collect::<BTreeMap<String, Tally>>(),
        fold(version, &events),
        "the documents are the fold of the {} events in the log",
        events.len()
    );
    events
}

/// The highest tick of each stream.
pub(in crate::inline_contract) struct Highest;

impl ReadModel for Highest {
    type Event = Ticked;
    type Document = i64;
    const NAME: &'static str = "highest";

    fn keys(&self, event: &StoredEvent<Ticked>) -> impl IntoIterator<Item = DocumentKey> {
        [event.stream().into()]
    }

    fn apply(&self, _: &DocumentKey, highest: &mut Option<i64>, event: &StoredEvent<Ticked>) {
        if let Ticked::Tick { by } = *event.data() {
            *highest = Some(highest.map_or(by, |highest| highest.max(by)));
        }
    }
}

/// That the highest tick of a stream is this one.
pub(in crate::inline_contract) async fn expect_highest<V: ProjectionStore>(
    views: &V,
    of: &str,
    expected: Option<i64>,
) {
    let found = super::documents(views, Highest::NAME, &[key(of)])
        .await
        .remove(0);
    let found = found.map(|body| body.parse().expect("a number is stored as it was made"));
    assert_eq!(found, expected, "the highest tick of `{of}`");
}

/// All that a model sees of an event.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::inline_contract) struct Sighted {
    pub(in crate::inline_contract) id: String,
    pub(in crate::inline_contract) stream: String,
    pub(in crate::inline_contract) version: u64,
    pub(in crate::inline_contract) position: u64,
    pub(in crate::inline_contract) event_type: String,
    pub(in crate::inline_contract) payload: Vec<u8>,
    pub(in crate::inline_contract) correlation: String,
    pub(in crate::inline_contract) causation: Option<String>,
    pub(in crate::inline_contract) metadata: Option<String>,
    pub(in crate::inline_contract) recorded_at: i64,
}

impl Sighted {
    pub(in crate::inline_contract) fn of(event: &RecordedEvent) -> Self {
        Self {
            id: event.id().to_string(),
            stream: event.stream().to_string(),
            version: event.version().get(),
            position: event.position().get(),
            event_type: event.encoded().event_type().to_string(),
            payload: event.encoded().payload().as_bytes().to_vec(),
            correlation: event.correlation_id().to_string(),
            causation: event.causation_id().map(|id| id.to_string()),
            metadata: event.metadata_text().map(str::to_owned),
            recorded_at: event.recorded_at().unix_micros(),
        }
    }
}

/// Writes down what it sees.
pub(in crate::inline_contract) struct Sightings;

impl ReadModel for Sightings {
    type Event = Ticked;
    type Document = Sighted;
    const NAME: &'static str = "sightings";

    fn keys(&self, event: &StoredEvent<Ticked>) -> impl IntoIterator<Item = DocumentKey> {
        [key(event.position().to_string())]
    }

    fn apply(&self, _: &DocumentKey, sighted: &mut Option<Sighted>, event: &StoredEvent<Ticked>) {
        *sighted = Some(Sighted::of(event.record()));
    }
}
