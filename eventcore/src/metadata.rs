//! What is known about a command beside its events.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{CausationId, CorrelationId, Event, StoredEvent};

/// What a command's events carry beside their data: who, why, and whatever the application adds.
///
/// Correlation and causation are kept apart from the rest, since stores index or join on them.
///
/// ```
/// use eventcore::Metadata;
///
/// let metadata = Metadata::new().actor("alice").with("tenant", &42_u32)?;
/// assert_eq!(metadata.get::<u32>("tenant")?, Some(42));
/// # Ok::<(), eventcore::MetadataError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    correlation_id: Option<CorrelationId>,
    causation_id: Option<CausationId>,
    stored: Stored,
}

/// The part that is stored as one JSON text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Stored {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    custom: BTreeMap<String, Value>,
}

/// A metadata value that cannot be written as JSON, or read as the type asked for.
#[derive(Debug, thiserror::Error)]
#[error("metadata `{key}` cannot be {action}")]
pub struct MetadataError {
    key: String,
    action: &'static str,
    #[source]
    source: serde_json::Error,
}

impl Metadata {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Who asked for the command.
    #[must_use]
    pub fn actor(mut self, actor: impl Into<String>) -> Self {
        self.stored.actor = Some(actor.into());
        self
    }

    /// The chain that the command belongs to; without it each command starts a chain of its own.
    #[must_use]
    pub fn correlation_id(mut self, id: impl Into<CorrelationId>) -> Self {
        self.correlation_id = Some(id.into());
        self
    }

    /// What directly caused the command.
    #[must_use]
    pub fn causation_id(mut self, id: impl Into<CausationId>) -> Self {
        self.causation_id = Some(id.into());
        self
    }

    /// The command is a consequence of this event: same chain, and the event as its cause.
    #[must_use]
    pub fn caused_by<E: Event>(self, event: &StoredEvent<E>) -> Self {
        self.correlation_id(event.correlation_id())
            .causation_id(event.id())
    }

    /// Adds a value of the application's own, in place of an earlier one of the same key.
    ///
    /// # Errors
    ///
    /// [`MetadataError`] when the value has no JSON form (a map whose keys are no strings, a NaN).
    pub fn with<T: Serialize + ?Sized>(
        mut self,
        key: impl Into<String>,
        value: &T,
    ) -> Result<Self, MetadataError> {
        let key = key.into();
        let json = crate::event::to_value(value).map_err(|source| MetadataError {
            key: key.clone(),
            action: "written as JSON",
            source,
        })?;
        self.stored.custom.insert(key, json);
        Ok(self)
    }

    /// The value of a key, if there is one.
    ///
    /// # Errors
    ///
    /// [`MetadataError`] when there is one of another type.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, MetadataError> {
        self.stored
            .custom
            .get(key)
            .map(T::deserialize)
            .transpose()
            .map_err(|source| MetadataError {
                key: key.to_owned(),
                action: "read as the type asked for",
                source,
            })
    }

    /// The application's own keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.stored.custom.keys().map(String::as_str)
    }

    /// Who asked for the command, if that was said.
    pub fn get_actor(&self) -> Option<&str> {
        self.stored.actor.as_deref()
    }

    /// The chain, if one was given.
    pub fn get_correlation_id(&self) -> Option<CorrelationId> {
        self.correlation_id
    }

    /// The direct cause, if one was given.
    pub fn get_causation_id(&self) -> Option<CausationId> {
        self.causation_id
    }

    /// Actor and custom values as stored text; nothing when there is nothing to store.
    pub(crate) fn to_text(&self) -> Result<Option<String>, MetadataError> {
        if self.stored == Stored::default() {
            return Ok(None);
        }
        serde_json::to_string(&self.stored)
            .map(Some)
            .map_err(|source| MetadataError {
                key: "*".into(),
                action: "written as JSON",
                source,
            })
    }

    pub(crate) fn from_stored(
        correlation_id: CorrelationId,
        causation_id: Option<CausationId>,
        text: Option<&str>,
    ) -> Result<Self, MetadataError> {
        let stored = text
            .map(serde_json::from_str)
            .transpose()
            .map_err(|source| MetadataError {
                key: "*".into(),
                action: "read from the store",
                source,
            })?;
        Ok(Self {
            correlation_id: Some(correlation_id),
            causation_id,
            stored: stored.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_reads_back() {
        let metadata = Metadata::new().actor("bob").with("n", &u64::MAX).unwrap();
        let text = metadata.to_text().unwrap();
        let chain = CorrelationId::generate();
        let back = Metadata::from_stored(chain, None, text.as_deref()).unwrap();
        assert_eq!(back, metadata.correlation_id(chain));
    }

    #[test]
    fn whatever_nesting_is_accepted_reads_back() {
        let mut deepest = 0;
        for levels in 0..200 {
            let value = (0..levels).fold(Value::Null, |inner, _| Value::from(vec![inner]));
            let Ok(metadata) = Metadata::new().with("nested", &value) else {
                continue;
            };
            let text = metadata.to_text().unwrap();
            let back = Metadata::from_stored(CorrelationId::generate(), None, text.as_deref());
            assert_eq!(back.unwrap().get("nested").unwrap(), Some(value));
            deepest = levels;
        }
        assert!(deepest > 100, "{deepest}");
    }

    #[test]
    fn nothing_is_stored_for_nothing() {
        let bare = Metadata::new().correlation_id(CorrelationId::generate());
        assert_eq!(bare.to_text().unwrap(), None);
    }

    #[test]
    fn a_nan_is_refused_and_a_wrong_type_is_named() {
        assert!(Metadata::new().with("x", &f64::NAN).is_err());
        let metadata = Metadata::new().with("x", &1).unwrap();
        let error = metadata.get::<String>("x").unwrap_err();
        assert!(error.to_string().contains("`x`"), "{error}");
    }
}
