//! `shop`: a CD shop that replays 69,659 real purchases and reports what its log then holds.
//!
//! The path of a purchase: [`Input`] reads and checks it, `schedule` lets it start, [`RecordPurchase`] decides about it
//! on the customer's stream and the day's ledger and writes to both, the read models [`Customers`] and [`Months`] follow
//! the log, [`Report`] draws the report up from them, `page` writes it. To make sure, [`Books`] fold the whole log:
//! `audit` compares them with the input, and [`Figures`] the read models with them.
//!
//! | to read about | look at |
//! |---|---|
//! | what is recorded, and the rules | [`CustomerEvent`], [`LedgerEvent`], [`RecordPurchase`], [`Refusal`] |
//! | many commands at once, each at most once | `replay`, `schedule`, [`BeginImport`] |
//! | read models: what they keep, running them, following them | [`Customers`], [`Months`], `views`, [`watch`] |
//! | reading the whole log | [`Books`] |
//! | everything that can be wrong with a file | [`Input::load`], [`Fault`] |

mod app;
mod audit;
mod books;
mod calendar;
mod customer;
mod error;
mod figures;
mod import;
mod input;
mod ledger;
mod line;
mod money;
mod opened;
mod options;
mod page;
mod progress;
mod purchase;
mod read_models;
mod replay;
mod report;
mod run;
mod schedule;
mod source;
mod standing;
mod stop;
mod store_choice;
mod summary;
mod views;
mod watch;

pub use self::{
    app::main,
    books::{Books, ShopEvent},
    calendar::{Date, DateError, Month},
    customer::{Customer, CustomerEvent, CustomerId, CustomerStream, Tier},
    error::ShopError,
    figures::{Account, Figures, Takings},
    import::{BeginImport, Import, ImportEvent, OtherInput},
    input::{BadLines, Input, InputError, InputId, Totals},
    ledger::{Ledger, LedgerEvent, LedgerStream},
    line::{BadLine, Fault, Purchase},
    money::{Cents, MoneyError},
    options::{LookOptions, Options, ReportOptions, Task, WatchOptions},
    purchase::{RecordPurchase, Refusal},
    read_models::{CustomerCard, Customers, MonthSheet, Months},
    report::{MonthLine, Report, TierLine, TopCustomer, VisitClass},
    run::run,
    source::Source,
    standing::report,
    store_choice::{StoreChoice, StoreChoiceError},
    summary::{
        CheckSummary, InputSummary, ReadModelsSummary, RunSummary, Standing, Status, Summary,
    },
    watch::{Reading, watch},
};
