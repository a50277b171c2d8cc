//! Nothing ever appears below a position that was handed out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use eventcore::{
    EventFilter, EventType, GlobalPosition, StreamPrefix, projection::ProjectionStore,
};

use super::{
    Harness,
    kit::{Store, Writers, join, log, page_size, positions, stream, walk},
};

/// What was handed out for one page: everything after the first and up to the second that passes is in it.
struct HandedOut {
    after: GlobalPosition,
    next: GlobalPosition,
    events: Vec<u64>,
}

/// Every page that readers are handed while writers are slow, refused and given up on is compared with the log at the
/// end: between its bounds there is no other event.
pub async fn nothing_appears_below_a_place_already_read<V: ProjectionStore>(harness: Harness<V>) {
    let (here, there) = (harness.handles().store, harness.another().await.store);
    walk(&here, "walk:first", &[1; 10]).await;
    let filters = [
        EventFilter::all(),
        EventFilter::all().types([EventType::try_new("walk.aside").unwrap()]),
        EventFilter::all().prefix(StreamPrefix::try_new("walk:shared").unwrap()),
        EventFilter::all().streams([stream("walk:2"), stream("walk:3"), stream("walk:none")]),
    ];
    // No reader stops before this.
    let last = Arc::new(AtomicU64::new(u64::MAX));
    let writers = Writers::start(&[here.clone(), there.clone()], 8, Duration::from_millis(1));
    let readers = (0..8).map(|number| {
        let store = if number % 2 == 0 { &here } else { &there };
        let (filter, size) = (filters[number % 4].clone(), [3, 500][number / 4]);
        tokio::spawn(read(store.clone(), filter, size, Arc::clone(&last)))
    });
    let readers: Vec<_> = readers.collect();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    writers.have_done(150).await;
    writers.stop().await;
    let log = log(&here).await;
    last.store(log.len() as u64, SeqCst);
    for (number, pages) in join(readers).await.into_iter().enumerate() {
        let filter = &filters[number % 4];
        for page in pages {
            let between = |position: GlobalPosition| position > page.after && position <= page.next;
            let promised = log
                .iter()
                .filter(|event| between(event.position()) && filter.matches(event))
                .map(|event| event.position().get());
            let promised: Vec<u64> = promised.collect();
            assert_eq!(
                page.events, promised,
                "what was read after {} and up to {} with {filter:?} is not what the log has there",
                page.after, page.next
            );
        }
    }
}

async fn read(
    store: Store,
    filter: EventFilter,
    size: usize,
    last: Arc<AtomicU64>,
) -> Vec<HandedOut> {
    let (mut after, mut pages) = (GlobalPosition::START, Vec::new());
    while after.get() < last.load(SeqCst) {
        let page = match store.read_all(after, &filter, page_size(size)).await {
            Ok(page) => page,
            Err(error) => {
                assert!(error.is_retriable(), "{error} ({error:?})");
                continue;
            }
        };
        assert!(page.next >= after, "a page never leads back");
        let events = positions(&page.events);
        if page.next > after {
            let next = page.next;
            pages.push(HandedOut {
                after,
                next,
                events,
            });
        } else {
            assert!(events.is_empty(), "{events:?} do not lie after {after}");
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        after = page.next;
        tokio::task::yield_now().await;
    }
    pages
}

/// What one handle has appended, the others read at the same places.
pub async fn every_handle_reads_the_same_log<V: ProjectionStore>(harness: Harness<V>) {
    let mut stores = vec![harness.handles().store];
    for _ in 0..3 {
        stores.push(harness.another().await.store);
    }
    let writers = Writers::start(&stores, 8, Duration::from_millis(2));
    tokio::time::sleep(Duration::from_millis(400)).await;
    writers.stop().await;
    let first = log(&stores[0]).await;
    for store in &stores[1..] {
        assert_eq!(first, log(store).await, "two handles read two logs");
    }
}
