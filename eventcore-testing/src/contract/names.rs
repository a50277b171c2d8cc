//! P10: names are bytes; no collation, no pattern, no normal form.

use eventcore::{EventFilter, EventType, StreamPrefix};

use super::{
    Harness,
    filters::check_filter,
    kit::{Store, append, draft, event, log, numbered, pages, stream, view},
};

/// One event into each stream, its number in the event.
async fn one_each(store: &Store, names: &[&str]) {
    let streams: Vec<_> = names.iter().map(stream).collect();
    let batch = streams.iter().fold(draft(), |d, s| d.expect(s, 0));
    let batch = (0..)
        .zip(&streams)
        .fold(batch, |d, (n, s)| d.event(s, numbered(n)));
    append(store, batch.build()).await;
}

/// Each stream alone holds its own event, by `read` and by an exact filter.
pub async fn stream_names_are_told_apart_byte_for_byte(harness: Harness) {
    let store = harness.store();
    let long = "s".repeat(255);
    let longer = format!("{}t", "s".repeat(254));
    let wide = "\u{1F600}".repeat(255);
    let names = [
        "a:1",
        "A:1",
        "a:1 b",
        "a:1  b",
        "a:01",
        "a_1",
        "a%1",
        "a\\1",
        "1",
        "01",
        "1.0",
        "1e0",
        "+1",
        "null",
        "NULL",
        "true",
        "a'b",
        "a\"b",
        "a`b",
        "a''b",
        "'; DROP TABLE events; --",
        "$1",
        "?",
        ":name",
        "{}",
        "a/b",
        "../a",
        "caf\u{e9}",
        "cafe\u{301}",
        "stra\u{df}e",
        "strasse",
        "STRASSE",
        "i",
        "I",
        "\u{131}",
        "\u{130}",
        "\u{212a}",
        "k",
        "K",
        "\u{fb01}",
        "fi",
        "a\u{200b}b",
        "ab",
        "a\u{200d}b",
        "a\u{feff}b",
        "\u{1F600}",
        "\u{1F601}",
        "日本語",
        "한국어",
        "עברית",
        "العربية",
        "\u{10FFFF}",
        "\u{FFFD}",
        &long,
        &longer,
        &wide,
    ];
    one_each(&store, &names).await;
    for (number, name) in names.iter().enumerate() {
        let own = stream(name);
        let seen = view(&store, &[&own]).await;
        assert_eq!(
            seen.versions,
            [1],
            "stream {name:?} got one event; names are promised to be compared byte for byte"
        );
        let exact = pages(&store, &EventFilter::all().streams([own.clone()]), 100).await;
        for found in [seen.events, exact] {
            assert_eq!(
                found.len(),
                1,
                "stream {name:?} has one event, got {found:?}"
            );
            assert_eq!(found[0].stream(), &own, "the name came back changed");
            let promised = numbered(number as u64);
            assert_eq!(
                *found[0].encoded(),
                promised,
                "{name:?} gives another's event"
            );
        }
    }
}

/// Streams for prefixes to choose from.
#[rustfmt::skip]
const PREFIXED: &[&str] = &[
    "a_b:1", "axb:1", "a%b:1", "axyb:1", "a\\b:1", "a\\_b:1", "a*b:1", "a?b:1", "a[bc]:1", "ab:1", "A_B:1",
    "user:1", "User:1", "USER:1", "user", "users:1", "use", "\u{e9}:1", "e\u{301}:1", "\u{c9}:1", "e:1",
    "日本:1", "日曜:1", "日", "x\u{10FFFF}", "x\u{10FFFF}\u{10FFFF}:1", "x\u{10FFFF}1", "x", "y", "x\u{D7FF}1",
    "x\u{E000}1", "x\u{FFFF}1", "x\u{10000}1", "x~1", "x\u{ff}1", "\u{10FFFF}", "\u{10FFFF}1", "a b:1",
    "a  b:1", "'quote':1", "\"quote\":1", "0:1", "00:1", "straße:1", "strasse:1",
];

/// Prefixes that a pattern, a collation or a range gets wrong.
#[rustfmt::skip]
const PREFIXES: &[&str] = &[
    "a_", "a%", "a\\", "a\\_", "a*", "a?", "a[", "a[bc]", "_", "%", "a", "A", "user:", "User:", "USER",
    "user", "user:1", "user:1:more", "\u{e9}", "e", "e\u{301}", "\u{c9}", "日", "日本", "x\u{10FFFF}",
    "x\u{10FFFF}\u{10FFFF}", "\u{10FFFF}", "\u{10FFFF}\u{10FFFF}", "x", "x\u{D7FF}", "x\u{E000}",
    "x\u{FFFF}", "x~", "x\u{ff}", "a ", "a  ", "'", "\"", "0", "00", "straß", "strass", "nobody",
];

/// Prefixes with characters that patterns give a meaning, in upper and lower case, and at the ends of ranges.
pub async fn prefixes_are_literal(harness: Harness) {
    let store = harness.store();
    one_each(&store, PREFIXED).await;
    let whole = log(&store).await;
    for text in PREFIXES {
        let prefix = StreamPrefix::try_new(text).expect("a valid prefix");
        let of = |events: &[eventcore::RecordedEvent]| -> Vec<String> {
            events.iter().map(|e| e.stream().to_string()).collect()
        };
        let matching = whole.iter().filter(|e| prefix.matches(e.stream())).cloned();
        let promised = of(&matching.collect::<Vec<_>>());
        // Not through the checks of `pages`, so that the whole difference shows.
        let filter = EventFilter::all().prefix(prefix);
        let page = store
            .read_all(
                eventcore::GlobalPosition::START,
                &filter,
                super::kit::page_size(1000),
            )
            .await
            .unwrap_or_else(|error| panic!("reading by prefix {text:?} failed: {error:?}"));
        assert_eq!(
            of(&page.events),
            promised,
            "a prefix is promised to be literal; {text:?} selects (left) what does not begin so, or misses (right) \
             what does"
        );
    }
}

/// Types that a collation or a pattern would take for the same.
pub async fn types_are_told_apart_byte_for_byte(harness: Harness) {
    let store = harness.store();
    let names = [
        "opened",
        "Opened",
        "OPENED",
        "opened.",
        "open_d",
        "open%",
        "caf\u{e9}",
        "cafe\u{301}",
        "1",
        "01",
        "'",
    ];
    let a = stream("types:a");
    let batch = names.iter().fold(draft().expect(&a, 0), |d, name| {
        d.event(&a, event(name, "{}"))
    });
    append(&store, batch.build()).await;
    for name in names {
        let name = EventType::try_new(name).expect("a valid type name");
        check_filter(&store, &EventFilter::all().types([name])).await;
    }
}
