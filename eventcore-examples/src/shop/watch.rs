//! `shop watch`: the figures as they move, while this or another process sells.

use std::{
    fmt,
    time::{Duration, Instant},
};

use eventcore::{GlobalPosition, prelude::*, projection::ProjectionStore};
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    ShopError, Totals, WatchOptions, app::print, money::grouped, opened::Opened, page::counted,
    stop::Stop, views::Views,
};

/// How often to look.
const TICK: Duration = Duration::from_millis(100);

/// The figures at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Reading {
    /// Up to where the read models are made.
    pub position: GlobalPosition,
    /// How many events of the log they do not have yet.
    pub lag: u64,
    /// What was sold.
    #[serde(flatten)]
    pub totals: Totals,
    /// To how many customers.
    pub customers: u64,
    /// Purchases a second since the last reading that was shown.
    pub rate: u64,
}

/// Follows the read models of a store until somebody or the options say stop.
///
/// # Errors
///
/// [`ShopError`].
///
/// # Cancel safety
///
/// Safe at any point.
pub async fn watch(options: &WatchOptions) -> Result<(), ShopError> {
    let store = Opened::open_existing(&options.look.store).await?;
    let watched = match &store {
        Opened::Memory(_, views) => follow(options, &store, views).await,
        Opened::Sqlite { views, .. } => follow(options, &store, views).await,
        Opened::Postgres { views, .. } => follow(options, &store, views).await,
    };
    store.close().await;
    watched
}

async fn follow<V: ProjectionStore + Clone>(
    options: &WatchOptions,
    store: &Opened,
    views: &V,
) -> Result<(), ShopError> {
    let look = &options.look;
    let listen = |source| ShopError::System {
        doing: "listening for Ctrl-C",
        source,
    };
    let mut stop = Stop::listen().map_err(listen)?;
    // Also without anybody who sells: whoever looks at the read models may keep them up to date.
    let mut views = Views::start(look.store.to_string(), &store.log(), views, look.rebuild).await?;
    let mut screen = Screen::new(look.json);
    let (begun, mut moved) = (Instant::now(), Instant::now());
    let mut shown: Option<Reading> = None;
    loop {
        views.check().await?;
        let mut now = read(&views).await?;
        if shown.is_none_or(|shown| !shown.is_as(&now)) {
            now.rate = shown.map_or(0, |shown| now.rate_since(&shown, moved.elapsed()));
            moved = Instant::now();
            shown = Some(now);
            screen.show(&now)?;
        }
        let over = |limit: Option<Duration>, since: Instant| {
            limit.is_some_and(|limit| since.elapsed() >= limit)
        };
        if over(options.duration, begun) || (now.lag == 0 && over(options.until_idle, moved)) {
            break;
        }
        tokio::select! {
            () = stop.requested() => break,
            () = tokio::time::sleep(TICK) => {}
        }
    }
    screen.end(shown.as_ref())?;
    views.stop().await
}

async fn read<V: ProjectionStore + Clone>(views: &Views<V>) -> Result<Reading, ShopError> {
    let position = views.position().await?;
    let (mut totals, mut customers) = (Totals::default(), 0);
    for sheet in views.sheets().await? {
        totals.merge(sheet.totals);
        customers += sheet.new_customers;
    }
    let end = views.log_end().await?;
    Ok(Reading {
        position,
        lag: end.get().saturating_sub(position.get()),
        totals,
        customers,
        rate: 0,
    })
}

impl Reading {
    /// Whether nothing has moved. How fast it was does not count.
    fn is_as(&self, other: &Self) -> bool {
        let still = Self {
            rate: other.rate,
            ..*self
        };
        still == *other
    }

    fn rate_since(&self, before: &Self, elapsed: Duration) -> u64 {
        let purchases = self
            .totals
            .purchases
            .saturating_sub(before.totals.purchases);
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        (purchases * 1000).checked_div(millis).unwrap_or(0)
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "position {:>8}  lag {:>6}  {:>16}  {:>14}  {:>16}  {:>6}/s",
            grouped(self.position.get()),
            grouped(self.lag),
            counted(self.totals.purchases, "purchase"),
            self.totals.cents,
            counted(self.customers, "customer"),
            grouped(self.rate),
        )
    }
}

/// Where readings are shown: one line that changes on a terminal, else line after line.
struct Screen {
    json: bool,
    bar: ProgressBar,
}

impl Screen {
    fn new(json: bool) -> Self {
        let bar = if json {
            ProgressBar::hidden()
        } else {
            ProgressBar::new_spinner()
        };
        if let Ok(style) = ProgressStyle::with_template("  {spinner:.cyan} {msg}") {
            bar.set_style(style);
        }
        Self { json, bar }
    }

    fn show(&mut self, reading: &Reading) -> Result<(), ShopError> {
        if self.json {
            let line = serde_json::to_string(reading);
            return print(&line.map_err(|_| ShopError::Bug("a reading is not JSON"))?);
        }
        if self.bar.is_hidden() {
            return print(&reading.to_string());
        }
        self.bar.set_message(reading.to_string());
        self.bar.tick();
        Ok(())
    }

    /// The last reading stays on the terminal.
    fn end(self, last: Option<&Reading>) -> Result<(), ShopError> {
        if self.bar.is_hidden() {
            return Ok(());
        }
        self.bar.finish_and_clear();
        last.map_or(Ok(()), |reading| print(&format!("  {reading}")))
    }
}
