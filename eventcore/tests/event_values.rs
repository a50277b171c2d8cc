//! Values that JSON or a database might bend: they read back equal, or are refused at `emit!`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

#[path = "support/seed.rs"]
mod seed;

use std::{collections::BTreeMap, error::Error};

use eventcore::{fold_stream, prelude::*};
use eventcore_memory::InMemoryEventStore;
use proptest::prelude::*;

use self::seed::{json_of, stream, texts};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
#[event(prefix = "value")]
enum ValueEvent {
    Float(f64),
    Single { of: f32 },
    Unsigned(u64),
    Wide { low: i128, high: u128 },
    Text { of: String },
    Character(char),
    Keyed(BTreeMap<String, i64>),
    Numbered(BTreeMap<u64, bool>),
    Nested(Box<Nested>),
    Lists(Lists),
}

/// Each way in which an enum can wrap itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Nested {
    Leaf,
    Newtype(Box<Nested>),
    Tuple(Box<Nested>, u8),
    Struct { inner: Box<Nested> },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Lists(Vec<Lists>);

#[derive(Default, Clone, Debug)]
struct Values(Vec<ValueEvent>);

impl Fold for Values {
    type Event = ValueEvent;
    fn apply(&mut self, event: &StoredEvent<ValueEvent>) {
        self.0.push(event.data().clone());
    }
}

#[derive(Command)]
struct Record {
    #[stream(fold = Values)]
    values: StreamId,
    record: Vec<ValueEvent>,
}

impl CommandLogic for Record {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        for value in &self.record {
            emit!(events, streams.values => value.clone());
        }
        Ok(())
    }
}

fn record(values: &[ValueEvent]) -> Record {
    Record {
        values: stream("values"),
        record: values.to_vec(),
    }
}

fn there_and_back(event: &ValueEvent) -> ValueEvent {
    let stored = event.encode().unwrap();
    ValueEvent::decode(&stored).unwrap().unwrap()
}

fn text(event: &ValueEvent) -> String {
    json_of(&event.encode().unwrap()).to_owned()
}

fn float_bits(event: &ValueEvent) -> u64 {
    match there_and_back(event) {
        ValueEvent::Float(value) => value.to_bits(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_was_emitted_is_folded_again_equal() {
    let values = [
        ValueEvent::Unsigned(u64::MAX),
        ValueEvent::Wide {
            low: i128::MIN,
            high: u128::MAX,
        },
        ValueEvent::Single {
            of: f32::MIN_POSITIVE,
        },
        ValueEvent::Float(f64::MAX),
        ValueEvent::Text {
            of: "a\0b\u{1f600}\u{2028}\"\\\u{7f}".into(),
        },
        ValueEvent::Character('\0'),
        ValueEvent::Keyed(BTreeMap::from([
            ("\0".into(), i64::MIN),
            (String::new(), 1),
        ])),
        ValueEvent::Numbered(BTreeMap::from([(u64::MAX, true)])),
    ];
    let store = InMemoryEventStore::new();
    execute(record(&values), &store).await.unwrap();
    let folded = fold_stream::<Values>(&store, &stream("values"))
        .await
        .unwrap();
    assert_eq!(folded.state.0, values);
}

#[test]
fn the_text_of_extreme_values_is_exact() {
    assert_eq!(
        text(&ValueEvent::Unsigned(u64::MAX)),
        "18446744073709551615"
    );
    assert_eq!(
        text(&ValueEvent::Text { of: "\0".into() }),
        r#"{"of":"\u0000"}"#
    );
    assert_eq!(text(&ValueEvent::Float(-0.0)), "-0.0");
    assert_eq!(text(&ValueEvent::Float(0.1 + 0.2)), "0.30000000000000004");
    let wide = ValueEvent::Wide {
        low: i128::MIN,
        high: u128::MAX,
    };
    assert_eq!(
        text(&wide),
        "{\"low\":-170141183460469231731687303715884105728,\
         \"high\":340282366920938463463374607431768211455}"
    );
}

#[test]
fn the_sign_of_zero_is_kept() {
    assert_eq!(float_bits(&ValueEvent::Float(-0.0)), (-0.0_f64).to_bits());
}

#[test]
fn floats_that_common_parsers_get_wrong_are_exact() {
    for value in [
        f64::MIN_POSITIVE,
        5e-324,
        2.225_073_858_507_201e-308,
        9_007_199_254_740_992.0,
        51.248_178_376_075_05,
        -93.304_848_811_039_24,
    ] {
        assert_eq!(
            float_bits(&ValueEvent::Float(value)),
            value.to_bits(),
            "{value:e}"
        );
    }
}

proptest! {
    #[test]
    fn every_finite_float_reads_back_to_the_last_bit(bits: u64) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite());
        prop_assert_eq!(float_bits(&ValueEvent::Float(value)), bits);
    }

    #[test]
    fn every_text_reads_back(of: String, key: String, number: i64) {
        let event = ValueEvent::Text { of };
        prop_assert_eq!(there_and_back(&event), event);
        let event = ValueEvent::Keyed(BTreeMap::from([(key, number)]));
        prop_assert_eq!(there_and_back(&event), event);
    }
}

async fn refusal(values: &[ValueEvent]) -> String {
    let store = InMemoryEventStore::new();
    let error = execute(record(values), &store).await.unwrap_err();
    assert!(matches!(error, CommandError::Encode(_)), "{error:?}");
    assert!(!error.is_retriable() && !error.is_rejection());
    assert!(
        texts(&store, "values").await.is_empty(),
        "nothing is stored"
    );
    format!("{error}: {}", error.source().unwrap())
}

#[tokio::test]
async fn numbers_that_are_not_finite_are_refused_and_nothing_is_stored() {
    for (value, name) in [
        (f64::NAN, "NaN"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
    ] {
        assert_eq!(
            refusal(&[ValueEvent::Unsigned(1), ValueEvent::Float(value)]).await,
            format!("event `value.float` cannot be stored: {name} has no form in JSON")
        );
    }
    let single = refusal(&[ValueEvent::Single { of: f32::NAN }]).await;
    assert!(single.starts_with("event `value.single`"), "{single}");
}

#[tokio::test]
async fn the_first_event_that_cannot_be_stored_is_the_one_that_is_named() {
    let values = [
        ValueEvent::Single { of: f32::NAN },
        ValueEvent::Float(f64::NAN),
    ];
    let refused = refusal(&values).await;
    assert!(refused.starts_with("event `value.single`"), "{refused}");
}

fn nested(levels: usize, wrap: fn(Box<Nested>) -> Nested) -> ValueEvent {
    let nested = (0..levels).fold(Nested::Leaf, |inner, _| wrap(Box::new(inner)));
    ValueEvent::Nested(Box::new(nested))
}

fn lists(levels: usize) -> ValueEvent {
    let one = |inner, _| Lists(vec![inner]);
    ValueEvent::Lists((0..levels).fold(Lists::default(), one))
}

#[tokio::test]
async fn nesting_that_could_not_be_read_back_is_refused() {
    let refused = refusal(&[lists(1000)]).await;
    assert_eq!(
        refused,
        "event `value.lists` cannot be stored: nested deeper than 126 levels"
    );
}

#[test]
fn whatever_nesting_is_accepted_reads_back() {
    type Make = fn(usize) -> ValueEvent;
    let kinds: [(&str, Make); 4] = [
        ("lists", lists),
        ("newtypes", |levels| nested(levels, Nested::Newtype)),
        ("tuples", |levels| {
            nested(levels, |inner| Nested::Tuple(inner, 0))
        }),
        ("structs", |levels| {
            nested(levels, |inner| Nested::Struct { inner })
        }),
    ];
    for (kind, make) in kinds {
        let mut deepest = 0;
        for levels in 0..200 {
            let event = make(levels);
            let Ok(stored) = event.encode() else { continue };
            let read = ValueEvent::decode(&stored);
            assert_eq!(read.ok().flatten(), Some(event), "{levels} {kind}");
            deepest = levels;
        }
        assert!((50..130).contains(&deepest), "{deepest} {kind}");
    }
}
