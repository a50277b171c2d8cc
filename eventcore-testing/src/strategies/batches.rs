//! What is sent to a store.

use std::collections::BTreeMap;

use eventcore::{
    EventFilter, EventType, StreamId, StreamVersion,
    store::{AppendBatch, Idempotency, ReadFrom},
};
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::{Index, select, subsequence},
};
use uuid::Uuid;

use super::{
    causation_id, correlation_id, encoded_event, event_type, idempotency_key, metadata_text,
    stream_id, stream_prefix, stream_version, timestamp,
};

/// Streams to read, from the start or from after a version.
pub fn read_from() -> impl Strategy<Value = ReadFrom> {
    (stream_id(), stream_version()).prop_map(|(stream, after)| ReadFrom::after(stream, after))
}

/// Names under which a batch takes effect at most once, with the digest of a command.
pub fn idempotency() -> impl Strategy<Value = Idempotency> {
    (idempotency_key(), any::<u128>()).prop_map(|(key, bits)| Idempotency {
        key,
        fingerprint: Uuid::from_u128(bits),
    })
}

/// Filters of all kinds, over any names.
pub fn event_filter() -> impl Strategy<Value = EventFilter> {
    let names = (vec(stream_id(), 1..4), vec(event_type(), 1..4));
    names.prop_flat_map(|(streams, types)| event_filter_over(&streams, &types))
}

/// Filters of all kinds that have to do with these streams and types, so that they let some events through and hold
/// others back. Those that let nothing through are among them.
///
/// # Panics
///
/// When `streams` is empty.
pub fn event_filter_over(
    streams: &[StreamId],
    types: &[EventType],
) -> impl Strategy<Value = EventFilter> + use<> {
    let some_types = option::of(subsequence(types.to_vec(), 0..=types.len()));
    let prefix =
        (select(streams.to_vec()), any::<Index>()).prop_filter_map("no prefix", |(stream, at)| {
            let chars = stream.as_str().chars().count();
            let text: String = stream.as_str().chars().take(at.index(chars) + 1).collect();
            eventcore::StreamPrefix::try_new(text).ok()
        });
    let by_stream = prop_oneof![
        2 => Just(EventFilter::all()),
        2 => prefix.prop_map(|prefix| EventFilter::all().prefix(prefix)),
        1 => stream_prefix().prop_map(|prefix| EventFilter::all().prefix(prefix)),
        2 => subsequence(streams.to_vec(), 0..=streams.len())
            .prop_map(|exact| EventFilter::all().streams(exact)),
    ];
    (by_stream, some_types).prop_map(|(filter, types)| match types {
        Some(types) => filter.types(types),
        None => filter,
    })
}

/// Valid batches with any expectations, keyed ones without events among them.
///
/// The identities of their events are new each time, so a batch that is shrunk or made again has others.
pub fn append_batch() -> impl Strategy<Value = AppendBatch> {
    batch_over(btree_map(stream_id(), stream_version(), 1..4))
}

/// Valid batches that a store without events takes: they expect all their streams to be empty.
pub fn first_append_batch() -> impl Strategy<Value = AppendBatch> {
    batch_over(btree_map(stream_id(), Just(StreamVersion::EMPTY), 1..4))
}

fn batch_over(
    expectations: impl Strategy<Value = BTreeMap<StreamId, StreamVersion>>,
) -> impl Strategy<Value = AppendBatch> {
    let rest = (
        vec((any::<Index>(), encoded_event()), 0..5),
        option::of(idempotency()),
        correlation_id(),
        option::of(causation_id()),
        option::of(metadata_text()),
        timestamp(),
    );
    (expectations, rest).prop_filter_map(
        "neither events nor a key",
        |(expectations, (events, idempotency, correlation, causation, metadata, time))| {
            let streams: Vec<StreamId> = expectations.keys().cloned().collect();
            let mut batch = AppendBatch::builder();
            for (stream, version) in expectations {
                batch.expect(stream, version).ok()?;
            }
            for (stream, event) in events {
                batch.event(stream.get(&streams), event).ok()?;
            }
            if let Some(idempotency) = idempotency {
                batch.idempotency(idempotency);
            }
            batch
                .correlation_id(correlation)
                .causation_id(causation)
                .metadata(metadata)
                .recorded_at(time);
            batch.build().ok()
        },
    )
}
