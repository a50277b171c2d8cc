//! The read models: what they report, what they read for it, and what becomes of those that do not fit the log.

use std::fs;

use eventcore_sqlite::rusqlite::Connection;
use eventcore_testing::temp_postgres::TempPostgres;

use super::{Shop, assert_absent};

/// Changes something behind the shop's back.
fn tamper(shop: &Shop, file: &str, sql: &str) {
    let connection = Connection::open(shop.path(file)).unwrap();
    connection.execute_batch(sql).unwrap();
}

/// Deletes the log, and leaves the read models.
fn delete_the_log(shop: &Shop) {
    for name in ["shop.db", "shop.db-wal", "shop.db-shm"] {
        let _ = fs::remove_file(shop.path(name));
    }
}

#[test]
fn in_every_store_the_read_models_say_what_the_log_says() {
    let shop = Shop::new();
    for store in ["memory", "sqlite:shop.db", "postgres"] {
        let said = shop.json(&format!("--store {store} --limit 300"));
        let read_models = &said["read_models"];
        assert_eq!(read_models["ok"], true, "{store}");
        assert_eq!(read_models["differences"], 0, "{store}");
        assert!(read_models["position"].as_u64() > Some(600), "{store}");
    }
}

#[test]
fn a_report_afterwards_says_what_the_run_said_and_finds_nothing_new() {
    let shop = Shop::new();
    let run = shop.json("--limit 300");
    let report = shop.json("report");
    assert_eq!(report["report"], run["report"]);
    assert_eq!(report["new_events"], 0);
    assert_eq!(
        report["read_models"]["position"],
        run["read_models"]["position"]
    );
    assert_eq!(
        report["read_models"]["ok"],
        serde_json::Value::Null,
        "not asked"
    );
    assert_eq!(shop.json("report --check")["read_models"]["ok"], true);
}

#[test]
fn a_report_on_postgres_says_what_the_run_said() {
    let server = TempPostgres::shared().unwrap();
    let database = server.database().unwrap();
    let store = format!("--store {}", database.url());
    let shop = Shop::new();
    let run = shop.json(&format!("{store} --limit 300"));
    let report = shop.json(&format!("report {store} --check"));
    assert_eq!(report["report"], run["report"]);
    assert_eq!(
        (&report["new_events"], &report["read_models"]["ok"]),
        (&0.into(), &true.into())
    );
}

#[test]
fn what_is_in_the_read_models_is_never_read_from_the_log_again() {
    let shop = Shop::new();
    let run = shop.json("--limit 300");
    // An event that nobody can read any more: whoever reads the whole log stumbles over it.
    let spoil = "DROP TRIGGER eventcore_events_no_update;
                 UPDATE eventcore_events SET payload = CAST('?' AS BLOB) WHERE position = 5;
                 CREATE TRIGGER eventcore_events_no_update BEFORE UPDATE ON eventcore_events
                 BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;";
    tamper(&shop, "shop.db", spoil);
    assert_eq!(shop.json("report")["report"], run["report"]);
    for whole_log in ["report --check", "report --rebuild"] {
        assert_eq!(shop.run(whole_log).code, Some(1), "{whole_log}");
    }
}

#[test]
fn read_models_that_were_made_before_catch_up_on_what_is_new() {
    let shop = Shop::new();
    shop.json("--limit 200");
    fs::rename(shop.path("shop.db-views"), shop.path("kept")).unwrap();
    let run = shop.json("--limit 300");
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(shop.path(&format!("shop.db-views{suffix}")));
    }
    fs::rename(shop.path("kept"), shop.path("shop.db-views")).unwrap();
    let report = shop.json("report --check");
    let new = report["new_events"].as_u64().unwrap();
    assert!((200..300).contains(&new), "{new}");
    assert_eq!(report["report"], run["report"]);
}

#[test]
fn a_store_that_has_no_read_models_yet_gets_them() {
    let shop = Shop::new();
    let run = shop.json("--limit 200");
    fs::remove_file(shop.path("shop.db-views")).unwrap();
    let report = shop.json("report --check");
    assert_eq!(report["report"], run["report"]);
    assert_eq!(report["new_events"], run["read_models"]["position"]);
}

#[test]
fn a_document_that_was_falsified_is_found_by_field_and_rebuilt() {
    let shop = Shop::new();
    let run = shop.json("--limit 200");
    let falsify = r"UPDATE eventcore_documents SET body = json_set(body, '$.points', 1000000)
                    WHERE key = 'customer:00020'";
    tamper(&shop, "shop.db-views", falsify);
    for arguments in ["report --check", "--limit 200"] {
        let ran = shop.run(arguments);
        assert_eq!(ran.code, Some(1), "{arguments}");
        ran.says("[!!] report.tiers[1].points is ")
            .says("customer 00020.points is 1000000 by the read models and 363 by the log")
            .says("--rebuild makes them anew");
    }
    let said = shop.run("report --check --json").json();
    assert_eq!(said["read_models"]["ok"], false);
    let rebuilt = shop.json("report --rebuild --check");
    assert_eq!(rebuilt["report"], run["report"]);
    assert_eq!(rebuilt["new_events"], run["read_models"]["position"]);
}

#[test]
fn read_models_of_a_log_that_was_deleted_are_refused_until_they_are_rebuilt() {
    let shop = Shop::new();
    let run = shop.json("--limit 100");
    delete_the_log(&shop);
    let refused = shop.run("--limit 100");
    assert_eq!(refused.code, Some(1), "{}", refused.out);
    refused
        .says("were made from another log than the one that is there now")
        .says("`--rebuild` makes them anew");
    let rebuilt = shop.json("--limit 100 --rebuild");
    assert_eq!(rebuilt["report"], run["report"]);
}

#[test]
fn read_models_of_another_log_of_the_same_purchases_are_refused() {
    let shop = Shop::new();
    shop.json("--limit 100");
    shop.json("--limit 100 --store sqlite:other.db");
    delete_the_log(&shop);
    fs::rename(shop.path("other.db"), shop.path("shop.db")).unwrap();
    for arguments in ["report", "watch --for 5", "--limit 100"] {
        let refused = shop.run(arguments);
        assert_eq!(refused.code, Some(1), "{arguments}");
        refused.says("were made from another log").says("--rebuild");
    }
    fs::remove_file(shop.path("shop.db-views")).unwrap();
    assert_eq!(shop.json("report --check")["read_models"]["ok"], true);
}

#[test]
fn a_file_of_read_models_that_is_none_is_refused_with_its_name() {
    let shop = Shop::new();
    shop.json("--limit 50");
    shop.file(
        "shop.db-views",
        "no database, and long enough to tell. ".repeat(40),
    );
    let ran = shop.run("report");
    assert_eq!(ran.code, Some(1));
    ran.says("the read models in shop.db-views cannot be used")
        .says("delete that file");
}

#[test]
fn a_store_that_is_not_there_is_not_made_by_looking_at_it() {
    let shop = Shop::new();
    for task in ["report", "watch"] {
        let ran = shop.run(task);
        assert_eq!(ran.code, Some(1), "{task}");
        ran.says("there is no store sqlite:shop.db; `shop --store sqlite:shop.db` makes it");
    }
    assert_absent(&shop.path("shop.db"));
    assert_absent(&shop.path("shop.db-views"));
}

#[test]
fn the_page_of_a_report_says_how_far_it_is_and_whether_the_log_was_asked() {
    let shop = Shop::new();
    shop.json("--limit 50");
    shop.run("report")
        .says("Revenue per month")
        .says("not asked, --check does")
        .says("0 new events since they were last looked at: sqlite:shop.db");
    shop.run("report --check")
        .says("[ok] 1 month and 50 customers, field by field, at position ");
}
