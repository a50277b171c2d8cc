//! Events that a command is expected to append, whatever their type.

use std::fmt::{self, Debug, Display};

use eventcore::{EncodedEvent, Event, EventType, RecordedEvent, StreamId};

use super::named;

/// An event of any type that a command is expected to append to a stream.
///
/// Made from a pair, `("account:1", AccountEvent::Closed)`, or by [`event`] where pairs would be of several types.
pub struct ExpectedEvent {
    pub(super) stream: StreamId,
    pub(super) shown: Shown,
    pub(super) known: Known,
    equals: Box<dyn Fn(&EncodedEvent) -> bool + Send + Sync>,
}

/// Expects this event in this stream: for lists of events of several types.
///
/// `then([event("order:7", OrderEvent::Placed), event("stock:1", StockEvent::Reserved { count: 1 })])`
///
/// # Panics
///
/// When the stream has no valid name.
#[track_caller]
pub fn event<E>(stream: impl TryInto<StreamId, Error: Display>, event: E) -> ExpectedEvent
where
    E: Event + Debug + PartialEq,
{
    let stream = named(stream);
    ExpectedEvent {
        shown: Shown::new(&stream, &event),
        stream,
        known: Known::of::<E>(),
        equals: Box::new(
            move |stored| matches!(E::decode(stored), Ok(Some(found)) if found == event),
        ),
    }
}

impl<N, E> From<(N, E)> for ExpectedEvent
where
    N: TryInto<StreamId, Error: Display>,
    E: Event + Debug + PartialEq,
{
    #[track_caller]
    fn from((stream, data): (N, E)) -> Self {
        event(stream, data)
    }
}

impl ExpectedEvent {
    /// Whether this is what was recorded, after decoding.
    pub(super) fn is(&self, found: &RecordedEvent) -> bool {
        self.stream == *found.stream() && (self.equals)(found.encoded())
    }
}

impl Debug for ExpectedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.shown.stream, self.shown.short)
    }
}

/// An event as a person wants to see it.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) stream: StreamId,
    /// On one line.
    pub(super) short: String,
    /// On several.
    pub(super) long: String,
}

impl Shown {
    pub(super) fn new(stream: &StreamId, event: &impl Debug) -> Self {
        Self {
            stream: stream.clone(),
            short: format!("{event:?}"),
            long: format!("{event:#?}"),
        }
    }
}

/// A type of events that the scenario has met, by which recorded events can be shown.
#[derive(Debug)]
pub(super) struct Known {
    types: Vec<EventType>,
    show: fn(&RecordedEvent) -> Option<Shown>,
}

impl Known {
    pub(super) fn of<E: Event + Debug>() -> Self {
        Self {
            types: E::stored_types(),
            show: |found| {
                let event = E::decode(found.encoded()).ok()??;
                Some(Shown::new(found.stream(), &event))
            },
        }
    }

    /// A recorded event as the first type that claims it shows it; else as it is stored.
    pub(super) fn show(known: &[&Self], found: &RecordedEvent) -> Shown {
        let stored = found.encoded();
        let claims = |known: &&&Self| known.types.contains(stored.event_type());
        let by_claim = known.iter().filter(claims);
        // A catch-all decodes what it does not claim, so that is asked for second.
        let mut shown = by_claim
            .chain(known)
            .filter_map(|known| (known.show)(found));
        shown.next().unwrap_or_else(|| {
            let payload = String::from_utf8_lossy(stored.payload().as_bytes());
            let text = format!("{} {payload}", stored.event_type());
            Shown {
                stream: found.stream().clone(),
                long: text.clone(),
                short: text,
            }
        })
    }
}
