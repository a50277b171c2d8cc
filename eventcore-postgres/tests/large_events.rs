//! Events of a megabyte: memory and time are bounded by bytes, whatever the number of rows.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

mod support;

use std::{net::SocketAddr, process::Command, time::Duration};

use eventcore::{
    EncodedEvent, EventStore, EventType, GlobalPosition, Payload, RecordedEvent, SchemaVersion,
    StreamVersion,
    store::{AppendBatch, EventChunks, EventFilter, Page, PageSize, ReadFrom},
};
use eventcore_postgres::{PostgresEventStore, PostgresOptions};
use eventcore_testing::temp_postgres::TempPostgres;
use support::{migrated, migrated_on, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const MIB: usize = 1 << 20;

/// Appends events of these sizes to a stream, some megabytes at a time.
async fn append(store: &PostgresEventStore, name: &str, sizes: &[usize]) {
    let mut version = 0;
    for sizes in sizes.chunks(8) {
        let mut batch = AppendBatch::builder();
        let at = StreamVersion::try_new(version).unwrap();
        batch.expect(stream(name), at).unwrap();
        for bytes in sizes {
            let event_type = EventType::try_new("test.large").unwrap();
            let payload = format!("\"{}\"", "x".repeat(bytes - 2)).into_bytes();
            let payload = Payload::from(payload);
            let event = EncodedEvent::new(event_type, SchemaVersion::FIRST, payload);
            batch.event(&stream(name), event).unwrap();
            version += 1;
        }
        store.append(batch.build().unwrap()).await.unwrap();
    }
}

fn sizes(events: &[RecordedEvent]) -> Vec<usize> {
    events.iter().map(RecordedEvent::stored_bytes).collect()
}

/// All events of some streams, chunk by chunk; each chunk is within its bound, its last event apart.
async fn read(store: &PostgresEventStore, names: &[&str]) -> Vec<RecordedEvent> {
    let streams: Vec<_> = names
        .iter()
        .map(|name| ReadFrom::start(stream(name)))
        .collect();
    let mut read = store.read(&streams).await.unwrap();
    let mut all = Vec::new();
    while let Some(chunk) = read.events.next_chunk().await.unwrap() {
        let before_last = chunk.len().saturating_sub(1);
        let bytes: usize = sizes(&chunk[..before_last]).iter().sum();
        assert!(bytes < EventChunks::MAX_BYTES, "{:?}", sizes(&chunk));
        all.extend(chunk);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_and_pages_are_bounded_in_bytes_and_leave_nothing_out() {
    let database = migrated();
    let store = support::open(&database).await;
    // Small ones among large ones, at the bounds of what comes with its row and of a chunk.
    let mixed = [
        100,
        1023,
        1024,
        1025,
        2047,
        2048,
        2049,
        4095,
        4096,
        4097,
        16_384,
        20_000,
        MIB,
        50,
        60,
        2 * MIB - 1,
        2 * MIB,
        2 * MIB + 1,
        9 * MIB,
        70,
    ];
    append(&store, "a", &mixed).await;
    append(&store, "b", &[300; 700]).await;
    append(&store, "c", &[5000; 600]).await;
    for names in [&["a"][..], &["a", "b"], &["b", "c"], &["c", "a", "b"]] {
        let found = read(&store, names).await;
        assert!(found.is_sorted_by_key(RecordedEvent::position));
        for name in names {
            let of = found
                .iter()
                .filter(|event| event.stream().as_str() == *name);
            let of: Vec<_> = of.map(RecordedEvent::stored_bytes).collect();
            let expected: &[usize] = match *name {
                "a" => &mixed,
                "b" => &[300; 700],
                _ => &[5000; 600],
            };
            assert_eq!(of, expected, "{name} of {names:?}");
        }
    }
    for limit in [1, 7, 500, 10_000] {
        let limit = PageSize::try_new(limit).unwrap();
        let (mut all, mut after) = (Vec::new(), GlobalPosition::START);
        loop {
            let page = store
                .read_all(after, &EventFilter::all(), limit)
                .await
                .unwrap();
            let before_last = page.events.len().saturating_sub(1);
            let bytes: usize = sizes(&page.events[..before_last]).iter().sum();
            assert!(bytes < Page::MAX_BYTES);
            assert!(page.at_end || page.next > after, "no progress");
            all.extend(page.events);
            after = page.next;
            if page.at_end {
                break;
            }
        }
        support::check_order(&all);
        assert_eq!(all.len(), mixed.len() + 1300);
    }
}

const WORK: &str = "EVENTCORE_TEST_LARGE";

/// A line of `/proc/self/status`, in bytes.
fn status(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let kibibytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes * 1024
}

/// Run again in a process of its own, so that its peak of memory is the reading's alone.
#[tokio::test(flavor = "multi_thread")]
async fn reader() {
    let Ok(work) = std::env::var(WORK) else {
        return;
    };
    let (url, work) = work.split_once('|').unwrap();
    let store = support::connect(url).await;
    read(&store, &["small"]).await;
    let before = status("VmRSS");
    match work {
        "stream" => assert_eq!(count(&store).await, 100),
        "streams" => {
            let reads = (0..8).map(|_| {
                let store = store.clone();
                tokio::spawn(async move { count(&store).await })
            });
            for read in reads.collect::<Vec<_>>() {
                assert_eq!(read.await.unwrap(), 100);
            }
        }
        _ => {
            let limit = PageSize::try_new(500).unwrap();
            let mut after = GlobalPosition::START;
            loop {
                let page = store
                    .read_all(after, &EventFilter::all(), limit)
                    .await
                    .unwrap();
                after = page.next;
                if page.at_end {
                    break;
                }
            }
        }
    }
    println!("peak {}", status("VmHWM").saturating_sub(before) / MIB);
}

/// Reads a stream as a command does: each chunk is dropped before the next one.
async fn count(store: &PostgresEventStore) -> usize {
    let mut read = store
        .read(&[ReadFrom::start(stream("large"))])
        .await
        .unwrap();
    let mut count = 0;
    while let Some(chunk) = read.events.next_chunk().await.unwrap() {
        count += chunk.len();
    }
    count
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn reading_a_hundred_megabytes_takes_less_than_64() {
    let database = migrated();
    let store = support::open(&database).await;
    append(&store, "small", &[100]).await;
    append(&store, "large", &[MIB; 100]).await;
    for work in ["stream", "streams", "log"] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["reader", "--exact", "--nocapture"])
            .env(WORK, format!("{}|{work}", database.url()))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let peak = told
            .split("peak ")
            .nth(1)
            .and_then(|rest| rest.split_whitespace().next());
        let peak: usize = peak
            .unwrap_or_else(|| panic!("{output:?}"))
            .parse()
            .unwrap();
        println!("{work}: {peak} MiB");
        assert!(peak < 64, "{work} took {peak} MiB");
    }
}

/// A line that carries this many bytes in a second from the server.
async fn slow_line(server: SocketAddr, bytes: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (mut from_client, mut to_client) = client.into_split();
            let server = TcpStream::connect(server).await.unwrap();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(async move {
                let mut piece = vec![0; bytes / 100];
                while let Ok(read) = from_server.read(&mut piece).await
                    && read > 0
                    && to_client.write_all(&piece[..read]).await.is_ok()
                {
                    tokio::time::sleep(Duration::from_secs(1).mul_f64(read_part(read, bytes)))
                        .await;
                }
            });
        }
    });
    address
}

#[expect(
    clippy::cast_precision_loss,
    reason = "some kilobytes of some megabytes"
)]
fn read_part(read: usize, bytes: usize) -> f64 {
    read as f64 / bytes as f64
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_many_megabytes_is_read_over_a_slow_line_within_short_statements() {
    let server = TempPostgres::builder().tcp().start().unwrap();
    let database = migrated_on(&server);
    append(&support::open(&database).await, "large", &[MIB; 24]).await;
    let line = slow_line(server.tcp_address().unwrap(), 4 * MIB).await;
    let url = format!("postgresql://postgres@{line}/{}", database.name());
    // All of it would take six seconds, and one row of it a quarter of one.
    let options = PostgresOptions::new().statement_timeout(Duration::from_secs(3));
    let store = PostgresEventStore::connect(&url, options).await.unwrap();
    assert_eq!(read(&store, &["large"]).await.len(), 24);
}
