//! A server that goes away and comes back while commands are under way.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by a panic"
)]

mod support;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use eventcore::prelude::*;
use eventcore_postgres::PostgresEventStore;
use eventcore_testing::temp_postgres::TempPostgres;
use support::{log, migrated_on, open};

#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(prefix = "note")]
enum NoteEvent {
    Written { text: String },
}

#[derive(Default, Clone)]
struct Notes;

impl Fold for Notes {
    type Event = NoteEvent;
    fn apply(&mut self, _: &StoredEvent<NoteEvent>) {}
}

/// One note into two streams, both or none.
#[derive(Command, Serialize)]
struct Write {
    #[stream(fold = Notes)]
    own: StreamId,
    #[stream(fold = Notes)]
    shared: StreamId,
    text: String,
}

impl CommandLogic for Write {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        let text = &self.text;
        emit!(events, streams.own => NoteEvent::Written { text: text.clone() });
        emit!(events, streams.shared => NoteEvent::Written { text: text.clone() });
        Ok(())
    }
}

/// Writes note after note until told to stop, each under a key of its own, and tells the ledger what was acknowledged.
/// What ends as an error is asked for again with the same key, as an application would.
async fn write(
    store: PostgresEventStore,
    name: String,
    stop: Arc<AtomicBool>,
    ledger: Arc<Mutex<Vec<String>>>,
) {
    let mut number = 0;
    while !stop.load(SeqCst) {
        number += 1;
        let text = format!("{name}-{number}");
        let key = IdempotencyKey::generate();
        loop {
            let command = Write {
                own: support::stream(&format!("own:{name}")),
                shared: support::stream(&format!("shared:{}", number % 4)),
                text: text.clone(),
            };
            match execute(command, &store).idempotency_key(key.clone()).await {
                Ok(_) => break,
                Err(error) => {
                    let known = error.is_retriable()
                        || matches!(error, CommandError::OutcomeUnknown { .. });
                    assert!(known, "{error:?}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        ledger.lock().unwrap().push(text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_is_there_once_whenever_the_server_dies() {
    let server = TempPostgres::builder().start().unwrap();
    let database = migrated_on(&server);
    let store = open(&database).await;
    let (stop, ledger) = (
        Arc::<AtomicBool>::default(),
        Arc::<Mutex<Vec<String>>>::default(),
    );
    let writers: Vec<_> = (0..8)
        .map(|number| {
            let (stop, ledger) = (Arc::clone(&stop), Arc::clone(&ledger));
            tokio::spawn(write(store.clone(), number.to_string(), stop, ledger))
        })
        .collect();
    let acknowledged = || ledger.lock().unwrap().len();
    let ends: [fn(&TempPostgres) -> _; 4] = [
        TempPostgres::kill,
        TempPostgres::stop,
        TempPostgres::kill,
        TempPostgres::kill,
    ];
    for end in ends {
        let before = acknowledged();
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert!(
            acknowledged() > before,
            "the store works again without being reopened"
        );
        tokio::task::block_in_place(|| end(&server).and_then(|()| server.start())).unwrap();
    }
    let before = acknowledged();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    stop.store(true, SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    let ledger = ledger.lock().unwrap().clone();
    assert!(ledger.len() > before);

    let mut found: HashMap<String, Vec<u64>> = HashMap::new();
    for event in log(&store).await {
        found
            .entry(support::text(&event))
            .or_default()
            .push(event.position().get());
    }
    assert_eq!(
        found.len(),
        ledger.len(),
        "every note of the log was acknowledged in the end"
    );
    for text in &ledger {
        let positions = found.get(text).map_or(&[][..], Vec::as_slice);
        assert!(
            matches!(positions, [own, shared] if own + 1 == *shared),
            "note {text} is at {positions:?}"
        );
    }
    println!("{} notes, 4 ends of the server", ledger.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_ended_one_by_one_cost_nothing_but_time() {
    let server = TempPostgres::builder().start().unwrap();
    let database = migrated_on(&server);
    let store = open(&database).await;
    let (stop, ledger) = (
        Arc::<AtomicBool>::default(),
        Arc::<Mutex<Vec<String>>>::default(),
    );
    let arguments = (Arc::clone(&stop), Arc::clone(&ledger));
    let writer = tokio::spawn(write(
        store.clone(),
        "w".to_owned(),
        arguments.0,
        arguments.1,
    ));
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(60)).await;
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE application_name = 'eventcore'";
        tokio::task::block_in_place(|| database.sql(end)).unwrap();
    }
    stop.store(true, SeqCst);
    writer.await.unwrap();
    let ledger = ledger.lock().unwrap().clone();
    let texts: Vec<String> = log(&store).await.iter().map(support::text).collect();
    let twice: Vec<String> = ledger.iter().flat_map(|t| [t.clone(), t.clone()]).collect();
    assert_eq!(texts, twice);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_finds_the_server_gone_finds_it_back() {
    let server = TempPostgres::builder().start().unwrap();
    let database = migrated_on(&server);
    let store = open(&database).await;
    store
        .append(support::batch(&[("a", 0)], "1"))
        .await
        .unwrap();
    // Several connections that the pool will offer again.
    let reading = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { log(&store).await.len() })
    });
    for read in reading.collect::<Vec<_>>() {
        assert_eq!(read.await.unwrap(), 1);
    }
    tokio::task::block_in_place(|| server.restart()).unwrap();
    let mut errors = 0;
    let page = loop {
        let size = eventcore::store::PageSize::try_new(10).unwrap();
        let after = eventcore::GlobalPosition::START;
        match store
            .read_all(after, &eventcore::EventFilter::all(), size)
            .await
        {
            Ok(page) => break page,
            Err(error) => {
                assert!(error.is_retriable(), "{error}");
                errors += 1;
            }
        }
    };
    assert_eq!(page.events.len(), 1);
    assert!(errors <= 1, "each old connection cost an error: {errors}");
}

/// Counts how often it decides.
#[derive(Command)]
struct Counted {
    #[stream(fold = Notes)]
    own: StreamId,
    decisions: Arc<AtomicUsize>,
}

impl CommandLogic for Counted {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        self.decisions.fetch_add(1, SeqCst);
        let text = "counted".to_owned();
        emit!(events, streams.own => NoteEvent::Written { text });
        Ok(())
    }
}

/// A commit that is made and not told: the server waits for a standby that does not exist, and then something happens.
async fn committed_and_not_told(happens: impl FnOnce(&TempPostgres)) {
    let server = TempPostgres::builder().start().unwrap();
    let database = migrated_on(&server);
    let store = open(&database).await;
    let set = |sql: &str| tokio::task::block_in_place(|| database.sql(sql)).unwrap();
    set("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    set("SELECT pg_reload_conf()");
    let decisions = Arc::<AtomicUsize>::default();
    let command = Counted {
        own: support::stream("a"),
        decisions: Arc::clone(&decisions),
    };
    let running = tokio::spawn({
        let store = store.clone();
        let patient = RetryPolicy::exponential().max_attempts(1000);
        async move { execute(command, &store).retry(patient).await }
    });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    while set(waits) != "1" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!running.is_finished());
    set("ALTER SYSTEM RESET synchronous_standby_names");
    tokio::task::block_in_place(|| happens(&server));
    let receipt = running.await.unwrap().unwrap();
    assert_eq!(receipt.events.len(), 1);
    assert_eq!(
        decisions.load(SeqCst),
        1,
        "what was done need not be decided again"
    );
    assert_eq!(log(&store).await.len(), 1, "a command took effect twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_died_with_the_server_is_found_again() {
    committed_and_not_told(|server| {
        server.kill().unwrap();
        server.start().unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_session_was_ended_before_the_answer_is_found_again() {
    committed_and_not_told(|server| {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE wait_event = 'SyncRep'";
        server.sql("postgres", end).unwrap();
        // Only now does the server stop waiting for the standby.
        server.sql("postgres", "SELECT pg_reload_conf()").unwrap();
    })
    .await;
}
