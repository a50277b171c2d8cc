//! Event sourcing in which **each command declares the streams it needs**.
//!
//! EventCore reads those streams as one consistent view, folds their state, lets the command decide, and appends its
//! events to several streams atomically, guarded by the version of every stream it read. A conflict is retried.
//!
//! The path of a command: [`execute`] takes a [`CommandLogic`], whose derive ([`CommandStreams`]) says which streams
//! to read; an [`EventStore`] reads them; a [`Fold`] per stream (or one [`CommandState`] over all) makes their
//! [`View`]s; [`CommandLogic::handle`] puts [`NewEvents`] into them; the store appends one
//! [`AppendBatch`](store::AppendBatch).
//!
//! | you want to | look at |
//! |---|---|
//! | write a command | [`CommandLogic`], [`Fold`], [`emit!`], [`require!`] |
//! | run it | [`execute`], [`RetryPolicy`], [`CommandReceipt`], [`CommandError`] |
//! | define events | [`Event`], [`StoredEvent`], [`UnknownEvent`] |
//! | name streams | [`StreamId`], [`StreamName`] |
//! | read outside a command | [`EventStore::read`], [`EventStore::read_all`], [`fold_stream`] |
//! | follow the log | [`subscribe`](subscribe()), [`projection`] |
//! | write a backend | [`store`], and the contract suite in `eventcore-testing` |
//!
//! Memory, SQLite and other stores live in crates of their own: `eventcore-memory`, `eventcore-sqlite`.

mod command;
mod commons;
mod event;
mod execute;
mod fold_cache;
mod ids;
mod metadata;
pub mod prelude;
pub mod projection;
mod query;
pub mod store;
mod stream_id;
mod stream_name;
mod subscription;
mod timestamp;
mod turnstile;
mod version;
mod wake;

#[cfg(feature = "macros")]
pub use eventcore_macros::{Command, Event, StreamName};

#[doc(inline)]
pub use self::{
    command::{
        CommandError, CommandLogic, CommandState, CommandStreams, Discovered, Discovery, Fold,
        NewEvents, Plain, ReadOnly, Rejection, StreamState, Streams, View, WritableBy, Write,
    },
    commons::Commons,
    event::{
        DecodeError, DecodeFailure, EncodeError, EncodedEvent, Event, EventType, EventTypeError,
        Payload, SchemaVersion, StoredEvent, UnknownEvent,
    },
    execute::{CommandReceipt, Execution, RetryPolicy, execute},
    ids::{CausationId, CorrelationId, EventId, IdError, IdempotencyKey},
    metadata::{Metadata, MetadataError},
    query::{Folded, fold_stream},
    store::{EventFilter, EventStore, RecordedEvent},
    stream_id::{StreamId, StreamIdError, StreamPrefix},
    stream_name::{StreamField, StreamName, StreamNameError},
    subscription::{StartFrom, Subscription, TypedSubscription, log_end, subscribe},
    timestamp::{Timestamp, TimestampError},
    version::{GlobalPosition, OutOfRange, StreamVersion},
    wake::Waiter,
};

/// What the derives' code calls. Not for anybody else, and not covered by any promise.
#[doc(hidden)]
pub mod __private {
    pub use serde::{Serialize, de::DeserializeOwned};

    pub use crate::{
        command::{
            Declarations, Fingerprint, Loaded, LoadedView, Probe, ViaHash, ViaNothing,
            ViaSerialize, apply_plain,
        },
        event::{
            Pair, Upcast, ViaDebug, ViaEncoding, ViaPartialEq, decode_value, decode_variant,
            encode_value, encode_variant, reads_back, upcast,
        },
        stream_name::{Key, Pattern, StreamKey},
    };
}
