//! Reading a stream outside of a command.

use crate::{
    EventStore, Fold, StoredEvent, StreamId, StreamVersion,
    store::{ReadError, ReadFrom, StoreError, StoreErrorKind},
};

/// What a stream amounted to at a version.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded<F> {
    /// The folded state.
    pub state: F,
    /// The number of events in it.
    pub version: StreamVersion,
}

/// Reads a stream and folds it: for queries, which need no command.
///
/// Memory does not grow with the stream's length.
///
/// # Errors
///
/// [`ReadError`], also for an event that the fold's type cannot decode.
///
/// # Cancel safety
///
/// Safe at any point.
///
/// ```
/// use eventcore::{fold_stream, prelude::*};
/// use eventcore_memory::InMemoryEventStore;
/// # #[derive(Serialize, Deserialize, Event)]
/// # #[event(prefix = "counter")]
/// # enum Counted { Up }
/// # #[derive(Default, Clone)]
/// # struct Counter(u32);
/// # impl Fold for Counter {
/// #     type Event = Counted;
/// #     fn apply(&mut self, _: &StoredEvent<Counted>) { self.0 += 1; }
/// # }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = InMemoryEventStore::new();
/// let counter = fold_stream::<Counter>(&store, &StreamId::try_new("counter:1")?).await?;
/// assert_eq!((counter.state.0, counter.version), (0, StreamVersion::EMPTY));
/// # Ok(()) }
/// ```
pub async fn fold_stream<F: Fold>(
    store: &(impl EventStore + ?Sized),
    stream: &StreamId,
) -> Result<Folded<F>, ReadError> {
    let mut read = store.read(&[ReadFrom::start(stream.clone())]).await?;
    let (mut state, mut reached) = (F::default(), StreamVersion::EMPTY);
    while let Some(chunk) = read.events.next_chunk().await? {
        for event in chunk {
            reached = event.version();
            state.apply(&StoredEvent::decode(event)?);
        }
    }
    let version = read.versions.first().copied().unwrap_or_default();
    if reached != version {
        let text = format!("stream `{stream}` is at {version}, its events came up to {reached}");
        return Err(StoreError::new("read", StoreErrorKind::Other, text).into());
    }
    Ok(Folded { state, version })
}
