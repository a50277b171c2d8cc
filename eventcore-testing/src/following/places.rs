//! Where a subscription begins.

use std::time::Duration;

use eventcore::{EventFilter, StartFrom, projection::ProjectionStore, store::ReadError};
use futures_util::{FutureExt, StreamExt};

use super::{
    Harness,
    kit::{Writers, at, follow, log, soon, walk},
};

/// From the start, from the end, and after each position of a short log.
pub async fn it_begins_where_it_is_told_to<V: ProjectionStore>(harness: Harness<V>) {
    let store = harness.handles().store;
    let last = walk(&store, "walk:1", &[1, 2, 3, 4, 5]).await.get();
    let mut begun = vec![(follow(&store, StartFrom::Start), 1)];
    let mut at_the_end = follow(&store, StartFrom::End);
    // The place is taken when it is polled first.
    let early = tokio::time::timeout(Duration::from_millis(300), at_the_end.next()).await;
    assert!(
        early.is_err(),
        "nothing was appended since, and {early:?} is seen"
    );
    begun.push((at_the_end, last + 1));
    for position in 0..=last {
        begun.push((follow(&store, at(position)), position + 1));
    }
    let end = walk(&store, "walk:2", &[1, 2]).await.get();
    for (mut events, first) in begun {
        for position in first..=end {
            let event = soon("the next event", events.next())
                .await
                .unwrap()
                .unwrap();
            assert_eq!(event.position().get(), position, "begun before {first}");
        }
        assert!(events.next().now_or_never().is_none(), "there is no more");
    }
}

/// Where the end is taken to be, everything behind it is seen and nothing before it.
pub async fn from_the_end_nothing_old_and_everything_new<V: ProjectionStore>(harness: Harness<V>) {
    let store = harness.handles().store;
    walk(&store, "walk:first", &[1; 20]).await;
    let writers = Writers::start(std::slice::from_ref(&store), 4, Duration::from_millis(3));
    let mut firsts = Vec::new();
    for _ in 0..10 {
        let before = log_end(&store).await;
        let mut events = follow(&store, StartFrom::End);
        let mut found = Vec::new();
        while found.len() < 30 {
            let event = soon("the next event", events.next()).await;
            found.push(event.unwrap().unwrap().position().get());
        }
        assert!(
            found[0] > before,
            "{} was there before the reader",
            found[0]
        );
        assert!(
            found.is_sorted_by(|a, b| a + 1 == *b),
            "a hole or a repeat: {found:?}"
        );
        firsts.push(found[0]);
    }
    writers.stop().await;
    assert!(firsts.is_sorted(), "the end goes back: {firsts:?}");
    log(&store).await;
}

async fn log_end(store: &super::kit::Store) -> u64 {
    let nothing = EventFilter::all().types([]);
    let mut after = eventcore::GlobalPosition::START;
    loop {
        let page = store
            .read_all(after, &nothing, eventcore::store::PageSize::default())
            .await;
        let page = page.unwrap();
        if page.at_end {
            return page.next.get();
        }
        after = page.next;
    }
}

/// A checkpoint of a log that was replaced by an older one would otherwise wait for years, or skip what comes.
pub async fn a_place_beyond_the_end_is_refused<V: ProjectionStore>(harness: Harness<V>) {
    let store = harness.handles().store;
    let end = walk(&store, "walk:1", &[1, 2, 3]).await;
    for beyond in [1, 1_000_000] {
        let mut events = follow(&store, end.advanced(beyond));
        let error = soon("an answer", events.next()).await.unwrap().unwrap_err();
        assert!(
            matches!(error, ReadError::LogBehind { after, end: found } if after == end.advanced(beyond) && found == end),
            "a place {beyond} beyond the end {end} is refused, got {error:?}"
        );
    }
    // The very end is no place beyond it.
    let mut events = follow(&store, end);
    let next = walk(&store, "walk:1", &[4]).await;
    let event = soon("the next event", events.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(event.position(), next);
}
