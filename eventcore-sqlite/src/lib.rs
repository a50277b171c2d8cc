//! An embedded, durable event store on SQLite, and projections in SQLite: one file, no set-up.
//!
//! [`SqliteEventStore`], the events:
//!
//! * [`SqliteEventStore::open`] makes the file if it is not there, and its tables; see [`SqliteOptions`].
//! * Isolation: appends are serialisable (one writer at a time, over all processes); each read sees one snapshot.
//! * Durability: WAL with `synchronous=FULL`; an acknowledged append survives a power cut.
//! * [`SqliteEventStore::backup_to`] copies the file while it is open; nothing else may.
//! * Read models can be changed in the transaction of each append ([`SqliteOptions::inline`]).
//! * Whoever waits for events is woken by each append of this process at once, and of others within some 20 ms.
//!
//! [`SqliteProjections`], the read models:
//!
//! * A [`SqliteUnit`] is one transaction: documents, tables of your own ([`SqliteUnit::connection`]), dead letters and
//!   checkpoint move together, so each event takes effect exactly once.
//! * A file of its own lets it never compete with appends. Checkpoints name positions of *one* log, so do not use
//!   one file for the projections of two.
//! * Isolation: units are serialisable, and fenced by the epoch of their lease; each read sees one snapshot.
//!
//! The path of an append: `store` puts it into a bounded queue, the thread in `writer` takes what waits and commits
//! it as one transaction, in which `append` checks and inserts each batch. The path of a read: a queue, a thread of
//! `readers`, the SQL of `select`. What `projections` does is told there.

mod append;
mod backup;
mod connection;
mod errors;
mod identity;
mod ledger;
mod merge;
mod options;
mod place;
mod projections;
mod queue;
mod readers;
mod retry;
mod row;
mod schema;
mod select;
mod store;
mod watch;
mod writer;

/// The SQLite library underneath, in the version that [`SqliteUnit::connection`] speaks.
pub use rusqlite;

pub use self::{
    options::{Durability, SqliteOptions},
    projections::{SqliteProjections, SqliteProjectionsOptions, SqliteUnit},
    store::SqliteEventStore,
};
