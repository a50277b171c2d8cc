//! A digest of a command, by which a reused idempotency key is noticed.
#![allow(missing_docs, reason = "hidden from the documentation")]

use std::hash::{Hash, Hasher};

use serde::Serialize;
use uuid::Uuid;

/// Collects what makes a command what it is: its name, its streams, and its fields.
///
/// A field takes part through `Serialize` where it has it, else through `Hash`, else not at all.
#[derive(Debug, Default)]
pub struct Fingerprint {
    bytes: Vec<u8>,
    failure: Option<serde_json::Error>,
}

impl Fingerprint {
    /// Adds a part; its length goes in too, so that parts do not run together.
    pub fn part(&mut self, bytes: &[u8]) {
        self.bytes
            .extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.bytes.extend_from_slice(bytes);
    }

    /// The digest: a UUID of version 5 (SHA-1, as in RFC 9562). It guards against mistakes, not against malice.
    ///
    /// # Errors
    ///
    /// What a field's `Serialize` ran into: a part that is left out could not be told from another.
    pub(crate) fn digest(self) -> Result<Uuid, serde_json::Error> {
        match self.failure {
            Some(error) => Err(error),
            None => Ok(Uuid::new_v5(&Uuid::NAMESPACE_OID, &self.bytes)),
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

/// JSON with the keys in order, since a `HashMap` has another order in every process.
fn canonical<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
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
        match canonical(self.0) {
            Ok(bytes) => digest.part(&bytes),
            Err(error) => digest.failure = Some(error),
        }
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
        digest.part(&[]);
    }
}
