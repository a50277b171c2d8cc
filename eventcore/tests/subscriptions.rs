//! Subscriptions: every event once, in order, from then on.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

#[path = "support/counters.rs"]
mod counters;
#[path = "support/seed.rs"]
mod seed;

use std::{sync::Arc, time::Duration};

use counters::{Counted, count, store};
use eventcore::{
    EventFilter, GlobalPosition, RecordedEvent, StartFrom, StreamPrefix,
    store::{PageSize, ReadError, StoreErrorKind},
    subscribe,
};
use eventcore_testing::chaos::{ChaosStore, Fault, Operation};
use futures_util::{FutureExt, StreamExt};

const LONG: Duration = Duration::from_hours(1);

fn positions(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.position().get()).collect()
}

async fn take(
    events: &mut (impl StreamExt<Item = Result<RecordedEvent, ReadError>> + Unpin),
    number: usize,
) -> Vec<u64> {
    let mut found = Vec::new();
    for _ in 0..number {
        found.push(events.next().await.unwrap().unwrap());
    }
    positions(&found)
}

#[tokio::test]
async fn what_was_there_comes_first_and_then_what_comes() {
    let store = store();
    count(&store, "counter:1", &[1, 2, 3]).await;
    let mut events = subscribe(&store, StartFrom::Start, EventFilter::all());
    assert_eq!(take(&mut events, 3).await, [1, 2, 3]);
    assert!(events.next().now_or_never().is_none());
    count(&store, "counter:2", &[4]).await;
    assert_eq!(take(&mut events, 1).await, [4]);
    assert_eq!(events.position().get(), 4);
}

#[tokio::test]
async fn from_the_end_only_what_comes_is_seen() {
    let store = store();
    count(&store, "counter:1", &[1, 2]).await;
    let mut events = subscribe(&store, StartFrom::End, EventFilter::all());
    assert!(events.next().now_or_never().is_none());
    count(&store, "counter:1", &[3]).await;
    assert_eq!(take(&mut events, 1).await, [3]);
}

#[tokio::test]
async fn after_a_position_it_goes_on_with_the_next() {
    let store = store();
    count(&store, "counter:1", &[1, 2, 3]).await;
    let after = GlobalPosition::try_new(2).unwrap();
    let mut events = subscribe(&store, after, EventFilter::all());
    assert_eq!(events.position(), after);
    assert_eq!(take(&mut events, 1).await, [3]);
}

#[tokio::test]
async fn a_log_that_ends_before_the_place_is_refused() {
    let store = store();
    let last = count(&store, "counter:1", &[1, 2]).await;
    let after = last.advanced(1);
    let mut events = subscribe(&store, after, EventFilter::all());
    let error = events.next().await.unwrap().unwrap_err();
    assert!(
        matches!(error, ReadError::LogBehind { end, .. } if end == last),
        "{error}"
    );
    assert!(error.to_string().contains("backup"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_live_subscriber_is_woken_and_does_not_wait_for_the_poll() {
    let store = store();
    let mut events =
        subscribe(Arc::clone(&store), StartFrom::Start, EventFilter::all()).poll_every(LONG);
    let waiting = tokio::spawn(async move { take(&mut events, 2).await });
    for by in 0..2 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        count(&store, "counter:1", &[by]).await;
    }
    let start = tokio::time::Instant::now();
    assert_eq!(waiting.await.unwrap(), [1, 2]);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_lost_call_only_costs_the_poll() {
    let inner = eventcore_memory::InMemoryEventStore::new();
    // Readers of this handle are not woken by those who append through the other.
    let deaf = ChaosStore::new(inner.clone()).apart();
    let mut events =
        subscribe(&deaf, StartFrom::Start, EventFilter::all()).poll_every(Duration::from_secs(7));
    assert!(events.next().now_or_never().is_none());
    count(&inner, "counter:1", &[1]).await;
    let start = tokio::time::Instant::now();
    assert_eq!(take(&mut events, 1).await, [1]);
    assert!(start.elapsed() > Duration::from_secs(1) && start.elapsed() <= Duration::from_secs(7));
}

#[tokio::test]
async fn a_filter_lets_only_its_events_through_and_still_moves_on() {
    let store = store();
    count(&store, "other:1", &[0; 50]).await;
    count(&store, "counter:1", &[1]).await;
    let end = count(&store, "other:1", &[0; 50]).await;
    let filter = EventFilter::all().prefix(StreamPrefix::category("counter").unwrap());
    let mut events =
        subscribe(&store, StartFrom::Start, filter).page_size(PageSize::try_new(10).unwrap());
    assert_eq!(take(&mut events, 1).await, [51]);
    // The end of the log is known without an event that says so.
    let mut reached = events.position();
    while reached < end {
        reached = events.next_page().await.unwrap().next;
    }
    assert_eq!(reached, end);
}

#[tokio::test]
async fn a_strange_event_is_an_error_and_no_end() {
    let store = store();
    count(&store, "counter:1", &[5]).await;
    seed::given_stored(&store, "strange:1", seed::stored("strange.thing", "{}")).await;
    count(&store, "counter:1", &[6]).await;
    let mut events = subscribe(&store, StartFrom::Start, EventFilter::all()).decode::<Counted>();
    let mut found = Vec::new();
    for _ in 0..3 {
        found.push(events.next().await.unwrap().map(|event| {
            let Counted::Up { by } = event.data();
            *by
        }));
    }
    assert!(
        matches!(&found[..], [Ok(5), Err(ReadError::Decode(_)), Ok(6)]),
        "{found:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_error_that_passes_is_waited_for() {
    let store = ChaosStore::new(eventcore_memory::InMemoryEventStore::new()).script(
        Operation::ReadAll,
        [Fault::Fails(StoreErrorKind::Unavailable); 5],
    );
    count(&store, "counter:1", &[1]).await;
    let mut events = subscribe(&store, StartFrom::Start, EventFilter::all());
    assert_eq!(take(&mut events, 1).await, [1]);
    assert_eq!(store.calls(Operation::ReadAll), 6);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_lasts_is_yielded_and_polling_again_goes_on_from_there() {
    let store = ChaosStore::new(eventcore_memory::InMemoryEventStore::new()).script(
        Operation::ReadAll,
        [
            Fault::Pass,
            Fault::Fails(StoreErrorKind::Corrupt),
            Fault::Fails(StoreErrorKind::Unavailable),
        ],
    );
    count(&store, "counter:1", &[1, 2]).await;
    let mut events = subscribe(&store, StartFrom::Start, EventFilter::all())
        .page_size(PageSize::try_new(1).unwrap())
        .patience(Duration::ZERO);
    assert_eq!(take(&mut events, 1).await, [1]);
    for _ in 0..2 {
        events.next().await.unwrap().unwrap_err();
    }
    assert_eq!(take(&mut events, 1).await, [2]);
}

#[tokio::test]
async fn a_slow_reader_is_at_most_one_page_ahead_of_itself() {
    let store = ChaosStore::new(eventcore_memory::InMemoryEventStore::new());
    count(&store, "counter:1", &[0; 100]).await;
    let mut events = subscribe(&store, StartFrom::Start, EventFilter::all())
        .page_size(PageSize::try_new(10).unwrap());
    assert_eq!(take(&mut events, 1).await, [1]);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(store.calls(Operation::ReadAll), 2);
}

#[tokio::test]
async fn dropping_a_wait_loses_no_event() {
    let store = ChaosStore::new(eventcore_memory::InMemoryEventStore::new()).yielding();
    count(&store, "counter:1", &[0; 25]).await;
    let mut events = subscribe(&store, StartFrom::Start, EventFilter::all())
        .page_size(PageSize::try_new(10).unwrap());
    let mut found = Vec::new();
    while found.len() < 25 {
        // One poll at a time, each with a future of its own.
        match events.next_page().now_or_never() {
            Some(page) => found.extend(positions(&page.unwrap().events)),
            None => tokio::task::yield_now().await,
        }
    }
    assert_eq!(found, (1..=25).collect::<Vec<u64>>());
}

/// A reader follows through 8,000 concurrent appends and sees each exactly once, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_or_repeated_while_many_append() {
    const WRITERS: u64 = 8;
    const EACH: u64 = 1000;
    let store = store();
    let reading = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            let total = usize::try_from(WRITERS * EACH).unwrap();
            let mut events = subscribe(store, StartFrom::Start, EventFilter::all())
                .page_size(PageSize::try_new(97).unwrap());
            take(&mut events, total).await
        }
    });
    let writers = (0..WRITERS).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for _ in 0..EACH {
                count(&store, &format!("counter:{writer}"), &[1]).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(
        reading.await.unwrap(),
        (1..=WRITERS * EACH).collect::<Vec<u64>>()
    );
}
