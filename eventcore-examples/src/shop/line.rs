//! One line of the input: a purchase, or the reason why it is none.

use super::{Cents, CustomerId, Date, DateError, MoneyError};

/// A purchase as the input has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purchase {
    /// The number of its line, from 1; its identity, since two purchases may be alike in all else.
    pub line: u32,
    /// Who bought.
    pub customer: CustomerId,
    /// The day.
    pub date: Date,
    /// How many CDs, at least 1.
    pub cds: u32,
    /// What they cost; 0 for a gift.
    pub cents: Cents,
}

/// Why a line is not a purchase.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Bytes that are no text.
    #[error("it is not UTF-8 text")]
    NotText,
    /// Nothing there, before the end of the input.
    #[error("it is blank")]
    Blank,
    /// Too much or too little.
    #[error("it has {found} columns, a purchase has 4: customer, date, CDs, dollars")]
    Columns {
        /// How many there are.
        found: usize,
    },
    /// The first column.
    #[error("customer {text:?} is not a number of digits only, at most 4294967295")]
    Customer {
        /// What stands there.
        text: String,
    },
    /// The second column.
    #[error("date {text:?}: {source}")]
    Date {
        /// What stands there.
        text: String,
        /// What is wrong with it.
        source: DateError,
    },
    /// The third column.
    #[error("number of CDs {text:?} is not a number of digits only, from 1 to 4294967295")]
    Cds {
        /// What stands there.
        text: String,
    },
    /// The fourth column.
    #[error("dollars {text:?}: {source}")]
    Dollars {
        /// What stands there.
        text: String,
        /// What is wrong with it.
        source: MoneyError,
    },
}

/// A line that is not a purchase.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct BadLine {
    /// Its number, from 1.
    pub line: u32,
    /// Why.
    pub fault: Fault,
}

/// The names of the columns, which may stand in the first line.
const HEADER: [&str; 4] = ["customer_id", "date", "number_of_cds", "dollar_value"];

/// Whether a line names the columns.
pub(crate) fn is_header(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok_and(|text| columns(text).eq(HEADER))
}

/// Whether a line has nothing on it.
pub(crate) fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
}

/// Reads a line without its end. Every column is checked, in the order in which they stand.
pub(crate) fn parse(line: u32, bytes: &[u8]) -> Result<Purchase, Fault> {
    if is_blank(bytes) {
        return Err(Fault::Blank);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Fault::NotText)?;
    let mut all = columns(text);
    let (Some(customer), Some(date), Some(cds), Some(dollars), None) =
        (all.next(), all.next(), all.next(), all.next(), all.next())
    else {
        let found = columns(text).count();
        return Err(Fault::Columns { found });
    };
    let customer = match number(customer) {
        Some(id) => CustomerId(id),
        None => {
            return Err(Fault::Customer {
                text: quoted(customer),
            });
        }
    };
    let date = Date::from_digits(date).map_err(|source| Fault::Date {
        text: quoted(date),
        source,
    })?;
    let cds = number(cds)
        .filter(|&cds| cds > 0)
        .ok_or_else(|| Fault::Cds { text: quoted(cds) })?;
    let cents = dollars.parse().map_err(|source| Fault::Dollars {
        text: quoted(dollars),
        source,
    })?;
    Ok(Purchase {
        line,
        customer,
        date,
        cds,
        cents,
    })
}

fn columns(text: &str) -> impl Iterator<Item = &str> {
    let text = text.strip_suffix('\r').unwrap_or(text);
    text.split([' ', '\t']).filter(|column| !column.is_empty())
}

/// Digits only: `parse` alone would take a sign.
fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// What an error shows of a column: enough to find it, however long it is.
fn quoted(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: &[u8]) -> String {
        parse(7, line).unwrap_err().to_string()
    }

    #[test]
    fn a_line_of_the_file_is_read_whole() {
        let purchase = Purchase {
            line: 3,
            customer: CustomerId(2),
            date: Date::from_digits("19970112").unwrap(),
            cds: 5,
            cents: Cents::dollars(77),
        };
        assert_eq!(parse(3, b" 00002 19970112  5   77.00\r"), Ok(purchase));
        assert_eq!(parse(3, b"2\t19970112\t5\t77.00"), Ok(purchase));
    }

    #[test]
    fn a_gift_is_a_purchase() {
        assert_eq!(parse(1, b"1 19970101 1 0.00").unwrap().cents, Cents::ZERO);
    }

    #[test]
    fn every_column_is_checked_and_the_reason_quotes_it() {
        for (line, reason) in [
            (
                &b"1 19970101 1"[..],
                "it has 3 columns, a purchase has 4: customer, date, CDs, dollars",
            ),
            (
                b"1 19970101 1 1.00 x",
                "it has 5 columns, a purchase has 4: customer, date, CDs, dollars",
            ),
            (
                b"x1 19970101 1 1.00",
                "customer \"x1\" is not a number of digits only, at most 4294967295",
            ),
            (
                b"-1 19970101 1 1.00",
                "customer \"-1\" is not a number of digits only, at most 4294967295",
            ),
            (
                b"+1 19970101 1 1.00",
                "customer \"+1\" is not a number of digits only, at most 4294967295",
            ),
            (
                b"4294967296 19970101 1 1.00",
                "customer \"4294967296\" is not a number of digits only, at most 4294967295",
            ),
            (
                b"1 19970230 1 1.00",
                "date \"19970230\": 1997-02 has no day 30",
            ),
            (
                b"1 19970101 0 1.00",
                "number of CDs \"0\" is not a number of digits only, from 1 to 4294967295",
            ),
            (
                b"1 19970101 1.5 1.00",
                "number of CDs \"1.5\" is not a number of digits only, from 1 to 4294967295",
            ),
            (
                b"1 19970101 1 -1.00",
                "dollars \"-1.00\": an amount cannot be negative",
            ),
            (
                b"1 19970101 1 1.0",
                "dollars \"1.0\": an amount has exactly two digits after the point, this one has 1",
            ),
            (b"1 19970101 1 1.00\xff", "it is not UTF-8 text"),
            (b" \t\r", "it is blank"),
        ] {
            assert_eq!(fault(line), reason, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn what_an_error_quotes_is_short_and_harmless_to_a_terminal() {
        let long = [b"1 19970101 1 \x1b[2J".as_slice(), &[b'9'; 5000]].concat();
        let text = fault(&long);
        assert!(text.len() < 200 && text.contains(r"\u{1b}[2J999"), "{text}");
    }

    #[test]
    fn only_the_names_of_the_columns_are_a_header() {
        assert!(is_header(
            b" customer_id  date number_of_cds  dollar_value\r"
        ));
        assert!(!is_header(b"customer_id date"));
        assert!(!is_header(b"00001 19970101 1 11.77"));
    }
}
