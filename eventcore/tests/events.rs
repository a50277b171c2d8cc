//! The stored form of events: names, the exact JSON text, and serde's attributes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

use eventcore::{EncodedEvent, Event, EventType, Payload, SchemaVersion, UnknownEvent};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// As it is stored: `name version json`.
fn stored<E: Event>(event: &E) -> String {
    let event = event.encode().unwrap();
    let json = std::str::from_utf8(event.payload().as_bytes()).unwrap();
    format!("{} {} {json}", event.event_type(), event.schema())
}

fn read<E: Event>(name: &str, json: &str) -> E {
    let event = EncodedEvent::new(
        EventType::try_new(name).unwrap(),
        SchemaVersion::FIRST,
        Payload::from(json.as_bytes()),
    );
    E::decode(&event).unwrap().unwrap()
}

#[track_caller]
fn reads_back<E: Event + PartialEq + std::fmt::Debug>(event: &E) {
    let decoded = E::decode(&event.encode().unwrap()).unwrap();
    assert_eq!(decoded.as_ref(), Some(event));
}

fn names<E: Event>() -> Vec<String> {
    E::stored_types().iter().map(ToString::to_string).collect()
}

mod forms {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Address {
        city: String,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(prefix = "parcel")]
    enum ParcelEvent {
        Lost,
        Weighed(u32),
        AddressSet(Address),
        Moved(i8, String),
        HTTPStatusSeen { code: u16, at: Option<Address> },
        Empty {},
        Listed(Vec<u8>),
        Perhaps(Option<u8>),
        Marked(()),
    }

    #[test]
    fn every_kind_of_variant_has_its_exact_text_and_reads_back() {
        use ParcelEvent::*;
        let address = || Address {
            city: "Köln".into(),
        };
        let at = Some(address());
        for (event, text) in [
            (Lost, "parcel.lost 1 {}"),
            (Weighed(7), "parcel.weighed 1 7"),
            (
                AddressSet(address()),
                r#"parcel.address_set 1 {"city":"Köln"}"#,
            ),
            (Moved(-1, "x".into()), r#"parcel.moved 1 [-1,"x"]"#),
            (
                HTTPStatusSeen { code: 404, at },
                r#"parcel.http_status_seen 1 {"code":404,"at":{"city":"Köln"}}"#,
            ),
            (Empty {}, "parcel.empty 1 {}"),
            (Listed(vec![1, 2]), "parcel.listed 1 [1,2]"),
            (Perhaps(None), "parcel.perhaps 1 null"),
            (Marked(()), "parcel.marked 1 null"),
        ] {
            assert_eq!(stored(&event), text);
            reads_back(&event);
        }
    }

    #[test]
    fn fields_that_are_no_longer_known_are_ignored() {
        let event: ParcelEvent = read("parcel.empty", r#"{"was":[1]}"#);
        assert_eq!(event, ParcelEvent::Empty {});
        let event: ParcelEvent = read("parcel.lost", r#"{"where":"sea"}"#);
        assert_eq!(event, ParcelEvent::Lost);
    }

    #[test]
    fn what_does_not_fit_the_variant_is_an_error_with_its_cause() {
        for (name, json) in [
            ("parcel.weighed", "-1"),
            ("parcel.weighed", "7 8"),
            ("parcel.moved", "[1]"),
            ("parcel.http_status_seen", "{}"),
            ("parcel.empty", ""),
            ("parcel.lost", "{"),
        ] {
            let event_type = EventType::try_new(name).unwrap();
            let payload = Payload::from(json.as_bytes());
            let event = EncodedEvent::new(event_type, SchemaVersion::FIRST, payload);
            let error = ParcelEvent::decode(&event).unwrap_err();
            assert_eq!(error.to_string(), "its payload does not fit the type");
            assert!(std::error::Error::source(&error).is_some(), "{name} {json}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error() {
        let event_type = EventType::try_new("parcel.address_set").unwrap();
        let payload = Payload::from(&b"{\"city\":\"\xff\"}"[..]);
        let event = EncodedEvent::new(event_type, SchemaVersion::FIRST, payload);
        assert!(ParcelEvent::decode(&event).is_err());
    }
}

mod stored_names {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(prefix = "task.v")]
    enum TaskEvent {
        Created,
        #[event(name = "task-done")]
        Finished,
        #[event(alias = "task.renamed", alias = "titled")]
        TitleChanged {
            title: String,
        },
    }

    #[test]
    fn a_name_is_prefix_and_snake_case_or_given_in_full() {
        assert_eq!(stored(&TaskEvent::Created), "task.v.created 1 {}");
        assert_eq!(stored(&TaskEvent::Finished), "task-done 1 {}");
        reads_back(&TaskEvent::Finished);
    }

    #[test]
    fn an_alias_reads_and_is_not_written() {
        let title = || "x".to_owned();
        let now = TaskEvent::TitleChanged { title: title() };
        assert_eq!(stored(&now), r#"task.v.title_changed 1 {"title":"x"}"#);
        for old in ["task.renamed", "titled"] {
            assert_eq!(read::<TaskEvent>(old, r#"{"title":"x"}"#), now);
        }
    }

    #[test]
    fn all_names_that_read_are_listed() {
        assert_eq!(
            names::<TaskEvent>(),
            [
                "task.v.created",
                "task-done",
                "task.v.title_changed",
                "task.renamed",
                "titled"
            ]
        );
    }

    /// Without a prefix, when every variant says its name.
    #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
    enum Named {
        #[event(name = "first")]
        First,
        #[event(name = "второе")]
        Second,
    }

    #[test]
    fn a_prefix_is_not_needed_when_all_names_are_given() {
        assert_eq!(names::<Named>(), ["first", "второе"]);
        reads_back(&Named::Second);
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(name = "invoice.sent", alias = "invoice.mailed")]
    struct InvoiceSent {
        number: u32,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(name = "ping")]
    struct Ping;

    #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(name = "meter.read")]
    struct MeterRead(u64);

    #[test]
    fn a_struct_is_an_event_of_one_name() {
        let sent = InvoiceSent { number: 5 };
        assert_eq!(stored(&sent), r#"invoice.sent 1 {"number":5}"#);
        reads_back(&sent);
        assert_eq!(
            read::<InvoiceSent>("invoice.mailed", r#"{"number":5}"#),
            sent
        );
        assert_eq!(names::<InvoiceSent>(), ["invoice.sent", "invoice.mailed"]);
        reads_back(&Ping);
        assert_eq!(stored(&MeterRead(3)), "meter.read 1 3");
        reads_back(&MeterRead(3));
    }
}

mod serde_attributes {
    #![allow(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde calls with references"
    )]

    use super::*;

    fn is_zero(number: &u32) -> bool {
        *number == 0
    }

    mod as_text {
        use serde::{Deserialize, Deserializer, Serializer, de::Error};

        pub(super) fn serialize<S: Serializer>(n: &u64, s: S) -> Result<S::Ok, S::Error> {
            s.collect_str(n)
        }

        pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
            String::deserialize(d)?.parse().map_err(D::Error::custom)
        }
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Who {
        user: String,
        #[serde(rename = "from")]
        address: Option<String>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(prefix = "post")]
    #[serde(rename_all = "SCREAMING-KEBAB-CASE", rename_all_fields = "camelCase")]
    enum PostEvent {
        Written {
            #[serde(rename = "t")]
            title: String,
            #[serde(default, skip_serializing_if = "is_zero")]
            word_count: u32,
            #[serde(with = "as_text")]
            checksum: u64,
            #[serde(flatten)]
            who: Who,
        },
        Read(#[serde(with = "as_text")] u64),
        #[serde(rename = "gone", rename_all = "kebab-case")]
        Removed {
            on_whose_behalf: String,
        },
    }

    #[test]
    fn attributes_of_fields_hold() {
        let event = PostEvent::Written {
            title: "x".into(),
            word_count: 2,
            checksum: u64::MAX,
            who: Who {
                user: "ann".into(),
                address: None,
            },
        };
        assert_eq!(
            stored(&event),
            r#"post.written 1 {"t":"x","wordCount":2,"checksum":"18446744073709551615","user":"ann","from":null}"#
        );
        reads_back(&event);
    }

    #[test]
    fn a_skipped_field_takes_its_default_when_read() {
        let event = PostEvent::Written {
            title: "x".into(),
            word_count: 0,
            checksum: 1,
            who: Who::default(),
        };
        let text = stored(&event);
        assert!(!text.contains("wordCount"), "{text}");
        reads_back(&event);
    }

    #[test]
    fn names_that_serde_gives_to_variants_do_not_matter() {
        let removed = PostEvent::Removed {
            on_whose_behalf: "eve".into(),
        };
        assert_eq!(
            stored(&removed),
            r#"post.removed 1 {"on-whose-behalf":"eve"}"#
        );
        reads_back(&removed);
        assert_eq!(stored(&PostEvent::Read(9)), r#"post.read 1 "9""#);
        reads_back(&PostEvent::Read(9));
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(prefix = "strict")]
    #[serde(deny_unknown_fields)]
    enum StrictEvent {
        Written { text: String },
    }

    #[test]
    fn unknown_fields_are_refused_when_serde_is_told_so() {
        let event_type = EventType::try_new("strict.written").unwrap();
        let payload = Payload::from(&br#"{"text":"x","more":1}"#[..]);
        let event = EncodedEvent::new(event_type, SchemaVersion::FIRST, payload);
        assert!(StrictEvent::decode(&event).is_err());
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(prefix = "inner")]
    enum Inner {
        Happened { n: u8 },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(prefix = "outer")]
    enum Skipping {
        First {
            a: u8,
        },
        #[serde(skip)]
        #[event(nested)]
        Inner(Inner),
        Second {
            a: u8,
        },
        #[serde(skip_deserializing)]
        #[event(catch_all)]
        Other(UnknownEvent),
        Third {
            a: u8,
        },
    }

    #[test]
    fn variants_that_serde_skips_do_not_shift_the_others() {
        for event in [
            Skipping::First { a: 1 },
            Skipping::Inner(Inner::Happened { n: 2 }),
            Skipping::Second { a: 3 },
            Skipping::Third { a: 4 },
        ] {
            reads_back(&event);
        }
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(prefix = "half")]
    enum HalfSkipped {
        #[serde(skip_serializing)]
        OnlyRead(u8),
        Both(u8),
    }

    #[test]
    fn a_variant_that_serde_does_not_write_is_refused_when_encoded() {
        assert!(HalfSkipped::OnlyRead(1).encode().is_err());
        assert_eq!(
            read::<HalfSkipped>("half.only_read", "1"),
            HalfSkipped::OnlyRead(1)
        );
        reads_back(&HalfSkipped::Both(1));
    }
}

mod generic {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(prefix = "note")]
    #[serde(bound = "")]
    enum Noted<T>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        Added { value: T },
        Removed,
    }

    #[test]
    fn an_event_may_have_a_type_parameter() {
        let added = Noted::Added { value: vec![1_u8] };
        assert_eq!(stored(&added), r#"note.added 1 {"value":[1]}"#);
        reads_back(&added);
        reads_back(&Noted::<String>::Removed);
    }

    /// The bounds are added by the derive, as serde's derives do.
    #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(prefix = "plain")]
    enum Unbounded<T> {
        Added {
            value: T,
        },
        #[event(version = 2, upcast_from(1 => Old<T>))]
        Changed {
            from: T,
            to: T,
        },
    }

    #[derive(Deserialize)]
    struct Old<T> {
        to: T,
    }

    impl<T: Default> From<Old<T>> for Unbounded<T> {
        fn from(old: Old<T>) -> Self {
            let (from, to) = (T::default(), old.to);
            Self::Changed { from, to }
        }
    }

    #[test]
    fn a_type_parameter_needs_no_bounds_of_its_own() {
        reads_back(&Unbounded::Added { value: 5_u8 });
        assert_eq!(
            read::<Unbounded<u8>>("plain.changed", r#"{"to":5}"#),
            Unbounded::Changed { from: 0, to: 5 }
        );
    }
}
