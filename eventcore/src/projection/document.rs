//! Documents: the common form of a read model, JSON by key.

use std::fmt;

use serde_json::Value;

/// The key of a document: 1 to 255 characters, byte for byte, without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentKey(Box<str>);

/// A text that is no [`DocumentKey`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a document's key has 1 to 255 characters and no control characters, got {key:?}")]
pub struct DocumentKeyError {
    key: String,
}

impl DocumentKey {
    /// The key, checked.
    ///
    /// # Errors
    ///
    /// [`DocumentKeyError`], which quotes the input.
    pub fn try_new(key: impl AsRef<str>) -> Result<Self, DocumentKeyError> {
        let key = key.as_ref();
        let chars = key.chars().count();
        if chars == 0 || chars > 255 || key.chars().any(char::is_control) {
            return Err(DocumentKeyError {
                key: key.chars().take(64).collect(),
            });
        }
        Ok(Self(key.into()))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&crate::StreamId> for DocumentKey {
    /// A stream's name is always fit to be a key.
    fn from(stream: &crate::StreamId) -> Self {
        Self(stream.as_str().into())
    }
}

impl fmt::Display for DocumentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A document as stores see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawDocument {
    /// Its key.
    pub key: DocumentKey,
    /// JSON text, exactly as it was put.
    pub body: String,
}

/// A change of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentChange {
    /// Which.
    pub key: DocumentKey,
    /// The new JSON text, or none: the document goes.
    pub body: Option<String>,
}

/// Where a value stands in a document: names of fields, separated by dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Vec<String>);

/// Why a query cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// A path that no query can name.
    #[error(
        "a field path is names out of letters, digits, `_` and `-`, separated by dots; got {path:?}"
    )]
    BadPath {
        /// The input, at most 64 characters of it.
        path: String,
    },
    /// A value that is no text, number or boolean.
    #[error("field `{path}` can be compared with a text, a number or a boolean only")]
    BadValue {
        /// The field.
        path: String,
    },
    /// A page of no documents, or of more than 10,000.
    #[error("a page holds 1 to 10,000 documents, got {0}")]
    BadPage(usize),
}

impl FieldPath {
    /// The path, checked.
    ///
    /// # Errors
    ///
    /// [`QueryError::BadPath`], which quotes the input.
    pub fn try_new(path: impl AsRef<str>) -> Result<Self, QueryError> {
        let path = path.as_ref();
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let names: Vec<String> = path.split('.').map(str::to_owned).collect();
        if path.len() > 255
            || names
                .iter()
                .any(|name| name.is_empty() || !name.chars().all(fits))
        {
            return Err(QueryError::BadPath {
                path: path.chars().take(64).collect(),
            });
        }
        Ok(Self(names))
    }

    /// The names on the way.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// The value in a document, if there is one.
    pub fn find<'v>(&self, document: &'v Value) -> Option<&'v Value> {
        self.0
            .iter()
            .try_fold(document, |value, name| value.get(name))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// Which documents, and in which order.
///
/// The same on every store: numbers are sorted by value (as `f64`), texts by their bytes; documents without the field
/// come first, then `null`, booleans, numbers, texts, and all else. Equal ones are sorted by key.
///
/// ```
/// use eventcore::projection::DocumentQuery;
///
/// let rich = DocumentQuery::all().field_is("currency", "EUR")?.sort_descending("balance")?.page(0, 10)?;
/// # let _ = rich;
/// # Ok::<(), eventcore::projection::QueryError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentQuery {
    conditions: Vec<(FieldPath, Value)>,
    sort: Option<(FieldPath, bool)>,
    skip: usize,
    take: usize,
}

impl DocumentQuery {
    /// All documents, by key, the first 100.
    pub fn all() -> Self {
        Self {
            conditions: Vec::new(),
            sort: None,
            skip: 0,
            take: 100,
        }
    }

    /// Only those whose field has this value: a text, a number or a boolean, compared exactly as it is written in JSON.
    /// Several conditions must hold together.
    ///
    /// # Errors
    ///
    /// [`QueryError`] for a path or a value that cannot be asked for.
    pub fn field_is(mut self, path: &str, value: impl Into<Value>) -> Result<Self, QueryError> {
        let (path, value) = (FieldPath::try_new(path)?, value.into());
        if value.is_null() || value.is_array() || value.is_object() {
            let path = path.to_string();
            return Err(QueryError::BadValue { path });
        }
        self.conditions.push((path, value));
        Ok(self)
    }

    /// Sorted by a field.
    ///
    /// # Errors
    ///
    /// [`QueryError::BadPath`].
    pub fn sort_ascending(mut self, path: &str) -> Result<Self, QueryError> {
        self.sort = Some((FieldPath::try_new(path)?, false));
        Ok(self)
    }

    /// Sorted by a field, the other way round; equal ones are still sorted by key, the lowest first.
    ///
    /// # Errors
    ///
    /// [`QueryError::BadPath`].
    pub fn sort_descending(mut self, path: &str) -> Result<Self, QueryError> {
        self.sort = Some((FieldPath::try_new(path)?, true));
        Ok(self)
    }

    /// Leaves out the first `skip` documents and returns at most `take`.
    ///
    /// # Errors
    ///
    /// [`QueryError::BadPage`] when `take` is not 1 to 10,000.
    pub fn page(mut self, skip: usize, take: usize) -> Result<Self, QueryError> {
        if take == 0 || take > 10_000 {
            return Err(QueryError::BadPage(take));
        }
        (self.skip, self.take) = (skip, take);
        Ok(self)
    }

    /// The conditions: each field's JSON text must equal the value's, as `serde_json` writes it.
    pub fn conditions(&self) -> &[(FieldPath, Value)] {
        &self.conditions
    }

    /// The field to sort by, and whether it is the other way round.
    pub fn sort(&self) -> Option<(&FieldPath, bool)> {
        self.sort
            .as_ref()
            .map(|(path, descending)| (path, *descending))
    }

    /// How many to leave out, and how many to return at most.
    pub fn window(&self) -> (usize, usize) {
        (self.skip, self.take)
    }
}
