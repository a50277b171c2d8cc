//! The input: where it comes from, unpacked, read line by line, in the order of its dates.

use std::{fmt, io, str::FromStr};

use eventcore::prelude::*;
use uuid::Uuid;

use super::{
    BadLine, Cents, Fault, Purchase, Source,
    line::{is_blank, is_header, parse},
    source::MOST_BYTES,
};

/// How many broken lines are kept to be shown.
const SHOWN: usize = 5;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The digest of an input's unpacked content, by which a store knows its input again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InputId(Uuid);

impl InputId {
    pub(crate) fn of(content: &[u8]) -> Self {
        Self(Uuid::new_v5(&Uuid::NAMESPACE_OID, content))
    }
}

impl fmt::Display for InputId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for InputId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

/// What to do about lines that are no purchases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLines {
    /// Refuse the whole input.
    Refuse,
    /// Leave them out and count them.
    Skip,
}

/// An input, read and checked.
#[derive(Clone, Debug)]
pub struct Input {
    /// Where it came from.
    pub source: Source,
    /// The digest of its content.
    pub id: InputId,
    /// Its purchases by date, and by line within a date. Never empty.
    pub purchases: Vec<Purchase>,
    /// How many lines were left out.
    pub bad_lines: usize,
    /// The first few of them.
    pub first_bad: Vec<BadLine>,
}

/// What purchases sum up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// How many there are.
    pub purchases: u64,
    /// All their CDs.
    pub cds: u64,
    /// All their dollars.
    pub cents: Cents,
}

impl Totals {
    /// Counts one more.
    pub fn add(&mut self, cds: u32, cents: Cents) {
        self.purchases += 1;
        self.cds += u64::from(cds);
        self.cents = self.cents.plus(cents);
    }

    /// Adds what others sum up to.
    pub fn merge(&mut self, others: Self) {
        self.purchases += others.purchases;
        self.cds += others.cds;
        self.cents = self.cents.plus(others.cents);
    }

    /// The totals of some purchases.
    pub fn of<'p>(purchases: impl IntoIterator<Item = &'p Purchase>) -> Self {
        let mut totals = Self::default();
        for purchase in purchases {
            totals.add(purchase.cds, purchase.cents);
        }
        totals
    }
}

/// Why there is no input.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The file cannot be read.
    #[error("cannot read the input {from}")]
    Unreadable {
        /// The input.
        from: Source,
        /// What the system says.
        source: io::Error,
    },
    /// A directory was named.
    #[error("the input {from} is a directory; name a file in it")]
    Directory {
        /// The input.
        from: Source,
    },
    /// A name that ends in `.gz`, and no gzip inside.
    #[error("the input {from} is named like a gzip file and is none")]
    NotGzip {
        /// The input.
        from: Source,
    },
    /// Cut off, or changed on the way.
    #[error("the gzip file {from} is damaged or cut short, after {unpacked} bytes of content")]
    DamagedGzip {
        /// The input.
        from: Source,
        /// How much could be unpacked.
        unpacked: usize,
        /// What the decoder found.
        source: io::Error,
    },
    /// More than fits.
    #[error("the input {from} has more than {limit} MiB of content", limit = MOST_BYTES >> 20)]
    TooLarge {
        /// The input.
        from: Source,
    },
    /// No byte.
    #[error("the input {from} is empty")]
    Empty {
        /// The input.
        from: Source,
    },
    /// No purchase.
    #[error("the input {from} holds no purchase")]
    NoPurchases {
        /// The input.
        from: Source,
    },
    /// Lines that are no purchases.
    #[error("{}", describe(from, *count, first))]
    BadLines {
        /// The input.
        from: Source,
        /// How many there are.
        count: usize,
        /// The first few.
        first: Vec<BadLine>,
    },
}

/// The number of broken lines, the first few of them, and what to do.
fn describe(from: &Source, count: usize, first: &[BadLine]) -> String {
    let mut text = match count {
        1 => vec![format!("a line of the input {from} is broken")],
        _ => vec![format!("{count} lines of the input {from} are broken")],
    };
    text.extend(first.iter().map(|bad| format!("  {bad}")));
    if count > first.len() {
        text.push(format!("  and {} more", count - first.len()));
    }
    text.push("Nothing was written. --skip-bad leaves such lines out.".to_owned());
    text.join("\n")
}

impl Input {
    /// Reads an input whole and checks every line of it.
    ///
    /// # Errors
    ///
    /// [`InputError`], for whatever there is to say against it.
    pub fn load(source: &Source, bad_lines: BadLines) -> Result<Self, InputError> {
        let content = source.content()?;
        if content.is_empty() {
            return Err(InputError::Empty {
                from: source.clone(),
            });
        }
        let input = Self::read(source, &content);
        if input.bad_lines > 0 && bad_lines == BadLines::Refuse {
            return Err(InputError::BadLines {
                from: input.source,
                count: input.bad_lines,
                first: input.first_bad,
            });
        }
        if input.purchases.is_empty() {
            return Err(InputError::NoPurchases { from: input.source });
        }
        Ok(input)
    }

    fn read(source: &Source, content: &[u8]) -> Self {
        let mut input = Self {
            source: source.clone(),
            id: InputId::of(content),
            purchases: Vec::new(),
            bad_lines: 0,
            first_bad: Vec::new(),
        };
        let text = content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content);
        let mut blank = Vec::new();
        for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
            if number == 1 && is_header(line) {
                continue;
            }
            // Blank lines end many files and harm nobody there; what comes after them tells.
            if is_blank(line) {
                blank.push(number);
                continue;
            }
            for number in blank.drain(..) {
                input.leave_out(number, Fault::Blank);
            }
            match parse(number, line) {
                Ok(purchase) => input.purchases.push(purchase),
                Err(fault) => input.leave_out(number, fault),
            }
        }
        // By date, since that is how it happened. The sort is stable: lines of one date keep their order.
        input.purchases.sort_by_key(|purchase| purchase.date);
        input
    }

    fn leave_out(&mut self, line: u32, fault: Fault) {
        self.bad_lines += 1;
        if self.first_bad.len() < SHOWN {
            self.first_bad.push(BadLine { line, fault });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Input {
        Input::read(&Source::BuiltIn, text.as_bytes())
    }

    fn lines(input: &Input) -> Vec<u32> {
        input.purchases.iter().map(|p| p.line).collect()
    }

    #[test]
    fn the_built_in_data_is_what_its_authors_say() {
        let input = Input::load(&Source::BuiltIn, BadLines::Refuse).unwrap();
        let totals = Totals::of(&input.purchases);
        assert_eq!((totals.purchases, totals.cds), (69_659, 167_881));
        assert_eq!(totals.cents.to_string(), "$2,500,315.63");
        assert!(input.purchases.is_sorted_by_key(|p| (p.date, p.line)));
    }

    #[test]
    fn purchases_come_by_date_and_those_of_a_date_by_line() {
        let input =
            read("1 19970103 1 1.00\n1 19970102 1 1.00\n2 19970103 1 1.00\n1 19970102 1 1.00");
        assert_eq!(lines(&input), [2, 4, 1, 3]);
    }

    #[test]
    fn the_header_the_byte_order_mark_and_blank_lines_at_the_end_are_no_purchases() {
        let text = "\u{feff} customer_id  date number_of_cds  dollar_value\r\n1 19970101 1 1.00\r\n\r\n \n";
        let input = read(text);
        assert_eq!((lines(&input), input.bad_lines), (vec![2], 0));
        assert_eq!(
            lines(&read("1 19970101 1 1.00")),
            [1],
            "a header may be missing"
        );
    }

    #[test]
    fn a_blank_line_between_purchases_is_broken_and_so_is_a_second_header() {
        let header = "customer_id date number_of_cds dollar_value";
        let input = read(&format!(
            "{header}\n1 19970101 1 1.00\n\n{header}\n1 19970101 1 1.00\n"
        ));
        let bad: Vec<u32> = input.first_bad.iter().map(|bad| bad.line).collect();
        assert_eq!((lines(&input), bad), (vec![2, 5], vec![3, 4]));
    }

    #[test]
    fn many_broken_lines_are_counted_and_few_are_shown() {
        let input = read(&"?\n".repeat(1000));
        assert_eq!((input.bad_lines, input.first_bad.len()), (1000, SHOWN));
        let text = describe(&input.source, input.bad_lines, &input.first_bad);
        assert!(text.starts_with("1000 lines of"), "{text}");
        assert!(text.contains("\n  line 1: it has 1 columns") && text.contains("and 995 more"));
    }

    #[test]
    fn another_content_has_another_digest() {
        let [one, other] = [b"1 19970101 1 1.00\n", b"1 19970101 1 1.01\n"].map(|c| InputId::of(c));
        assert_ne!(one, other);
    }
}
