//! Typed stream names: a key type and its stream's name, both ways.

use std::fmt::{Display, Write as _};

use crate::{StreamId, StreamIdError};

/// A key that names one stream by a fixed pattern, such as `account:{id}`.
///
/// Derive it; the derive also converts to [`StreamId`] and back with `TryFrom`, so that `#[stream]` fields may be of
/// the type. A key may not contain `:` (the separator), be empty, or have white space at its ends: such a name would
/// read back as another key, or as another pattern's.
///
/// ```
/// use eventcore::prelude::*;
///
/// #[derive(Clone, Debug, PartialEq, StreamName)]
/// #[stream_name("user:{id}:settings")]
/// struct SettingsOf { id: u32 }
///
/// let name = SettingsOf { id: 7 }.to_stream_id()?;
/// assert_eq!(name.as_str(), "user:7:settings");
/// assert_eq!(SettingsOf::from_stream_id(&name)?, SettingsOf { id: 7 });
/// assert_eq!(SettingsOf::CATEGORY, "user");
/// # Ok::<(), eventcore::StreamNameError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name a stream",
    note = "put `#[derive(StreamName)] #[stream_name(\"category:{{key}}\")]` on it"
)]
pub trait StreamName: Sized {
    /// The pattern.
    const PATTERN: &'static str;
    /// What stands before the first `:` of the pattern.
    const CATEGORY: &'static str;

    /// The name of this key's stream.
    ///
    /// # Errors
    ///
    /// [`StreamNameError`] for a key that would break the pattern, or that makes the name too long.
    fn to_stream_id(&self) -> Result<StreamId, StreamNameError>;

    /// The key of a stream.
    ///
    /// # Errors
    ///
    /// [`StreamNameError`] for a name that does not follow the pattern, or a part that does not parse.
    fn from_stream_id(id: &StreamId) -> Result<Self, StreamNameError>;
}

/// Why a key has no stream name, or a stream name is not of this pattern.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamNameError {
    /// The key would break the pattern.
    #[error("`{field}` = {value:?} does not fit the stream name `{pattern}`: {reason}")]
    Key {
        /// The pattern.
        pattern: &'static str,
        /// The placeholder.
        field: &'static str,
        /// The key's text.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The whole is not a stream id.
    #[error(transparent)]
    Id(#[from] StreamIdError),
    /// The name does not follow the pattern.
    #[error("stream `{id}` is not named like `{pattern}`")]
    Pattern {
        /// The pattern.
        pattern: &'static str,
        /// The name.
        id: StreamId,
    },
    /// A part of the name is not such a key.
    #[error("stream `{id}`: {value:?} is not a `{field}` of `{pattern}`")]
    Parse {
        /// The pattern.
        pattern: &'static str,
        /// The name.
        id: StreamId,
        /// The placeholder.
        field: &'static str,
        /// The text in its place.
        value: String,
        /// What its `FromStr` found.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What may stand in a placeholder.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a part of a stream's name",
    note = "a key is written with `Display` and read with `FromStr`, whose error converts into a boxed `Error`"
)]
pub trait Key: Sized {
    fn text(&self) -> &dyn Display;
    fn read(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>>;
}

#[diagnostic::do_not_recommend]
impl<T> Key for T
where
    T: Display + std::str::FromStr<Err: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    fn text(&self) -> &dyn Display {
        self
    }

    fn read(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        text.parse().map_err(T::Err::into)
    }
}

/// What the derive knows of a pattern: literals around the placeholders, one more than there are placeholders.
#[doc(hidden)]
#[derive(Debug)]
pub struct Pattern {
    pub text: &'static str,
    pub literals: &'static [&'static str],
    pub fields: &'static [&'static str],
}

impl Pattern {
    #[doc(hidden)]
    pub fn render(&self, keys: &[&dyn Display]) -> Result<StreamId, StreamNameError> {
        let mut name = String::with_capacity(48);
        for (index, literal) in self.literals.iter().enumerate() {
            name.push_str(literal);
            let (Some(key), Some(field)) = (keys.get(index), self.fields.get(index)) else {
                continue;
            };
            let start = name.len();
            let written = write!(name, "{key}");
            let value = &name[start..];
            let reason = match written {
                Err(_) => Some("its Display failed"),
                Ok(()) => unfit(value),
            };
            if let Some(reason) = reason {
                return Err(StreamNameError::Key {
                    pattern: self.text,
                    field,
                    value: value.to_owned(),
                    reason,
                });
            }
        }
        Ok(StreamId::try_new(name)?)
    }

    /// The text in the place of each placeholder.
    #[doc(hidden)]
    pub fn split<'a>(&self, id: &'a StreamId) -> Result<Vec<&'a str>, StreamNameError> {
        let mismatch = || StreamNameError::Pattern {
            pattern: self.text,
            id: id.clone(),
        };
        let mut rest = id.as_str();
        let mut values = Vec::with_capacity(self.fields.len());
        for (index, literal) in self.literals.iter().enumerate() {
            if index == 0 {
                rest = rest.strip_prefix(literal).ok_or_else(mismatch)?;
                continue;
            }
            // A key cannot contain `:`, and every literal between two keys contains one: the first match is the only one.
            let last = index + 1 == self.literals.len();
            let (value, after) = match (last, literal.is_empty()) {
                (true, true) => (rest, ""),
                (true, false) => (rest.strip_suffix(literal).ok_or_else(mismatch)?, ""),
                (false, _) => rest.split_once(literal).ok_or_else(mismatch)?,
            };
            if unfit(value).is_some() {
                return Err(mismatch());
            }
            values.push(value);
            rest = after;
        }
        if rest.is_empty() {
            Ok(values)
        } else {
            Err(mismatch())
        }
    }

    /// The key in one place. A text that the key would write in another way, such as `007` for a number, is not its
    /// name: the key names another stream.
    #[doc(hidden)]
    pub fn parse<T: Key>(
        &self,
        id: &StreamId,
        index: usize,
        value: &str,
    ) -> Result<T, StreamNameError> {
        let failed = |source| StreamNameError::Parse {
            pattern: self.text,
            id: id.clone(),
            field: self.fields.get(index).copied().unwrap_or_default(),
            value: value.to_owned(),
            source,
        };
        let key = T::read(value).map_err(failed)?;
        let mut written = String::with_capacity(value.len());
        match write!(written, "{}", key.text()) {
            Ok(()) if written == value => Ok(key),
            Ok(()) => Err(failed(format!("such a key is written `{written}`").into())),
            Err(error) => Err(failed(error.into())),
        }
    }
}

fn unfit(key: &str) -> Option<&'static str> {
    if key.is_empty() {
        Some("it is empty")
    } else if key.contains(':') {
        Some("it contains the separator `:`")
    } else if key.trim() != key {
        Some("it has white space at its ends")
    } else if key.chars().any(char::is_control) {
        Some("it contains a control character")
    } else {
        None
    }
}

type Named = Result<StreamId, Box<dyn std::error::Error + Send + Sync>>;

/// Whatever converts to a [`StreamId`], at the price of a clone.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a `#[stream]` field of type `{Self}` does not say which stream",
    label = "not a stream",
    note = "use `StreamId`, a type with `#[derive(Clone, StreamName)]`, a `Clone` type that converts into `StreamId`, or a `Vec` or `Option` of these"
)]
pub trait StreamKey {
    fn named(&self) -> Named;
}

#[diagnostic::do_not_recommend]
impl<T> StreamKey for T
where
    T: Clone + TryInto<StreamId, Error: std::error::Error + Send + Sync + 'static>,
{
    fn named(&self) -> Named {
        self.clone().try_into().map_err(Into::into)
    }
}

/// What a `#[stream]` field may be: anything that converts to a [`StreamId`], or a `Vec` or `Option` of it.
#[diagnostic::on_unimplemented(
    message = "a `#[stream]` field of type `{Self}` does not say which stream",
    label = "not a stream",
    note = "use `StreamId`, a type with `#[derive(Clone, StreamName)]`, a `Clone` type that converts into `StreamId`, or a `Vec` or `Option` of these"
)]
pub trait StreamField {
    /// One view, a list of them, or perhaps one.
    type Views<V>;

    /// The streams named, in order.
    #[doc(hidden)]
    fn each(&self, take: &mut dyn FnMut(Named));

    /// The same shape, filled with views; `None` when their number does not fit.
    #[doc(hidden)]
    fn arrange<V>(views: Vec<V>) -> Option<Self::Views<V>>;
}

#[diagnostic::do_not_recommend]
impl<T: StreamKey> StreamField for T {
    type Views<V> = V;

    fn each(&self, take: &mut dyn FnMut(Named)) {
        take(self.named());
    }

    fn arrange<V>(mut views: Vec<V>) -> Option<V> {
        let view = views.pop()?;
        views.is_empty().then_some(view)
    }
}

impl<T: StreamKey> StreamField for Vec<T> {
    type Views<V> = Vec<V>;

    fn each(&self, take: &mut dyn FnMut(Named)) {
        for item in self {
            take(item.named());
        }
    }

    fn arrange<V>(views: Vec<V>) -> Option<Vec<V>> {
        Some(views)
    }
}

impl<T: StreamKey> StreamField for Option<T> {
    type Views<V> = Option<V>;

    fn each(&self, take: &mut dyn FnMut(Named)) {
        if let Some(item) = self {
            take(item.named());
        }
    }

    fn arrange<V>(mut views: Vec<V>) -> Option<Option<V>> {
        let view = views.pop();
        views.is_empty().then_some(view)
    }
}
