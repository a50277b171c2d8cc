//! Inline read models over connections that break and stall at every moment of an append.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

mod support;

use std::{collections::BTreeMap, path::PathBuf, sync::OnceLock, time::Duration};

use eventcore::{
    DecodeFailure, EncodeError, EncodedEvent, Event, EventStore, EventType, StoredEvent,
    projection::{DocumentKey, DocumentQuery, Inline, ProjectionStore, ReadModel},
    store::{AppendBatch, AppendError, AppendReceipt},
};
use eventcore_postgres::{PostgresEventStore, PostgresOptions, PostgresProjections};
use eventcore_testing::{
    fault_proxy::{Fault, FaultProxy, Gate, ReplyEnd, Upstream, When},
    temp_postgres::{TempDatabase, TempPostgres},
};
use support::{batch, event, log, migrated_on};

/// Whatever happened.
struct Happened;

impl Event for Happened {
    fn encode(&self) -> Result<EncodedEvent, EncodeError> {
        Ok(event("x"))
    }

    fn decode(stored: &EncodedEvent) -> Result<Option<Self>, DecodeFailure> {
        Ok((stored.event_type().as_str() == "test.happened").then_some(Self))
    }

    fn stored_types() -> Vec<EventType> {
        vec![EventType::try_new("test.happened").unwrap()]
    }
}

/// How many events there are, for each stream and for all.
struct Sums;

impl ReadModel for Sums {
    type Event = Happened;
    type Document = u64;
    const NAME: &'static str = "sums";

    fn keys(&self, event: &StoredEvent<Happened>) -> impl IntoIterator<Item = DocumentKey> {
        [event.stream().into(), DocumentKey::try_new("all").unwrap()]
    }

    fn apply(&self, _: &DocumentKey, sum: &mut Option<u64>, _: &StoredEvent<Happened>) {
        *sum.get_or_insert_default() += 1;
    }
}

struct World {
    /// Over the proxy.
    store: PostgresEventStore,
    /// Not over the proxy, and with the model as well.
    direct: PostgresEventStore,
    views: PostgresProjections,
    proxy: FaultProxy,
    // Last, so that it is dropped after those who use it.
    _database: TempDatabase<'static>,
}

fn server() -> &'static TempPostgres {
    static SERVER: OnceLock<TempPostgres> = OnceLock::new();
    SERVER.get_or_init(|| TempPostgres::builder().tcp().start().unwrap())
}

fn upstream(server: &TempPostgres) -> Upstream {
    if let Some(address) = server.tcp_address() {
        return address.into();
    }
    let files = std::fs::read_dir(server.folder().unwrap()).unwrap();
    let mut paths = files.map(|file| file.unwrap().path());
    let is_socket = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with(".s.PGSQL.") && !name.ends_with(".lock")
    };
    paths.find(is_socket).unwrap().into()
}

impl World {
    async fn new() -> Self {
        let database = migrated_on(server());
        let proxy = FaultProxy::start_with(upstream(server()), ReplyEnd::POSTGRES)
            .await
            .unwrap();
        let options = PostgresOptions::new()
            .acquire_timeout(Duration::from_millis(500))
            .statement_timeout(Duration::from_secs(2))
            // A fault is meant for the append, and not for what tells others of it.
            .wakeups(false);
        let (address, name) = (proxy.address(), database.name().to_owned());
        let url = format!("postgres://postgres@{address}/{name}");
        let inline = options.clone().inline(Inline::new(Sums).unwrap());
        let patient = inline.clone().statement_timeout(Duration::from_secs(20));
        let direct = PostgresEventStore::connect(&database.url(), patient)
            .await
            .unwrap();
        let world = Self {
            store: PostgresEventStore::connect(&url, inline).await.unwrap(),
            views: direct.projections(),
            direct,
            proxy,
            _database: database,
        };
        // From here on the connection that appends is there, and its statements are prepared.
        for version in 0..2 {
            world
                .store
                .append(batch(&[("warm", version)], "x"))
                .await
                .unwrap();
        }
        world
    }

    /// That the documents are the fold of the log; how many events it has.
    async fn check(&self) -> usize {
        let mut expected = BTreeMap::new();
        let events = log(&self.direct).await;
        for event in &events {
            for key in [event.stream().as_str(), "all"] {
                *expected.entry(key.to_owned()).or_insert(0_u64) += 1;
            }
        }
        let query = DocumentQuery::all().page(0, 10_000).unwrap();
        let found = self
            .views
            .query(&"sums".parse().unwrap(), &query)
            .await
            .unwrap();
        let sum = |body: &str| body.parse::<u64>().unwrap();
        let found = found
            .into_iter()
            .map(|raw| (raw.key.to_string(), sum(&raw.body)));
        assert_eq!(found.collect::<BTreeMap<_, _>>(), expected);
        events.len()
    }
}

fn known_not_done(verdict: Result<AppendReceipt, AppendError>, moment: u64) {
    match verdict {
        Err(AppendError::Store(error)) if error.is_retriable() => {}
        other => panic!("request {moment}: nothing was done, and that is known; got {other:?}"),
    }
}

/// Appends, and asks again as long as that may help.
async fn settle(store: &PostgresEventStore, batch: &AppendBatch) -> AppendReceipt {
    loop {
        match store.append(batch.clone()).await {
            Ok(receipt) => return receipt,
            Err(AppendError::OutcomeUnknown(_)) => {}
            Err(error) if error.is_retriable() && !error.is_conflict() => {}
            Err(error) => panic!("{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_takes_five_round_trips() {
    let world = World::new().await;
    let before = world.proxy.counts().requests.bursts;
    world.store.append(batch(&[("a", 0)], "x")).await.unwrap();
    assert_eq!(world.proxy.counts().requests.bursts - before, 5);
    assert_eq!(world.check().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_ends_before_the_commit_has_done_nothing() {
    for fault in [Fault::Close, Fault::SwallowReply] {
        let world = World::new().await;
        for moment in 1..=4 {
            let armed = world.proxy.arm(When::request().nth(moment), fault.clone());
            let late = batch(&[("a", moment - 1)], "x");
            known_not_done(world.store.append(late.clone()).await, moment);
            assert_eq!(armed.times(), 1);
            // The server notices before it lets the next one have the lock.
            let receipt = settle(&world.store, &late).await;
            assert!(!receipt.replayed, "request {moment}");
            assert_eq!(u64::try_from(world.check().await).unwrap(), 2 + moment);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_the_commit_is_settled_by_the_key() {
    let world = World::new().await;
    for (version, fault, committed) in [(0, Fault::SwallowReply, true), (1, Fault::Close, false)] {
        let armed = world
            .proxy
            .arm(When::request().containing("COMMIT\0"), fault);
        let batch = batch(&[("a", version)], "x");
        match world.store.append(batch.clone()).await {
            Err(AppendError::OutcomeUnknown(_)) => {}
            other => panic!("nobody can know; got {other:?}"),
        }
        assert_eq!(armed.times(), 1);
        assert_eq!(settle(&world.store, &batch).await.replayed, committed);
    }
    assert_eq!(world.check().await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stands_still_with_the_order_lock_loses_it() {
    let world = World::new().await;
    // It has appended and hears nothing more of the world.
    let gate = Gate::new();
    let held = world
        .proxy
        .arm(When::request().nth(3), Fault::Hold(gate.clone()));
    let (standing, ()) = tokio::join!(world.store.append(batch(&[("a", 0)], "x")), async {
        held.struck().await;
        world.direct.append(batch(&[("b", 0)], "x")).await.unwrap();
        gate.open();
    });
    known_not_done(standing, 3);
    assert_eq!(world.check().await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn events_and_documents_stay_in_step_whatever_breaks() {
    const WRITERS: u64 = 6;
    const ROUNDS: u64 = 40;
    let world = std::sync::Arc::new(World::new().await);
    let faults = [
        Fault::Close,
        Fault::SwallowReply,
        Fault::Delay(Duration::from_millis(5)),
    ];
    let armed = world
        .proxy
        .at_random(When::request(), fastrand::u64(..), 12, faults);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let world = std::sync::Arc::clone(&world);
            tokio::spawn(async move {
                for round in 0..ROUNDS {
                    let store = if writer == 0 {
                        &world.direct
                    } else {
                        &world.store
                    };
                    settle(store, &batch(&[(&format!("w:{writer}"), round)], "x")).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(
        armed.times() > 5,
        "hardly anything broke: {}",
        armed.times()
    );
    armed.disarm();
    assert_eq!(world.check().await as u64, 2 + WRITERS * ROUNDS);
}
