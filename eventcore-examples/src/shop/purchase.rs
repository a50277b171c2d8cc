//! The command: one purchase, in the customer's stream and in the day's ledger, or in neither.

use eventcore::prelude::*;

use super::{
    Cents, Customer, CustomerEvent, CustomerStream, Date, Ledger, LedgerEvent, LedgerStream, Tier,
};

/// A customer buys some CDs on a day.
///
/// Its two streams are read as one view and written together. The ledger is wanted by everybody who buys on that day,
/// since receipts are numbered without a gap: the stream that is contended for.
///
/// ```
/// use eventcore::prelude::*;
/// use eventcore_examples::shop::{CustomerId, CustomerStream, Date, LedgerStream, RecordPurchase};
/// use eventcore_memory::InMemoryEventStore;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = InMemoryEventStore::new();
/// let purchase = RecordPurchase {
///     customer: CustomerStream { id: CustomerId(1) },
///     ledger: LedgerStream { date: "1997-01-01".parse()? },
///     line: 2,
///     cds: 8,
///     cents: "119.20".parse()?,
/// };
/// let receipt = execute(purchase, &store).await?;
/// // Purchased, promoted to silver, and in the day's ledger.
/// assert_eq!(receipt.events.len(), 3);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Command)]
pub struct RecordPurchase {
    /// Who buys.
    #[stream(fold = Customer)]
    pub customer: CustomerStream,
    /// The day's ledger.
    #[stream(fold = Ledger)]
    pub ledger: LedgerStream,
    /// The line of the input that says so; the identity of the purchase.
    pub line: u32,
    /// How many CDs.
    pub cds: u32,
    /// What they cost.
    pub cents: Cents,
}

/// Why the shop refuses a purchase.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Nothing was bought.
    #[error("a purchase has at least one CD")]
    NoCds,
    /// The history of a customer is written in order.
    #[error("a purchase of {date} comes too late, the customer has bought on {last_visit} since")]
    OutOfOrder {
        /// The day of the purchase.
        date: Date,
        /// The day of the last one.
        last_visit: Date,
    },
    /// The shop sells to people who listen to music, not to resellers.
    #[error("{wanted} CDs and the {already} bought on the same day are more than {limit}", limit = RecordPurchase::CDS_A_DAY)]
    TooManyCds {
        /// How many are wanted.
        wanted: u32,
        /// How many this customer has bought on that day.
        already: u32,
    },
    /// Surely a mistake.
    #[error("{cents} is more than a purchase may cost, {limit}", limit = RecordPurchase::MOST)]
    TooDear {
        /// The price.
        cents: Cents,
    },
}

impl RecordPurchase {
    /// The most CDs that one customer may buy on one day.
    pub const CDS_A_DAY: u32 = 100;
    /// The most that one purchase may cost.
    pub const MOST: Cents = Cents::dollars(10_000);
}

impl CommandLogic for RecordPurchase {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        let Streams::<Self> { customer, ledger } = streams;
        let Self {
            line, cds, cents, ..
        } = *self;
        let date = self.ledger.date;
        let history = customer.state();

        require!(cds > 0, Refusal::NoCds);
        require!(cents <= Self::MOST, Refusal::TooDear { cents });
        let already = history.cds_on(date);
        require!(
            already.saturating_add(cds) <= Self::CDS_A_DAY,
            Refusal::TooManyCds {
                wanted: cds,
                already
            }
        );
        if let Some(last_visit) = history.last_visit {
            require!(last_visit <= date, Refusal::OutOfOrder { date, last_visit });
        }

        let points = cents.whole_dollars() * history.tier.points_per_dollar();
        emit!(events, customer => CustomerEvent::Purchased { line, date, cds, cents, points });

        let tier = Tier::reached_by(history.spent.plus(cents));
        if tier > history.tier {
            emit!(events, customer => CustomerEvent::Promoted { tier });
        }

        let receipt = ledger.state().last_receipt.saturating_add(1);
        let customer = self.customer.id;
        emit!(events, ledger => LedgerEvent::SaleRecorded { receipt, line, customer, cds, cents });
        Ok(())
    }
}
