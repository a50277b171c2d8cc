//! [Proptest](proptest) strategies for EventCore's public types: values that applications use, and mixed in with them
//! those that break stores.
//!
//! ```
//! use eventcore_testing::strategies;
//! use proptest::prelude::*;
//!
//! proptest!(|(stream in strategies::stream_id(), limit in strategies::page_size())| {
//!     prop_assert!(!stream.as_str().is_empty());
//!     prop_assert!(usize::from(limit) > 0);
//! });
//! ```

mod batches;
mod events;
mod names;
mod numbers;

pub use self::{
    batches::{
        append_batch, event_filter, event_filter_over, first_append_batch, idempotency, read_from,
    },
    events::{encoded_event, event_type, json_value, metadata, metadata_text, payload},
    names::{idempotency_key, invalid_stream_name, stream_id, stream_prefix},
    numbers::{
        causation_id, correlation_id, event_id, global_position, page_size, retry_policy,
        schema_version, stream_version, timestamp,
    },
};
