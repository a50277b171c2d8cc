//! Days and months, without time zones: a shop's book knows only dates.

use std::{fmt, str::FromStr};

use eventcore::prelude::*;

/// A day that exists in the Gregorian calendar, in the years 1 to 9999. Written `1997-01-31`.
///
/// ```
/// use eventcore_examples::shop::Date;
///
/// let day = Date::from_digits("19970131")?;
/// assert_eq!(day.to_string(), "1997-01-31");
/// assert_eq!("1997-01-31".parse(), Ok(day));
/// assert!(Date::from_digits("19970229").is_err());
/// # Ok::<(), eventcore_examples::shop::DateError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Date {
    month: Month,
    day: u8,
}

/// A month of a year. Written `1997-01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Month {
    year: u16,
    month: u8,
}

/// Why a text is not a [`Date`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DateError {
    /// Not eight digits.
    #[error("a date is written as 8 digits like 19970131: year, month, day")]
    NotADate,
    /// A month from 13 on, or 0.
    #[error("there is no month {0}")]
    NoSuchMonth(u8),
    /// A day that this month does not have.
    #[error("{month} has no day {day}")]
    NoSuchDay {
        /// The month.
        month: Month,
        /// The day.
        day: u8,
    },
    /// The year 0.
    #[error("there is no year 0")]
    NoSuchYear,
}

impl Month {
    fn days(self) -> u8 {
        let leap = self.year.is_multiple_of(4)
            && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        match self.month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// The month after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        match self.month {
            12 => Self {
                year: self.year + 1,
                month: 1,
            },
            month => Self {
                year: self.year,
                month: month + 1,
            },
        }
    }
}

impl Date {
    /// Reads `19970131`.
    ///
    /// # Errors
    ///
    /// [`DateError`] for anything but 8 ASCII digits, and for a day that is in no calendar.
    pub fn from_digits(text: &str) -> Result<Self, DateError> {
        if text.len() != 8 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(DateError::NotADate);
        }
        let number: u32 = text.parse().map_err(|_| DateError::NotADate)?;
        let part = |number: u32| u8::try_from(number).map_err(|_| DateError::NotADate);
        let year = u16::try_from(number / 10_000).map_err(|_| DateError::NotADate)?;
        let (month, day) = (part(number / 100 % 100)?, part(number % 100)?);
        if year == 0 {
            return Err(DateError::NoSuchYear);
        }
        if !(1..=12).contains(&month) {
            return Err(DateError::NoSuchMonth(month));
        }
        let month = Month { year, month };
        if !(1..=month.days()).contains(&day) {
            return Err(DateError::NoSuchDay { month, day });
        }
        Ok(Self { month, day })
    }

    /// Its month.
    pub const fn month(self) -> Month {
        self.month
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:02}", self.month, self.day)
    }
}

impl From<Date> for String {
    fn from(date: Date) -> Self {
        date.to_string()
    }
}

impl From<Month> for String {
    fn from(month: Month) -> Self {
        month.to_string()
    }
}

impl TryFrom<String> for Month {
    type Error = DateError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for Month {
    type Err = DateError;
    /// Reads `1997-01`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A month is as good as its first day.
        format!("{text}-01").parse().map(Date::month)
    }
}

impl TryFrom<String> for Date {
    type Error = DateError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for Date {
    type Err = DateError;
    /// Reads `1997-01-31`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.as_bytes() {
            [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] => {
                let digits = [*y1, *y2, *y3, *y4, *m1, *m2, *d1, *d2];
                let digits = std::str::from_utf8(&digits).map_err(|_| DateError::NotADate)?;
                Self::from_digits(digits)
            }
            _ => Err(DateError::NotADate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leap_day_exists_in_leap_years_only() {
        for (text, exists) in [
            ("19960229", true),
            ("19970229", false),
            ("19000229", false),
            ("20000229", true),
        ] {
            assert_eq!(Date::from_digits(text).is_ok(), exists, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_date_is_said() {
        for (text, reason) in [
            (
                "1997011",
                "a date is written as 8 digits like 19970131: year, month, day",
            ),
            (
                "+1997011",
                "a date is written as 8 digits like 19970131: year, month, day",
            ),
            (
                "1997é11",
                "a date is written as 8 digits like 19970131: year, month, day",
            ),
            ("19971301", "there is no month 13"),
            ("19970001", "there is no month 0"),
            ("19970431", "1997-04 has no day 31"),
            ("19970400", "1997-04 has no day 0"),
            ("00000101", "there is no year 0"),
        ] {
            assert_eq!(
                Date::from_digits(text).unwrap_err().to_string(),
                reason,
                "{text}"
            );
        }
    }

    #[test]
    fn a_month_is_read_as_it_is_written() {
        let month: Month = "1997-12".parse().unwrap();
        assert_eq!(month.to_string(), "1997-12");
        assert_eq!("1997-13".parse::<Month>(), Err(DateError::NoSuchMonth(13)));
        assert_eq!("1997".parse::<Month>(), Err(DateError::NotADate));
    }

    #[test]
    fn dates_sort_like_time_and_months_follow_each_other() {
        let date = |text| Date::from_digits(text).unwrap();
        assert!(date("19971231") < date("19980101"));
        assert!(date("19970131") < date("19970201"));
        assert_eq!(date("19971231").month().next(), date("19980101").month());
        assert_eq!(date("19970131").month().next(), date("19970201").month());
    }
}
