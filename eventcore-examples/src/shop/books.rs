//! The shop's books: the stored log, folded. Nothing in them comes from the input, or from the read models.

use std::collections::HashMap;

use eventcore::{
    EventFilter, GlobalPosition, RecordedEvent,
    prelude::*,
    store::{PageSize, ReadError},
};

use super::{
    Account, CustomerEvent, CustomerId, CustomerStream, Date, Figures, ImportEvent, InputId,
    LedgerEvent, LedgerStream, Purchase, ShopError, Tier, Totals,
};

/// How many events are read at once.
const PAGE: usize = 4096;
/// How many contradictions are kept to be shown.
const SHOWN: usize = 5;

/// Everything that the shop records, whatever stream it is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Event)]
pub enum ShopEvent {
    /// Of a customer.
    #[event(nested)]
    Customer(CustomerEvent),
    /// Of a day's ledger.
    #[event(nested)]
    Ledger(LedgerEvent),
    /// Of an import.
    #[event(nested)]
    Import(ImportEvent),
}

/// A purchase as the log has it: once in the customer's stream, once in the ledger.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry {
    pub(crate) of_customer: Option<Purchase>,
    pub(crate) of_ledger: Option<Purchase>,
}

/// What does not add up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Problems {
    pub(crate) first: Vec<String>,
    pub(crate) count: usize,
}

impl Problems {
    pub(crate) fn note(&mut self, problem: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < SHOWN {
            self.first.push(problem());
        }
    }
}

/// The log up to a position, as a shop owner sees it.
#[derive(Clone, Debug, Default)]
pub struct Books {
    position: GlobalPosition,
    /// The input that the store was begun with.
    pub(crate) import: Option<InputId>,
    pub(crate) entries: HashMap<u32, Entry>,
    pub(crate) figures: Figures,
    receipts: HashMap<Date, u32>,
    pub(crate) problems: Problems,
}

impl Books {
    /// Folds what the store has got since the last time, page by page.
    ///
    /// # Errors
    ///
    /// [`ShopError::Read`] when the store cannot be read, or holds an event that is not the shop's.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the books at the end of a page; calling again goes on there.
    pub async fn catch_up(&mut self, store: &dyn EventStore) -> Result<(), ShopError> {
        let filter = EventFilter::all().events::<ShopEvent>();
        let size = PageSize::try_new(PAGE).map_err(|_| ShopError::Bug("the page size"))?;
        loop {
            let page = store.read_all(self.position, &filter, size).await?;
            let events: Result<Vec<_>, _> = page.events.into_iter().map(decode).collect();
            for event in events? {
                self.apply(&event)?;
            }
            self.position = page.next;
            if page.at_end {
                return Ok(());
            }
        }
    }

    /// Up to where they are folded.
    pub(crate) fn position(&self) -> GlobalPosition {
        self.position
    }

    /// Whether a line's purchase is recorded.
    pub(crate) fn holds(&self, line: u32) -> bool {
        self.entries.contains_key(&line)
    }

    fn apply(&mut self, event: &StoredEvent<ShopEvent>) -> Result<(), ShopError> {
        match event.data() {
            ShopEvent::Customer(data) => {
                let stream = CustomerStream::from_stream_id(event.stream())?;
                self.customer(stream.id, data);
            }
            ShopEvent::Ledger(data) => {
                let stream = LedgerStream::from_stream_id(event.stream())?;
                self.ledger(stream.date, data);
            }
            ShopEvent::Import(ImportEvent::Begun { input, .. }) => self.import = Some(*input),
        }
        Ok(())
    }

    fn customer(&mut self, id: CustomerId, event: &CustomerEvent) {
        match *event {
            CustomerEvent::Purchased {
                line,
                date,
                cds,
                cents,
                points,
            } => {
                let sale = Purchase {
                    line,
                    customer: id,
                    date,
                    cds,
                    cents,
                };
                let entry = self.entries.entry(line).or_default();
                if entry.of_customer.replace(sale).is_some() {
                    self.problems
                        .note(|| format!("line {line} is there twice, for customer {id}"));
                }
                let mut first = false;
                let account = self.figures.customers.entry(id).or_insert_with(|| {
                    first = true;
                    Account::opened(date)
                });
                let month = self.figures.months.entry(date.month()).or_default();
                // A customer's events come by date: the rule of the command.
                let next_day = account.last_visit != date;
                let next_month = account.last_visit.month() != date.month();
                account.visits += u32::from(first || next_day);
                month.customers += u64::from(first || next_month);
                month.new_customers += u64::from(first);
                account.last_visit = date;
                account.totals.add(cds, cents);
                account.points += points;
            }
            CustomerEvent::Promoted { tier } => match self.figures.customers.get_mut(&id) {
                Some(account) => account.tier = tier,
                None => self
                    .problems
                    .note(|| format!("customer {id} was promoted for nothing")),
            },
        }
    }

    fn ledger(&mut self, date: Date, event: &LedgerEvent) {
        let LedgerEvent::SaleRecorded {
            receipt,
            line,
            customer,
            cds,
            cents,
        } = *event;
        let sale = Purchase {
            line,
            customer,
            date,
            cds,
            cents,
        };
        let entry = self.entries.entry(line).or_default();
        if entry.of_ledger.replace(sale).is_some() {
            self.problems
                .note(|| format!("line {line} is there twice, in the ledger of {date}"));
        }
        let last = self.receipts.entry(date).or_default();
        if receipt != last.saturating_add(1) {
            let last = *last;
            self.problems.note(|| {
                format!("receipt {receipt} follows receipt {last} in the ledger of {date}")
            });
        }
        *last = receipt;
        self.figures.totals.add(cds, cents);
        self.figures
            .months
            .entry(date.month())
            .or_default()
            .totals
            .add(cds, cents);
    }
}

impl Account {
    fn opened(date: Date) -> Self {
        Self {
            totals: Totals::default(),
            points: 0,
            tier: Tier::default(),
            first_visit: date,
            last_visit: date,
            visits: 0,
        }
    }
}

fn decode(event: RecordedEvent) -> Result<StoredEvent<ShopEvent>, ReadError> {
    Ok(StoredEvent::decode(event)?)
}
