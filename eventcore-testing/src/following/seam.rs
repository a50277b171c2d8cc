//! What was there first, then what comes: each event once, in order, under any concurrency.

use std::time::Duration;

use eventcore::{GlobalPosition, StartFrom, Subscription, projection::ProjectionStore};
use futures_util::{FutureExt, StreamExt};

use super::{
    Harness,
    kit::{Store, Writers, append, at, follow, join, log, page_size, soon, steps, stream, walk},
};

/// Reads up to a position and checks each step of the way; whether it was live at some time.
async fn read_up_to(mut events: Subscription<'static>, after: u64, end: GlobalPosition) -> bool {
    let (mut reached, mut lived) = (after, false);
    while reached < end.get() {
        let event = soon("the next event", events.next()).await;
        let event = event
            .expect("a subscription never ends")
            .unwrap_or_else(|error| {
                panic!("behind {reached}: {error} ({error:?})");
            });
        assert_eq!(
            event.position().get(),
            reached + 1,
            "a reader that has seen everything up to {reached} sees {event:?} next"
        );
        reached += 1;
        lived |= events.is_live();
    }
    lived
}

/// Readers are started one after the other while writers append, so that each meets the seam between what was there and
/// what comes somewhere else. Half of them read through a handle of their own.
pub async fn catching_up_and_living_meet_without_a_seam<V: ProjectionStore>(harness: Harness<V>) {
    let (here, there) = (harness.handles().store, harness.another().await.store);
    walk(&here, "walk:first", &[1; 30]).await;
    let writers = Writers::start(&[here.clone(), there.clone()], 6, Duration::from_millis(2));
    let mut readers = Vec::new();
    for number in 0..24 {
        let store = if number % 2 == 0 { &here } else { &there };
        let after = fastrand::u64(0..30);
        let from = if number % 3 == 0 {
            StartFrom::Start
        } else {
            at(after).into()
        };
        let after = if from == StartFrom::Start { 0 } else { after };
        let events = follow(store, from).page_size(page_size([1, 7, 100, 1000][number % 4]));
        // Where the log will end is not known yet, so each reads on until it is told.
        let (tell, told) = tokio::sync::oneshot::channel::<GlobalPosition>();
        readers.push((tell, tokio::spawn(reader(events, after, told))));
        tokio::time::sleep(Duration::from_millis(fastrand::u64(5..25))).await;
    }
    writers.stop().await;
    let end = at(log(&here).await.len() as u64);
    let mut tasks = Vec::new();
    for (tell, reader) in readers {
        let _ = tell.send(end);
        tasks.push(reader);
    }
    let lived = join(tasks).await;
    assert!(
        lived.into_iter().any(|lived| lived),
        "no reader was ever live"
    );
}

/// Reads on until it is told where the end is, and has come there.
async fn reader(
    mut events: Subscription<'static>,
    after: u64,
    told: tokio::sync::oneshot::Receiver<GlobalPosition>,
) -> bool {
    let (mut reached, mut lived) = (after, false);
    let mut told = told.fuse();
    let end = loop {
        tokio::select! {
            end = &mut told => break end.expect("the clause tells the end"),
            event = events.next() => {
                let event = event.expect("a subscription never ends").unwrap();
                assert_eq!(
                    event.position().get(),
                    reached + 1,
                    "a reader that has seen everything up to {reached} sees {event:?} next"
                );
                reached += 1;
                lived |= events.is_live();
            }
        }
    };
    read_up_to(events, reached, end).await || lived
}

/// One reader by pages and one by events, through two handles, behind eight writers that never wait for anybody.
pub async fn a_reader_follows_through_a_flood_of_appends<V: ProjectionStore>(harness: Harness<V>) {
    const WRITERS: usize = 8;
    const BATCH: usize = 25;
    let (here, there) = (harness.handles().store, harness.another().await.store);
    let each = harness.events().div_ceil(WRITERS * BATCH);
    let end = at((WRITERS * BATCH * each) as u64);
    let by_event = tokio::spawn(read_up_to(follow(&here, StartFrom::Start), 0, end));
    let by_page = tokio::spawn(pages_up_to(follow(&there, StartFrom::Start), end));
    let writers = (0..WRITERS).map(|number| {
        let store = if number % 2 == 0 { &here } else { &there };
        tokio::spawn(flood(store.clone(), number, each, BATCH))
    });
    join(writers.collect()).await;
    join(vec![by_event, by_page]).await;
}

async fn flood(store: Store, number: usize, batches: usize, size: usize) {
    let to = stream(format!("walk:{number}"));
    let mut version = eventcore::StreamVersion::EMPTY;
    let widths: Vec<i64> = (1..=i64::try_from(size).unwrap()).collect();
    for _ in 0..batches {
        let batch = super::kit::batch(&to, version, steps(&widths));
        while let Err(error) = store.append(batch.clone()).await {
            assert!(error.is_retriable(), "{error} ({error:?})");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        version = version.advanced(size as u64);
        tokio::task::yield_now().await;
    }
}

async fn pages_up_to(mut events: Subscription<'static>, end: GlobalPosition) -> bool {
    let mut reached = GlobalPosition::START;
    while reached < end {
        let page = soon("the next page", events.next_page()).await.unwrap();
        for event in page.events {
            assert_eq!(
                event.position(),
                reached.advanced(1),
                "the next event is another"
            );
            reached = event.position();
        }
        assert_eq!(
            page.next, reached,
            "without a filter a page ends with its last event"
        );
    }
    true
}

/// Nobody has to append once more before what was appended is seen.
pub async fn the_last_event_is_seen_without_another<V: ProjectionStore>(harness: Harness<V>) {
    let store = harness.handles().store;
    let mut events = follow(&store, StartFrom::Start);
    for number in 1..=5_u64 {
        let last = append(&store, &stream("walk:1"), steps(&[1, 2])).await;
        assert_eq!(last.get(), 2 * number);
        for position in [last.get() - 1, last.get()] {
            let event = soon("the last event of the log", events.next()).await;
            assert_eq!(event.unwrap().unwrap().position().get(), position);
        }
        assert!(events.next().now_or_never().is_none(), "there is no more");
    }
}
