//! A serializer that passes everything on, except what JSON would bend.
//!
//! `serde_json` writes a NaN or an infinity as `null`, writes deeper nesting than it reads, and a key twice in one
//! object. Each would be stored without a word and fail, or change, when read. So they are refused here, at the moment
//! of writing.

use serde::{
    Serialize,
    ser::{
        Error, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant, Serializer,
    },
};

use super::duplicates::{Names, Written, twice};

/// `serde_json` reads 127 levels; one is left for the variant that some forms add.
const MAX_DEPTH: u8 = 126;

pub(super) struct Finite<'w, S> {
    inner: S,
    depth: u8,
    written: &'w Written,
}

impl<'w, S: Serializer> Finite<'w, S> {
    pub(super) fn new(inner: S, written: &'w Written) -> Self {
        Self {
            inner,
            depth: 0,
            written,
        }
    }

    fn deeper(self, levels: u8) -> Result<(S, u8), S::Error> {
        let depth = self.depth.saturating_add(levels);
        if depth > MAX_DEPTH {
            let error = format!("nested deeper than {MAX_DEPTH} levels");
            return Err(S::Error::custom(error));
        }
        Ok((self.inner, depth))
    }
}

/// A value that serializes through [`Finite`].
pub(super) struct FiniteValue<'a, T: ?Sized> {
    value: &'a T,
    depth: u8,
    written: &'a Written,
}

impl<'a, T: ?Sized> FiniteValue<'a, T> {
    /// A value that will stand this many levels down.
    pub(super) fn at_depth(value: &'a T, depth: u8, written: &'a Written) -> Self {
        Self {
            value,
            depth,
            written,
        }
    }
}

impl<T: Serialize + ?Sized> Serialize for FiniteValue<'_, T> {
    fn serialize<S: Serializer>(&self, inner: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(Finite {
            inner,
            depth: self.depth,
            written: self.written,
        })
    }
}

/// A list, map or struct being written.
pub(super) struct Compound<'w, C> {
    inner: C,
    depth: u8,
    written: &'w Written,
    names: Names,
}

impl<'w, C> Compound<'w, C> {
    fn pass<'a, T: ?Sized>(&self, value: &'a T) -> FiniteValue<'a, T>
    where
        'w: 'a,
    {
        FiniteValue {
            value,
            depth: self.depth,
            written: self.written,
        }
    }

    fn name<E: Error>(&mut self, name: &'static str) -> Result<(), E> {
        if self.names.add(name, self.written) {
            return Ok(());
        }
        Err(E::custom(twice(name)))
    }
}

macro_rules! pass_on {
    ($($method:ident($($name:ident: $type:ty),*);)*) => {$(
        fn $method(self, $($name: $type),*) -> Result<S::Ok, S::Error> {
            self.inner.$method($($name),*)
        }
    )*};
}

macro_rules! open {
    ($($method:ident($($name:ident: $type:ty),*) -> $compound:ident, $levels:literal;)*) => {$(
        fn $method(self, $($name: $type),*) -> Result<Self::$compound, S::Error> {
            let written = self.written;
            let (inner, depth) = self.deeper($levels)?;
            Ok(Compound {
                inner: inner.$method($($name),*)?,
                depth,
                written,
                names: Names::default(),
            })
        }
    )*};
}

macro_rules! float {
    ($method:ident, $type:ty) => {
        fn $method(self, v: $type) -> Result<S::Ok, S::Error> {
            if v.is_finite() {
                return self.inner.$method(v);
            }
            Err(S::Error::custom(format!("{v} has no form in JSON")))
        }
    };
}

impl<'w, S: Serializer> Serializer for Finite<'w, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Compound<'w, S::SerializeSeq>;
    type SerializeTuple = Compound<'w, S::SerializeTuple>;
    type SerializeTupleStruct = Compound<'w, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Compound<'w, S::SerializeTupleVariant>;
    type SerializeMap = Compound<'w, S::SerializeMap>;
    type SerializeStruct = Compound<'w, S::SerializeStruct>;
    type SerializeStructVariant = Compound<'w, S::SerializeStructVariant>;

    float!(serialize_f32, f32);
    float!(serialize_f64, f64);

    pass_on! {
        serialize_bool(v: bool);
        serialize_i8(v: i8);
        serialize_i16(v: i16);
        serialize_i32(v: i32);
        serialize_i64(v: i64);
        serialize_i128(v: i128);
        serialize_u8(v: u8);
        serialize_u16(v: u16);
        serialize_u32(v: u32);
        serialize_u64(v: u64);
        serialize_u128(v: u128);
        serialize_char(v: char);
        serialize_str(v: &str);
        serialize_bytes(v: &[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(name: &'static str);
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str);
    }

    // A variant is an object of one key, and its fields are one level further down.
    open! {
        serialize_seq(len: Option<usize>) -> SerializeSeq, 1;
        serialize_tuple(len: usize) -> SerializeTuple, 1;
        serialize_tuple_struct(name: &'static str, len: usize) -> SerializeTupleStruct, 1;
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeTupleVariant, 2;
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeStructVariant, 2;
    }

    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        let written = self.written;
        // The name under which `serde_json` passes a `RawValue`, whose text may have any key twice.
        if name == "$serde_json::private::RawValue" {
            written.map();
        }
        let (inner, depth) = self.deeper(1)?;
        Ok(Compound {
            inner: inner.serialize_struct(name, len)?,
            depth,
            written,
            names: Names::default(),
        })
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        let written = self.written;
        written.map();
        let (inner, depth) = self.deeper(1)?;
        Ok(Compound {
            inner: inner.serialize_map(len)?,
            depth,
            written,
            names: Names::default(),
        })
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        let value = FiniteValue::at_depth(value, self.depth, self.written);
        self.inner.serialize_some(&value)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let value = FiniteValue::at_depth(value, self.depth, self.written);
        self.inner.serialize_newtype_struct(name, &value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let written = self.written;
        let (inner, depth) = self.deeper(1)?;
        let value = FiniteValue::at_depth(value, depth, written);
        inner.serialize_newtype_variant(name, index, variant, &value)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! elements {
    ($($trait:ident::$method:ident;)*) => {$(
        impl<C: $trait> $trait for Compound<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                let value = self.pass(value);
                self.inner.$method(&value)
            }
            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        }
    )*};
}

elements! {
    SerializeSeq::serialize_element;
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

macro_rules! fields {
    ($($trait:ident;)*) => {$(
        impl<C: $trait> $trait for Compound<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), C::Error> {
                self.name(key)?;
                let value = self.pass(value);
                self.inner.serialize_field(key, &value)
            }
            fn skip_field(&mut self, key: &'static str) -> Result<(), C::Error> {
                self.inner.skip_field(key)
            }
            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        }
    )*};
}

fields! {
    SerializeStruct;
    SerializeStructVariant;
}

impl<C: SerializeMap> SerializeMap for Compound<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        let key = self.pass(key);
        self.inner.serialize_key(&key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        let value = self.pass(value);
        self.inner.serialize_value(&value)
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn finite(value: &impl Serialize) -> Result<Value, serde_json::Error> {
        value.serialize(Finite::new(
            serde_json::value::Serializer,
            &Written::default(),
        ))
    }

    fn nested(levels: usize) -> Value {
        (0..levels).fold(json!(1), |inner, _| json!([inner]))
    }

    #[test]
    fn ordinary_values_pass_unchanged() {
        let value = json!({"a": [1, -0.0, 1e300, null, "é\0"], "b": {"c": u64::MAX}});
        assert_eq!(finite(&value).unwrap(), value);
    }

    #[test]
    fn what_is_not_finite_is_refused_at_any_depth() {
        assert!(finite(&f64::INFINITY).is_err());
        assert!(finite(&Some(f32::NAN)).is_err());
        assert!(finite(&vec![("a", vec![f64::NAN])]).is_err());
    }

    #[test]
    fn whatever_may_be_written_can_be_read() {
        let deepest = finite(&nested(usize::from(MAX_DEPTH))).unwrap();
        let text = serde_json::to_string(&deepest).unwrap();
        assert!(serde_json::from_str::<Value>(&text).is_ok());
        let error = finite(&nested(usize::from(MAX_DEPTH) + 1)).unwrap_err();
        assert!(error.to_string().contains("126 levels"), "{error}");
    }
}
