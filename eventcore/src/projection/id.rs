//! Which projection, and which part of it.

use std::{fmt, str::FromStr, sync::Arc};

/// The name of a projection: 1 to 100 characters out of `a-z`, `0-9`, `_`, `-` and `.`, beginning with a letter.
///
/// ```
/// use eventcore::projection::ProjectionName;
///
/// assert_eq!(ProjectionName::try_new("open-orders")?.as_str(), "open-orders");
/// assert!(ProjectionName::try_new("Open orders").is_err());
/// # Ok::<(), eventcore::projection::ProjectionNameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectionName(Arc<str>);

/// A text that is no [`ProjectionName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a projection's name has 1 to 100 characters out of a-z, 0-9, `_`, `-` and `.`, and begins with a letter; got {name:?}"
)]
pub struct ProjectionNameError {
    name: String,
}

impl ProjectionName {
    /// The name, checked.
    ///
    /// # Errors
    ///
    /// [`ProjectionNameError`], which quotes the input.
    pub fn try_new(name: impl AsRef<str>) -> Result<Self, ProjectionNameError> {
        let name = name.as_ref();
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c);
        let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
        if !begins || name.len() > 100 || !name.chars().all(fits) {
            return Err(ProjectionNameError {
                name: name.chars().take(64).collect(),
            });
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ProjectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProjectionName({})", self.0)
    }
}

impl fmt::Display for ProjectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ProjectionName {
    type Err = ProjectionNameError;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::try_new(name)
    }
}

/// One version of a projection. A new version is built beside the old one and replaces it when it has caught up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectionId {
    /// The name, which stays.
    pub name: ProjectionName,
    /// The version, which rises when the projection's code changes what it would have made of old events.
    pub version: u32,
}

impl fmt::Display for ProjectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} v{}", self.name, self.version)
    }
}

/// Into how many parts a projection is divided, 1 to 256, so that several processes can share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Partitions(u32);

/// A number of partitions outside of 1 to 256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a projection has 1 to 256 partitions, got {0}")]
pub struct PartitionsError(u32);

impl Partitions {
    /// The whole in one.
    pub const ONE: Self = Self(1);

    /// The number, checked.
    ///
    /// # Errors
    ///
    /// [`PartitionsError`] outside of 1 to 256.
    pub const fn try_new(number: u32) -> Result<Self, PartitionsError> {
        if number == 0 || number > 256 {
            return Err(PartitionsError(number));
        }
        Ok(Self(number))
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The partition, from 0, that a text belongs to: a stream's name, or a document's key. The same for all time.
    pub fn of(self, text: &str) -> u32 {
        // FNV-1a (Fowler, Noll, Vo) and the finaliser of MurmurHash3 (Appleby): fixed for ever, unlike std's hasher.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in text.as_bytes() {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 33;
        // The remainder is below 256.
        u32::try_from(hash % u64::from(self.0)).unwrap_or_default()
    }
}

impl Default for Partitions {
    fn default() -> Self {
        Self::ONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain() {
        for bad in ["", "1st", "Orders", "a b", "a/b", "é", &"a".repeat(101)] {
            let error = ProjectionName::try_new(bad).unwrap_err();
            assert!(error.to_string().contains("projection's name"), "{error}");
        }
        assert!(ProjectionName::try_new("orders.by-day_2").is_ok());
    }

    #[test]
    fn texts_spread_over_the_partitions_and_stay_where_they_are() {
        let four = Partitions::try_new(4).unwrap();
        let mut counts = [0_u32; 4];
        for number in 0..4000 {
            counts[four.of(&format!("account:{number}")) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1200).contains(count)),
            "{counts:?}"
        );
        // Written down: data is divided by it.
        let places: Vec<u32> = ["", "a", "account:1", "account:2"]
            .map(|text| four.of(text))
            .into();
        assert_eq!(places, [2, 1, 2, 3]);
    }

    #[test]
    fn there_is_at_least_one_partition_and_at_most_256() {
        assert!(Partitions::try_new(0).is_err());
        assert!(Partitions::try_new(257).is_err());
    }
}
