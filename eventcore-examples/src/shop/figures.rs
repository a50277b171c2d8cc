//! The figures that a report is drawn up from, however they were come by: folded from the log, or kept by the read
//! models. Where the two differ, they say in what.

use std::collections::{BTreeMap, BTreeSet};

use eventcore::prelude::*;
use serde_json::Value;

use super::{
    CustomerCard, CustomerId, Date, Month, MonthSheet, Report, ShopError, Tier, Totals,
    books::Problems,
};

/// What a report is drawn up from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// All that was sold.
    pub totals: Totals,
    /// The customers who bought anything.
    pub customers: BTreeMap<CustomerId, Account>,
    /// The months in which anything was sold.
    pub months: BTreeMap<Month, Takings>,
}

/// A customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Account {
    /// What they bought.
    #[serde(flatten)]
    pub totals: Totals,
    /// The points earned.
    pub points: u64,
    /// The tier.
    pub tier: Tier,
    /// The day of the first purchase.
    pub first_visit: Date,
    /// The day of the last purchase.
    pub last_visit: Date,
    /// On how many different days the customer bought.
    pub visits: u32,
}

/// A month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Takings {
    /// What was sold.
    pub totals: Totals,
    /// How many customers bought.
    pub customers: u64,
    /// How many of them for the first time.
    pub new_customers: u64,
}

impl Figures {
    /// Puts documents together.
    pub(crate) fn of(
        cards: impl IntoIterator<Item = CustomerCard>,
        sheets: impl IntoIterator<Item = MonthSheet>,
    ) -> Self {
        let mut figures = Self::default();
        for sheet in sheets {
            figures.totals.merge(sheet.totals);
            let month = figures.months.entry(sheet.month).or_default();
            (month.totals, month.new_customers) = (sheet.totals, sheet.new_customers);
        }
        for card in cards {
            for month in &card.months {
                figures.months.entry(*month).or_default().customers += 1;
            }
            figures
                .customers
                .insert(card.customer, Account::from(&card));
        }
        figures
    }

    /// Where these differ from the fold of the log, field by field: first in the report, then customer by customer.
    ///
    /// # Errors
    ///
    /// [`ShopError::Bug`].
    pub(crate) fn differences(&self, fold: &Self) -> Result<Problems, ShopError> {
        let mut problems = Problems::default();
        if self == fold {
            return Ok(problems);
        }
        let [here, there] = [self, fold].map(|figures| json(&Report::of(figures)));
        compare("report", &here?, &there?, &mut problems);
        let ids: BTreeSet<&CustomerId> =
            self.customers.keys().chain(fold.customers.keys()).collect();
        for id in ids {
            let [here, there] = [self, fold].map(|figures| figures.customers.get(id));
            if here != there {
                let path = format!("customer {id}");
                compare(&path, &json(&here)?, &json(&there)?, &mut problems);
            }
        }
        Ok(problems)
    }
}

impl From<&CustomerCard> for Account {
    fn from(card: &CustomerCard) -> Self {
        Self {
            totals: card.totals,
            points: card.points,
            tier: card.tier,
            first_visit: card.first_visit,
            last_visit: card.last_visit,
            visits: card.visits,
        }
    }
}

fn json(value: &impl Serialize) -> Result<Value, ShopError> {
    serde_json::to_value(value).map_err(|_| ShopError::Bug("the figures are not JSON"))
}

/// Names every field in which two values differ.
fn compare(path: &str, here: &Value, there: &Value, problems: &mut Problems) {
    match (here, there) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
            for name in names {
                let path = format!("{path}.{name}");
                compare(&path, &here[name], &there[name], problems);
            }
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            for (index, (here, there)) in ours.iter().zip(theirs).enumerate() {
                compare(&format!("{path}[{index}]"), here, there, problems);
            }
        }
        _ if here == there => {}
        _ => {
            problems.note(|| format!("{path} is {here} by the read models and {there} by the log"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shop::Cents;

    fn card(customer: u32, months: &[&str]) -> CustomerCard {
        let day = |month: &&str| format!("{month}-05").parse::<Date>().unwrap();
        let days: Vec<Date> = months.iter().map(day).collect();
        let mut totals = Totals::default();
        totals.add(2, Cents::dollars(30));
        CustomerCard {
            customer: CustomerId(customer),
            totals,
            points: 30,
            tier: Tier::Regular,
            first_visit: days[0],
            last_visit: days[days.len() - 1],
            visits: u32::try_from(days.len()).unwrap(),
            months: days.iter().map(|day| day.month()).collect(),
        }
    }

    fn sheet(month: &str, dollars: u64, new_customers: u64) -> MonthSheet {
        let mut totals = Totals::default();
        totals.add(2, Cents::dollars(dollars));
        MonthSheet {
            month: month.parse().unwrap(),
            totals,
            new_customers,
        }
    }

    fn figures(dollars: u64) -> Figures {
        Figures::of(
            [card(1, &["1997-01", "1997-02"]), card(2, &["1997-02"])],
            [sheet("1997-01", dollars, 1), sheet("1997-02", 30, 1)],
        )
    }

    #[test]
    fn a_month_has_its_sales_from_its_sheet_and_its_customers_from_their_cards() {
        let figures = figures(30);
        let customers: Vec<u64> = figures.months.values().map(|m| m.customers).collect();
        assert_eq!(customers, [1, 2]);
        assert_eq!(figures.totals.cents, Cents::dollars(60));
        assert_eq!(figures.customers[&CustomerId(1)].visits, 2);
    }

    #[test]
    fn figures_that_are_equal_have_no_difference() {
        let problems = figures(30).differences(&figures(30)).unwrap();
        assert_eq!((problems.count, problems.first.len()), (0, 0));
    }

    #[test]
    fn a_difference_names_the_field_and_both_values() {
        let problems = figures(31).differences(&figures(30)).unwrap();
        let expected = [
            "report.cents is 6100 by the read models and 6000 by the log",
            "report.months[0].cents is 3100 by the read models and 3000 by the log",
        ];
        assert_eq!(problems.first, expected);
    }

    #[test]
    fn a_customer_who_differs_and_changes_no_sum_is_found() {
        let mut other = figures(30);
        let account = other.customers.get_mut(&CustomerId(2)).unwrap();
        account.first_visit = "1997-01-31".parse().unwrap();
        let problems = other.differences(&figures(30)).unwrap();
        let expected = "customer 00002.first_visit is \"1997-01-31\" by the read models and \"1997-02-05\" by the log";
        assert_eq!(problems.first, [expected]);
    }

    #[test]
    fn a_customer_who_is_missing_is_found() {
        let mut other = figures(30);
        other.customers.remove(&CustomerId(2));
        let problems = other.differences(&figures(30)).unwrap();
        assert!(
            problems
                .first
                .iter()
                .any(|p| p.starts_with("report.customers is 1 "))
        );
    }
}
