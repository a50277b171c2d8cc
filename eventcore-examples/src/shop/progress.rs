//! How far the replay is: a bar on a terminal, a line now and then elsewhere, always on standard error.

use std::{
    fmt,
    io::{self, Write},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::{Date, money::grouped};

const TEMPLATE: &str =
    "  {bar:36.cyan/blue} {percent:>3}%  {human_pos} of {human_len}  {pace}  {msg}";
/// How often a line is written where there is no terminal.
const EVERY: Duration = Duration::from_secs(2);

/// Shows how far a replay is.
#[derive(Debug)]
pub(crate) struct Progress {
    pace: Pace,
    bar: ProgressBar,
    /// When the last line was written, where there is no bar.
    written: Option<Instant>,
}

/// What is done and how fast that goes. What was there before the run counts as done, and not as fast.
#[derive(Clone, Copy, Debug)]
struct Pace {
    before: u64,
    done: u64,
    total: u64,
    begun: Instant,
}

impl Progress {
    /// Begins, with `before` of `total` purchases done already.
    pub(crate) fn begin(before: u64, total: u64) -> Self {
        let now = Instant::now();
        let pace = Pace {
            before,
            done: before,
            total,
            begun: now,
        };
        let bar = ProgressBar::new(total).with_position(before);
        // Not a terminal, or one that cannot go back in a line.
        if bar.is_hidden() {
            return Self {
                pace,
                bar,
                written: Some(now),
            };
        }
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            let show = move |state: &ProgressState, text: &mut dyn fmt::Write| {
                let done = state.pos();
                // A text that cannot be shown is no reason to fail.
                let _ = write!(text, "{}", Pace { done, ..pace });
            };
            bar.set_style(style.with_key("pace", show).progress_chars("##-"));
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self {
            pace,
            bar,
            written: None,
        }
    }

    /// One more is done, of this date.
    pub(crate) fn advance(&mut self, date: Date) {
        self.pace.done += 1;
        let Some(written) = &mut self.written else {
            self.bar.inc(1);
            if self.pace.done.is_multiple_of(16) {
                self.bar.set_message(date.to_string());
            }
            return;
        };
        if written.elapsed() >= EVERY {
            *written = Instant::now();
            let (done, total) = (grouped(self.pace.done), grouped(self.pace.total));
            say(&format!(
                "{done} of {total} purchases, {}, {date}",
                self.pace
            ));
        }
    }

    /// Says something in between.
    pub(crate) fn note(&self, text: &str) {
        self.bar.suspend(|| say(text));
    }

    /// Takes the bar away: the report will tell.
    pub(crate) fn end(self) {
        self.bar.finish_and_clear();
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.begun.elapsed().as_micros().max(1);
        let now = self.done.saturating_sub(self.before);
        let rate = u128::from(now) * 1_000_000 / micros;
        let left = u128::from(self.total.saturating_sub(self.done)).checked_div(rate);
        match left {
            Some(seconds) => write!(f, "{rate}/s, {seconds} s left"),
            None => write!(f, "{rate}/s"),
        }
    }
}

/// A line on standard error; if nobody listens, so be it.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "  {text}");
}
