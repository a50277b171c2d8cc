//! Every wait has an end: for room in a queue, and for a thread that stands still.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

mod support;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eventcore::{
    EventStore, StoredEvent,
    projection::{DocumentKey, Inline, ProjectionStore, ReadModel, UnitOfWork},
    store::{AppendError, AppendReceipt, ReadError, ReadFrom, StoreErrorKind},
};
use eventcore_sqlite::{
    SqliteEventStore, SqliteOptions, SqliteProjections, SqliteProjectionsOptions,
    rusqlite::Connection,
};
use support::{Folder, batch, log, stream, sums::Happened, views, views::key};
use tokio::task::JoinHandle;

const LONG: Duration = Duration::from_mins(2);

fn options(folder: &Folder) -> SqliteOptions {
    SqliteOptions::new(folder.file())
        .busy_timeout(LONG)
        .queue_timeout(Duration::from_millis(100))
}

type Appending = JoinHandle<Result<AppendReceipt, AppendError>>;

fn append(store: &SqliteEventStore, number: usize, bytes: usize) -> Appending {
    let store = store.clone();
    let batch = batch(&[(&format!("s{number}"), 0)], &"x".repeat(bytes));
    tokio::spawn(async move { store.append(batch).await })
}

/// How many were refused because the queue was full, once all have ended.
async fn refused(appending: Vec<Appending>) -> usize {
    let mut refused = 0;
    for append in appending {
        match tokio::time::timeout(LONG, append).await.unwrap().unwrap() {
            Ok(_) => {}
            Err(AppendError::Store(error)) => {
                assert_eq!(error.kind(), StoreErrorKind::Overloaded, "{error}");
                assert!(error.is_retriable());
                let text = error.to_string();
                assert!(
                    text.contains("queue_timeout") && text.contains("queue_bytes"),
                    "{text}"
                );
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    refused
}

#[tokio::test]
async fn a_queue_full_of_bytes_refuses_what_comes_after_some_time() {
    let folder = Folder::new();
    let store = SqliteEventStore::open_with(options(&folder).queue_bytes(1 << 20));
    let store = store.await.unwrap();
    let other = Connection::open(folder.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let appending: Vec<_> = (0..10)
        .map(|number| append(&store, number, 300 << 10))
        .collect();
    // Three have room, whether they wait or are under way. The others end although nothing of the file moves.
    let mut ended = 0;
    while ended < 7 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        ended = appending
            .iter()
            .filter(|append| append.is_finished())
            .count();
    }
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(refused(appending).await, 7);
    assert_eq!(log(&store).await.len(), 3);
    // The room is given back.
    let appending: Vec<_> = (20..30)
        .map(|number| append(&store, number, 10 << 10))
        .collect();
    assert_eq!(refused(appending).await, 0);
}

#[tokio::test]
async fn one_append_that_is_larger_than_the_queue_is_let_through() {
    let folder = Folder::new();
    let store = SqliteEventStore::open_with(options(&folder).queue_bytes(10 << 10));
    let store = store.await.unwrap();
    for number in 0..3 {
        let appending = append(&store, number, 1 << 20);
        assert_eq!(refused(vec![appending]).await, 0);
    }
}

#[tokio::test]
async fn a_queue_full_of_appends_refuses_what_comes_after_some_time() {
    let folder = Folder::new();
    let store = SqliteEventStore::open_with(options(&folder).queue(2));
    let store = store.await.unwrap();
    let other = Connection::open(folder.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let appending: Vec<_> = (0..100).map(|number| append(&store, number, 1)).collect();
    // At least one group is under way, and two wait.
    while !appending.iter().any(JoinHandle::is_finished) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    other.execute_batch("ROLLBACK").unwrap();
    let refused = refused(appending).await;
    assert!((1..=97).contains(&refused), "{refused}");
    assert_eq!(log(&store).await.len(), 100 - refused);
}

/// A file that is not in WAL mode, so that a writer keeps readers out, and its store.
async fn readable(folder: &Folder, options: SqliteOptions) -> (SqliteEventStore, Connection) {
    let store = SqliteEventStore::open(folder.file()).await.unwrap();
    store.append(batch(&[("a", 0)], "x")).await.unwrap();
    store.close().await;
    let other = Connection::open(folder.file()).unwrap();
    other.execute_batch("PRAGMA journal_mode = DELETE").unwrap();
    let options = options.read_only().readers(1).read_in_place(false);
    (SqliteEventStore::open_with(options).await.unwrap(), other)
}

type Reading = JoinHandle<Result<(), ReadError>>;

fn read(store: &SqliteEventStore) -> Reading {
    let store = store.clone();
    tokio::spawn(async move { store.read(&[ReadFrom::start(stream("a"))]).await.map(drop) })
}

#[tokio::test]
async fn a_queue_full_of_reads_refuses_what_comes_after_some_time() {
    let folder = Folder::new();
    let (store, other) = readable(&folder, options(&folder).queue(1)).await;
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let reading: Vec<_> = (0..100).map(|_| read(&store)).collect();
    while !reading.iter().any(JoinHandle::is_finished) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    other.execute_batch("ROLLBACK").unwrap();
    let mut refused = 0;
    for read in reading {
        match tokio::time::timeout(LONG, read).await.unwrap().unwrap() {
            Ok(()) => {}
            Err(ReadError::Store(error)) => {
                assert_eq!(error.kind(), StoreErrorKind::Overloaded, "{error}");
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!((1..100).contains(&refused), "{refused}");
}

#[tokio::test]
async fn a_read_that_gets_no_answer_ends_as_a_time_out() {
    let folder = Folder::new();
    let busy = Duration::from_secs(2);
    let options = SqliteOptions::new(folder.file())
        .busy_timeout(busy)
        .stall_timeout(Duration::from_millis(10));
    let (store, other) = readable(&folder, options).await;
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    // One thread gives each two seconds: those behind would wait for twenty.
    let reading: Vec<_> = (0..10).map(|_| read(&store)).collect();
    let mut timed_out = 0;
    for read in reading {
        let Err(ReadError::Store(error)) = read.await.unwrap() else {
            panic!("the file is locked");
        };
        match error.kind() {
            StoreErrorKind::Busy => {}
            StoreErrorKind::Timeout => {
                assert!(error.to_string().contains("stall_timeout"), "{error}");
                timed_out += 1;
            }
            _ => panic!("{error}"),
        }
    }
    assert!(timed_out > 0);
    other.execute_batch("ROLLBACK").unwrap();
}

/// While it is held, the thread that writes stands still in the model.
static GATE: Mutex<()> = Mutex::new(());

fn gate() -> MutexGuard<'static, ()> {
    GATE.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Gated;

impl ReadModel for Gated {
    type Event = Happened;
    type Document = u64;
    const NAME: &'static str = "gated";

    fn keys(&self, _: &StoredEvent<Happened>) -> impl IntoIterator<Item = DocumentKey> {
        [key("all")]
    }

    fn apply(&self, _: &DocumentKey, sum: &mut Option<u64>, _: &StoredEvent<Happened>) {
        drop(gate());
        *sum.get_or_insert_default() += 1;
    }
}

#[expect(
    clippy::await_holding_lock,
    reason = "it holds up another thread, and this test waits for that"
)]
#[tokio::test]
async fn an_append_whose_thread_stands_still_ends_with_its_outcome_unknown_and_so_does_closing() {
    let folder = Folder::new();
    let options = SqliteOptions::new(folder.file())
        .busy_timeout(Duration::from_millis(10))
        .stall_timeout(Duration::from_millis(1200))
        .inline(Inline::new(Gated).unwrap());
    let store = SqliteEventStore::open_with(options).await.unwrap();
    store.append(batch(&[("a", 0)], "x")).await.unwrap();
    let held = gate();
    let appending = [append(&store, 1, 1), append(&store, 2, 1)];
    for append in appending {
        let error = append.await.unwrap().unwrap_err();
        let AppendError::OutcomeUnknown(cause) = error else {
            panic!("{error}");
        };
        assert_eq!(cause.kind(), StoreErrorKind::Timeout, "{cause}");
        assert!(cause.to_string().contains("stall_timeout"), "{cause}");
    }
    // Reads do not need that thread.
    assert_eq!(log(&store).await.len(), 1);
    tokio::time::timeout(LONG, store.close()).await.unwrap();
    drop(held);
}

#[expect(
    clippy::await_holding_lock,
    reason = "it holds up another thread, and this test waits for that"
)]
#[tokio::test]
async fn a_unit_whose_thread_stands_still_ends_with_an_error_and_so_does_closing() {
    static GATE: Mutex<()> = Mutex::new(());
    let folder = Folder::new();
    let options = SqliteProjectionsOptions::new(folder.file())
        .busy_timeout(Duration::from_millis(10))
        .stall_timeout(Duration::from_millis(1200));
    let store = SqliteProjections::open_with(options).await.unwrap();
    let lease = views::lead(&store).await;
    let mut unit = store.begin(&lease).await.unwrap();
    unit.put(vec![views::change("a", "1")]).await.unwrap();
    // What the thread of the store executes stops here.
    let stop = || {
        if std::thread::current().name() == Some("eventcore-sqlite-projections") {
            drop(GATE.lock());
        }
        false
    };
    unit.connection().progress_handler(1, Some(stop)).unwrap();
    let held = GATE.lock().unwrap();
    let error = unit.commit(views::at(1)).await.unwrap_err().to_string();
    assert!(
        error.contains("stall_timeout") && error.contains("not known"),
        "{error}"
    );
    // The turn is still under way.
    let error = store.renew(&lease).await.unwrap_err().to_string();
    assert!(error.contains("busy"), "{error}");
    tokio::time::timeout(LONG, store.close()).await.unwrap();
    drop(held);
}
