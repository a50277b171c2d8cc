//! Following the log: how fast a reader catches up, how far behind it is when it is live, and what it costs the writers.

mod catching_up;
mod live;
mod subjects;

use std::time::Duration;

use clap::Args;
use eventcore_testing::temp_postgres::TempPostgres;

use self::subjects::Subject;
use crate::Error;

/// Accounts of 10 events of about 200 bytes of JSON, folded to a balance each.
#[derive(Debug, Args)]
pub(crate) struct Following {
    /// Whose log: memory, sqlite, postgres.
    #[arg(long, value_delimiter = ',', default_value = "memory,sqlite,postgres")]
    stores: Vec<String>,
    /// What is measured: catch-up, latency, rebuild, cost.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "catch-up,latency,rebuild,cost"
    )]
    what: Vec<String>,
    /// How many events the log has.
    #[arg(long, default_value_t = 200_000)]
    events: u64,
    /// How many commands per second run beside, where some do.
    #[arg(long, default_value_t = 2_000)]
    load: u32,
    /// How long what is live is measured, in seconds.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How often everything is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

impl Following {
    pub(crate) async fn run(&self) -> Result<(), Error> {
        let postgres = self.stores.iter().any(|store| store == "postgres");
        let server = postgres
            .then(|| TempPostgres::builder().fsync(true).start())
            .transpose()?;
        let mut figures = Figures::default();
        for round in 1..=self.rounds {
            for store in &self.stores {
                for what in &self.what {
                    eprintln!("round {round}: {store}, {what}");
                    let subject = Subject::new(store, server.as_ref(), self.events).await?;
                    let seconds = Duration::from_secs_f64(self.seconds);
                    let found = match what.as_str() {
                        "catch-up" => subject.catch_up(self.events).await?,
                        "latency" => subject.latency(self.load, seconds).await?,
                        "rebuild" => subject.rebuild(self.events, self.load).await?,
                        "cost" => subject.cost(seconds).await?,
                        other => return Err(format!("nothing is called `{other}`").into()),
                    };
                    for (name, value) in found {
                        eprintln!("    {name}: {value:.2}");
                        figures.add(store, &name, value);
                    }
                }
            }
        }
        figures.print();
        Ok(())
    }
}

/// A figure and its name.
pub(crate) type Found = Vec<(String, f64)>;

/// All that was measured, by store and name.
#[derive(Default)]
struct Figures(Vec<(String, Vec<f64>)>);

impl Figures {
    fn add(&mut self, store: &str, name: &str, value: f64) {
        let name = format!("{store} | {name}");
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => self.0.push((name, vec![value])),
        }
    }

    fn print(&self) {
        println!("| store | figure | median | lowest..highest |\n|---|---|---|---|");
        for (name, values) in &self.0 {
            let mut values = values.clone();
            values.sort_by(f64::total_cmp);
            let (Some(low), Some(high)) = (values.first(), values.last()) else {
                continue;
            };
            println!(
                "| {name} | {} | {}..{} |",
                shown(values[values.len() / 2]),
                shown(*low),
                shown(*high)
            );
        }
    }
}

fn shown(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}
