//! The application `shop` as its users run it: the binary, its output, its exit codes.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

#[path = "shop/bad_input.rs"]
mod bad_input;
#[path = "shop/command_line.rs"]
mod command_line;
#[path = "shop/read_models.rs"]
mod read_models;
#[path = "shop/resume.rs"]
mod resume;
#[path = "shop/watch.rs"]
mod watch;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

const HEADER: &str = " customer_id  date number_of_cds  dollar_value\r\n";

/// A folder that `shop` runs in, and what it is called with.
struct Shop {
    folder: TempDir,
}

impl Shop {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a file into the folder.
    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path(name), content).unwrap();
        self
    }

    /// The command, with arguments separated by blanks.
    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
        command
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path());
        command
    }

    fn run(&self, arguments: &str) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// A run that succeeds, and what it says to machines.
    fn json(&self, arguments: &str) -> Value {
        let ran = self.run(&format!("{arguments} --json"));
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        ran.json()
    }
}

/// What came of a run.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let ran = Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
        ran
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }

    #[track_caller]
    fn says(&self, text: &str) -> &Self {
        let (out, err) = (&self.out, &self.err);
        assert!(
            out.contains(text) || err.contains(text),
            "no {text:?} in\n{out}\n{err}"
        );
        self
    }
}

/// Where no store may have been made.
#[track_caller]
fn assert_absent(path: &Path) {
    assert!(!path.exists(), "{} was written", path.display());
}

/// Most of the time goes into the big days of the first months, which a build for tests takes its time for.
#[test]
fn all_of_cdnow_in_memory_has_the_totals_that_its_authors_published() {
    let said = Shop::new().json("--store memory");
    let report = &said["report"];
    assert_eq!(report["purchases"], 69_659);
    assert_eq!(report["cds"], 167_881);
    assert_eq!(report["cents"], 250_031_563);
    assert_eq!(report["customers"], 23_570);
    assert_eq!(report["months"].as_array().map(Vec::len), Some(18));
    assert_eq!(said["status"], "complete");
    assert_eq!(said["run"]["refused"], 0);
}

#[test]
fn one_at_a_time_and_many_at_once_come_to_the_same_report() {
    let shop = Shop::new();
    let one = shop.json("--store memory --limit 4000 --concurrency 1");
    let many = shop.json("--store memory --limit 4000 --concurrency 64");
    assert_eq!(one["report"]["purchases"], 4000);
    assert_eq!(one["report"], many["report"]);
}

#[test]
fn commands_that_want_the_same_ledger_do_not_spoil_each_other() {
    let said = Shop::new().json("--store memory --limit 4000 --concurrency 64");
    let attempts = said["run"]["attempts_per_command"].as_f64().unwrap();
    assert!((1.0..1.1).contains(&attempts), "{attempts}");
}

#[test]
fn sqlite_and_memory_come_to_the_same_report() {
    let shop = Shop::new();
    let memory = shop.json("--store memory --limit 500");
    let sqlite = shop.json("--limit 500");
    assert_eq!(memory["report"], sqlite["report"]);
    assert!(shop.path("shop.db").exists(), "the default store");
}

#[test]
fn postgres_and_memory_come_to_the_same_report() {
    let shop = Shop::new();
    let memory = shop.json("--store memory --limit 300");
    let postgres = shop.json("--store postgres --limit 300");
    assert_eq!(memory["report"], postgres["report"]);
}

#[test]
fn the_report_of_a_small_input_is_right_to_the_cent() {
    let shop = Shop::new();
    let lines = "1 19970131 2 60.00\n1 19970401 1 40.50\n2 19970401 3 500.00\n3 19970401 1 0.00\n";
    shop.file("in.txt", [HEADER, lines].concat());
    let said = shop.json("--store memory --input in.txt");
    let report = &said["report"];
    assert_eq!(report["cents"], 60_050);
    assert_eq!(
        (&report["first_day"], &report["last_day"]),
        (&"1997-01-31".into(), &"1997-04-01".into())
    );
    assert_eq!(report["repeat_customers"], 1);
    let months: Vec<_> = report["months"].as_array().unwrap().iter().collect();
    let month = |n: usize, key: &str| months[n][key].clone();
    assert_eq!(months.len(), 4, "months without a sale are shown");
    assert_eq!(month(1, "purchases"), 0);
    assert_eq!(
        (month(3, "month"), month(3, "cents")),
        ("1997-04".into(), 54_050.into())
    );
    assert_eq!(
        (month(3, "customers"), month(3, "new_customers")),
        (3.into(), 2.into())
    );
    let tiers: Vec<_> = (0..3)
        .map(|n| {
            (
                &report["tiers"][n]["tier"],
                &report["tiers"][n]["customers"],
            )
        })
        .collect();
    assert_eq!(
        tiers,
        [
            (&"regular".into(), &1.into()),
            (&"silver".into(), &1.into()),
            (&"gold".into(), &1.into())
        ]
    );
    assert_eq!(report["top_customers"][0]["customer"], "00002");
}

#[test]
fn the_page_for_people_shows_months_customers_and_the_check() {
    let ran = Shop::new().run("--store memory --limit 300");
    assert_eq!(ran.code, Some(0));
    ran.says("Revenue per month")
        .says("  1997-01  $10,738.44        300        294    294  ####")
        .says("came back on a later day")
        .says("Top customers")
        .says("[ok] 300 purchases")
        .says("attempts per command");
    assert!(
        ran.out.is_ascii() && !ran.out.contains('\x1b'),
        "a pipe gets plain ASCII"
    );
}

#[test]
fn two_lines_that_are_alike_are_two_purchases() {
    let shop = Shop::new();
    shop.file("in.txt", "7 19970101 1 5.00\n7 19970101 1 5.00\n");
    let said = shop.json("--store memory --input in.txt");
    assert_eq!(said["report"]["purchases"], 2);
    assert_eq!(said["report"]["top_customers"][0]["cents"], 1_000);
}

#[test]
fn what_the_rules_refuse_is_counted_and_the_rest_goes_in() {
    let shop = Shop::new();
    shop.file(
        "in.txt",
        "1 19970101 100 9.00\n1 19970101 1 1.00\n2 19970101 1 10000.01\n1 19970102 1 1.00\n",
    );
    let first = shop.json("--input in.txt");
    assert_eq!(first["run"]["refused"], 2);
    assert_eq!(
        first["run"]["first_refused"],
        serde_json::json!([
            "line 2: 1 CDs and the 100 bought on the same day are more than 100",
            "line 3: $10,000.01 is more than a purchase may cost, $10,000.00"
        ])
    );
    assert_eq!(first["report"]["purchases"], 2);
    let again = shop.json("--input in.txt");
    assert_eq!(
        (&again["run"]["refused"], &again["run"]["recorded"]),
        (&2.into(), &0.into()),
        "refused again"
    );
    assert_eq!(again["report"], first["report"]);
}
