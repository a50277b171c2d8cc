//! Medians, spreads, and ratios to the first contestant.

use std::{collections::BTreeMap, fmt};

/// All measurements of a run.
pub(crate) struct Report {
    stores: Vec<String>,
    clients: Vec<usize>,
    rates: BTreeMap<(String, usize), Vec<f64>>,
}

impl Report {
    pub(crate) fn new(stores: &[String], clients: &[usize]) -> Self {
        Self {
            stores: stores.to_vec(),
            clients: clients.to_vec(),
            rates: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, store: &str, clients: usize, rate: f64) {
        let rates = self.rates.entry((store.to_owned(), clients)).or_default();
        rates.push(rate);
        rates.sort_by(f64::total_cmp);
    }

    fn median(&self, store: &str, clients: usize) -> Option<f64> {
        let rates = self.rates.get(&(store.to_owned(), clients))?;
        rates.get(rates.len() / 2).copied()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(base) = self.stores.first() else {
            return Ok(());
        };
        write!(f, "{:<14}", "commands/s")?;
        for clients in &self.clients {
            write!(f, " | {:>30}", format!("{clients} clients"))?;
        }
        for store in &self.stores {
            write!(f, "\n{store:<14}")?;
            for &clients in &self.clients {
                let rates = self
                    .rates
                    .get(&(store.clone(), clients))
                    .cloned()
                    .unwrap_or_default();
                let (Some(low), Some(high)) = (rates.first(), rates.last()) else {
                    continue;
                };
                let median = self.median(store, clients).unwrap_or(f64::NAN);
                let ratio = median / self.median(base, clients).unwrap_or(f64::NAN);
                let cell = format!("{median:.0} ({low:.0}..{high:.0}) x{ratio:.2}");
                write!(f, " | {cell:>30}")?;
            }
        }
        writeln!(
            f,
            "\nmedian (lowest..highest), and the median's ratio to {base}"
        )
    }
}
