//! What several tests need: databases with the schema in them, batches, and the log.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

use eventcore::{
    EncodedEvent, EventStore, EventType, GlobalPosition, IdempotencyKey, Payload, RecordedEvent,
    SchemaVersion, StreamId, StreamVersion,
    store::{AppendBatch, EventFilter, Idempotency, PageSize},
};
use eventcore_postgres::{PostgresEventStore, PostgresOptions};
use eventcore_testing::temp_postgres::{TempDatabase, TempPostgres, TempPostgresError};
use sqlx::{PgPool, postgres::PgPoolOptions};

/// Takes the order lock until the transaction ends; only the owner may.
pub const LOCK_ORDER: &str = "LOCK TABLE eventcore.append_order IN SHARE UPDATE EXCLUSIVE MODE";

/// How many wait for it.
pub const WAIT_FOR_ORDER: &str = "SELECT count(*) FROM pg_locks WHERE NOT granted
    AND relation = 'eventcore.append_order'::regclass
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// A database of the shared server, with the schema in it.
pub fn migrated() -> TempDatabase<'static> {
    migrated_on(TempPostgres::shared().unwrap_or_else(|error| panic!("{error}")))
}

/// A database of this server, with the schema in it.
pub fn migrated_on(server: &TempPostgres) -> TempDatabase<'_> {
    let migrate = |url: &str| {
        migrate(url);
        Ok::<(), TempPostgresError>(())
    };
    let template = server.template("eventcore", migrate).unwrap();
    server.database_from(&template).unwrap()
}

/// From a thread of its own, since tests are in a runtime already.
fn migrate(url: &str) {
    let migrating = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let options = PostgresOptions::new();
        let migrated = PostgresEventStore::migrate(url, &options);
        runtime.unwrap().block_on(migrated).unwrap();
    };
    std::thread::scope(|scope| scope.spawn(migrating).join().unwrap());
}

pub async fn open(database: &TempDatabase<'_>) -> PostgresEventStore {
    connect(&database.url()).await
}

pub async fn connect(url: &str) -> PostgresEventStore {
    PostgresEventStore::connect(url, PostgresOptions::new())
        .await
        .unwrap()
}

/// A pool of the application's, as sqlx makes it if not told otherwise.
pub async fn pool(url: &str, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .connect(url)
        .await
        .unwrap()
}

pub fn stream(name: &str) -> StreamId {
    StreamId::try_new(name).unwrap()
}

pub fn event(text: &str) -> EncodedEvent {
    let event_type = EventType::try_new("test.happened").unwrap();
    let payload = Payload::from(format!("{{\"text\":{text:?}}}").into_bytes());
    EncodedEvent::new(event_type, SchemaVersion::FIRST, payload)
}

/// One event for each stream, at the versions given, under a key of its own.
pub fn batch(streams: &[(&str, u64)], text: &str) -> AppendBatch {
    let mut batch = AppendBatch::builder();
    for (name, version) in streams {
        let version = StreamVersion::try_new(*version).unwrap();
        batch.expect(stream(name), version).unwrap();
        batch.event(&stream(name), event(text)).unwrap();
    }
    batch.idempotency(Idempotency {
        key: IdempotencyKey::generate(),
        fingerprint: uuid::Uuid::nil(),
    });
    batch.build().unwrap()
}

/// The text of such an event.
pub fn text(event: &RecordedEvent) -> String {
    let payload = std::str::from_utf8(event.encoded().payload().as_bytes()).unwrap();
    payload.split('"').nth(3).unwrap().to_owned()
}

/// The whole log, which is checked to be dense and in stream order.
pub async fn log(store: &impl EventStore) -> Vec<RecordedEvent> {
    let (mut events, mut next) = (Vec::new(), GlobalPosition::START);
    loop {
        let size = PageSize::try_new(1000).unwrap();
        let mut tries = 0;
        let page = loop {
            // A connection that a test has broken costs an error that says so: it is worth another try.
            match store.read_all(next, &EventFilter::all(), size).await {
                Ok(page) => break page,
                Err(error) if error.is_retriable() && tries < 5 => tries += 1,
                Err(error) => panic!("{error}"),
            }
        };
        events.extend(page.events);
        next = page.next;
        if page.at_end {
            check_order(&events);
            return events;
        }
    }
}

/// Positions 1, 2, 3 and so on; the same for the versions of each stream.
pub fn check_order(events: &[RecordedEvent]) {
    let mut versions = std::collections::HashMap::<StreamId, u64>::new();
    for (position, event) in (1..).zip(events) {
        assert_eq!(
            event.position().get(),
            position,
            "a hole or a doubled event"
        );
        let version = versions.entry(event.stream().clone()).or_default();
        *version += 1;
        assert_eq!(event.version().get(), *version, "of {}", event.stream());
    }
}
