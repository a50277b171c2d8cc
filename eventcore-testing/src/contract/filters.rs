//! P9: filtered pages select exactly, and lose nothing on the way.

use eventcore::{EventFilter, EventType, StreamPrefix};

use super::{
    Harness,
    kit::{Store, append, draft, event, log, pages, stream},
};

fn named(name: &str) -> EventType {
    EventType::try_new(name).expect("the suite's type names are valid")
}

fn prefix(name: &str) -> StreamPrefix {
    StreamPrefix::try_new(name).expect("the suite's prefixes are valid")
}

/// Compares a store's selection with the rule applied to the whole log.
pub(super) async fn check_filter(store: &Store, filter: &EventFilter) {
    let whole = log(store).await;
    let promised: Vec<_> = whole.iter().filter(|event| filter.matches(event)).collect();
    for size in [3, 1000] {
        let found = pages(store, filter, size).await;
        let missed = promised.iter().find(|event| !found.contains(event));
        assert!(
            missed.is_none(),
            "{filter:?} in pages of {size} is promised to find {missed:?} as well"
        );
        assert_eq!(
            found.len(),
            promised.len(),
            "{filter:?} in pages of {size} finds events more than once"
        );
    }
}

/// Types, prefixes and streams, none, one and many, alone and combined.
pub async fn filters_select_exactly_what_matches(harness: Harness) {
    let store = harness.store();
    let streams = ["account:1", "account:2", "accounts:1", "user:1"].map(stream);
    let mut batch = streams.iter().fold(draft(), |d, s| d.expect(s, 0));
    for number in 0..60 {
        let name = ["opened", "closed", "moved"][number % 3];
        batch = batch.event(&streams[number % 4], event(name, number.to_string()));
    }
    append(&store, batch.build()).await;
    let all = EventFilter::all;
    let [one, two, _, user] = streams.clone();
    let filters = [
        all(),
        all().types([named("opened")]),
        all().types([named("opened"), named("moved")]),
        all().types([named("never")]),
        all().types([]),
        all().prefix(prefix("account:")),
        all().prefix(prefix("account")),
        all().prefix(prefix("a")),
        all().prefix(prefix("account:1")),
        all().prefix(prefix("account:1:")),
        all().streams([one.clone()]),
        all().streams([one.clone(), user.clone(), stream("nobody:1")]),
        all().streams([]),
        all().types([named("closed")]).prefix(prefix("account")),
        all().types([named("closed")]).streams([two, user]),
        all().types([]).streams([one]),
    ];
    for filter in &filters {
        check_filter(&store, filter).await;
    }
}

/// One match before and one after 6,000 events that do not match.
pub async fn a_long_span_without_a_match_is_crossed(harness: Harness) {
    let store = harness.store();
    let (rare, common) = (stream("rare:1"), stream("common:1"));
    let one = |at| draft().expect(&rare, at).event(&rare, event("seldom", "1"));
    append(&store, one(0).build()).await;
    let many = (0..6000).fold(draft().expect(&common, 0), |d, n: u32| {
        d.event(&common, event("often", n.to_string()))
    });
    append(&store, many.build()).await;
    append(&store, one(1).build()).await;
    let filters = [
        EventFilter::all().types([named("seldom")]),
        EventFilter::all().prefix(prefix("rare:")),
        EventFilter::all().streams([rare]),
    ];
    for filter in filters {
        for size in [1, 2, 100] {
            let found = pages(&store, &filter, size).await;
            let positions: Vec<u64> = found.iter().map(|event| event.position().get()).collect();
            assert_eq!(
                positions,
                [1, 6002],
                "a reader with {filter:?} that follows `next` until `at_end`, in pages of {size}, owes both matches"
            );
        }
    }
}
