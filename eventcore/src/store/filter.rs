//! Which events of the whole store a reader wants.

use std::collections::BTreeSet;

use crate::{Event, EventType, RecordedEvent, StreamId, StreamPrefix};

/// Events of some types, in some streams. Stores push it down to their index.
///
/// ```
/// use eventcore::{EventFilter, EventType, StreamPrefix};
///
/// let filter = EventFilter::all()
///     .types([EventType::try_new("account.opened")?])
///     .prefix(StreamPrefix::category("account")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    types: Option<BTreeSet<EventType>>,
    streams: StreamFilter,
}

/// Which streams a filter lets through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamFilter {
    /// All.
    #[default]
    All,
    /// Those whose name begins so, literally.
    Prefix(StreamPrefix),
    /// Exactly these.
    Exact(BTreeSet<StreamId>),
}

impl EventFilter {
    /// Every event.
    pub fn all() -> Self {
        Self::default()
    }

    /// Only these types; none at all lets nothing through.
    #[must_use]
    pub fn types(mut self, types: impl IntoIterator<Item = EventType>) -> Self {
        self.types = Some(types.into_iter().collect());
        self
    }

    /// Only the types that `E` can decode.
    #[must_use]
    pub fn events<E: Event>(self) -> Self {
        self.types(E::stored_types())
    }

    /// Only streams whose name begins so.
    #[must_use]
    pub fn prefix(mut self, prefix: StreamPrefix) -> Self {
        self.streams = StreamFilter::Prefix(prefix);
        self
    }

    /// Only these streams.
    #[must_use]
    pub fn streams(mut self, streams: impl IntoIterator<Item = StreamId>) -> Self {
        self.streams = StreamFilter::Exact(streams.into_iter().collect());
        self
    }

    /// The types let through, or `None` for all.
    pub fn get_types(&self) -> Option<&BTreeSet<EventType>> {
        self.types.as_ref()
    }

    /// The streams let through.
    pub fn get_streams(&self) -> &StreamFilter {
        &self.streams
    }

    /// Whether an event passes; the rule that a store's index must agree with.
    pub fn matches(&self, event: &RecordedEvent) -> bool {
        let by_stream = match &self.streams {
            StreamFilter::All => true,
            StreamFilter::Prefix(prefix) => prefix.matches(event.stream()),
            StreamFilter::Exact(streams) => streams.contains(event.stream()),
        };
        let event_type = event.encoded().event_type();
        by_stream
            && self
                .types
                .as_ref()
                .is_none_or(|types| types.contains(event_type))
    }
}
