//! The name of a stream, and the literal prefix of such names.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The name of one stream: 1 to 255 characters, trimmed, free of control characters.
///
/// Names are compared byte for byte: no case folding and no Unicode normalisation. Cloning is cheap (a reference
/// count). By convention a name is `category:key`, see [`StreamId::category`]; the
/// [`StreamName`](crate::StreamName) derive maps a key type to such a name and back.
///
/// ```
/// use eventcore::StreamId;
///
/// let id = StreamId::try_new("  account:42 ")?;
/// assert_eq!(id.as_str(), "account:42");
/// assert_eq!(id.category(), "account");
/// assert!(StreamId::try_new("").is_err());
/// # Ok::<(), eventcore::StreamIdError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamId(Arc<str>);

impl StreamId {
    /// The longest name, in characters (Unicode scalar values, not bytes).
    pub const MAX_CHARS: usize = 255;

    /// Trims white space at both ends and checks what is left.
    ///
    /// # Errors
    ///
    /// [`StreamIdError`] when nothing is left, when more than [`StreamId::MAX_CHARS`] characters are left, or when
    /// one of them is a control character. The error quotes the input.
    pub fn try_new(name: impl AsRef<str>) -> Result<Self, StreamIdError> {
        let name = name.as_ref().trim();
        check(name)?;
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the first `:`, or the whole name when there is none.
    pub fn category(&self) -> &str {
        self.0.split(':').next().unwrap_or(&self.0)
    }
}

fn check(name: &str) -> Result<(), StreamIdError> {
    if name.is_empty() {
        return Err(StreamIdError::Empty);
    }
    // Bytes are an upper bound for characters, so the count is only needed for long names.
    if name.len() > StreamId::MAX_CHARS {
        let chars = name.chars().count();
        if chars > StreamId::MAX_CHARS {
            let start = name.chars().take(32).collect();
            return Err(StreamIdError::TooLong { start, chars });
        }
    }
    if let Some(character) = name.chars().find(|c| c.is_control()) {
        return Err(StreamIdError::ControlCharacter {
            name: name.to_owned(),
            character,
        });
    }
    Ok(())
}

/// Why a text is not a [`StreamId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamIdError {
    /// Nothing but white space.
    #[error("a stream id must not be empty or blank")]
    Empty,
    /// More than [`StreamId::MAX_CHARS`] characters.
    #[error(
        "a stream id has at most {max} characters, `{start}...` has {chars}",
        max = StreamId::MAX_CHARS
    )]
    TooLong {
        /// The first characters of the input.
        start: String,
        /// The number of characters of the input.
        chars: usize,
    },
    /// A control character such as NUL, tab or line feed.
    #[error("a stream id must not contain control characters, {name:?} contains {character:?}")]
    ControlCharacter {
        /// The input.
        name: String,
        /// The first control character in it.
        character: char,
    },
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({:?})", self.as_str())
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl AsRef<str> for StreamId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl FromStr for StreamId {
    type Err = StreamIdError;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::try_new(name)
    }
}

impl TryFrom<&str> for StreamId {
    type Error = StreamIdError;
    fn try_from(name: &str) -> Result<Self, Self::Error> {
        Self::try_new(name)
    }
}

impl TryFrom<String> for StreamId {
    type Error = StreamIdError;
    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::try_new(name)
    }
}

impl From<StreamId> for String {
    fn from(id: StreamId) -> Self {
        id.as_str().to_owned()
    }
}

/// A literal beginning of stream names: `_`, `%` and `\` mean themselves.
///
/// Not trimmed, so that `"user: "` and `"user:"` differ; otherwise the rules of [`StreamId`].
///
/// ```
/// use eventcore::{StreamId, StreamPrefix};
///
/// let prefix = StreamPrefix::try_new("user_")?;
/// assert!(prefix.matches(&StreamId::try_new("user_1")?));
/// assert!(!prefix.matches(&StreamId::try_new("userX1")?));
/// # Ok::<(), eventcore::StreamIdError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamPrefix(Arc<str>);

impl StreamPrefix {
    /// A prefix of at least one character.
    ///
    /// # Errors
    ///
    /// [`StreamIdError`] for an empty or too long prefix, or one with control characters.
    pub fn try_new(prefix: impl AsRef<str>) -> Result<Self, StreamIdError> {
        let prefix = prefix.as_ref();
        check(prefix)?;
        Ok(Self(prefix.into()))
    }

    /// All streams of a category: the prefix `category:`.
    ///
    /// # Errors
    ///
    /// As [`StreamPrefix::try_new`].
    pub fn category(category: impl AsRef<str>) -> Result<Self, StreamIdError> {
        Self::try_new(format!("{}:", category.as_ref()))
    }

    /// The prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the stream's name begins with this prefix, byte for byte.
    pub fn matches(&self, stream: &StreamId) -> bool {
        stream.as_str().starts_with(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_at_the_ends_is_trimmed() {
        assert_eq!(StreamId::try_new("\u{a0} a b\t").unwrap().as_str(), "a b");
    }

    #[test]
    fn blank_is_refused() {
        assert_eq!(StreamId::try_new(" \n "), Err(StreamIdError::Empty));
    }

    #[test]
    fn the_limit_counts_characters_not_bytes() {
        assert!(StreamId::try_new("é".repeat(255)).is_ok());
        let error = StreamId::try_new("é".repeat(256)).unwrap_err();
        assert!(error.to_string().contains("has 256"), "{error}");
    }

    #[test]
    fn control_characters_inside_are_refused_and_named() {
        for bad in ["a\0b", "a\nb", "a\u{85}b", "a\u{7f}b"] {
            let error = StreamId::try_new(bad).unwrap_err();
            assert!(
                matches!(error, StreamIdError::ControlCharacter { .. }),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn nfc_and_nfd_are_two_names() {
        assert_ne!(
            StreamId::try_new("caf\u{e9}").unwrap(),
            StreamId::try_new("cafe\u{301}").unwrap()
        );
    }

    #[test]
    fn serde_goes_through_the_constructor() {
        assert!(serde_json::from_str::<StreamId>("\"\"").is_err());
        let id: StreamId = serde_json::from_str("\"a:1\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"a:1\"");
    }
}
