//! Options and stores that are wrong.

use std::process::Stdio;

use super::{Shop, assert_absent};

#[test]
fn a_wrong_command_line_is_refused_before_anything_is_done() {
    for (arguments, reason) in [
        ("--store postgres:x", "a store is `memory`, `sqlite:PATH`"),
        ("--store sqlite:", "the path is missing"),
        ("--concurrency 0", "0 is not in 1..=1024"),
        ("--concurrency 1025", "1025 is not in 1..=1024"),
        ("--concurrency many", "invalid digit"),
        ("--limit 0", "0 is not in 1.."),
        ("--frobnicate", "unexpected argument"),
        ("positional", "unrecognized subcommand"),
        ("--limit 5 report", "cannot be used with '--limit <N>'"),
        ("report --limit 5", "unexpected argument"),
        ("report --store memory", "name one that stays"),
        ("watch --store postgres", "name one that stays"),
        ("watch --check", "unexpected argument"),
        ("watch --for 0", "a number of seconds above 0"),
        ("watch --until-idle soon", "a number of seconds above 0"),
    ] {
        let shop = Shop::new();
        let ran = shop.run(arguments);
        assert_eq!(ran.code, Some(2), "{arguments}");
        assert_eq!(ran.out, "");
        ran.says(reason);
        assert_absent(&shop.path("shop.db"));
    }
}

#[test]
fn a_store_that_cannot_be_is_refused_with_its_name() {
    let shop = Shop::new();
    shop.file(
        "text.db",
        "this is not a database, and long enough to see it. ".repeat(40),
    );
    for path in ["missing/shop.db", ".", "text.db"] {
        let ran = shop.run(&format!("--store sqlite:{path} --limit 5"));
        assert_eq!(ran.code, Some(1), "{path}: {}", ran.err);
        assert_eq!(ran.out, "");
        ran.says(&format!("error: the store sqlite:{path} cannot be used: "));
    }
    assert_absent(&shop.path("missing"));
}

#[test]
fn a_database_that_is_cut_short_is_refused() {
    let shop = Shop::new();
    shop.json("--limit 200");
    let whole = std::fs::read(shop.path("shop.db")).unwrap();
    shop.file("cut.db", &whole[..whole.len() / 2]);
    let ran = shop.run("--limit 200 --store sqlite:cut.db");
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    ran.says("error: ");
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_takes_no_files_is_refused() {
    let ran = Shop::new().run("--store sqlite:/proc/shop.db --limit 5");
    assert_eq!(ran.code, Some(1));
    ran.says("error: the store sqlite:/proc/shop.db cannot be used");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let shop = Shop::new();
    let mut command = shop.command("--store memory --limit 50");
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        !errors.contains("panicked") && !errors.contains("error"),
        "{errors}"
    );
}

#[test]
fn help_names_every_option_and_the_exit_codes() {
    let ran = Shop::new().run("--help");
    assert_eq!(ran.code, Some(0));
    for text in [
        "--store",
        "--input",
        "--concurrency",
        "--limit",
        "--skip-bad",
        "--rebuild",
        "--json",
        "report",
        "watch",
        "Exit codes",
    ] {
        ran.says(text);
    }
    for (task, options) in [
        (
            "report",
            ["--store", "--rebuild", "--json", "--check"].as_slice(),
        ),
        (
            "watch",
            &["--store", "--rebuild", "--json", "--until-idle", "--for"],
        ),
    ] {
        let ran = Shop::new().run(&format!("{task} --help"));
        assert_eq!(ran.code, Some(0));
        for option in options {
            ran.says(option);
        }
    }
}
