//! What reads ask for and return.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use nutype::nutype;

use super::{ReadError, RecordedEvent};
use crate::{EventId, GlobalPosition, StreamId, StreamVersion};

/// A stream to read, from after a version on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadFrom {
    /// The stream.
    pub stream: StreamId,
    /// The events up to and including this version are not wanted.
    pub after: StreamVersion,
}

impl ReadFrom {
    /// The whole stream.
    pub fn start(stream: StreamId) -> Self {
        Self {
            stream,
            after: StreamVersion::EMPTY,
        }
    }

    /// What came after a version.
    pub fn after(stream: StreamId, after: StreamVersion) -> Self {
        Self { stream, after }
    }
}

/// One consistent view of several streams.
#[derive(Debug)]
pub struct StreamRead {
    /// The version of each stream in the snapshot, in the order in which they were asked for.
    pub versions: Vec<StreamVersion>,
    /// The event that stands at [`ReadFrom::after`] in each stream, in the same order; `None` where that is the
    /// beginning, or beyond the stream's end. The witness for a state that was folded up to there: with another event
    /// in its place, the state is of a log that was replaced.
    pub witnesses: Vec<Option<EventId>>,
    /// The events of the snapshot, by global position.
    pub events: EventChunks,
}

/// Events that arrive in chunks of bounded size; a [`Stream`] of them too.
///
/// Most reads are short and hold their only chunk already, which costs no task switch.
pub struct EventChunks {
    ready: Option<Vec<RecordedEvent>>,
    rest: Option<Pin<Box<dyn Stream<Item = Chunk> + Send>>>,
}

type Chunk = Result<Vec<RecordedEvent>, ReadError>;

impl EventChunks {
    /// A chunk ends with the event that reaches this number of [bytes](RecordedEvent::stored_bytes), 2 MiB: commands
    /// read many at the same time.
    pub const MAX_BYTES: usize = 2 << 20;

    /// Events that are all here.
    pub fn ready(events: Vec<RecordedEvent>) -> Self {
        Self {
            ready: Some(events),
            rest: None,
        }
    }

    /// A first chunk that is here, and more that will come.
    pub fn streaming(
        first: Vec<RecordedEvent>,
        rest: impl Stream<Item = Result<Vec<RecordedEvent>, ReadError>> + Send + 'static,
    ) -> Self {
        Self {
            ready: Some(first),
            rest: Some(Box::pin(rest)),
        }
    }

    /// The next chunk, or `None` at the end.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; nothing comes after an error.
    ///
    /// # Cancel safety
    ///
    /// Safe: a chunk is handed out whole or stays.
    pub async fn next_chunk(&mut self) -> Result<Option<Vec<RecordedEvent>>, ReadError> {
        std::future::poll_fn(|cx| self.poll_chunk(cx))
            .await
            .transpose()
    }

    /// All events at once; for short streams, since memory grows with their number.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses the events collected so far, the store is not affected.
    pub async fn collect(mut self) -> Result<Vec<RecordedEvent>, ReadError> {
        let mut all = self.next_chunk().await?.unwrap_or_default();
        while let Some(chunk) = self.next_chunk().await? {
            all.extend(chunk);
        }
        Ok(all)
    }

    fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Vec<RecordedEvent>, ReadError>>> {
        if let Some(first) = self.ready.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let Some(rest) = self.rest.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = rest.as_mut().poll_next(cx);
        if let Poll::Ready(None | Some(Err(_))) = polled {
            self.rest = None;
        }
        polled
    }
}

impl Stream for EventChunks {
    type Item = Result<Vec<RecordedEvent>, ReadError>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_chunk(cx)
    }
}

impl fmt::Debug for EventChunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventChunks")
            .field("ready", &self.ready.as_ref().map(Vec::len))
            .field("more", &self.rest.is_some())
            .finish()
    }
}

/// How many events a page may hold: 1 to 10,000, by default 1,000.
#[nutype(
    validate(greater_or_equal = 1, less_or_equal = 10_000),
    default = 1000,
    derive(
        Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, TryFrom, Into, Display
    )
)]
pub struct PageSize(usize);

impl Page {
    /// A page ends with the event that reaches this number of [bytes](RecordedEvent::stored_bytes), 8 MiB, whatever
    /// the number of events asked for.
    pub const MAX_BYTES: usize = 8 << 20;
}

/// A part of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The events that pass the filter, by position.
    pub events: Vec<RecordedEvent>,
    /// Everything up to here has been looked at; where to go on.
    pub next: GlobalPosition,
    /// Whether [`Page::next`] was the end of the log when the page was read.
    pub at_end: bool,
}
