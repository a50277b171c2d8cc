//! Events: their stored name, schema version and payload, and the way there and back.

mod duplicates;
mod finite;
mod json;
mod plain_numbers;
mod reading_back;
mod sorted;
mod stored;
mod unknown;

use std::{borrow::Borrow, fmt, num::NonZeroU32, sync::Arc};

use serde::{Deserialize, Serialize};

#[doc(hidden)]
pub use self::json::{Upcast, decode_value, decode_variant, encode_value, encode_variant, upcast};
#[doc(hidden)]
pub use self::reading_back::{Pair, ViaDebug, ViaEncoding, ViaPartialEq, reads_back};
pub(crate) use self::{
    json::{read, to_value, to_vec},
    sorted::sorted,
};
pub use self::{
    stored::{DecodeError, StoredEvent},
    unknown::UnknownEvent,
};

/// Something that happened, in the application's own words.
///
/// What serde cannot read back from JSON cannot be an event's data. Most of it is refused when an event is emitted;
/// what shows only when it is read, such as 128-bit integers inside of `#[serde(flatten)]`, is found by reading each
/// event back at once ([`Execution::verify_events`](crate::Execution::verify_events)).
///
/// Derive it: `#[derive(Event)]` gives each variant a stored name of its own, so that renaming or moving Rust code
/// never breaks history. Write it by hand for another payload format.
///
/// ```
/// use eventcore::prelude::*;
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
/// #[event(prefix = "account")]
/// enum AccountEvent {
///     Opened { owner: String },
///     Closed,
/// }
///
/// let stored = AccountEvent::Opened { owner: "Ann".into() }.encode()?;
/// assert_eq!(stored.event_type().as_str(), "account.opened");
/// assert_eq!(stored.payload().as_bytes(), br#"{"owner":"Ann"}"#);
/// assert_eq!(AccountEvent::decode(&stored)?, Some(AccountEvent::Opened { owner: "Ann".into() }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    note = "put `#[derive(Serialize, Deserialize, Event)]` on it"
)]
pub trait Event: Sized + Send + Sync + 'static {
    /// Whether [`Event::decode`] takes any type; the derive refuses to ask anybody after such an enum.
    #[doc(hidden)]
    const CATCHES_ALL: bool = false;

    /// The stored form of this event.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when a value has no faithful stored form, such as a NaN.
    fn encode(&self) -> Result<EncodedEvent, EncodeError>;

    /// The event that this stored form means, or `None` when its type is not one of this enum's.
    ///
    /// # Errors
    ///
    /// [`DecodeFailure`] when the type is known and the payload does not fit it.
    fn decode(stored: &EncodedEvent) -> Result<Option<Self>, DecodeFailure>;

    /// Whether the stored form reads back as this event.
    #[doc(hidden)]
    fn reads_back(&self, stored: &EncodedEvent) -> Result<(), EncodeError> {
        reads_back(self, stored, |_, _| None)
    }

    /// Every stored name that [`Event::decode`] knows, aliases and wrapped enums included.
    fn stored_types() -> Vec<EventType>;
}

/// An event as stores see it: a type name, a schema version and opaque bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedEvent {
    event_type: EventType,
    schema: SchemaVersion,
    payload: Payload,
}

impl EncodedEvent {
    /// Puts the three parts together.
    pub fn new(event_type: EventType, schema: SchemaVersion, payload: Payload) -> Self {
        Self {
            event_type,
            schema,
            payload,
        }
    }

    /// The stored name of the type.
    pub fn event_type(&self) -> &EventType {
        &self.event_type
    }

    /// The version of the payload's shape.
    pub fn schema(&self) -> SchemaVersion {
        self.schema
    }

    /// The bytes.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }
}

/// The stored name of a type of events: 1 to 255 characters, no white space, no control characters.
#[derive(Clone)]
pub struct EventType(Name);

#[derive(Clone)]
enum Name {
    Static(&'static str),
    Shared(Arc<str>),
}

/// A text that is no [`EventType`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event type has 1 to 255 characters, none of them white space or control, got {name:?}")]
pub struct EventTypeError {
    name: String,
}

impl EventType {
    /// The name, checked.
    ///
    /// # Errors
    ///
    /// [`EventTypeError`], which quotes the input.
    pub fn try_new(name: impl AsRef<str>) -> Result<Self, EventTypeError> {
        let name = name.as_ref();
        let unfit = |c: char| c.is_control() || c.is_whitespace();
        if name.is_empty() || name.chars().count() > 255 || name.chars().any(unfit) {
            return Err(EventTypeError {
                name: name.chars().take(64).collect(),
            });
        }
        Ok(Self(Name::Shared(name.into())))
    }

    /// For the derive, which has checked the name at compile time.
    #[doc(hidden)]
    pub const fn from_checked(name: &'static str) -> Self {
        Self(Name::Static(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Name::Static(name) => name,
            Name::Shared(name) => name,
        }
    }
}

impl PartialEq for EventType {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for EventType {}

impl PartialOrd for EventType {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for EventType {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl std::hash::Hash for EventType {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for EventType {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventType({:?})", self.as_str())
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<&str> for EventType {
    type Error = EventTypeError;
    fn try_from(name: &str) -> Result<Self, Self::Error> {
        Self::try_new(name)
    }
}

/// The version of a payload's shape, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SchemaVersion(NonZeroU32);

impl SchemaVersion {
    /// The first shape.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The version of this number; `None` for 0.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The bytes of an event's data; JSON text unless the event type encodes itself. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Payload(Arc<[u8]>);

impl Payload {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Payload({})",
            String::from_utf8_lossy(&self.0).escape_debug()
        )
    }
}

/// An event that has no faithful stored form.
#[derive(Debug, thiserror::Error)]
#[error("event `{event_type}` cannot be stored")]
pub struct EncodeError {
    event_type: EventType,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl EncodeError {
    /// Says which type of event could not be stored and why.
    pub fn new(
        event_type: EventType,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            event_type,
            source: source.into(),
        }
    }

    /// The stored name of the event's type.
    pub fn event_type(&self) -> &EventType {
        &self.event_type
    }
}

/// Why a stored form could not be turned into an event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeFailure {
    /// No variant of the enum has this stored name, and it has no catch-all.
    #[error("the type is unknown to `{event}`")]
    UnknownType {
        /// The Rust type that was asked to decode.
        event: &'static str,
    },
    /// The stored shape is newer than the code, or no upcaster leads from it to today's.
    #[error("its shape has version {found}, this program knows {known:?}")]
    UnknownSchema {
        /// The version in the store.
        found: SchemaVersion,
        /// The versions that the code reads.
        known: &'static [u32],
    },
    /// The bytes are not what the type needs.
    #[error("its payload does not fit the type")]
    Payload(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The conversion of an old shape refused the data.
    #[error("its old shape could not be converted")]
    Upcast(#[source] Box<dyn std::error::Error + Send + Sync>),
}
