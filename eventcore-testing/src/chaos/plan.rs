//! What will happen to which call.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Fault, Operation};

/// Somebody else's work, to be done once.
pub(super) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Scripts, dice and other people's work, and the count of calls that they go by.
#[derive(Default)]
pub(super) struct Plan(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    calls: BTreeMap<Operation, u64>,
    scripts: BTreeMap<Operation, VecDeque<Fault>>,
    work: BTreeMap<(Operation, u64), Work>,
    dice: Option<(fastrand::Rng, u8)>,
}

impl Plan {
    pub(super) fn script(&self, operation: Operation, faults: impl IntoIterator<Item = Fault>) {
        let mut inner = locked(&self.0);
        inner.scripts.entry(operation).or_default().extend(faults);
    }

    pub(super) fn randomly(&self, seed: u64, percent: u8) {
        locked(&self.0).dice = Some((fastrand::Rng::with_seed(seed), percent));
    }

    pub(super) fn before(&self, operation: Operation, call: u64, work: Work) {
        locked(&self.0).work.insert((operation, call), work);
    }

    pub(super) fn calls(&self, operation: Operation) -> u64 {
        locked(&self.0).calls.get(&operation).copied().unwrap_or(0)
    }

    /// Counts a call and says what happens to it, and what is done before it.
    pub(super) fn next(&self, operation: Operation) -> (Fault, Option<Work>) {
        let mut inner = locked(&self.0);
        let calls = inner.calls.entry(operation).or_default();
        *calls += 1;
        let call = *calls;
        let work = inner.work.remove(&(operation, call));
        let script = inner.scripts.get_mut(&operation);
        let scripted = script.and_then(VecDeque::pop_front);
        let fault = scripted.or_else(|| inner.roll(operation));
        (fault.unwrap_or(Fault::Pass), work)
    }
}

impl Inner {
    fn roll(&mut self, operation: Operation) -> Option<Fault> {
        let (dice, percent) = self.dice.as_mut()?;
        let hit = dice.u8(0..100) < *percent;
        let fault = dice.choice(operation.survivable()).copied();
        fault.filter(|_| hit)
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = locked(&self.0);
        f.debug_struct("Plan")
            .field("calls", &inner.calls)
            .field("scripts", &inner.scripts)
            .field("work", &inner.work.keys().collect::<Vec<_>>())
            .field("dice", &inner.dice)
            .finish()
    }
}

/// A plan is whole after any panic.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
