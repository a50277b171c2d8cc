//! A customer: what is recorded of one, and what it amounts to.

use std::{fmt, num::ParseIntError, str::FromStr};

use eventcore::prelude::*;

use super::{Cents, Date};

/// The number of a customer. Written with at least five digits, as in the shop's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CustomerId(pub u32);

impl fmt::Display for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:05}", self.0)
    }
}

impl FromStr for CustomerId {
    type Err = ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The stream of a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, StreamName)]
#[stream_name("customer:{id}")]
pub struct CustomerStream {
    /// Whose it is.
    pub id: CustomerId,
}

/// What happens to a customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(prefix = "customer")]
pub enum CustomerEvent {
    /// Bought something.
    Purchased {
        /// The line of the input that says so; the identity of the purchase.
        line: u32,
        /// The day.
        date: Date,
        /// How many CDs.
        cds: u32,
        /// What they cost.
        cents: Cents,
        /// The loyalty points earned, by the tier that the customer had before.
        points: u64,
    },
    /// Reached a tier, by the purchase just before.
    Promoted {
        /// The new tier.
        tier: Tier,
    },
}

/// How loyal a customer has been. Only ever rises.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Everybody at first.
    #[default]
    Regular,
    /// Has spent $100 or more.
    Silver,
    /// Has spent $500 or more.
    Gold,
}

impl Tier {
    /// All tiers, from the lowest.
    pub const ALL: [Self; 3] = [Self::Regular, Self::Silver, Self::Gold];

    /// What one must have spent to be in this tier.
    pub const fn threshold(self) -> Cents {
        match self {
            Self::Regular => Cents::ZERO,
            Self::Silver => Cents::dollars(100),
            Self::Gold => Cents::dollars(500),
        }
    }

    /// The points for each whole dollar.
    pub const fn points_per_dollar(self) -> u64 {
        match self {
            Self::Regular => 1,
            Self::Silver => 2,
            Self::Gold => 3,
        }
    }

    /// The highest tier that this amount reaches.
    pub fn reached_by(spent: Cents) -> Self {
        let reached = |tier: &Self| tier.threshold() <= spent;
        Self::ALL
            .into_iter()
            .rev()
            .find(reached)
            .unwrap_or_default()
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Regular => "regular",
            Self::Silver => "silver",
            Self::Gold => "gold",
        })
    }
}

/// What a customer's stream amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Customer {
    /// How often the customer bought.
    pub purchases: u32,
    /// What all of it cost.
    pub spent: Cents,
    /// The tier.
    pub tier: Tier,
    /// The day of the last purchase.
    pub last_visit: Option<Date>,
    /// How many CDs were bought on that day.
    pub cds_that_day: u32,
}

impl Customer {
    /// How many CDs the customer has bought already on a day.
    pub fn cds_on(&self, date: Date) -> u32 {
        if self.last_visit == Some(date) {
            self.cds_that_day
        } else {
            0
        }
    }
}

impl Fold for Customer {
    type Event = CustomerEvent;

    fn apply(&mut self, event: &StoredEvent<CustomerEvent>) {
        match event.data() {
            CustomerEvent::Purchased {
                date, cds, cents, ..
            } => {
                self.cds_that_day = self.cds_on(*date).saturating_add(*cds);
                self.last_visit = Some(*date);
                self.purchases += 1;
                self.spent = self.spent.plus(*cents);
            }
            CustomerEvent::Promoted { tier } => self.tier = *tier,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_is_reached_at_its_threshold_and_not_a_cent_before() {
        for (cents, tier) in [
            (0, Tier::Regular),
            (9_999, Tier::Regular),
            (10_000, Tier::Silver),
            (49_999, Tier::Silver),
            (50_000, Tier::Gold),
        ] {
            assert_eq!(Tier::reached_by(Cents::new(cents)), tier, "{cents}");
        }
    }

    #[test]
    fn a_customer_has_one_stream_and_it_says_whose_it_is() {
        let stream = CustomerStream { id: CustomerId(42) };
        let name = stream.to_stream_id().unwrap();
        assert_eq!(name.as_str(), "customer:00042");
        assert_eq!(CustomerStream::from_stream_id(&name).unwrap(), stream);
    }
}
