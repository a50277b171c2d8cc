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
