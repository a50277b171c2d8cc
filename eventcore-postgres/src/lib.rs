//! An event store on PostgreSQL.
//!
//! * Connect with [`PostgresEventStore::connect`], or over a pool of your own with [`PostgresEventStore::from_pool`];
//!   make the tables with [`PostgresEventStore::migrate`], which is safe to run from many processes at once.
//! * Isolation: appends are serialisable (one at a time decides, over all processes); each read sees one snapshot.
//! * One round trip to read any number of streams, one to append to any number of them. What waits at the same moment
//!   travels together.
//! * A command whose acknowledgement was lost is never doubled and never lost: its key is written with its events, and
//!   `execute` asks before it decides anew.
//! * Read models live in [`PostgresProjections`], beside the events or elsewhere: effect and checkpoint in one
//!   transaction, fenced by the row of the partition. A projection may write to its own tables in it
//!   ([`PostgresUnit::connection`]) with [`sqlx`].
//! * Who waits for events is woken by appends of the same process at once, and of others by LISTEN and NOTIFY, which
//!   may fail in every way ([`PostgresOptions::wakeups`]).
//! * Read models can be changed in the transaction of each append ([`PostgresOptions::inline`]).
//!
//! The path of an append: `store` puts it into a bounded queue; the task in `appends` takes what waits and calls the
//! function of `sql/002_append.sql` once; in a transaction of `inline` where read models change with it. The path of a
//! read: a queue, the task in `reads`, one statement.

mod append_call;
mod appends;
mod crowd;
mod errors;
mod held;
mod inline;
mod log_page;
mod mode;
mod options;
mod projections;
mod queue;
mod read_call;
mod reads;
mod row;
mod schema;
mod sessions;
mod store;
mod wakeups;

/// The library underneath, of the version that pools and [`PostgresUnit::connection`] are of.
pub use sqlx;

pub use self::{
    options::{PostgresOptions, SchemaName, SchemaNameError},
    projections::{PostgresProjections, PostgresUnit},
    store::PostgresEventStore,
};
