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
