//! What is stored reads back equal, or is refused when it is emitted.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use eventcore::{prelude::*, store::ReadFrom};
use eventcore_memory::InMemoryEventStore;

/// A fold that takes any event.
#[derive(Clone)]
struct Seen<E>(u64, std::marker::PhantomData<fn() -> E>);

impl<E> Default for Seen<E> {
    fn default() -> Self {
        Self(0, std::marker::PhantomData)
    }
}

impl<E: Event + Clone> Fold for Seen<E> {
    type Event = E;
    fn apply(&mut self, _: &StoredEvent<E>) {
        self.0 += 1;
    }
}

#[derive(Command)]
struct Emit<E: Event + Clone> {
    #[stream(fold = Seen<E>)]
    shape: StreamId,
    event: E,
}

impl<E: Event + Clone> CommandLogic for Emit<E> {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        emit!(events, streams.shape => self.event.clone());
        Ok(())
    }
}

fn shape() -> StreamId {
    StreamId::try_new("shape:1").unwrap()
}

/// The chain of an error's texts.
fn told(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        told = format!("{told}: {error}");
        source = error.source();
    }
    told
}

/// Emits an event, and whatever comes of it, every later command on the stream still works.
async fn emit<E: Event + Clone>(event: E, verify: bool) -> Result<(), String> {
    let store = InMemoryEventStore::new();
    let emit = || Emit {
        shape: shape(),
        event: event.clone(),
    };
    let result = execute(emit(), &store).verify_events(verify).await;
    let length = store
        .read(&[ReadFrom::start(shape())])
        .await
        .unwrap()
        .versions[0]
        .get();
    match result {
        Ok(_) => {
            execute(emit(), &store)
                .verify_events(verify)
                .await
                .map_err(|error| told(&error))?;
            Ok(())
        }
        Err(error) => {
            assert!(matches!(error, CommandError::Encode(_)), "{error:?}");
            assert_eq!(length, 0, "refused, and something was stored");
            Err(told(&error))
        }
    }
}

async fn equal<E: Event + Clone>(event: E) {
    for verify in [true, false] {
        let name = std::any::type_name::<E>();
        assert_eq!(
            emit(event.clone(), verify).await,
            Ok(()),
            "{name}, verified: {verify}"
        );
    }
}

/// Refused with these words where events are read back.
async fn refused<E: Event + Clone>(event: E, words: &str) {
    let error = emit(event, true).await.unwrap_err();
    assert!(error.contains(words), "{words:?} is not in: {error}");
}

/// Refused in every build.
async fn never_stored<E: Event + Clone>(event: E, words: &str) {
    for verify in [true, false] {
        let error = emit(event.clone(), verify).await.unwrap_err();
        assert!(error.contains(words), "{words:?} is not in: {error}");
    }
}

/// Events of one struct each, stored under a name of their own.
macro_rules! shapes {
    ($($(#[$attribute:meta])* $name:ident = $stored:literal { $($(#[$on:meta])* $field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
        #[event(name = $stored)]
        struct $name { $($(#[$on])* $field: $type),* }
    )*};
}

#[allow(
    unreachable_patterns,
    reason = "serde's own code for fields of one name"
)]
mod keys_that_stand_twice {
    use super::*;

    shapes! {
        Flat = "shape.flat" { name: String, #[serde(flatten)] extra: BTreeMap<String, String> }
        Renamed = "shape.renamed" { #[serde(rename = "a")] first: u8, #[serde(rename = "a")] second: u8 }
        Deep = "shape.deep" { list: Vec<Option<Flat>> }
        TwoMaps = "shape.two_maps" {
            #[serde(flatten)] one: BTreeMap<String, u8>, #[serde(flatten)] other: BTreeMap<String, u8>
        }
        Tagged = "shape.tagged" { value: ByTag }
        Wide = "shape.wide" {
            a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8, j: u8, k: u8, l: u8, m: u8, n: u8, o: u8,
            p: u8, #[serde(rename = "q")] q: u8, #[serde(rename = "q")] r: u8
        }
        Pairs = "shape.pairs" { #[serde(with = "as_map")] pairs: Vec<(String, u8)> }
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum ByTag {
        Named(Named),
        Map(BTreeMap<String, String>),
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Named {
        #[serde(rename = "kind")]
        other: String,
    }

    /// A list of pairs that is written as a map.
    mod as_map {
        use serde::{Deserialize, Deserializer, Serializer};

        pub(super) fn serialize<S: Serializer>(
            pairs: &[(String, u8)],
            to: S,
        ) -> Result<S::Ok, S::Error> {
            to.collect_map(pairs.iter().map(|(key, value)| (key, value)))
        }
        pub(super) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Vec<(String, u8)>, D::Error> {
            let map = std::collections::BTreeMap::<String, u8>::deserialize(from)?;
            Ok(map.into_iter().collect())
        }
    }

    fn flat(key: &str) -> Flat {
        Flat {
            name: "Ann".into(),
            extra: [(key.to_owned(), "Bob".to_owned())].into(),
        }
    }

    shapes! {
        Raw = "shape.raw" { value: Raws }
    }

    /// JSON text that is written as it is.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    struct Raws(Box<serde_json::value::RawValue>);

    impl PartialEq for Raws {
        fn eq(&self, other: &Self) -> bool {
            self.0.get() == other.0.get()
        }
    }

    #[tokio::test]
    async fn in_text_that_is_written_as_it_is() {
        let raw = |text: &str| Raw {
            value: Raws(serde_json::from_str(text).unwrap()),
        };
        never_stored(raw(r#"[{"a": 1, "a": 2}]"#), r#"key "a" is written twice"#).await;
        emit(raw(r#"[{"a": 1.50, "b": 2}]"#), true).await.unwrap();
    }

    #[tokio::test]
    async fn are_refused_in_every_build() {
        equal(flat("title")).await;
        never_stored(flat("name"), "key \"name\" is written twice").await;
        never_stored(
            Renamed {
                first: 1,
                second: 2,
            },
            "key \"a\" is written twice",
        )
        .await;
        never_stored(
            Deep {
                list: vec![None, Some(flat("name"))],
            },
            "written twice",
        )
        .await;
        let map = |keys: &[&str]| keys.iter().map(|key| ((*key).to_owned(), 1)).collect();
        equal(TwoMaps {
            one: map(&[]),
            other: map(&[]),
        })
        .await;
        never_stored(
            TwoMaps {
                one: map(&["x"]),
                other: map(&["y", "x"]),
            },
            "key \"x\"",
        )
        .await;
        let named = ByTag::Named(Named { other: "x".into() });
        never_stored(Tagged { value: named }, "key \"kind\"").await;
        let map = ByTag::Map([("kind".to_owned(), "x".to_owned())].into());
        never_stored(Tagged { value: map }, "key \"kind\"").await;
        let wide = Wide {
            a: 1,
            b: 1,
            c: 1,
            d: 1,
            e: 1,
            f: 1,
            g: 1,
            h: 1,
            i: 1,
            j: 1,
            k: 1,
            l: 1,
            m: 1,
            n: 1,
            o: 1,
            p: 1,
            q: 1,
            r: 1,
        };
        never_stored(wide, "key \"q\"").await;
        let pair = |key: &str| (key.to_owned(), 1);
        equal(Pairs {
            pairs: vec![pair("a"), pair("b")],
        })
        .await;
        never_stored(
            Pairs {
                pairs: vec![pair("a"), pair("a")],
            },
            "key \"a\"",
        )
        .await;
    }
}

mod unreadable {
    use super::*;

    shapes! {
        Skipped = "shape.skipped" {
            #[serde(skip_serializing_if = "Vec::is_empty")] items: Vec<u8>,
            other: u8,
        }
        KeyedFlat = "shape.keyed_flat" { #[serde(flatten)] by_number: BTreeMap<u32, u8> }
        LargeFlat = "shape.large_flat" { #[serde(flatten)] inner: Large }
        KeyedTagged = "shape.keyed_tagged" { inner: Keyed }
        Mismatched = "shape.mismatched" {
            #[serde(serialize_with = "as_text")] number: u32,
        }
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Large {
        number: i128,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Keyed {
        By { numbers: BTreeMap<u32, u8> },
        Large { number: u128 },
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
    fn as_text<S: serde::Serializer>(number: &u32, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&number.to_string())
    }

    #[tokio::test]
    async fn shapes_are_refused() {
        let back = "would not read back";
        equal(Skipped {
            items: vec![1],
            other: 1,
        })
        .await;
        refused(
            Skipped {
                items: Vec::new(),
                other: 1,
            },
            back,
        )
        .await;
        refused(
            KeyedFlat {
                by_number: [(7, 1)].into(),
            },
            back,
        )
        .await;
        refused(
            LargeFlat {
                inner: Large { number: i128::MAX },
            },
            back,
        )
        .await;
        refused(
            KeyedTagged {
                inner: Keyed::Large { number: u128::MAX },
            },
            back,
        )
        .await;
        refused(
            KeyedTagged {
                inner: Keyed::By {
                    numbers: [(7, 1)].into(),
                },
            },
            back,
        )
        .await;
        refused(Mismatched { number: 7 }, back).await;
    }
}

mod other_values {
    use super::*;

    shapes! {
        MaybeFlat = "shape.maybe_flat" { #[serde(flatten)] inner: Option<Inner> }
        Nested = "shape.nested" { inner: Option<Option<u8>> }
        InTuple = "shape.in_tuple" { inner: (u8, Option<Option<u8>>) }
        Wrapped = "shape.wrapped" { inner: Option<Wrapper> }
        Either = "shape.either" { either: Untagged }
        NotStored = "shape.not_stored" { kept: u8, #[serde(skip)] lost: u8 }
        OtherName = "shape.other_name" { #[serde(rename(serialize = "a", deserialize = "b"), default)] field: u8 }
        Unit = "shape.unit" { unit: Option<Nothing> }
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Inner {
        number: u128,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapper(Option<u8>);

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Nothing;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Small(u8),
        Large(u64),
        Text(String),
    }

    /// Told apart by its text alone.
    #[derive(Clone, Debug, Serialize, Deserialize, Event)]
    #[event(name = "shape.without_eq")]
    struct WithoutEq {
        either: Untagged,
        set: HashSet<u32>,
    }

    #[tokio::test]
    async fn are_refused() {
        let back = "would not read back";
        equal(MaybeFlat { inner: None }).await;
        refused(
            MaybeFlat {
                inner: Some(Inner { number: 7 << 100 }),
            },
            back,
        )
        .await;
        equal(Nested {
            inner: Some(Some(1)),
        })
        .await;
        equal(Nested { inner: None }).await;
        refused(Nested { inner: Some(None) }, back).await;
        refused(
            InTuple {
                inner: (1, Some(None)),
            },
            back,
        )
        .await;
        equal(Wrapped {
            inner: Some(Wrapper(Some(1))),
        })
        .await;
        refused(
            Wrapped {
                inner: Some(Wrapper(None)),
            },
            back,
        )
        .await;
        equal(Either {
            either: Untagged::Large(1000),
        })
        .await;
        equal(Either {
            either: Untagged::Text("7".into()),
        })
        .await;
        refused(
            Either {
                either: Untagged::Large(7),
            },
            back,
        )
        .await;
        equal(NotStored { kept: 1, lost: 0 }).await;
        refused(NotStored { kept: 1, lost: 1 }, back).await;
        equal(OtherName { field: 0 }).await;
        refused(OtherName { field: 1 }, back).await;
        refused(
            Unit {
                unit: Some(Nothing),
            },
            back,
        )
        .await;
        let set = (0..100).collect();
        equal(WithoutEq {
            either: Untagged::Large(1000),
            set,
        })
        .await;
        let set = HashSet::new();
        refused(
            WithoutEq {
                either: Untagged::Large(7),
                set,
            },
            back,
        )
        .await;
    }
}

mod equal_ones {
    use super::*;

    shapes! {
        Values = "shape.values" {
            map: HashMap<String, Vec<f32>>,
            set: HashSet<String>,
            ordered: BTreeSet<char>,
            keyed: BTreeMap<i64, bool>,
            by_variant: HashMap<Variant, u8>,
            by_char: BTreeMap<char, u8>,
            bytes: Vec<u8>,
            large: u128,
            float: f64,
            unit: (),
            tuple: (u8, String),
            text: String,
            #[serde(flatten)] flat: Flat,
            #[serde(alias = "older")] alias: u8,
            #[serde(default, skip_serializing_if = "Option::is_none")] maybe: Option<u8>,
        }
    }

    #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
    enum Variant {
        One,
        Two,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Flat {
        rate: f32,
        count: u64,
        below: i64,
        choice: Choice,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind", content = "value")]
    enum Choice {
        Text(String),
        Numbers(Vec<f64>),
    }

    #[tokio::test]
    async fn pass_in_every_build() {
        for float in [0.1, -0.0, f64::MIN_POSITIVE, f64::MAX, 5e-324] {
            equal(Values {
                map: (0..30_u8)
                    .map(|n| (format!("k{n}"), vec![f32::from(n) / 3.0]))
                    .collect(),
                set: (0..30).map(|n| n.to_string()).collect(),
                ordered: ['é', '\0', '"'].into(),
                keyed: [(i64::MIN, true), (0, false), (i64::MAX, true)].into(),
                by_variant: [(Variant::One, 1), (Variant::Two, 2)].into(),
                by_char: [('"', 1), ('é', 2)].into(),
                bytes: vec![0, 255],
                large: u128::MAX,
                float,
                unit: (),
                tuple: (1, "\u{1F600}\0\u{7f}".into()),
                text: "\\u0000 \u{2028}".into(),
                flat: Flat {
                    rate: 0.1,
                    count: u64::MAX,
                    below: i64::MIN,
                    choice: Choice::Numbers(vec![float, 1e300]),
                },
                alias: 1,
                maybe: None,
            })
            .await;
        }
    }

    /// Neither `PartialEq` nor `Debug`: what it encodes to is compared.
    #[derive(Clone, Serialize, Deserialize, Event)]
    #[event(name = "shape.bare")]
    struct Bare {
        map: HashMap<u8, u8>,
        choice: Choice,
    }

    #[tokio::test]
    async fn need_nothing_but_serde() {
        let map = (0..100).map(|n| (n, n)).collect();
        equal(Bare {
            map,
            choice: Choice::Text("x".into()),
        })
        .await;
    }
}
