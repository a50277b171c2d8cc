//! What is armed, and what strikes.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{ConnectionId, Fault, When, when::Burst};

/// All that is armed, in the order of arming.
#[derive(Default)]
pub(super) struct Rules(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    next: u64,
    rules: Vec<Rule>,
}

struct Rule {
    id: u64,
    when: When,
    once: bool,
    choice: Choice,
    struck: Arc<watch::Sender<Struck>>,
}

/// How often, and where last.
#[derive(Clone, Copy, Debug, Default)]
struct Struck {
    times: u64,
    last: Option<ConnectionId>,
}

/// Which fault strikes, if any.
pub(super) enum Choice {
    Always(Fault),
    /// One of these, in so many of a hundred cases.
    Dice {
        dice: fastrand::Rng,
        percent: u8,
        faults: Vec<Fault>,
    },
}

impl Choice {
    fn choose(&mut self) -> Option<Fault> {
        match self {
            Self::Always(fault) => Some(fault.clone()),
            Self::Dice {
                dice,
                percent,
                faults,
            } => {
                let hit = dice.u8(..100) < *percent;
                // Drawn in any case, so that a seed gives the same numbers whatever is hit.
                let chosen = dice.usize(..);
                if !hit || faults.is_empty() {
                    return None;
                }
                faults.get(chosen % faults.len()).cloned()
            }
        }
    }
}

impl Rules {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A list of rules is whole after any panic in a test's predicate.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn arm(self: &Arc<Self>, when: When, once: bool, choice: Choice) -> Armed {
        let struck = Arc::new(watch::Sender::new(Struck::default()));
        let mut inner = self.inner();
        inner.next += 1;
        let id = inner.next;
        inner.rules.push(Rule {
            id,
            when,
            once,
            choice,
            struck: Arc::clone(&struck),
        });
        drop(inner);
        Armed {
            id,
            struck,
            rules: Arc::clone(self),
        }
    }

    /// The fault that strikes this burst, as far as it has come.
    pub(super) fn strike(&self, burst: &mut Burst) -> Option<Fault> {
        let mut inner = self.inner();
        for at in 0..inner.rules.len() {
            let rule = &mut inner.rules[at];
            if burst.met.contains(&rule.id) || !rule.when.matches(burst) {
                continue;
            }
            burst.met.push(rule.id);
            if rule.when.nth > 1 {
                rule.when.nth -= 1;
                continue;
            }
            if let Some(fault) = rule.choice.choose() {
                rule.struck.send_modify(|struck| {
                    struck.times += 1;
                    struck.last = Some(burst.connection);
                });
                if rule.once {
                    inner.rules.remove(at);
                }
                return Some(fault);
            }
        }
        None
    }

    pub(super) fn clear(&self) {
        self.inner().rules.clear();
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = &self.inner().rules;
        f.debug_list()
            .entries(rules.iter().map(|rule| &rule.when))
            .finish()
    }
}

/// A fault that waits for its moment. Dropping this changes nothing.
#[derive(Clone, Debug)]
#[must_use = "the fault stays armed; ask this whether it has struck, or say `let _ =`"]
pub struct Armed {
    id: u64,
    struck: Arc<watch::Sender<Struck>>,
    rules: Arc<Rules>,
}

impl Armed {
    /// How often it has struck so far.
    pub fn times(&self) -> u64 {
        self.struck.borrow().times
    }

    /// Waits until it has struck, and says which connection it struck last.
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    pub async fn struck(&self) -> ConnectionId {
        let mut struck = self.struck.subscribe();
        loop {
            if let Some(connection) = struck.borrow_and_update().last {
                return connection;
            }
            // An error would mean that the sender is gone, and we hold it.
            let _ = struck.changed().await;
        }
    }

    /// Lets it strike no more. What it has begun goes on.
    pub fn disarm(&self) {
        self.rules.inner().rules.retain(|rule| rule.id != self.id);
    }
}
