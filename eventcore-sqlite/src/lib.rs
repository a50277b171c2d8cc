//! An embedded, durable event store on SQLite: one file, no set-up.
//!
//! * [`SqliteEventStore::open`] makes the file if it is not there, and its tables; see [`SqliteOptions`].
//! * Isolation: appends are serialisable (one writer at a time, over all processes); each read sees one snapshot.
//! * Durability: WAL with `synchronous=FULL`; an acknowledged append survives a power cut.
//!
//! The path of an append: `store` puts it into a bounded queue, the thread in `writer` takes what waits and commits
//! it as one transaction, in which `append` checks and inserts each batch. The path of a read: a queue, a thread of
//! `readers`, the SQL of `select`.

mod append;
mod connection;
mod errors;
mod options;
mod readers;
mod row;
mod schema;
mod select;
mod store;
mod writer;

pub use self::{
    options::{Durability, SqliteOptions},
    store::SqliteEventStore,
};
