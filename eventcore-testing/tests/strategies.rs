//! What holds for all values of the public types, and that the strategies make what they say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

use std::collections::BTreeSet;

use eventcore::{
    prelude::*,
    store::{AppendBatch, PageSize, ReadFrom, RecordedFields, StreamFilter},
    *,
};
use eventcore_memory::InMemoryEventStore;
use eventcore_testing::strategies;
use proptest::prelude::*;
use serde::de::{DeserializeOwned, IgnoredAny};

/// Through JSON and back.
fn json<T: Serialize + DeserializeOwned>(value: &T) -> T {
    let text = serde_json::to_string(value).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
}

proptest! {
    #[test]
    fn stream_ids_come_back_from_text_and_json(id in strategies::stream_id()) {
        prop_assert_eq!(&id.to_string().parse::<StreamId>().unwrap(), &id);
        prop_assert_eq!(json(&id), id);
    }

    #[test]
    fn trimming_twice_is_trimming_once(
        id in strategies::stream_id(),
        left in "[ \t\n\u{a0}]{0,3}",
        right in "[ \r\u{2003}]{0,3}",
    ) {
        let padded = format!("{left}{id}{right}");
        let trimmed = StreamId::try_new(&padded).unwrap();
        prop_assert_eq!(&StreamId::try_new(trimmed.as_str()).unwrap(), &trimmed);
        prop_assert_eq!(trimmed, id);
    }

    #[test]
    fn bad_stream_names_are_refused_by_every_way_in(name in strategies::invalid_stream_name()) {
        let error = StreamId::try_new(&name).unwrap_err();
        prop_assert_eq!(&name.parse::<StreamId>().unwrap_err(), &error);
        prop_assert!(serde_json::from_value::<StreamId>(name.into()).is_err());
    }

    #[test]
    fn a_category_is_the_beginning_without_a_colon(id in strategies::stream_id()) {
        prop_assert!(id.as_str().starts_with(id.category()));
        prop_assert!(!id.category().contains(':'));
    }

    #[test]
    fn a_prefix_matches_as_text_begins(
        id in strategies::stream_id(),
        prefix in strategies::stream_prefix(),
    ) {
        prop_assert_eq!(prefix.matches(&id), id.as_str().starts_with(prefix.as_str()));
    }

    #[test]
    fn every_beginning_of_a_stream_is_a_prefix_of_it(id in strategies::stream_id()) {
        for (end, c) in id.as_str().char_indices() {
            let prefix = StreamPrefix::try_new(&id.as_str()[..end + c.len_utf8()]).unwrap();
            prop_assert!(prefix.matches(&id));
        }
    }

    #[test]
    fn identifiers_come_back_from_text_and_json(
        event in strategies::event_id(),
        correlation in strategies::correlation_id(),
        causation in strategies::causation_id(),
    ) {
        prop_assert_eq!(event.to_string().parse::<EventId>().unwrap(), event);
        prop_assert_eq!(json(&event), event);
        prop_assert_eq!(correlation.to_string().parse::<CorrelationId>().unwrap(), correlation);
        prop_assert_eq!(json(&correlation), correlation);
        prop_assert_eq!(causation.to_string().parse::<CausationId>().unwrap(), causation);
        prop_assert_eq!(json(&causation), causation);
    }

    #[test]
    fn keys_and_types_are_kept_byte_for_byte(
        key in strategies::idempotency_key(),
        name in strategies::event_type(),
    ) {
        prop_assert_eq!(key.to_string().parse::<IdempotencyKey>().unwrap(), key);
        prop_assert_eq!(EventType::try_new(name.as_str()).unwrap(), name);
    }

    #[test]
    fn counters_come_back_from_every_integer(
        version in strategies::stream_version(),
        position in strategies::global_position(),
    ) {
        prop_assert_eq!(StreamVersion::try_from(version.to_i64()).unwrap(), version);
        prop_assert_eq!(StreamVersion::try_new(version.get()).unwrap(), version);
        prop_assert_eq!(json(&version), version);
        prop_assert_eq!(GlobalPosition::try_from(position.to_i64()).unwrap(), position);
        prop_assert_eq!(GlobalPosition::try_new(position.get()).unwrap(), position);
        prop_assert_eq!(json(&position), position);
    }

    #[test]
    fn what_no_store_can_count_is_refused(number in i64::MAX.unsigned_abs() + 1..) {
        prop_assert!(StreamVersion::try_new(number).is_err());
        prop_assert!(serde_json::from_value::<GlobalPosition>(number.into()).is_err());
    }

    #[test]
    fn times_come_back_from_text_json_and_number(time in strategies::timestamp()) {
        prop_assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
        prop_assert_eq!(Timestamp::from_unix_micros(time.unix_micros()).unwrap(), time);
        prop_assert_eq!(json(&time), time);
    }

    #[test]
    fn page_sizes_and_shapes_come_back(
        size in strategies::page_size(),
        schema in strategies::schema_version(),
    ) {
        prop_assert_eq!(PageSize::try_from(usize::from(size)).unwrap(), size);
        prop_assert_eq!(SchemaVersion::new(schema.get()).unwrap(), schema);
        prop_assert_eq!(json(&schema), schema);
    }

    #[test]
    fn payloads_are_json(payload in strategies::payload()) {
        let read = serde_json::from_slice::<IgnoredAny>(payload.as_bytes());
        prop_assert!(read.is_ok(), "{payload:?}: {read:?}");
    }

    #[test]
    fn a_filter_lets_through_what_its_parts_name(
        filter in strategies::event_filter(),
        stream in strategies::stream_id(),
        event in strategies::encoded_event(),
    ) {
        // Streams and types of the filter's own hit more often than random ones.
        let streams = match filter.get_streams() {
            StreamFilter::Exact(exact) => exact.clone(),
            StreamFilter::Prefix(prefix) => {
                let longer = format!("{}x", prefix.as_str());
                StreamId::try_new(longer).into_iter().collect()
            }
            _ => BTreeSet::new(),
        };
        let types = filter.get_types().cloned().unwrap_or_default();
        for stream in streams.into_iter().chain([stream]) {
            for event_type in types.iter().chain([event.event_type()]) {
                let by_type = filter.get_types().is_none_or(|types| types.contains(event_type));
                let by_stream = match filter.get_streams() {
                    StreamFilter::All => true,
                    StreamFilter::Exact(exact) => exact.contains(&stream),
                    StreamFilter::Prefix(prefix) => stream.as_str().starts_with(prefix.as_str()),
                    other => panic!("unknown filter {other:?}"),
                };
                let payload = event.payload().clone();
                let event = EncodedEvent::new(event_type.clone(), event.schema(), payload);
                let passes = filter.matches(&recorded(&stream, event));
                prop_assert_eq!(passes, by_type && by_stream);
            }
        }
    }

    #[test]
    fn a_batch_guards_each_stream_once_and_every_stream_it_writes_to(
        batch in strategies::append_batch(),
    ) {
        let guarded: BTreeSet<&StreamId> = batch.expectations().iter().map(|e| &e.stream).collect();
        prop_assert_eq!(guarded.len(), batch.expectations().len());
        for event in batch.events() {
            prop_assert!(guarded.contains(batch.stream_of(event)));
        }
        prop_assert!(!batch.events().is_empty() || batch.idempotency().is_some());
    }

    #[test]
    fn what_is_appended_reads_back_equal(batch in strategies::first_append_batch()) {
        let recorded = runtime().block_on(append_and_read(&batch));
        prop_assert_eq!(recorded.len(), batch.events().len());
        for (event, recorded) in batch.events().iter().zip(recorded) {
            prop_assert_eq!(recorded.id(), event.id);
            prop_assert_eq!(recorded.stream(), batch.stream_of(event));
            prop_assert_eq!(recorded.encoded(), &event.event);
            prop_assert_eq!(recorded.correlation_id(), batch.correlation_id());
            prop_assert_eq!(recorded.causation_id(), batch.causation_id());
            prop_assert_eq!(recorded.metadata_text(), batch.metadata().map(|text| &**text));
            prop_assert_eq!(recorded.recorded_at(), batch.recorded_at());
        }
    }

    #[test]
    fn metadata_text_is_metadata(text in strategies::metadata_text()) {
        let mut fields = fields();
        fields.metadata = Some(text);
        prop_assert!(RecordedEvent::from(fields).metadata().is_ok());
    }

    #[test]
    fn metadata_comes_back_from_the_store(
        metadata in strategies::metadata(),
        chain in strategies::correlation_id(),
    ) {
        let metadata = match metadata.get_correlation_id() {
            Some(_) => metadata,
            None => metadata.correlation_id(chain),
        };
        let recorded = runtime().block_on(ring_and_read(metadata.clone()));
        prop_assert_eq!(recorded.metadata().unwrap(), metadata);
    }

    #[test]
    fn no_policy_keeps_a_free_command_waiting(policy in strategies::retry_policy()) {
        let store = InMemoryEventStore::new();
        let receipt = runtime().block_on(async { execute(ring(), &store).retry(policy).await });
        prop_assert_eq!(receipt.unwrap().attempts, 1);
    }
}

fn fields() -> RecordedFields {
    let event_type = EventType::try_new("t").unwrap();
    RecordedFields {
        id: EventId::generate(),
        stream: StreamId::try_new("s").unwrap(),
        version: StreamVersion::EMPTY.advanced(1),
        position: GlobalPosition::START.advanced(1),
        event: EncodedEvent::new(event_type, SchemaVersion::FIRST, Payload::from(vec![b'1'])),
        correlation_id: CorrelationId::generate(),
        causation_id: None,
        metadata: None,
        recorded_at: Timestamp::now(),
    }
}

fn recorded(stream: &StreamId, event: EncodedEvent) -> RecordedEvent {
    let mut fields = fields();
    fields.stream = stream.clone();
    fields.event = event;
    fields.into()
}

async fn append_and_read(batch: &AppendBatch) -> Vec<RecordedEvent> {
    let store = InMemoryEventStore::new();
    store.append(batch.clone()).await.unwrap();
    let expected = batch.expectations().iter();
    let streams: Vec<ReadFrom> = expected
        .map(|e| ReadFrom::start(e.stream.clone()))
        .collect();
    store
        .read(&streams)
        .await
        .unwrap()
        .events
        .collect()
        .await
        .unwrap()
}

#[derive(Serialize, Deserialize, Event)]
#[event(prefix = "bell")]
enum BellEvent {
    Rung,
}

#[derive(Default, Clone)]
struct Bell;

impl Fold for Bell {
    type Event = BellEvent;
    fn apply(&mut self, _: &StoredEvent<BellEvent>) {}
}

#[derive(Command)]
struct Ring {
    #[stream(fold = Bell)]
    bell: StreamId,
}

impl CommandLogic for Ring {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        emit!(events, streams.bell => BellEvent::Rung);
        Ok(())
    }
}

fn ring() -> Ring {
    Ring {
        bell: StreamId::try_new("bell").unwrap(),
    }
}

async fn ring_and_read(metadata: Metadata) -> RecordedEvent {
    let store = InMemoryEventStore::new();
    execute(ring(), &store).metadata(metadata).await.unwrap();
    let bell = [ReadFrom::start(ring().bell)];
    let events = store.read(&bell).await.unwrap().events;
    events.collect().await.unwrap().remove(0)
}
