//! What can go wrong in a store, by operation.

use std::{fmt, sync::Arc};

use crate::{
    DecodeError, GlobalPosition, IdempotencyKey, StreamId, StreamVersion, projection::InlineError,
};

type Source = Box<dyn std::error::Error + Send + Sync>;
type SharedSource = Arc<dyn std::error::Error + Send + Sync>;

/// What a store ran into, whatever the operation. Cheap enough to clone, for those who travelled together.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{operation}: {kind}: {detail}")]
pub struct StoreError {
    operation: &'static str,
    kind: StoreErrorKind,
    detail: String,
    #[source]
    source: Option<SharedSource>,
}

/// The kinds of [`StoreError`]; the kind, never the text, decides about retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// No connection, or the server is going away. Nothing was done; may pass.
    Unavailable,
    /// Another writer is in the way. Nothing was done; will pass.
    Busy,
    /// It took longer than allowed. Nothing was done; may pass.
    Timeout,
    /// Too many operations wait already. Nothing was done; will pass.
    Overloaded,
    /// No space is left.
    Full,
    /// The store, or this way to it, only reads.
    ReadOnly,
    /// The data is damaged.
    Corrupt,
    /// There is no store here, or one of another application or version.
    Schema,
    /// The file or schema is not the one that was opened: deleted, moved, or another in its place. It stays so until
    /// the store is closed and opened again.
    Replaced,
    /// Rights are missing, or a path or address is wrong.
    Access,
    /// The store was closed.
    Closed,
    /// Anything else.
    Other,
}

impl fmt::Display for StoreErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "the store cannot be reached",
            Self::Busy => "the store is busy",
            Self::Timeout => "the store took too long",
            Self::Overloaded => "too many operations are waiting",
            Self::Full => "no space is left",
            Self::ReadOnly => "the store is read-only",
            Self::Corrupt => "the stored data is damaged",
            Self::Schema => "the schema does not fit",
            Self::Replaced => "the store was replaced",
            Self::Access => "the store cannot be opened",
            Self::Closed => "the store is closed",
            Self::Other => "the store failed",
        })
    }
}

impl StoreError {
    /// An error of a kind, during an operation; `detail` names the input and, where there is one, the remedy.
    pub fn new(operation: &'static str, kind: StoreErrorKind, detail: impl Into<String>) -> Self {
        Self {
            operation,
            kind,
            detail: detail.into(),
            source: None,
        }
    }

    /// Keeps the error underneath.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// This error, at the end of attempts of which the first failed with another: the first says most often what is
    /// wrong, the later ones only that it still is.
    #[must_use]
    pub fn after(mut self, attempts: u32, first: &Self) -> Self {
        let (said, first) = (self.to_string(), first.to_string());
        if said != first {
            self.detail = format!(
                "{} (the first of {attempts} attempts: {first})",
                self.detail
            );
        }
        self
    }

    /// What was being done.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// What it ran into.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later, and surely did nothing now.
    pub fn is_retriable(&self) -> bool {
        matches!(
            self.kind,
            StoreErrorKind::Unavailable
                | StoreErrorKind::Busy
                | StoreErrorKind::Timeout
                | StoreErrorKind::Overloaded
        )
    }
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row that no append can have written.
    #[error("the record at position {position} is damaged: {reason}")]
    CorruptRecord {
        /// Where it stands.
        position: GlobalPosition,
        /// What is wrong with it.
        reason: String,
        /// The error underneath.
        source: Option<Source>,
    },
    /// An event that the application's types do not know.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A reader that goes on from where this log has never been: the log was replaced by an older one, say a backup.
    #[error(
        "the log ends at position {end}, before {after} from where it was to be read on; was an older backup restored?"
    )]
    LogBehind {
        /// Where the reader was.
        after: GlobalPosition,
        /// Where the log ends.
        end: GlobalPosition,
    },
}

impl ReadError {
    /// Whether the same read may succeed later.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_retriable())
    }
}

/// Why an append failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// A stream has moved since it was read; nothing was appended.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The key belongs to a command with another content; nothing was appended.
    #[error("idempotency key `{key}` was used by a different command")]
    IdempotencyConflict {
        /// The key.
        key: IdempotencyKey,
    },
    /// The store may or may not have committed. Appending the same batch again settles it when it has a key.
    #[error("it is not known whether the append took effect")]
    OutcomeUnknown(#[source] StoreError),
    /// A read model that belongs to the append's transaction could not take the events; nothing was appended.
    #[error(transparent)]
    Inline(#[from] InlineError),
    /// The store could not append, and did not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AppendError {
    /// Whether a stream had moved.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }

    /// Whether deciding anew, or just trying again, may help. An unknown outcome is not retriable: it is to be settled.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Conflict(_) => true,
            Self::Store(error) => error.is_retriable(),
            _ => false,
        }
    }
}

/// Streams that were not where the batch expected them. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Conflict {
    streams: Vec<StreamConflict>,
}

/// One stream that was not where it was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamConflict {
    /// The stream.
    pub stream: StreamId,
    /// The version that the decision rested on.
    pub expected: StreamVersion,
    /// The version that the store found.
    pub actual: StreamVersion,
}

impl Conflict {
    /// A conflict, if there is one: `None` for no streams.
    pub fn new(streams: Vec<StreamConflict>) -> Option<Self> {
        (!streams.is_empty()).then_some(Self { streams })
    }

    /// The streams, in the order of the batch.
    pub fn streams(&self) -> &[StreamConflict] {
        &self.streams
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("version conflict:")?;
        let mut separator = " ";
        for StreamConflict {
            stream,
            expected,
            actual,
        } in self.streams.iter().take(8)
        {
            write!(
                f,
                "{separator}stream `{stream}` expected at {expected}, is at {actual}"
            )?;
            separator = "; ";
        }
        if self.streams.len() > 8 {
            write!(f, " and {} more", self.streams.len() - 8)?;
        }
        Ok(())
    }
}
