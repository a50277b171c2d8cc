//! Numbers, identifiers, times, and how often to try.

use std::time::Duration;

use eventcore::{
    CausationId, CorrelationId, EventId, GlobalPosition, RetryPolicy, SchemaVersion, StreamVersion,
    Timestamp, store::PageSize,
};
use proptest::prelude::*;
use uuid::{Builder, Uuid, Version};

/// The largest number that stores can hold.
const MAX: u64 = i64::MAX.unsigned_abs();

/// Small numbers mostly, and those around the ends and where floating point starts to round.
fn count() -> impl Strategy<Value = u64> {
    const EXACT: u64 = 1 << f64::MANTISSA_DIGITS;
    prop_oneof![
        6 => 0..100_u64,
        1 => (EXACT - 1)..=(EXACT + 1),
        1 => (MAX - 1)..=MAX,
        1 => 0..=MAX,
    ]
}

/// Versions of streams, the empty one and the largest included.
pub fn stream_version() -> impl Strategy<Value = StreamVersion> {
    count().prop_map(|count| StreamVersion::EMPTY.advanced(count))
}

/// Places in the store, the start and the largest included.
pub fn global_position() -> impl Strategy<Value = GlobalPosition> {
    count().prop_map(|count| GlobalPosition::START.advanced(count))
}

/// Identities of events: UUIDs of version 7, of any time.
pub fn event_id() -> impl Strategy<Value = EventId> {
    any::<[u8; 16]>().prop_filter_map("no version 7", |bytes| {
        let uuid = Builder::from_random_bytes(bytes).with_version(Version::SortRand);
        EventId::try_from(uuid.into_uuid()).ok()
    })
}

fn any_uuid() -> impl Strategy<Value = Uuid> {
    prop_oneof![
        8 => any::<u128>().prop_map(Uuid::from_u128),
        1 => Just(Uuid::nil()),
        1 => Just(Uuid::max()),
    ]
}

/// Chains: any UUID, nil and max included.
pub fn correlation_id() -> impl Strategy<Value = CorrelationId> {
    any_uuid().prop_map(CorrelationId::from)
}

/// Causes: any UUID, nil and max included.
pub fn causation_id() -> impl Strategy<Value = CausationId> {
    any_uuid().prop_map(CausationId::from)
}

/// Times between the years 1 and 9999, both ends included.
pub fn timestamp() -> impl Strategy<Value = Timestamp> {
    const FIRST: i64 = -62_135_596_800_000_000;
    const LAST: i64 = 253_402_207_199_999_999;
    const IN_2001: i64 = 1_000_000_000_000_000;
    let micros = prop_oneof![
        4 => IN_2001..2 * IN_2001,
        1 => -2_000_000..2_000_000_i64,
        1 => FIRST..=LAST,
        1 => Just(FIRST),
        1 => Just(LAST),
    ];
    micros.prop_filter_map("no time", |micros| Timestamp::from_unix_micros(micros).ok())
}

/// Versions of payload shapes, small ones mostly.
pub fn schema_version() -> impl Strategy<Value = SchemaVersion> {
    let number = prop_oneof![4 => 1..5_u32, 1 => Just(u32::MAX)];
    number.prop_filter_map("zero", SchemaVersion::new)
}

/// Sizes of pages, small ones mostly, so that there are several pages.
pub fn page_size() -> impl Strategy<Value = PageSize> {
    let size = prop_oneof![4 => 1..5_usize, 1 => 1..=10_000_usize, 1 => Just(10_000)];
    size.prop_filter_map("no page size", |size| PageSize::try_from(size).ok())
}

/// All kinds of policies. None waits longer than 5 ms, so that tests can use them.
pub fn retry_policy() -> impl Strategy<Value = RetryPolicy> {
    let wait = || (0..5_000_u64).prop_map(Duration::from_micros);
    let attempts = || 0..20_u32;
    prop_oneof![
        1 => Just(RetryPolicy::none()),
        2 => (wait(), attempts())
            .prop_map(|(wait, attempts)| RetryPolicy::fixed(wait).max_attempts(attempts)),
        4 => (wait(), wait(), attempts()).prop_map(|(base, cap, attempts)| {
            RetryPolicy::exponential().base(base).cap(cap).max_attempts(attempts)
        }),
    ]
}
