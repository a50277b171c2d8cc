//! What a shop owner wants to know.

use eventcore::prelude::*;

use super::{Cents, CustomerId, Date, Figures, Month, Tier, Totals, figures::Account};

/// How many of the best customers are named.
const TOP: usize = 10;
/// The classes of customers by their number of visits: up to this many, the last one open.
const CLASSES: [(u32, &str); 6] = [
    (1, "1"),
    (2, "2"),
    (3, "3"),
    (5, "4-5"),
    (10, "6-10"),
    (u32::MAX, "11+"),
];

/// What the stored log amounts to, by its figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// All purchases.
    #[serde(flatten)]
    pub totals: Totals,
    /// How many customers bought anything.
    pub customers: u64,
    /// The day of the first purchase.
    pub first_day: Option<Date>,
    /// The day of the last purchase.
    pub last_day: Option<Date>,
    /// How many customers came back on a later day.
    pub repeat_customers: u64,
    /// The same as a part of all customers, from 0 to 1.
    pub repeat_rate: f64,
    /// Customers by the number of days on which they bought.
    pub visits: Vec<VisitClass>,
    /// Every month from the first purchase to the last one.
    pub months: Vec<MonthLine>,
    /// Customers by tier, from the lowest.
    pub tiers: Vec<TierLine>,
    /// Those who spent most.
    pub top_customers: Vec<TopCustomer>,
}

/// Customers who bought on so many days.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VisitClass {
    /// On how many days: `1`, `4-5`, `11+`.
    pub days: &'static str,
    /// How many customers.
    pub customers: u64,
}

/// A month.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MonthLine {
    /// Such as `1997-01`.
    pub month: Month,
    /// What was sold.
    #[serde(flatten)]
    pub totals: Totals,
    /// How many customers bought.
    pub customers: u64,
    /// How many of them for the first time.
    pub new_customers: u64,
}

/// The customers of a tier.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TierLine {
    /// The tier.
    pub tier: Tier,
    /// How many are in it.
    pub customers: u64,
    /// What they have spent, before they were in it included.
    pub cents: Cents,
    /// The points they have earned.
    pub points: u64,
}

/// One of the best customers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TopCustomer {
    /// Who.
    #[serde(serialize_with = "as_text")]
    pub customer: CustomerId,
    /// The tier.
    pub tier: Tier,
    /// What they bought.
    #[serde(flatten)]
    pub totals: Totals,
    /// The points earned.
    pub points: u64,
    /// The day of the last purchase.
    pub last_visit: Date,
}

fn as_text<S: serde::Serializer>(
    value: &impl std::fmt::Display,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl Report {
    /// Draws the report up.
    pub fn of(figures: &Figures) -> Self {
        let accounts = || figures.customers.values();
        let customers = figures.customers.len() as u64;
        let repeat_customers = count(accounts(), |account| account.visits > 1);
        Self {
            totals: figures.totals,
            customers,
            first_day: accounts().map(|account| account.first_visit).min(),
            last_day: accounts().map(|account| account.last_visit).max(),
            repeat_customers,
            repeat_rate: ratio(repeat_customers, customers),
            visits: visits(figures),
            months: months(figures),
            tiers: Tier::ALL.map(|tier| TierLine::of(tier, figures)).into(),
            top_customers: top(figures),
        }
    }
}

impl TierLine {
    fn of(tier: Tier, figures: &Figures) -> Self {
        let mut line = Self {
            tier,
            customers: 0,
            cents: Cents::ZERO,
            points: 0,
        };
        for account in figures
            .customers
            .values()
            .filter(|account| account.tier == tier)
        {
            line.customers += 1;
            line.cents = line.cents.plus(account.totals.cents);
            line.points += account.points;
        }
        line
    }
}

fn count<'a>(accounts: impl Iterator<Item = &'a Account>, which: impl Fn(&Account) -> bool) -> u64 {
    accounts.filter(|account| which(account)).count() as u64
}

fn visits(figures: &Figures) -> Vec<VisitClass> {
    let mut above = 0;
    let class = |(up_to, days): (u32, &'static str)| {
        let range = above + 1..=up_to;
        above = up_to;
        let customers = count(figures.customers.values(), |a| range.contains(&a.visits));
        VisitClass { days, customers }
    };
    CLASSES.into_iter().map(class).collect()
}

/// Months without a sale are part of the picture, as long as there are not too many of them.
fn months(figures: &Figures) -> Vec<MonthLine> {
    const MOST: usize = 120;
    let line = |month: Month| {
        let takings = figures.months.get(&month).copied().unwrap_or_default();
        MonthLine {
            month,
            totals: takings.totals,
            customers: takings.customers,
            new_customers: takings.new_customers,
        }
    };
    let (Some((&first, _)), Some((&last, _))) = (
        figures.months.first_key_value(),
        figures.months.last_key_value(),
    ) else {
        return Vec::new();
    };
    let every = std::iter::successors(Some(first), |month| Some(month.next()));
    let every: Vec<Month> = every
        .take_while(|month| *month <= last)
        .take(MOST + 1)
        .collect();
    if every.len() > MOST {
        return figures.months.keys().copied().map(line).collect();
    }
    every.into_iter().map(line).collect()
}

fn top(figures: &Figures) -> Vec<TopCustomer> {
    let mut all: Vec<(&CustomerId, &Account)> = figures.customers.iter().collect();
    all.sort_by_key(|(id, account)| (std::cmp::Reverse(account.totals.cents), **id));
    let customer = |(&customer, account): (&CustomerId, &Account)| TopCustomer {
        customer,
        tier: account.tier,
        totals: account.totals,
        points: account.points,
        last_visit: account.last_visit,
    };
    all.into_iter().take(TOP).map(customer).collect()
}

/// A part of a whole, 0 of nothing.
#[expect(
    clippy::cast_precision_loss,
    reason = "a ratio to be shown needs no 53 bits"
)]
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}
