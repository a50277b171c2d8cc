#![allow(
    unreachable_patterns,
    reason = "serde's own code for fields of one name"
)]

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
