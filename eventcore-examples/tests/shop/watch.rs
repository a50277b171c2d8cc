//! `shop watch`, beside another process that replays.

use std::process::{Child, Stdio};

use eventcore_testing::temp_postgres::TempPostgres;
use serde_json::Value;

use super::{
    Ran, Shop,
    resume::{sales_in, start_and_wait},
};

const LIMIT: u64 = 2500;

fn start(shop: &Shop, arguments: &str) -> Child {
    let mut command = shop.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn end(child: Child) -> Ran {
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    ran
}

/// What a watch said, line by line.
fn readings(ran: &Ran) -> Vec<Value> {
    let lines = ran.out.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

#[track_caller]
fn assert_moved_to(readings: &[Value], report: &Value) {
    let purchases: Vec<u64> = readings
        .iter()
        .map(|reading| reading["purchases"].as_u64().unwrap())
        .collect();
    assert!(purchases.is_sorted(), "{purchases:?}");
    let between = purchases.iter().filter(|p| (1..LIMIT).contains(p)).count();
    assert!(between >= 2, "did not move: {purchases:?}");
    let last = readings.last().unwrap();
    for field in ["purchases", "cds", "cents", "customers"] {
        assert_eq!(last[field], report[field], "{field}");
    }
    assert_eq!(last["lag"], 0);
}

#[test]
fn a_watch_sees_the_replay_of_another_process_and_ends_at_its_totals() {
    let shop = Shop::new();
    let replay = start_and_wait(&shop, &format!("--limit {LIMIT} --json"), 1);
    let watch = start(&shop, "watch --json --until-idle 3");
    let replayed = end(replay).json();
    assert_eq!(replayed["read_models"]["ok"], true);
    assert_moved_to(&readings(&end(watch)), &replayed["report"]);
}

#[test]
fn on_postgres_too() {
    let server = TempPostgres::shared().unwrap();
    let database = server.database().unwrap();
    let store = format!("--store {}", database.url());
    let shop = Shop::new();
    // The watch comes first, and leads: the replay's own read models stand by.
    shop.json(&format!("{store} --limit 1"));
    let watch = start(&shop, &format!("watch {store} --json --until-idle 5"));
    let replay = start(&shop, &format!("{store} --limit {LIMIT} --json"));
    let replayed = end(replay).json();
    assert_eq!(replayed["read_models"]["ok"], true);
    assert_moved_to(&readings(&end(watch)), &replayed["report"]);
}

#[test]
fn when_the_replay_is_killed_the_watch_takes_the_read_models_over() {
    let shop = Shop::new();
    let mut replay = start_and_wait(&shop, &format!("--limit {LIMIT}"), 300);
    let watch = start(&shop, "watch --json --until-idle 4");
    replay.kill().unwrap();
    replay.wait().unwrap();
    let readings = readings(&end(watch));
    let last = readings.last().unwrap();
    assert_eq!(last["purchases"], sales_in(&shop.path("shop.db")));
    assert_eq!(last["lag"], 0);
}

#[test]
fn a_watch_shows_a_rebuild() {
    let shop = Shop::new();
    let run = shop.json("--limit 300");
    let watched = shop.run("watch --rebuild --json --until-idle 0.5");
    let last = readings(&watched).pop().unwrap();
    assert_eq!(last["cents"], run["report"]["cents"]);
    assert_eq!(last["position"], run["read_models"]["position"]);
}

#[test]
fn a_watch_of_what_does_not_move_says_one_line_and_ends_in_time() {
    let shop = Shop::new();
    shop.json("--limit 50");
    let ran = shop.run("watch --for 0.5");
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(ran.out.lines().count(), 1, "{}", ran.out);
    ran.says("  lag      0  ")
        .says("  50 purchases  ")
        .says("  50 customers  ");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_watch_and_is_no_failure() {
    let shop = Shop::new();
    shop.json("--limit 50");
    let mut watch = start(&shop, "watch --json");
    // Its first line says that it listens.
    let mut line = String::new();
    let mut out = std::io::BufReader::new(watch.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let kill = std::process::Command::new("kill")
        .args(["-INT", &watch.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    end(watch);
}
