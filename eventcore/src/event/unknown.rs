//! What a catch-all variant holds.

use serde::{Deserialize, Serialize};

use super::{DecodeFailure, EncodedEvent, EventType, Payload, SchemaVersion};

/// An event of a type that the enum does not know: the payload of a `#[event(catch_all)]` variant.
///
/// Emitting it stores the same type, version and bytes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownEvent(EncodedEvent);

impl UnknownEvent {
    /// The stored name of its type.
    pub fn event_type(&self) -> &EventType {
        self.0.event_type()
    }

    /// The version of its shape.
    pub fn schema(&self) -> SchemaVersion {
        self.0.schema()
    }

    /// Its bytes.
    pub fn payload(&self) -> &Payload {
        self.0.payload()
    }

    /// Its bytes read as JSON.
    ///
    /// # Errors
    ///
    /// [`DecodeFailure::Payload`] when they are no JSON of this type.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, DecodeFailure> {
        serde_json::from_slice(self.payload().as_bytes())
            .map_err(|error| DecodeFailure::Payload(error.into()))
    }
}

impl From<EncodedEvent> for UnknownEvent {
    fn from(event: EncodedEvent) -> Self {
        Self(event)
    }
}

impl From<&UnknownEvent> for EncodedEvent {
    fn from(event: &UnknownEvent) -> Self {
        event.0.clone()
    }
}

#[derive(Serialize, Deserialize)]
struct Parts {
    #[serde(rename = "type")]
    event_type: String,
    schema: SchemaVersion,
    payload: Vec<u8>,
}

// Only so that an enum with a catch-all can derive serde's traits; stores never use this form.
impl Serialize for UnknownEvent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Parts {
            event_type: self.event_type().to_string(),
            schema: self.schema(),
            payload: self.payload().as_bytes().to_vec(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for UnknownEvent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = Parts::deserialize(deserializer)?;
        let event_type = EventType::try_new(parts.event_type).map_err(serde::de::Error::custom)?;
        let payload = Payload::from(parts.payload);
        Ok(Self(EncodedEvent::new(event_type, parts.schema, payload)))
    }
}
