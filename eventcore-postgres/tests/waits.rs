//! Every wait has an end, in the caller: a store whose runtime stands still or is gone, and a server that is gone.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

mod support;

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use eventcore::{
    EventStore, GlobalPosition, IdempotencyKey,
    prelude::*,
    store::{AppendError, EventFilter, PageSize, ReadFrom, StoreError, StoreErrorKind},
};
use eventcore_postgres::{PostgresEventStore, PostgresOptions};
use eventcore_testing::temp_postgres::TempPostgres;
use support::{batch, migrated, migrated_on, stream};

const SECOND: Duration = Duration::from_secs(1);

fn quick() -> PostgresOptions {
    PostgresOptions::new()
        .acquire_timeout(SECOND)
        .statement_timeout(SECOND)
        .queue_timeout(SECOND)
}

/// A store that was opened in a runtime of its own, on a thread that then does what it is told.
fn elsewhere(
    url: String,
    then: impl FnOnce(tokio::runtime::Runtime) + Send + 'static,
) -> PostgresEventStore {
    let (give, take) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let store = runtime
            .block_on(PostgresEventStore::connect(&url, quick()))
            .unwrap();
        give.send(store).unwrap();
        then(runtime);
    });
    take.recv().unwrap()
}

/// Far longer than the store's own limits, and the time of a test that hangs.
async fn in_time<T>(what: &str, work: impl IntoFuture<Output = T>) -> T {
    let waited = tokio::time::timeout(60 * SECOND, work).await;
    waited.unwrap_or_else(|_| panic!("{what} has no end"))
}

/// What the store says of each operation.
async fn errors(store: &PostgresEventStore) -> Vec<StoreError> {
    let stored = |error: eventcore::store::ReadError| match error {
        eventcore::store::ReadError::Store(error) => error,
        other => panic!("{other:?}"),
    };
    let read = in_time("read", store.read(&[ReadFrom::start(stream("a"))])).await;
    let append = in_time("append", store.append(batch(&[("a", 0)], "1"))).await;
    let append = match append.unwrap_err() {
        AppendError::Store(error) | AppendError::OutcomeUnknown(error) => error,
        other => panic!("{other:?}"),
    };
    vec![stored(read.unwrap_err()), append]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_runtime_stands_still_answers_within_its_own_limits() {
    let database = migrated();
    let (go_on, blocked) = mpsc::channel::<()>();
    let store = elsewhere(database.url(), move |runtime| {
        // Nothing drives it meanwhile.
        let _ = blocked.recv();
        drop(runtime);
    });
    for error in errors(&store).await {
        assert_eq!(error.kind(), StoreErrorKind::Timeout, "{error}");
        assert!(error.to_string().contains("blocked"), "{error}");
    }
    // These use the connections of the runtime that stands still.
    let all = EventFilter::all();
    let page = store.read_all(GlobalPosition::START, &all, PageSize::default());
    let _ = in_time("read_all", page).await;
    let key = IdempotencyKey::generate();
    let _ = in_time("find_receipt", store.find_receipt(&key)).await;
    in_time("close", store.close()).await;
    drop(go_on);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_runtime_is_gone_says_so() {
    let database = migrated();
    let (gone, is_gone) = mpsc::channel();
    let store = elsewhere(database.url(), move |runtime| {
        drop(runtime);
        gone.send(()).unwrap();
    });
    is_gone.recv().unwrap();
    for error in errors(&store).await {
        assert_eq!(error.kind(), StoreErrorKind::Closed, "{error}");
        assert!(error.to_string().contains("runtime"), "{error}");
        assert!(!error.to_string().contains("`close` was called"), "{error}");
    }
    in_time("close", store.close()).await;
    for error in errors(&store).await {
        assert!(error.to_string().contains("`close` was called"), "{error}");
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(prefix = "n")]
enum Counted {
    Up,
}

#[derive(Default, Clone)]
struct Counter;

impl Fold for Counter {
    type Event = Counted;
    fn apply(&mut self, _: &StoredEvent<Counted>) {}
}

#[derive(Command)]
struct Count {
    #[stream(fold = Counter)]
    counter: StreamId,
}

impl CommandLogic for Count {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        emit!(events, streams.counter => Counted::Up);
        Ok(())
    }
}

/// The texts of an error and of all that caused it.
fn told(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        told = format!("{told}: {error}");
        source = error.source();
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_says_soon_that_the_server_is_gone_and_why() {
    let server = TempPostgres::builder().tcp().start().unwrap();
    let database = migrated_on(&server);
    let url = format!(
        "postgresql://postgres@{}/{}",
        server.tcp_address().unwrap(),
        database.name()
    );
    let options = quick().acquire_timeout(4 * SECOND);
    let store = PostgresEventStore::connect(&url, options).await.unwrap();
    let count = || Count {
        counter: stream("n"),
    };
    execute(count(), &store).await.unwrap();
    server.stop().unwrap();
    for _ in 0..2 {
        let start = Instant::now();
        let error = in_time("execute", execute(count(), &store))
            .await
            .unwrap_err();
        let took = start.elapsed();
        // Ten attempts that wait for a connection each would take 40 seconds.
        assert!(took < 20 * SECOND, "{took:?}");
        let told = told(&error);
        assert!(told.contains("refused"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_waits_once_for_a_connection_of_a_pool_that_has_none() {
    let database = migrated();
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(12 * SECOND)
        .connect(&database.url())
        .await
        .unwrap();
    let store = PostgresEventStore::from_pool(pool.clone(), PostgresOptions::new())
        .await
        .unwrap();
    let taken = pool.acquire().await.unwrap();
    let count = Count {
        counter: stream("n"),
    };
    let start = Instant::now();
    let error = in_time("execute", execute(count, &store))
        .await
        .unwrap_err();
    assert!(start.elapsed() < 40 * SECOND, "{:?}", start.elapsed());
    assert!(told(&error).contains("in use"), "{}", told(&error));
    drop(taken);
}
