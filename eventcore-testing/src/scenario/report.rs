//! What a failed scenario says.

use std::{error::Error, fmt::Write};

use similar::{ChangeTag, TextDiff};

use super::expected::Shown;

/// A part of what went before.
#[derive(Debug)]
pub(super) enum Past {
    /// Events were given.
    Given(Vec<Shown>),
    /// A command of this name ran.
    When(&'static str),
}

/// Lines longer than this make all events of a list spread over several lines.
const WIDTH: usize = 100;

/// Headline, what went before, and what is wrong.
pub(super) fn report(headline: &str, past: &[Past], then: &str) -> String {
    let mut text = format!("{headline}\n");
    let mut heading = "";
    for part in past {
        match part {
            Past::Given(events) => {
                if heading != "given" {
                    text.push_str("\ngiven\n");
                }
                heading = "given";
                text.push_str(&indented("  ", &list(events)));
            }
            Past::When(command) => {
                heading = "when";
                let _ = writeln!(text, "when\n  {command}");
            }
        }
    }
    let _ = write!(text, "then\n{then}");
    text
}

/// One event per line, streams in a column.
pub(super) fn list(events: &[Shown]) -> String {
    lines(events, &[], events)
}

/// What was expected against what was found, line by line: `-` is missing, `+` is too much.
pub(super) fn diff(expected: &[Shown], found: &[Shown]) -> String {
    let old = lines(expected, found, expected);
    let new = lines(expected, found, found);
    let mut text = String::from("  - expected, + found\n");
    for change in TextDiff::from_lines(&old, &new).iter_all_changes() {
        let sign = match change.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => ' ',
        };
        let _ = writeln!(text, "  {sign} {}", change.value().trim_end_matches('\n'));
    }
    if old == new {
        text.push_str("  (they print alike, and `==` says that they differ)\n");
    }
    text
}

/// `shown`, laid out so that it compares with the others of a diff.
fn lines(expected: &[Shown], found: &[Shown], shown: &[Shown]) -> String {
    let both = || expected.iter().chain(found);
    let chars = |text: &str| text.chars().count();
    let column = both().map(|e| chars(e.stream.as_str())).max().unwrap_or(0);
    let long = both().any(|e| column + chars(&e.short) > WIDTH);
    let mut text = String::new();
    for event in shown {
        let data = if long { &event.long } else { &event.short };
        let _ = writeln!(text, "{:column$}  {data}", event.stream.as_str());
    }
    text
}

pub(super) fn indented(by: &str, text: &str) -> String {
    text.lines().fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "{by}{line}");
        all
    })
}

/// An error and what is underneath, leaving out what the line above has said.
pub(super) fn chain(error: &(impl Error + ?Sized)) -> String {
    let mut text = error.to_string();
    let mut last = text.clone();
    let mut source = error.source();
    while let Some(error) = source {
        let line = error.to_string();
        if !last.contains(&line) {
            let _ = write!(text, "\n  because: {line}");
        }
        last = line;
        source = error.source();
    }
    text
}
