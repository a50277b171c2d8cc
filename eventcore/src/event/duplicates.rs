//! Keys that stand twice in an object: written without a word, and read back as an error, or as one of them.

use std::{cell::Cell, collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// What was written of one payload so far, as far as keys are concerned.
///
/// The names of a struct's fields are compared while they are written. A map's keys are known only afterwards, so a
/// payload with a map in it (flattened fields are one) is looked through once it is whole.
#[derive(Debug, Default)]
pub(super) struct Written {
    has_maps: Cell<bool>,
}

impl Written {
    pub(super) fn map(&self) {
        self.has_maps.set(true);
    }

    /// Whether a map was written.
    pub(super) fn may_repeat(&self) -> bool {
        self.has_maps.get()
    }

    /// Looks for keys that stand twice, where there may be some.
    pub(super) fn check(&self, json: &[u8]) -> Result<(), serde_json::Error> {
        if self.has_maps.get() {
            serde_json::from_slice::<Unique>(json)?;
        }
        Ok(())
    }
}

/// The names of the fields of one struct.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: [&'static str; Self::MANY],
    count: usize,
}

impl Names {
    /// More are looked for in the whole payload instead.
    const MANY: usize = 16;

    /// Whether this name is new.
    pub(super) fn add(&mut self, name: &'static str, written: &Written) -> bool {
        let known = &self.names[..self.count];
        if known.contains(&name) {
            return false;
        }
        match self.names.get_mut(self.count) {
            Some(place) => {
                *place = name;
                self.count += 1;
            }
            None => written.map(),
        }
        true
    }
}

/// Any JSON in which no object has a key twice.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Look)
    }
}

struct Look;

macro_rules! scalars {
    ($($method:ident($type:ty);)*) => {$(
        fn $method<E>(self, _: $type) -> Result<Unique, E> {
            Ok(Unique)
        }
    )*};
}

impl<'de> Visitor<'de> for Look {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    scalars! {
        visit_bool(bool);
        visit_i64(i64);
        visit_u64(u64);
        visit_f64(f64);
        visit_str(&str);
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Unique, A::Error> {
        while seq.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if seen.contains(&key) {
                return Err(A::Error::custom(twice(&key)));
            }
            seen.insert(key);
            map.next_value::<Unique>()?;
        }
        Ok(Unique)
    }
}

/// What is wrong with a key that stands twice.
pub(super) fn twice(key: &str) -> String {
    let key: String = key.chars().take(64).collect();
    format!(
        "key {key:?} is written twice in one object, and could not be read back; a flattened map, two fields of one \
         `rename`, or a tag has the name of a field"
    )
}
