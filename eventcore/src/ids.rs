//! Identifiers of events, of chains of events, and of commands.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The identity of one event: a UUID of version 7.
///
/// Its time part is the client's clock. It identifies and never orders: order is the
/// [`GlobalPosition`](crate::GlobalPosition).
///
/// ```
/// use eventcore::EventId;
///
/// let id = EventId::generate();
/// assert_eq!(id.to_string().parse::<EventId>()?, id);
/// # Ok::<(), eventcore::IdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Uuid", into = "Uuid")]
pub struct EventId(Uuid);

impl EventId {
    /// A new identity, from the clock and random bits.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl TryFrom<Uuid> for EventId {
    type Error = IdError;
    fn try_from(uuid: Uuid) -> Result<Self, Self::Error> {
        match uuid.get_version_num() {
            7 => Ok(Self(uuid)),
            version => Err(IdError::NotVersion7 { uuid, version }),
        }
    }
}

/// What ties together everything that one request set in motion.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CorrelationId(Uuid);

impl CorrelationId {
    /// A new chain.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl From<Uuid> for CorrelationId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

/// The event, message or request that directly caused this one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CausationId(Uuid);

impl From<Uuid> for CausationId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl From<EventId> for CausationId {
    fn from(event: EventId) -> Self {
        Self(event.0)
    }
}

macro_rules! uuid_text {
    ($type:ident, $from:expr) => {
        impl $type {
            /// The UUID.
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self.0)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl From<$type> for Uuid {
            fn from(id: $type) -> Self {
                id.0
            }
        }

        impl FromStr for $type {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let uuid = Uuid::parse_str(text).map_err(|source| IdError::NotUuid {
                    text: text.chars().take(64).collect(),
                    source,
                })?;
                $from(uuid)
            }
        }
    };
}

uuid_text!(EventId, EventId::try_from);
uuid_text!(CorrelationId, |uuid| Ok(CorrelationId(uuid)));
uuid_text!(CausationId, |uuid| Ok(CausationId(uuid)));

/// Why a text or UUID is not the identifier asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// Not a UUID at all.
    #[error("`{text}` is not a UUID")]
    NotUuid {
        /// The input, at most 64 characters of it.
        text: String,
        /// What the parser found.
        source: uuid::Error,
    },
    /// A UUID of another version.
    #[error("an event id is a UUID of version 7, {uuid} is of version {version}")]
    NotVersion7 {
        /// The input.
        uuid: Uuid,
        /// Its version.
        version: usize,
    },
    /// An idempotency key of unfit length or with control characters.
    #[error("an idempotency key has 1 to 255 characters and no control characters, got {key:?}")]
    BadKey {
        /// The input, at most 64 characters of it.
        key: String,
    },
}

/// The name under which a command takes effect at most once: 1 to 255 characters, no control characters.
///
/// Byte for byte and not trimmed, since keys come from machines. See
/// [`Execution::idempotency_key`](crate::Execution::idempotency_key).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(Arc<str>);

impl IdempotencyKey {
    /// The key, checked.
    ///
    /// # Errors
    ///
    /// [`IdError::BadKey`], which quotes the input.
    pub fn try_new(key: impl AsRef<str>) -> Result<Self, IdError> {
        let key = key.as_ref();
        if key.is_empty() || key.chars().count() > 255 || key.chars().any(char::is_control) {
            return Err(IdError::BadKey {
                key: key.chars().take(64).collect(),
            });
        }
        Ok(Self(key.into()))
    }

    /// A new key that nobody else has; ordered by time, which keeps indexes compact.
    pub fn generate() -> Self {
        Self::from(Uuid::now_v7())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Uuid> for IdempotencyKey {
    fn from(uuid: Uuid) -> Self {
        let mut buffer = Uuid::encode_buffer();
        let text: &str = uuid.hyphenated().encode_lower(&mut buffer);
        Self(text.into())
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for IdempotencyKey {
    type Err = IdError;
    fn from_str(key: &str) -> Result<Self, Self::Err> {
        Self::try_new(key)
    }
}

impl TryFrom<&str> for IdempotencyKey {
    type Error = IdError;
    fn try_from(key: &str) -> Result<Self, Self::Error> {
        Self::try_new(key)
    }
}

impl TryFrom<String> for IdempotencyKey {
    type Error = IdError;
    fn try_from(key: String) -> Result<Self, Self::Error> {
        Self::try_new(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_is_of_version_7() {
        let error = EventId::try_from(Uuid::nil()).unwrap_err();
        assert!(error.to_string().contains("version 0"), "{error}");
    }

    #[test]
    fn text_that_is_no_uuid_is_quoted() {
        let error = "nonsense".parse::<CorrelationId>().unwrap_err();
        assert!(error.to_string().contains("`nonsense`"), "{error}");
    }

    #[test]
    fn keys_are_bounded_and_printable() {
        assert!(IdempotencyKey::try_new("k".repeat(255)).is_ok());
        for bad in [String::new(), "k".repeat(256), "a\0b".into()] {
            assert!(IdempotencyKey::try_new(&bad).is_err(), "{bad:?}");
        }
    }
}
