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
