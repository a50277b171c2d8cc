//! The shapes that a command's fields may have.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

#[path = "support/seed.rs"]
mod seed;
#[path = "support/spy.rs"]
mod spy;

use eventcore::{StreamNameError, prelude::*};
use eventcore_memory::InMemoryEventStore;

use self::{
    seed::{given, one_more, stream, texts},
    spy::Spy,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
#[event(prefix = "shelf")]
enum ShelfEvent {
    Filled { items: u32 },
}

#[derive(Default, Clone)]
struct Shelf(u32);

impl Fold for Shelf {
    type Event = ShelfEvent;
    fn apply(&mut self, event: &StoredEvent<ShelfEvent>) {
        let ShelfEvent::Filled { items } = event.data();
        self.0 += items;
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
#[event(prefix = "report")]
enum ReportEvent {
    Counted { items: u32, of: Vec<String> },
}

#[derive(Default, Clone)]
struct Report;

impl Fold for Report {
    type Event = ReportEvent;
    fn apply(&mut self, _: &StoredEvent<ReportEvent>) {}
}

async fn fill(store: &InMemoryEventStore, name: &str, items: u32) {
    given(store, name, ShelfEvent::Filled { items }).await;
}

async fn store_with(shelves: &[(&str, u32)]) -> InMemoryEventStore {
    let store = InMemoryEventStore::new();
    for (name, items) in shelves {
        fill(&store, name, *items).await;
    }
    store
}

mod lists {
    use super::*;

    /// Counts some shelves and refills the empty ones: two event types, one list that is written, one that is not.
    #[derive(Command)]
    struct Count {
        #[stream(fold = Shelf)]
        shelves: Vec<StreamId>,
        #[stream(fold = Shelf, read_only)]
        elsewhere: Vec<StreamId>,
        #[stream(fold = Report)]
        report: StreamId,
    }

    impl CommandLogic for Count {
        fn handle(
            &self,
            streams: &Streams<Self>,
            events: &mut NewEvents<Self>,
        ) -> Result<(), CommandError> {
            let all = streams.shelves.iter().map(|v| (v.id(), v.state().0));
            let all = all.chain(streams.elsewhere.iter().map(|v| (v.id(), v.state().0)));
            let items = all.clone().map(|(_, items)| items).sum();
            let of = all.map(|(id, _)| id.to_string()).collect();
            for shelf in &streams.shelves {
                if shelf.state().0 == 0 {
                    emit!(events, shelf => ShelfEvent::Filled { items: 10 });
                }
            }
            emit!(events, streams.report => ReportEvent::Counted { items, of });
            Ok(())
        }
    }

    fn count(shelves: &[&str], elsewhere: &[&str]) -> Count {
        let ids = |names: &[&str]| names.iter().map(|name| stream(name)).collect();
        Count {
            shelves: ids(shelves),
            elsewhere: ids(elsewhere),
            report: stream("report"),
        }
    }

    #[tokio::test]
    async fn a_list_gives_one_view_per_stream_in_its_order() {
        let store = store_with(&[("s:1", 1), ("s:2", 2), ("e:1", 4)]).await;
        execute(count(&["s:2", "s:3", "s:1"], &["e:1"]), &store)
            .await
            .unwrap();
        assert_eq!(
            texts(&store, "report").await,
            [r#"report.counted {"items":7,"of":["s:2","s:3","s:1","e:1"]}"#]
        );
        assert_eq!(
            texts(&store, "s:3").await,
            [r#"shelf.filled {"items":10}"#],
            "the empty one was filled, through its view in the list"
        );
        assert_eq!(texts(&store, "s:1").await.len(), 1);
    }

    #[tokio::test]
    async fn an_empty_list_is_no_stream() {
        let store = store_with(&[]).await;
        let receipt = execute(count(&[], &[]), &store).await.unwrap();
        assert_eq!(receipt.events.len(), 1);
    }

    #[tokio::test]
    async fn a_long_list_finds_each_stream_its_state() {
        let names: Vec<String> = (0..40).map(|n| format!("s:{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let store = InMemoryEventStore::new();
        for (name, items) in names.iter().zip(1..) {
            fill(&store, name, items).await;
        }
        let (shelves, elsewhere) = names.split_at(25);
        let receipt = execute(count(shelves, elsewhere), &store).await.unwrap();
        assert_eq!(receipt.events.len(), 1, "no shelf looked empty");
        let text = texts(&store, "report").await.remove(0);
        assert!(text.contains(r#""items":820"#), "{text}");
    }

    #[tokio::test]
    async fn a_list_that_names_a_stream_twice_is_refused() {
        let store = store_with(&[]).await;
        for (command, message) in [
            (
                count(&["s:1", "s:2", "s:1"], &[]),
                "stream `s:1` is named twice, by `shelves` and by `shelves`",
            ),
            (
                count(&["s:1"], &["s:2", "s:1"]),
                "stream `s:1` is named twice, by `shelves` and by `elsewhere`",
            ),
        ] {
            let error = execute(command, &store).await.unwrap_err();
            assert_eq!(error.to_string(), message);
            assert!(!error.is_retriable());
        }
    }

    #[tokio::test]
    async fn a_twin_is_found_in_a_long_list_too() {
        let mut names: Vec<String> = (0..30).map(|n| format!("s:{n}")).collect();
        names.push("s:11".into());
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let error = execute(count(&[], &names), store_with(&[]).await)
            .await
            .unwrap_err();
        assert!(
            matches!(&error, CommandError::DuplicateStream { stream, .. } if stream.as_str() == "s:11"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_read_only_stream_of_a_list_is_guarded() {
        let store = Spy::over(store_with(&[("e:1", 1), ("e:2", 1)]).await);
        let filled = ShelfEvent::Filled { items: 5 }.encode().unwrap();
        store.sneak_in_before_append(1, one_more(&store.inner, "e:2", filled).await);
        let receipt = execute(count(&[], &["e:1", "e:2"]), &store).await.unwrap();
        assert_eq!(receipt.attempts, 2);
        let text = texts(&store.inner, "report").await.remove(0);
        assert!(text.contains(r#""items":7"#), "{text}");
    }
}

mod optional {
    use super::*;

    #[derive(Command)]
    struct Move {
        #[stream(fold = Shelf)]
        to: StreamId,
        #[stream(fold = Shelf)]
        overflow: Option<StreamId>,
        items: u32,
    }

    impl CommandLogic for Move {
        fn handle(
            &self,
            streams: &Streams<Self>,
            events: &mut NewEvents<Self>,
        ) -> Result<(), CommandError> {
            let fits = self.items.min(10 - streams.to.state().0);
            let rest = self.items - fits;
            emit!(events, streams.to => ShelfEvent::Filled { items: fits });
            match &streams.overflow {
                Some(overflow) if rest > 0 => {
                    emit!(events, overflow => ShelfEvent::Filled { items: rest });
                }
                _ => require!(rest == 0, "{rest} do not fit"),
            }
            Ok(())
        }
    }

    fn twelve_to(overflow: Option<&str>) -> Move {
        Move {
            to: stream("s:1"),
            overflow: overflow.map(stream),
            items: 12,
        }
    }

    #[tokio::test]
    async fn an_optional_stream_that_is_there_has_a_view() {
        let store = InMemoryEventStore::new();
        execute(twelve_to(Some("s:2")), &store).await.unwrap();
        assert_eq!(texts(&store, "s:2").await, [r#"shelf.filled {"items":2}"#]);
    }

    #[tokio::test]
    async fn an_optional_stream_that_is_not_there_has_none() {
        let store = InMemoryEventStore::new();
        let error = execute(twelve_to(None), &store).await.unwrap_err();
        assert_eq!(error.to_string(), "rejected: 2 do not fit");
    }

    #[tokio::test]
    async fn an_optional_stream_must_differ_from_the_others() {
        let error = execute(twelve_to(Some("s:1")), InMemoryEventStore::new())
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "stream `s:1` is named twice, by `to` and by `overflow`"
        );
    }
}

mod names {
    use super::*;

    /// A key of the application's own, always a stream's name.
    #[derive(Clone)]
    struct ShelfKey(StreamId);

    impl From<ShelfKey> for StreamId {
        fn from(key: ShelfKey) -> Self {
            key.0
        }
    }

    #[derive(Clone, Debug, StreamName)]
    #[stream_name("shelf:{room}:{number}")]
    struct ShelfIn {
        room: String,
        number: u32,
    }

    #[derive(Command)]
    struct Fill {
        #[stream(fold = Shelf)]
        key: ShelfKey,
        #[stream(fold = Shelf)]
        name: ShelfIn,
        #[stream(fold = Shelf)]
        more: Vec<ShelfIn>,
        #[stream(fold = Shelf)]
        perhaps: Option<ShelfIn>,
    }

    impl CommandLogic for Fill {
        fn handle(
            &self,
            streams: &Streams<Self>,
            events: &mut NewEvents<Self>,
        ) -> Result<(), CommandError> {
            let Streams::<Self> {
                key,
                name,
                more,
                perhaps,
            } = streams;
            for view in [key, name].into_iter().chain(more).chain(perhaps) {
                emit!(events, view => ShelfEvent::Filled { items: 1 });
            }
            Ok(())
        }
    }

    fn shelf(room: &str, number: u32) -> ShelfIn {
        let room = room.to_owned();
        ShelfIn { room, number }
    }

    fn fill(room: &str) -> Fill {
        Fill {
            key: ShelfKey(stream("by-key")),
            name: shelf(room, 1),
            more: vec![shelf("b", 2), shelf("b", 3)],
            perhaps: Some(shelf("c", 4)),
        }
    }

    #[tokio::test]
    async fn keys_and_typed_names_stand_where_a_stream_id_may() {
        let receipt = execute(fill("a"), InMemoryEventStore::new()).await.unwrap();
        let streams: Vec<_> = receipt.events.iter().map(|e| e.stream.as_str()).collect();
        let expected = ["by-key", "shelf:a:1", "shelf:b:2", "shelf:b:3", "shelf:c:4"];
        assert_eq!(streams, expected);
    }

    #[tokio::test]
    async fn a_key_without_a_name_is_refused_and_the_field_is_named() {
        let error = execute(fill("a:b"), InMemoryEventStore::new())
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "`name` does not name a stream");
        let source = std::error::Error::source(&error).unwrap();
        assert!(source.is::<StreamNameError>());
        assert_eq!(
            source.to_string(),
            "`room` = \"a:b\" does not fit the stream name `shelf:{room}:{number}`: it contains the separator `:`"
        );
    }

    #[tokio::test]
    async fn a_bad_key_in_a_list_is_refused_before_anything_is_read() {
        let store = Spy::default();
        let mut command = fill("a");
        command.more.push(shelf("", 5));
        let error = execute(command, &store).await.unwrap_err();
        assert_eq!(error.to_string(), "`more` does not name a stream");
        assert!(store.reads().is_empty());
    }
}

/// A command that an application's own macro writes.
macro_rules! fill {
    ($name:ident, $shelf:ident) => {
        #[derive(Command)]
        struct $name {
            #[stream(fold = Shelf)]
            $shelf: StreamId,
            #[stream(fold = Shelf, read_only)]
            shelf_beside: StreamId,
            items: u32,
        }

        impl CommandLogic for $name {
            fn handle(
                &self,
                streams: &Streams<Self>,
                events: &mut NewEvents<Self>,
            ) -> Result<(), CommandError> {
                assert_eq!(streams.shelf_beside.state().0, 0);
                emit!(events, streams.$shelf => ShelfEvent::Filled { items: self.items });
                Ok(())
            }
        }
    };
}

fill!(FillByMacro, written_by_macro);

#[tokio::test]
async fn a_macro_of_the_application_may_write_a_command() {
    let store = InMemoryEventStore::new();
    let command = FillByMacro {
        written_by_macro: stream("shelf:1"),
        shelf_beside: stream("shelf:2"),
        items: 3,
    };
    let receipt = execute(command, &store).await.unwrap();
    assert_eq!(receipt.events.len(), 1);
}
