//! Following the log: what was there first, then what comes, without a hole or a repeat at the seam.

mod reader;

use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;

use self::reader::Reader;
pub use self::reader::log_end;
use crate::{
    Event, EventFilter, EventStore, GlobalPosition, RecordedEvent, StoredEvent,
    store::{Page, PageSize, ReadError, StoreError, StoreErrorKind},
};

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartFrom {
    /// With the first event of the store.
    #[default]
    Start,
    /// With the first event that is appended after the subscription was first polled.
    End,
    /// With the first event after a position.
    After(GlobalPosition),
}

impl From<GlobalPosition> for StartFrom {
    fn from(position: GlobalPosition) -> Self {
        Self::After(position)
    }
}

/// Follows the log: a [`Stream`] of the events that pass the filter, each exactly once and in order, that never ends.
///
/// It reads pages while there are any and then waits to be woken by the store, with a poll underneath, so a lost call
/// costs time and never an event. While the events of a page are handed out, the next page is already on its way; nothing
/// more is read ahead, so a slow reader slows nobody down. An error that may pass is tried again for a
/// while; every error that is yielded leaves the place as it was, and polling again goes on from there.
///
/// ```
/// use eventcore::{EventFilter, StartFrom, StreamPrefix, subscribe};
/// use futures_util::StreamExt;
/// # use eventcore::prelude::*;
/// # use eventcore_memory::InMemoryEventStore;
/// # use eventcore::store::{AppendBatch, Expectation};
/// # #[derive(Debug, Serialize, Deserialize, Event)]
/// # #[event(prefix = "counter")]
/// # enum Counted { Up }
/// # #[derive(Command)]
/// # struct Count { #[stream] counter: StreamId }
/// # impl CommandState for Count {
/// #     type Event = Counted;
/// #     type State = ();
/// #     fn apply(&self, _: &mut (), _: &StoredEvent<Counted>) {}
/// # }
/// # impl CommandLogic for Count {
/// #     fn handle(&self, streams: &Streams<Self>, events: &mut NewEvents<Self>) -> Result<(), CommandError> {
/// #         emit!(events, &streams.counter => Counted::Up);
/// #         Ok(())
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = InMemoryEventStore::new();
/// # execute(Count { counter: "counter:1".try_into()? }, &store).await?;
/// let counters = EventFilter::all().prefix(StreamPrefix::category("counter")?);
/// let mut events = subscribe(store, StartFrom::Start, counters).decode::<Counted>();
/// if let Some(event) = events.next().await {
///     let event = event?;
///     println!("{}: {:?}", event.position(), event.data());
/// }
/// # Ok(()) }
/// ```
pub fn subscribe<'s>(
    store: impl EventStore + 's,
    from: impl Into<StartFrom>,
    filter: EventFilter,
) -> Subscription<'s> {
    let from = from.into();
    Subscription {
        ready: Vec::new().into_iter(),
        reached: match from {
            StartFrom::After(position) => position,
            StartFrom::Start | StartFrom::End => GlobalPosition::START,
        },
        live: false,
        ahead: Ahead::Idle(Box::new(Reader::new(store, from, filter))),
    }
}

type Reading<'s> =
    Pin<Box<dyn Future<Output = (Box<Reader<'s>>, Result<Page, ReadError>)> + Send + 's>>;

/// Events as they come; see [`subscribe`].
pub struct Subscription<'s> {
    /// What is left of the page that is being handed out, and where it ends.
    ready: std::vec::IntoIter<RecordedEvent>,
    reached: GlobalPosition,
    live: bool,
    ahead: Ahead<'s>,
}

/// The next page, or the way to it.
enum Ahead<'s> {
    Idle(Box<Reader<'s>>),
    Reading(Reading<'s>),
    Here(Box<Reader<'s>>, Result<Page, ReadError>),
    /// Only between two of the others.
    Moving,
}

impl<'s> Subscription<'s> {
    /// How many events are read at a time; 1,000 if not set.
    #[must_use]
    pub fn page_size(self, events: PageSize) -> Self {
        self.set(|reader| reader.limit = events)
    }

    /// How long to wait for the store's call before looking anyway; 100 ms if not set, at least 1 ms.
    #[must_use]
    pub fn poll_every(self, wait: Duration) -> Self {
        self.set(|reader| reader.poll_every = wait.max(Duration::from_millis(1)))
    }

    /// How long to try again by itself before an error that may pass is yielded; a minute if not set.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        self.set(|reader| reader.patience = patience)
    }

    fn set(mut self, change: impl FnOnce(&mut Reader<'s>)) -> Self {
        // Once a page is on its way it is too late, and harmless.
        if let Ahead::Idle(reader) = &mut self.ahead {
            change(reader);
        }
        self
    }

    /// Decodes each event. One that cannot be decoded is yielded as an error, and the next poll goes on behind it.
    pub fn decode<E: Event>(self) -> TypedSubscription<'s, E> {
        TypedSubscription {
            events: self,
            event: PhantomData,
        }
    }

    /// Whether the end of the log was reached when it was last read, and everything was handed out: what comes now is
    /// live.
    pub fn is_live(&self) -> bool {
        self.live && self.ready.len() == 0
    }

    /// Everything up to here was handed out or does not pass the filter. From the end of the log on, it is known with the
    /// first page.
    pub fn position(&self) -> GlobalPosition {
        match self.ready.as_slice().first() {
            Some(next) => before(next.position()),
            None => self.reached,
        }
    }

    /// The next page: as soon as there is an event, or the place has moved over events that do not pass the filter.
    ///
    /// # Errors
    ///
    /// [`ReadError`], when it does not pass by itself or lasts too long, and [`ReadError::LogBehind`] when the log ends
    /// before the place where the subscription was to begin. The place stays; calling again tries again.
    ///
    /// # Cancel safety
    ///
    /// Safe: a page is handed out whole or stays.
    pub async fn next_page(&mut self) -> Result<Page, ReadError> {
        if self.ready.len() > 0 {
            return Ok(Page {
                events: std::mem::take(&mut self.ready).collect(),
                next: self.reached,
                at_end: self.live,
            });
        }
        std::future::poll_fn(|cx| self.poll_page(cx)).await
    }

    /// The page that is on its way; the one behind it is sent for.
    fn poll_page(&mut self, cx: &mut Context<'_>) -> Poll<Result<Page, ReadError>> {
        if self.poll_ahead(cx).is_pending() {
            return Poll::Pending;
        }
        let taken = std::mem::replace(&mut self.ahead, Ahead::Moving);
        let result = if let Ahead::Here(reader, result) = taken {
            self.ahead = Ahead::Idle(reader);
            result
        } else {
            // The store's code panicked in an earlier poll.
            let text = "an earlier read panicked; subscribe anew";
            Err(StoreError::new("read the log", StoreErrorKind::Other, text).into())
        };
        if let Ok(page) = &result {
            self.reached = page.next;
            self.live = page.at_end;
            if !page.at_end {
                // It is only to be on its way.
                let _ = self.poll_ahead(cx);
            }
        }
        Poll::Ready(result)
    }

    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.ahead = match std::mem::replace(&mut self.ahead, Ahead::Moving) {
                Ahead::Idle(mut reader) => Ahead::Reading(Box::pin(async move {
                    let page = reader.next_page().await;
                    (reader, page)
                })),
                Ahead::Reading(mut reading) => match reading.as_mut().poll(cx) {
                    Poll::Ready((reader, page)) => Ahead::Here(reader, page),
                    Poll::Pending => {
                        self.ahead = Ahead::Reading(reading);
                        return Poll::Pending;
                    }
                },
                here @ (Ahead::Here(..) | Ahead::Moving) => {
                    self.ahead = here;
                    return Poll::Ready(());
                }
            };
        }
    }
}

/// The position before an event's.
fn before(position: GlobalPosition) -> GlobalPosition {
    GlobalPosition::try_new(position.get().saturating_sub(1)).unwrap_or_default()
}

impl Stream for Subscription<'_> {
    type Item = Result<RecordedEvent, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.ready.next() {
                return Poll::Ready(Some(Ok(event)));
            }
            match self.poll_page(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(page)) => self.ready = page.events.into_iter(),
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

impl fmt::Debug for Subscription<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("position", &self.position())
            .field("live", &self.is_live())
            .finish_non_exhaustive()
    }
}

/// Decoded events as they come; see [`Subscription::decode`].
#[derive(Debug)]
pub struct TypedSubscription<'s, E> {
    events: Subscription<'s>,
    event: PhantomData<fn() -> E>,
}

impl<E> TypedSubscription<'_, E> {
    /// As [`Subscription::is_live`].
    pub fn is_live(&self) -> bool {
        self.events.is_live()
    }

    /// As [`Subscription::position`].
    pub fn position(&self) -> GlobalPosition {
        self.events.position()
    }
}

impl<E: Event> Stream for TypedSubscription<'_, E> {
    type Item = Result<StoredEvent<E>, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = std::task::ready!(Pin::new(&mut self.events).poll_next(cx));
        Poll::Ready(polled.map(|event| Ok(StoredEvent::decode(event?)?)))
    }
}
