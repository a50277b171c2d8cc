//! A database of one test.

use super::{TempPostgres, TempPostgresError};

/// A database of one test, dropped with this value, whoever is still connected to it.
#[derive(Debug)]
pub struct TempDatabase<'s> {
    pub(super) server: &'s TempPostgres,
    pub(super) name: String,
}

impl TempDatabase<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its URL, over the server's private socket (or the server of `DATABASE_URL`).
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// Its URL over TCP, if the server listens there.
    pub fn tcp_url(&self) -> Option<String> {
        self.server.tcp_url(&self.name)
    }

    /// Runs SQL in it with `psql`, as superuser, and gives the rows: one a line, columns separated by `|`.
    ///
    /// # Errors
    ///
    /// [`TempPostgresError::Command`] with what `psql` says.
    pub fn sql(&self, sql: &str) -> Result<String, TempPostgresError> {
        self.server.sql(&self.name, sql)
    }
}

impl Drop for TempDatabase<'_> {
    fn drop(&mut self) {
        // A server that was stopped takes it along at its end.
        let sql = format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", self.name);
        let _ = self.server.administer(&sql);
    }
}
