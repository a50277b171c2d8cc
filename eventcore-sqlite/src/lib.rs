//! An embedded, durable event store for eventcore on SQLite.
