//! Code changes and history stays: renamed variants, wrapped enums, old shapes, and events of nobody.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

#[path = "support/seed.rs"]
mod seed;

use std::error::Error;

use eventcore::{
    DecodeError, DecodeFailure, EncodedEvent, UnknownEvent, fold_stream, prelude::*,
    store::ReadError,
};
use eventcore_memory::InMemoryEventStore;

use self::seed::{events_of, given_stored, json_of, stored, stored_as, stream, texts};

fn decode<E: Event>(event: &EncodedEvent) -> E {
    E::decode(event).unwrap().unwrap()
}

mod renaming {
    use super::*;

    mod before {
        use super::*;

        #[derive(Serialize, Deserialize, Event)]
        #[event(prefix = "cart")]
        pub(super) enum CartEvent {
            Begun,
            ItemPut { item: String },
        }
    }

    mod after {
        use super::*;

        #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
        #[event(prefix = "basket")]
        pub(super) enum BasketEvent {
            New,
            #[event(name = "cart.item_put")]
            ItemAdded {
                item: String,
            },
            #[event(name = "cart.begun")]
            Started,
        }
    }

    #[test]
    fn a_variant_that_gets_another_name_and_place_keeps_its_history() {
        let old = before::CartEvent::ItemPut { item: "cd".into() };
        let new = after::BasketEvent::ItemAdded { item: "cd".into() };
        assert_eq!(old.encode().unwrap(), new.encode().unwrap());
        assert_eq!(decode::<after::BasketEvent>(&old.encode().unwrap()), new);
        let begun = before::CartEvent::Begun.encode().unwrap();
        assert_eq!(
            decode::<after::BasketEvent>(&begun),
            after::BasketEvent::Started
        );
    }
}

mod wrapping {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(prefix = "task")]
    enum TaskEvent {
        Created { title: String },
        Done,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(name = "user.joined")]
    struct UserJoined(String);

    #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(prefix = "work")]
    enum WorkEvent {
        #[event(nested)]
        Task(TaskEvent),
        Paused,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(prefix = "system")]
    enum SystemEvent {
        Started,
        #[event(nested)]
        Work(WorkEvent),
        #[event(nested)]
        User(UserJoined),
    }

    fn created() -> TaskEvent {
        let title = "x".into();
        TaskEvent::Created { title }
    }

    #[test]
    fn a_wrapped_event_is_stored_as_if_it_were_not_wrapped() {
        let bare = created().encode().unwrap();
        let wrapped = SystemEvent::Work(WorkEvent::Task(created()));
        assert_eq!(wrapped.encode().unwrap(), bare);
        assert_eq!(decode::<SystemEvent>(&bare), wrapped);
        assert_eq!(decode::<TaskEvent>(&wrapped.encode().unwrap()), created());
    }

    #[test]
    fn each_level_finds_its_own() {
        for event in [
            SystemEvent::Started,
            SystemEvent::Work(WorkEvent::Paused),
            SystemEvent::Work(WorkEvent::Task(TaskEvent::Done)),
            SystemEvent::User(UserJoined("ann".into())),
        ] {
            assert_eq!(decode::<SystemEvent>(&event.encode().unwrap()), event);
        }
    }

    #[test]
    fn the_names_of_all_levels_are_listed() {
        let names: Vec<_> = SystemEvent::stored_types();
        let names: Vec<&str> = names.iter().map(eventcore::EventType::as_str).collect();
        assert_eq!(
            names,
            [
                "system.started",
                "work.paused",
                "task.created",
                "task.done",
                "user.joined"
            ]
        );
    }

    #[test]
    fn damage_in_a_wrapped_event_is_not_taken_for_an_unknown_type() {
        let damaged = stored("task.created", "{}");
        assert!(matches!(
            SystemEvent::decode(&damaged),
            Err(DecodeFailure::Payload(_))
        ));
    }
}

mod unknown {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(prefix = "task")]
    enum TaskEvent {
        Done,
    }

    #[derive(Default, Clone, Debug)]
    struct Task;

    impl Fold for Task {
        type Event = TaskEvent;
        fn apply(&mut self, _: &StoredEvent<TaskEvent>) {}
    }

    #[derive(Command)]
    struct Finish {
        #[stream(fold = Task)]
        task: StreamId,
    }

    impl CommandLogic for Finish {
        fn handle(
            &self,
            streams: &Streams<Self>,
            events: &mut NewEvents<Self>,
        ) -> Result<(), CommandError> {
            emit!(events, streams.task => TaskEvent::Done);
            Ok(())
        }
    }

    async fn with_an_unknown_event() -> InMemoryEventStore {
        let store = InMemoryEventStore::new();
        given_stored(&store, "task:1", stored("task.done", "{}")).await;
        given_stored(&store, "task:1", stored_as("task.planned", 3, "{}")).await;
        store
    }

    fn check(error: &DecodeError) {
        assert_eq!(
            error.to_string(),
            "cannot decode event 2 of stream `task:1` (position 2, type `task.planned` version 3)"
        );
        assert_eq!(
            (error.stream().as_str(), error.version().get()),
            ("task:1", 2)
        );
        assert_eq!(
            (error.event_type().as_str(), error.position().get()),
            ("task.planned", 2)
        );
        assert!(
            matches!(error.failure(), DecodeFailure::UnknownType { event } if event.contains("TaskEvent"))
        );
        assert!(error.source().unwrap().to_string().contains("unknown to"));
    }

    #[tokio::test]
    async fn an_unknown_type_is_an_error_that_says_where_it_is() {
        let store = with_an_unknown_event().await;
        let task = stream("task:1");
        match execute(Finish { task: task.clone() }, &store).await {
            Err(CommandError::Decode(error)) => check(&error),
            other => panic!("{other:?}"),
        }
        assert_eq!(texts(&store, "task:1").await.len(), 2);
        match fold_stream::<Task>(&store, &task).await {
            Err(ReadError::Decode(error)) => check(&error),
            other => panic!("{other:?}"),
        }
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(prefix = "task")]
    enum Tolerant {
        Done,
        #[event(nested)]
        Other(Nested),
        #[event(catch_all)]
        Unknown(UnknownEvent),
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(prefix = "nested")]
    enum Nested {
        One,
    }

    #[test]
    fn a_catch_all_keeps_type_version_and_bytes_as_they_are() {
        let odd = "{ \"b\":1e2,\t\"a\": [ ] , \"a\":2 }";
        let event = stored_as("task.planned", 9, odd);
        let unknown = decode::<Tolerant>(&event);
        assert_eq!(unknown.encode().unwrap(), event);
        let Tolerant::Unknown(unknown) = unknown else {
            panic!("{unknown:?}")
        };
        assert_eq!(unknown.event_type().as_str(), "task.planned");
        assert_eq!(unknown.schema().get(), 9);
        assert_eq!(unknown.payload().as_bytes(), odd.as_bytes());
    }

    #[test]
    fn a_catch_all_takes_bytes_that_are_no_json() {
        let event_type = eventcore::EventType::try_new("x").unwrap();
        let payload = eventcore::Payload::from(vec![0, 159, 255]);
        let event = EncodedEvent::new(event_type, eventcore::SchemaVersion::FIRST, payload);
        assert_eq!(decode::<Tolerant>(&event).encode().unwrap(), event);
    }

    #[test]
    fn an_unknown_event_can_be_looked_into() {
        let Tolerant::Unknown(event) = decode(&stored("x", r#"{"n":5}"#)) else {
            panic!("known")
        };
        let json: std::collections::BTreeMap<String, u8> = event.json().unwrap();
        assert_eq!(json["n"], 5);
        assert!(event.json::<u8>().is_err());
    }

    #[test]
    fn a_catch_all_takes_only_what_nobody_knows() {
        assert_eq!(
            decode::<Tolerant>(&stored("task.done", "{}")),
            Tolerant::Done
        );
        assert_eq!(
            decode::<Tolerant>(&stored("nested.one", "{}")),
            Tolerant::Other(Nested::One)
        );
        assert!(Tolerant::decode(&stored_as("task.done", 2, "{}")).is_err());
    }
}

mod versions {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(prefix = "contact")]
    enum ContactEvent {
        #[event(version = 2, alias = "contact.made", upcast_from(1 => AddedV1))]
        Added { first: String, last: String },
        #[event(version = 3, upcast_from(1 => CalledV1, 2 => CalledV2))]
        Called { minutes: u32, by: String },
    }

    #[derive(Deserialize)]
    struct AddedV1 {
        name: String,
    }

    /// An old shape that today's code cannot always make sense of.
    #[derive(Debug, PartialEq)]
    struct NoLastName(String);

    impl std::fmt::Display for NoLastName {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "`{}` has no last name", self.0)
        }
    }

    impl Error for NoLastName {}

    impl TryFrom<AddedV1> for ContactEvent {
        type Error = NoLastName;
        fn try_from(old: AddedV1) -> Result<Self, NoLastName> {
            let Some((first, last)) = old.name.split_once(' ') else {
                return Err(NoLastName(old.name));
            };
            let (first, last) = (first.to_owned(), last.to_owned());
            Ok(Self::Added { first, last })
        }
    }

    #[derive(Deserialize)]
    struct CalledV1 {
        seconds: u32,
    }

    impl From<CalledV1> for ContactEvent {
        fn from(old: CalledV1) -> Self {
            let (minutes, by) = (old.seconds / 60, "nobody".to_owned());
            Self::Called { minutes, by }
        }
    }

    #[derive(Deserialize)]
    struct CalledV2 {
        minutes: u32,
    }

    impl From<CalledV2> for ContactEvent {
        fn from(old: CalledV2) -> Self {
            let (minutes, by) = (old.minutes, "somebody".to_owned());
            Self::Called { minutes, by }
        }
    }

    fn called(minutes: u32, by: &str) -> ContactEvent {
        let by = by.to_owned();
        ContactEvent::Called { minutes, by }
    }

    #[test]
    fn todays_version_is_written_and_read() {
        let event = called(2, "ann").encode().unwrap();
        assert_eq!(event.schema().get(), 3);
        assert_eq!(json_of(&event), r#"{"minutes":2,"by":"ann"}"#);
        assert_eq!(decode::<ContactEvent>(&event), called(2, "ann"));
    }

    #[test]
    fn every_older_version_is_read_in_its_own_shape() {
        let first = stored_as("contact.called", 1, r#"{"seconds":120}"#);
        assert_eq!(decode::<ContactEvent>(&first), called(2, "nobody"));
        let second = stored_as("contact.called", 2, r#"{"minutes":2}"#);
        assert_eq!(decode::<ContactEvent>(&second), called(2, "somebody"));
    }

    #[test]
    fn an_older_version_is_read_under_an_older_name_too() {
        let made = stored_as("contact.made", 1, r#"{"name":"Ann Lee"}"#);
        let (first, last) = ("Ann".to_owned(), "Lee".to_owned());
        assert_eq!(
            decode::<ContactEvent>(&made),
            ContactEvent::Added { first, last }
        );
    }

    #[test]
    fn a_conversion_that_refuses_is_an_error_with_its_cause() {
        let odd = stored_as("contact.added", 1, r#"{"name":"Ann"}"#);
        let failure = ContactEvent::decode(&odd).unwrap_err();
        assert!(matches!(failure, DecodeFailure::Upcast(_)), "{failure:?}");
        let source = failure.source().unwrap();
        assert_eq!(
            source.downcast_ref::<NoLastName>(),
            Some(&NoLastName("Ann".into()))
        );
    }

    #[test]
    fn an_old_payload_in_todays_shape_does_not_slip_through() {
        let mixed = stored_as("contact.called", 1, r#"{"minutes":2,"by":"x"}"#);
        assert!(matches!(
            ContactEvent::decode(&mixed),
            Err(DecodeFailure::Payload(_))
        ));
    }

    #[test]
    fn a_version_from_the_future_is_refused() {
        let newer = stored_as("contact.called", 4, r#"{"minutes":2,"by":"x"}"#);
        let failure = ContactEvent::decode(&newer).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "its shape has version 4, this program knows [1, 2, 3]"
        );
        assert!(matches!(
            failure,
            DecodeFailure::UnknownSchema {
                known: &[1, 2, 3],
                ..
            }
        ));
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(name = "rate.set", version = 2, upcast_from(1 => RateV1))]
    struct RateSet {
        percent: u8,
    }

    #[derive(Deserialize)]
    struct RateV1(f32);

    impl TryFrom<RateV1> for RateSet {
        type Error = String;
        fn try_from(RateV1(rate): RateV1) -> Result<Self, String> {
            match rate {
                0.5 => Ok(Self { percent: 50 }),
                _ => Err(format!("odd rate {rate}")),
            }
        }
    }

    #[test]
    fn structs_have_versions_too() {
        let half = stored_as("rate.set", 1, "0.5");
        assert_eq!(decode::<RateSet>(&half), RateSet { percent: 50 });
        assert!(RateSet::decode(&stored_as("rate.set", 1, "0.7")).is_err());
        let event = RateSet { percent: 7 }.encode().unwrap();
        assert_eq!(decode::<RateSet>(&event), RateSet { percent: 7 });
    }

    #[derive(Default, Clone)]
    struct Calls(u32);

    impl Fold for Calls {
        type Event = ContactEvent;
        fn apply(&mut self, event: &StoredEvent<ContactEvent>) {
            if let ContactEvent::Called { minutes, .. } = event.data() {
                self.0 += minutes;
            }
        }
    }

    #[tokio::test]
    async fn a_stream_of_all_versions_folds_into_one_state() {
        let store = InMemoryEventStore::new();
        for (schema, json) in [
            (1, r#"{"seconds":60}"#),
            (2, r#"{"minutes":10}"#),
            (3, r#"{"minutes":100,"by":"x"}"#),
        ] {
            given_stored(&store, "c", stored_as("contact.called", schema, json)).await;
        }
        let calls = fold_stream::<Calls>(&store, &stream("c")).await.unwrap();
        assert_eq!(calls.state.0, 111);
        let untouched = events_of(&store, "c").await;
        assert_eq!(json_of(untouched[0].encoded()), r#"{"seconds":60}"#);
    }
}
