//! Reading documents, typed.

use std::{fmt, marker::PhantomData};

use super::{
    DocumentKey, DocumentKeyError, DocumentQuery, ProjectionName, ProjectionNameError,
    ProjectionStore, ProjectionStoreError, ReadModel,
};

/// The documents of a read model, as its readers see them: those of the active version.
///
/// See [`ReadModel`] for an example.
pub struct Documents<'s, M, S> {
    store: &'s S,
    name: ProjectionName,
    model: PhantomData<fn() -> M>,
}

impl<M, S> fmt::Debug for Documents<'_, M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Documents({})", self.name)
    }
}

/// Why a document could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The key is none.
    #[error(transparent)]
    Key(#[from] DocumentKeyError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] ProjectionStoreError),
    /// What is stored is not what the read model stores: its shape changed without a new version.
    #[error("document `{key}` of projection `{name}` cannot be decoded")]
    Decode {
        /// The projection.
        name: ProjectionName,
        /// The document.
        key: DocumentKey,
        /// What the decoder found.
        source: serde_json::Error,
    },
}

impl<'s, M: ReadModel, S: ProjectionStore> Documents<'s, M, S> {
    /// The documents of this model in a store.
    ///
    /// # Errors
    ///
    /// [`ProjectionNameError`] when the model's name is none.
    pub fn new(store: &'s S) -> Result<Self, ProjectionNameError> {
        Ok(Self {
            store,
            name: ProjectionName::try_new(M::NAME)?,
            model: PhantomData,
        })
    }

    /// The document under a key, if there is one.
    ///
    /// # Errors
    ///
    /// [`DocumentError`].
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    pub async fn get(&self, key: impl AsRef<str>) -> Result<Option<M::Document>, DocumentError> {
        let key = DocumentKey::try_new(key)?;
        let mut found = self
            .store
            .documents(&self.name, std::slice::from_ref(&key))
            .await?;
        let body = found.pop().flatten();
        body.map(|body| self.decode(&key, &body)).transpose()
    }

    /// The documents that a query asks for, with their keys.
    ///
    /// # Errors
    ///
    /// [`DocumentError`].
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    pub async fn find(
        &self,
        query: &DocumentQuery,
    ) -> Result<Vec<(DocumentKey, M::Document)>, DocumentError> {
        let found = self.store.query(&self.name, query).await?;
        found
            .into_iter()
            .map(|raw| Ok((raw.key.clone(), self.decode(&raw.key, &raw.body)?)))
            .collect()
    }

    fn decode(&self, key: &DocumentKey, body: &str) -> Result<M::Document, DocumentError> {
        crate::event::read(body.as_bytes()).map_err(|source| DocumentError::Decode {
            name: self.name.clone(),
            key: key.clone(),
            source,
        })
    }
}
