//! Inputs that are broken, missing or of another kind.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};

use super::{HEADER, Shop, assert_absent};

const GOOD: &str = " 00001 19970101  1   11.77\r\n";

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// The input is refused with this text, before a store is made.
#[track_caller]
fn refused(name: &str, content: impl AsRef<[u8]>, text: &str) {
    let shop = Shop::new();
    shop.file(name, content);
    let ran = shop.run(&format!("--input {name}"));
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    assert_eq!(ran.out, "");
    ran.says("error: ").says(text);
    assert_absent(&shop.path("shop.db"));
}

#[test]
fn a_broken_line_stops_everything_and_is_named_with_its_reason() {
    for (line, reason) in [
        ("00001 19970101 1", "line 3: it has 3 columns"),
        ("00001 19970101 1 1.00 1.00", "line 3: it has 5 columns"),
        ("", "line 3: it is blank"),
        ("O0001 19970101 1 1.00", "line 3: customer \"O0001\""),
        (
            "00001 19970229 1 1.00",
            "line 3: date \"19970229\": 1997-02 has no day 29",
        ),
        ("00001 1997-01-01 1 1.00", "line 3: date \"1997-01-01\""),
        ("00001 19970101 0 1.00", "line 3: number of CDs \"0\""),
        ("00001 19970101 -2 1.00", "line 3: number of CDs \"-2\""),
        ("00001 19970101 1 1.0", "line 3: dollars \"1.0\""),
        ("00001 19970101 1 -1.00", "line 3: dollars \"-1.00\""),
        (
            "00001 19970101 1 99999999999999999999.00",
            "line 3: dollars",
        ),
    ] {
        refused(
            "in.txt",
            [HEADER, GOOD, line, "\r\n", GOOD].concat(),
            reason,
        );
    }
    let not_text = [GOOD.as_bytes(), b"\xff\xfe 19970101 1 1.00\n"].concat();
    refused("in.txt", not_text, "line 2: it is not UTF-8 text");
    refused(
        "in.txt",
        [GOOD, " 00002 19970112  5   77."].concat(),
        "line 2: dollars \"77.\"",
    );
}

#[test]
fn an_input_without_a_purchase_is_refused() {
    refused("in.txt", "", "the input `in.txt` is empty");
    refused("in.txt", HEADER, "the input `in.txt` holds no purchase");
    refused("in.txt", "\n\n", "the input `in.txt` holds no purchase");
    refused("in.gz", packed(""), "the input `in.gz` is empty");
}

#[test]
fn a_gzip_file_that_is_cut_or_changed_is_refused() {
    let whole = packed(&[HEADER, &GOOD.repeat(1000)].concat());
    refused("in.gz", &whole[..whole.len() - 1], "damaged or cut short");
    refused("in.gz", &whole[..30], "damaged or cut short");
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 0xff;
    refused("in.gz", changed, "damaged or cut short");
    refused(
        "in.gz",
        "1 19970101 1 1.00",
        "is named like a gzip file and is none",
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let shop = Shop::new();
    let ran = shop.run("--input no/such.txt");
    assert_eq!(ran.code, Some(1));
    ran.says("error: cannot read the input `no/such.txt`: No such file or directory");
    let ran = shop.run("--input .");
    assert_eq!(ran.code, Some(1));
    ran.says("error: the input `.` is a directory");
    assert_absent(&shop.path("shop.db"));
}

#[test]
fn packed_or_not_the_input_is_the_same() {
    let shop = Shop::new();
    let text = [HEADER, GOOD, GOOD].concat();
    shop.file("in.txt", &text).file("packed", packed(&text));
    let first = shop.json("--input packed");
    let second = shop.json("--input in.txt");
    assert_eq!(first["report"]["purchases"], 2);
    assert_eq!(second["run"]["already_there"], 2);
}

#[test]
fn skip_bad_leaves_broken_lines_out_counts_them_and_says_why() {
    let shop = Shop::new();
    let broken = "x 19970101 1 1.00\n".repeat(7);
    shop.file("in.txt", [HEADER, GOOD, &broken, GOOD].concat());
    let ran = shop.run("--input in.txt --skip-bad");
    assert_eq!(ran.code, Some(0));
    ran.says("left out 7 broken lines")
        .says("line 3: customer \"x\" is not a number")
        .says("and 2 more")
        .says("7 broken lines of the input left out")
        .says("[ok] 2 purchases, 2 CDs, $23.54");
    let said = shop.json("--input in.txt --skip-bad");
    assert_eq!(said["input"]["bad_lines"], 7);
    assert_eq!(
        said["input"]["first_bad_lines"].as_array().map(Vec::len),
        Some(5)
    );
    assert_eq!(said["run"]["already_there"], 2);
}

#[test]
fn skip_bad_of_everything_is_an_input_without_a_purchase() {
    let shop = Shop::new();
    shop.file("in.txt", "x\ny\n");
    let ran = shop.run("--input in.txt --skip-bad");
    assert_eq!(ran.code, Some(1));
    ran.says("the input `in.txt` holds no purchase");
    assert_absent(&shop.path("shop.db"));
}

#[test]
fn machines_get_an_object_for_a_failure_too() {
    let shop = Shop::new();
    shop.file("in.txt", "x\n");
    let ran = shop.run("--input in.txt --json");
    assert_eq!(ran.code, Some(1));
    let said = ran.json();
    assert_eq!(said["status"], "failed");
    let error = said["error"].as_str().unwrap();
    assert!(error.contains("line 1: it has 1 columns"), "{error}");
}
