//! How often to try, and how long to wait in between.

use std::time::Duration;

/// How often a command is tried, and how long it waits in between.
///
/// Only what may pass is tried again: conflicts, and store errors whose
/// [kind](crate::store::StoreErrorKind) says so. The default is [`RetryPolicy::exponential`].
///
/// ```
/// use std::time::Duration;
/// use eventcore::RetryPolicy;
///
/// let patient = RetryPolicy::exponential().max_attempts(20).cap(Duration::from_secs(1));
/// let stubborn = RetryPolicy::fixed(Duration::from_millis(5));
/// assert_ne!(patient, stubborn);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    max_attempts: u32,
    backoff: Backoff,
    store_patience: Duration,
}

/// As long as a store waits for a connection, unless told otherwise.
const STORE_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Backoff {
    Fixed(Duration),
    Exponential { base: Duration, cap: Duration },
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::exponential()
    }
}

impl RetryPolicy {
    /// One attempt only.
    pub const fn none() -> Self {
        Self {
            max_attempts: 1,
            backoff: Backoff::Fixed(Duration::ZERO),
            store_patience: STORE_PATIENCE,
        }
    }

    /// 10 attempts, with the same wait before each but the first.
    pub const fn fixed(wait: Duration) -> Self {
        Self {
            max_attempts: 10,
            backoff: Backoff::Fixed(wait),
            store_patience: STORE_PATIENCE,
        }
    }

    /// 10 attempts, with a random wait below a bound that starts at 2 ms and doubles up to 250 ms.
    ///
    /// This is "full jitter" of Marc Brooker's "Exponential Backoff and Jitter": writers that collided once do not
    /// collide again in step.
    pub const fn exponential() -> Self {
        Self {
            max_attempts: 10,
            backoff: Backoff::Exponential {
                base: Duration::from_millis(2),
                cap: Duration::from_millis(250),
            },
            store_patience: STORE_PATIENCE,
        }
    }

    /// The most attempts, the first included; 0 counts as 1.
    #[must_use]
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = if attempts == 0 { 1 } else { attempts };
        self
    }

    /// The first bound of an exponential wait. A fixed wait is set to it.
    #[must_use]
    pub const fn base(mut self, wait: Duration) -> Self {
        self.backoff = match self.backoff {
            Backoff::Fixed(_) => Backoff::Fixed(wait),
            Backoff::Exponential { cap, .. } => Backoff::Exponential { base: wait, cap },
        };
        self
    }

    /// The bound that an exponential wait never goes beyond. No effect on a fixed wait.
    #[must_use]
    pub const fn cap(mut self, wait: Duration) -> Self {
        if let Backoff::Exponential { base, .. } = self.backoff {
            self.backoff = Backoff::Exponential { base, cap: wait };
        }
        self
    }

    /// How long errors of the store are tried again, from the beginning of the command: an attempt that fails later
    /// than that is the last, since the store has waited itself by then. Conflicts are not counted.
    ///
    /// Default: 10 seconds.
    #[must_use]
    pub const fn store_patience(mut self, patience: Duration) -> Self {
        self.store_patience = patience;
        self
    }

    /// Whether the store may be tried again after this time.
    pub(crate) fn bears(&self, elapsed: Duration) -> bool {
        elapsed < self.store_patience
    }

    /// The wait after this many attempts, or `None` when it was the last.
    pub(crate) fn wait_after(&self, attempts: u32, random: f64) -> Option<Duration> {
        if attempts >= self.max_attempts {
            return None;
        }
        Some(match self.backoff {
            Backoff::Fixed(wait) => wait,
            Backoff::Exponential { base, cap } => {
                let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1));
                base.saturating_mul(doubled).min(cap).mul_f64(random)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        let policy = RetryPolicy::exponential().base(10 * MS).cap(35 * MS);
        let waits: Vec<_> = (1..5).map(|n| policy.wait_after(n, 1.0).unwrap()).collect();
        assert_eq!(waits, [10 * MS, 20 * MS, 35 * MS, 35 * MS]);
    }

    #[test]
    fn jitter_is_full() {
        assert_eq!(
            RetryPolicy::exponential().wait_after(3, 0.0),
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn no_wait_follows_the_last_attempt() {
        assert_eq!(RetryPolicy::none().wait_after(1, 1.0), None);
        let three = RetryPolicy::fixed(MS).max_attempts(3);
        assert_eq!(three.wait_after(2, 0.5), Some(MS));
        assert_eq!(three.wait_after(3, 0.5), None);
    }

    #[test]
    fn many_attempts_do_not_overflow() {
        let policy = RetryPolicy::exponential().max_attempts(u32::MAX);
        assert_eq!(policy.wait_after(u32::MAX - 1, 1.0), Some(250 * MS));
    }
}
