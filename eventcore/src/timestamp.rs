//! Points in time, to the microsecond.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// A point in time: whole microseconds since 1970-01-01T00:00:00Z, years 1 to 9999.
///
/// Finer parts are cut off here and nowhere else, so that every store returns what was given. Time stamps inform;
/// they never order events.
///
/// ```
/// use eventcore::Timestamp;
///
/// let t: Timestamp = "1997-01-01T12:00:00.123456789Z".parse()?;
/// assert_eq!(t.to_string(), "1997-01-01T12:00:00.123456Z");
/// # Ok::<(), eventcore::TimestampError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Timestamp(i64);

/// Why a number or text is not a [`Timestamp`].
#[derive(Clone, Debug, thiserror::Error)]
#[error("{input} is not a time between the years 1 and 9999")]
pub struct TimestampError {
    input: String,
    #[source]
    source: Option<jiff::Error>,
}

impl Timestamp {
    /// -62,135,596,800 s: the start of year 1.
    const MIN_MICROS: i64 = -62_135_596_800_000_000;
    /// The last microsecond that every time zone can show within year 9999.
    const MAX_MICROS: i64 = 253_402_207_199_999_999;

    /// The system's clock, now.
    pub fn now() -> Self {
        Self::from_clock(SystemTime::now())
    }

    /// A reading of the system's clock; one outside the years 1 to 9999 becomes the nearest end.
    pub fn from_clock(time: SystemTime) -> Self {
        let micros = |d: Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
        let since = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => micros(after),
            Err(before) => -micros(before.duration()),
        };
        Self(since.clamp(Self::MIN_MICROS, Self::MAX_MICROS))
    }

    /// Microseconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// [`TimestampError`] outside the years 1 to 9999.
    pub fn from_unix_micros(micros: i64) -> Result<Self, TimestampError> {
        if (Self::MIN_MICROS..=Self::MAX_MICROS).contains(&micros) {
            return Ok(Self(micros));
        }
        Err(TimestampError {
            input: format!("{micros} µs since 1970"),
            source: None,
        })
    }

    /// Microseconds since the Unix epoch; negative before it.
    pub const fn unix_micros(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => fmt::Display::fmt(&time, f),
            Err(_) => write!(f, "{} µs since 1970", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({self})")
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;
    /// Reads RFC 3339 and cuts to the microsecond.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<jiff::Timestamp>() {
            Ok(time) => Self::from_unix_micros(time.as_microsecond()),
            Err(source) => Err(TimestampError {
                input: format!("`{}`", text.chars().take(64).collect::<String>()),
                source: Some(source),
            }),
        }
    }
}

impl From<Timestamp> for i64 {
    fn from(time: Timestamp) -> Self {
        time.0
    }
}

impl TryFrom<i64> for Timestamp {
    type Error = TimestampError;
    fn try_from(micros: i64) -> Result<Self, Self::Error> {
        Self::from_unix_micros(micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_print_and_parse() {
        for end in [Timestamp::MIN_MICROS, Timestamp::MAX_MICROS] {
            let time = Timestamp::from_unix_micros(end).unwrap();
            assert_eq!(
                time.to_string().parse::<Timestamp>().unwrap(),
                time,
                "{time}"
            );
        }
        assert!(Timestamp::from_unix_micros(Timestamp::MAX_MICROS + 1).is_err());
    }

    #[test]
    fn a_clock_before_1970_is_a_time_too() {
        let early = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(
            Timestamp::from_clock(early).to_string(),
            "1969-12-31T23:59:59Z"
        );
    }
}
