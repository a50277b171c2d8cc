//! JSON text with the keys of all objects in order.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The same JSON with the keys of all objects in order. Numbers stay as they are written, of whatever size.
pub(crate) fn sorted(json: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let mut sorted = Vec::with_capacity(json.len());
    sort(serde_json::from_slice(json)?, &mut sorted)?;
    Ok(sorted)
}

fn sort(value: &RawValue, into: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let mut members: Members<'_> = serde_json::from_str(text)?;
            members.0.sort_by(|(a, _), (b, _)| a.cmp(b));
            into.push(b'{');
            for (number, (key, value)) in members.0.into_iter().enumerate() {
                if number > 0 {
                    into.push(b',');
                }
                serde_json::to_writer(&mut *into, &key)?;
                into.push(b':');
                sort(value, into)?;
            }
            into.push(b'}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            into.push(b'[');
            for (number, item) in items.into_iter().enumerate() {
                if number > 0 {
                    into.push(b',');
                }
                sort(item, into)?;
            }
            into.push(b']');
        }
        _ => into.extend_from_slice(text.as_bytes()),
    }
    Ok(())
}

/// The members of an object, as they are written.
struct Members<'t>(Vec<(String, &'t RawValue)>);

impl<'t> Deserialize<'t> for Members<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'t> Visitor<'t> for Each {
            type Value = Members<'t>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn keys_are_in_order_at_every_depth_and_numbers_as_they_are() {
        let text = |json: &str| String::from_utf8(sorted(json.as_bytes()).unwrap()).unwrap();
        let json = r#"{"b":[{"z":1,"a":2.50}],"a\"":{"y":null,"x":"\u00e9"}}"#;
        assert_eq!(
            text(json),
            r#"{"a\"":{"x":"\u00e9","y":null},"b":[{"a":2.50,"z":1}]}"#
        );
        let large: HashMap<String, u128> = (0..50).map(|n| (format!("k{n}"), u128::MAX)).collect();
        let again: HashMap<String, u128> = large.clone().into_iter().collect();
        let text = |map| text(&serde_json::to_string(map).unwrap());
        assert_eq!(text(&large), text(&again));
        assert!(text(&large).contains(&u128::MAX.to_string()));
    }
}
