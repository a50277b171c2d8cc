//! Why a command did not take effect.

use std::{error::Error, fmt};

use crate::{
    DecodeError, EncodeError, IdempotencyKey, MetadataError, StreamId,
    store::{AppendBatch, AppendError, BatchError, Conflict, ReadError, StoreError},
};

/// Why a command did not take effect. Apart from [`CommandError::OutcomeUnknown`], nothing was appended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The command's own rules refused it, on a view of its streams that really existed.
    #[error("rejected: {0}")]
    Rejected(#[source] Rejection),
    /// Streams moved between read and append, at every attempt.
    #[error("gave up after {attempts} attempts")]
    Conflict {
        /// The last conflict.
        #[source]
        conflict: Conflict,
        /// How often it was tried.
        attempts: u32,
    },
    /// Two fields of the command name the same stream, or one list names it twice.
    ///
    /// Refused, since each view would lack what the command adds through the other: a transfer from an account to
    /// itself would see its balance twice.
    #[error("stream `{stream}` is named twice, by `{first}` and by `{second}`")]
    DuplicateStream {
        /// The stream.
        stream: StreamId,
        /// The field that names it first.
        first: &'static str,
        /// The field that names it again.
        second: &'static str,
    },
    /// A field's key has no stream name.
    #[error("`{field}` does not name a stream")]
    InvalidStream {
        /// The field.
        field: &'static str,
        /// What is wrong with its key.
        source: Box<dyn Error + Send + Sync>,
    },
    /// `handle` asked for a stream that `discover` did not name.
    #[error("stream `{stream}` was not discovered as one of `{place}`")]
    NotDiscovered {
        /// The stream.
        stream: StreamId,
        /// The place in the command.
        place: &'static str,
    },
    /// `discover` named new streams in more rounds than allowed.
    #[error("discovery did not end after {limit} rounds, the last one named stream `{stream}`")]
    DiscoveryTooDeep {
        /// The limit, see [`Execution::discovery_limit`](crate::Execution::discovery_limit).
        limit: u32,
        /// A stream that the last round named.
        stream: StreamId,
    },
    /// The command needs more streams than one append may guard.
    #[error("the command needs more than {limit} streams")]
    TooManyStreams {
        /// The limit.
        limit: usize,
    },
    /// Plain streams that are discovered have to be held in memory, and they are too long for that.
    #[error("the plain streams of a command with discovery have more than {limit} events")]
    TooManyEvents {
        /// The limit.
        limit: usize,
    },
    /// An event of a stream cannot be read by the command's types.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// An emitted event has no faithful stored form.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The metadata has no faithful stored form.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The events break a limit of one append.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The application's code panicked.
    #[error("`{phase}` of the command panicked: {message}")]
    Panicked {
        /// `declare` (a stream's name, or the fingerprint), `apply`, `discover` or `handle`.
        phase: &'static str,
        /// What the panic said.
        message: String,
    },
    /// The time allowed was over before the append began.
    #[error("the deadline passed after {attempts} attempts, before anything was appended")]
    DeadlineExceeded {
        /// How often it was tried.
        attempts: u32,
    },
    /// A field of the command cannot be written as JSON, so a reuse of its idempotency key would not be noticed.
    #[error("the command has an idempotency key, and a field that cannot be fingerprinted")]
    Fingerprint {
        /// What its `Serialize` ran into.
        source: serde_json::Error,
    },
    /// The key was used by a command of another kind or content.
    #[error("idempotency key `{key}` was used by a different command")]
    IdempotencyConflict {
        /// The key.
        key: IdempotencyKey,
    },
    /// The events may or may not have been appended. Once the store can be reached, running the same command under
    /// the key, or [appending](crate::EventStore::append) the batch again, makes sure of it: what took effect is
    /// answered as replayed and not done twice. [`EventStore::find_receipt`](crate::EventStore::find_receipt) with the
    /// key tells without appending.
    #[error("it is not known whether the command took effect{}", ask_with(key.as_ref()))]
    OutcomeUnknown {
        /// The key to ask with. A command has one when it was given one, and when it has a deadline.
        key: Option<IdempotencyKey>,
        /// What was sent. Sent again, it is appended once at most, with or without a key.
        batch: AppendBatch,
        /// What the store ran into, if it was that and not the deadline.
        source: Option<StoreError>,
    },
    /// The store could not be read.
    #[error("reading the command's streams failed")]
    Read(#[source] ReadError),
    /// The store could not append, and did not.
    #[error("appending the command's events failed")]
    Append(#[source] AppendError),
    /// A hand-written `CommandStreams` contradicts itself.
    #[doc(hidden)]
    #[error("the command's streams are wired by hand, and wrongly")]
    Miswired,
}

/// Why a command's rules refused it: a message, or an error of the application's own.
#[derive(Debug)]
pub struct Rejection(Reason);

#[derive(Debug)]
enum Reason {
    Message(String),
    Error(Box<dyn Error + Send + Sync>),
}

fn ask_with(key: Option<&IdempotencyKey>) -> String {
    key.map_or_else(
        || "; append its batch again to find out".to_owned(),
        |key| format!("; ask with key `{key}`"),
    )
}

impl CommandError {
    /// The command's rules refuse it, with a message.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self::Rejected(Rejection(Reason::Message(message.into())))
    }

    /// The command's rules refuse it, with an error of the application's own.
    pub fn rejected_with(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Rejected(Rejection(Reason::Error(error.into())))
    }

    /// The rejection, if it is one.
    pub fn rejection(&self) -> Option<&Rejection> {
        match self {
            Self::Rejected(rejection) => Some(rejection),
            _ => None,
        }
    }

    /// Whether the command's own rules refused it.
    pub fn is_rejection(&self) -> bool {
        matches!(self, Self::Rejected(_))
    }

    /// Whether other writers were faster at every attempt.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    /// Whether the same command may succeed later, and surely had no effect now.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Conflict { .. } | Self::DeadlineExceeded { .. } => true,
            Self::Read(error) => error.is_retriable(),
            Self::Append(error) => error.is_retriable(),
            _ => false,
        }
    }
}

impl Rejection {
    /// The application's error, if the rejection carries one of this type.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        match &self.0 {
            Reason::Message(_) => None,
            Reason::Error(error) => error.downcast_ref(),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reason::Message(message) => f.write_str(message),
            Reason::Error(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl Error for Rejection {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Reason::Message(_) => None,
            Reason::Error(error) => Some(&**error),
        }
    }
}
