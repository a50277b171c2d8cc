//! Medians, spreads, and ratios to the first contestant.

use std::{collections::BTreeMap, fmt};

use crate::driver::Rate;

/// All measurements of a run, by contestant and column.
#[derive(Default)]
pub(crate) struct Report {
    contestants: Vec<String>,
    columns: Vec<String>,
    rates: BTreeMap<(String, String), Vec<Rate>>,
}

impl Report {
    pub(crate) fn add(&mut self, contestant: &str, column: &str, rate: Rate) {
        for (names, name) in [
            (&mut self.contestants, contestant),
            (&mut self.columns, column),
        ] {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        let rates = self
            .rates
            .entry((contestant.to_owned(), column.to_owned()))
            .or_default();
        rates.push(rate);
        rates.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    }

    fn rates(&self, contestant: &str, column: &str) -> &[Rate] {
        let key = (contestant.to_owned(), column.to_owned());
        self.rates.get(&key).map_or(&[], Vec::as_slice)
    }
}

fn median(rates: &[Rate]) -> Option<Rate> {
    rates.get(rates.len() / 2).copied()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(base) = self.contestants.first() else {
            return Ok(());
        };
        write!(f, "| commands/s |")?;
        for column in &self.columns {
            write!(f, " {column} |")?;
        }
        write!(f, "\n|---|{}", "---|".repeat(self.columns.len()))?;
        for contestant in &self.contestants {
            write!(f, "\n| {contestant} |")?;
            for column in &self.columns {
                let rates = self.rates(contestant, column);
                let (Some(low), Some(high), Some(middle)) =
                    (rates.first(), rates.last(), median(rates))
                else {
                    write!(f, " - |")?;
                    continue;
                };
                write!(
                    f,
                    " {:.0} ({:.0}..{:.0})",
                    middle.per_second, low.per_second, high.per_second
                )?;
                if let Some(base) = median(self.rates(base, column)) {
                    write!(f, " x{:.2}", middle.per_second / base.per_second)?;
                }
                if middle.tries > 1.005 {
                    write!(f, ", {:.2} tries", middle.tries)?;
                }
                write!(f, " |")?;
            }
        }
        writeln!(
            f,
            "\n\nmedian (lowest..highest) of the rounds, and the median's ratio to {base}"
        )
    }
}
