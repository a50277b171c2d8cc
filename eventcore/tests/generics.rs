//! Commands with type, lifetime and constant parameters.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

#[path = "support/seed.rs"]
mod seed;

use eventcore::{StreamNameError, prelude::*};
use eventcore_memory::InMemoryEventStore;

use self::seed::{stream, texts};

#[derive(Clone, Serialize, Deserialize, Event)]
#[event(prefix = "shelf")]
enum ShelfEvent {
    Labelled { with: Vec<String> },
    Cleared,
}

#[derive(Default, Clone)]
struct Shelf;

impl Fold for Shelf {
    type Event = ShelfEvent;
    fn apply(&mut self, _: &StoredEvent<ShelfEvent>) {}
}

#[derive(Command)]
struct Label<'a, T, const N: usize = 1>
where
    T: AsRef<str> + Send + Sync,
{
    #[stream(fold = Shelf)]
    shelf: StreamId,
    title: T,
    note: &'a str,
}

impl<T: AsRef<str> + Send + Sync, const N: usize> CommandLogic for Label<'_, T, N> {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        for _ in 0..N {
            let with = vec![self.title.as_ref().to_owned(), self.note.to_owned()];
            emit!(events, streams.shelf => ShelfEvent::Labelled { with });
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_command_may_have_types_lifetimes_and_constants() {
    let store = InMemoryEventStore::new();
    let note = String::from("fragile");
    let command: Label<'_, _, 2> = Label {
        shelf: stream("s:1"),
        title: "glass",
        note: &note,
    };
    execute(command, &store).await.unwrap();
    let labelled = r#"shelf.labelled {"with":["glass","fragile"]}"#;
    assert_eq!(texts(&store, "s:1").await, [labelled, labelled]);
}

/// A command over any shelf-like fold.
#[derive(Command)]
struct Empty<F: Fold> {
    #[stream(fold = F)]
    stream: StreamId,
    with: F::Event,
}

impl<F: Fold<Event: Clone>> CommandLogic for Empty<F> {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        emit!(events, streams.stream => self.with.clone());
        Ok(())
    }
}

#[tokio::test]
async fn the_fold_may_be_a_type_parameter() {
    let store = InMemoryEventStore::new();
    let command = Empty::<Shelf> {
        stream: stream("s:1"),
        with: ShelfEvent::Cleared,
    };
    execute(command, &store).await.unwrap();
    assert_eq!(texts(&store, "s:1").await, ["shelf.cleared {}"]);
}

#[derive(Command)]
struct Copy<K>
where
    K: Clone + Send + Sync + TryInto<StreamId, Error = StreamNameError>,
{
    #[stream(fold = Shelf)]
    key: K,
}

impl<K> CommandLogic for Copy<K>
where
    K: Clone + Send + Sync + TryInto<StreamId, Error = StreamNameError>,
{
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        emit!(events, streams.key => ShelfEvent::Cleared);
        Ok(())
    }
}

#[derive(Clone, StreamName)]
#[stream_name("box:{0}")]
struct BoxNumber(u8);

#[tokio::test]
async fn the_key_may_be_a_type_parameter() {
    let store = InMemoryEventStore::new();
    execute(Copy { key: BoxNumber(7) }, &store).await.unwrap();
    assert_eq!(texts(&store, "box:7").await.len(), 1);
}
