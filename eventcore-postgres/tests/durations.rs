//! Durations and bounds at their ends, and what the URL says against what the options say.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

mod support;

use std::time::Duration;

use eventcore::{
    EventStore,
    store::{AppendError, StoreErrorKind},
};
use eventcore_postgres::{PostgresEventStore, PostgresOptions};
use eventcore_testing::temp_postgres::TempDatabase;
use sqlx::Connection;
use support::{LOCK_ORDER, batch, migrated};

/// A database that notes what the sessions of appends are set to.
fn noting() -> TempDatabase<'static> {
    let database = migrated();
    let note = "CREATE TABLE public.seen (name text, timeout text, plans text, isolation text);
        CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO public.seen VALUES (current_setting('application_name'),
                current_setting('statement_timeout'), current_setting('plan_cache_mode'),
                current_setting('default_transaction_isolation'));
            RETURN NULL;
        END $$;
        CREATE TRIGGER note AFTER INSERT ON eventcore.events FOR EACH STATEMENT EXECUTE FUNCTION public.note()";
    database.sql(note).unwrap();
    database
}

/// What an append's session has, opened with these parameters in the URL.
async fn seen(parameters: &str, options: PostgresOptions) -> String {
    let database = noting();
    let separator = if database.url().contains('?') {
        '&'
    } else {
        '?'
    };
    let url = format!("{}{separator}{parameters}", database.url());
    let store = PostgresEventStore::connect(&url, options).await.unwrap();
    store.append(batch(&[("a", 0)], "1")).await.unwrap();
    database
        .sql("SELECT name, timeout, isolation FROM public.seen")
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_url_wins_over_defaults_and_the_options_over_the_url() {
    let options = PostgresOptions::new;
    let long = Duration::from_secs(7);
    for (parameters, options, expected) in [
        ("", options(), "eventcore|30s"),
        ("application_name=shop", options(), "shop|30s"),
        (
            "options=-c%20statement_timeout%3D9500",
            options(),
            "eventcore|9500ms",
        ),
        (
            "options=-cstatement_timeout%3D9500",
            options(),
            "eventcore|9500ms",
        ),
        (
            "options=--statement-timeout%3D9500",
            options(),
            "eventcore|9500ms",
        ),
        (
            "options=-c%20STATEMENT_TIMEOUT%3D9500",
            options(),
            "eventcore|9500ms",
        ),
        (
            "options[statement_timeout]=9500",
            options(),
            "eventcore|9500ms",
        ),
        (
            "options=-c%20statement_timeout%3D0",
            options(),
            "eventcore|0",
        ),
        (
            "options=-c%20statement_timeout%3D9500",
            options().statement_timeout(long),
            "eventcore|7s",
        ),
        (
            "options=-c%20work_mem%3D9500",
            options().statement_timeout(long),
            "eventcore|7s",
        ),
    ] {
        let isolation = "read committed";
        assert_eq!(
            seen(parameters, options).await,
            format!("{expected}|{isolation}"),
            "{parameters}"
        );
    }
    // Appends need it, so it is not for the URL to say.
    let serializable = "options=-c%20default_transaction_isolation%3Dserializable";
    assert!(
        seen(serializable, options())
            .await
            .ends_with("|read committed")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn time_outs_are_rounded_up_and_never_past_what_the_server_takes() {
    let timeout = |timeout| PostgresOptions::new().statement_timeout(timeout);
    for (given, expected) in [
        (Duration::ZERO, "0"),
        (Duration::from_micros(20_000_001), "20001ms"),
        (Duration::from_nanos(20_000_000_001), "20001ms"),
        (Duration::from_hours(24 * 30), "2147483647ms"),
        (Duration::MAX, "2147483647ms"),
    ] {
        let seen = seen("", timeout(given)).await;
        assert_eq!(
            seen,
            format!("eventcore|{expected}|read committed"),
            "{given:?}"
        );
    }
}

/// How an append ends while the order lock is held.
async fn held_up(
    url: &str,
    database: &TempDatabase<'_>,
    options: PostgresOptions,
) -> StoreErrorKind {
    let mut other = sqlx::PgConnection::connect(&database.url()).await.unwrap();
    let mut other = other.begin().await.unwrap();
    sqlx::query(LOCK_ORDER).execute(&mut *other).await.unwrap();
    let store = PostgresEventStore::connect(url, options).await.unwrap();
    let append = store.append(batch(&[("a", 0)], "1"));
    let ended = tokio::time::timeout(Duration::from_secs(20), append).await;
    match ended
        .unwrap_or_else(|_| panic!("it has no limit"))
        .unwrap_err()
    {
        AppendError::Store(error) => error.kind(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn less_than_a_millisecond_is_a_limit() {
    let database = migrated();
    for short in [Duration::from_nanos(1), Duration::from_micros(999)] {
        let options = PostgresOptions::new().statement_timeout(short);
        let kind = held_up(&database.url(), &database, options).await;
        assert_eq!(kind, StoreErrorKind::Timeout, "{short:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_the_url_is_a_limit() {
    let database = migrated();
    let separator = if database.url().contains('?') {
        '&'
    } else {
        '?'
    };
    let url = format!(
        "{}{separator}options=-c%20statement_timeout%3D300",
        database.url()
    );
    let kind = held_up(&url, &database, PostgresOptions::new()).await;
    assert_eq!(kind, StoreErrorKind::Timeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_makes_a_store_panic_or_fail_to_open() {
    let database = migrated();
    for options in [
        PostgresOptions::new()
            .acquire_timeout(Duration::MAX)
            .queue_timeout(Duration::MAX)
            .statement_timeout(Duration::MAX)
            .max_connections(u32::MAX),
        PostgresOptions::new()
            .max_connections(0)
            .queue(0)
            .kept_folds(0),
    ] {
        PostgresEventStore::migrate(&database.url(), &options)
            .await
            .unwrap();
        let store = PostgresEventStore::connect(&database.url(), options)
            .await
            .unwrap();
        let length = support::log(&store).await.len() as u64;
        store.append(batch(&[("a", length)], "1")).await.unwrap();
        store.close().await;
    }
}
