//! A filtered reader sees what the filter's rule lets through, and comes on where nothing is let through.

use eventcore::{
    EventFilter, EventType, GlobalPosition, RecordedEvent, StartFrom, StreamPrefix,
    projection::ProjectionStore, subscribe,
};
use futures_util::StreamExt;

use super::{
    Harness,
    kit::{HOUR, Store, TICK, append, log, page_size, positions, raw, soon, stream, walk},
};
use crate::chaos::{ChaosStore, Operation};

const TYPES: [&str; 3] = ["walk.ahead", "walk.aside", "rest.begun"];

/// Names that patterns, collations and splitters get wrong.
const STREAMS: [&str; 14] = [
    "walk:1",
    "walk:10",
    "walk:100",
    "walk_1",
    "walk%1",
    "walkx1",
    "walk\\1",
    "Walk:1",
    "walk*1",
    "walk?1",
    "walk[1]",
    "wälk:1",
    "walk",
    "walk:1:left",
];

async fn fill(store: &Store) -> Vec<RecordedEvent> {
    for round in 0..3 {
        for (number, name) in STREAMS.iter().enumerate() {
            let event_type = TYPES[(round + number) % TYPES.len()];
            append(store, &stream(name), vec![raw(event_type, "{\"by\":1}")]).await;
        }
    }
    log(store).await
}

/// What a subscription sees of a log, which ends somewhere.
async fn seen(store: &Store, filter: &EventFilter, end: GlobalPosition, size: usize) -> Vec<u64> {
    let mut events = subscribe(store.clone(), StartFrom::Start, filter.clone())
        .page_size(page_size(size))
        .poll_every(TICK);
    let mut found = Vec::new();
    while events.position() < end {
        let page = soon("the end of the log", events.next_page())
            .await
            .unwrap();
        found.extend(positions(&page.events));
    }
    found
}

async fn must_agree(store: &Store, log: &[RecordedEvent], filter: &EventFilter) {
    let end = log.last().expect("a log").position();
    let promised: Vec<RecordedEvent> = log
        .iter()
        .filter(|event| filter.matches(event))
        .cloned()
        .collect();
    for size in [1, 4, 1000] {
        assert_eq!(
            seen(store, filter, end, size).await,
            positions(&promised),
            "in pages of {size}, {filter:?} lets through what its rule says"
        );
    }
}

fn types(names: &[&str]) -> EventFilter {
    let types = names.iter().map(|name| EventType::try_new(name).unwrap());
    EventFilter::all().types(types)
}

/// Types, prefixes, exact streams, and both.
pub async fn filters_agree_with_the_rule<V: ProjectionStore>(harness: Harness<V>) {
    let store = harness.handles().store;
    let log = fill(&store).await;
    let exact = |names: &[&str]| names.iter().map(stream).collect::<Vec<_>>();
    let prefix = |text: &str| StreamPrefix::try_new(text).unwrap();
    let filters = [
        EventFilter::all(),
        types(&[]),
        types(&["walk.aside"]),
        types(&["walk.ahead", "rest.begun", "nobody.knows"]),
        EventFilter::all().prefix(prefix("walk:")),
        EventFilter::all().prefix(prefix("walk:1:")),
        EventFilter::all().prefix(prefix("w")),
        EventFilter::all().prefix(prefix("nothing")),
        EventFilter::all().streams([]),
        EventFilter::all().streams(exact(&["walk", "walk:10", "none"])),
        types(&["walk.ahead"]).prefix(prefix("walk:1")),
        types(&["walk.ahead", "walk.aside"]).streams(exact(&["Walk:1", "walk:1", "wälk:1"])),
        types(&["nobody.knows"]).prefix(prefix("walk")),
    ];
    for filter in filters {
        must_agree(&store, &log, &filter).await;
    }
}

/// A prefix is a prefix, byte for byte.
pub async fn prefixes_are_literal<V: ProjectionStore>(harness: Harness<V>) {
    let store = harness.handles().store;
    let log = fill(&store).await;
    for text in [
        "walk_", "walk%", "%", "_", "walk\\", "walk*", "walk?", "walk[", "W", "wä", "walk:1",
    ] {
        let prefix = StreamPrefix::try_new(text).unwrap();
        must_agree(&store, &log, &EventFilter::all().prefix(prefix.clone())).await;
        must_agree(&store, &log, &types(&TYPES[..2]).prefix(prefix)).await;
    }
}

/// A fifth of the events of the longest clause, without a match, and then one that does: a few questions lead there.
pub async fn a_long_span_that_does_not_match_takes_few_pages<V: ProjectionStore>(
    harness: Harness<V>,
) {
    let store = harness.handles().store;
    walk(&store, "walk:wanted", &[1]).await;
    let span = harness.events() / 5;
    for _ in 0..span.div_ceil(1000) {
        walk(&store, "walk:other", &[2; 1000]).await;
    }
    let wanted = walk(&store, "walk:wanted", &[3]).await;
    let filters = [
        EventFilter::all().streams([stream("walk:wanted")]),
        EventFilter::all().prefix(StreamPrefix::try_new("walk:wa").unwrap()),
        types(&["walk.aside"]),
        // No category, so that no index helps.
        EventFilter::all().prefix(StreamPrefix::try_new("walk:want").unwrap()),
    ];
    for filter in filters {
        let counted = ChaosStore::new(store.clone());
        let mut events = subscribe(&counted, StartFrom::Start, filter.clone())
            .page_size(page_size(10))
            .poll_every(TICK);
        let few = 10 + span as u64 / 1000;
        let too_many = async {
            while counted.calls(Operation::ReadAll) <= few {
                tokio::time::sleep(TICK).await;
            }
        };
        let found = async {
            let mut found = 0;
            while found < wanted.get() {
                let event = soon("the event that matches", events.next()).await;
                found = event.unwrap().unwrap().position().get();
            }
        };
        tokio::select! {
            biased;
            () = found => {}
            () = too_many => panic!(
                "{span} events that {filter:?} does not let through took more than {few} questions"
            ),
        }
    }
}

/// Whoever follows a few streams knows that it has seen everything, also when others were written last.
pub async fn a_filtered_reader_reaches_the_end_and_goes_live<V: ProjectionStore>(
    harness: Harness<V>,
) {
    let store = harness.handles().store;
    walk(&store, "walk:wanted", &[1]).await;
    let mut end = walk(&store, "walk:other", &[2; 500]).await;
    let wanted = EventFilter::all().streams([stream("walk:wanted")]);
    let mut events = subscribe(store.clone(), StartFrom::Start, wanted)
        .page_size(page_size(10))
        .poll_every(HOUR);
    for round in 0..3 {
        while events.position() < end {
            soon("the end of the log", events.next_page())
                .await
                .unwrap();
        }
        assert_eq!(events.position(), end, "in round {round}");
        assert!(events.is_live(), "it has seen everything, in round {round}");
        end = walk(&store, "walk:other", &[3; 50]).await;
    }
}
