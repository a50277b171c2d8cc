//! Pools, poolers, isolation levels, cancellation, and how many messages a command takes.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

#[path = "sessions/pooler.rs"]
mod pooler;
#[path = "sessions/relay.rs"]
mod relay;
mod support;

use std::{collections::HashSet, time::Duration};

use eventcore::{
    EventStore,
    store::{AppendError, ReadFrom, StreamRead},
};
use eventcore_postgres::{PostgresEventStore, PostgresOptions};
use eventcore_testing::temp_postgres::TempPostgres;
use support::{batch, log, migrated, migrated_on, pool, stream};

async fn over(pool: &sqlx::PgPool) -> PostgresEventStore {
    PostgresEventStore::from_pool(pool.clone(), PostgresOptions::new())
        .await
        .unwrap()
}

/// Increments of two streams by many tasks, each by reading both and appending to both.
async fn increments(stores: &[PostgresEventStore], tasks: usize, each: usize) {
    let streams = || [ReadFrom::start(stream("a")), ReadFrom::start(stream("b"))];
    let versions = |read: &StreamRead| [read.versions[0].get(), read.versions[1].get()];
    let adding = (0..tasks).map(|task| {
        let store = stores[task % stores.len()].clone();
        tokio::spawn(async move {
            for number in 0..each {
                loop {
                    let [a, b] = versions(&store.read(&streams()).await.unwrap());
                    assert_eq!(a, b, "a torn view");
                    let batch = batch(&[("a", a), ("b", b)], &format!("{task}-{number}"));
                    match store.append(batch).await {
                        Ok(_) => break,
                        Err(error) => assert!(error.is_conflict(), "{error}"),
                    }
                }
            }
        })
    });
    for added in adding.collect::<Vec<_>>() {
        added.await.unwrap();
    }
    let events = log(&stores[0]).await;
    assert_eq!(events.len(), tasks * each * 2);
    let texts: HashSet<String> = events.iter().map(support::text).collect();
    assert_eq!(texts.len(), tasks * each, "a lost or doubled increment");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_one_connection_will_do() {
    let database = migrated();
    let pool = pool(&database.url(), 1).await;
    let store = over(&pool).await;
    increments(&[store.clone(), over(&pool).await], 4, 10).await;
    let long = (0..3000).fold(
        (eventcore::store::AppendBatch::builder(), stream("long")),
        |(mut batch, long), number| {
            if number == 0 {
                batch
                    .expect(long.clone(), eventcore::StreamVersion::EMPTY)
                    .unwrap();
            }
            batch.event(&long, support::event("x")).unwrap();
            (batch, long)
        },
    );
    store.append(long.0.build().unwrap()).await.unwrap();
    // A long read holds no connection between its chunks.
    let mut read = store
        .read(&[ReadFrom::start(stream("long"))])
        .await
        .unwrap();
    assert!(read.events.next_chunk().await.unwrap().is_some());
    store.append(batch(&[("c", 0)], "1")).await.unwrap();
    assert!(!read.events.collect().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_holds_whatever_isolation_the_database_prefers() {
    for isolation in ["repeatable read", "serializable"] {
        let database = migrated();
        let prefer = format!(
            "ALTER DATABASE \"{}\" SET default_transaction_isolation = '{isolation}'",
            database.name()
        );
        database.sql(&prefer).unwrap();
        let pools = [
            pool(&database.url(), 4).await,
            pool(&database.url(), 4).await,
        ];
        let shown: String = sqlx::query_scalar("SHOW default_transaction_isolation")
            .fetch_one(&pools[0])
            .await
            .unwrap();
        assert_eq!(shown, isolation);
        increments(&[over(&pools[0]).await, over(&pools[1]).await], 8, 10).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_changes_its_isolation_later_is_no_obstacle() {
    let database = migrated();
    let pool = pool(&database.url(), 1).await;
    let store = over(&pool).await;
    let change = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ";
    sqlx::query(change).execute(&pool).await.unwrap();
    store.append(batch(&[("a", 0)], "1")).await.unwrap();
    assert_eq!(log(&store).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_transaction_mode_is_no_obstacle() {
    let server = TempPostgres::builder().start().unwrap();
    let database = migrated_on(&server);
    let Some(pooler) = pooler::start(&server) else {
        return println!(
            "skipped: no `pgbouncer` (Debian and Ubuntu: `apt-get install pgbouncer`)"
        );
    };
    let options = PostgresOptions::new().prepared_statements(false);
    let url = pooler.url(database.name());
    PostgresEventStore::migrate(&url, &options).await.unwrap();
    let open = || PostgresEventStore::connect(&url, options.clone());
    // More sessions than the pooler has connections, so that they take turns on them.
    let stores = [
        open().await.unwrap(),
        open().await.unwrap(),
        open().await.unwrap(),
    ];
    increments(&stores, 12, 10).await;
    let batch = batch(&[("c", 0)], "1");
    let key = batch.idempotency().unwrap().key.clone();
    stores[0].append(batch).await.unwrap();
    assert!(stores[1].find_receipt(&key).await.unwrap().is_some());
}

/// sqlx 0.9.0 forgets that a `BEGIN` was sent when its future is dropped, and later writes vanish with the connection.
#[tokio::test(flavor = "multi_thread")]
async fn appends_that_are_dropped_early_lose_no_later_one() {
    let database = migrated();
    // The second store begins transactions of its own.
    let prefer = "ALTER DATABASE {} SET default_transaction_isolation = 'serializable'";
    let plain = support::open(&database).await;
    database
        .sql(&prefer.replace("{}", database.name()))
        .unwrap();
    let pool = pool(&database.url(), 2).await;
    let mut acknowledged = Vec::new();
    let mut dropped = 0;
    for (name, store) in [("plain", plain), ("begins", over(&pool).await)] {
        for number in 0..400 {
            let early = Duration::from_micros(fastrand::u64(1..200));
            let text = format!("{name}-early-{number}");
            let append = store.append(batch(&[(&text, 0)], &text));
            match tokio::time::timeout(early, append).await {
                Ok(appended) => {
                    appended.unwrap();
                    acknowledged.push(text);
                }
                Err(_) => dropped += 1,
            }
            if number % 4 == 0 {
                let text = format!("{name}-late-{number}");
                store.append(batch(&[(&text, 0)], &text)).await.unwrap();
                acknowledged.push(text);
            }
        }
        store.close().await;
    }
    pool.close().await;
    assert!(
        dropped > 50,
        "only {dropped} were dropped, so nothing was tested"
    );
    let texts: Vec<String> = log(&support::open(&database).await)
        .await
        .iter()
        .map(support::text)
        .collect();
    let there: HashSet<&String> = texts.iter().collect();
    assert_eq!(there.len(), texts.len(), "an event twice");
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|text| !there.contains(text))
        .collect();
    assert!(
        lost.is_empty(),
        "{} of {} lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
}

mod round_trips {
    use eventcore::prelude::*;

    use super::*;

    #[derive(Clone, Debug, Serialize, Deserialize, Event)]
    #[event(prefix = "n")]
    enum Counted {
        Up,
    }

    #[derive(Default, Clone)]
    struct Count(u64);

    impl Fold for Count {
        type Event = Counted;
        fn apply(&mut self, _: &StoredEvent<Counted>) {
            self.0 += 1;
        }
    }

    #[derive(Command)]
    struct UpAll {
        #[stream(fold = Count)]
        first: StreamId,
        #[stream(fold = Count)]
        rest: Vec<StreamId>,
        #[stream(fold = Count, read_only)]
        looked_at: StreamId,
    }

    impl CommandLogic for UpAll {
        fn handle(
            &self,
            streams: &Streams<Self>,
            events: &mut NewEvents<Self>,
        ) -> Result<(), CommandError> {
            emit!(events, streams.first => Counted::Up);
            for one in &streams.rest {
                emit!(events, one => Counted::Up);
            }
            Ok(())
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_command_is_one_read_and_one_append_however_many_streams_it_has() {
        const COMMANDS: usize = 20;
        let server = TempPostgres::builder()
            .tcp()
            .setting("log_statement", "all")
            .start()
            .unwrap();
        let database = migrated_on(&server);
        let relay = relay::start(server.tcp_address().unwrap()).await;
        let url = format!("postgres://postgres@{}/{}", relay.address, database.name());
        // What tells other processes goes beside the command, and is counted elsewhere.
        let options = PostgresOptions::new().wakeups(false);
        let store = PostgresEventStore::connect(&url, options).await.unwrap();
        let run = || async {
            let command = UpAll {
                first: stream("a"),
                rest: (0..10)
                    .map(|number| stream(&format!("rest:{number}")))
                    .collect(),
                looked_at: stream("b"),
            };
            execute(command, &store).await.unwrap();
        };
        // Statements are prepared once per connection.
        run().await;
        let (logged, messages) = (server.log().unwrap().len(), relay.round_trips());
        for _ in 0..COMMANDS {
            run().await;
        }
        let round_trips = relay.round_trips() - messages;
        let log = server.log().unwrap().split_off(logged);
        let statements = |of: &str| {
            let ours = |line: &&str| line.contains("eventcore: LOG:");
            let says = |line: &&str| line.contains("execute") || line.contains("statement:");
            log.lines()
                .filter(ours)
                .filter(says)
                .filter(|line| line.contains(of))
                .count()
        };
        assert_eq!(statements(".append("), COMMANDS, "{log}");
        assert_eq!(statements("SELECT r.ordinal"), COMMANDS, "{log}");
        assert_eq!(statements(""), COMMANDS * 2, "{log}");
        assert_eq!(round_trips, COMMANDS * 2, "messages that await an answer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_names_the_streams_and_both_versions() {
    let database = migrated();
    let store = support::open(&database).await;
    store
        .append(batch(&[("a", 0), ("b", 0)], "1"))
        .await
        .unwrap();
    let error = store
        .append(batch(&[("a", 1), ("b", 0), ("c", 5)], "2"))
        .await
        .unwrap_err();
    let AppendError::Conflict(conflict) = error else {
        panic!("{error}")
    };
    let told: Vec<_> = conflict
        .streams()
        .iter()
        .map(|moved| {
            (
                moved.stream.to_string(),
                moved.expected.get(),
                moved.actual.get(),
            )
        })
        .collect();
    assert_eq!(told, [("b".to_owned(), 0, 1), ("c".to_owned(), 5, 0)]);
}
