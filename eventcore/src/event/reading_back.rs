//! Whether what was encoded reads back as what it was.
#![allow(missing_docs, reason = "hidden from the documentation")]

use super::{EncodeError, EncodedEvent, Event};

/// Decodes what was encoded, and compares: by `PartialEq` where the type has it, else by the text of `Debug`, else by
/// what it encodes to.
///
/// # Errors
///
/// [`EncodeError`] when it cannot be decoded, or is another value then.
pub fn reads_back<E: Event>(
    event: &E,
    stored: &EncodedEvent,
    same: impl FnOnce(&E, &E) -> Option<bool>,
) -> Result<(), EncodeError> {
    let fault = |why: Box<dyn std::error::Error + Send + Sync>| {
        EncodeError::new(stored.event_type().clone(), NotReadBack(why))
    };
    let decoded = match E::decode(stored) {
        Ok(Some(decoded)) => decoded,
        Ok(None) => {
            return Err(fault(
                "its stored name is none that the type decodes".into(),
            ));
        }
        Err(failure) => return Err(fault(failure.into())),
    };
    let again = decoded.encode()?;
    if same(event, &decoded).unwrap_or_else(|| is_same(stored, &again)) {
        return Ok(());
    }
    let text = |encoded: &EncodedEvent| {
        let text = String::from_utf8_lossy(encoded.payload().as_bytes());
        text.chars().take(200).collect::<String>()
    };
    Err(fault(
        format!(
            "it was written as {} and reads back as a value that is written as {}: a field that serde skips, an \
             untagged enum, an option in an option, or a number that a flattened part cannot hold",
            text(stored),
            text(&again)
        )
        .into(),
    ))
}

/// Members of a map or a set may come in another order, so it is the bytes that are compared and not their order.
fn is_same(stored: &EncodedEvent, again: &EncodedEvent) -> bool {
    stored.event_type() == again.event_type()
        && (stored.payload() == again.payload()
            || in_order(stored.payload().as_bytes()) == in_order(again.payload().as_bytes()))
}

fn in_order(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.sort_unstable();
    bytes
}

/// An event that was encoded, and would be another one when it is read.
#[derive(Debug, thiserror::Error)]
#[error("it would not read back as it is")]
struct NotReadBack(#[source] Box<dyn std::error::Error + Send + Sync>);

/// Two values of one type, compared by the best way there is. As [`Probe`](crate::command::Probe).
#[derive(Debug)]
pub struct Pair<'a, T>(pub &'a T, pub &'a T);

/// First choice.
pub trait ViaPartialEq {
    fn same(&self) -> Option<bool>;
}

/// Second choice.
pub trait ViaDebug {
    fn same(&self) -> Option<bool>;
}

/// Last choice: what the values encode to.
pub trait ViaEncoding {
    fn same(&self) -> Option<bool>;
}

impl<T: PartialEq> ViaPartialEq for &&Pair<'_, T> {
    fn same(&self) -> Option<bool> {
        Some(self.0 == self.1)
    }
}

impl<T: std::fmt::Debug> ViaDebug for &Pair<'_, T> {
    fn same(&self) -> Option<bool> {
        let text = |value: &T| in_order(format!("{value:?}").as_bytes());
        Some(text(self.0) == text(self.1))
    }
}

impl<T> ViaEncoding for Pair<'_, T> {
    fn same(&self) -> Option<bool> {
        None
    }
}
