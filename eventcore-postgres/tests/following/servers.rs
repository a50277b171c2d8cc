//! A server whose sessions end and that goes away, under subscribers and runners.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use eventcore::{EventFilter, GlobalPosition, StartFrom, store::PageSize, subscribe};
use eventcore_postgres::PostgresEventStore;
use eventcore_testing::temp_postgres::TempPostgres;
use futures_util::StreamExt;
use tokio::{
    task::{JoinHandle, block_in_place},
    time::{sleep, timeout},
};

use crate::{
    support::{self, migrated_on},
    walks::{SOON, check, run_on, step},
};

/// Reads everything up to where it is told, and checks that it comes densely. Its poll is long, so that it is the store
/// that calls.
fn follow(
    store: &PostgresEventStore,
    poll: Duration,
    end: Arc<std::sync::Mutex<Option<GlobalPosition>>>,
) -> JoinHandle<u64> {
    let mut events = subscribe(store.clone(), StartFrom::Start, EventFilter::all())
        .poll_every(poll)
        .page_size(PageSize::try_new(50).unwrap());
    tokio::spawn(async move {
        let mut reached = 0;
        loop {
            if end.lock().unwrap().is_some_and(|end| end.get() == reached) {
                return reached;
            }
            let Ok(event) = timeout(Duration::from_millis(50), events.next()).await else {
                continue;
            };
            let event = event.unwrap().unwrap();
            assert_eq!(event.position().get(), reached + 1, "a hole or a repeat");
            reached += 1;
        }
    })
}

/// The calls stop when the session that listens is ended; it comes back, and nothing is missed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_is_killed_comes_back_and_nothing_is_missed() {
    let server = TempPostgres::builder().start().unwrap();
    let database = migrated_on(&server);
    let (here, there) = (
        support::open(&database).await,
        support::open(&database).await,
    );
    let end = Arc::default();
    let reader = follow(&here, Duration::from_secs(5), Arc::clone(&end));
    let mut last = GlobalPosition::START;
    for round in 0..10 {
        last = step(&there, round % 2, 5).await;
        let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE pid <> pg_backend_pid() AND query ILIKE '%listen%' AND backend_type = 'client backend'";
        block_in_place(|| database.sql(kill)).unwrap();
        sleep(Duration::from_millis(30)).await;
        last = last.max(step(&there, 3, 2).await);
        sleep(Duration::from_millis(70)).await;
    }
    *end.lock().unwrap() = Some(last);
    let read = timeout(SOON, reader).await.unwrap().unwrap();
    assert_eq!(read, last.get());
    // It listens again: a poll of five seconds would show.
    let mut events = subscribe(here.clone(), last, EventFilter::all()).poll_every(SOON);
    let waiting = tokio::spawn(async move { events.next().await.unwrap().unwrap().position() });
    sleep(Duration::from_millis(500)).await;
    let next = step(&there, 1, 1).await;
    assert_eq!(timeout(SOON / 4, waiting).await.unwrap().unwrap(), next);
}

/// Subscribers and a runner catch up and live through four ends of the server, under a writer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_goes_away_and_comes_back_is_followed_on() {
    let server = TempPostgres::builder().start().unwrap();
    let database = migrated_on(&server);
    let store = support::open(&database).await;
    for walk in 0..10 {
        step(&store, walk, 300).await;
    }
    let stop = Arc::<AtomicBool>::default();
    let writer = tokio::spawn({
        let (store, stop) = (support::open(&database).await, Arc::clone(&stop));
        async move {
            let mut last = GlobalPosition::START;
            while !stop.load(SeqCst) {
                last = step(&store, fastrand::u64(0..10), 3).await;
            }
            last
        }
    });
    // The first ends find them catching up, the later ones live.
    let end = Arc::default();
    let readers =
        [20, 2000].map(|poll| follow(&store, Duration::from_millis(poll), Arc::clone(&end)));
    let running = run_on(&store, "here");
    let ends: [fn(&TempPostgres) -> _; 4] = [
        TempPostgres::kill,
        TempPostgres::stop,
        TempPostgres::kill,
        TempPostgres::stop,
    ];
    for (round, end) in ends.into_iter().enumerate() {
        sleep(Duration::from_millis(20 + 300 * round as u64)).await;
        block_in_place(|| end(&server).and_then(|()| server.start())).unwrap();
    }
    sleep(Duration::from_millis(300)).await;
    stop.store(true, SeqCst);
    let last = writer.await.unwrap();
    let last = last.max(step(&store, 0, 1).await);
    *end.lock().unwrap() = Some(last);
    for reader in readers {
        assert_eq!(timeout(SOON, reader).await.unwrap().unwrap(), last.get());
    }
    running.wait_until(last, SOON).await.unwrap();
    running.stop().await.unwrap();
    check(&database.url()).await;
}
