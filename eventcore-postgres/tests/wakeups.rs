//! Commits of one process are heard in another, and nothing depends on it.
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

use std::time::Duration;

use eventcore::{EventFilter, EventStore, StartFrom, Subscription, store::AppendError, subscribe};
use eventcore_postgres::{PostgresEventStore, PostgresOptions};
use eventcore_testing::temp_postgres::{TempDatabase, TempPostgres};
use futures_util::StreamExt;
use support::{batch, connect, migrated, migrated_on, open, text};
use tokio::time::{Instant, sleep, timeout};

const HOUR: Duration = Duration::from_hours(1);
/// Long for a notification, and nothing against the poll.
const SOON: Duration = Duration::from_secs(20);

/// Follows the log, and looks by itself so often.
fn follow(store: &PostgresEventStore, poll_every: Duration) -> Subscription<'static> {
    subscribe(store.clone(), StartFrom::Start, EventFilter::all()).poll_every(poll_every)
}

async fn append(store: &PostgresEventStore, text: &str) {
    store.append(batch(&[(text, 0)], text)).await.unwrap();
}

/// The text of the next event, which must not be waited for until the next poll.
async fn next(events: &mut Subscription<'_>) -> String {
    let next = timeout(SOON, events.next()).await;
    text(&next.expect("nobody was woken").unwrap().unwrap())
}

/// Sessions whose last statement was this.
fn sessions(database: &TempDatabase<'_>, statement: &str) -> usize {
    let count = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '{statement}%'"
    );
    database.sql(&count).unwrap().parse().unwrap()
}

/// Waits until somebody listens.
async fn listening(database: &TempDatabase<'_>, listeners: usize) {
    let start = Instant::now();
    while sessions(database, "LISTEN") != listeners {
        assert!(start.elapsed() < SOON, "{listeners} should listen");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Begins to wait at the end of the log: nothing is there, and nobody has called.
async fn wait(events: &mut Subscription<'static>) {
    let early = timeout(Duration::from_millis(200), events.next()).await;
    assert!(early.is_err(), "{early:?} came before it was appended");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_of_another_process_wakes_who_waits() {
    let database = migrated();
    let (ours, theirs) = (open(&database).await, open(&database).await);
    let mut events = follow(&ours, HOUR);
    wait(&mut events).await;
    listening(&database, 1).await;
    for number in 0..50 {
        let name = number.to_string();
        append(&theirs, &name).await;
        assert_eq!(next(&mut events).await, name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_of_the_same_process_wakes_without_the_server() {
    let database = migrated();
    let options = PostgresOptions::new().wakeups(false);
    let store = PostgresEventStore::connect(&database.url(), options)
        .await
        .unwrap();
    let mut events = follow(&store, HOUR);
    wait(&mut events).await;
    append(&store, "1").await;
    assert_eq!(next(&mut events).await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_appended_while_the_listener_was_dead_is_seen_when_it_is_back() {
    let database = migrated();
    let (ours, theirs) = (open(&database).await, open(&database).await);
    let mut events = follow(&ours, HOUR);
    wait(&mut events).await;
    for round in 0..4 {
        listening(&database, 1).await;
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND query LIKE 'LISTEN%'";
        assert_eq!(database.sql(kill).unwrap(), "t");
        let name = format!("dead-{round}");
        append(&theirs, &name).await;
        assert_eq!(next(&mut events).await, name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_started_again_is_listened_to_again() {
    let server = TempPostgres::builder().start().unwrap();
    let database = migrated_on(&server);
    let (ours, theirs) = (open(&database).await, open(&database).await);
    let mut events = follow(&ours, HOUR);
    wait(&mut events).await;
    listening(&database, 1).await;
    server.stop().unwrap();
    sleep(Duration::from_millis(300)).await;
    server.start().unwrap();
    let start = Instant::now();
    let after = batch(&[("after", 0)], "after");
    // Under the same key, so that it is appended once whatever became of the first try.
    while let Err(error) = theirs.append(after.clone()).await {
        let passes = error.is_retriable() || matches!(error, AppendError::OutcomeUnknown(_));
        assert!(
            passes && start.elapsed() < SOON,
            "{error:?} after the restart"
        );
        sleep(Duration::from_millis(50)).await;
    }
    // Either the notification is heard, or it came too early, and the listener looks when it is back.
    assert_eq!(next(&mut events).await, "after");
    listening(&database, 1).await;
    append(&theirs, "later").await;
    assert_eq!(next(&mut events).await, "later");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_wakeups_events_are_found_by_looking() {
    let database = migrated();
    let options = PostgresOptions::new().wakeups(false);
    let ours = PostgresEventStore::connect(&database.url(), options)
        .await
        .unwrap();
    let theirs = open(&database).await;
    let mut events = follow(&ours, Duration::from_millis(50));
    wait(&mut events).await;
    append(&theirs, "1").await;
    assert_eq!(next(&mut events).await, "1");
    assert_eq!(sessions(&database, "LISTEN"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_pool_is_left_to_appends_and_reads() {
    let database = migrated();
    let pool = support::pool(&database.url(), 3).await;
    let ours = PostgresEventStore::from_pool(pool, PostgresOptions::new())
        .await
        .unwrap();
    let theirs = open(&database).await;
    let mut events = follow(&ours, Duration::from_millis(50));
    wait(&mut events).await;
    append(&theirs, "1").await;
    assert_eq!(next(&mut events).await, "1");
    assert_eq!(sessions(&database, "LISTEN"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listens_where_nobody_waits() {
    let database = migrated();
    let store = open(&database).await;
    append(&store, "1").await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(sessions(&database, "LISTEN"), 0);
    let mut events = follow(&store, HOUR);
    assert_eq!(next(&mut events).await, "1");
    wait(&mut events).await;
    listening(&database, 1).await;
    drop(events);
    listening(&database, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_say_on_the_channel_harms_nobody() {
    let database = migrated();
    let (ours, theirs) = (open(&database).await, open(&database).await);
    let mut events = follow(&ours, HOUR);
    wait(&mut events).await;
    listening(&database, 1).await;
    let noise = "SELECT count(*) FROM (
            SELECT pg_notify('eventcore.eventcore', n || '\u{e9} '' {\"nonsense\": null}'),
                pg_notify('eventcore.other', n::text)
            FROM generate_series(1, 5000) n
        ) said";
    for _ in 0..4 {
        database.sql(noise).unwrap();
    }
    append(&theirs, "1").await;
    assert_eq!(next(&mut events).await, "1");
    // All of it was taken from the server.
    let start = Instant::now();
    while database
        .sql("SELECT pg_notification_queue_usage()")
        .unwrap()
        != "0"
    {
        assert!(start.elapsed() < SOON, "notifications were left lying");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_closed_at_once_has_told_of_its_last_append() {
    let database = migrated();
    let ours = open(&database).await;
    let mut events = follow(&ours, HOUR);
    wait(&mut events).await;
    listening(&database, 1).await;
    for number in 0..10 {
        let theirs = open(&database).await;
        let name = number.to_string();
        append(&theirs, &name).await;
        theirs.close().await;
        assert_eq!(next(&mut events).await, name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_dropped_leaves_no_session_behind() {
    let database = migrated();
    let store = open(&database).await;
    let mut events = follow(&store, HOUR);
    append(&store, "1").await;
    assert_eq!(next(&mut events).await, "1");
    wait(&mut events).await;
    listening(&database, 1).await;
    drop((store, events));
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'eventcore'";
    let start = Instant::now();
    while database.sql(ours).unwrap() != "0" {
        assert!(start.elapsed() < SOON, "sessions were left behind");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_appends_there_are_others_are_told_seldom() {
    const APPENDS: usize = 400;
    let server = TempPostgres::builder()
        .setting("log_statement", "all")
        .start()
        .unwrap();
    let database = migrated_on(&server);
    let store = connect(&database.url()).await;
    append(&store, "first").await;
    sleep(Duration::from_millis(200)).await;
    let logged = server.log().unwrap().len();
    let start = Instant::now();
    for number in 0..APPENDS {
        append(&store, &number.to_string()).await;
    }
    let took = start.elapsed();
    sleep(Duration::from_millis(200)).await;
    let log = server.log().unwrap().split_off(logged);
    let statements = |of: &str| {
        let executed = |line: &&str| line.contains("execute") || line.contains("statement:");
        let said = log.lines().filter(executed);
        said.filter(|line| line.contains(of)).count()
    };
    let told = statements("pg_notify");
    let most = took.as_millis() / 10 + 2;
    assert!(told > 0, "nobody was told");
    assert!(
        (told as u128) <= most,
        "told {told} times in {took:?}, which is more than every 10 ms"
    );
    assert_eq!(statements(".append"), APPENDS);
    assert_eq!(
        log.lines().filter(|line| line.contains("LISTEN")).count(),
        0,
        "nobody waits"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_connection_to_spare_tells_later_and_waits_for_nobody() {
    let database = migrated();
    let ours = open(&database).await;
    let pool = support::pool(&database.url(), 4).await;
    let theirs = PostgresEventStore::from_pool(pool.clone(), PostgresOptions::new())
        .await
        .unwrap();
    let mut events = follow(&ours, HOUR);
    wait(&mut events).await;
    listening(&database, 1).await;
    append(&theirs, "warm").await;
    assert_eq!(next(&mut events).await, "warm");
    let mut all = Vec::new();
    while let Ok(taken) = timeout(Duration::from_millis(200), pool.acquire()).await {
        all.push(taken.unwrap());
    }
    for number in 0..20 {
        append(&theirs, &number.to_string()).await;
    }
    drop(all);
    for number in 0..20 {
        assert_eq!(next(&mut events).await, number.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_pooler_events_are_found_by_looking() {
    let server = TempPostgres::builder().start().unwrap();
    let database = migrated_on(&server);
    let Some(pooler) = pooler::start(&server) else {
        return println!(
            "skipped: no `pgbouncer` (Debian and Ubuntu: `apt-get install pgbouncer`)"
        );
    };
    let url = pooler.url(database.name());
    let options = PostgresOptions::new().prepared_statements(false);
    let ours = PostgresEventStore::connect(&url, options.clone())
        .await
        .unwrap();
    let theirs = PostgresEventStore::connect(&url, options).await.unwrap();
    // Who listens without a pooler hears those behind it.
    let direct = open(&database).await;
    let (mut behind, mut before) = (
        follow(&ours, Duration::from_millis(50)),
        follow(&direct, HOUR),
    );
    wait(&mut behind).await;
    wait(&mut before).await;
    listening(&database, 1).await;
    for number in 0..20 {
        let name = number.to_string();
        append(&theirs, &name).await;
        assert_eq!(next(&mut behind).await, name);
        assert_eq!(next(&mut before).await, name);
    }
    assert_eq!(sessions(&database, "LISTEN"), 1);
}
