//! P10: what goes in comes out, byte for byte.

use std::sync::Arc;

use eventcore::{
    CausationId, CorrelationId, EncodedEvent, EventFilter, EventType, Metadata, Payload,
    RecordedEvent, SchemaVersion, Timestamp, execute,
};
use uuid::Uuid;

use super::{
    Harness,
    kit::{Store, append, draft, event, numbered, pages, stream, view},
    purse::Add,
};

/// Appends events to one stream and gives them back as `read` and as `read_all` return them.
async fn round_trip(store: &Store, events: &[EncodedEvent]) -> [Vec<RecordedEvent>; 2] {
    let a = stream("values:a");
    let batch = events
        .iter()
        .fold(draft().expect(&a, 0), |d, e| d.event(&a, e.clone()));
    append(store, batch.build()).await;
    let read = view(store, &[&a]).await.events;
    let log = pages(store, &EventFilter::all(), 1000).await;
    [read, log]
}

/// JSON that a database would like to rewrite, and bytes that are none.
pub async fn payloads_come_back_byte_for_byte(harness: Harness) {
    let store = harness.store();
    let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    let long = format!("\"{}\"", "\u{1F600}".repeat(10_000));
    let json: [&str; 26] = [
        "{}",
        "null",
        "\"\"",
        r#"{"nul":"\u0000"}"#,
        r#"{"lone surrogate":"\ud800"}"#,
        r#"{"escaped":"\u00e9","not":"é"}"#,
        r#"{"slash":"\/","tab":"\t"}"#,
        r#"{"big":123456789012345678901234567890}"#,
        r#"{"u64":18446744073709551615,"i64":-9223372036854775808}"#,
        r#"{"above i64":9223372036854775808}"#,
        r#"{"exponent":1e2,"fraction":1.0,"zeros":1.500}"#,
        r#"{"minus zero":-0,"and":-0.0}"#,
        r#"{"precise":0.1000000000000000055511151231257827021181583404541015625}"#,
        r#"{"huge":1e308,"tiny":5e-324,"beyond":1e400}"#,
        r#"{"twice":1,"twice":2}"#,
        r#"{"z":1,"a":2,"M":3}"#,
        "{ \"white\" :\t1 ,\r\n \"space\" : [ ] }\n",
        "  1  ",
        r#"{"":{"":""}}"#,
        r#"{"quotes":"' '' \" \\ ` $1 ? :name %s"}"#,
        r#"{"nfc":"é","nfd":"é"}"#,
        r#"{"אבג":"日本語","emoji":"👩‍👩‍👧","bom":"﻿"}"#,
        r#"{"last char":"􏿿"}"#,
        r#"{"true":true,"t":"true"}"#,
        &deep,
        &long,
    ];
    let bytes: [Vec<u8>; 6] = [
        Vec::new(),
        vec![0],
        (0..=255).collect(),
        vec![0xff; 1000],
        b"\xc3\x28 is no UTF-8".to_vec(),
        b"{not json".to_vec(),
    ];
    let payloads: Vec<Vec<u8>> = json
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .chain(bytes)
        .collect();
    let events: Vec<_> = payloads
        .iter()
        .map(|p| event("contract.value", p.clone()))
        .collect();
    for (how, found) in ["read", "read_all"]
        .into_iter()
        .zip(round_trip(&store, &events).await)
    {
        assert_eq!(found.len(), payloads.len(), "`{how}` owes every event");
        for (sent, found) in payloads.iter().zip(&found) {
            assert!(
                found.encoded().payload().as_bytes() == sent,
                "payloads are promised byte for byte; `{how}` gives {:.300} for {:.300}",
                found
                    .encoded()
                    .payload()
                    .as_bytes()
                    .escape_ascii()
                    .to_string(),
                sent.escape_ascii().to_string()
            );
        }
    }
}

/// Names of 1 and 255 characters in any alphabet, and versions up to the largest.
pub async fn types_and_schemas_come_back(harness: Harness) {
    let store = harness.store();
    let long = "t".repeat(255);
    let wide = "\u{1F4BE}".repeat(255);
    let names = [
        "t",
        "a.b.c",
        "T",
        "ä",
        "konto:eröffnet",
        "';--",
        "%_\\",
        "1",
        "null",
        &long,
        &wide,
    ];
    let schemas = [1, 2, 255, 256, 65_536, 1 << 31, u32::MAX];
    let mut events = Vec::new();
    for name in names {
        for schema in schemas {
            let name = EventType::try_new(name).expect("a valid type name");
            let schema = SchemaVersion::new(schema).expect("not 0");
            events.push(EncodedEvent::new(name, schema, Payload::from(&b"{}"[..])));
        }
    }
    for found in round_trip(&store, &events).await {
        let found: Vec<_> = found.iter().map(|event| event.encoded().clone()).collect();
        for (sent, found) in events.iter().zip(&found) {
            assert_eq!(
                found, sent,
                "type and schema version are promised to come back"
            );
        }
        assert_eq!(found.len(), events.len());
    }
}

/// Texts with a spelling of their own, none at all, and what `execute` makes of typed metadata.
pub async fn metadata_comes_back_byte_for_byte(harness: Harness) {
    let store = harness.store();
    let texts: [Option<&str>; 5] = [
        None,
        Some("{}"),
        Some("{ \"custom\" : {\"b\":1e2, \"a\":\"\\u0000\",\"a\":-0} }"),
        Some(r#"{"actor":"Zoë 👩‍💻","custom":{"n":18446744073709551615}}"#),
        Some("{\"actor\":\"' \\\" \\\\ % _\"}"),
    ];
    for (number, text) in texts.into_iter().enumerate() {
        let a = stream(format!("metadata:{number}"));
        let text: Option<Arc<str>> = text.map(Arc::from);
        let correlation = CorrelationId::from(Uuid::from_u128(number as u128));
        let causation = (number % 2 == 0).then(|| CausationId::from(Uuid::max()));
        let batch = draft().expect(&a, 0).with(|batch| {
            batch
                .metadata(text.clone())
                .correlation_id(correlation)
                .causation_id(causation);
        });
        let receipt = append(&store, batch.event(&a, numbered(1)).build()).await;
        assert_eq!(
            receipt.correlation_id, correlation,
            "the receipt names the chain"
        );
        let event = &view(&store, &[&a]).await.events[0];
        assert_eq!(
            event.metadata_text(),
            text.as_deref(),
            "metadata is promised to come back as the text that was appended"
        );
        assert_eq!(
            (event.correlation_id(), event.causation_id()),
            (correlation, causation),
            "correlation and causation are promised to come back"
        );
    }
    let purse = stream("metadata:purse");
    let metadata = Metadata::new()
        .actor("alice")
        .correlation_id(Uuid::from_u128(7))
        .causation_id(Uuid::from_u128(8))
        .with("largest", &u64::MAX)
        .expect("a number");
    let running = execute(Add::to(&purse), &store).metadata(metadata.clone());
    running.await.expect("a command with metadata");
    let event = &view(&store, &[&purse]).await.events[0];
    assert_eq!(
        event.metadata().expect("what was stored reads back"),
        metadata
    );
}

/// Both ends, around the epoch, and to the single microsecond.
pub async fn times_come_back_to_the_microsecond(harness: Harness) {
    let store = harness.store();
    let micros = [
        -62_135_596_800_000_000,
        -62_135_596_799_999_999,
        -1_000_001,
        -1_000_000,
        -999_999,
        -1,
        0,
        1,
        999_999,
        1_700_000_000_123_456,
        253_402_207_199_999_999,
    ];
    for (number, micros) in micros.into_iter().enumerate() {
        let a = stream(format!("times:{number}"));
        let time = Timestamp::from_unix_micros(micros).expect("a time within bounds");
        let batch = draft().expect(&a, 0).with(|batch| {
            batch.recorded_at(time);
        });
        append(&store, batch.event(&a, numbered(1)).build()).await;
        let found = view(&store, &[&a]).await.events[0].recorded_at();
        assert_eq!(
            found.unix_micros(),
            micros,
            "{time} is promised to come back to the microsecond, came back as {found}"
        );
    }
}
