//! Total order without holes, while writers of all kinds do their worst.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

mod support;

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use eventcore::{
    EventFilter, EventStore, GlobalPosition, RecordedEvent,
    store::{PageSize, ReadFrom},
};
use eventcore_postgres::PostgresEventStore;
use eventcore_testing::temp_postgres::TempDatabase;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use support::{batch, check_order, connect, log, migrated, open, stream};

const WORK: &str = "EVENTCORE_TEST_WRITER";

/// One event to a stream of the writer's own and one to a shared stream, both or none, again and again; `told` hears of
/// each that was acknowledged.
async fn write(store: &PostgresEventStore, name: &str, mut told: impl FnMut(&str) -> bool) {
    let own = format!("own:{name}");
    let mut number = 0;
    loop {
        let streams = [
            ReadFrom::start(stream(&own)),
            ReadFrom::start(stream("shared")),
        ];
        let read = store.read(&streams).await.unwrap();
        let (mine, shared) = (read.versions[0].get(), read.versions[1].get());
        let text = format!("{name}-{number}");
        match store
            .append(batch(&[(&own, mine), ("shared", shared)], &text))
            .await
        {
            Ok(_) => {
                number += 1;
                if !told(&text) {
                    return;
                }
            }
            Err(error) => assert!(error.is_retriable(), "{error}"),
        }
    }
}

/// The work of a process of its own, until it is killed.
#[tokio::test(flavor = "multi_thread")]
async fn writer() {
    let Ok(work) = std::env::var(WORK) else {
        return;
    };
    let (name, url) = work.split_once('|').unwrap();
    let store = connect(url).await;
    let mut out = std::io::stdout();
    write(&store, name, |text| {
        writeln!(out, "acknowledged {text}").is_ok() && out.flush().is_ok()
    })
    .await;
}

fn start(name: &str, url: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["writer", "--exact", "--nocapture"])
        .env(WORK, format!("{name}|{url}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What a killed process was told before its end.
fn kill(mut writer: Child) -> Vec<String> {
    writer.kill().unwrap();
    let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let told = |line: String| Some(line.split_once("acknowledged ")?.1.to_owned());
    let acknowledged = lines.map_while(Result::ok).filter_map(told).collect();
    writer.wait().unwrap();
    acknowledged
}

/// A call of the append function by hand: one event to a stream of its own.
fn call(name: &str) -> String {
    let id = uuid::Uuid::from(eventcore::EventId::generate());
    format!(
        "SELECT eventcore.append_one(
            '{name}', 0, 1, 'test.happened', 1, '{id}', '{{\"text\":\"{name}\"}}', NULL, NULL, NULL,
            gen_random_uuid(), NULL, 0, NULL)"
    )
}

/// How a transaction of somebody else's ends, who holds the order lock for a while.
#[derive(Clone, Copy)]
enum End {
    Commit,
    Rollback,
    Terminated,
    Dropped,
}

/// Transactions that keep everybody waiting, and most of which come to nothing. Gives what was committed.
async fn slow(database: &TempDatabase<'_>, stop: &AtomicBool) -> Vec<String> {
    let mut committed = Vec::new();
    let ends = [End::Rollback, End::Commit, End::Terminated, End::Dropped];
    for (number, end) in ends.into_iter().cycle().enumerate() {
        if stop.load(SeqCst) {
            break;
        }
        let mut connection = PgConnection::connect(&database.url()).await.unwrap();
        let process: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let name = format!("slow:{number}");
        let mut transaction = connection.begin().await.unwrap();
        sqlx::query(AssertSqlSafe(call(&name)))
            .execute(&mut *transaction)
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(fastrand::u64(5..60))).await;
        match end {
            End::Commit => {
                transaction.commit().await.unwrap();
                committed.push(name);
            }
            End::Rollback => transaction.rollback().await.unwrap(),
            End::Terminated => {
                let sql = format!("SELECT pg_terminate_backend({process})");
                tokio::task::block_in_place(|| database.sql(&sql)).unwrap();
                transaction.commit().await.unwrap_err();
            }
            End::Dropped => {
                drop(transaction);
                connection.close_hard().await.unwrap();
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    committed
}

/// Reads on from where it stands until told to stop, and then to the end.
async fn follow(
    store: PostgresEventStore,
    filter: EventFilter,
    stop: Arc<AtomicBool>,
) -> Vec<RecordedEvent> {
    let (mut seen, mut next) = (Vec::new(), GlobalPosition::START);
    let size = PageSize::try_new(7).unwrap();
    loop {
        let last = stop.load(SeqCst);
        let page = store.read_all(next, &filter, size).await.unwrap();
        seen.extend(page.events);
        next = page.next;
        if page.at_end && last {
            return seen;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_follower_sees_every_event_once_and_in_order_whatever_writers_do() {
    let database = migrated();
    let stores = [open(&database).await, open(&database).await];
    let (writers_stop, readers_stop) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let prefix = eventcore::StreamPrefix::category("own").unwrap();
    let followers = [EventFilter::all(), EventFilter::all().prefix(prefix)]
        .map(|filter| tokio::spawn(follow(stores[1].clone(), filter, Arc::clone(&readers_stop))));
    let progress = Arc::<AtomicUsize>::default();
    let tasks: Vec<_> = (0..6)
        .map(|number| {
            let store = stores[number % 2].clone();
            let (stop, progress) = (Arc::clone(&writers_stop), Arc::clone(&progress));
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                let name = format!("task{number}");
                write(&store, &name, |text| {
                    progress.fetch_add(1, SeqCst);
                    acknowledged.push(text.to_owned());
                    !stop.load(SeqCst)
                })
                .await;
                acknowledged
            })
        })
        .collect();

    let begin = Instant::now();
    let kills = async {
        let mut acknowledged = Vec::new();
        for round in 0..4 {
            let names = [format!("process{round}a"), format!("process{round}b")];
            let writers = names.map(|name| start(&name, &database.url()));
            tokio::time::sleep(Duration::from_secs(1)).await;
            for writer in writers {
                acknowledged.extend(tokio::task::block_in_place(|| kill(writer)));
            }
        }
        writers_stop.store(true, SeqCst);
        acknowledged
    };
    let (mut acknowledged, committed) = tokio::join!(kills, slow(&database, &writers_stop));
    let of_processes = acknowledged.len();
    for task in tasks {
        acknowledged.extend(task.await.unwrap());
    }
    readers_stop.store(true, SeqCst);
    let [all, own] = followers;
    let (all, own) = (all.await.unwrap(), own.await.unwrap());

    check_order(&all);
    assert_eq!(all, log(&stores[0]).await, "what was seen is what is there");
    let expected: Vec<_> = all
        .iter()
        .filter(|event| event.stream().as_str().starts_with("own:"))
        .cloned()
        .collect();
    assert_eq!(own, expected, "the filter's reader missed something");

    let mut places: HashMap<String, Vec<u64>> = HashMap::new();
    for event in &all {
        places
            .entry(support::text(event))
            .or_default()
            .push(event.position().get());
    }
    for text in &acknowledged {
        let found = places.remove(text).unwrap_or_default();
        assert!(
            matches!(found[..], [a, b] if a + 1 == b),
            "{text} is at {found:?}"
        );
    }
    for text in &committed {
        assert_eq!(
            places.remove(text).map(|found| found.len()),
            Some(1),
            "{text}"
        );
    }
    // The rest was committed in the moment in which its writer was killed: once, and whole.
    for (text, found) in &places {
        assert!(text.starts_with("process"), "{text} came from nowhere");
        assert!(
            matches!(found[..], [a, b] if a + 1 == b),
            "{text} is at {found:?}"
        );
    }
    assert!(places.len() <= 8, "{places:?}");
    assert!(
        of_processes > 0 && committed.len() > 3,
        "too little happened"
    );
    println!(
        "{} events in {:?}: {of_processes} appends of killed processes, {} of tasks, {} foreign",
        all.len(),
        begin.elapsed(),
        progress.load(SeqCst),
        committed.len(),
    );
}
