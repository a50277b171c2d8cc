//! `shop`: a CD shop that replays 69,659 real purchases and reports what its log then holds.
//!
//! The path of a purchase: [`Input`] reads and checks it, `schedule` lets it start, [`RecordPurchase`] decides about it
//! on the customer's stream and the day's ledger and writes to both, [`Books`] fold the stored log, `audit` compares
//! them with the input, [`Report`] draws the report up, `page` writes it.
//!
//! | to read about | look at |
//! |---|---|
//! | what is recorded, and the rules | [`CustomerEvent`], [`LedgerEvent`], [`RecordPurchase`], [`Refusal`] |
//! | many commands at once, each at most once | `replay`, `schedule`, [`BeginImport`] |
//! | reading the whole log | [`Books`] |
//! | everything that can be wrong with a file | [`Input::load`], [`Fault`] |

mod app;
mod audit;
mod books;
mod calendar;
mod customer;
mod error;
mod import;
mod input;
mod ledger;
mod line;
mod money;
mod options;
mod page;
mod progress;
mod purchase;
mod replay;
mod report;
mod schedule;
mod source;
mod stop;
mod summary;

pub use self::{
    app::{main, run},
    books::{Books, ShopEvent},
    calendar::{Date, DateError, Month},
    customer::{Customer, CustomerEvent, CustomerId, CustomerStream, Tier},
    error::ShopError,
    import::{BeginImport, Import, ImportEvent, OtherInput},
    input::{BadLines, Input, InputError, InputId, Totals},
    ledger::{Ledger, LedgerEvent, LedgerStream},
    line::{BadLine, Fault, Purchase},
    money::{Cents, MoneyError},
    options::{Options, StoreChoice, StoreChoiceError},
    purchase::{RecordPurchase, Refusal},
    report::{MonthLine, Report, TierLine, TopCustomer, VisitClass},
    source::Source,
    summary::{CheckSummary, InputSummary, RunSummary, Status, Summary},
};
