//! Runs that are repeated, killed, stopped, or for another input.

use std::{
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use eventcore::{EventFilter, EventStore, GlobalPosition, store::PageSize};
use eventcore_examples::shop::LedgerEvent;
use eventcore_sqlite::SqliteEventStore;

use super::{Ran, Shop, assert_absent};

const LIMIT: u64 = 2500;

/// Starts a replay and waits until the store has this many sales.
pub(super) fn start_and_wait(shop: &Shop, arguments: &str, sales: u64) -> Child {
    let mut child = shop
        .command(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while sales_in(&shop.path("shop.db")) < sales {
        assert!(begun.elapsed() < Duration::from_mins(1), "no {sales} sales");
        assert!(
            child.try_wait().unwrap().is_none(),
            "ended before {sales} sales"
        );
        thread::sleep(Duration::from_millis(10));
    }
    child
}

/// Counts the sales in a store, while another process writes to it.
pub(super) fn sales_in(path: &Path) -> u64 {
    if !path.exists() {
        return 0;
    }
    let count = async {
        let store = SqliteEventStore::open(path).await.ok()?;
        let filter = EventFilter::all().events::<LedgerEvent>();
        let size = PageSize::try_from(1000).ok()?;
        let (mut after, mut sales) = (GlobalPosition::START, 0);
        loop {
            let page = store.read_all(after, &filter, size).await.ok()?;
            sales += page.events.len() as u64;
            after = page.next;
            if page.at_end {
                store.close().await;
                return Some(sales);
            }
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // Not there yet, or just being made.
    runtime.block_on(count).unwrap_or(0)
}

#[test]
fn running_again_records_nothing_and_reports_the_same() {
    let shop = Shop::new();
    let first = shop.json("--limit 300");
    assert_eq!(first["run"]["recorded"], 300);
    let again = shop.json("--limit 300");
    assert_eq!(again["run"]["recorded"], 0);
    assert_eq!(again["run"]["already_there"], 300);
    assert_eq!(again["report"], first["report"]);
    shop.run("--limit 300")
        .says("all is there")
        .says("nothing doubled");
}

#[test]
fn a_longer_run_goes_on_where_a_shorter_one_ended() {
    let shop = Shop::new();
    shop.json("--limit 200");
    let longer = shop.json("--limit 300");
    assert_eq!(longer["run"]["recorded"], 100);
    assert_eq!(longer["report"]["purchases"], 300);
    let shorter = shop.json("--limit 100");
    assert_eq!(shorter["run"]["recorded"], 0);
    assert_eq!(
        shorter["report"]["purchases"], 300,
        "what is stored is reported"
    );
}

#[test]
fn killed_again_and_again_it_ends_at_the_same_report() {
    let shop = Shop::new();
    let run = format!("--limit {LIMIT}");
    for sales in [1, 400, 800, 1200, 1600] {
        let mut child = start_and_wait(&shop, &run, sales);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let end = shop.json(&run);
    assert!(end["run"]["already_there"].as_u64() >= Some(1600));
    let never_killed = shop.json(&format!("{run} --store memory"));
    assert_eq!(end["report"], never_killed["report"]);
}

#[cfg(unix)]
#[test]
fn ctrl_c_finishes_what_is_on_its_way_and_says_how_to_go_on() {
    let shop = Shop::new();
    let run = format!("--limit {LIMIT}");
    let child = start_and_wait(&shop, &format!("{run} --json"), 50);
    let kill = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{}", ran.err);
    ran.says("run the same command again to go on");
    let said = ran.json();
    assert_eq!(said["status"], "interrupted");
    assert_eq!(said["check"]["ok"], true);
    assert_eq!(said["report"]["purchases"], said["run"]["recorded"]);
    assert_eq!(
        sales_in(&shop.path("shop.db")),
        said["run"]["recorded"].as_u64().unwrap()
    );
    let end = shop.json(&run);
    assert_eq!(end["report"]["purchases"], LIMIT);
}

#[test]
fn two_processes_at_once_record_every_purchase_once() {
    let shop = Shop::new();
    let run = "--limit 600 --json";
    let start = || {
        shop.command(run)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let both = [start(), start()].map(|child| Ran::of(child.wait_with_output().unwrap()));
    for ran in &both {
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert_eq!(ran.json()["report"]["purchases"], 600);
    }
    let recorded = both
        .each_ref()
        .map(|ran| ran.json()["run"]["recorded"].as_u64().unwrap());
    assert_eq!(recorded.iter().sum::<u64>(), 600, "{recorded:?}");
}

#[test]
fn a_store_of_another_input_is_refused_and_stays_as_it_is() {
    let shop = Shop::new();
    shop.file("one.txt", "1 19970101 1 1.00\n")
        .file("two.txt", "2 19970101 1 1.00\n");
    let one = shop.json("--input one.txt");
    let ran = shop.run("--input two.txt");
    assert_eq!(ran.code, Some(1));
    ran.says("holds the purchases of another input")
        .says("Nothing was written");
    assert_eq!(shop.json("--input one.txt")["report"], one["report"]);
    assert_absent(&shop.path("memory"));
}
