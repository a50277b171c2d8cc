//! Where a stream, and where the whole log, stands.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of events in a stream; the version of an event is its place in its stream, counted from 1.
///
/// ```
/// use eventcore::StreamVersion;
///
/// assert!(StreamVersion::EMPTY.is_empty());
/// assert_eq!(StreamVersion::try_new(3)?.get(), 3);
/// # Ok::<(), eventcore::OutOfRange>(())
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "u64", into = "u64")]
pub struct StreamVersion(u64);

/// The place of an event in the order of the whole store, counted from 1 without holes.
///
/// Used as a cursor it means "everything up to here is known": [`GlobalPosition::START`] is before the first event.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "u64", into = "u64")]
pub struct GlobalPosition(u64);

/// A number that no store can hold: above [`i64::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value} is above the largest that stores can hold, {max}", max = i64::MAX)]
pub struct OutOfRange {
    what: &'static str,
    value: u64,
}

/// Databases count in signed 64 bits, so neither number goes beyond that.
const MAX: u64 = i64::MAX.unsigned_abs();

macro_rules! counter {
    ($type:ident, $zero:ident, $zero_doc:literal, $what:literal) => {
        impl $type {
            #[doc = $zero_doc]
            pub const $zero: Self = Self(0);

            /// The number, checked.
            ///
            /// # Errors
            ///
            /// [`OutOfRange`] above [`i64::MAX`].
            pub const fn try_new(value: u64) -> Result<Self, OutOfRange> {
                if value > MAX {
                    return Err(OutOfRange { what: $what, value });
                }
                Ok(Self(value))
            }

            /// The number.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The number `by` further on; stays at [`i64::MAX`] rather than going beyond it.
            #[must_use]
            pub const fn advanced(self, by: u64) -> Self {
                let sum = self.0.saturating_add(by);
                Self(if sum > MAX { MAX } else { sum })
            }

            /// The number as the signed integer that databases use.
            pub const fn to_i64(self) -> i64 {
                self.0.cast_signed()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl From<$type> for u64 {
            fn from(value: $type) -> Self {
                value.0
            }
        }

        impl TryFrom<u64> for $type {
            type Error = OutOfRange;
            fn try_from(value: u64) -> Result<Self, Self::Error> {
                Self::try_new(value)
            }
        }

        impl TryFrom<i64> for $type {
            type Error = OutOfRange;
            /// A negative number is refused; the error shows it as two's complement.
            fn try_from(value: i64) -> Result<Self, Self::Error> {
                Self::try_new(value.cast_unsigned())
            }
        }
    };
}

counter!(
    StreamVersion,
    EMPTY,
    "The version of a stream that has no events.",
    "stream version"
);
counter!(
    GlobalPosition,
    START,
    "Before the first event of the store.",
    "global position"
);

impl StreamVersion {
    /// Whether the stream has no events.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_database_cannot_count_is_refused() {
        assert!(StreamVersion::try_new(MAX).is_ok());
        let error = GlobalPosition::try_new(MAX + 1).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("global position 9223372036854775808"),
            "{error}"
        );
        assert!(StreamVersion::try_from(-1_i64).is_err());
    }

    #[test]
    fn advancing_stops_at_the_largest() {
        assert_eq!(StreamVersion(MAX).advanced(5), StreamVersion(MAX));
    }
}
