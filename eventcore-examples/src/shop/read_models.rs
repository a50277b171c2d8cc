//! The read models: what the report needs to know, as documents that are kept up to date while the shop sells.
//!
//! A document is a fold of its own events and sees no other document. So each figure is kept where those events are that
//! it is made of, and [`Figures`](super::Figures) puts them together:
//!
//! | document | knows |
//! |---|---|
//! | a [`CustomerCard`] for each customer | purchases, points, tier; on how many days and in which months the customer came |
//! | a [`MonthSheet`] for each month | sales; how many customers came for the first time |

use eventcore::{
    prelude::*,
    projection::{DocumentKey, ReadModel},
};

use super::{
    CustomerEvent, CustomerId, CustomerStream, Date, LedgerEvent, LedgerStream, Month, ShopEvent,
    Tier, Totals,
};

/// The read model of the customers: a [`CustomerCard`] under each customer's number.
#[derive(Clone, Copy, Debug)]
pub struct Customers;

/// What is known about a customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerCard {
    /// Who.
    pub customer: CustomerId,
    /// What they bought.
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
    /// In which months.
    pub months: Vec<Month>,
}

impl ReadModel for Customers {
    type Event = CustomerEvent;
    type Document = CustomerCard;
    const NAME: &'static str = "customers";

    fn keys(&self, event: &StoredEvent<CustomerEvent>) -> impl IntoIterator<Item = DocumentKey> {
        [event.stream().into()]
    }

    fn apply(
        &self,
        _: &DocumentKey,
        card: &mut Option<CustomerCard>,
        event: &StoredEvent<CustomerEvent>,
    ) {
        match *event.data() {
            CustomerEvent::Purchased {
                date,
                cds,
                cents,
                points,
                ..
            } => {
                let Ok(CustomerStream { id }) = CustomerStream::from_stream_id(event.stream())
                else {
                    return; // nobody's; the check against the fold says so
                };
                let card = card.get_or_insert_with(|| CustomerCard::new(id, date));
                card.totals.add(cds, cents);
                card.points += points;
                card.visit(date);
            }
            CustomerEvent::Promoted { tier } => {
                if let Some(card) = card {
                    card.tier = tier;
                }
            }
        }
    }
}

impl CustomerCard {
    fn new(customer: CustomerId, date: Date) -> Self {
        Self {
            customer,
            totals: Totals::default(),
            points: 0,
            tier: Tier::default(),
            first_visit: date,
            last_visit: date,
            visits: 0,
            months: Vec::new(),
        }
    }

    /// A customer's events come by date, so a day or a month is new if it is not the last one.
    fn visit(&mut self, date: Date) {
        self.visits += u32::from(self.visits == 0 || self.last_visit != date);
        if self.months.last() != Some(&date.month()) {
            self.months.push(date.month());
        }
        self.last_visit = date;
    }
}

/// The read model of the months: a [`MonthSheet`] under each month's name.
#[derive(Clone, Copy, Debug)]
pub struct Months;

/// What is known about a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonthSheet {
    /// Which.
    pub month: Month,
    /// What was sold, by the ledgers.
    pub totals: Totals,
    /// How many customers came for the first time.
    pub new_customers: u64,
}

impl ReadModel for Months {
    type Event = ShopEvent;
    type Document = MonthSheet;
    const NAME: &'static str = "months";

    fn keys(&self, event: &StoredEvent<ShopEvent>) -> impl IntoIterator<Item = DocumentKey> {
        let month = touched(event)?;
        DocumentKey::try_new(month.to_string()).ok()
    }

    fn apply(
        &self,
        _: &DocumentKey,
        sheet: &mut Option<MonthSheet>,
        event: &StoredEvent<ShopEvent>,
    ) {
        let Some(month) = touched(event) else { return };
        let sheet = sheet.get_or_insert_with(|| MonthSheet::new(month));
        match event.data() {
            ShopEvent::Ledger(LedgerEvent::SaleRecorded { cds, cents, .. }) => {
                sheet.totals.add(*cds, *cents);
            }
            _ => sheet.new_customers += 1,
        }
    }
}

/// The month in which something was sold, or a customer came for the first time.
fn touched(event: &StoredEvent<ShopEvent>) -> Option<Month> {
    match event.data() {
        ShopEvent::Ledger(_) => {
            let ledger = LedgerStream::from_stream_id(event.stream()).ok()?;
            Some(ledger.date.month())
        }
        // The first event of a stream is the first purchase of its customer.
        ShopEvent::Customer(CustomerEvent::Purchased { date, .. }) => {
            (event.version().get() == 1).then_some(date.month())
        }
        _ => None,
    }
}

impl MonthSheet {
    fn new(month: Month) -> Self {
        Self {
            month,
            totals: Totals::default(),
            new_customers: 0,
        }
    }
}
