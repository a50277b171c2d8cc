//! Names: of streams, of prefixes of them, of commands.

use eventcore::{IdempotencyKey, StreamId, StreamPrefix};
use proptest::{prelude::*, sample::select};

/// Valid names that databases like to get wrong: patterns, quotes, case, Unicode forms, lengths.
fn awkward_name() -> impl Strategy<Value = String> {
    const AWKWARD: &[&str] = &[
        "a",
        "user_1",
        "userX1",
        "user%1",
        "user\\1",
        "User_1",
        "account:1",
        "account:10",
        "account:1:settings",
        ":",
        "o'brien",
        "\"quoted\"",
        "a b",
        "caf\u{e9}",
        "cafe\u{301}",
        "\u{130}stanbul",
        "\u{1f980}:\u{1f468}\u{200d}\u{1f680}",
        "\u{645}\u{631}\u{62d}\u{628}\u{627}",
        "\u{10ffff}",
        "$1",
        "?",
        "; DROP TABLE events; --",
    ];
    prop_oneof![
        8 => select(AWKWARD).prop_map(str::to_owned),
        1 => Just("\u{e9}".repeat(StreamId::MAX_CHARS)),
        1 => Just("\u{1f980}".repeat(StreamId::MAX_CHARS)),
    ]
}

/// Any printable text, with single spaces inside at most.
fn printable() -> impl Strategy<Value = String> {
    "\\PC{1,40}"
}

/// Valid stream names: plain ones (`category:key`), awkward ones, and any printable text.
pub fn stream_id() -> impl Strategy<Value = StreamId> {
    let name = prop_oneof![
        3 => "[a-c]{1,3}:[0-9]{1,3}",
        2 => awkward_name(),
        1 => printable(),
    ];
    name.prop_filter_map("blank", |name| StreamId::try_new(name).ok())
}

/// Texts that are no stream names: blank, too long, or with a control character inside.
pub fn invalid_stream_name() -> impl Strategy<Value = String> {
    let control = prop_oneof![
        3 => prop::char::range('\0', '\u{1f}'),
        1 => prop::char::range('\u{7f}', '\u{9f}'),
    ];
    // Between two letters, since white space at the ends is trimmed.
    let controlled = ("[a-z]{1,5}", control, "[a-z]{1,5}")
        .prop_map(|(before, control, after)| format!("{before}{control}{after}"));
    let too_long = (
        select(&["x", "\u{e9}", "\u{1f980}"][..]),
        StreamId::MAX_CHARS + 1..600,
    );
    prop_oneof![
        1 => "[ \t\r\n\u{a0}\u{2003}]{0,5}",
        2 => too_long.prop_map(|(text, times)| text.repeat(times)),
        2 => controlled,
    ]
}

/// Valid prefixes, most of them of streams that [`stream_id`] makes, some with white space at their ends.
pub fn stream_prefix() -> impl Strategy<Value = StreamPrefix> {
    let cut = (stream_id(), any::<prop::sample::Index>()).prop_map(|(stream, at)| {
        let chars = stream.as_str().chars().count();
        stream.as_str().chars().take(at.index(chars) + 1).collect()
    });
    let text = prop_oneof![4 => cut, 1 => awkward_name(), 1 => "[a-c ]{1,3}:"];
    text.prop_filter_map("no prefix", |text| StreamPrefix::try_new(text).ok())
}

/// Valid idempotency keys: UUIDs, awkward texts, and any printable text, blanks at the ends included.
pub fn idempotency_key() -> impl Strategy<Value = IdempotencyKey> {
    let text = prop_oneof![
        2 => any::<u128>().prop_map(|bits| uuid::Uuid::from_u128(bits).to_string()),
        1 => awkward_name(),
        1 => printable(),
        1 => " {0,2}[a-z]{1,3} {0,2}",
    ];
    text.prop_filter_map("no key", |text| IdempotencyKey::try_new(text).ok())
}
