//! Sessions that an application's own pool holds, in whatever state they were left: nothing acknowledged is lost.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

mod support;

use std::time::Duration;

use eventcore::{
    EventStore, GlobalPosition,
    projection::{
        Checkpoint, Claim, Claimed, DocumentChange, DocumentKey, Lease, Owner, Partitions,
        Progress, ProjectionId, ProjectionName, ProjectionStore, UnitOfWork,
    },
    store::{EventFilter, PageSize, ReadFrom},
};
use eventcore_postgres::{PostgresEventStore, PostgresOptions};
use sqlx::{Acquire, Connection, Executor, PgPool};
use support::{batch, migrated, pool, stream};

/// What an application may leave behind in a session.
const LEFT_BEHIND: [&str; 9] = [
    "BEGIN",
    "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM eventcore.events",
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT count(*) FROM eventcore.events",
    "BEGIN; SAVEPOINT a; SELECT 1",
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SET statement_timeout = '1ms'; SET lock_timeout = '1ms'",
    "SET synchronous_commit = off",
    "SET enable_indexscan = off; SET search_path = pg_temp",
    // In a transaction that failed.
    "BEGIN; SELECT 1 / 0",
];

/// Leaves every session of a pool in this state.
async fn leave_behind(pool: &PgPool, sql: &'static str) {
    let mut sessions = Vec::new();
    for _ in 0..pool.options().get_max_connections() {
        let mut session = pool.acquire().await.unwrap();
        for statement in sql.split("; ") {
            // The last one of them fails on purpose.
            let _ = session.execute(statement).await;
        }
        sessions.push(session);
    }
}

async fn over(pool: &PgPool) -> PostgresEventStore {
    PostgresEventStore::from_pool(pool.clone(), PostgresOptions::new())
        .await
        .unwrap()
}

/// The events that a session of its own sees.
async fn committed(url: &str) -> i64 {
    let mut own = sqlx::PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM eventcore.events")
        .fetch_one(&mut own)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_committed_whatever_state_the_sessions_were_left_in() {
    for left in LEFT_BEHIND {
        for connections in [1, 2, 4] {
            let database = migrated();
            let pool = pool(&database.url(), connections).await;
            leave_behind(&pool, left).await;
            let store = over(&pool).await;
            leave_behind(&pool, left).await;
            let append = |name: &'static str| store.append(batch(&[(name, 0)], "1"));
            let told = format!("{left:?}, {connections} connections");
            let first = append("a").await;
            assert!(first.is_ok(), "{told}: {first:?}");
            assert_eq!(committed(&database.url()).await, 1, "{told}");
            if connections < 3 {
                // No session is kept, so any of them may be met again.
                leave_behind(&pool, left).await;
            }
            append("b").await.unwrap();
            assert_eq!(committed(&database.url()).await, 2, "{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_is_what_is_committed_whatever_state_the_sessions_were_left_in() {
    for left in LEFT_BEHIND {
        for connections in [1, 4] {
            let database = migrated();
            let pool = pool(&database.url(), connections).await;
            let store = over(&pool).await;
            let other = support::open(&database).await;
            leave_behind(&pool, left).await;
            // After the snapshots of the transactions that were left open.
            other.append(batch(&[("a", 0)], "1")).await.unwrap();
            let told = format!("{left:?}, {connections} connections");

            let read = store.read(&[ReadFrom::start(stream("a"))]).await;
            let read = read.unwrap_or_else(|error| panic!("{told}: {error}"));
            assert_eq!(read.versions[0].get(), 1, "{told}");
            leave_behind_the_rest(&pool, left).await;
            let page = store
                .read_all(
                    GlobalPosition::START,
                    &EventFilter::all(),
                    PageSize::default(),
                )
                .await
                .unwrap_or_else(|error| panic!("{told}: {error}"));
            assert_eq!(page.events.len(), 1, "{told}");
        }
    }
}

/// The sessions that the store does not keep.
async fn leave_behind_the_rest(pool: &PgPool, sql: &'static str) {
    while let Some(mut session) = pool.try_acquire() {
        for statement in sql.split("; ") {
            let _ = session.execute(statement).await;
        }
        // Kept until the end of the turn, so that each is met once.
        if pool.num_idle() == 0 {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_begin_that_was_cancelled_loses_no_command() {
    for connections in [1, 2, 4] {
        let database = migrated();
        let pool = pool(&database.url(), connections).await;
        let store = over(&pool).await;
        let (mut acknowledged, mut cancelled) = (0, 0);
        for number in 0..200 {
            // Dropped as soon as it waits for something, or a little later.
            let early = async {
                for _ in 0..number % 7 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                biased;
                begun = pool.begin() => drop(begun),
                () = early => cancelled += 1,
            }
            let text = format!("s-{number}");
            let appended = store.append(batch(&[(&text, 0)], &text)).await;
            acknowledged += i64::from(appended.is_ok());
        }
        assert!(
            cancelled > 0 && acknowledged > 150,
            "{cancelled} cancelled, {acknowledged} acknowledged"
        );
        assert_eq!(
            committed(&database.url()).await,
            acknowledged,
            "{connections} connections"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_sqlx_that_was_forgotten_loses_no_command() {
    let database = migrated();
    let pool = pool(&database.url(), 1).await;
    let store = over(&pool).await;
    let mut session = pool.acquire().await.unwrap();
    std::mem::forget(session.begin().await.unwrap());
    drop(session);
    store.append(batch(&[("a", 0)], "1")).await.unwrap();
    assert_eq!(committed(&database.url()).await, 1);
}

fn owner() -> Owner {
    Owner {
        id: uuid::Uuid::now_v7(),
        label: "test".into(),
    }
}

fn lease(claimed: Claimed) -> Lease {
    match claimed {
        Claimed::Granted(lease) => lease,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_is_committed_is_there_whatever_state_the_sessions_were_left_in() {
    for left in LEFT_BEHIND {
        for own_sql in [false, true] {
            let database = migrated();
            let pool = pool(&database.url(), 1).await;
            let store = over(&pool).await;
            let projections = store.projections();
            leave_behind(&pool, left).await;
            let projection = ProjectionId {
                name: ProjectionName::try_new("p").unwrap(),
                version: 1,
            };
            let claim = Claim {
                projection: projection.clone(),
                partition: 0,
                partitions: Partitions::ONE,
                owner: owner(),
                ttl: Duration::from_mins(5),
            };
            let lease = lease(projections.claim(&claim).await.unwrap());
            leave_behind(&pool, left).await;
            let mut unit = projections.begin(&lease).await.unwrap();
            if own_sql {
                let connection = unit.connection().await.unwrap();
                connection
                    .execute("CREATE TABLE public.own AS SELECT 1 AS n")
                    .await
                    .unwrap();
            }
            let key = DocumentKey::try_new("k").unwrap();
            let change = DocumentChange {
                key: key.clone(),
                body: Some("1".into()),
            };
            unit.put(vec![change]).await.unwrap();
            let progress = Progress {
                checkpoint: Checkpoint::default(),
                activate: false,
            };
            unit.commit(progress).await.unwrap();

            let fresh = support::open(&database).await.projections();
            let there = fresh.documents(&projection.name, &[key]).await.unwrap();
            assert_eq!(
                there,
                [Some("1".to_owned())],
                "{left:?}, own SQL: {own_sql}"
            );
            if own_sql {
                database.sql("SELECT n FROM public.own").unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sql_of_a_projection_leaves_in_a_session_meets_no_other_call() {
    let database = migrated();
    database.sql("CREATE ROLE nothing_allowed").unwrap();
    let options = PostgresOptions::new().max_connections(1);
    let store = PostgresEventStore::connect(&database.url(), options)
        .await
        .unwrap();
    let projections = store.projections();
    let claim = Claim {
        projection: ProjectionId {
            name: ProjectionName::try_new("p").unwrap(),
            version: 1,
        },
        partition: 0,
        partitions: Partitions::ONE,
        owner: owner(),
        ttl: Duration::from_mins(5),
    };
    let lease = lease(projections.claim(&claim).await.unwrap());
    for (number, left) in [
        "SET SESSION AUTHORIZATION nothing_allowed",
        "SET ROLE nothing_allowed",
        "SET default_transaction_isolation = serializable",
        "SET default_transaction_read_only = on",
        "SET statement_timeout = 1",
        "CREATE TEMP TABLE events (position bigint)",
        "SELECT pg_advisory_lock(1)",
    ]
    .into_iter()
    .enumerate()
    {
        for commits in [true, false] {
            let mut unit = projections.begin(&lease).await.unwrap();
            let connection = unit.connection().await.unwrap();
            connection.execute(left).await.unwrap();
            let statement = connection.execute("SELECT pg_sleep(0)").await;
            if commits {
                let progress = Progress {
                    checkpoint: Checkpoint::default(),
                    activate: false,
                };
                // Under another role the commit itself may be refused.
                let _ = (statement, unit.commit(progress).await);
            } else {
                drop(unit);
            }
            let name = format!("s-{number}-{commits}");
            let appended = store.append(batch(&[(&name, 0)], "1")).await;
            assert!(
                appended.is_ok(),
                "{left:?}, committed: {commits}: {appended:?}"
            );
        }
    }
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 1";
    assert_eq!(database.sql(locks).unwrap().trim(), "0");
}
