//! P9: streams and logs of any length arrive whole, in bounded pieces.

use eventcore::{
    EventFilter, GlobalPosition, RecordedEvent, StreamPrefix,
    store::{EventChunks, Page, ReadFrom},
};

use super::{
    Harness,
    kit::{
        Store, append, draft, event, fill, log, number_of, numbered, page, pages, position, read,
        stream, version, view,
    },
};

/// More than any page that a store reads by.
const LONG: u64 = 3000;

fn numbers(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().map(number_of).collect()
}

/// A stream of 3,000 events.
pub async fn a_long_stream_is_read_whole_and_in_order(harness: Harness) {
    let store = harness.store();
    let a = stream("paging:a");
    fill(&store, &a, LONG).await;
    let seen = view(&store, &[&a]).await;
    assert_eq!(seen.versions, [LONG]);
    assert_eq!(
        numbers(&seen.events),
        (1..=LONG).collect::<Vec<_>>(),
        "all {LONG} events are owed, in order"
    );
}

/// From the middle, the end, and beyond it; two streams from different versions.
pub async fn reading_after_a_version_gives_the_rest(harness: Harness) {
    let store = harness.store();
    let (a, b) = (stream("paging:a"), stream("paging:b"));
    fill(&store, &a, LONG).await;
    fill(&store, &b, 10).await;
    for after in [0, 1, 999, 1000, 1001, LONG - 1, LONG, LONG + 1, LONG * 1000] {
        let from = [ReadFrom::after(a.clone(), version(after))];
        let seen = read(&store, &from).await;
        assert_eq!(
            seen.versions,
            [LONG],
            "the version is that of the stream, whatever part of it is read"
        );
        assert_eq!(
            numbers(&seen.events),
            (after + 1..=LONG).collect::<Vec<_>>(),
            "a read after version {after} owes the events that follow"
        );
    }
    let from = [
        ReadFrom::after(a, version(LONG - 2)),
        ReadFrom::after(b, version(7)),
    ];
    let seen = read(&store, &from).await;
    assert_eq!(seen.versions, [LONG, 10]);
    assert_eq!(numbers(&seen.events), [LONG - 1, LONG, 8, 9, 10]);
}

/// Batches of 150 events that alternate over three streams.
async fn interleaved(store: &Store) -> [eventcore::StreamId; 3] {
    let streams = ["paging:x", "paging:y", "paging:z"].map(stream);
    let mut next = 0;
    for at in 0..20 {
        let mut batch = streams.iter().fold(draft(), |d, s| d.expect(s, 50 * at));
        for place in 0..150 {
            next += 1;
            batch = batch.event(&streams[place % 3], numbered(next));
        }
        append(store, batch.build()).await;
    }
    streams
}

/// Three streams of 1,000 events, read together.
pub async fn several_long_streams_are_merged_by_position(harness: Harness) {
    let store = harness.store();
    let streams = interleaved(&store).await;
    let [x, y, z] = &streams;
    // The order asked for is not that of the events.
    let seen = view(&store, &[z, x, y]).await;
    assert_eq!(seen.versions, [1000; 3]);
    assert_eq!(
        numbers(&seen.events),
        (1..=3000).collect::<Vec<_>>(),
        "events of several streams are owed in global order"
    );
    let seen = view(&store, &[z, x]).await;
    assert_eq!(
        seen.events.len(),
        2000,
        "only the streams asked for are owed"
    );
}

/// 3,000 events in the largest pages and in small ones, and the last 40 one by one.
pub async fn the_log_is_read_whole_by_any_page_size(harness: Harness) {
    let store = harness.store();
    interleaved(&store).await;
    let whole = log(&store).await;
    assert_eq!(whole.len(), 3000);
    for size in [10_000, 997, 100] {
        let paged = pages(&store, &EventFilter::all(), size).await;
        assert!(
            paged == whole,
            "the log in pages of {size} has {} events, or others, in pages of 2000 it has 3000",
            paged.len()
        );
    }
    for size in [1, 7] {
        let mut after = position(2960);
        let mut rest = Vec::new();
        loop {
            let page = page(&store, after, &EventFilter::all(), size).await;
            assert!(
                page.events.len() == size || page.at_end,
                "a page of {size} has {} events although there are more, and nothing is filtered",
                page.events.len()
            );
            after = page.next;
            rest.extend(page.events);
            if page.at_end {
                break;
            }
        }
        assert!(
            rest == whole[2960..],
            "the log after 2960 in pages of {size} has {} events, or others, than the 40 that follow",
            rest.len()
        );
    }
}

/// On an empty log, at its end, beyond it, and with filters that match the last event, or nothing.
pub async fn the_end_of_the_log_is_said_truly(harness: Harness) {
    let store = harness.store();
    let all = EventFilter::all();
    let first = page(&store, GlobalPosition::START, &all, 10).await;
    assert!(
        first.at_end && first.events.is_empty() && first.next == GlobalPosition::START,
        "an empty log is at its end before the first event, got {first:?}"
    );
    let (a, b) = (stream("end:a"), stream("other:b"));
    let batch = (1..=5).fold(draft().expect(&a, 0), |d, n| d.event(&a, numbered(n)));
    append(&store, batch.build()).await;
    append(&store, draft().expect(&b, 0).event(&b, numbered(6)).build()).await;
    let part = page(&store, GlobalPosition::START, &all, 4).await;
    assert!(
        !part.at_end && part.next == position(4),
        "four of six events are not the end, got {part:?}"
    );
    let whole = page(&store, GlobalPosition::START, &all, 100).await;
    assert!(
        whole.at_end && whole.next == position(6),
        "six events in a page of 100 are the end, got {whole:?}"
    );
    let end = page(&store, position(6), &all, 10).await;
    assert!(
        end.at_end && end.events.is_empty() && end.next == position(6),
        "after the last event there is nothing yet, and `next` stays; got {end:?}"
    );
    for name in ["end:", "other:", "nothing:"] {
        let filter = EventFilter::all().prefix(StreamPrefix::try_new(name).unwrap());
        let mut after = GlobalPosition::START;
        loop {
            let page = page(&store, after, &filter, 10).await;
            after = page.next;
            if page.at_end {
                break;
            }
        }
        assert_eq!(
            after,
            position(6),
            "at the end `next` is the end of the log, also when its last events do not match `{name}`: everything \
             up to there has been looked at"
        );
    }
    append(&store, draft().expect(&b, 1).event(&b, numbered(7)).build()).await;
    let more = page(&store, position(6), &all, 10).await;
    assert_eq!(
        more.events.len(),
        1,
        "a reader at the end sees what comes next"
    );
}

/// Events of half a mebibyte and smaller ones in between, in two streams.
pub async fn chunks_and_pages_are_bounded_in_bytes(harness: Harness) {
    const LARGE: usize = 1 << 19;
    let store = harness.store();
    let (a, b) = (stream("bytes:a"), stream("bytes:b"));
    let padded = |number: u64| {
        let bytes = if number.is_multiple_of(5) { 100 } else { LARGE };
        let padding = "x".repeat(bytes);
        event(
            "contract.padded",
            format!("{{\"n\":{number},\"x\":\"{padding}\"}}"),
        )
    };
    for at in 0..8 {
        let mut batch = draft().expect(&a, at * 4).expect(&b, at * 4);
        for number in 1..=4 {
            batch = batch.event(&a, padded(at * 8 + number));
            batch = batch.event(&b, padded(at * 8 + number + 4));
        }
        append(&store, batch.build()).await;
    }
    let from = [ReadFrom::start(a), ReadFrom::start(b)];
    let mut read = store.read(&from).await.expect("a read of large events");
    let mut found = Vec::new();
    while let Some(chunk) = read
        .events
        .next_chunk()
        .await
        .expect("a chunk of large events")
    {
        within(&chunk, EventChunks::MAX_BYTES, "chunk");
        found.extend(chunk);
    }
    assert_eq!(found.len(), 64, "every event of both streams is owed");
    assert!(found.is_sorted_by_key(RecordedEvent::position));
    let (mut found, mut after) = (Vec::new(), GlobalPosition::START);
    loop {
        let part = page(&store, after, &EventFilter::all(), 1000).await;
        within(&part.events, Page::MAX_BYTES, "page");
        assert!(
            part.at_end || part.next > after,
            "a page that moves nothing: {after}"
        );
        found.extend(part.events);
        after = part.next;
        if part.at_end {
            break;
        }
    }
    assert_eq!(found.len(), 64, "every event of the log is owed");
}

/// The event that reaches the bound is the last.
fn within(events: &[RecordedEvent], bound: usize, what: &str) {
    let before_last = &events[..events.len().saturating_sub(1)];
    let bytes: usize = before_last.iter().map(RecordedEvent::stored_bytes).sum();
    assert!(
        bytes < bound,
        "a {what} has {bytes} bytes before its last event, it ends at {bound}"
    );
}
