//! Everything that an application usually needs: `use eventcore::prelude::*;`.

#[cfg(feature = "macros")]
pub use eventcore_macros::Command;
pub use serde::{Deserialize, Serialize};

pub use crate::{
    CommandError, CommandLogic, CommandReceipt, CommandState, CommandStreams, CorrelationId,
    Discovery, Event, EventId, EventStore, Fold, GlobalPosition, IdempotencyKey, Metadata,
    NewEvents, RetryPolicy, StoredEvent, StreamId, StreamName, StreamVersion, Streams, View, emit,
    execute, require,
};
