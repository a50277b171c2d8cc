//! Events as they are stored, and what comes with them.

use std::{collections::BTreeMap, sync::Arc};

use eventcore::{EncodedEvent, EventType, Metadata, Payload};
use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Value, json};

use super::{causation_id, correlation_id, schema_version};

const AWKWARD_TYPES: &[&str] = &["t", "T", "t_x", "t%x", "t\\x", "\u{e9}", "\u{1f980}", "a'b"];

/// Stored names of event types; some differ in case only, some look like patterns.
pub fn event_type() -> impl Strategy<Value = EventType> {
    let name = prop_oneof![
        3 => "[a-c]{1,3}\\.[a-c]{1,3}",
        1 => select(AWKWARD_TYPES).prop_map(str::to_owned),
        1 => Just("t".repeat(255)),
    ];
    name.prop_filter_map("no type", |name| EventType::try_new(name).ok())
}

/// Strings, with everything in them that has to be escaped somewhere.
fn text() -> impl Strategy<Value = String> {
    const ESCAPED: &[&str] = &[
        "\0", "\u{1}", "\n", "\"", "\\", "\\u0000", "'", "\u{7f}", "\u{2028}",
    ];
    const WIDE: &[&str] = &[
        "\u{1f980}",
        "\u{1f468}\u{200d}\u{1f680}",
        "e\u{301}",
        "\u{feff}",
        "\u{ffff}",
    ];
    let part = prop_oneof![
        3 => "[a-z ]{0,6}",
        1 => select(ESCAPED).prop_map(str::to_owned),
        1 => select(WIDE).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    vec(part, 0..4).prop_map(|parts| parts.concat())
}

fn awkward_numbers() -> Vec<Value> {
    vec![
        json!(u64::MAX),
        json!(i64::MIN),
        json!(i64::MAX.unsigned_abs() + 1),
        json!((1_u64 << 53) + 1),
        json!(-0.0),
        json!(0.1 + 0.2),
        json!(f64::MAX),
        json!(f64::MIN_POSITIVE),
        json!(5e-324),
        json!(1e100),
    ]
}

/// Numbers that some formats bend: beyond 2^53, at the ends of 64 bits, tiny, negative zero.
fn number() -> impl Strategy<Value = Value> {
    let finite = any::<f64>().prop_filter("not finite", |number| number.is_finite());
    prop_oneof![
        3 => (-100..100_i64).prop_map(|n| json!(n)),
        1 => any::<u64>().prop_map(|n| json!(n)),
        1 => any::<i64>().prop_map(|n| json!(n)),
        1 => finite.prop_map(|n| json!(n)),
        1 => select(awkward_numbers()),
    ]
}

/// JSON values with awkward numbers and strings, nested a few levels deep.
pub fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        3 => number(),
        3 => text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((text(), inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// JSON texts that no serializer of ours writes and that have to come back byte for byte all the same.
const VERBATIM: &[&str] = &[
    r#"{"b":1,"a":2}"#,
    r#"{"a":1,"a":2}"#,
    r#" { "a" : [ 1 , 2 ] } "#,
    "1e2",
    "-0",
    "1.0",
    "1.10",
    "18446744073709551615",
    "123456789012345678901234567890",
    "0.1000000000000000055511151231257827",
    r#""\u0000""#,
    r#""\ud83e\udd80""#,
    r#""\u00e9""#,
    r#""\/""#,
    "null",
    "{}",
    "[]",
];

/// A JSON string of this many spaces, so that a payload is long.
fn spaces(count: usize) -> Vec<u8> {
    format!("\"{:count$}\"", "").into_bytes()
}

/// Payloads: JSON text, of [`json_value`]s mostly, some written as no serializer would.
pub fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        4 => json_value().prop_map(|value| Payload::from(value.to_string().into_bytes())),
        1 => select(VERBATIM).prop_map(|text| Payload::from(text.as_bytes())),
        1 => (1..20_usize).prop_map(|n| Payload::from(spaces(n * 1000))),
    ]
}

/// Events ready to be stored.
pub fn encoded_event() -> impl Strategy<Value = EncodedEvent> {
    (event_type(), schema_version(), payload())
        .prop_map(|(event_type, schema, payload)| EncodedEvent::new(event_type, schema, payload))
}

/// Metadata with and without each of its parts.
pub fn metadata() -> impl Strategy<Value = Metadata> {
    (
        option::of(text()),
        option::of(correlation_id()),
        option::of(causation_id()),
        vec((text(), json_value()), 0..3),
    )
        .prop_filter_map("no metadata", |(actor, correlation, causation, custom)| {
            let mut metadata = Metadata::new();
            if let Some(actor) = actor {
                metadata = metadata.actor(actor);
            }
            if let Some(id) = correlation {
                metadata = metadata.correlation_id(id);
            }
            if let Some(id) = causation {
                metadata = metadata.causation_id(id);
            }
            custom
                .into_iter()
                .try_fold(metadata, |metadata, (key, value)| {
                    metadata.with(key, &value)
                })
                .ok()
        })
}

/// Metadata as the text that a batch carries.
pub fn metadata_text() -> impl Strategy<Value = Arc<str>> {
    (option::of(text()), vec((text(), json_value()), 0..3)).prop_map(|(actor, custom)| {
        let custom: BTreeMap<String, Value> = custom.into_iter().collect();
        let stored = match actor {
            Some(actor) => json!({ "actor": actor, "custom": custom }),
            None => json!({ "custom": custom }),
        };
        stored.to_string().into()
    })
}
