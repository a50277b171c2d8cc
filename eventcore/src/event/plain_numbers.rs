//! Numbers as `serde_json` gives them by default, whatever features of it are turned on.
//!
//! A crate anywhere in a program may turn on `arbitrary_precision`. A float, or an integer beyond 64 bits, that is asked
//! for without a type then comes as a map with a private key, which serde's buffer for `#[serde(flatten)]` and for
//! tagged enums cannot turn into a number any more: stored events would become unreadable. Where the feature is on,
//! payloads are read through [`PlainNumbers`], which gives such numbers as the default build does. Where it is off,
//! nothing stands in between.

use std::{fmt, sync::OnceLock};

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
        Visitor, value::StringDeserializer,
    },
};

/// The key under which `serde_json` hides a number.
const HIDDEN: &str = "$serde_json::private::Number";

/// Whether numbers are hidden in this program.
pub(super) fn are_hidden() -> bool {
    struct Hidden(bool);
    impl<'de> Deserialize<'de> for Hidden {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Look;
            impl<'de> Visitor<'de> for Look {
                type Value = Hidden;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a number")
                }
                fn visit_f64<E>(self, _: f64) -> Result<Hidden, E> {
                    Ok(Hidden(false))
                }
                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Hidden, A::Error> {
                    let hidden = map.next_entry::<String, String>()?.is_some();
                    Ok(Hidden(hidden))
                }
            }
            deserializer.deserialize_any(Look)
        }
    }
    static HIDDEN: OnceLock<bool> = OnceLock::new();
    *HIDDEN.get_or_init(|| serde_json::from_str::<Hidden>("1.5").is_ok_and(|hidden| hidden.0))
}

/// A deserializer, and all that it leads to, with plain numbers.
pub(super) struct PlainNumbers<T>(pub(super) T);

/// The same for what is asked for without a type: a map may be a number.
struct Untyped<V>(V);

macro_rules! typed {
    ($($method:ident($($name:ident: $type:ty),*);)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method($($name,)* PlainNumbers(visitor))
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for PlainNumbers<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(Untyped(PlainNumbers(visitor)))
    }

    typed! {
        deserialize_bool();
        deserialize_i8();
        deserialize_i16();
        deserialize_i32();
        deserialize_i64();
        deserialize_i128();
        deserialize_u8();
        deserialize_u16();
        deserialize_u32();
        deserialize_u64();
        deserialize_u128();
        deserialize_f32();
        deserialize_f64();
        deserialize_char();
        deserialize_str();
        deserialize_string();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_option();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        deserialize_newtype_struct(name: &'static str);
        deserialize_seq();
        deserialize_tuple(len: usize);
        deserialize_tuple_struct(name: &'static str, len: usize);
        deserialize_map();
        deserialize_struct(name: &'static str, fields: &'static [&'static str]);
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
        deserialize_identifier();
        deserialize_ignored_any();
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! scalars {
    ($($method:ident($type:ty);)*) => {$(
        fn $method<E: Error>(self, v: $type) -> Result<V::Value, E> {
            self.0.$method(v)
        }
    )*};
}

macro_rules! visits {
    () => {
        type Value = V::Value;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.expecting(f)
        }

        scalars! {
            visit_bool(bool);
            visit_i8(i8);
            visit_i16(i16);
            visit_i32(i32);
            visit_i64(i64);
            visit_i128(i128);
            visit_u8(u8);
            visit_u16(u16);
            visit_u32(u32);
            visit_u64(u64);
            visit_u128(u128);
            visit_f32(f32);
            visit_f64(f64);
            visit_char(char);
            visit_str(&str);
            visit_borrowed_str(&'de str);
            visit_string(String);
            visit_bytes(&[u8]);
            visit_borrowed_bytes(&'de [u8]);
            visit_byte_buf(Vec<u8>);
        }

        fn visit_none<E: Error>(self) -> Result<V::Value, E> {
            self.0.visit_none()
        }

        fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
            self.0.visit_unit()
        }
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for PlainNumbers<V> {
    visits!();

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(PlainNumbers(inner))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(PlainNumbers(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(PlainNumbers(seq))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(PlainNumbers(map))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(PlainNumbers(data))
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Untyped<V> {
    visits!();

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(inner)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(inner)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(seq)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<V::Value, A::Error> {
        // The keys of JSON are texts.
        let first: Option<String> = map.next_key()?;
        if first.as_deref() == Some(HIDDEN) {
            let number: String = map.next_value()?;
            return plain(&number, self.0);
        }
        self.0.visit_map(Begun { first, map })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(data)
    }
}

/// A number as the default build of `serde_json` gives it.
fn plain<'de, V: Visitor<'de>, E: Error>(number: &str, visitor: V) -> Result<V::Value, E> {
    if let Ok(number) = number.parse() {
        return visitor.visit_u64(number);
    }
    // A zero below zero is a float.
    if let Ok(number @ ..=-1) = number.parse() {
        return visitor.visit_i64(number);
    }
    match number.parse::<f64>() {
        Ok(float) if float.is_finite() => visitor.visit_f64(float),
        _ => Err(E::custom("number out of range")),
    }
}

/// A map of which the first key was read.
struct Begun<A> {
    first: Option<String>,
    map: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Begun<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let Some(first) = self.first.take() else {
            return self.map.next_key_seed(seed);
        };
        let first: StringDeserializer<A::Error> = first.into_deserializer();
        seed.deserialize(first).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for PlainNumbers<S> {
    type Value = S::Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(PlainNumbers(deserializer))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for PlainNumbers<A> {
    type Error = A::Error;
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(PlainNumbers(seed))
    }
    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for PlainNumbers<A> {
    type Error = A::Error;
    /// Keys are texts, and numbers only where a key's type asks for one.
    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(PlainNumbers(seed))
    }
    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for PlainNumbers<A> {
    type Error = A::Error;
    type Variant = PlainNumbers<A::Variant>;
    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = self.0.variant_seed(seed)?;
        Ok((value, PlainNumbers(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for PlainNumbers<A> {
    type Error = A::Error;
    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(PlainNumbers(seed))
    }
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, PlainNumbers(visitor))
    }
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.struct_variant(fields, PlainNumbers(visitor))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Deserializer, Value, json};

    use super::*;

    /// As a program has them in which numbers are hidden, written out.
    fn read<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, serde_json::Error> {
        T::deserialize(PlainNumbers(&mut Deserializer::from_str(text)))
    }

    fn hidden(number: &str) -> String {
        format!("{{\"{HIDDEN}\":\"{number}\"}}")
    }

    #[test]
    fn a_hidden_number_is_the_number_that_the_default_build_gives() {
        for number in [
            "0",
            "-0",
            "7",
            "-7",
            "1.5",
            "1e3",
            "18446744073709551615",
            "-9223372036854775808",
        ] {
            let plain: Value = serde_json::from_str(number).unwrap();
            assert_eq!(read::<Value>(&hidden(number)).unwrap(), plain, "{number}");
            let nested = format!("[{{\"a\":{}}}]", hidden(number));
            assert_eq!(
                read::<Value>(&nested).unwrap(),
                json!([{"a": plain}]),
                "{number}"
            );
        }
        assert!(read::<Value>(&hidden("1e999")).is_err());
    }

    #[test]
    fn other_maps_are_as_they_are() {
        let text = r#"{"a":{},"b":{"x":null,"y":["z",true]},"":"é"}"#;
        assert_eq!(
            read::<Value>(text).unwrap(),
            serde_json::from_str::<Value>(text).unwrap()
        );
        let keyed: BTreeMap<u8, String> = read(r#"{"1":"a","2":"b"}"#).unwrap();
        assert_eq!(keyed.len(), 2);
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Flat {
        name: String,
        #[serde(flatten)]
        inner: Inner,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        rate: f64,
        count: u32,
        tagged: Tagged,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        Some { at: f32 },
    }

    #[test]
    fn flattened_and_tagged_numbers_are_read() {
        let text = |number: fn(&str) -> String| {
            format!(
                r#"{{"name":"n","rate":{},"count":{},"tagged":{{"kind":"Some","at":{}}}}}"#,
                number("1.25"),
                number("7"),
                number("0.5")
            )
        };
        let plain: Flat = serde_json::from_str(&text(ToOwned::to_owned)).unwrap();
        assert_eq!(read::<Flat>(&text(ToOwned::to_owned)).unwrap(), plain);
        assert_eq!(read::<Flat>(&text(hidden)).unwrap(), plain);
    }
}
