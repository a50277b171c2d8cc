//! The ledger of a day: a line for each sale, under the day's next receipt number.

use eventcore::prelude::*;

use super::{Cents, CustomerId, Date};

/// The stream of a day's ledger. Everybody who buys on that day writes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, StreamName)]
#[stream_name("ledger:{date}")]
pub struct LedgerStream {
    /// The day.
    pub date: Date,
}

/// What goes into a ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(prefix = "ledger")]
pub enum LedgerEvent {
    /// Something was sold.
    SaleRecorded {
        /// The number of the receipt: 1, 2, 3 ... on each day, without a gap.
        receipt: u32,
        /// The line of the input that says so; the identity of the purchase.
        line: u32,
        /// Who bought.
        customer: CustomerId,
        /// How many CDs.
        cds: u32,
        /// What they cost.
        cents: Cents,
    },
}

/// What a day's ledger amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The number of the last receipt.
    pub last_receipt: u32,
    /// The day's takings.
    pub takings: Cents,
}

impl Fold for Ledger {
    type Event = LedgerEvent;

    fn apply(&mut self, event: &StoredEvent<LedgerEvent>) {
        let LedgerEvent::SaleRecorded { receipt, cents, .. } = event.data();
        self.last_receipt = *receipt;
        self.takings = self.takings.plus(*cents);
    }
}
