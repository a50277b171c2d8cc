//! Why a statement of a projection failed, before anybody said what was being done.

use eventcore::{
    projection::ProjectionStoreError,
    store::{StoreError, StoreErrorKind},
};

use crate::errors::store_error;

/// Either of SQLite's own errors, or one that is complete.
#[derive(Debug)]
pub(crate) enum Trouble {
    Sql(rusqlite::Error),
    Told(ProjectionStoreError),
}

impl Trouble {
    /// Something in the tables that nothing of ours wrote.
    pub(crate) fn damaged(
        what: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let text = format!("{what} cannot be read; restore the file from a backup");
        let error = StoreError::new("read a projection", StoreErrorKind::Corrupt, text);
        Self::Told(error.with_source(source).into())
    }

    /// The error, with what was being done.
    pub(crate) fn during(self, operation: &'static str) -> ProjectionStoreError {
        match self {
            Self::Sql(error) => store_error(operation, error).into(),
            Self::Told(error) => error,
        }
    }

    /// The same for those who know of no projections.
    pub(crate) fn store_error(self, operation: &'static str) -> StoreError {
        match self.during(operation) {
            ProjectionStoreError::Store(error) => error,
            other => StoreError::new(operation, StoreErrorKind::Other, other.to_string()),
        }
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<ProjectionStoreError> for Trouble {
    fn from(error: ProjectionStoreError) -> Self {
        Self::Told(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Told(error.into())
    }
}
