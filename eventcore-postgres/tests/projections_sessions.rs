//! A projection's own SQL, lost connections, paused leaders, other isolation levels, poolers.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

#[path = "sessions/pooler.rs"]
mod pooler;
mod support;
#[path = "projections/views.rs"]
mod views;

use std::time::Duration;

use eventcore::projection::{DocumentQuery, ProjectionStore, ProjectionStoreError, UnitOfWork};
use eventcore_postgres::{PostgresOptions, PostgresProjections, PostgresUnit};
use eventcore_testing::temp_postgres::{TempDatabase, TempPostgres};
use sqlx::{Acquire, Executor};
use support::{migrated, migrated_on};
use tokio::time::{Instant, sleep, timeout};
use views::{at, body, change, claim, granted, id, key, lead, name, position, views};

const SHORT: Duration = Duration::from_millis(200);
const SOON: Duration = Duration::from_secs(5);

async fn ready() -> (TempDatabase<'static>, PostgresProjections) {
    let database = migrated();
    database.sql("CREATE TABLE own (what text)").unwrap();
    let store = views(&database).await;
    (database, store)
}

async fn write(unit: &mut PostgresUnit, what: &str) {
    let connection = unit.connection().await.unwrap();
    let insert = sqlx::query("INSERT INTO own VALUES ($1)").bind(what.to_owned());
    insert.execute(connection).await.unwrap();
}

fn own(database: &TempDatabase<'_>) -> String {
    let all = "SELECT coalesce(string_agg(what, ',' ORDER BY what), '') FROM own";
    database.sql(all).unwrap()
}

/// Sessions that are in a transaction and do nothing.
fn idle_in_transaction(database: &TempDatabase<'_>) -> String {
    let count = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    database.sql(count).unwrap()
}

fn is_fenced(outcome: &Result<(), ProjectionStoreError>) -> bool {
    matches!(outcome, Err(ProjectionStoreError::Fenced { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn own_tables_move_with_documents_and_checkpoint() {
    let (database, store) = ready().await;
    let lease = lead(&store).await;
    let mut unit = store.begin(&lease).await.unwrap();
    unit.put(vec![change("a", "1")]).await.unwrap();
    write(&mut unit, "one").await;
    assert_eq!(unit.load(&[key("a")]).await.unwrap(), [Some("1".into())]);
    assert_eq!(
        (own(&database).as_str(), body(&store, "a").await),
        ("", None)
    );
    unit.commit(at(1)).await.unwrap();
    assert_eq!(own(&database), "one");
    assert_eq!(body(&store, "a").await.as_deref(), Some("1"));
    assert_eq!(position(&store).await, 1);
    let mut dropped = store.begin(&lease).await.unwrap();
    write(&mut dropped, "two").await;
    drop(dropped);
    let mut unit = store.begin(&lease).await.unwrap();
    write(&mut unit, "three").await;
    unit.commit(at(2)).await.unwrap();
    assert_eq!(own(&database), "one,three");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_within_the_unit_is_a_savepoint() {
    let (database, store) = ready().await;
    let lease = lead(&store).await;
    let mut unit = store.begin(&lease).await.unwrap();
    write(&mut unit, "before").await;
    let connection = unit.connection().await.unwrap();
    let mut inner = connection.begin().await.unwrap();
    inner
        .execute("INSERT INTO own VALUES ('undone')")
        .await
        .unwrap();
    inner.execute("SELECT 1 / 0").await.unwrap_err();
    inner.rollback().await.unwrap();
    let mut inner = connection.begin().await.unwrap();
    inner
        .execute("INSERT INTO own VALUES ('kept')")
        .await
        .unwrap();
    inner.commit().await.unwrap();
    assert_eq!(own(&database), "");
    unit.commit(at(1)).await.unwrap();
    assert_eq!(own(&database), "before,kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_whose_statement_failed_is_not_committed() {
    let (database, store) = ready().await;
    let lease = lead(&store).await;
    let mut unit = store.begin(&lease).await.unwrap();
    write(&mut unit, "lost").await;
    let connection = unit.connection().await.unwrap();
    // The projection does not look at the error.
    let _ = connection.execute("SELECT 1 / 0").await;
    unit.commit(at(1)).await.unwrap_err();
    assert_eq!((own(&database).as_str(), position(&store).await), ("", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_ends_the_transaction_itself_is_told() {
    let (database, store) = ready().await;
    let lease = lead(&store).await;
    for end in ["COMMIT", "ROLLBACK", "COMMIT; BEGIN"] {
        let mut unit = store.begin(&lease).await.unwrap();
        unit.put(vec![change("a", "1")]).await.unwrap();
        let connection = unit.connection().await.unwrap();
        connection.execute(end).await.unwrap();
        let error = unit.commit(at(9)).await.unwrap_err();
        assert!(error.to_string().contains("was ended"), "{end}: {error}");
        assert_eq!((position(&store).await, body(&store, "a").await), (0, None));
    }
    let mut unit = store.begin(&lease).await.unwrap();
    write(&mut unit, "fine").await;
    unit.commit(at(1)).await.unwrap();
    assert_eq!(own(&database), "fine");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_session_was_ended_has_done_nothing_and_goes_on() {
    let (database, store) = ready().await;
    let lease = lead(&store).await;
    let mut unit = store.begin(&lease).await.unwrap();
    unit.put(vec![change("a", "1")]).await.unwrap();
    write(&mut unit, "lost").await;
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    database.sql(kill).unwrap();
    let error = unit.commit(at(1)).await.unwrap_err();
    assert!(error.is_retriable(), "{error:?}");
    let start = Instant::now();
    loop {
        let mut unit = store.begin(&lease).await.unwrap();
        unit.put(vec![change("a", "2")]).await.unwrap();
        match unit.commit(at(1)).await {
            Ok(()) => break,
            Err(error) => assert!(error.is_retriable() && start.elapsed() < SOON, "{error:?}"),
        }
    }
    assert_eq!((own(&database).as_str(), position(&store).await), ("", 1));
    assert_eq!(body(&store, "a").await.as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_sleeps_in_a_transaction_is_replaced_and_fenced() {
    let (database, store) = ready().await;
    let old = granted(&store, &claim(SHORT)).await;
    let mut unit = store.begin(&old).await.unwrap();
    unit.put(vec![change("a", "1")]).await.unwrap();
    write(&mut unit, "late").await;
    sleep(SHORT * 2).await;
    let other = views(&database).await;
    let new = timeout(SOON, lead(&other))
        .await
        .expect("the sleeper is in the way");
    let mut next = other.begin(&new).await.unwrap();
    next.put(vec![change("a", "2")]).await.unwrap();
    write(&mut next, "new").await;
    timeout(SOON, next.commit(at(1)))
        .await
        .expect("the sleeper is in the way")
        .unwrap();
    assert!(is_fenced(&unit.commit(at(1)).await));
    assert_eq!(
        (own(&database).as_str(), position(&store).await),
        ("new", 1)
    );
    assert_eq!(body(&store, "a").await.as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_that_waits_for_a_commit_comes_after_it() {
    let (database, store) = ready().await;
    let old = granted(&store, &claim(SHORT)).await;
    sleep(SHORT * 2).await;
    // Holds the row as a commit does between its statement and its end.
    let pool = support::pool(&database.url(), 1).await;
    let mut commit = pool.begin().await.unwrap();
    let moves = "UPDATE eventcore.projection_partitions SET position = 7";
    commit.execute(moves).await.unwrap();
    let taking = tokio::spawn({
        let store = store.clone();
        async move { lead(&store).await }
    });
    sleep(SHORT).await;
    assert!(!taking.is_finished());
    commit.commit().await.unwrap();
    let new = taking.await.unwrap();
    assert_eq!(new.checkpoint.position.get(), 7);
    // And a commit that waits for a takeover sees the new epoch.
    let mut takeover = pool.begin().await.unwrap();
    let grants = "UPDATE eventcore.projection_partitions SET epoch = epoch + 100";
    takeover.execute(grants).await.unwrap();
    let committing = {
        let mut unit = store.begin(&new).await.unwrap();
        write(&mut unit, "late").await;
        tokio::spawn(unit.commit(at(8)))
    };
    sleep(SHORT).await;
    assert!(!committing.is_finished());
    takeover.commit().await.unwrap();
    assert!(is_fenced(&committing.await.unwrap()));
    assert!(is_fenced(
        &store.begin(&old).await.unwrap().commit(at(8)).await
    ));
    assert_eq!((own(&database).as_str(), position(&store).await), ("", 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_transaction_that_takes_long_is_in_nobodys_way() {
    let (database, store) = ready().await;
    let lease = lead(&store).await;
    let pool = support::pool(&database.url(), 1).await;
    let begin = "BEGIN ISOLATION LEVEL SERIALIZABLE";
    let mut foreign = pool.begin_with(begin).await.unwrap();
    let reads = "SELECT count(*) FROM eventcore.projection_partitions";
    foreign.execute(reads).await.unwrap();
    foreign
        .execute("INSERT INTO own VALUES ('foreign')")
        .await
        .unwrap();
    let work = async {
        for number in 1..20 {
            let mut unit = store.begin(&lease).await.unwrap();
            write(&mut unit, "ours").await;
            unit.commit(at(number)).await.unwrap();
        }
        store.release(&lease).await.unwrap();
        let lease = lead(&store).await;
        store.renew(&lease).await.unwrap();
        store.reset(&id()).await.unwrap();
    };
    timeout(SOON, work).await.expect("something waits for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_and_a_removal_do_not_wait_for_a_projection_that_works() {
    let (database, store) = ready().await;
    for remove in [false, true] {
        let lease = lead(&store).await;
        let mut unit = store.begin(&lease).await.unwrap();
        unit.put(vec![change("a", "1")]).await.unwrap();
        write(&mut unit, "late").await;
        let upkeep = async {
            if remove {
                store.remove(&id()).await.unwrap();
            } else {
                store.reset(&id()).await.unwrap();
            }
        };
        timeout(SOON, upkeep).await.expect("it waits for the unit");
        assert!(is_fenced(&unit.commit(at(1)).await));
        assert_eq!(
            (own(&database).as_str(), body(&store, "a").await),
            ("", None)
        );
    }
    assert!(store.names().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn fences_hold_whatever_isolation_the_database_prefers() {
    for isolation in ["repeatable read", "serializable"] {
        let database = migrated();
        let prefer = format!(
            "CREATE TABLE own (what text);
             ALTER DATABASE \"{}\" SET default_transaction_isolation = '{isolation}'",
            database.name()
        );
        database.sql(&prefer).unwrap();
        let pool = support::pool(&database.url(), 4).await;
        let store = PostgresProjections::from_pool(pool.clone(), PostgresOptions::new())
            .await
            .unwrap();
        let shown: String = sqlx::query_scalar("SHOW transaction_isolation")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(shown, isolation);
        let old = granted(&store, &claim(SHORT)).await;
        let mut unit = store.begin(&old).await.unwrap();
        // Its snapshot, if it had one for all, would be from before the takeover.
        write(&mut unit, "late").await;
        sleep(SHORT * 2).await;
        let new = lead(&store).await;
        let outcome = unit.commit(at(1)).await;
        assert!(is_fenced(&outcome), "at {isolation}");
        store
            .begin(&new)
            .await
            .unwrap()
            .commit(at(1))
            .await
            .unwrap();
    }
}

/// sqlx 0.9.0 forgets that a `BEGIN` was sent when its future is dropped, and later writes vanish with the connection.
#[tokio::test(flavor = "multi_thread")]
async fn units_that_are_dropped_early_lose_no_later_one() {
    let (database, _) = ready().await;
    let pool = support::pool(&database.url(), 2).await;
    let store = PostgresProjections::from_pool(pool, PostgresOptions::new())
        .await
        .unwrap();
    let lease = lead(&store).await;
    let (mut dropped, mut committed) = (0, 0);
    for number in 1..=300_u64 {
        let early = async {
            let mut unit = store.begin(&lease).await.unwrap();
            let insert = sqlx::query("INSERT INTO own VALUES ('early')");
            insert
                .execute(unit.connection().await.unwrap())
                .await
                .unwrap();
            std::future::pending::<()>().await;
        };
        let moment = Duration::from_micros(fastrand::u64(1..1500));
        dropped += usize::from(timeout(moment, early).await.is_err());
        if number % 3 == 0 {
            let mut unit = store.begin(&lease).await.unwrap();
            write(&mut unit, "late").await;
            unit.commit(at(number)).await.unwrap();
            committed += 1;
            assert_eq!(position(&store).await, number);
        }
    }
    assert_eq!(dropped, 300);
    let late = "SELECT count(*), count(*) FILTER (WHERE what = 'late') FROM own";
    assert_eq!(
        database.sql(late).unwrap(),
        format!("{committed}|{committed}")
    );
    let start = Instant::now();
    while idle_in_transaction(&database) != "0" {
        assert!(start.elapsed() < SOON, "a transaction was left open");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_a_unit_has_bounds_on_connections_of_the_application() {
    let (database, _) = ready().await;
    let pool = support::pool(&database.url(), 1).await;
    let store = PostgresProjections::from_pool(pool.clone(), PostgresOptions::new())
        .await
        .unwrap();
    let lease = granted(&store, &claim(Duration::from_secs(20))).await;
    let mut unit = store.begin(&lease).await.unwrap();
    let shown = "SHOW idle_in_transaction_session_timeout";
    let within: String = sqlx::query_scalar(shown)
        .fetch_one(unit.connection().await.unwrap())
        .await
        .unwrap();
    // With one connection in all: what the unit asks goes over its own.
    unit.load(&[key("a")]).await.unwrap();
    unit.waiting().await.unwrap();
    unit.commit(at(1)).await.unwrap();
    let after: String = sqlx::query_scalar(shown).fetch_one(&pool).await.unwrap();
    assert_eq!((within.as_str(), after.as_str()), ("20s", "0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_transaction_mode_is_no_obstacle() {
    let server = TempPostgres::builder().start().unwrap();
    let database = migrated_on(&server);
    database.sql("CREATE TABLE own (what text)").unwrap();
    let Some(pooler) = pooler::start(&server) else {
        return println!(
            "skipped: no `pgbouncer` (Debian and Ubuntu: `apt-get install pgbouncer`)"
        );
    };
    let options = PostgresOptions::new().prepared_statements(false);
    let url = pooler.url(database.name());
    let open = || PostgresProjections::connect(&url, options.clone());
    let stores = [open().await.unwrap(), open().await.unwrap()];
    let noise = {
        let store = stores[1].clone();
        tokio::spawn(async move {
            loop {
                body(&store, "a").await;
            }
        })
    };
    let old = granted(&stores[0], &claim(SHORT)).await;
    for number in 1..=30 {
        let mut unit = stores[0].begin(&old).await.unwrap();
        unit.put(vec![change("a", &number.to_string())])
            .await
            .unwrap();
        if number % 2 == 0 {
            let insert = sqlx::query("INSERT INTO own VALUES ('x')").persistent(false);
            insert
                .execute(unit.connection().await.unwrap())
                .await
                .unwrap();
        }
        unit.load(&[key("b")]).await.unwrap();
        unit.commit(at(number)).await.unwrap();
    }
    assert_eq!(body(&stores[1], "a").await.as_deref(), Some("30"));
    sleep(SHORT * 2).await;
    let new = lead(&stores[1]).await;
    assert_eq!(new.checkpoint.position.get(), 30);
    assert!(is_fenced(
        &stores[0].begin(&old).await.unwrap().commit(at(99)).await
    ));
    noise.abort();
    assert_eq!(database.sql("SELECT count(*) FROM own").unwrap(), "15");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_closing_everything_says_so() {
    let (database, store) = ready().await;
    let lease = lead(&store).await;
    store.close().await;
    let error = store.renew(&lease).await.unwrap_err();
    assert!(error.to_string().contains("close"), "{error}");
    let events = support::open(&database).await;
    let shared = events.projections();
    assert_eq!(shared.names().await.unwrap().len(), 1);
    shared.close().await;
    shared.names().await.unwrap_err();
    // The connections are the event store's.
    assert_eq!(support::log(&events).await.len(), 0);
    let another = events.projections();
    events.close().await;
    another.names().await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_just_the_rights_it_needs_can_run_projections() {
    let (database, _) = ready().await;
    let role = format!("role_of_{}", database.name());
    let grant = "CREATE ROLE {} LOGIN; SELECT eventcore.grant_access('{}', 'project')";
    database.sql(&grant.replace("{}", &role)).unwrap();
    let becomes = format!("SET SESSION AUTHORIZATION {role}");
    // From a superuser's session, since the server may not let that role in.
    let limited = sqlx::postgres::PgPoolOptions::new()
        .max_connections(3)
        .after_connect(move |connection, _| {
            let sql = becomes.clone();
            Box::pin(async move {
                connection
                    .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql)))
                    .await?;
                Ok(())
            })
        });
    let limited = limited.connect(&database.url()).await.unwrap();
    let store = PostgresProjections::from_pool(limited.clone(), PostgresOptions::new())
        .await
        .unwrap();
    let lease = lead(&store).await;
    let mut unit = store.begin(&lease).await.unwrap();
    unit.put(vec![change("a", "1")]).await.unwrap();
    unit.commit(at(1)).await.unwrap();
    let all = DocumentQuery::all().sort_ascending("x").unwrap();
    assert_eq!(store.query(&name(), &all).await.unwrap().len(), 1);
    store.reset(&id()).await.unwrap();
    store.remove(&id()).await.unwrap();
    // Roles are the server's, and this may be one that stays.
    limited.close().await;
    database
        .sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"))
        .unwrap();
}
