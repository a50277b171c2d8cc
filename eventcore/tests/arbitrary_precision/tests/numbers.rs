//! Events are stored and read the same where `serde_json` hides numbers.

use std::collections::BTreeMap;

use eventcore::{
    EncodedEvent, Event, EventType, Metadata, Payload, SchemaVersion, execute, fold_stream,
    prelude::*,
};
use eventcore_memory::InMemoryEventStore;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
#[event(prefix = "rate")]
enum RateEvent {
    Set {
        name: String,
        exact: u128,
        #[serde(flatten)]
        inner: Inner,
    },
    Bare(Tagged),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    rate: f64,
    count: u64,
    below: i64,
    tagged: Tagged,
    either: Either,
    by_name: BTreeMap<String, f32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    At { at: f32, list: Vec<f64> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Either {
    Number(f64),
    Text(String),
}

fn event() -> RateEvent {
    RateEvent::Set {
        name: "n".into(),
        exact: u128::MAX,
        inner: Inner {
            rate: 0.1,
            count: u64::MAX,
            below: i64::MIN,
            tagged: Tagged::At { at: 0.5, list: vec![1e300, -0.25] },
            either: Either::Number(2.5),
            by_name: [("a".to_owned(), 1.5)].into(),
        },
    }
}

/// What a program without the feature has stored.
const STORED: &str = r#"{"name":"n","exact":340282366920938463463374607431768211455,"rate":0.1,"count":18446744073709551615,"below":-9223372036854775808,"tagged":{"kind":"At","at":0.5,"list":[1e300,-0.25]},"either":2.5,"by_name":{"a":1.5}}"#;

#[test]
fn the_feature_is_on() {
    let text = "1.10000000000000000000000000000001";
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(value.to_string(), text, "or this tests nothing");
}

#[test]
fn what_was_stored_without_the_feature_is_read() {
    let event_type = EventType::try_new("rate.set").unwrap();
    let payload = Payload::from(STORED.as_bytes());
    let stored = EncodedEvent::new(event_type, SchemaVersion::FIRST, payload);
    assert_eq!(RateEvent::decode(&stored).unwrap(), Some(event()));
}

#[test]
fn what_is_stored_is_the_same() {
    let encoded = event().encode().unwrap();
    let text = String::from_utf8(encoded.payload().as_bytes().to_vec()).unwrap();
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(value(&text), value(STORED));
    let bare = RateEvent::Bare(Tagged::At { at: 1.25, list: Vec::new() });
    let encoded = bare.encode().unwrap();
    assert_eq!(RateEvent::decode(&encoded).unwrap(), Some(bare));
}

#[derive(Default, Clone)]
struct Seen(Vec<RateEvent>);

impl Fold for Seen {
    type Event = RateEvent;
    fn apply(&mut self, event: &StoredEvent<RateEvent>) {
        self.0.push(event.data().clone());
    }
}

#[derive(Command)]
struct Set {
    #[stream(fold = Seen)]
    rate: StreamId,
    factors: BTreeMap<String, f64>,
}

impl CommandLogic for Set {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        emit!(events, streams.rate => event());
        Ok(())
    }
}

#[tokio::test]
async fn commands_metadata_and_keys_work() {
    let store = InMemoryEventStore::new();
    let rate = StreamId::try_new("rate:1").unwrap();
    let set = || Set { rate: rate.clone(), factors: [("a".to_owned(), 0.1)].into() };
    for replayed in [false, true] {
        let metadata = Metadata::new().with("factor", &0.1).unwrap();
        let key = IdempotencyKey::try_new("k").unwrap();
        let receipt = execute(set(), &store).metadata(metadata).idempotency_key(key).await.unwrap();
        assert_eq!(receipt.replayed, replayed);
    }
    execute(set(), &store).await.unwrap();
    let seen = fold_stream::<Seen>(&store, &rate).await.unwrap();
    assert_eq!(seen.state.0, [event(), event()]);
}
