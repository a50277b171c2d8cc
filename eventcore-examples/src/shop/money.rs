//! Money, exact to the cent.

use std::{fmt, iter::Sum, str::FromStr};

use eventcore::prelude::*;

/// An amount in US cents, never negative. Sums stop at the largest amount instead of wrapping around.
///
/// ```
/// use eventcore_examples::shop::Cents;
///
/// let price: Cents = "1499.95".parse()?;
/// assert_eq!(price.get(), 149_995);
/// assert_eq!(price.to_string(), "$1,499.95");
/// # Ok::<(), eventcore_examples::shop::MoneyError>(())
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Cents(u64);

impl Cents {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// That many cents.
    pub const fn new(cents: u64) -> Self {
        Self(cents)
    }

    /// That many dollars, up to the largest amount.
    pub const fn dollars(dollars: u64) -> Self {
        Self(dollars.saturating_mul(100))
    }

    /// The number of cents.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Dollars, without the odd cents.
    pub const fn whole_dollars(self) -> u64 {
        self.0 / 100
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for Cents {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::plus)
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("${}.{:02}", grouped(self.0 / 100), self.0 % 100);
        f.pad(&text)
    }
}

/// A number with commas between its thousands: `69,659`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Why a text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoneyError {
    /// Not `digits.digits`.
    #[error("an amount is written like `14.99`: dollars, a point, two digits for the cents")]
    NotAnAmount,
    /// A sign.
    #[error("an amount cannot be negative")]
    Negative,
    /// More or less than two digits after the point.
    #[error("an amount has exactly two digits after the point, this one has {0}")]
    Decimals(usize),
    /// More than nine digits before the point.
    #[error("an amount is at most $999,999,999.99")]
    TooLarge,
}

impl FromStr for Cents {
    type Err = MoneyError;

    /// Digit by digit: a detour over floating-point numbers would lose cents.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if let Some(rest) = text.strip_prefix('-')
            && rest.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        {
            return Err(MoneyError::Negative);
        }
        let (dollars, cents) = text.split_once('.').unwrap_or((text, ""));
        if !is_number(dollars) || !(cents.is_empty() || is_number(cents)) {
            return Err(MoneyError::NotAnAmount);
        }
        if cents.len() != 2 {
            return Err(MoneyError::Decimals(cents.len()));
        }
        if dollars.trim_start_matches('0').len() > 9 {
            return Err(MoneyError::TooLarge);
        }
        let number = |part: &str| part.parse::<u64>().map_err(|_| MoneyError::TooLarge);
        Ok(Self(number(dollars)? * 100 + number(cents)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_that_floats_get_wrong_are_exact() {
        for (text, cents) in [
            ("0.29", 29),
            ("1.15", 115),
            ("999999999.99", 99_999_999_999),
        ] {
            assert_eq!(text.parse(), Ok(Cents(cents)), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        use MoneyError::{Decimals, Negative, NotAnAmount, TooLarge};
        for (text, error) in [
            ("", NotAnAmount),
            (".99", NotAnAmount),
            ("1,000.00", NotAnAmount),
            ("$1.00", NotAnAmount),
            ("+1.00", NotAnAmount),
            ("1.0.0", NotAnAmount),
            ("1.x0", NotAnAmount),
            ("NaN", NotAnAmount),
            ("1e2", NotAnAmount),
            ("١.٠٠", NotAnAmount),
            ("-1.00", Negative),
            ("12", Decimals(0)),
            ("12.", Decimals(0)),
            ("12.5", Decimals(1)),
            ("12.500", Decimals(3)),
            ("1000000000.00", TooLarge),
            ("99999999999999999999999.00", TooLarge),
        ] {
            assert_eq!(text.parse::<Cents>(), Err(error), "{text}");
        }
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(Cents(0).to_string(), "$0.00");
        assert_eq!(Cents(99_999).to_string(), "$999.99");
        assert_eq!(Cents(250_031_563).to_string(), "$2,500,315.63");
        assert_eq!(grouped(1000), "1,000");
    }
}
