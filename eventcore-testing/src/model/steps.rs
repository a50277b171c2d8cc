//! What can be done to a store, at random but not blindly.

use std::{fmt, sync::Arc};

use eventcore::{
    CausationId, EncodedEvent, EventFilter, EventType, GlobalPosition, IdempotencyKey, Payload,
    SchemaVersion, StreamId, StreamVersion, Timestamp,
    store::{AppendBatch, BatchError, Idempotency, PageSize, ReadFrom},
};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{Index, select, subsequence},
};
use uuid::Uuid;

use super::Model;
use crate::strategies;

/// One step of a story.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Append a batch.
    Append(Plan),
    /// Read streams.
    Read(Vec<ReadFrom>),
    /// Read one page of the log.
    Page(GlobalPosition, EventFilter, PageSize),
    /// Read page after page to the end.
    Follow(GlobalPosition, EventFilter, PageSize),
    /// Ask for a receipt.
    FindReceipt(IdempotencyKey),
    /// Drop the store and open it again.
    Reopen,
}

impl Step {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Append(_) => "append",
            Self::Read(_) => "read",
            Self::Page(..) => "page",
            Self::Follow(..) => "follow",
            Self::FindReceipt(_) => "find receipt",
            Self::Reopen => "reopen",
        }
    }
}

/// A batch in the making. Its versions are settled when its turn comes, so that a story from which steps were taken
/// away still means the same.
#[derive(Clone)]
pub(super) struct Plan {
    expectations: Vec<(StreamId, Expected)>,
    /// Each event goes to one of the streams expected.
    events: Vec<(Index, EncodedEvent)>,
    /// A key and which of several commands uses it.
    key: Option<(IdempotencyKey, u8)>,
    causation_id: Option<CausationId>,
    metadata: Option<Arc<str>>,
    recorded_at: Timestamp,
}

/// How an expectation relates to the stream.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Current,
    Stale,
    Ahead,
    Empty,
    Largest,
}

impl Expected {
    fn version(self, current: StreamVersion) -> StreamVersion {
        match self {
            Self::Current => current,
            Self::Stale => StreamVersion::EMPTY.advanced(current.get().saturating_sub(1)),
            Self::Ahead => current.advanced(1),
            Self::Empty => StreamVersion::EMPTY,
            Self::Largest => current.advanced(u64::MAX),
        }
    }
}

impl Plan {
    /// The batch, for a store that stands where the model stands.
    pub(super) fn batch(&self, model: &Model) -> Result<AppendBatch, BatchError> {
        let mut batch = AppendBatch::builder();
        for (stream, expected) in &self.expectations {
            batch.expect(stream.clone(), expected.version(model.version(stream)))?;
        }
        for (index, event) in &self.events {
            let (stream, _) = index.get(&self.expectations);
            batch.event(stream, event.clone())?;
        }
        if let Some((key, command)) = &self.key {
            batch.idempotency(Idempotency {
                key: key.clone(),
                fingerprint: Uuid::from_u128(u128::from(*command)),
            });
        }
        batch
            .causation_id(self.causation_id)
            .metadata(self.metadata.clone())
            .recorded_at(self.recorded_at);
        batch.build()
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = self.events.iter().map(|(index, event)| {
            let (stream, _) = index.get(&self.expectations);
            (
                stream.as_str(),
                event.event_type().as_str(),
                event.payload(),
            )
        });
        let expectations = self.expectations.iter();
        f.debug_struct("Plan")
            .field(
                "expect",
                &expectations
                    .map(|(s, e)| (s.as_str(), e))
                    .collect::<Vec<_>>(),
            )
            .field("events", &events.collect::<Vec<_>>())
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Few streams, so that steps meet; alike in all that a careless index would mix up.
fn streams() -> Vec<StreamId> {
    let names = ["a_1", "a%1", "aX1", "A_1", "a_1:x", "\u{1f980}"];
    names
        .iter()
        .filter_map(|name| StreamId::try_new(name).ok())
        .collect()
}

fn types() -> Vec<EventType> {
    let names = ["t", "T", "t.x"];
    names
        .iter()
        .filter_map(|name| EventType::try_new(name).ok())
        .collect()
}

fn keys() -> Vec<IdempotencyKey> {
    let names = ["k", "K", "k ", "k%"];
    names
        .iter()
        .filter_map(|name| IdempotencyKey::try_new(name).ok())
        .collect()
}

/// Any step that makes sense for a store that stands where the model stands.
pub(super) fn any_step(model: &Model, reopens: bool) -> impl Strategy<Value = Step> + use<> {
    let paging = || {
        let filter = strategies::event_filter_over(&streams(), &types());
        (position(model), filter, strategies::page_size())
    };
    let reads = vec(read_from(model), 0..5);
    prop_oneof![
        8 => plan().prop_map(Step::Append),
        3 => reads.prop_map(Step::Read),
        2 => paging().prop_map(|(after, filter, limit)| Step::Page(after, filter, limit)),
        2 => paging().prop_map(|(after, filter, limit)| Step::Follow(after, filter, limit)),
        1 => select(keys()).prop_map(Step::FindReceipt),
        u32::from(reopens) => Just(Step::Reopen),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let expected = prop_oneof![
        20 => Just(Expected::Current),
        1 => Just(Expected::Stale),
        1 => Just(Expected::Ahead),
        1 => Just(Expected::Empty),
        1 => Just(Expected::Largest),
    ];
    let expectations = subsequence(streams(), 1..4)
        .prop_shuffle()
        .prop_flat_map(move |streams| {
            let count = streams.len();
            (Just(streams), vec(expected.clone(), count))
        })
        .prop_map(|(streams, expected)| streams.into_iter().zip(expected).collect());
    let payload = prop_oneof![
        3 => "[0-9]".prop_map(|digit| Payload::from(digit.into_bytes())),
        1 => strategies::payload(),
    ];
    let event = (select(types()), payload).prop_map(|(event_type, payload)| {
        EncodedEvent::new(event_type, SchemaVersion::FIRST, payload)
    });
    let key = option::weighted(0.3, (select(keys()), 0..2_u8));
    let rest = (
        option::weighted(0.2, strategies::causation_id()),
        option::weighted(0.2, strategies::metadata_text()),
        strategies::timestamp(),
    );
    (expectations, vec((any::<Index>(), event), 0..4), key, rest)
        .prop_map(
            |(expectations, events, key, (causation_id, metadata, recorded_at))| Plan {
                expectations,
                events,
                key,
                causation_id,
                metadata,
                recorded_at,
            },
        )
        .prop_filter("neither events nor a key", |plan| {
            !plan.events.is_empty() || plan.key.is_some()
        })
}

/// A stream and a version of it, or one that it has not reached.
fn read_from(model: &Model) -> impl Strategy<Value = ReadFrom> + use<> {
    let current: Vec<(StreamId, u64)> = streams()
        .into_iter()
        .map(|stream| {
            let version = model.version(&stream).get();
            (stream, version)
        })
        .collect();
    let version = |(stream, version)| {
        (
            Just(stream),
            prop_oneof![9 => 0..=version + 1, 1 => Just(u64::MAX)],
        )
    };
    select(current)
        .prop_flat_map(version)
        .prop_map(|(stream, after)| ReadFrom::after(stream, StreamVersion::EMPTY.advanced(after)))
}

/// A position in the log, or one that it has not reached.
fn position(model: &Model) -> impl Strategy<Value = GlobalPosition> + use<> {
    let end = model.end().get();
    prop_oneof![4 => Just(0), 8 => 0..=end + 2, 1 => Just(u64::MAX)]
        .prop_map(|position| GlobalPosition::START.advanced(position))
}
