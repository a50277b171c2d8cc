//! Typed stream names, both ways.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

use std::{error::Error, fmt, str::FromStr};

use eventcore::{StreamId, StreamIdError, StreamName, StreamNameError};
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq, StreamName)]
#[stream_name("account:{id}")]
struct AccountName {
    id: u32,
}

#[derive(Clone, Debug, PartialEq, StreamName)]
#[stream_name("user:{0}:settings")]
struct SettingsOf(String);

/// The fields in another order than the pattern.
#[derive(Clone, Debug, PartialEq, StreamName)]
#[stream_name("shelf:{room}:at:{row}:{column}")]
struct ShelfAt {
    column: i8,
    room: String,
    row: u16,
}

#[derive(Clone, Debug, PartialEq, StreamName)]
#[stream_name("settings")]
struct Settings;

#[derive(Clone, Debug, PartialEq, StreamName)]
#[stream_name("typed:{key}")]
struct Typed<K>
where
    K: fmt::Display + FromStr<Err: Error + Send + Sync + 'static>,
{
    key: K,
}

fn stream(name: &str) -> StreamId {
    StreamId::try_new(name).unwrap()
}

fn name_of(key: &impl StreamName) -> String {
    key.to_stream_id().unwrap().to_string()
}

fn shelf(room: &str) -> ShelfAt {
    ShelfAt {
        column: -1,
        room: room.into(),
        row: 2,
    }
}

#[test]
fn a_key_becomes_a_name_and_back() {
    assert_eq!(name_of(&AccountName { id: 7 }), "account:7");
    let back = AccountName::from_stream_id(&stream("account:7")).unwrap();
    assert_eq!(back, AccountName { id: 7 });

    assert_eq!(name_of(&SettingsOf("ann".into())), "user:ann:settings");
    let back = SettingsOf::from_stream_id(&stream("user:ann:settings")).unwrap();
    assert_eq!(back, SettingsOf("ann".into()));
}

#[test]
fn fields_go_where_the_pattern_says() {
    assert_eq!(name_of(&shelf("A")), "shelf:A:at:2:-1");
    let back = ShelfAt::from_stream_id(&stream("shelf:A:at:2:-1")).unwrap();
    assert_eq!(back, shelf("A"));
}

#[test]
fn a_unit_struct_names_one_stream() {
    assert_eq!(name_of(&Settings), "settings");
    assert!(Settings::from_stream_id(&stream("settings")).is_ok());
    for other in ["settings:", "settings2", "setting"] {
        assert!(Settings::from_stream_id(&stream(other)).is_err(), "{other}");
    }
}

#[test]
fn a_key_may_be_generic() {
    let typed = Typed { key: 'x' };
    assert_eq!(name_of(&typed), "typed:x");
    assert_eq!(Typed::from_stream_id(&stream("typed:x")).unwrap(), typed);
}

#[test]
fn the_category_is_what_stands_before_the_first_colon() {
    assert_eq!(AccountName::CATEGORY, "account");
    assert_eq!(ShelfAt::CATEGORY, "shelf");
    assert_eq!(Settings::CATEGORY, "settings");
    assert_eq!(ShelfAt::PATTERN, "shelf:{room}:at:{row}:{column}");
    assert_eq!(
        shelf("A").to_stream_id().unwrap().category(),
        ShelfAt::CATEGORY
    );
}

#[test]
fn the_conversions_of_the_standard_library_do_the_same() {
    let key = AccountName { id: 7 };
    assert_eq!(StreamId::try_from(&key).unwrap(), stream("account:7"));
    assert_eq!(AccountName::try_from(&stream("account:7")).unwrap(), key);
    let id: StreamId = key.try_into().unwrap();
    assert_eq!(id, stream("account:7"));
    assert!(AccountName::try_from(&stream("account:x")).is_err());
}

#[test]
fn a_key_that_would_break_the_pattern_is_refused_with_the_reason() {
    for (room, reason) in [
        ("", "it is empty"),
        ("a:b", "it contains the separator `:`"),
        (":", "it contains the separator `:`"),
        (" a", "it has white space at its ends"),
        ("a\u{a0}", "it has white space at its ends"),
        ("a\tb", "it contains a control character"),
        ("a\0b", "it contains a control character"),
    ] {
        let error = shelf(room).to_stream_id().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "`room` = {room:?} does not fit the stream name `shelf:{{room}}:at:{{row}}:{{column}}`: {reason}"
            )
        );
    }
    assert_eq!(name_of(&shelf("a b")), "shelf:a b:at:2:-1");
}

#[test]
fn a_numbered_placeholder_is_named_by_its_number() {
    let error = SettingsOf(String::new()).to_stream_id().unwrap_err();
    assert_eq!(
        error.to_string(),
        "`0` = \"\" does not fit the stream name `user:{0}:settings`: it is empty"
    );
}

#[test]
fn a_name_that_gets_too_long_is_refused() {
    let fits = 255 - "user::settings".len();
    assert!(SettingsOf("é".repeat(fits)).to_stream_id().is_ok());
    let error = SettingsOf("é".repeat(fits + 1)).to_stream_id().unwrap_err();
    assert!(matches!(
        error,
        StreamNameError::Id(StreamIdError::TooLong { chars: 256, .. })
    ));
}

#[test]
fn a_display_that_fails_is_an_error_and_no_panic() {
    #[derive(Debug)]
    struct Broken;

    impl fmt::Display for Broken {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            Err(fmt::Error)
        }
    }

    impl FromStr for Broken {
        type Err = fmt::Error;
        fn from_str(_: &str) -> Result<Self, fmt::Error> {
            Ok(Self)
        }
    }

    let error = Typed { key: Broken }.to_stream_id().unwrap_err();
    assert!(error.to_string().ends_with("its Display failed"), "{error}");
    assert!(Typed::<Broken>::from_stream_id(&stream("typed:x")).is_err());
}

#[test]
fn a_name_of_another_pattern_is_refused() {
    for name in [
        "account:7",
        "shelf:A:at:2",
        "shelf:A:at:2:",
        "shelf:A:at:2:-1:",
        "shelf:A:at:2:-1:x",
        "shelf::at:2:-1",
        "shelf:A:on:2:-1",
        "shelf: A:at:2:-1",
        "Shelf:A:at:2:-1",
        "ashelf:A:at:2:-1",
    ] {
        let error = ShelfAt::from_stream_id(&stream(name)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("stream `{name}` is not named like `shelf:{{room}}:at:{{row}}:{{column}}`")
        );
    }
    for name in [
        "user:ann",
        "user:ann:settings:x",
        "user::settings",
        "user:a:b:settings",
    ] {
        assert!(SettingsOf::from_stream_id(&stream(name)).is_err(), "{name}");
    }
}

#[test]
fn a_part_that_does_not_parse_is_named_and_keeps_the_cause() {
    let error = ShelfAt::from_stream_id(&stream("shelf:A:at:70000:1")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "stream `shelf:A:at:70000:1`: \"70000\" is not a `row` of `shelf:{room}:at:{row}:{column}`"
    );
    let source = error.source().unwrap();
    assert_eq!(source.to_string(), "number too large to fit in target type");
}

/// `account:007` would parse as the key 7, whose stream is another one.
#[test]
fn a_part_that_its_key_would_write_in_another_way_is_refused() {
    for name in ["account:007", "account:+7"] {
        let error = AccountName::from_stream_id(&stream(name)).unwrap_err();
        assert!(
            matches!(error, StreamNameError::Parse { field: "id", .. }),
            "{error}"
        );
        let source = error.source().unwrap();
        assert_eq!(source.to_string(), "such a key is written `7`");
    }
}

proptest! {
    #[test]
    fn a_key_reads_back_equal_or_is_refused(room in ".{0,12}|[ -~]{1,8}", row: u16, column: i8) {
        let key = ShelfAt { column, room, row };
        if let Ok(name) = key.to_stream_id() {
            prop_assert_eq!(ShelfAt::from_stream_id(&name).unwrap(), key);
        } else {
            let room = &key.room;
            let unfit = room.contains(':') || room.chars().any(char::is_control);
            prop_assert!(unfit || room.is_empty() || room.trim() != room, "{room:?} was refused");
        }
    }

    #[test]
    fn a_name_that_reads_is_the_name_of_its_key(name in "shelf:[a :0]{1,3}:at:[0-9+ ]{1,3}:-?[0-9]{1,2}") {
        let name = stream(&name);
        if let Ok(key) = ShelfAt::from_stream_id(&name) {
            prop_assert_eq!(key.to_stream_id().unwrap(), name);
        }
    }

    #[test]
    fn different_keys_have_different_names(a in ("[a: ]{1,3}", 0_u16..3), b in ("[a: ]{1,3}", 0_u16..3)) {
        let key = |(room, row): &(String, u16)| ShelfAt { column: 0, room: room.clone(), row: *row };
        if let (Ok(one), Ok(other)) = (key(&a).to_stream_id(), key(&b).to_stream_id()) {
            prop_assert_eq!(one == other, a == b);
        }
    }
}
