//! Reads and pages, with the checks that every one of them owes.

use std::collections::HashMap;

use eventcore::{
    EventFilter, GlobalPosition, RecordedEvent, StreamId, StreamVersion,
    store::{Page, ReadError, ReadFrom},
};

use super::{PATIENCE, Store, page_size, patiently};

/// Some streams at one moment.
#[derive(Debug)]
pub(in crate::contract) struct Seen {
    pub(in crate::contract) versions: Vec<u64>,
    pub(in crate::contract) events: Vec<RecordedEvent>,
}

/// Reads, again while the store says that it is busy, and checks that versions and events agree.
pub(in crate::contract) async fn read(store: &Store, streams: &[ReadFrom]) -> Seen {
    let once = async || {
        let read = store.read(streams).await?;
        Ok::<_, ReadError>((read.versions, read.events.collect().await?))
    };
    let (versions, events) = patiently!(once(), ref error => error.is_retriable())
        .unwrap_or_else(|error| panic!("reading failed: {error} ({error:?})"));
    check_read(streams, &versions, &events);
    let versions = versions.into_iter().map(StreamVersion::get).collect();
    Seen { versions, events }
}

/// Whole streams.
pub(in crate::contract) async fn view(store: &Store, streams: &[&StreamId]) -> Seen {
    let streams: Vec<_> = streams
        .iter()
        .map(|s| ReadFrom::start((*s).clone()))
        .collect();
    read(store, &streams).await
}

fn check_read(streams: &[ReadFrom], versions: &[StreamVersion], events: &[RecordedEvent]) {
    assert_eq!(
        versions.len(),
        streams.len(),
        "a read owes one version per stream asked for"
    );
    let in_order = events
        .windows(2)
        .find(|w| w[0].position() >= w[1].position());
    assert!(
        in_order.is_none(),
        "a read owes its events by position, each once; got {in_order:?}"
    );
    let mut at: HashMap<&StreamId, (StreamVersion, StreamVersion)> = HashMap::new();
    for (from, version) in streams.iter().zip(versions) {
        let (after, end) = at.entry(&from.stream).or_insert((from.after, *version));
        *after = (*after).min(from.after);
        assert_eq!(
            end, version,
            "`{}` has two versions in one read",
            from.stream
        );
    }
    for event in events {
        let Some((last, end)) = at.get_mut(event.stream()) else {
            panic!("{event:?} is of a stream that was not asked for");
        };
        assert_eq!(
            event.version(),
            last.advanced(1),
            "a read owes the events of `{}` one after the other from version {} on",
            event.stream(),
            last.advanced(1),
        );
        *last = event.version();
        assert!(
            last <= end,
            "{event:?} is beyond version {end}, where its stream is by the same read"
        );
    }
    for (stream, (last, version)) in at {
        // Asking for what is beyond the end is no error; nothing comes then.
        assert!(
            last >= version,
            "`{stream}` is at version {version} by the same read, but its events end at {last}"
        );
    }
}

/// One page, again while the store says that it is busy; checks what every page owes.
pub(in crate::contract) async fn page(
    store: &Store,
    after: GlobalPosition,
    filter: &EventFilter,
    size: usize,
) -> Page {
    let page = patiently!(
        store.read_all(after, filter, page_size(size)),
        ref error => error.is_retriable()
    )
    .unwrap_or_else(|error| panic!("reading the log failed: {error} ({error:?})"));
    assert!(
        page.events.len() <= size,
        "a page of at most {size} events has {}",
        page.events.len()
    );
    let mut last = after;
    for event in &page.events {
        assert!(
            event.position() > last,
            "a page after {after} owes later events in order; {event:?} follows position {last}"
        );
        last = event.position();
        assert!(
            filter.matches(event),
            "{event:?} does not pass {filter:?} and was returned"
        );
    }
    assert!(
        page.next >= last,
        "`next` is {}, before the page's last event at {last}",
        page.next
    );
    assert!(
        page.at_end || page.next > after,
        "the page after {after} is not at the end and `next` does not lead on: a reader would loop forever"
    );
    page
}

/// Everything that passes a filter, in pages of a size, until the store says that it is the end.
pub(in crate::contract) async fn pages(
    store: &Store,
    filter: &EventFilter,
    size: usize,
) -> Vec<RecordedEvent> {
    let mut all = Vec::new();
    let mut after = GlobalPosition::START;
    loop {
        let page = page(store, after, filter, size).await;
        all.extend(page.events);
        after = page.next;
        if page.at_end {
            return all;
        }
    }
}

/// The whole log, with positions from 1 without holes and versions one after the other in each stream.
pub(in crate::contract) async fn log(store: &Store) -> Vec<RecordedEvent> {
    let events = pages(store, &EventFilter::all(), 2000).await;
    let mut versions: HashMap<&StreamId, u64> = HashMap::new();
    for (expected, event) in (1..).zip(&events) {
        assert_eq!(
            event.position().get(),
            expected,
            "positions are promised to be dense from 1; {event:?} stands where {expected} belongs"
        );
        let last = versions.entry(event.stream()).or_default();
        *last += 1;
        assert_eq!(
            event.version().get(),
            *last,
            "versions are promised to be contiguous; {event:?} is event {last} of its stream"
        );
    }
    events
}
