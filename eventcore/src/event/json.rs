//! Payloads as JSON text: an enum variant is stored as its content alone, without the variant's Rust name.
//!
//! The application's own `Serialize` and `Deserialize` do the work, so every serde attribute on fields holds. On the
//! way out a serializer takes the content out of its variant; on the way in a deserializer names the variant by index.

use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, VariantAccess, Visitor},
    ser::{
        Impossible, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleVariant,
    },
};
use serde_json::{Deserializer, Error, de::SliceRead, value::Value};

use super::{
    DecodeFailure, EncodeError, EncodedEvent, Event, EventType, Payload, SchemaVersion,
    duplicates::Written,
    finite::{Compound, Finite, FiniteValue},
    plain_numbers::{self, PlainNumbers},
};

type Json<'a> = &'a mut serde_json::Serializer<Vec<u8>>;

/// The content of an enum's variant, stored under the name that the derive gives it.
///
/// # Errors
///
/// [`EncodeError`] for numbers that are not finite, nesting deeper than can be read back, or an enum that serde
/// does not write as one.
pub fn encode_variant<E: Serialize>(
    event: &E,
    event_type: EventType,
    schema: SchemaVersion,
) -> Result<EncodedEvent, EncodeError> {
    encode(event_type, schema, |json, written| {
        event.serialize(Untag(json, written))
    })
}

/// A struct, stored under the name that the derive gives it.
///
/// # Errors
///
/// [`EncodeError`] for numbers that are not finite, and for nesting deeper than can be read back.
pub fn encode_value<E: Serialize>(
    event: &E,
    event_type: EventType,
    schema: SchemaVersion,
) -> Result<EncodedEvent, EncodeError> {
    encode(event_type, schema, |json, written| {
        event.serialize(Finite::new(json, written))
    })
}

fn encode(
    event_type: EventType,
    schema: SchemaVersion,
    write: impl FnOnce(Json<'_>, &Written) -> Result<(), Error>,
) -> Result<EncodedEvent, EncodeError> {
    let mut json = serde_json::Serializer::new(Vec::with_capacity(256));
    let written = Written::default();
    let done = write(&mut json, &written);
    let json = json.into_inner();
    match done.and_then(|()| written.check(&json)) {
        Ok(()) => Ok(EncodedEvent::new(event_type, schema, Payload::from(json))),
        Err(error) => Err(EncodeError::new(event_type, error)),
    }
}

/// The variant of this index (as serde counts them), read from its content.
///
/// # Errors
///
/// [`DecodeFailure::Payload`].
pub fn decode_variant<E: DeserializeOwned>(
    index: u32,
    stored: &EncodedEvent,
) -> Result<E, DecodeFailure> {
    let payload = stored.payload().as_bytes();
    let tag = Tag { index, payload };
    let event = if plain_numbers::are_hidden() {
        E::deserialize(PlainNumbers(tag))
    } else {
        E::deserialize(tag)
    };
    event.map_err(|error| DecodeFailure::Payload(error.into()))
}

/// A whole value, read from its payload.
///
/// # Errors
///
/// [`DecodeFailure::Payload`].
pub fn decode_value<E: DeserializeOwned>(stored: &EncodedEvent) -> Result<E, DecodeFailure> {
    read(stored.payload().as_bytes()).map_err(|error| DecodeFailure::Payload(error.into()))
}

/// Any value, with numbers as the default build of `serde_json` gives them.
pub(crate) fn read<E: DeserializeOwned>(json: &[u8]) -> Result<E, Error> {
    if !plain_numbers::are_hidden() {
        return serde_json::from_slice(json);
    }
    let mut json = Deserializer::from_slice(json);
    let value = E::deserialize(PlainNumbers(&mut json))?;
    json.end()?;
    Ok(value)
}

/// An event that can be made from an old shape of it: whatever has a fitting `TryFrom`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be made from its old shape `{Old}`",
    note = "implement `From<{Old}>` for `{Self}`, or `TryFrom<{Old}>` with an error that converts into a boxed `Error`"
)]
pub trait Upcast<Old>: Sized {
    /// The conversion.
    ///
    /// # Errors
    ///
    /// What `TryFrom` found.
    fn from_old(old: Old) -> Result<Self, Box<dyn std::error::Error + Send + Sync>>;
}

#[diagnostic::do_not_recommend]
impl<Old, E> Upcast<Old> for E
where
    E: TryFrom<Old, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    fn from_old(old: Old) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        E::try_from(old).map_err(E::Error::into)
    }
}

/// Reads an old shape and converts it into today's event.
///
/// # Errors
///
/// [`DecodeFailure::Payload`] or [`DecodeFailure::Upcast`].
pub fn upcast<Old, E>(stored: &EncodedEvent) -> Result<E, DecodeFailure>
where
    Old: DeserializeOwned,
    E: Event + Upcast<Old>,
{
    E::from_old(decode_value(stored)?).map_err(DecodeFailure::Upcast)
}

/// A JSON value with the same refusals as payloads, to be stored two levels down in a text of its own.
pub(crate) fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, Error> {
    let written = Written::default();
    let value_of =
        FiniteValue::at_depth(value, 2, &written).serialize(serde_json::value::Serializer)?;
    if written.may_repeat() {
        to_vec(value)?;
    }
    Ok(value_of)
}

/// A JSON text, with the same refusals as payloads.
pub(crate) fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let written = Written::default();
    let json = serde_json::to_vec(&FiniteValue::at_depth(value, 2, &written))?;
    written.check(&json)?;
    Ok(json)
}

/// Accepts enum variants only and writes their content.
struct Untag<'a>(Json<'a>, &'a Written);

fn not_a_variant<T>() -> Result<T, Error> {
    Err(serde::ser::Error::custom(
        "the enum must serialize as serde's default, externally tagged form",
    ))
}

macro_rules! refuse {
    ($($method:ident($($type:ty),*) -> $ok:ty;)*) => {$(
        fn $method(self, $(_: $type),*) -> Result<$ok, Error> {
            not_a_variant()
        }
    )*};
}

impl<'a> serde::Serializer for Untag<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Impossible<(), Error>;
    type SerializeTuple = Impossible<(), Error>;
    type SerializeTupleStruct = Impossible<(), Error>;
    type SerializeTupleVariant = Content<'a, <Json<'a> as serde::Serializer>::SerializeTuple>;
    type SerializeMap = Impossible<(), Error>;
    type SerializeStruct = Impossible<(), Error>;
    type SerializeStructVariant = Content<'a, <Json<'a> as serde::Serializer>::SerializeStruct>;

    refuse! {
        serialize_bool(bool) -> ();
        serialize_i8(i8) -> ();
        serialize_i16(i16) -> ();
        serialize_i32(i32) -> ();
        serialize_i64(i64) -> ();
        serialize_u8(u8) -> ();
        serialize_u16(u16) -> ();
        serialize_u32(u32) -> ();
        serialize_u64(u64) -> ();
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_char(char) -> ();
        serialize_str(&str) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct(&'static str, usize) -> Self::SerializeStruct;
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<(), Error> {
        not_a_variant()
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: &T,
    ) -> Result<(), Error> {
        not_a_variant()
    }

    /// An object and not `null`, so that the variant may grow fields later.
    fn serialize_unit_variant(self, name: &'static str, _: u32, _: &str) -> Result<(), Error> {
        SerializeStruct::end(self.0.serialize_struct(name, 0)?)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(Finite::new(self.0, self.1))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        Finite::new(self.0, self.1)
            .serialize_tuple(len)
            .map(Content)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        Finite::new(self.0, self.1)
            .serialize_struct(name, len)
            .map(Content)
    }
}

/// The fields of a variant, written as a struct or tuple of their own. A type of its own, since a format's struct
/// writer may be its variant writer too, and close a tag that was never opened.
struct Content<'w, C>(Compound<'w, C>);

impl<C: SerializeStruct> SerializeStructVariant for Content<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), C::Error> {
        SerializeStruct::serialize_field(&mut self.0, key, value)
    }

    fn skip_field(&mut self, key: &'static str) -> Result<(), C::Error> {
        SerializeStruct::skip_field(&mut self.0, key)
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        SerializeStruct::end(self.0)
    }
}

impl<C: SerializeTuple> SerializeTupleVariant for Content<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        SerializeTuple::serialize_element(&mut self.0, value)
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        SerializeTuple::end(self.0)
    }
}

/// Stands for an externally tagged enum of which the tag is known and the payload is the content.
struct Tag<'de> {
    index: u32,
    payload: &'de [u8],
}

impl<'de> Tag<'de> {
    fn content<T>(
        self,
        read: impl FnOnce(&mut Deserializer<SliceRead<'de>>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut json = Deserializer::from_slice(self.payload);
        let value = read(&mut json)?;
        json.end()?;
        Ok(value)
    }
}

impl<'de> serde::Deserializer<'de> for Tag<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom(
            "the enum must deserialize from serde's default, externally tagged form",
        ))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Tag<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let variant = seed.deserialize(self.index.into_deserializer())?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Tag<'de> {
    type Error = Error;

    /// Any JSON will do: the variant may have had fields before.
    fn unit_variant(self) -> Result<(), Error> {
        self.content(|json| serde::de::IgnoredAny::deserialize(json).map(drop))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        self.content(|json| seed.deserialize(json))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.content(|json| serde::Deserializer::deserialize_tuple(json, len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.content(|json| serde::Deserializer::deserialize_struct(json, "", fields, visitor))
    }
}
