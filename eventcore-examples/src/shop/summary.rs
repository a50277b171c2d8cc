//! All that a run has to say, for machines as it is and for people through [`page`](super::page).

use std::time::Duration;

use eventcore::{GlobalPosition, prelude::*};

use super::{Input, InputId, Report, Totals, books::Problems, replay::Outcome, report::ratio};

/// How many refusals are kept to be shown.
const SHOWN: usize = 5;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Status {
    /// All that was wanted is stored, and the log says what the input says.
    Complete,
    /// Somebody stopped it; the next run goes on.
    Interrupted,
    /// The log and the input differ, or the read models and the log.
    Mismatch,
}

/// All that a run has to say.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// How it ended.
    pub status: Status,
    /// What was read.
    pub input: InputSummary,
    /// What was done.
    pub run: RunSummary,
    /// What the stored log amounts to, by the read models.
    pub report: Report,
    /// Whether log and input agree.
    pub check: CheckSummary,
    /// Whether read models and log agree.
    pub read_models: ReadModelsSummary,
}

/// All that `shop report` has to say.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    /// Where the log is.
    pub store: String,
    /// How many events the read models had to catch up on.
    pub new_events: u64,
    /// What the stored log amounts to, by the read models.
    pub report: Report,
    /// Up to where that is, and whether it is what the log says, if that was asked.
    pub read_models: ReadModelsSummary,
}

/// Whether the read models say what the log says.
#[derive(Clone, Debug, Serialize)]
pub struct ReadModelsSummary {
    /// Up to where they are made.
    pub position: GlobalPosition,
    /// They do; nothing if the log was not asked.
    pub ok: Option<bool>,
    /// How many fields differ.
    pub differences: usize,
    /// The first few of them, by name.
    pub first_differences: Vec<String>,
}

/// What was read.
#[derive(Clone, Debug, Serialize)]
pub struct InputSummary {
    /// Where it came from.
    pub source: String,
    /// The digest of its content.
    pub digest: InputId,
    /// All its purchases.
    #[serde(flatten)]
    pub totals: Totals,
    /// How many of them were to be replayed.
    pub wanted: u64,
    /// How many lines were left out as broken.
    pub bad_lines: usize,
    /// The first few of them, with the reason.
    pub first_bad_lines: Vec<String>,
}

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub struct RunSummary {
    /// Where it went.
    pub store: String,
    /// How many commands there were at once.
    pub concurrency: u16,
    /// How many of the wanted purchases were there already.
    pub already_there: u64,
    /// How many were recorded now.
    pub recorded: u64,
    /// How many the shop's rules refused.
    pub refused: usize,
    /// The first few of them, with the reason.
    pub first_refused: Vec<String>,
    /// How many attempts those needed together.
    pub attempts: u64,
    /// The same for each of them, on average.
    pub attempts_per_command: f64,
    /// How many the most unlucky one needed.
    pub most_attempts: u32,
    /// How long the replay took.
    pub seconds: f64,
    /// How many commands took effect in a second.
    pub commands_per_second: f64,
    /// The time that half of the commands stayed below, waiting in line included.
    pub median_ms: f64,
    /// The time that 99 of 100 commands stayed below.
    pub p99_ms: f64,
}

/// Whether log and input agree.
#[derive(Clone, Debug, Serialize)]
pub struct CheckSummary {
    /// They do.
    pub ok: bool,
    /// What the input amounts to, as far as it is stored.
    pub expected: Totals,
    /// How many differences there are.
    pub problems: usize,
    /// The first few of them.
    pub first_problems: Vec<String>,
}

impl InputSummary {
    pub(crate) fn of(input: &Input, wanted: usize) -> Self {
        Self {
            source: input.source.to_string(),
            digest: input.id,
            totals: Totals::of(&input.purchases),
            wanted: wanted as u64,
            bad_lines: input.bad_lines,
            first_bad_lines: input.first_bad.iter().map(ToString::to_string).collect(),
        }
    }
}

impl RunSummary {
    pub(crate) fn of(
        store: String,
        concurrency: u16,
        already_there: u64,
        outcome: &Outcome,
    ) -> Self {
        let mut latencies = outcome.latencies.clone();
        latencies.sort_unstable();
        let commands = outcome.recorded;
        let seconds = outcome.elapsed.as_secs_f64();
        let refused = outcome.refused.iter().take(SHOWN);
        Self {
            store,
            concurrency,
            already_there,
            recorded: outcome.recorded,
            refused: outcome.refused.len(),
            first_refused: refused
                .map(|(line, why)| format!("line {line}: {why}"))
                .collect(),
            attempts: outcome.attempts,
            attempts_per_command: ratio(outcome.attempts, commands),
            most_attempts: outcome.most_attempts,
            seconds,
            commands_per_second: if seconds > 0.0 {
                ratio(commands, 1) / seconds
            } else {
                0.0
            },
            median_ms: at(&latencies, 50),
            p99_ms: at(&latencies, 99),
        }
    }
}

impl CheckSummary {
    pub(crate) fn of(problems: Problems, expected: Totals) -> Self {
        Self {
            ok: problems.count == 0,
            expected,
            problems: problems.count,
            first_problems: problems.first,
        }
    }
}

impl ReadModelsSummary {
    /// Not compared.
    pub(crate) fn at(position: GlobalPosition) -> Self {
        Self {
            position,
            ok: None,
            differences: 0,
            first_differences: Vec::new(),
        }
    }

    pub(crate) fn compared(self, differences: Problems) -> Self {
        Self {
            ok: Some(differences.count == 0),
            differences: differences.count,
            first_differences: differences.first,
            ..self
        }
    }
}

/// The time in milliseconds that so many of a hundred stay below.
fn at(sorted: &[Duration], percent: usize) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get(last * percent / 100)
        .map_or(0.0, |time| time.as_secs_f64() * 1e3)
}
