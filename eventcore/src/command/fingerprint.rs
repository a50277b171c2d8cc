//! A digest of what a command means, by which a reused idempotency key is noticed.
#![allow(missing_docs, reason = "hidden from the documentation")]

use std::hash::{Hash, Hasher};

use serde::Serialize;
use uuid::Uuid;

/// Collects what makes a command what it is: its name, its streams, and its fields.
///
/// A field takes part through `Serialize` where it has it, else through `Hash`, else not at all. Fields are known by
/// their names, so their order does not matter, and those that are marked `#[command(skip)]`, `#[serde(skip)]` or
/// `#[serde(skip_serializing)]` are left out.
///
/// Receipts that were stored before this rule carry a digest of fields in their order, skipped ones included
/// (`Fingerprint::legacy`). They are accepted for ever: a client may repeat a request after an upgrade.
#[derive(Debug, Default)]
pub struct Fingerprint {
    legacy: bool,
    bytes: Vec<u8>,
    fields: Vec<(&'static str, Vec<u8>)>,
    failure: Option<serde_json::Error>,
}

impl Fingerprint {
    pub(crate) fn legacy() -> Self {
        Self {
            legacy: true,
            ..Self::default()
        }
    }

    /// Adds a part; its length goes in too, so that parts do not run together.
    pub fn part(&mut self, bytes: &[u8]) {
        self.bytes
            .extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds a field by what `write` does.
    pub fn field(&mut self, name: &'static str, counts: bool, write: impl FnOnce(&mut Self)) {
        if self.legacy {
            write(self);
        } else if counts {
            let before = std::mem::take(&mut self.bytes);
            write(self);
            let field = std::mem::replace(&mut self.bytes, before);
            self.fields.push((name, field));
        }
    }

    /// The digest: a UUID of version 5 (SHA-1, as in RFC 9562). It guards against mistakes, not against malice.
    ///
    /// # Errors
    ///
    /// What a field's `Serialize` ran into: a part that is left out could not be told from another.
    pub(crate) fn digest(mut self) -> Result<Uuid, serde_json::Error> {
        if let Some(error) = self.failure {
            return Err(error);
        }
        self.fields.sort_unstable();
        for (name, bytes) in std::mem::take(&mut self.fields) {
            // A field that neither `Serialize` nor `Hash` can tell of does not count.
            if !bytes.is_empty() {
                self.part(name.as_bytes());
                self.part(&bytes);
            }
        }
        Ok(Uuid::new_v5(&Uuid::NAMESPACE_OID, &self.bytes))
    }

    fn serialized(&mut self, bytes: Result<Vec<u8>, serde_json::Error>) {
        match bytes {
            Ok(bytes) => self.part(&bytes),
            Err(error) => self.failure = Some(error),
        }
    }
}

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Not used: [`Fingerprint::digest`] has more bits.
    fn finish(&self) -> u64 {
        Uuid::new_v5(&Uuid::NAMESPACE_OID, &self.bytes)
            .as_u64_pair()
            .0
    }
}

/// The name of a type without the paths of its modules, its parameters included: moving a command to another module is
/// no other command.
pub(crate) fn bare(path: &str) -> String {
    let mut bare = String::with_capacity(path.len());
    let mut name = String::new();
    for c in path.chars() {
        match c {
            ':' => name.clear(),
            c if c.is_alphanumeric() || c == '_' => name.push(c),
            c => {
                bare.push_str(&name);
                name.clear();
                bare.push(c);
            }
        }
    }
    bare + &name
}

/// With the keys of all objects in order, since a `HashMap` has another order in every process.
fn canonical<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    crate::event::sorted(&crate::event::to_vec(value)?)
}

/// As receipts of earlier versions have it.
fn legacy<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    match crate::event::to_value(value) {
        Ok(mut value) => {
            value.sort_all_objects();
            serde_json::to_vec(&value)
        }
        // Integers beyond 64 bits have a text and no `Value`.
        Err(_) => crate::event::to_vec(value),
    }
}

/// Picks the best way for a field by how many references method lookup has to take away.
///
/// The technique is David Tolnay's "autoref specialization".
#[derive(Debug)]
pub struct Probe<'a, T: ?Sized>(pub &'a T);

/// First choice.
pub trait ViaSerialize {
    fn digest(&self, digest: &mut Fingerprint);
}

/// Second choice.
pub trait ViaHash {
    fn digest(&self, digest: &mut Fingerprint);
}

/// Last choice.
pub trait ViaNothing {
    fn digest(&self, digest: &mut Fingerprint);
}

impl<T: Serialize + ?Sized> ViaSerialize for &&Probe<'_, T> {
    fn digest(&self, digest: &mut Fingerprint) {
        let bytes = if digest.legacy {
            legacy(self.0)
        } else {
            canonical(self.0)
        };
        digest.serialized(bytes);
    }
}

impl<T: Hash + ?Sized> ViaHash for &Probe<'_, T> {
    fn digest(&self, digest: &mut Fingerprint) {
        let mut own = Fingerprint::default();
        self.0.hash(&mut own);
        digest.part(&own.bytes);
    }
}

impl<T: ?Sized> ViaNothing for Probe<'_, T> {
    fn digest(&self, digest: &mut Fingerprint) {
        if digest.legacy {
            digest.part(&[]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_known_by_its_bare_name() {
        assert_eq!(bare("app::cmd::Transfer"), "Transfer");
        assert_eq!(bare("a::B<c::D, (e::F, [u8; 4])>"), "B<D, (F, [u8; 4])>");
        assert_eq!(bare("a::B<&'static str>"), "B<&'static str>");
    }
}
