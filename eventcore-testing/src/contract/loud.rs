//! P7: an event that cannot be read is an error that says where it is, never a gap.

use eventcore::{
    CommandError, DecodeError, EventFilter, StreamId, execute, fold_stream, store::ReadError,
};

use super::{
    Harness,
    kit::{Store, append, draft, event, pages, stream, view},
    purse::{Add, Purse},
};

const KNOWN: &str = "contract.purse.moved";

/// A stream whose second of three events is another.
async fn with_second(store: &Store, second: eventcore::EncodedEvent) -> StreamId {
    let purse = stream("loud:purse");
    let good = || event(KNOWN, "{\"by\":1}");
    let batch = draft().expect(&purse, 0).event(&purse, good());
    let batch = batch.event(&purse, second).event(&purse, good());
    append(store, batch.build()).await;
    purse
}

/// Types and payloads that a store might take offence at, between others.
pub async fn nothing_is_dropped_from_a_read(harness: Harness) {
    let store = harness.store();
    let a = stream("loud:a");
    let strange = [
        event("nobody.knows.this", "{}"),
        event(KNOWN, "{not json"),
        event(KNOWN, ""),
        event(KNOWN, [0xff, 0x00, 0xfe]),
        event(KNOWN, "{\"by\":\"text\"}"),
        event("tombstone", "null"),
    ];
    let batch = strange
        .iter()
        .fold(draft().expect(&a, 0), |d, e| d.event(&a, e.clone()));
    append(&store, batch.build()).await;
    let read = view(&store, &[&a]).await.events;
    let log = pages(&store, &EventFilter::all(), 3).await;
    let by_type = EventFilter::all().types(strange.iter().map(|e| e.event_type().clone()));
    let filtered = pages(&store, &by_type, 100).await;
    for (how, found) in [
        ("read", read),
        ("read_all", log),
        ("read_all with a filter", filtered),
    ] {
        let found: Vec<_> = found.iter().map(|event| event.encoded().clone()).collect();
        assert_eq!(
            found, strange,
            "`{how}` is promised to return every event, also those that nobody can decode"
        );
    }
}

fn check_error(error: &DecodeError, purse: &StreamId, name: &str) {
    assert_eq!(
        (
            error.stream(),
            error.version().get(),
            error.event_type().as_str()
        ),
        (purse, 2, name),
        "a decoding error is promised to say which event it is about"
    );
    let text = error.to_string();
    assert!(
        text.contains(purse.as_str()) && text.contains(name),
        "the error's text does not name stream and type: {text}"
    );
}

async fn both_stop(store: &Store, purse: &StreamId, name: &str) {
    match execute(Add::to(purse), store).await {
        Err(CommandError::Decode(error)) => check_error(&error, purse, name),
        other => {
            panic!("a command on an event that it cannot decode is promised to fail, got {other:?}")
        }
    }
    match fold_stream::<Purse>(store, purse).await {
        Err(ReadError::Decode(error)) => check_error(&error, purse, name),
        other => {
            panic!("a fold over an event that it cannot decode is promised to fail, got {other:?}")
        }
    }
    let version = view(store, &[purse]).await.versions[0];
    assert_eq!(version, 3, "a command that failed appends nothing");
}

/// A type that the fold's events do not have.
pub async fn an_unknown_type_stops_command_and_fold(harness: Harness) {
    let store = harness.store();
    let purse = with_second(&store, event("contract.purse.stolen", "{}")).await;
    both_stop(&store, &purse, "contract.purse.stolen").await;
}

/// A known type with bytes that do not fit it.
pub async fn an_undecodable_payload_stops_command_and_fold(harness: Harness) {
    let store = harness.store();
    let purse = with_second(&store, event(KNOWN, "{\"by\":\"much\"}")).await;
    both_stop(&store, &purse, KNOWN).await;
}
